# rewrite.sh: the case rewrite, rows that go to other tables.  Sourced by
# measure.sh; never run.
#
# By hand is one INSERT ... SELECT into tables that are ready, with their indexes,
# while nobody writes.  Ratios of speed are rows per second to its rows per second.
# Sizes and WAL are of the same runs.

# PARTMGR_BENCH_ROWS: in millions; PARTMGR_BENCH_FIRE: seconds
read -ra rewrite_millions <<<"${PARTMGR_BENCH_ROWS:-1 5}"
rewrite_fire_seconds=${PARTMGR_BENCH_FIRE:-60}
readonly rewrite_days=30 rewrite_rate=1000
rewrite_base=''
rewrite_writers=''
rewrite_watcher=''

# ---------- databases ----------

# rows ROWS: the same for all sides, in the order of time
rewrite_rows()
{
	echo "SELECT g::bigint, '$rewrite_base'::timestamptz + (g - 1)::bigint * $((rewrite_days * 86400000000 / $1)) * interval '1 us',
		(random() * $1)::int, lpad(g::text, 50, 'abcdefghijklmnopqrstuvwxyz') FROM generate_series(1, $1) g"
}

# the partitions that both sides end with, and their indexes
rewrite_target()
{
	echo "CREATE TABLE $1 (id bigint NOT NULL, at timestamptz NOT NULL, n int, t text, PRIMARY KEY (id, at)) PARTITION BY RANGE (at);
		CREATE INDEX ON $1 (n);
		CALL hand.make_partitions('like', '$1', '$rewrite_base', '1 day', $rewrite_days);"
}

# rewrite_set ROWS: plain, a table; dflt, a set with all rows in its default
rewrite_set()
{
	copy base plain
	copy base dflt
	psql -qX -v ON_ERROR_STOP=1 -d plain >/dev/null <<-SQL || die "cannot make the tables"
		DROP TABLE t;
		CREATE TABLE t (id bigint PRIMARY KEY, at timestamptz NOT NULL, n int, t text);
		CREATE INDEX t_n ON t (n);
		SELECT setseed(0.5);
		INSERT INTO t $(rewrite_rows "$1");
		$(rewrite_target h)
		CREATE SEQUENCE ids START 1000000000;
	SQL
	psql -qX -v ON_ERROR_STOP=1 -d dflt >/dev/null <<-SQL || die "cannot make the tables"
		DROP TABLE t;
		CREATE TABLE t (id bigint NOT NULL, at timestamptz NOT NULL, n int, t text, PRIMARY KEY (id, at)) PARTITION BY RANGE (at);
		CREATE INDEX t_n ON t (n);
		SELECT create_parent('public.t', 'at', '1 day', p_premake := 1);
		SELECT setseed(0.5);
		INSERT INTO t $(rewrite_rows "$1");
		CREATE SEQUENCE ids START 1000000000;
	SQL
	sql plain 'VACUUM ANALYZE'
	sql dflt 'VACUUM ANALYZE'
}

# ---------- writers ----------

# a mix of all kinds of writes to t, at a rate; rows are moved to other days
rewrite_scripts()
{
	local rows=$1 step=$((rewrite_days * 86400000000 / $1)) where=''
	where="WHERE id = :id AND at = '$rewrite_base'::timestamptz + :us * interval '1 us';"
	for script in 'update UPDATE t SET n = n + 1' 'delete DELETE FROM t' \
		"move UPDATE t SET at = '$rewrite_base'::timestamptz + :other * interval '1 us'"; do
		printf '\\set id random(1, %d)\n\\set us (:id - 1) * %d\n\\set other (random(1, %d) - 1) * %d\n%s %s\n' \
			"$rows" "$step" "$rows" "$step" "${script#* }" "$where" >"$WORK/rewrite.${script%% *}"
	done
	printf '\\set us (random(1, %d) - 1) * %d\n%s\n' "$rows" "$step" \
		"INSERT INTO t VALUES (nextval('ids'), '$rewrite_base'::timestamptz + :us * interval '1 us', 1, 'written meanwhile');" >"$WORK/rewrite.insert"
}

# begin_writers: they write to m, and locks of t are watched
begin_writers()
{
	local oids
	oids=$(sql m "SELECT (SELECT oid FROM pg_database WHERE datname = 'm') || ', ' || 't'::regclass::oid")
	rm -f "$WORK"/rewrite.log.*
	pgbench -n -c 8 -j 1 -R $rewrite_rate -T 3600 -l --log-prefix="$WORK/rewrite.log" -f "$WORK/rewrite.update@5" \
		-f "$WORK/rewrite.insert@3" -f "$WORK/rewrite.delete@1" -f "$WORK/rewrite.move@1" m >"$WORK/pgbench.log" 2>&1 &
	rewrite_writers=$!
	PGOPTIONS='' PGAPPNAME=watch_locks psql -qX -d base -c "CALL hand.watch_locks($oids)" >"$WORK/locks" 2>&1 &
	rewrite_watcher=$!
	sleep 2
}

# what is in a file of stdio is written when there is more, so a little later
end_writers()
{
	sleep 1.5
	kill $rewrite_writers
	sql postgres "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE application_name = 'watch_locks'" >/dev/null
	wait $rewrite_writers $rewrite_watcher 2>/dev/null
	if grep -qE 'ERROR|aborted|FATAL' "$WORK/pgbench.log"; then
		grep -E 'ERROR|aborted|FATAL' "$WORK/pgbench.log" | head -n 5 >&2
		echo "$1, $2: a writer failed" >&2
		failed=1
	fi
}

# blocked LABEL SIDE FROM TO: the highest latency of a writer from begin to end,
# and about the swap; how long t was locked against them, and against readers; in
# milliseconds.  The lock is that of the swap, not those of dropping the old table.
blocked()
{
	local swap
	swap=$(sed -nE 's/.*NOTICE: +([0-9.]+) ?(.*)/\1 \2/p' "$WORK/locks" | awk '
		$2 == "" { if (from) { to = $1; kept = to - from; if (kept > longest) longest = kept }
			if (access) { printf "%.4f %.4f %.2f %.2f\n", from, to, longest * 1000, (to - access) * 1000; done = 1; exit } from = access = 0; next }
		!from { from = $1 }
		/AccessExclusiveLock/ && !access { access = $1 }
		END { if (!done) print "0 0 0 0" }')
	cat "$WORK"/rewrite.log.* | awk -v swap="$swap" -v from="$3" -v to="$4" '
		BEGIN { split(swap, s) }
		{ end = $5 + $6 / 1e6; begin = end - $3 / 1e6 }
		end >= from && begin <= to && $3 > all { all = $3 }
		s[1] && end >= s[1] - 0.01 && begin <= s[2] + 0.01 && $3 > about { about = $3 }
		END { printf "%.2f %.2f %s %s\n", all / 1000, about / 1000, s[3], s[4] }' >"$WORK/blocked"
	read -r all about kept access <"$WORK/blocked"
	echo "$all" >>"$samples/$1.$2.highest"
	echo "$about" >>"$samples/$1.$2.swap"
	echo "$kept" >>"$samples/$1.$2.kept"
	echo "$access" >>"$samples/$1.$2.access"
}

# ---------- samples ----------

# rewrite_sample LABEL SIDE TEMPLATE ROWS TEXT [writers]: a sample in a fresh copy,
# with its WAL, and how the size of the database has changed
rewrite_sample()
{
	local label=$1 side=$2 template=$3 rows=$4 text=$5 written=${6:-} lsn size from to
	copy "$template" m
	sql m 'CHECKPOINT'
	size=$(sql m "SELECT pg_database_size('m')")
	[ -z "$written" ] || begin_writers
	lsn=$(sql m 'SELECT pg_current_wal_lsn()')
	from=$(date +%s.%N)
	sample "$label" "$side" m "$text" || { [ -z "$written" ] || end_writers "$label" "$side"; return; }
	to=$(date +%s.%N)
	if [ -n "$written" ]; then
		end_writers "$label" "$side"
		blocked "$label" "$side" "$from" "$to"
		return
	fi
	sql m "SELECT (pg_current_wal_lsn() - '$lsn') / $rows" >>"$samples/$label.$side.wal"
	sql m "SELECT (pg_database_size('m') - $size) / 1e6" >>"$samples/$label.$side.size"
}

# rewritten LABEL ROWS PARTITIONS: t holds all rows and has as many partitions
# with rows; nothing of ours is left
rewritten()
{
	local state
	state=$(sql m "SELECT count(*) || ' rows, ' || count(DISTINCT tableoid) || ' tables, ' || (SELECT count(*) FROM pg_class
		WHERE relkind IN ('r', 'p') AND (relname LIKE 'partmgr\_rewrite%' OR relname = 't_default' AND pg_relation_size(oid) > 0)) || ' left' FROM t")
	[ "$state" = "$2 rows, $3 tables, 0 left" ] && return
	echo "$1: $state" >&2
	failed=1
}

# ---------- reports ----------

# report_speed LABEL SIDE TARGET [LABEL OF THE BASELINE [OTHER]]: at least TARGET
# times as fast as by hand
report_speed()
{
	local label=$1 side=$2 target=$3 base=${4:-$1} beside=${5:-}
	local ours hand partman
	ours=$(median "$label" "$side")
	hand=$(median "$base" insert)
	partman=$(median "$label" pg_partman)
	[ -n "$ours" ] && [ -n "$hand" ] || { printf '%-34s not measured\n' "$label, $side"; failed=1; return; }
	awk -v label="$label, $side" -v ours="$ours" -v hand="$hand" -v target="$target" -v partman="${partman:-0}" -v beside="$beside" 'BEGIN {
		ratio = hand / ours
		printf "%-34s %10.1f %10.1f %6.2f %-14s %s%s\n", label, ours, hand, ratio,
			target == "" ? "" : ">= " target " " (sprintf("%.2f", ratio) + 0 >= target ? "met" : "MISSED"),
			partman ? sprintf("%.1f (%.2f)", partman, hand / partman) : "-", beside }' | tee -a "$WORK/report"
}

# report_wal LABEL SIDE [BASELINE]: bytes per row
report_wal()
{
	awk -v label="    WAL per row, $2" -v ours="$(median "$1" "$2.wal")" -v hand="$(median "${3:-$1}" insert.wal)" 'BEGIN {
		ratio = ours / hand
		printf "%-34s %10.1f %10.1f %6.2f <= 1 %s\n", label, ours, hand, ratio, sprintf("%.2f", ratio) + 0 <= 1 ? "met" : "MISSED" }' | tee -a "$WORK/report"
}

# report_size LABEL SIDE WAS BASELINE: after it the database is not larger than by
# hand, when the source is dropped, which was WAS bytes
report_size()
{
	awk -v label="    MB more than before, $2" -v ours="$(median "$1" "$2.size")" -v hand="$(median "$4" insert.size)" -v was="$3" 'BEGIN {
		hand -= was / 1e6
		printf "%-34s %10.1f %10.1f        by hand, source dropped: %s\n", label, ours, hand, ours - hand < was / 1e6 * 0.05 ? "met" : "MISSED" }' | tee -a "$WORK/report"
}

# report_blocked LABEL SIDE TARGET: medians, and the highest of all runs
report_blocked()
{
	local highest
	highest=$(sort -g "$samples/$1.$2.swap" | tail -n 1)
	awk -v label="    writers, $2" -v all="$(median "$1" "$2.highest")" -v swap="$(median "$1" "$2.swap")" -v kept="$(median "$1" "$2.kept")" \
		-v access="$(median "$1" "$2.access")" -v highest="$highest" -v target="$3" 'BEGIN {
		printf "%-34s latency: highest %.0f ms, about the swap %.0f (of all runs %.0f), target < %s %s; locked %.0f ms, ACCESS EXCLUSIVE %.0f ms\n",
			label, all, swap, highest, target, highest < target ? "met" : "MISSED", kept, access }' | tee -a "$WORK/report"
}

# ---------- rows from a table, from a default ----------

# pg_partman wants a set of its own; its rows come from a default, or from a table
rewrite_partman()
{
	local million=$1 rows=$2
	copy plain m
	sql m "DROP TABLE h; ALTER TABLE t RENAME TO t_default; ALTER TABLE t_default DROP CONSTRAINT t_pkey;
		ALTER TABLE t_default ADD PRIMARY KEY (id, at);
		CREATE TABLE t (id bigint NOT NULL, at timestamptz NOT NULL, n int, t text, PRIMARY KEY (id, at)) PARTITION BY RANGE (at);
		CREATE INDEX ON t (n); ALTER TABLE t ATTACH PARTITION t_default DEFAULT;
		CALL hand.make_partitions('like', 't', current_date, '1 day', 1);
		INSERT INTO partman.part_config (parent_table, control, partition_type, partition_interval, datetime_string)
			VALUES ('public.t', 'at', 'native', '1 day', 'YYYY_MM_DD')" && sql m 'VACUUM ANALYZE t' || { failed=1; return; }
	sample "drain, $million million" pg_partman m "SELECT partman.partition_data_time('public.t', p_batch_count := $rewrite_days + 1, p_analyze := false);"
	copy plain m
	sql m "DROP TABLE h; ALTER TABLE t RENAME TO old; $(rewrite_target t)
		INSERT INTO partman.part_config (parent_table, control, partition_type, partition_interval, datetime_string)
			VALUES ('public.t', 'at', 'native', '1 day', 'YYYY_MM_DD')" || { failed=1; return; }
	sample "convert, $million million" pg_partman m "SELECT partman.partition_data_time('public.t', p_batch_count := $rewrite_days + 1,
		p_analyze := false, p_source_table := 'public.old');"
}

# rewrite_call KIND WAY: how it is called
rewrite_call()
{
	case $2 in
		locking) case $1 in
			convert) echo "SELECT convert_table('public.t', 'at', '1 day', p_mode := 'locking');" ;;
			drain) echo "SELECT drain_default('public.t', p_mode := 'locking');" ;;
		esac ;;
		*) case $1 in
			convert) echo "CALL convert_table_proc('public.t', 'at', '1 day', p_policy := '$2');" ;;
			drain) echo "CALL drain_default_proc('public.t', p_policy := '$2');" ;;
		esac ;;
	esac
}

# rewrite_rows_of MILLION TURNS
rewrite_rows_of()
{
	local million=$1 turns=$2 rows=$(($1 * 1000000)) r kind label template base="convert, $1 million" was
	rewrite_set "$rows"
	rewrite_scripts "$rows"
	was=$(sql plain "SELECT pg_total_relation_size('t')")
	for ((r = 0; r < turns; r++)); do
		rewrite_sample "$base" insert plain "$rows" 'INSERT INTO h SELECT * FROM t;'
		rewrite_sample "$base" 'insert, writers' plain "$rows" 'INSERT INTO h SELECT * FROM t;' writers
		for kind in convert drain; do
			label="$kind, $million million"
			template=$([ $kind = convert ] && echo plain || echo dflt)
			rewrite_sample "$label" locking $template "$rows" "$(rewrite_call $kind locking)" && rewritten "$label, locking" "$rows" $rewrite_days
			rewrite_sample "$label" online $template "$rows" "$(rewrite_call $kind strict)" && rewritten "$label, online" "$rows" $rewrite_days
			rewrite_sample "$label" 'online, writers' $template "$rows" "$(rewrite_call $kind strict)" writers
			[ "$million" != "${rewrite_millions[0]}" ] ||
				rewrite_sample "$label" 'fast, writers' $template "$rows" "$(rewrite_call $kind fast)" writers
		done
	done
	[ -z "$have_partman" ] || [ "$million" != "${rewrite_millions[0]}" ] || rewrite_partman "$million" "$rows"
	for kind in convert drain; do
		label="$kind, $million million"
		report_speed "$label" locking 1.6 "$base"
		report_speed "$label" online '' "$base"
		report_speed "$label" 'online, writers' 1.2 "$base" "; by hand with writers $(median "$base" 'insert, writers')"
		report_wal "$label" locking "$base"
		report_wal "$label" online "$base"
		report_size "$label" locking "$was" "$base"
		report_size "$label" online "$was" "$base"
		report_blocked "$label" 'online, writers' 500
		[ "$million" != "${rewrite_millions[0]}" ] || report_blocked "$label" 'fast, writers' 50
	done
	printf '%-34s latency: highest %.0f ms\n' '    writers, INSERT ... SELECT' "$(median "$base" 'insert, writers.highest')"
	for kind in plain dflt m; do sql postgres "DROP DATABASE $kind WITH (FORCE)"; done
}

# ---------- undo ----------

rewrite_undo()
{
	local label='undo, 100 of 10,000 rows' rows=1000000 r
	copy base hundred
	psql -qX -v ON_ERROR_STOP=1 -d hundred >/dev/null <<-SQL || die "cannot make the tables"
		DROP TABLE t;
		CREATE TABLE t (id bigint NOT NULL, at timestamptz NOT NULL, n int, t text, PRIMARY KEY (id, at)) PARTITION BY RANGE (at);
		CREATE INDEX t_n ON t (n);
		CALL hand.make_partitions('like', 't', current_date - 95, '1 day', 100);
		INSERT INTO t SELECT g, current_date - 95 + (g - 1) / 10000 * interval '1 day', (random() * 1000000)::int,
			lpad(g::text, 50, 'abcdefghijklmnopqrstuvwxyz') FROM generate_series(1, $rows) g;
		SELECT create_parent('public.t', 'at', '1 day', p_default_table := false);
		CREATE TABLE h (id bigint NOT NULL, at timestamptz NOT NULL, n int, t text, PRIMARY KEY (id, at));
		CREATE INDEX ON h (n);
	SQL
	[ -z "$have_partman" ] || sql hundred "INSERT INTO partman.part_config (parent_table, control, partition_type, partition_interval, datetime_string)
		VALUES ('public.t', 'at', 'native', '1 day', 'YYYY_MM_DD')"
	sql hundred 'VACUUM ANALYZE'
	for ((r = 0; r < repeat; r++)); do
		rewrite_sample "$label" insert hundred $rows 'INSERT INTO h SELECT * FROM t;'
		rewrite_sample "$label" locking hundred $rows "SELECT unpartition('public.t', p_mode := 'locking');" && rewritten "$label, locking" $rows 1
		rewrite_sample "$label" online hundred $rows "CALL unpartition_proc('public.t');" && rewritten "$label, online" $rows 1
	done
	if [ -n "$have_partman" ]; then
		copy hundred m
		sample "$label" pg_partman m "SELECT partman.undo_partition('public.t', p_batch_count := 101, p_keep_table := false, p_target_table := 'public.h');"
	fi
	report_speed "$label" locking 1.0
	report_speed "$label" online 1.0
	report_wal "$label" locking
	report_wal "$label" online
	sql postgres 'DROP DATABASE hundred WITH (FORCE)'
}

# ---------- fire ----------

# A table becomes a set, rows without partition get theirs, it becomes a table
# again, and so on while it is written to and counted.
rewrite_fire()
{
	local n=300000 seconds=$rewrite_fire_seconds writing reading end rounds=0 errors state verdict
	copy base f
	sql f "CALL hand.make_fire($n, '29 days'); ANALYZE" || { failed=1; return; }
	echo "SELECT hand.fire($n, '29 days');" >"$WORK/fire.write"
	cat >"$WORK/fire.read" <<-'SQL'
		SELECT hand.equal((SELECT count(*) || ':' || coalesce(sum(id), 0) FROM ev), (SELECT count(*) || ':' || coalesce(sum(id), 0) FROM model));
	SQL
	{
		echo 'BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1; SELECT pg_sleep(random() * 0.3);'
		cat "$WORK/fire.read"
		echo 'COMMIT;'
	} >"$WORK/fire.repeatable"
	pgbench -n -c 4 -j 1 -T "$seconds" -f "$WORK/fire.write" f >"$WORK/fire.writers" 2>&1 &
	writing=$!
	pgbench -n -c 2 -j 1 -T "$seconds" -f "$WORK/fire.read" -f "$WORK/fire.repeatable" f >"$WORK/fire.readers" 2>&1 &
	reading=$!
	end=$((SECONDS + seconds))
	: >"$WORK/fire.out"
	while [ $SECONDS -lt $((end - 3)) ]; do
		psql -qX -v ON_ERROR_STOP=1 -d f -c "CALL convert_table_proc('ev', 'at', '1 day', p_premake := 1)" >>"$WORK/fire.out" 2>&1 &&
			sleep 0.5 &&
			psql -qX -v ON_ERROR_STOP=1 -d f -c "CALL drain_default_proc('ev')" >>"$WORK/fire.out" 2>&1 &&
			psql -qX -v ON_ERROR_STOP=1 -d f -c "CALL unpartition_proc('ev')" >>"$WORK/fire.out" 2>&1 || break
		rounds=$((rounds + 1))
	done
	wait $writing $reading
	errors=$(cat "$WORK/fire.writers" "$WORK/fire.readers" "$WORK/fire.out" | grep -cE 'ERROR|aborted')
	grep -hE 'ERROR|aborted' "$WORK/fire.writers" "$WORK/fire.readers" "$WORK/fire.out" | head -n 5 >&2
	state=$(sql f "SELECT (SELECT count(*) FROM (TABLE model EXCEPT ALL TABLE ev) x) + (SELECT count(*) FROM (TABLE ev EXCEPT ALL TABLE model) x)
		|| ' rows differ of ' || (SELECT count(*) FROM ev)")
	verdict=met
	[ "$errors" = 0 ] && [ "$rounds" -gt 0 ] && [[ $state == '0 rows'* ]] || { verdict=MISSED; failed=1; }
	printf '%-34s %s\n' "fire, $seconds s" "$((3 * rounds)) rewrites; $(
		sed -nE 's/^number of transactions actually processed: ([0-9]+).*/\1/p' "$WORK/fire.writers") writes, $(
		sed -nE 's/^number of transactions actually processed: ([0-9]+).*/\1/p' "$WORK/fire.readers") readings; $state, $errors errors: $verdict" | tee -a "$WORK/report"
	sql postgres 'DROP DATABASE f WITH (FORCE)'
}

# ---------- real data ----------

# 3 million flights from a table to months, while more come and delays change; as
# if the last of them were of today
rewrite_flights()
{
	local label='3 million flights, by month' state
	if [ ! -s "$WORK/flights.csv" ]; then
		printf '%-34s not measured, npm could not fetch them\n' "$label"
		return
	fi
	copy base flights
	psql -qX -v ON_ERROR_STOP=1 -d flights >/dev/null <<-SQL || die "cannot load the flights"
		DROP TABLE t;
		CREATE TABLE t (id bigint GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY, at timestamptz NOT NULL, delay int, distance int, origin text, destination text);
		COPY t (at, delay, distance, origin, destination) FROM '$WORK/flights.csv' (FORMAT csv);
		CREATE INDEX t_origin ON t (origin, at);
		UPDATE t SET at = at + (current_date - date '2001-07-01') * interval '24 hours';
		CREATE TABLE h (LIKE t, PRIMARY KEY (id, at)) PARTITION BY RANGE (at);
		CREATE INDEX ON h (origin, at);
		CALL hand.make_partitions('like', 'h', date_trunc('month', current_date - 181), '1 month', 8);
		CREATE TABLE journal (kind text, id bigint);
		VACUUM FULL ANALYZE t;
		VACUUM ANALYZE;
	SQL
	cat >"$WORK/rewrite.flight" <<-'SQL'
		WITH new AS (INSERT INTO t (at, delay, distance, origin, destination) VALUES (now(), 0, 1452, 'LAS', 'PHL') RETURNING id)
			INSERT INTO journal SELECT 'insert', id FROM new;
		\set id random(1, 3000000)
		WITH old AS (UPDATE t SET delay = delay + 1 WHERE id = :id RETURNING id) INSERT INTO journal SELECT 'update', id FROM old;
	SQL
	rewrite_sample "$label" insert flights 3000000 'INSERT INTO h SELECT * FROM t;'
	copy flights m
	pgbench -n -c 2 -j 1 -R 200 -T 3600 -f "$WORK/rewrite.flight" m >"$WORK/pgbench.log" 2>&1 &
	rewrite_writers=$!
	rewrite_watcher=''
	sleep 1
	sample "$label" 'online, writers' m "CALL convert_table_proc('public.t', 'at', '1 month');"
	end_writers "$label" 'online, writers'
	report_speed "$label" 'online, writers' ''
	# a client that was killed may have left a statement at work
	state=$(sql m "SELECT pg_sleep(0.5); SELECT (SELECT count(*) FROM t) - 3000000 - count(*) FILTER (WHERE kind = 'insert'),
		(SELECT sum(delay) FROM t) - $(sql flights 'SELECT sum(delay) FROM t') - count(*) FILTER (WHERE kind = 'update'), count(*) FROM journal" | tail -n 1)
	if [[ $state == '0|0|'* ]]; then
		printf '    all rows and changes are there: met (%s written meanwhile, %s partitions with rows)\n' "${state##*|}" "$(sql m 'SELECT count(DISTINCT tableoid) FROM t')"
	else
		printf '    rows and changes that are not there, written: %s: MISSED\n' "$state"
		failed=1
	fi
	sql postgres 'DROP DATABASE flights WITH (FORCE)'
}

# ---------- all of it ----------

case_rewrite()
{
	local million turns
	psql -qX -v ON_ERROR_STOP=1 -d base -f "$here/rewrite.sql" || die "cannot prepare a database"
	rewrite_base=$(sql base "SELECT current_date - $rewrite_days")
	for million in "${rewrite_millions[@]}"; do
		turns=$repeat
		[ "$million" -lt 5 ] || turns=$((repeat > 3 ? 3 : repeat))
		[ "$million" -lt 10 ] || turns=1
		rewrite_rows_of "$million" "$turns"
	done
	rewrite_undo
	rewrite_fire
	rewrite_flights
}
