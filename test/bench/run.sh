#!/usr/bin/env bash
#
# run.sh [CASE...]
#		Measure partmgr against hand-written SQL of the same end state.
#
# Builds a copy of this checkout (release build) and measures on a server of
# its own on a tmpfs; the checkout stays as it is.  Cases, in this order:
#
#	create		create_parent: 1,000 daily partitions, without and with default
#	create5000	create_parent: 5,000 hourly partitions
#	locks		5,000 hourly at the default max_locks_per_transaction
#	retire		100 and 500 of 1,000 partitions retired
#	idle		a run with nothing to do, four shapes
#	more		one more partition in 100 sets of 50
#	memory		10,000 runs in one session
#	look		list_partitions, show_partitions, partition_health_summary
#	name		show_partition_name
#	demand		partitions on demand: rows that have a partition, a first row that has
#				none, and writers on a moving frontier (a minute)
#	rewrite		rows from a default and from a table to 30 partitions, and back, beside
#				INSERT ... SELECT; what their writers notice of it; a minute of fire
#	writers		what maintenance adds to the transactions of 8 pgbench writers
#				while somebody reads for 20 s (pgbench; no medians)
#
# PARTMGR_BENCH_REPEAT: how many samples (5); PARTMGR_BENCH_ROWS: millions of rows
# that are rewritten ("1 5"); PARTMGR_BENCH_FIRE: seconds of fire (60).
#
# Without arguments, or with CASE empty, all of them: some 40 minutes.  The CPUs
# of one machine are not independent: nothing else should run meanwhile.
#
# Exit code 0: all cases ran, whether or not targets were met; 1: one did not
# run, or the two sides ended in different states.
#
set -uo pipefail
cd "$(dirname "$0")/../.."
. test/lib.sh

major=15
work=$(mktemp -d "$(pm_scratch /dev/shm)/partmgr-bench.XXXXXX")
finish()
{
	pm_stop_servers "$work"
	[ -n "${PARTMGR_KEEP:-}" ] || rm -rf "$work"
}
trap finish EXIT
trap 'exit 1' INT TERM

pm_copy_source "$work/src"
# data for the case rewrite, by the user whose npm works; who has none goes without
if [ $# = 0 ] || [[ " $* " == *" rewrite "* ]]; then
	(mkdir "$work/npm" && cd "$work/npm" && npm install --silent --no-audit --no-fund --prefix . \
		vega-datasets@3.2.1 hyparquet@1.31.5 hyparquet-compressors@1.1.2 &&
		node "$OLDPWD/test/bench/flights.mjs" "$work/npm" >"$work/flights.csv") </dev/null >/dev/null 2>"$work/npm.log" ||
		{ rm -f "$work/flights.csv"; echo "npm cannot fetch the flights" >&2; }
	rm -rf "$work/npm"
fi
enter=()
if [ "$(id -u)" = 0 ]; then
	chown -R postgres "$work"
	enter=(runuser -u postgres --)
fi
"${enter[@]}" env -i WORK="$work" HOME="$work" TMPDIR="$work" PATH=/usr/bin:/bin LC_ALL=C.UTF-8 \
	PARTMGR_BENCH_REPEAT="${PARTMGR_BENCH_REPEAT:-}" PARTMGR_BENCH_ROWS="${PARTMGR_BENCH_ROWS:-}" \
	PARTMGR_BENCH_FIRE="${PARTMGR_BENCH_FIRE:-}" \
	bash -c 'cd "$WORK/src" && exec bash test/bench/measure.sh "$@"' measure "$major" "$@" </dev/null
