# lib.sh: what the test scripts share.  To be sourced; never run.
#
# Counting: each script appends lines "label, passed, failed, skipped, reason"
# (tabs between) to the file $PARTMGR_COUNTS, if that is set, and ends with
# the plain line "N passed, N failed".

# pm_count LABEL PASSED FAILED SKIPPED [REASON]
pm_count()
{
	[ -z "${PARTMGR_COUNTS:-}" ] ||
		printf '%s\t%d\t%d\t%d\t%s\n' "$1" "$2" "$3" "$4" "${5:-}" >>"$PARTMGR_COUNTS"
}

# pm_summary FILE: a table of the counts and the total as the last line; fails
# if anything failed or nothing passed.
pm_summary()
{
	echo
	awk -F '\t' '
		{
			printf "%-28s %5d passed %4d failed%s%s\n", $1, $2, $3,
				($4 > 0 ? sprintf(" %4d skipped", $4) : ""), ($5 != "" ? "  (" $5 ")" : "")
			passed += $2; failed += $3; skipped += $4
		}
		END {
			printf "%d passed, %d failed%s\n", passed, failed,
				(skipped > 0 ? sprintf(", %d skipped", skipped) : "")
			exit (failed > 0 || passed == 0)
		}' "$1"
}

# pm_copy_source TO: the tracked and the new files of the checkout we are in,
# without what .gitignore names
pm_copy_source()
{
	mkdir -p "$1"
	if git rev-parse --is-inside-work-tree >/dev/null 2>&1; then
		# a deleted file is still listed until the deletion is committed
		git ls-files -z --cached --others --exclude-standard |
			while IFS= read -r -d '' file; do
				[ ! -e "$file" ] || printf '%s\0' "$file"
			done | tar --null -T - -cf - | tar -xf - -C "$1"
	else
		tar --exclude=./.git --exclude='*.o' --exclude='*.bc' --exclude='*.so' \
			--exclude=./results --exclude=./tmp_check -cf - . | tar -xf - -C "$1"
	fi
}

# pm_scratch DIR...: the first of them that exists, is writable and has room
# (a container's /dev/shm can be 64 MB)
pm_scratch()
{
	local dir
	for dir in "$@" "${TMPDIR:-/tmp}"; do
		if [ -d "$dir" ] && [ -w "$dir" ] &&
			[ "$(df -Pk "$dir" | awk 'NR == 2 { print $4 }')" -gt 2000000 ]; then
			echo "$dir"
			return
		fi
	done
	echo "${TMPDIR:-/tmp}"
}

# pm_stop_servers DIR: end the servers whose data directories lie in it, by the
# pids that they wrote there
pm_stop_servers()
{
	local file pid
	find "$1" -name postmaster.pid -type f 2>/dev/null | while read -r file; do
		pid=$(head -n 1 "$file")
		kill -QUIT "$pid" 2>/dev/null || true
	done
}

# pm_mirror [-security]: where the machine's own Debian packages come from
pm_mirror()
{
	. /etc/os-release
	apt-get indextargets --format '$(RELEASE) $(SITE)' 2>/dev/null |
		awk -v release="${VERSION_CODENAME:-}${1:-}" '$1 == release { print $2; exit }'
}

# pm_suites MAJOR: the Debian suites that it comes from
pm_suites()
{
	case $1 in
		15) echo bookworm ;;
		17) echo trixie ;;
		18) echo forky ;;
		19) echo sid experimental ;;
	esac
}
