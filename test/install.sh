#!/usr/bin/env bash
#
# install.sh test|demo|bench|assert
#		Have the Debian packages that one of these needs.
#
# Does nothing, at once, when all are there.  Otherwise installs them, as root
# or with a sudo that asks nothing; who has neither is told the exact command.
# No database cluster is created and no server is started on the machine.
#
set -euo pipefail

server=(postgresql-15 postgresql-server-dev-15 build-essential)
tests=(postgresql-15-pgtap libtap-parser-sourcehandler-pgtap-perl libipc-run-perl)
case ${1:-} in
	test) wanted=("${server[@]}" "${tests[@]}" mmdebstrap postgresql-15-partman) ;;
	assert) wanted=("${server[@]}" "${tests[@]}" bison flex pkg-config liblz4-dev valgrind libc6-dbg) ;;
	demo) wanted=("${server[@]}")
		# npm comes with some packages of nodejs, and as one of its own
		command -v npm >/dev/null || wanted+=(nodejs npm) ;;
	bench) wanted=("${server[@]}" postgresql-15-partman) ;;
	*) echo "usage: test/install.sh test|demo|bench|assert" >&2; exit 2 ;;
esac

missing=()
for package in "${wanted[@]}"; do
	[ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" = installed ] ||
		missing+=("$package")
done
[ ${#missing[@]} -gt 0 ] || exit 0

sudo=''
if [ "$(id -u)" != 0 ]; then
	if ! sudo -n true 2>/dev/null; then
		echo "These Debian packages are missing; install them as root:" >&2
		echo "	apt-get update && apt-get install -y --no-install-recommends ${missing[*]}" >&2
		exit 1
	fi
	sudo='sudo -n'
fi

# The server's package creates and starts a cluster unless told not to.  That
# word is taken back afterwards: it is ours, not the machine's.
dropin=/etc/postgresql-common/createcluster.d/partmgr-tests.conf
if [[ " ${missing[*]} " == *" postgresql-15 "* ]]; then
	trap '$sudo rm -f "$dropin"' EXIT
	$sudo mkdir -p "${dropin%/*}"
	echo 'create_main_cluster = false' | $sudo tee "$dropin" >/dev/null
fi

apt=($sudo env DEBIAN_FRONTEND=noninteractive apt-get -q -o Dpkg::Use-Pty=0 -o DPkg::Lock::Timeout=300)
echo "installing ${missing[*]} ..." >&2
{
	"${apt[@]}" update &&
		"${apt[@]}" install -y --no-install-recommends "${missing[@]}"
} >/tmp/partmgr-install.$$ 2>&1 </dev/null || {
	tail -n 30 /tmp/partmgr-install.$$ >&2
	rm -f /tmp/partmgr-install.$$
	echo "could not install ${missing[*]}" >&2
	exit 1
}
rm -f /tmp/partmgr-install.$$
