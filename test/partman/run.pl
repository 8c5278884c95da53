#!/usr/bin/env perl
#
# run.pl SOURCES MAJOR [TEST]
#		Run pg_partman's pgTAP files with the server in the environment.
#
# SOURCES has a directory VERSION/test for each version of pg_partman.  Each file
# of the top level runs in a database of its own that is thrown away: extension
# partmgr in schema partman, pgTAP in public.  Files of the folders run in stages,
# as listed in test/partman/stages.
#
# psql stops a file at its first error; here it goes on, and counts the error as a
# failure: the file tells more that way.  Other than expected is
#
#	an assertion that fails, or one that the file has planned and does not reach
#	an error that no assertion expects
#
# unless test/partman/deviations says so.  Lines there, fields between tabs:
#
#	version (a glob), file (a glob, without .sql), number of the assertion or a
#	pattern (Perl's) for its description or the error's message, reason
#
# Counts go to $PARTMGR_COUNTS; exit code 1 if anything was not expected.

use strict;
use warnings;

my ($sources, $major, $only) = @ARGV;
$| = 1;
my $here = 'test/partman';
$only = '' unless defined $only;

# ---------- lists ----------

sub fields
{
	my ($file) = @_;
	my @lines;

	open(my $in, '<', $file) or die "$file: $!\n";
	while (my $line = <$in>)
	{
		chomp $line;
		next if $line =~ /^\s*(#|$)/;
		push @lines, [ split /\t+/, $line ];
	}
	return @lines;
}

# a glob as a pattern
sub glob_pattern
{
	my $pattern = quotemeta $_[0];

	$pattern =~ s/\\\*/.*/g;
	return qr/^$pattern$/;
}

my @deviations = map {
	my ($version, $file, $what, $reason) = @$_;
	{
		version => glob_pattern($version),
		file => glob_pattern($file),
		what => $what =~ /^\d+$/ ? $what : qr/$what/,
		number => scalar($what =~ /^\d+$/),
		text => join(' ', $version, $file, $what),
		reason => $reason,
		passed => 0,
		failed => 0
	}
} fields("$here/deviations");

# the deviation that a result is, or undef
sub deviation_of
{
	my ($version, $file, $result) = @_;

	for my $deviation (@deviations)
	{
		next unless $version =~ $deviation->{version} && $file =~ $deviation->{file};
		return $deviation if $deviation->{number} ?
			defined $result->{number} && $result->{number} == $deviation->{what} :
			$result->{text} =~ $deviation->{what};
	}
	return undef;
}

# ---------- a file ----------

sub run_psql
{
	my ($database, @arguments) = @_;
	my $pid = open(my $out, '-|');

	die "fork: $!\n" unless defined $pid;
	if ($pid == 0)
	{
		open(STDERR, '>&', \*STDOUT);
		exec('psql', '-XAtq', '-d', $database, @arguments) or die "psql: $!\n";
	}
	my @lines = <$out>;
	close $out;
	return @lines;
}

sub new_database
{
	run_psql('postgres', '-c', 'DROP DATABASE IF EXISTS partman_test WITH (FORCE)');
	my @trouble = run_psql('postgres', '-c', 'CREATE DATABASE partman_test TEMPLATE partman_clean');
	die @trouble if @trouble;
}

# partmgr makes partitions as the owner of their parent, who needs the rights to
# do so; pg_partman makes them as whoever calls it, mostly a superuser
my $rights = <<'SQL';
DO $rights$
BEGIN
	EXECUTE (SELECT string_agg(format('GRANT ALL ON SCHEMA %I TO PUBLIC', nspname), ';') FROM pg_namespace
		WHERE nspname ~* '^partman' AND pg_has_role(current_user, nspowner, 'USAGE'));
	EXECUTE (SELECT string_agg(format('GRANT ALL ON %s TO PUBLIC', oid::regclass), ';') FROM pg_class
		WHERE relname ~* '^undo_taptest' AND relkind = 'r');
EXCEPTION WHEN null_value_not_allowed THEN	-- there is none
END
$rights$;
SQL

# the file without what makes psql stop, and with rights for the owners
sub prepared
{
	my ($path) = @_;
	my $copy = "$ENV{WORK}/partman.sql";

	open(my $in, '<', $path) or die "$path: $!\n";
	my $text = do { local $/; <$in> };
	close $in;
	$text =~ s/^\\set ON_ERROR_STOP true/\\set ON_ERROR_STOP false/mg;
	$text =~ s/^(?=SELECT (partman\.)?create_(partition|parent)\()/$rights/m;
	open(my $to, '>', $copy) or die "$copy: $!\n";
	print $to $text;
	close $to;
	return $copy;
}

# results of a file: { ok, number, text }
sub results_of
{
	my (@lines) = @_;
	my @results;
	my ($planned, $reached) = (0, 0);

	for my $line (@lines)
	{
		if ($line =~ /^(not )?ok (\d+)(?: - (.*))?$/)
		{
			push @results, { ok => !$1, number => $2, text => defined $3 ? $3 : '' };
			$reached++;
		}
		elsif ($line =~ /^1\.\.(\d+)$/)
		{
			$planned = $1;
		}
		elsif ($line =~ /^(?:psql:[^ ]* )?(?:ERROR|FATAL|PANIC): +(.*)$/)
		{
			push @results, { ok => 0, text => "error: $1" };
		}
		elsif ($line =~ /could not connect|connection to server/)
		{
			push @results, { ok => 0, text => "error: $line" };
		}
	}
	push @results, { ok => 0, text => 'plan: ' . ($planned - $reached) . ' assertions were not reached' }
		if $planned > $reached;
	push @results, { ok => 0, text => 'plan: the file has none' } if $planned == 0;
	return @results;
}

my %total = (passed => 0, failed => 0, expected => 0);

sub judge
{
	my ($version, $file, @lines) = @_;
	my %count = (passed => 0, failed => 0, expected => 0);

	for my $result (results_of(@lines))
	{
		my $deviation = deviation_of($version, $file, $result);

		if ($result->{ok})
		{
			$count{passed}++;
			$deviation->{passed}++ if $deviation;
		}
		elsif ($deviation)
		{
			$count{expected}++;
			$deviation->{failed}++;
		}
		else
		{
			$count{failed}++;
			push @{ $count{texts} }, (defined $result->{number} ? "$result->{number} - " : '') . $result->{text};
		}
	}
	printf "%-6s %-52s %4d passed %4d failed %4d expected deviations\n", $version, $file,
		@count{qw(passed failed expected)};
	print map { "       not ok: $_\n" } @{ $count{texts} || [] };
	$total{$_} += $count{$_} for qw(passed failed expected);
	if ($count{failed} && $ENV{PARTMAN_OUTPUT})
	{
		open(my $out, '>', "$ENV{PARTMAN_OUTPUT}/$version-" . ($file =~ s/\//-/gr) . '.out');
		print $out @lines;
	}
}

# ---------- all ----------

# the statements that a file asks a person to run after it
sub asked
{
	return map { /please run the following.*?: "(.*;)"/ ? $1 : () } @_;
}

# files of a folder, one after another in one database, each perhaps as a role
sub run_stages
{
	my ($version, @globs) = @_;

	new_database();
	for my $glob (@globs)
	{
		my @role = $glob =~ s/^(.*)@// ? ('-U', $1) : ();

		for my $path (sort glob("$sources/$version/test/$glob.sql"))
		{
			my @lines = run_psql('partman_test', @role, '-f', prepared($path));

			judge($version, $path =~ s/.*?\/test\/(.*)\.sql$/$1/r, @lines);
			for my $statement (asked(@lines))
			{
				print map { "       $statement: $_" }
					grep { /(ERROR|FATAL):/ } run_psql('partman_test', '-c', $statement);
			}
		}
	}
}

run_psql('postgres', '-c', 'CREATE DATABASE partman_clean');
my @trouble = grep { /ERROR|FATAL/ } run_psql('partman_clean', '-c', 'CREATE EXTENSION pgtap',
	'-c', 'CREATE SCHEMA partman', '-c', 'CREATE EXTENSION partmgr SCHEMA partman');
die @trouble if @trouble;

my @stages;
for my $line (fields("$here/stages"))
{
	my ($from, @stage) = @$line;
	push @stages, \@stage if $major >= $from;
}
for my $version (map { s/.*\///r } map { s/\/test$//r } sort glob("$sources/*/test"))
{
	for my $path (sort glob("$sources/$version/test/*.sql"))
	{
		my $name = $path =~ s/.*\/(.*)\.sql$/$1/r;

		next unless index($name, $only) == 0;
		new_database();
		judge($version, $name, run_psql('partman_test', '-f', prepared($path)));
	}
	for my $stage (@stages)
	{
		my $first = $stage->[0] =~ s/.*\///r;
		my @files = grep { -e } glob("$sources/$version/test/" . $stage->[0] =~ s/^.*@//r . '.sql');

		run_stages($version, @$stage) if @files && index($first, $only) == 0;
	}
}

print "\n";
for my $deviation (@deviations)
{
	print "deviation: $deviation->{text}: $deviation->{failed} ($deviation->{reason})\n"
		if $deviation->{failed};
	print "deviation passes, or is not needed: $deviation->{text}\n"
		if $only eq '' && !$deviation->{failed};
}
if ($ENV{PARTMGR_COUNTS})
{
	open(my $counts, '>>', $ENV{PARTMGR_COUNTS});
	printf $counts "%s pg_partman\t%d\t%d\t0\t%d expected deviations\n", $major,
		@total{qw(passed failed expected)};
}
exit($total{failed} > 0 || $total{passed} == 0 ? 1 : 0);
