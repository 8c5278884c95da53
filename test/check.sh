#!/usr/bin/env bash
#
# check.sh				what can be seen without a server: layers, metadata, expected files
# check.sh --symbols LIBRARY	what a built library exports
#
# Each check is a grep with a name; it prints the offending lines.  The layers
# are those of src/README.md.  A line that must break a rule says so itself,
# with a comment "check.sh: NAME of the check, and why".
#
set -uo pipefail
passed=0 failed=0

# verdict NAME LINES: the check has passed if there are no lines
verdict()
{
	local lines
	lines=$(grep -vF "check.sh: $1" <<<"$2" | grep -v '^$')
	if [ -z "$lines" ]; then
		passed=$((passed + 1))
	else
		failed=$((failed + 1))
		printf 'check "%s":\n%s\n' "$1" "$lines"
	fi
}

# PostgreSQL 18 and later export the module's magic block as Pg_magic_func
if [ "${1:-}" = --symbols ]; then
	verdict symbols "$(nm -D --defined-only "${2:?check.sh --symbols LIBRARY}" |
		grep -vE ' (partmgr_[a-z0-9_]+|pm_[a-z0-9_]+|pg_finfo_partmgr_[a-z0-9_]+|Pg_magic_func|_PG_init)$')"
	exit $((failed > 0))
fi

cd "$(dirname "$0")/.."
. test/lib.sh

# code FILES...: "file:line:text" without comments and without the contents of
# strings, so that a word in a sentence or in a message is not a call
code()
{
	[ $# -gt 0 ] && [ -e "$1" ] || return 0
	awk '
		FNR == 1 { inside = 0 }
		{
			line = $0; out = ""
			while (line != "")
			{
				if (inside)
				{
					end = index(line, "*/")
					if (!end)
						break
					line = substr(line, end + 2); inside = 0
				}
				else if (match(line, /^"([^"\\]|\\.)*"/))
				{
					out = out "\"\""; line = substr(line, RLENGTH + 1)
				}
				else if (substr(line, 1, 2) == "/*")
				{
					inside = 1; line = substr(line, 3)
				}
				else
				{
					out = out substr(line, 1, 1); line = substr(line, 2)
				}
			}
			# a rule broken on purpose keeps its note
			if (match($0, /check\.sh: .*/))
				out = out " " substr($0, RSTART)
			if (out ~ /[^ \t]/)
				print FILENAME ":" FNR ":" out
		}' "$@"
}

shopt -s nullglob
sources=(src/*.c)
files=(src/*.c src/*.h)
pure='^src/(plan|key|name)[a-z_]*\.[ch]:'
code=$(code "${files[@]}")
# what is in strings: SQL and DDL text; comment lines left out
text=$(grep -nE '"' "${files[@]}" /dev/null | grep -vE '^[^:]+:[0-9]+:[[:space:]]*(/?\*|//)')

# ---------- layers ----------

verdict "SPI only in spi.c" "$(grep -E '\bSPI_[a-z_]+ *\(|"executor/spi\.h"' <<<"$code" | grep -v '^src/spi\.c:')
$(grep -F '#include "executor/spi.h"' "${sources[@]}" /dev/null | grep -v '^src/spi\.c:')"

verdict "our tables only in the files that keep them" "$(grep -E '(FROM|JOIN|INTO|UPDATE|TABLE)[ %a-z.\\"]+part_(config|state|log|detached|hold|upkeep|job|rewrite|config_sub)\b' <<<"$text" |
	grep -vE '^src/(config|config_read|state|mark|upkeep|job|rewrite_state)\.c:')"

verdict "transactions only in the worker" "$(grep -E '\b(StartTransactionCommand|CommitTransactionCommand)\b' <<<"$code" |
	grep -vE '^src/(worker|launcher|toplevel)\.c:')"

# template.c reads from the catalogs what a new partition needs beside LIKE,
# rewrite_table.c what a table needs that replaces another one
verdict "DDL text only in ddl*.c and template.c" "$(grep -E '"[^"]*\b(CREATE TABLE|ALTER TABLE|DROP TABLE|ATTACH PARTITION|DETACH PARTITION)\b' <<<"$text" |
	grep -vE '^src/(ddl|ddl_upkeep|ddl_rewrite|ddl_partman|template|template_table|rewrite_table)\.c:|err(msg|detail|hint|context)|_\("|"[a-z].*: run ')"

verdict "pure files know no database, clock or setting" "$(grep -E 'GetCurrent|GetNow|\btime\(|table_open|relation_open|SearchSysCache|session_timezone|\b(DateStyle|DateOrder|IntervalStyle)\b|ereport\(' <<<"$code" |
	grep -E "$pure")
$(grep -nE '#include "(executor|catalog/(pg_class|indexing|namespace)|commands|utils/(guc|snapmgr|syscache|lsyscache|rel|relcache)|access/(xact|table|relation))' "${sources[@]}" /dev/null |
	grep -E "$pure")"

verdict "version tests only in compat.h" "$(grep -E 'PG_VERSION_NUM|PG_MAJORVERSION_NUM' <<<"$code" | grep -v '^src/compat\.h:')"

# ---------- how we write ----------

verdict "errors have an errcode" "$([ ${#sources[@]} = 0 ] || awk '
	FNR == 1 { pending = "" }
	/ereport\((ERROR|FATAL|PANIC)/ { pending = FILENAME ":" FNR ": " $0; left = 5 }
	pending != "" && /errcode/ { pending = "" }
	pending != "" && --left == 0 { print pending; pending = "" }' "${sources[@]}")"

verdict "no unfinished work" "$(grep -rnE '\b(TODO|FIXME)\b|[^_]\bstub(bed)?\b|not (yet )?implemented' src sql Makefile README.md \
	test --include='*.[chl]' --include='*.sql' --include='*.sh' --include='*.p[lm]' --include='*.md' --include=Makefile 2>/dev/null |
	grep -vE '^test/check\.sh:')"

verdict "files have a header comment" "$(for file in "${files[@]}"; do
	[ "$(head -c 3 "$file")" = '/*-' ] && sed -n 3p "$file" | grep -qF " * ${file##*/}" || echo "$file: no header comment with its name"
done)"

verdict "files stay short" "$([ ${#files[@]} = 0 ] || wc -l "${files[@]}" | awk '$2 != "total" && $1 > 650 { print $2 ": " $1 " lines" }')"

# ---------- tests ----------

verdict "expected files hold no accident" "$(grep -rnE 'setup failed|server closed the connection|connection to server was lost' expected test/isolation/expected 2>/dev/null)"

verdict "every test has its expected file" "$(
	for file in sql/*.sql; do
		name=$(basename "$file" .sql)
		[[ $name == partmgr--* ]] || [ -e "expected/$name.out" ] || echo "$file: no expected/$name.out"
	done
	for file in test/isolation/specs/*.spec; do
		name=$(basename "$file" .spec)
		[ -e "test/isolation/expected/$name.out" ] || echo "$file: no test/isolation/expected/$name.out"
	done
	for file in expected/*.out; do
		[ -e "sql/$(basename "$file" .out).sql" ] || echo "$file: no test of that name"
	done
	for file in test/isolation/expected/*.out; do
		[ -e "test/isolation/specs/$(basename "$file" .out).spec" ] || echo "$file: no test of that name"
	done)"

verdict "scripts are bash that parses" "$(for file in test/*.sh test/*/*.sh .ci/run; do bash -n "$file" 2>&1; done)"

verdict "no address of a package registry" "$(grep -rnIE 'https?://(deb|security|registry)[.]' --exclude-dir=.git --exclude=check.sh . 2>/dev/null)"

# ---------- metadata ----------

verdict META.json "$(perl -MJSON::PP -e '
	my ($file, $control) = @ARGV;
	my ($text, $meta);
	{ local $/; open my $in, "<", $file or do { print "$file: $!\n"; exit }; $text = <$in>; }
	eval { $meta = JSON::PP->new->utf8->decode($text); 1 } or do { print "$file: $@"; exit };
	open my $in, "<", $control or do { print "$control: $!\n"; exit };
	my ($version) = map { /^default_version\s*=\s*.([0-9.]+)/ ? $1 : () } <$in>;
	for (qw(name version abstract maintainer license provides meta-spec)) {
		print "$file: no $_\n" unless defined $meta->{$_};
	}
	my $semver = qr/^\d+\.\d+\.\d+$/;
	print "$file: version is no x.y.z\n" unless $meta->{version} =~ $semver;
	print "$file: meta-spec is not 1.0.0\n" unless ($meta->{"meta-spec"}{version} // "") eq "1.0.0";
	print "$file: license is not postgresql\n" unless $meta->{license} eq "postgresql";
	while (my ($name, $it) = each %{ $meta->{provides} }) {
		for (qw(file version)) {
			print "$file: provides $name has no $_\n" unless defined $it->{$_};
		}
		for (grep { defined } @$it{qw(file docfile)}) {
			print "$file: provides $name names $_, which is not there\n" unless -e $_;
		}
		print "$file: provides $name: version is no x.y.z\n" unless $it->{version} =~ $semver;
	}
	print "$file: no partmgr in provides\n" unless $meta->{provides}{partmgr};
	print "$file says $meta->{version}, $control says $version\n"
		unless $meta->{version} =~ /^\Q$version\E\.\d+$/;
	print "$file says $meta->{provides}{partmgr}{version}, $control says $version\n"
		unless $meta->{provides}{partmgr}{version} =~ /^\Q$version\E\.\d+$/;
' META.json partmgr.control 2>&1)"

version=$(sed -nE "s/^default_version *= *'([^']+)'.*/\1/p" partmgr.control)
verdict "one version" "$([ -e "sql/partmgr--$version.sql" ] || echo "partmgr.control says $version, but there is no sql/partmgr--$version.sql"
	grep -qF "\"$version\"" <<<"$(grep -F PARTMGR_SQL_VERSION src/partmgr.h)" || echo "src/partmgr.h: PARTMGR_SQL_VERSION is not $version"
	grep -qE "^## $version\.[0-9]+( |$)" CHANGELOG.md || echo "CHANGELOG.md has no section for $version.x")"

pm_count check "$passed" "$failed" 0
echo "$passed passed, $failed failed"
exit $((failed > 0))
