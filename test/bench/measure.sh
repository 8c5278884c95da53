#!/usr/bin/env bash
#
# measure.sh MAJOR [CASE...]
#		The measurements themselves; run.sh has put us into a copy of the source,
#		as a user whom initdb accepts.
#
# How: every measurement is one statement in a fresh session, timed by psql.
# Statements that change something run in a fresh copy of a prepared database,
# so that none sees the dead catalog rows of another.  The two sides take
# turns, and medians are compared.  pg_partman is measured where it is
# installed, once where it takes long.
#
set -uo pipefail
. test/lib.sh

major=$1
shift
bin=/usr/lib/postgresql/$major/bin
export PATH=$bin:$PATH PG_CONFIG=$bin/pg_config PGHOST=$WORK PGUSER=postgres PGDATABASE=postgres
export PGOPTIONS='-c client_min_messages=warning'
repeat=${PARTMGR_BENCH_REPEAT:-5}
samples=$WORK/samples
here=test/bench
failed=0
mkdir -p "$samples"

die()
{
	echo "$*" >&2
	exit 1
}

# ---------- a server ----------

build()
{
	make -s -j2 with_llvm=no >"$WORK/build.log" 2>&1 &&
		make -s install with_llvm=no DESTDIR="$WORK/dest" >>"$WORK/build.log" 2>&1 ||
		{ cat "$WORK/build.log"; die "does not build"; }
	initdb -D "$WORK/data" -U postgres -A trust -N --encoding=UTF8 >"$WORK/initdb.log" 2>&1 ||
		{ cat "$WORK/initdb.log"; die "initdb failed"; }
	cat >>"$WORK/data/postgresql.conf" <<-CONF
		extension_destdir = '$WORK/dest'
		dynamic_library_path = '$WORK/dest$("$PG_CONFIG" --pkglibdir):\$libdir'
		listen_addresses = ''
		unix_socket_directories = '$WORK'
		timezone = 'UTC'
		fsync = off
		synchronous_commit = off
		shared_buffers = 1GB
		max_wal_size = 8GB
		autovacuum = off
	CONF
}

# start LOCKS [OPTIONS]: with so many max_locks_per_transaction
start()
{
	[ ! -e "$WORK/data/postmaster.pid" ] || pg_ctl -D "$WORK/data" -m fast -w -s stop
	pg_ctl -D "$WORK/data" -l "$WORK/server.log" -o "-c max_locks_per_transaction=$1 ${2:-}" -w -s start ||
		{ tail -n 50 "$WORK/server.log"; die "the server does not start"; }
}

# sql DATABASE TEXT: not timed
sql()
{
	psql -qXAt -v ON_ERROR_STOP=1 -d "$1" -c "$2"
}

# copy FROM TO: a fresh copy of a database, with its relation cache file
copy()
{
	sql postgres "DROP DATABASE IF EXISTS $2 WITH (FORCE)" &&
		sql postgres "CREATE DATABASE $2 TEMPLATE $1 STRATEGY file_copy" &&
		sql "$2" "SELECT count(*) FROM pg_class" >/dev/null
}

# ---------- samples ----------

# sample LABEL SIDE DATABASE TEXT: time one statement in a fresh session.
# "file:NAME" takes it from a file beside this one.
sample()
{
	local label=$1 side=$2 database=$3 text=$4 times
	case $text in file:*) text=$(cat "$here/${text#file:}") ;; esac
	times=$(printf '\\o /dev/null\n\\timing on\n%s\n' "$text" |
		psql -qXAt -v ON_ERROR_STOP=1 -d "$database" 2>"$WORK/stderr") || {
		cat "$WORK/stderr" >&2
		echo "$label, $side: failed" >&2
		failed=1
		return 1
	}
	sed -nE 's/^Time: ([0-9.]+) ms.*/\1/p' <<<"$times" | tail -n 1 >>"$samples/$label.$side"
}

median()
{
	sort -g "$samples/$1.$2" 2>/dev/null |
		awk '{ v[NR] = $1 } END { if (NR) print NR % 2 ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2 }'
}

# same LABEL DATABASE: both sides of a case must end in the same state
same()
{
	local state
	state=$(sql "$2" "SELECT hand.state('public.t')")
	if [ ! -e "$samples/$1.state" ]; then
		echo "$state" >"$samples/$1.state"
	elif [ "$state" != "$(cat "$samples/$1.state")" ]; then
		echo "$1: the sides end in different states:" >&2
		printf '%s\n%s\n' "$(cat "$samples/$1.state")" "$state" >&2
		failed=1
	fi
}

header()
{
	printf '%-34s %10s %10s %6s %-14s %s\n' case partmgr 'by hand' ratio target 'pg_partman'
}

# report LABEL TARGET WAY...: the median of partmgr against that of the fastest
# way by hand; the other ways and pg_partman beside it
report()
{
	local label=$1 target=$2 way best='' others='' ours hand partman
	shift 2
	ours=$(median "$label" partmgr)
	for way in "$@"; do
		hand=$(median "$label" "$way")
		[ -n "$hand" ] || continue
		others+="${others:+, }$way $hand"
		if [ -z "$best" ] || awk "BEGIN { exit !($hand < $best) }"; then best=$hand; fi
	done
	partman=$(median "$label" pg_partman)
	if [ -z "$ours" ] || [ -z "$best" ]; then
		printf '%-34s not measured\n' "$label"
		failed=1
		return
	fi
	awk -v label="$label" -v ours="$ours" -v hand="$best" -v target="$target" -v partman="${partman:-0}" 'BEGIN {
		ratio = ours / hand
		printf "%-34s %10.1f %10.1f %6.2f %-14s %s\n", label, ours, hand, ratio,
			target " " (sprintf("%.2f", ratio) + 0 <= target ? "met" : "MISSED"),
			partman ? sprintf("%.1f (%.1f)", partman, partman / hand) : "-" }' | tee -a "$WORK/report"
	[ $# = 1 ] || printf '    by hand: %s\n' "$others"
	# PARTITION OF is not a way, it takes a stronger lock; but it is what we aim at
	[ ! -e "$samples/$label.partition of" ] ||
		awk -v a="$ours" -v b="$(median "$label" 'partition of')" \
			'BEGIN { printf "    PARTITION OF %.1f, ratio %.2f\n", b, a / b }'
}

# ---------- prepared databases ----------

have_partman=''

prepare()
{
	sql postgres 'CREATE DATABASE base' &&
		psql -qX -v ON_ERROR_STOP=1 -d base -f "$here/hand.sql" &&
		sql base 'CREATE EXTENSION partmgr' || die "cannot prepare a database"
	if [ -e "$("$PG_CONFIG" --sharedir)/extension/pg_partman.control" ]; then
		sql base 'CREATE SCHEMA partman; CREATE EXTENSION pg_partman SCHEMA partman' && have_partman=1
	fi
	sql base "CALL hand.make_parent('t')"
	sql base 'VACUUM ANALYZE'
}

# sets DATABASE SETS PARTITIONS: daily sets that want nothing, both extensions'
sets()
{
	local database=$1 count=$2 partitions=$3 name
	copy base "$database"
	for ((i = 1; i <= count; i++)); do
		name=$([ "$count" = 1 ] && echo t || echo "t$i")
		[ "$name" = t ] || echo "CALL hand.make_parent('$name');"
		echo "CALL hand.make_partitions('attach', '$name', current_date - $((partitions - 5)), '1 day', $partitions);"
		echo "SELECT create_parent('public.$name', 'created_at', '1 day', p_default_table := false);"
		[ -z "$have_partman" ] || cat <<-SQL
			INSERT INTO partman.part_config (parent_table, control, partition_type, partition_interval, datetime_string)
				VALUES ('public.$name', 'created_at', 'native', '1 day', 'YYYY_MM_DD');
		SQL
	done | psql -qXAt -v ON_ERROR_STOP=1 -d "$database" >/dev/null || die "cannot make sets"
	sql "$database" 'VACUUM ANALYZE'
}

# ---------- cases ----------

create_call()
{
	local width=$1 past=$2 default=$3 unit
	unit=${width#1 }
	echo "SELECT create_parent('public.t', 'created_at', '$width', p_default_table := $default,
		p_start_partition := (date_trunc('$unit', now()) - $past * interval '$width')::text);"
}

partman_call()
{
	local width=$1 past=$2 unit
	unit=${width#1 }
	[ "$unit" = day ] && unit=daily || unit=hourly
	echo "SELECT partman.create_parent('public.t', 'created_at', 'native', '$unit', p_jobmon := false,
		p_start_partition := (date_trunc('${width#1 }', now()) - $past * interval '$width')::text);"
}

hand_call()
{
	local way=$1 width=$2 past=$3 n=$4 default=$5
	echo "DO \$\$ BEGIN CALL hand.make_partitions('$way', 't', date_trunc('${width#1 }', now()) - $past * interval '$width', '$width', $n);"
	[ "$default" = false ] || echo "CALL hand.make_default('$way', 't');"
	echo "END \$\$;"
}

# create LABEL WIDTH N DEFAULT REPEAT WAY...: N partitions of WIDTH up to four ahead
create()
{
	local label=$1 width=$2 n=$3 default=$4 times=$5 past way
	shift 5
	past=$((n - 5))
	for ((r = 0; r < times; r++)); do
		copy base m
		sample "$label" partmgr m "$(create_call "$width" $past "$default")" && same "$label" m
		for way in "$@" 'partition of'; do
			copy base m
			sample "$label" "$way" m "$(hand_call "$way" "$width" $past "$n" "$default")"
			[ "$way" = like ] || same "$label" m
		done
	done
	if [ -n "$have_partman" ]; then
		copy base m
		sample "$label" pg_partman m "$(partman_call "$width" $past)"
	fi
	report "$label" 1.1 "$@"
}

case_create()
{
	create 'create 1,000 daily' '1 day' 1000 false "$repeat" attach like 'two passes' descending
	create 'create 1,000 daily + default' '1 day' 1000 true 3 attach
}

# only the fastest way of case_create, since each takes a minute
case_create5000()
{
	create 'create 5,000 hourly' '1 hour' 5000 false $((repeat > 2 ? 2 : 1)) attach
}

# at the default setting one call must not die; later runs make the rest
case_locks()
{
	local first second notice nearest
	start 64
	copy base m
	notice=$(PGOPTIONS='' psql -qXAt -d m -c "$(create_call '1 hour' 4995 false)" 2>&1 >/dev/null | head -n 1)
	first=$(sql m "SELECT count(*) FROM pg_inherits WHERE inhparent = 'public.t'::regclass")
	nearest=$(sql m "SELECT count(*) FROM list_partitions('public.t') WHERE state IN ('current', 'future')")
	PGOPTIONS='' psql -qXAt -d m -c "SELECT run_maintenance('public.t')" >/dev/null 2>&1
	second=$(sql m "SELECT count(*) FROM pg_inherits WHERE inhparent = 'public.t'::regclass")
	start 1024
	printf '%-34s %s\n' '5,000 hourly, 64 locks' "made $first, after the next run $second; $notice"
	if [ "$nearest" -ge 4 ] && [ "$second" -gt "$first" ] && [[ $notice == NOTICE* ]]; then
		echo '    must not die, make the nearest, and say so: met'
	else
		echo '    must not die, make the nearest, and say so: MISSED'
	fi
}

case_retire()
{
	local n label way first
	sets r1000 1 1000
	sql r1000 "UPDATE part_config SET retention_keep_table = false"
	first='current_date - 995'
	for n in 100 500; do
		label="retire $n of 1,000"
		for ((r = 0; r < repeat; r++)); do
			copy r1000 m
			sample "$label" partmgr m "SELECT * FROM drop_old_partitions('public.t', '$((995 - n)) days');" && same "$label" m
			for way in 'one statement' 'one by one' 'our trigger on'; do
				copy r1000 m
				# our event trigger is not part of what is done by hand
				[ "$way" = 'our trigger on' ] || sql m 'ALTER EVENT TRIGGER partmgr_forget DISABLE'
				sample "$label" "$way" m "CALL hand.drop_before('${way/our trigger on/one statement}', 't', $first, '1 day', $n);"
				same "$label" m
			done
		done
		if [ -n "$have_partman" ]; then
			copy r1000 m
			sample "$label" pg_partman m "SELECT partman.drop_partition_time('public.t', '$((995 - n)) days', p_keep_table := false);"
		fi
		report "$label" 1.5 'one statement' 'one by one' 'our trigger on'
	done
}

# idle LABEL SETS PARTITIONS
idle()
{
	local label=$1
	sets m "$2" "$3"
	for ((r = 0; r < 3 * repeat; r++)); do
		sample "$label" partmgr m 'SELECT run_maintenance();'
		sample "$label" query m file:query_bounds.sql
		[ -z "$have_partman" ] || [ $r -ge 3 ] ||
			sample "$label" pg_partman m 'SELECT partman.run_maintenance(p_analyze := false, p_jobmon := false);'
	done
	report "$label" 1.0 query
}

case_idle()
{
	idle 'idle run, 1 set of 1,000' 1 1000
	idle 'idle run, 100 sets of 50' 100 50
	idle 'idle run, 1,000 sets of 10' 1000 10
	idle 'idle run, 10 sets of 1,000' 10 1000
}

case_more()
{
	local label='one more in 100 sets of 50'
	sets s100 100 50
	sql s100 "UPDATE part_config SET premake = 5"
	[ -z "$have_partman" ] || sql s100 "UPDATE partman.part_config SET premake = 5"
	for ((r = 0; r < repeat; r++)); do
		copy s100 m
		sample "$label" partmgr m 'SELECT run_maintenance();'
		sql m "SELECT string_agg(hand.state(parent_table), ' ') FROM part_config" >"$WORK/state.partmgr"
		copy s100 m
		sample "$label" 'by hand' m "DO \$\$ BEGIN FOR i IN 1 .. 100 LOOP
			CALL hand.make_partitions('attach', 't' || i, current_date + 5, '1 day', 1); END LOOP; END \$\$;"
		sql m "SELECT string_agg(hand.state(parent_table), ' ') FROM part_config" >"$WORK/state.hand"
		cmp -s "$WORK/state.partmgr" "$WORK/state.hand" || { echo "$label: the sides end in different states" >&2; failed=1; }
	done
	if [ -n "$have_partman" ]; then
		copy s100 m
		sample "$label" pg_partman m 'SELECT partman.run_maintenance(p_analyze := false, p_jobmon := false);'
	fi
	report "$label" 1.2 'by hand'
}

# what a backend has taken: contexts in use, its own pages now, and the peak
# without shared buffers
memory_query="SELECT (SELECT sum(total_bytes) / 1024 FROM pg_backend_memory_contexts),
	substring(s FROM 'RssAnon:\s+(\d+)'), substring(s FROM 'VmHWM:\s+(\d+)')::int - substring(s FROM 'RssShmem:\s+(\d+)')::int
	FROM pg_read_file('/proc/self/status') s;"

case_memory()
{
	local step
	sets m 10 10
	{
		for step in 100 900 9000; do
			for ((r = 0; r < step; r++)); do
				echo 'SELECT run_maintenance() \g /dev/null'
			done
			echo "$memory_query"
		done
	} | psql -qXAt -F ' ' -v ON_ERROR_STOP=1 -d m >"$WORK/memory" || failed=1
	awk 'BEGIN { runs[1] = "100"; runs[2] = "1,000"; runs[3] = "10,000" }
		{ printf "memory after %-6s runs, 10 sets of 10: contexts %d kB, own pages %d kB, peak %d kB\n", runs[NR], $1, $2, $3
		  context[NR] = $1; pages[NR] = $2 }
		END { growth = pages[3] - pages[2]
			printf "    from 1,000 to 10,000 runs: contexts %+d kB, own pages %+d kB; target no growth: %s\n",
				context[3] - context[2], growth, context[3] <= context[2] && growth < 256 ? "met" : "MISSED" }' "$WORK/memory"

	# the peak of the large calls, which are measured for time elsewhere
	copy base m
	printf '%s\n%s\n' "$(create_call '1 day' 995 false)" "$memory_query" | psql -qXAt -F ' ' -d m | tail -n 1 |
		awk '{ printf "    create_parent, 1,000 daily: peak %d kB\n", $3 }'
	copy base m
	printf '%s\n%s\n' "$(hand_call attach '1 day' 995 1000 false)" "$memory_query" | psql -qXAt -F ' ' -d m | tail -n 1 |
		awk '{ printf "    the same by hand: peak %d kB\n", $3 }'
}

case_look()
{
	sets l5000 1 5000
	for ((r = 0; r < repeat; r++)); do
		sample 'list_partitions, 5,000' partmgr l5000 "SELECT * FROM list_partitions('public.t');"
		sample 'list_partitions, 5,000' query l5000 file:query_list.sql
		sample 'show_partitions, 5,000' partmgr l5000 "SELECT * FROM show_partitions('public.t');"
		sample 'show_partitions, 5,000' query l5000 file:query_show.sql
		sample 'partition_health_summary, 5,000' partmgr l5000 "SELECT * FROM partition_health_summary('public.t');"
		sample 'partition_health_summary, 5,000' query l5000 file:query_health.sql
		[ -z "$have_partman" ] || [ $r -ge 2 ] ||
			sample 'show_partitions, 5,000' pg_partman l5000 "SELECT * FROM partman.show_partitions('public.t');"
	done
	report 'list_partitions, 5,000' 1.0 query
	report 'show_partitions, 5,000' 1.0 query
	report 'partition_health_summary, 5,000' 1.0 query
}

# calls of show_partition_name: the first of a session, the second, and the
# first after the library was loaded by another function
case_name()
{
	local n label call
	for n in 10 1000 5000; do
		label="show_partition_name, $n"
		call="show_partition_name('public.t', now()::text);"
		if [ $n = 5000 ] && sql l5000 'SELECT 1' >/dev/null 2>&1; then copy l5000 m; else sets m 1 $n; fi
		for ((r = 0; r < 3 * repeat; r++)); do
			sample "$label" first m "SELECT * FROM $call"
			sample "$label" second m "SELECT * FROM $call SELECT * FROM $call"
			sample "$label" loaded m "LOAD 'partmgr'; SELECT * FROM $call"
			[ -z "$have_partman" ] || [ $r -ge 3 ] || sample "$label" pg_partman m "SELECT * FROM partman.$call"
		done
		awk -v label="$label" -v first="$(median "$label" first)" -v second="$(median "$label" second)" \
			-v loaded="$(median "$label" loaded)" -v partman="$(median "$label" pg_partman)" 'BEGIN {
			printf "%-34s first %.2f ms, first with library loaded %.2f ms, second %.2f ms, target 1 ms %s; pg_partman %s\n", label,
				first, loaded, second, first < 1 ? "met" : second < 1 ? "met but for the first statement of a session" : "MISSED", partman == "" ? "-" : partman " ms" }'
	done
}

# ---------- on demand ----------

# a set of 100 daily partitions that end five days ahead, with on_demand, and
# what is to be written to it
demand_set()
{
	copy base d
	sql d "CALL hand.make_partitions('attach', 't', current_date - 95, '1 day', 100)" &&
		sql d "SET client_min_messages = error; SELECT create_parent('public.t', 'created_at', '1 day', p_premake := 4, p_default_table := false, p_on_demand := true)" >/dev/null &&
		sql d "CREATE TABLE src AS SELECT g::bigint AS id, current_date - 95 + (g % 1000000) * interval '8.2 s' AS created_at, g AS customer, 'x'::text AS payload FROM generate_series(1, 2000000) g" &&
		sql d "COPY (SELECT * FROM src LIMIT 1000000) TO '$WORK/rows'" &&
		sql d 'VACUUM ANALYZE' || die "cannot make a set"
}

# sides with and without the library in the session, the same table
demand_sample()
{
	local label=$1 side=$2 text=$3 options=$PGOPTIONS
	sql d 'TRUNCATE t; CHECKPOINT'
	[ "$side" = partmgr ] && PGOPTIONS+=' -c session_preload_libraries=partmgr'
	sample "$label" "$side" d "$text"
	PGOPTIONS=$options
}

# Single rows: what they take more is less than what one pgbench run differs from
# the next.  So it is measured by statements in a loop, and added to what a
# transaction of pgbench takes.
demand_single()
{
	local label='single rows' r side loop="DO \$\$ BEGIN FOR i IN 1 .. 200000 LOOP
		INSERT INTO t VALUES (i, now() - interval '3 days', 1, 'what happened'); END LOOP; END \$\$;"
	for ((r = 0; r < 2 * repeat; r++)); do
		for side in "${sides[@]}"; do demand_sample "$label" "$side" "$loop"; done
		sides=("${sides[1]}" "${sides[0]}")
		sql d 'TRUNCATE t'
		pgbench -n -M prepared -t 20000 -f "$WORK/single.sql" d 2>"$WORK/stderr" |
			awk '/^tps/ { printf "%.3f\n", 1e6 / $3 }' >>"$samples/$label.pgbench"
	done
	awk -v label="$label, pgbench" -v ours="$(median "$label" partmgr)" -v hand="$(median "$label" 'not loaded')" \
		-v latency="$(median "$label" pgbench)" 'BEGIN {
		more = (ours - hand) / 200; ratio = 1 + more / latency
		printf "%-34s %.2f us more per statement; a transaction takes %.1f us; ratio %.3f, target 1.01 %s\n",
			label, more, latency, ratio, ratio < 1.015 ? "met" : "MISSED" }'
}

demand_first()
{
	local i label='first row of a new partition'
	for ((i = 1; i <= 3 * repeat; i++)); do
		printf '%s\n\\timing on\n%s\n' "INSERT INTO t VALUES (0, now(), 0, 'x');" "INSERT INTO t VALUES ($i, now() + interval '$((5 + i)) days', 0, 'x');" |
			PGOPTIONS="$PGOPTIONS -c session_preload_libraries=partmgr" psql -qXAt -v ON_ERROR_STOP=1 -d d |
			sed -nE 's/^Time: ([0-9.]+) ms.*/\1/p' >>"$samples/$label.partmgr"
	done
	awk -v label="$label" -v ours="$(median "$label" partmgr)" -v longest="$(sort -g "$samples/$label.partmgr" | tail -n 1)" 'BEGIN {
		printf "%-34s %.1f ms, longest %.1f ms; target 15 ms %s\n", label, ours, longest, ours <= 15 ? "met" : "MISSED" }'
}

# 16 clients at full speed, a new partition about every second; no premake
demand_frontier()
{
	local seconds=60 rate
	sql d "CREATE SEQUENCE frontier CACHE 100; CREATE TABLE fr (id bigint NOT NULL, v int) PARTITION BY RANGE (id);
		SELECT create_parent('public.fr', 'id', '20000', p_premake := 1, p_start_partition := '0', p_default_table := false,
			p_on_demand := true, p_automatic_maintenance := 'off'); UPDATE part_config SET on_demand_window = 100000" >/dev/null
	echo "INSERT INTO fr VALUES (nextval('frontier'), :client_id);" >"$WORK/frontier.sql"
	rm -f "$WORK"/frontier.log.*
	PGOPTIONS="$PGOPTIONS -c session_preload_libraries=partmgr" pgbench -n -M prepared -c 16 -j 2 -T $seconds -l --log-prefix="$WORK/frontier.log" -f "$WORK/frontier.sql" d >"$WORK/pgbench.log" 2>&1 ||
		{ cat "$WORK/pgbench.log"; failed=1; }
	rate=$(cat "$WORK"/frontier.log.* | wc -l)
	printf '%-34s %s\n' 'moving frontier, 16 clients' "$rate rows in $seconds s, $(sql d 'SELECT count(*) FROM fr') in the table, $(
		sql d "SELECT count(*) FROM part_log WHERE action = 'on_demand' AND parent_table = 'fr'::regclass") partitions made; highest latency $(
		cat "$WORK"/frontier.log.* | awk '{ if ($3 > m) m = $3 } END { printf "%.1f", m / 1000 }') ms; $(grep -i 'number of failed' "$WORK/pgbench.log")"
}

# the median of the ratios of samples taken one after the other: what is to be
# seen here is smaller than the changes of a noisy machine over a minute
report_pairs()
{
	local label=$1 target=$2
	paste "$samples/$label.partmgr" "$samples/$label.not loaded" | awk '{ print $1 / $2 }' | sort -g |
		awk -v label="$label" -v target="$target" -v ours="$(median "$label" partmgr)" -v hand="$(median "$label" 'not loaded')" '
			{ v[NR] = $1 }
			END { ratio = NR % 2 ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2
				printf "%-34s %10.1f %10.1f %6.3f %-14s %s\n", label, ours, hand, ratio,
					target " " (sprintf("%.2f", ratio) + 0 <= target ? "met" : "MISSED"), "pairs: " NR }' | tee -a "$WORK/report"
}

sides=('not loaded' partmgr)

# demand_pairs WHICH: both statements, so often that the median says something
demand_pairs()
{
	local r side
	for ((r = 0; r < repeat; r++)); do
		for side in "${sides[@]}"; do
			demand_sample "INSERT ... SELECT, 2 million$1" "$side" 'INSERT INTO t SELECT * FROM src;'
		done
		for side in "${sides[@]}"; do
			demand_sample "COPY, 1 million$1" "$side" "COPY t FROM '$WORK/rows';"
		done
		sides=("${sides[1]}" "${sides[0]}")
	done
	report_pairs "INSERT ... SELECT, 2 million$1" "$2"
	report_pairs "COPY, 1 million$1" "$2"
}

# the table as everywhere, and what it is where rows cost least
case_demand()
{
	demand_set
	demand_pairs '' 1.02
	sql d 'DROP INDEX t_created_at_idx, t_customer_idx; ALTER TABLE t DROP CONSTRAINT t_pkey'
	demand_pairs ', no index' 1.02
	echo "INSERT INTO t VALUES (:client_id, now() - interval '3 days', 1, 'what happened');" >"$WORK/single.sql"
	demand_single
	demand_first
	demand_frontier
}

# ---------- writers ----------

# eight writers at full speed, each row into the partition of now
readonly writers=8 writers_seconds=40 reader_seconds=20 reader_after=5
writers_script="INSERT INTO t (id, created_at, customer, payload)
	VALUES (nextval('ids'), now(), (random() * 100000)::int, 'what happened');"

# daily set w DEFAULT: ten days behind, five ahead, and five more partitions to
# be made and five to be retired as soon as want_more asks for that
writers_set()
{
	copy base w
	sql w "CALL hand.make_partitions('attach', 't', current_date - 10, '1 day', 16)" &&
		sql w 'CREATE SEQUENCE ids CACHE 100' &&
		{ [ "$1" = none ] || sql w "CALL hand.make_default('attach', 't')"; } &&
		sql w "INSERT INTO t SELECT g, current_date - 10 + g * interval '1 minute', g, 'old' FROM generate_series(0, 14400) g" &&
		sql w "SELECT create_parent('public.t', 'created_at', '1 day', p_premake := 5, p_default_table := false)" >/dev/null &&
		sql w 'VACUUM ANALYZE'
}

# what the sides do while the writers write and the reader reads
maintain_none() { :; }

maintain_partmgr()
{
	sql w "UPDATE part_config SET premake = 10, retention = '5 days', retention_keep_table = false"
}

# no lock_timeout, as most scripts have none
maintain_hand()
{
	sql w "CALL hand.make_partitions('attach', 't', current_date + 6, '1 day', 5)"
	for ((i = 10; i > 5; i--)); do
		sql w "SELECT hand.partition_name('t', current_date - $i, '1 day')" |
			{ read -r name; sql w "ALTER TABLE t DETACH PARTITION $name"; sql w "DROP TABLE $name"; }
	done
}

maintain_pg_partman()
{
	sql w "INSERT INTO partman.part_config (parent_table, control, partition_type, partition_interval, datetime_string,
			premake, retention, retention_keep_table, infinite_time_partitions)
		VALUES ('public.t', 'created_at', 'native', '1 day', 'YYYY_MM_DD', 10, '5 days', false, true)"
	sql w 'SELECT partman.run_maintenance(p_analyze := false, p_jobmon := false)'
}

# both came about: five partitions more, five less
writers_done()
{
	[ "$(sql w "SELECT count(*) FILTER (WHERE d > 5) || ' ' || count(*) FILTER (WHERE d < -5) FROM (
			SELECT to_date(right(inhrelid::regclass::text, 10), 'YYYY_MM_DD') - current_date AS d
			FROM pg_inherits WHERE inhparent = 'public.t'::regclass
			AND pg_get_expr((SELECT relpartbound FROM pg_class WHERE oid = inhrelid), inhrelid) <> 'DEFAULT') p")" = '5 0' ]
}

# writers LABEL SIDE DEFAULT: a run; latencies in microseconds, the end of the
# maintenance in seconds after that of the reader
writers()
{
	local label=$1 side=$2 pgbench reader maintenance begin='' late=''
	writers_set "$3" || { failed=1; return; }
	echo "$writers_script" >"$WORK/writers.sql"
	rm -f "$WORK"/latency.*
	pgbench -n -c $writers -j 2 -T $writers_seconds -l --log-prefix="$WORK/latency" -f "$WORK/writers.sql" w >"$WORK/pgbench.log" 2>&1 &
	pgbench=$!
	sleep $reader_after
	{
		sql w "SELECT count(*), pg_sleep($reader_seconds) FROM (SELECT count(*) FROM t) t" >/dev/null
		date +%s.%N >"$WORK/reader.end"
	} &
	reader=$!
	sleep 2
	date +%s.%N >"$WORK/begin"
	{
		"maintain_$side" >/dev/null
		until [ "$side" = none ] || writers_done; do sleep 0.1; done
		date +%s.%N >"$WORK/maintenance.end"
	} &
	maintenance=$!
	wait $reader
	wait $pgbench || { cat "$WORK/pgbench.log"; failed=1; }
	if [ "$side" != none ] && ! writers_done; then
		echo "$label, $side: not done $((writers_seconds - reader_after - reader_seconds)) s after the reader" >&2
		failed=1
		kill $maintenance
	fi
	wait $maintenance
	cat "$WORK"/latency.* | awk '{ print $3 }' >>"$samples/$label.$side"
	[ "$side" = none ] ||
		awk '{ t[NR] = $1 } END { printf "%.1f\n", t[2] - t[1] }' "$WORK/reader.end" "$WORK/maintenance.end" >>"$samples/$label.$side.late"
}

# percentiles LABEL SIDE: number, median, p99, p99.9 and maximum in milliseconds
percentiles()
{
	sort -n "$samples/$1.$2" | awk '{ v[NR] = $1 / 1000 } END { if (NR) print NR,
		v[int(NR * 0.5) + 1], v[int(NR * 0.99) + 1], v[int(NR * 0.999) + 1], v[NR] }'
}

# report_writers LABEL TARGET SIDE...: against the side none
report_writers()
{
	local label=$1 target=$2 side
	shift 2
	printf '%-34s %9s %8s %8s %8s %9s %9s %9s  %s\n' "$label" writes median p99 p99.9 max '+p99.9' '+max' 'done after the reader'
	for side in none "$@"; do
		[ -s "$samples/$label.$side" ] || { printf '    %s: not measured\n' "$side"; failed=1; continue; }
		awk -v side="$side" -v base="$(percentiles "$label" none)" -v run="$(percentiles "$label" "$side")" \
			-v late="$(median "$label" "$side.late" 2>/dev/null)" -v target="$target" 'BEGIN {
			split(base, b); split(run, r)
			printf "    %-30s %9d %8.2f %8.2f %8.2f %9.1f", side == "none" ? "no maintenance" : side, r[1], r[2], r[3], r[4], r[5]
			if (side == "none") { print ""; exit }
			printf " %9.1f %9.1f  %s s\n", r[4] - b[4], r[5] - b[5], late
			if (side == "partmgr" && target)
				printf "    adds at most 100 ms, 50 ms at p99.9, and ends by itself: %s\n",
					r[5] - b[5] <= 100 && r[4] - b[4] <= 50 && late != "" ? "met" : "MISSED" }' | tee -a "$WORK/report"
	done
}

# The sides take turns.  The machine's own noise is in both: compare with the
# maximum of the same load without maintenance.
case_writers()
{
	local turns=$((repeat > 2 ? 2 : repeat)) label='writers'
	start 1024 "-c shared_preload_libraries=partmgr -c partmgr.interval=1s"
	for ((r = 0; r < turns; r++)); do
		writers "$label" none none
		writers "$label" partmgr none
	done
	writers "$label" hand none
	[ -z "$have_partman" ] || writers "$label" pg_partman none
	report_writers "$label" target partmgr hand ${have_partman:+pg_partman}
	label='writers, with a default'
	writers "$label" none default
	writers "$label" partmgr default
	report_writers "$label" '' partmgr
	sql postgres 'DROP DATABASE w WITH (FORCE)'
	start 1024
}

# ---------- all of them ----------

cases=(create create5000 locks retire idle more memory look name demand rewrite writers)
. "$here/rewrite.sh"
[ $# -gt 0 ] && wanted=("$@") || wanted=("${cases[@]}")
for name in "${wanted[@]}"; do
	[[ " ${cases[*]} " == *" $name "* ]] || die "there is no case $name; cases are: ${cases[*]}"
done

build
trap 'pg_ctl -D "$WORK/data" -m immediate -s stop' EXIT
start 1024
prepare
[ -n "$have_partman" ] || echo "pg_partman is not installed"
echo "PostgreSQL $(sql postgres 'SHOW server_version'); medians in milliseconds; pg_partman $(
	sql base "SELECT extversion FROM pg_extension WHERE extname = 'pg_partman'"), in brackets its ratio"
header
SECONDS=0
for name in "${wanted[@]}"; do
	"case_$name"
done
echo "took $SECONDS s"
exit $failed
