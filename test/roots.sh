#!/usr/bin/env bash
#
# roots.sh NN
#		Have a root directory with PostgreSQL NN (17, 18 or 19), print its path.
#
# The first call builds it with mmdebstrap from the Debian suite that carries
# that major (about half a minute, 0.6 GB); later calls find it ready.  A root
# has server, headers, pgTAP, pg_partman and what the TAP modules need, no cluster, and no
# partmgr: test/majors.sh brings that in.  proc and a tmpfs on dev/shm are
# mounted if they are not, and stay mounted.  On a bookworm machine the root of
# 17 has 15's server and headers as well, for pg_upgrade.
#
# The mirror is the one that this machine's apt uses, with the security archive
# if it uses that, too: minor releases of the same day belong together (since
# 15.20 and 17.12 the servers keep a version with each column, which an older
# pg_dump hands on to servers that do not know it).  Nothing here touches the
# machine's own packages; what is missing for the build is said by
# test/install.sh.  Exit code 3: this major cannot be had here (the reason is
# on standard error).
#
set -euo pipefail
cd "$(dirname "$0")/.."
. test/lib.sh

major=${1:?usage: test/roots.sh 17|18|19}
roots=${PARTMGR_ROOTS:-/var/cache/partmgr/roots}
root=$roots/$major

# a root that lacks something gets a new number, and is built again
edition=3
[ "$major" != 17 ] || edition=4

unavailable()
{
	echo "PostgreSQL $major: $*" >&2
	exit 3
}

# mmdebstrap takes the keys from here: the suites are signed by several
keyring=/usr/share/keyrings

build()
{
	local site security new=$roots/.new.$major.$$
	local suites setup=()

	command -v mmdebstrap >/dev/null || unavailable "mmdebstrap is not installed"
	site=$(pm_mirror)
	[ -n "$site" ] || unavailable "apt names no Debian mirror on this machine"
	security=$(pm_mirror -security)

	suites=$(pm_suites "$major")
	[ -n "$suites" ] || unavailable "no Debian suite known for it"

	# The server's packages create and start a cluster unless told not to.
	setup+=(--setup-hook='mkdir -p "$1/etc/postgresql-common/createcluster.d" "$1/etc/apt/preferences.d"'
		--setup-hook='echo "create_main_cluster = false" >"$1/etc/postgresql-common/createcluster.d/partmgr.conf"')
	if [ "$major" = 19 ]; then
		setup+=(--setup-hook='printf "Package: *postgresql*19* libpq* postgresql-common* postgresql-client-common*\nPin: release a=experimental\nPin-Priority: 990\n" >"$1/etc/apt/preferences.d/partmgr"')
	fi

	# The headers' package wants clang and LLVM for bitcode; the files do
	# without.  pgTAP for 19 is not packaged, but 18's is pure SQL.
	local unpack='set -e; cd "$1/tmp"
		chroot "$1" sh -c "cd /tmp && apt-get download postgresql-server-dev-'$major' '$([ "$major" = 19 ] && echo postgresql-18-pgtap)'"
		# of pg_partman the files do as well; not every major has it
		chroot "$1" sh -c "cd /tmp && apt-get download postgresql-'$major'-partman" || true
		for deb in *.deb; do dpkg -x "$deb" "$1"; rm "$deb"; done
		if [ ! -e "$1/usr/share/postgresql/'$major'/extension/pgtap.control" ]; then
			cp "$1"/usr/share/postgresql/18/extension/pgtap* "$1/usr/share/postgresql/'$major'/extension/"
		fi'

	local packages="postgresql-$major,gcc,make,libc6-dev,libtap-parser-sourcehandler-pgtap-perl,libipc-run-perl"
	[ "$major" = 19 ] || packages+=",postgresql-$major-pgtap"

	# 15 is this machine's: its files go in beside 17, with the libraries that
	# trixie has no more; the other libraries are trixie's own
	local old=''
	if [ "$major" = 17 ] && (. /etc/os-release && [ "${VERSION_CODENAME:-}" = bookworm ]); then
		packages+=",libgnutls30t64,libsasl2-2"
		old=$(mktemp -d)
		(cd "$old" && apt-get -q download postgresql-15 postgresql-client-15 \
			postgresql-server-dev-15 libicu72 libldap-2.5-0 >&2) ||
			unavailable "apt cannot download the packages of 15"
	fi

	mkdir -p "$roots"
	echo "building $root from $suites ..." >&2
	rm -rf "$new"
	for suite in $suites; do
		echo "deb $site $suite main"
		# the others are not released, and get their fixes by themselves
		[ "$suite" != trixie ] || [ -z "$security" ] || echo "deb $security $suite-security main"
	done | mmdebstrap --quiet --variant=minbase --keyring="$keyring" \
		--include="$packages" \
		--aptopt='Acquire::Check-Valid-Until "false"' \
		--aptopt='Apt::Install-Recommends "false"' \
		--dpkgopt=force-unsafe-io \
		--dpkgopt='path-exclude=/usr/share/doc/*' \
		--dpkgopt='path-exclude=/usr/share/man/*' \
		--dpkgopt='path-exclude=/usr/share/locale/*' \
		"${setup[@]}" --customize-hook="$unpack" \
		"${suites%% *}" "$new" - >&2 || { rm -rf "$new"; unavailable "mmdebstrap failed"; }
	if [ -n "$old" ]; then
		for deb in "$old"/*.deb; do
			dpkg -x "$deb" "$old/files"
		done
		(cd "$old/files" && tar -cf - usr/*/postgresql/15 usr/lib/x86_64-linux-gnu/lib{icu,ldap,lber}*.so.*) |
			tar -xf - -C "$new"
		rm -rf "$old"
	fi
	echo "$edition" >"$new/.partmgr-root"
	rm -rf --one-file-system "$root"
	mv "$new" "$root"
}

# mount TYPE PLACE OPTIONS, unless it is mounted
have_mount()
{
	mountpoint -q "$2" || mount -t "$1" -o "$3" "$1" "$2"
}

[ "$(id -u)" = 0 ] || unavailable "building and entering its root needs root"
mkdir -p "$roots"
exec 9>"$roots/.lock.$major"
flock 9
if [ "$(cat "$root/.partmgr-root" 2>/dev/null)" != "$edition" ]; then
	for place in proc dev/shm; do
		! mountpoint -q "$root/$place" || umount "$root/$place" ||
			unavailable "$root is out of date, but in use"
	done
	build
fi
mkdir -p "$root/dev/shm"
have_mount proc "$root/proc" nosuid,nodev,noexec
have_mount tmpfs "$root/dev/shm" mode=1777
for device in null:3 zero:5 random:8 urandom:9; do
	[ -e "$root/dev/${device%:*}" ] || mknod -m 666 "$root/dev/${device%:*}" c 1 "${device#*:}"
done
echo "$root"
