#!/usr/bin/env bash
#
# partman.sh [TEST]
#		Run pg_partman's own tests against partmgr.
#
# pg_partman's source packages, one for each version that a Debian suite carries,
# are fetched at run time (as test/roots.sh gets other majors' packages: from the
# mirror that this machine's apt uses, with an apt directory of its own), and
# their pgTAP files run against partmgr in schema partman.  Nothing of pg_partman
# is kept in this repository.  What is known to come out differently, and why,
# stands in test/partman/deviations; test/partman/run.pl says how results are
# judged.
#
#	TEST				one file, by the beginning of its name
#	MAJORS				majors of PostgreSQL, "15" if not set
#	PARTMGR_PARTMAN		directory with sources that are there already, unpacked,
#						as VERSION/test/*.sql
#
# Exit code 0: no failure but the expected ones, or the sources cannot be had.
#
set -uo pipefail
cd "$(dirname "$0")/.."
. test/lib.sh

versions='5.2.4 5.5.0'
cache=${PARTMGR_CACHE:-/var/cache/partmgr}

unavailable()
{
	echo "pg_partman's tests: skipped: $*" >&2
	pm_count "pg_partman" 0 0 1 "$*"
	exit 0
}

# the private apt: lists of source packages, fetched anew once a day
apt_private()
{
	local command=$1
	shift
	"$command" -q -o "Dir::Etc::SourceList=$cache/apt/sources.list" -o Dir::Etc::SourceParts=/dev/null \
		-o "Dir::State::Lists=$cache/apt/lists" -o "Dir::Cache=$cache/apt" \
		-o APT::Sandbox::User=root -o Acquire::Languages=none -o Acquire::Check-Valid-Until=false "$@"
}

update()
{
	local site suite
	site=$(pm_mirror)
	[ -n "$site" ] || unavailable "apt names no Debian mirror on this machine"
	mkdir -p "$cache/apt/lists/partial" "$cache/apt/archives/partial" || unavailable "$cache cannot be written"
	for suite in $(pm_suites 17) $(pm_suites 18) sid; do
		echo "deb-src [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $site $suite main"
	done >"$cache/apt/sources.list"
	[ -z "$(find "$cache/apt/.updated" -mmin -1440 2>/dev/null)" ] || return 0
	apt_private apt-get update >&2 && touch "$cache/apt/.updated"
}

# fetch VERSION: unpack its source below $sources, unless it is there
fetch()
{
	local version=$1 package new
	[ ! -d "$sources/$version/test" ] || return 0
	update || return 1
	package=$(apt_private apt-cache showsrc pg-partman 2>/dev/null |
		awk -v version="$version-" '$1 == "Version:" && index($2, version) == 1 { print $2; exit }')
	[ -n "$package" ] || { echo "no suite carries pg-partman $version" >&2; return 1; }
	new=$(mktemp -d "$sources/.new.XXXXXX")
	# the tests are in upstream's archive; what Debian adds is not asked for
	(cd "$new" && apt_private apt-get source --tar-only --download-only "pg-partman=$package" >&2 &&
		mkdir files && tar -xf pg-partman_*.orig.tar.* -C files --strip-components=1) &&
		[ -d "$new/files/test" ] && mv "$new/files" "$sources/$version"
	local status=$?
	rm -rf "$new"
	return $status
}

if [ -n "${PARTMGR_PARTMAN:-}" ]; then
	sources=$PARTMGR_PARTMAN
else
	sources=$cache/partman
	mkdir -p "$sources" || unavailable "$sources cannot be written"
	for version in $versions; do
		fetch "$version" || echo "pg_partman $version: its source cannot be fetched" >&2
	done
fi
ls -d "$sources"/*/test >/dev/null 2>&1 || unavailable "no source could be fetched"

export PARTMGR_PARTMAN=$sources PARTMGR_COUNTS
own=''
[ -n "${PARTMGR_COUNTS:-}" ] || { own=$(mktemp); PARTMGR_COUNTS=$own; trap 'rm -f "$own"' EXIT; }
failed=0
for major in ${MAJORS:-15}; do
	test/run.sh --major "$major" --partman "${1:-}" || [ $? = 3 ] || failed=1
done
if [ -n "$own" ] && [ "$(echo ${MAJORS:-15} | wc -w)" -gt 1 ]; then
	pm_summary "$own" || failed=1
fi
exit "$failed"
