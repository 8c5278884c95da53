# Partmgr.pm: what partmgr's TAP tests share.
#
#	use strict; use warnings;
#	use Partmgr;
#	use Test::More;
#
#	my $node = new_node('main');			# runs, partmgr preloaded
#	$node->safe_psql('postgres', 'CREATE EXTENSION partmgr');
#	...
#	$node->stop;							# fast: coverage is lost otherwise
#	done_testing();
#
# A node finds the extension where test/inner.sh has installed it; under a
# plain "make installcheck" it is the installed one.  Wait with
# $node->poll_query_until, wait_for_log or poll_until, which have deadlines;
# never sleep.

package Partmgr;

use strict;
use warnings;

use Exporter 'import';
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Time::HiRes qw(usleep);

our @EXPORT = qw(new_node extension_conf old_bindir is_debug_build poll_until);

# The settings that lead a server to the extension under test; given true, the
# older server of old_bindir().
sub extension_conf
{
	my ($old) = @_;
	my $file = $ENV{ $old ? 'PARTMGR_OLD_CONF' : 'PARTMGR_TEST_CONF' };

	return (defined $file && $file ne '') ? slurp_file($file) : '';
}

# The directory of an older server's programs, for pg_upgrade; undef where
# there is none beside the one under test.
sub old_bindir
{
	return $ENV{PARTMGR_OLD_BINDIR};
}

# new_node(NAME, preload => 1, start => 1, conf => '', init => {}, old => 0)
# makes a cluster of its own with partmgr preloaded and starts it.  conf is
# appended to postgresql.conf and wins over what is set here; init goes to the
# cluster's init (allows_streaming => 1 ...); old makes it one of the server in
# old_bindir().
sub new_node
{
	my ($name, %opt) = @_;
	my @where = $opt{old} ? (install_path => old_bindir() =~ s{/bin$}{}r) : ();
	my $node = PostgreSQL::Test::Cluster->new($name, @where);

	$node->init(%{ $opt{init} // {} });
	$node->append_conf('postgresql.conf', extension_conf($opt{old}));
	$node->append_conf('postgresql.conf', "shared_preload_libraries = 'partmgr'")
	  if $opt{preload} // 1;
	$node->append_conf('postgresql.conf', <<'CONF');
fsync = off
synchronous_commit = off
autovacuum = off
max_worker_processes = 16
max_locks_per_transaction = 128
log_line_prefix = '%m [%p] %b %q%a '
CONF
	$node->append_conf('postgresql.conf', $opt{conf}) if defined $opt{conf};
	$node->start if $opt{start} // 1;
	return $node;
}

# Whether this is a debug build: fail points exist only there.  A test that
# needs them says
#	plan skip_all => 'needs a debug build' unless is_debug_build($node);
sub is_debug_build
{
	my ($node) = @_;

	return $node->safe_psql('postgres',
		"LOAD 'partmgr'; SELECT count(*) FROM pg_settings WHERE name = 'partmgr.failpoints'") eq '1';
}

# poll_until(sub { ... }, SECONDS) waits until the sub returns true, and
# returns false when the deadline has passed.
sub poll_until
{
	my ($condition, $seconds) = @_;
	my $deadline = time() + ($seconds // $PostgreSQL::Test::Utils::timeout_default);

	until ($condition->())
	{
		return 0 if time() > $deadline;
		usleep(50_000);
	}
	return 1;
}

1;
