#!/usr/bin/env bash
#
# assert.sh [NN]
#		Have a PostgreSQL NN with assertions, print the directory of its programs.
#
# Debian's servers are built without assertions.  This one has them, and so
# memory contexts that check themselves and clobber what is freed, and it tells
# valgrind what it allocates.  NN is 18 unless named, or 15 if 18's source cannot
# be had.
#
# $PARTMGR_ASSERT is a directory other than /var/cache/partmgr/assert for them,
# $PARTMGR_ASSERT_FLAGS more for the compiler: with -DRELCACHE_FORCE_RELEASE
# -DCATCACHE_FORCE_RELEASE a server forgets catalog entries as soon as nobody
# holds them.  The tests pass on such a one, too, but take six times as long.
#
# The first call builds it from Debian's source package (some minutes, 0.2 GB);
# later calls find it ready.  The mirror is the one that this machine's apt
# uses; nothing here touches the machine's own packages or apt's lists.  What
# is missing for the build is said by test/install.sh.  Exit code 3: the source
# cannot be had here (the reason is on standard error).
#
set -euo pipefail
cd "$(dirname "$0")/.."
. test/lib.sh

servers=${PARTMGR_ASSERT:-/var/cache/partmgr/assert}

# a server that lacks something gets a new number, and is built again
edition=2

# fetch MAJOR: unpack the source below the current directory, with Debian's
# patches (extension_destdir of 15 is one)
fetch()
{
	local site suite apt
	site=$(pm_mirror)
	[ -n "$site" ] || { echo "apt names no Debian mirror on this machine" >&2; return 1; }
	mkdir -p lists/partial
	for suite in $(pm_suites "$1"); do
		echo "deb-src $site $suite main"
	done >sources.list
	apt=(apt-get -q -o Dir::Etc::SourceList="$PWD/sources.list" -o Dir::Etc::SourceParts=/dev/null
		-o Dir::State::Lists="$PWD/lists" -o Dir::Cache::pkgcache='' -o Dir::Cache::srcpkgcache=''
		-o Acquire::Check-Valid-Until=false -o APT::Sandbox::User=root)
	"${apt[@]}" update && "${apt[@]}" source "postgresql-$1"
}

# Debian's patches have a server whose prefix lacks the word postgres put its
# libraries into /usr/lib/postgresql.
prefix=$servers/postgresql

# build MAJOR: what nothing of ours is about (ICU, readline, zlib) stays out
build()
{
	local to=$prefix-$1 flags=${PARTMGR_ASSERT_FLAGS:-}
	[ ! -e /usr/include/valgrind/memcheck.h ] || flags+=" -DUSE_VALGRIND"

	work=$(mktemp -d "$(pm_scratch /dev/shm)/partmgr-assert.XXXXXX")
	trap 'rm -rf "$work"' EXIT
	echo "building PostgreSQL $1 with assertions in $to ..." >&2
	(cd "$work" && fetch "$1") >"$work/log" 2>&1 ||
		{ tail -n 5 "$work/log" >&2; echo "PostgreSQL $1: its source cannot be had" >&2; return 3; }
	rm -rf "$to"
	(
		# its Makefiles generate headers only in a make that no other make has called
		unset MAKELEVEL MAKEFLAGS MFLAGS
		cd "$work/postgresql-$1"*/ &&
			./configure --prefix="$to" --enable-cassert --enable-debug --enable-tap-tests \
				--without-readline --without-zlib --with-lz4 $([ "$1" -lt 16 ] || echo --without-icu) \
				CFLAGS='-O1 -g -fno-omit-frame-pointer' CPPFLAGS="$flags" &&
			make -s -j2 && make -s -j2 -C contrib && make -s install && make -s -C contrib install &&
			cp src/tools/valgrind.supp "$to/"
	) >"$work/log" 2>&1 </dev/null ||
		{ tail -n 30 "$work/log" >&2; echo "PostgreSQL $1 does not build" >&2; return 1; }
	# pgTAP is pure SQL
	cp /usr/share/postgresql/*/extension/pgtap* "$("$to/bin/pg_config" --sharedir)/extension/" 2>/dev/null || true
	echo "$edition" >"$to/.partmgr-assert"
}

mkdir -p "$servers"
[ $# -gt 0 ] || set -- 18 15
for major in "$@"; do
	status=0
	exec 9>"$servers/.lock.$major"
	flock 9
	[ "$(cat "$prefix-$major/.partmgr-assert" 2>/dev/null)" = "$edition" ] ||
		build "$major" || status=$?
	if [ "$status" = 0 ]; then
		echo "$prefix-$major/bin"
		exit 0
	fi
	[ "$status" = 3 ] || break
done
exit "$status"
