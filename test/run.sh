#!/usr/bin/env bash
#
# run.sh [--major N] [--release|--long|--assert|--valgrind|--partman] [TEST]
#		Test a copy of this checkout on one major of PostgreSQL.
#
# Major N is the machine's own if its server and headers are installed (15),
# otherwise that of a root (test/roots.sh).  The copy, the build and the
# servers live in a temporary directory on a tmpfs; the checkout stays as it
# is.  Without TEST all four kinds run: pg_regress, isolation, TAP, pgTAP; TEST
# names one test of any kind.
#
#	--release	build without fail points and test functions, and leave out the
#				tests that need them
#	--long		the crash and race suites in test/long
#	--assert	on a server with assertions (test/assert.sh)
#	--valgrind	the same, under valgrind; without TEST only pg_regress, as it
#				takes a hundred times as long
#	--partman	pg_partman's tests, which test/partman.sh has fetched
#
# After a failure results, diffs and logs are in ${TMPDIR:-/tmp}/partmgr-results/N.
# Exit code 0: all passed; 1: something failed; 3: this major cannot be had
# (the reason is on standard error).
#
set -uo pipefail
cd "$(dirname "$0")/.."
. test/lib.sh

major='' mode=debug only=''
while [ $# -gt 0 ]; do
	case $1 in
		--major) major=$2; shift ;;
		--release) mode=release ;;
		--long) mode=long ;;
		--assert) mode=assert ;;
		--valgrind) mode=valgrind ;;
		--partman) mode=partman ;;
		-*) sed -n '3,/^set /p' "$0" | grep '^#' >&2; exit 2 ;;
		*) only=$1 ;;
	esac
	shift
done
# a hanging test must not take the whole run along
limit=900 patience=60
case $mode in
	long | assert | partman) limit=2400 ;;
	valgrind) limit=7200 patience=600 ;;
esac
limit=${PARTMGR_TIMEOUT:-$limit}

sudo=''
[ "$(id -u)" = 0 ] || { sudo -n true 2>/dev/null && sudo='sudo -n'; }

skipped()
{
	echo "PostgreSQL $major: skipped: $*" >&2
	pm_count "$major $mode" 0 0 1 "$*"
	exit 3
}

# ---------- where, and as whom ----------

# ask SCRIPT [MAJOR]: where its server is; if it has none, that is all
ask()
{
	local reason status
	reason=$(mktemp)
	answer=$($sudo "$@" 2> >(tee "$reason" >&2))
	status=$?
	reason=$(tail -n 1 "$reason"; rm -f "$reason")
	[ "$status" != 3 ] || skipped "$reason"
	[ "$status" = 0 ] || { pm_count "$major $mode" 0 1 0 "$1 failed"; exit 1; }
}

case $mode in
	assert | valgrind)
		ask test/assert.sh $major
		bin=$answer
		major=$("$bin/pg_config" --version | sed -E 's/^[^0-9]*([0-9]+).*/\1/') ;;
	*) bin=/usr/lib/postgresql/${major:=15}/bin ;;
esac

root=''
if [ -x "$bin/postgres" ] && [ -d "$("$bin/pg_config" --includedir-server 2>/dev/null)" ]; then
	work=$(mktemp -d "$(pm_scratch /dev/shm)/partmgr-$major.XXXXXX")
	owner=$(id -un)
	enter=()
	if [ "$owner" = root ]; then
		owner=postgres
		enter=(runuser -u postgres --)
	fi
else
	[ "$(id -u)" = 0 ] || [ -n "$sudo" ] || skipped "a root needs root"
	ask test/roots.sh "$major"
	root=$answer
	work=$($sudo mktemp -d "$root/dev/shm/partmgr-$major.XXXXXX")
	owner=$($sudo chroot "$root" id -u postgres)
	enter=($sudo chroot --userspec=postgres:postgres "$root")
fi

inner='' small=''
finish()
{
	[ -z "$inner" ] || kill "$inner" 2>/dev/null
	pm_stop_servers "$work"
	[ -z "$small" ] || $sudo umount -l "$work/small"
	[ -n "${PARTMGR_KEEP:-}" ] || $sudo rm -rf "$work"
}
trap finish EXIT
trap 'exit 1' INT TERM

pm_copy_source "$work/.new" 2>/dev/null ||
	{ copy=$(mktemp -d); pm_copy_source "$copy"; $sudo cp -a "$copy" "$work/.new"; rm -rf "$copy"; }
$sudo mv "$work/.new" "$work/src"
[ "$owner" = "$(id -un)" ] || $sudo chown -R "$owner" "$work"

[ "$mode" != partman ] || { $sudo cp -R "$PARTMGR_PARTMAN" "$work/partman" && $sudo chmod -R a+rX "$work/partman"; }

# a disk that a test can fill; where none can be mounted it says so
if [ "$mode" = long ]; then
	$sudo mkdir "$work/small"
	if $sudo mount -t tmpfs -o size=4m,mode=777 partmgr-small "$work/small" 2>/dev/null; then
		small=${work#"$root"}/small
	fi
fi

# ---------- run ----------

inside=${work#"$root"}
echo "== PostgreSQL $major, $mode build${only:+, $only}"
timeout --kill-after=30 "$limit" "${enter[@]}" env -i WORK="$inside" HOME="$inside" TMPDIR="$inside" \
	PARTMGR_SMALL_DISK="$small" \
	PATH="/usr/bin:/bin" PG_TEST_TIMEOUT_DEFAULT="${PG_TEST_TIMEOUT_DEFAULT:-$patience}" \
	bash -c 'cd "$WORK/src" && exec bash test/inner.sh "$@"' inner "$bin" "$mode" "$only" </dev/null &
inner=$!
# waited for in a way that an interrupt can end
wait "$inner"
status=$?
inner=''
if [ "$status" -ge 124 ]; then
	echo "PostgreSQL $major: stopped after $limit seconds" >&2
	echo "$major $mode	0	1	0	stopped after $limit seconds" | $sudo tee -a "$work/counts" >/dev/null
fi

if [ "$status" != 0 ]; then
	results=${TMPDIR:-/tmp}/partmgr-results/$major
	rm -rf "$results"
	mkdir -p "$results"
	for thing in src/results src/regression.diffs src/test/isolation/results \
		partman.out src/test/isolation/output_iso src/test/isolation/regression.diffs src/tmp_check/log server.log valgrind/logs; do
		[ ! -e "$work/$thing" ] || { mkdir -p "$results/$(dirname "$thing")"; cp -R "$work/$thing" "$results/$thing"; }
	done
	echo "results, diffs and logs are in $results"
fi
[ -e "$work/counts" ] || exit "$status"
[ -z "${PARTMGR_COUNTS:-}" ] || cat "$work/counts" >>"$PARTMGR_COUNTS"
pm_summary "$work/counts" || status=1
exit "$status"
