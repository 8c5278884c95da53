#!/usr/bin/env bash
#
# majors.sh [N...]
#		What can be seen in the source, then all tests on one major after the
#		other: 15, 17, 18 and 19 unless named.
#
# On 15 the release build is tested, too.  A major that cannot be had here is
# counted as skipped, with the reason; the last line is the total.
#
set -uo pipefail
cd "$(dirname "$0")/.."
. test/lib.sh

[ $# -gt 0 ] || set -- 15 17 18 19

all=${PARTMGR_COUNTS:-}
export PARTMGR_COUNTS
PARTMGR_COUNTS=$(mktemp)
trap 'rm -f "$PARTMGR_COUNTS"' EXIT

echo "== the source"
test/check.sh
for major in "$@"; do
	SECONDS=0
	test/run.sh --major "$major"
	[ "$major" != 15 ] || test/run.sh --major "$major" --release
	echo "== PostgreSQL $major took $SECONDS seconds"
done

[ -z "$all" ] || cat "$PARTMGR_COUNTS" >>"$all"
pm_summary "$PARTMGR_COUNTS"
