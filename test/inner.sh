#!/usr/bin/env bash
#
# inner.sh BINDIR debug|release|long|assert|valgrind|partman [TEST]
#		Build partmgr and test it with the server in BINDIR, here and now.
#
# The part that is the same on the machine itself and inside a root: run.sh
# has put a copy of the source into $WORK/src, which is the current directory,
# and we are a user whom initdb accepts.  The library is installed below
# $WORK/dest and the servers are told to look there, so nothing of the system
# is touched.  Everything happens below $WORK.
#
# What test authors find:
#	pg_regress, isolation	database of their own, extension not created,
#							nothing preloaded
#	TAP						test/perl/Partmgr.pm
#	pgTAP					database pgtap: extension pgtap in public, partmgr in
#							schema partman; each file in a transaction
#
# Counts go to $WORK/counts (lib.sh); exit code 1 if anything failed.
#
set -uo pipefail
. test/lib.sh

bin=$1 mode=$2 only=${3:-}
major=$("$bin/pg_config" --version | sed -E 's/^[^0-9]*([0-9]+).*/\1/')
export PATH=$bin:$PATH PG_CONFIG=$bin/pg_config
export LC_ALL=C.UTF-8 LANG=C.UTF-8 PGHOST=$WORK PGUSER=postgres PGDATABASE=postgres
export PARTMGR_COUNTS=$WORK/counts
unset PGPORT PGSERVICE PGOPTIONS
failed=0

# Under valgrind: the same programs, but for a server that starts valgrind.  It
# finds its other files relative to itself.
if [ "$mode" = valgrind ]; then
	mkdir -p "$WORK/valgrind/logs"
	cp -R "$bin" "$WORK/valgrind/bin"
	ln -s "${bin%/bin}"/{lib,share,include} "$WORK/valgrind/"
	cat >"$WORK/valgrind/bin/postgres" <<-SCRIPT
		#!/bin/sh
		case \$1 in
			-V | -C | --*) exec $bin/postgres "\$@" ;;
		esac
		exec valgrind --quiet --suppressions=${bin%/bin}/valgrind.supp --leak-check=no --error-markers=ERROR,END \
			--fullpath-after=$WORK/src/ --log-file=$WORK/valgrind/logs/%p.log $bin/postgres "\$@"
	SCRIPT
	bin=$WORK/valgrind/bin PATH=$bin:$PATH PG_CONFIG=$bin/pg_config
fi

# ---------- what to run ----------

# pick DIR ENDING: all of a kind, or the one that was asked for; for .pl the
# beginning of the name will do
pick()
{
	local dir=$1 ending=$2 file name
	for file in "$dir"/*"$ending"; do
		name=$(basename "$file" "$ending")
		[ -e "$file" ] && [[ $name != partmgr--* ]] || continue
		if [ -z "$only" ] || [ "$name" = "$only" ] ||
			{ [ "$ending" = .pl ] && [[ $name == "$only"* ]]; }; then
			echo "$file"
		fi
	done
}

long='' tap='' pgtap='' regress='' isolation=''
if [ "$mode" = long ]; then
	long=$(pick test/long .pl)
elif [ "$mode" != partman ]; then
	regress=$(pick sql .sql)
	isolation=$(pick test/isolation/specs .spec)
	tap=$(pick test/t .pl)
	pgtap=$(pick test/pgtap .sql)
fi
if [ "$mode" = valgrind ] && [ -z "$only" ]; then
	isolation='' tap='' pgtap=''
fi
if [ "$mode" != partman ] && [ -z "$regress$isolation$tap$pgtap$long" ]; then
	echo "no test${only:+ named \"$only\"} to run" >&2
	[ -z "$only" ] || pm_count "$major $mode" 0 1 0 "no test named $only"
	exit $([ -z "$only" ] && echo 0 || echo 1)
fi

# ---------- build ----------

flags=(with_llvm=no)
case $mode in
	release) flags+=(PARTMGR_STRICT=1) ;;
	*) flags+=(PARTMGR_DEBUG=1) ;;
esac

broken()
{
	echo "$major $mode: $*" >&2
	pm_count "$major $mode" 0 1 0 "$*"
	exit 1
}

make -s -j2 "${flags[@]}" >"$WORK/build.log" 2>&1 || { cat "$WORK/build.log"; broken "does not build"; }
make -s install "${flags[@]}" DESTDIR="$WORK/dest" >>"$WORK/build.log" 2>&1 ||
	{ tail -n 20 "$WORK/build.log"; broken "does not install"; }
cat "$WORK/build.log"
# an install that left the checkout's library behind would test another one
test/check.sh --symbols partmgr.so || failed=1

# An older server beside this one is there for pg_upgrade; the tests ask
# Partmgr.pm for it.
old=/usr/lib/postgresql/15/bin
if [ "$major" -gt 15 ] && [ -x $old/postgres ] && [ -n "$tap" ]; then
	cp -R . "$WORK/src15"
	make -s -C "$WORK/src15" clean "${flags[@]}" PG_CONFIG=$old/pg_config >"$WORK/build15.log" 2>&1 &&
		make -s -j2 -C "$WORK/src15" install "${flags[@]}" PG_CONFIG=$old/pg_config DESTDIR="$WORK/dest" >>"$WORK/build15.log" 2>&1 ||
		{ cat "$WORK/build15.log"; broken "does not build for 15"; }
	export PARTMGR_OLD_BINDIR=$old PARTMGR_OLD_CONF=$WORK/extension15.conf
fi

# ---------- a server ----------

# Upstream has extension_control_path since 18; Debian's older ones have
# extension_destdir.  The library is found by bare name, too.
lead_to()
{
	local of=$1 config=$2
	if [ "$of" -ge 18 ]; then
		echo "extension_control_path = '$WORK/dest$("$config" --sharedir):\$system'"
	else
		echo "extension_destdir = '$WORK/dest'"
	fi
	echo "dynamic_library_path = '$WORK/dest$("$config" --pkglibdir):\$libdir'"
}
export PARTMGR_TEST_CONF=$WORK/extension.conf
lead_to "$major" "$PG_CONFIG" >"$PARTMGR_TEST_CONF"
[ -z "${PARTMGR_OLD_CONF:-}" ] || lead_to 15 $old/pg_config >"$PARTMGR_OLD_CONF"

initdb -D "$WORK/data" -U postgres -A trust -N --encoding=UTF8 >"$WORK/initdb.log" 2>&1 ||
	{ cat "$WORK/initdb.log"; broken "initdb failed"; }
{
	cat "$PARTMGR_TEST_CONF"
	echo "listen_addresses = ''"
	echo "unix_socket_directories = '$WORK'"
	echo "fsync = off"
	echo "max_locks_per_transaction = 128"
	echo "max_prepared_transactions = 4"
	echo "log_line_prefix = '%m [%p] %b %q%a '"
} >>"$WORK/data/postgresql.conf"
pg_ctl -D "$WORK/data" -l "$WORK/server.log" -w -s start ||
	{ tail -n 50 "$WORK/server.log"; broken "the server does not start"; }
trap 'pg_ctl -D "$WORK/data" -m immediate -s stop' EXIT

# ---------- the four kinds ----------

# report KIND STATUS PASSED FAILED SKIPPED: a run that failed without a failing
# test counts as one
report()
{
	local kind=$1 status=$2 passed=$3 bad=$4 skipped=$5
	[ "$status" = 0 ] || [ "$bad" -gt 0 ] || bad=1
	[ "$bad" = 0 ] || failed=1
	pm_count "$major $mode $kind" "$passed" "$bad" "$skipped"
}

# the results of pg_regress and of pg_isolation_regress, in 15's and in 17's form
report_regress()
{
	local kind=$1 status=$2 log=$3 dir=$4
	report "$kind" "$status" \
		"$(grep -cE '^(ok [0-9]+ |test [^ ]+ +\.\.\. ok)' "$log")" \
		"$(grep -cE '^(not ok [0-9]+ |test [^ ]+ +\.\.\. FAILED)' "$log")" 0
	[ "$status" != 0 ] || return 0
	[ ! -e "$dir/regression.diffs" ] || head -n 400 "$dir/regression.diffs"
	echo "--- last lines of the server's log"
	tail -n 50 "$WORK/server.log"
}

# the results of prove and of pg_prove, by file
report_prove()
{
	local kind=$1 status=$2 log=$3 files ok skipped
	files=$(sed -nE 's/^Files=([0-9]+),.*/\1/p' "$log" | tail -n 1)
	ok=$(grep -cE '^[^ ]+ \.+ ok$' "$log")
	skipped=$(grep -cE '^[^ ]+ \.+ skipped' "$log")
	report "$kind" "$status" "$ok" $((${files:-0} - ok - skipped)) "$skipped"
	[ "$status" != 0 ] || return 0
	if [ "$kind" = pgTAP ]; then
		echo "--- last lines of the server's log"
		tail -n 50 "$WORK/server.log"
		return
	fi
	local file
	for log in tmp_check/log/regress_log_*; do
		grep -q 'not ok\|died\|Looks like\|# Failed' "$log" 2>/dev/null || continue
		for file in "$log" "${log/regress_log_/}"_*.log; do
			[ ! -e "$file" ] || { echo "--- last lines of $file"; tail -n 50 "$file"; }
		done
	done
}

# names FILES...: without directory and ending, in one line
names()
{
	local file
	for file in "$@"; do
		file=${file##*/}
		printf '%s ' "${file%.*}"
	done
}

# installcheck WHAT=... : with everything else left out
installcheck()
{
	local what=$1 kind others=()
	for kind in REGRESS ISOLATION TAP_TESTS; do
		[ "$kind" = "${what%%=*}" ] || others+=("$kind=")
	done
	shift
	make -s installcheck "${flags[@]}" "${others[@]}" "$what" "$@" 2>&1
}

# the value of a variable of the Makefile, which knows what this build is for
variable()
{
	make -s -f Makefile -f - "${flags[@]}" print <<<"print: ; @echo \$($1)"
}

# allowed VARIABLE FILES...: those of the files that the Makefile lists there
# (a release build leaves some tests out), by name
allowed()
{
	local all name
	all=" $(variable "$1") "
	shift
	for name in $(names "$@"); do
		[[ $all != *" $name "* ]] || printf '%s ' "$name"
	done
}

# A second compiler sees other things.  Only what it says matters, and only
# once: in the release build, where there is one.  (It does not know the format
# attribute of the headers of the server.)
if [ "$mode" = release ] && [ -z "$only" ] && clang=$(command -v "$(variable CLANG)"); then
	status=0
	for file in src/*.c; do
		"$clang" -fsyntax-only $(variable WARNINGS) -Wno-ignored-attributes $("$PG_CONFIG" --cppflags) \
			-I"$("$PG_CONFIG" --includedir-server)" "$file" || status=1
	done
	report "build with clang" "$status" $((1 - status)) "$status" 0
fi

# Without its expected file a test would end the whole suite, not just fail.
for file in $regress; do
	[ -e "expected/$(basename "$file" .sql).out" ] || : >"expected/$(basename "$file" .sql).out"
done
for file in $isolation; do
	mkdir -p test/isolation/expected
	[ -e "test/isolation/expected/$(basename "$file" .spec).out" ] ||
		: >"test/isolation/expected/$(basename "$file" .spec).out"
done

if [ -n "$regress" ]; then
	list=$(allowed REGRESS $regress)
	if [ -n "$list" ]; then
		installcheck "REGRESS=$list" | tee "$WORK/regress.log"
		report_regress regress "${PIPESTATUS[0]}" "$WORK/regress.log" .
	fi
fi
if [ -n "$isolation" ]; then
	list=$(allowed ISOLATION $isolation)
	if [ -n "$list" ]; then
		installcheck "ISOLATION=$list" | tee "$WORK/isolation.log"
		report_regress isolation "${PIPESTATUS[0]}" "$WORK/isolation.log" test/isolation
	fi
fi
# TAP tests wait more than they work, so two go at once; crashes and races go alone
if [ -n "$tap$long" ]; then
	[ -n "$long" ] || export PROVE_FLAGS=-j2
	installcheck TAP_TESTS=1 "PROVE_TESTS=$(echo $tap $long)" | tee "$WORK/tap.log"
	report_prove TAP "${PIPESTATUS[0]}" "$WORK/tap.log"
fi
if [ -n "$pgtap" ]; then
	createdb pgtap &&
		psql -qX -v ON_ERROR_STOP=1 -d pgtap -c 'CREATE EXTENSION pgtap' \
			-c 'CREATE SCHEMA partman' -c 'CREATE EXTENSION partmgr SCHEMA partman' &&
		pg_prove -d pgtap $pgtap 2>&1 | tee "$WORK/pgtap.log"
	report_prove pgTAP "${PIPESTATUS[0]}" "$WORK/pgtap.log"
fi

if [ "$mode" = partman ]; then
	mkdir "$WORK/partman.out"
	PARTMAN_OUTPUT=$WORK/partman.out test/partman/run.pl "$WORK/partman" "$major" "$only"
	[ $? = 0 ] || { failed=1; grep -q 'pg_partman' "$PARTMGR_COUNTS" || pm_count "$major pg_partman" 0 1 0 "did not run"; }
fi

# judge COMPLAINT LINES: what the server has to say counts, whatever the tests said
judge()
{
	[ -n "$2" ] || return 0
	echo "$2"
	pm_count "$major $mode server" 0 1 0 "$1"
	failed=1
}

# TAP tests may kill processes, but only with signal 9.
logs=("$WORK/server.log" tmp_check/log/*.log)
judge "a server process crashed" \
	"$(grep -HE 'was terminated by signal (4|6|7|8|11)\b|PANIC:|TRAP: ' "${logs[@]}" 2>/dev/null
	grep -HE 'was terminated by signal 9\b' "$WORK/server.log")"
judge "something leaked, or wrote where it must not" \
	"$(grep -HE 'WARNING: .*(\bleak|was not closed|detected write past|problem in (alloc set|slab|Generation|Bump)|snapshot .* still active|snapshots seem to remain|missing lock |own a lock of type|left non-empty SPI stack)' \
		"${logs[@]}" 2>/dev/null)"
# our files have a path relative to the build (--fullpath-after), the server's an absolute one
[ "$mode" != valgrind ] || judge "valgrind found errors" "$(awk '
	/ ERROR$/ { text = ""; ours = 0 }
	{ text = text $0 "\n" }
	/ (at|by) 0x.* \(src\/[a-z_]+\.[ch]:/ { ours = 1 }
	/ END$/ && ours { print FILENAME ":\n" text }' "$WORK"/valgrind/logs/*.log)"
exit $failed
