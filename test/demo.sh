#!/usr/bin/env bash
#
# demo.sh [--stop]
#		partmgr at work on real data, in under two minutes from a bare checkout.
#
# A webhook receiver has its events partitioned by month, by hand: two months,
# then nobody made another.  partmgr takes the table over, and its worker keeps
# it ahead and applies the retention while one watches.  The events are the 329
# example payloads of npm's @octokit/webhooks-examples.  All dates are relative
# to today.
#
# Builds a copy, installs it below a temporary directory and starts a
# throw-away server there; the server goes on running for the reader to play
# with, unless --stop says otherwise.  Each thing that the text promises is
# checked: exit code 1 if one does not come true.
#
set -euo pipefail
cd "$(dirname "$0")/.."
. test/lib.sh

keep=yes
case ${1:-} in
	'') ;;
	--stop) keep='' ;;
	*) echo "usage: test/demo.sh [--stop]" >&2; exit 2 ;;
esac

test/install.sh demo

bin=/usr/lib/postgresql/15/bin
dir=$(mktemp -d "$(pm_scratch /dev/shm)/partmgr-demo.XXXXXX")
as=()
if [ "$(id -u)" = 0 ]; then
	as=(runuser -u postgres --)
fi

# whatever goes wrong, nothing stays behind
finish()
{
	[ -z "$keep" ] || [ -z "$finished" ] || return 0
	[ -n "$finished" ] || [ ! -e "$dir/log" ] || tail -n 30 "$dir/log" >&2
	pm_stop_servers "$dir"
	rm -rf "$dir"
}
finished=''
trap finish EXIT
trap 'exit 1' INT TERM

give_up()
{
	echo "demo: $1" >&2
	exit 1
}

# ---------- build, fetch, start ----------

echo "Building partmgr and fetching the events ..."
pm_copy_source "$dir/src"
make -s -j2 -C "$dir/src" with_llvm=no PG_CONFIG=$bin/pg_config >"$dir/build.log" 2>&1 &&
	make -s -C "$dir/src" install with_llvm=no PG_CONFIG=$bin/pg_config DESTDIR="$dir/dest" >>"$dir/build.log" 2>&1 ||
	{ tail -n 20 "$dir/build.log" >&2; give_up "partmgr does not build"; }
rm -rf "$dir/src"

mkdir "$dir/events"
(cd "$dir/events" && npm pack --loglevel=error --fetch-retries=1 @octokit/webhooks-examples@7.6.1 >/dev/null &&
	tar -xzf ./*.tgz) </dev/null || give_up "npm cannot fetch @octokit/webhooks-examples"
node -e '
	let n = 0;
	for (const kind of require(process.argv[1]))
		for (const event of kind.examples) {
			const fields = [n++, kind.name, event.action ?? "", JSON.stringify(event)];
			console.log(fields.map(f => "\"" + String(f).replaceAll("\"", "\"\"") + "\"").join(","));
		}' "$dir/events/package/api.github.com/index.json" >"$dir/events.csv"

[ ${#as[@]} = 0 ] || chown postgres "$dir"
"${as[@]}" $bin/initdb -D "$dir/data" -U postgres -A trust -N --encoding=UTF8 --locale=C.UTF-8 >/dev/null
"${as[@]}" tee -a "$dir/data/postgresql.conf" >/dev/null <<CONF
extension_destdir = '$dir/dest'
dynamic_library_path = '$dir/dest$($bin/pg_config --pkglibdir):\$libdir'
shared_preload_libraries = 'partmgr'
partmgr.interval = '2s'
listen_addresses = ''
unix_socket_directories = '$dir'
timezone = 'UTC'
fsync = off
CONF
"${as[@]}" $bin/pg_ctl -D "$dir/data" -l "$dir/log" -w -s start </dev/null

export PGHOST=$dir PGUSER=postgres PGDATABASE=demo PGOPTIONS='-c client_min_messages=warning'
unset PGPORT PGSERVICE PGTZ PGDATESTYLE
psql=($bin/psql -X -q -v ON_ERROR_STOP=1 -P pager=off -P footer=off)
"${psql[@]}" -d postgres -c 'CREATE DATABASE demo'

# ---------- how it is told ----------

tell()
{
	printf '\n'
	fold -s -w 96 <<<"$*" | sed 's/^/-- /; s/ *$//'
}

# show the statements, then run them in one session
show()
{
	printf '%s\n' "$1" | sed '1s/^/demo=# /; 1!s/^/demo-# /'
	"${psql[@]}" "${@:2}" <<<"$1"
}

# one value, unseen
value()
{
	"${psql[@]}" -At -c "$1"
}

# promise SENTENCE CONDITION: what has been said must be so
promise()
{
	[ "$(value "SELECT coalesce(($2), false)")" = t ] || give_up "it is not true that $1"
}

month()
{
	value "SELECT to_char(date_trunc('month', now()) + interval '$1 months', '${2:-YYYY-MM-01}')"
}

first=$(month -7 YYYY_MM) second=$(month -6 YYYY_MM) third=$(month -5 YYYY_MM) this=$(month 0 YYYY_MM)

# ---------- the story ----------

tell "A webhook receiver keeps its events by month. Two partitions were made by hand, seven and six" \
	"months ago."
show "CREATE TABLE public.webhook_events (
    id          bigint GENERATED ALWAYS AS IDENTITY,
    received_at timestamptz NOT NULL DEFAULT now(),
    event       text NOT NULL,
    action      text,
    payload     jsonb NOT NULL,
    PRIMARY KEY (id, received_at)
) PARTITION BY RANGE (received_at);
CREATE INDEX ON webhook_events (event, received_at);
CREATE TABLE webhook_events_$first PARTITION OF webhook_events
    FOR VALUES FROM ('$(month -7)') TO ('$(month -6)');
CREATE TABLE webhook_events_$second PARTITION OF webhook_events
    FOR VALUES FROM ('$(month -6)') TO ('$(month -5)');"

"${psql[@]}" <<SQL
CREATE TEMP TABLE incoming (n int, event text, action text, payload jsonb);
\copy incoming FROM '$dir/events.csv' (FORMAT csv)
INSERT INTO webhook_events (received_at, event, action, payload)
	SELECT date '$(month -7)' + n * (date '$(month -5)' - date '$(month -7)') * interval '1 day' / 329,
		event, nullif(action, ''), payload
	FROM incoming ORDER BY n;
ANALYZE webhook_events;
SQL
tell "329 real webhook events have come in since, and then the partitions ended."
show "SELECT tableoid::regclass AS partition, count(*), count(DISTINCT event) AS kinds, min(received_at), max(received_at)
FROM webhook_events GROUP BY 1 ORDER BY 1;"
promise "there are 329 events" "SELECT count(*) = 329 FROM webhook_events"

tell "Two statements put partmgr in charge. It takes over the partitions by their bounds, sees how they" \
	"are named, closes the gap up to this month and goes four months ahead."
show "CREATE SCHEMA partman;
CREATE EXTENSION partmgr SCHEMA partman;
SELECT partman.create_parent('public.webhook_events', 'received_at', '1 month', p_premake => 4);"
show "SELECT partition_name, range, state, row_estimate FROM partman.list_partitions('public.webhook_events');"
promise "new partitions go on in the pattern of the old ones" \
	"SELECT to_regclass('webhook_events_$third') IS NOT NULL AND to_regclass('webhook_events_$this') IS NOT NULL"

tell "Now a retention of six months, and two more months ahead. The configuration is a table. Asked in" \
	"the same transaction, partmgr says what its worker is going to do once we commit:"
last=$(value "SELECT coalesce(max(id), 0) FROM partman.part_log")
show "BEGIN;
UPDATE partman.part_config SET premake = 6, retention = '6 months', retention_keep_table = false
WHERE parent_table = 'public.webhook_events'::regclass;
SELECT step, partition_name, reason, lock, row_estimate FROM partman.maintenance_plan('public.webhook_events');
COMMIT;"

tell "Nobody calls anything now. The worker's own log:"
deadline=$((SECONDS + 30))
is_done=f
until [ "$is_done" = t ]; do
	[ $SECONDS -lt $deadline ] || give_up "the worker has not done what was planned within 30 seconds"
	sleep 0.1
	# asked first, so that the last look at the log misses nothing
	is_done=$(value "SELECT NOT EXISTS (SELECT FROM partman.maintenance_plan('public.webhook_events'))
		AND to_regclass('webhook_events_$first') IS NULL
		AND to_regclass('webhook_events_$(month 6 YYYY_MM)') IS NOT NULL
		AND EXISTS (SELECT FROM partman.part_state WHERE last_success IS NOT NULL)")
	while IFS='|' read -r id time action name message; do
		[ -n "$id" ] || continue
		last=$id
		printf '   %s  %-6s %s  (%s)\n' "$time" "$action" "$name" "$message"
	done <<<"$(value "SELECT id, to_char(logged_at, 'HH24:MI:SS.MS'), action, partition_name, message
		FROM partman.part_log WHERE id > $last ORDER BY id")"
done
echo

show "SELECT partition_name, range, state, row_estimate FROM partman.list_partitions('public.webhook_events');"
promise "only what was out of retention is gone" \
	"SELECT count(*) BETWEEN 150 AND 180 AND min(received_at) >= '$(month -6)' FROM webhook_events"

tell "An event that arrives now lands where it belongs:"
show "INSERT INTO webhook_events (event, action, payload) VALUES ('star', 'created', '{\"stars\": 1}')
RETURNING tableoid::regclass AS partition, received_at;"
promise "the event is in this month's partition" \
	"SELECT tableoid = 'webhook_events_$this'::regclass FROM webhook_events WHERE payload = '{\"stars\": 1}'"

tell "And this is the one query to look at in the morning:"
show "SELECT * FROM partman.partition_health_summary();" -x
promise "the set is healthy" \
	"SELECT status = 'HEALTHY' FROM partman.partition_health_summary('public.webhook_events')"

# ---------- the end ----------

stop="$bin/pg_ctl -D $dir/data -m fast -s stop"
finished=yes
if [ -z "$keep" ]; then
	"${as[@]}" $stop
	pm_count demo 1 0 0
	exit 0
fi
rm -rf "$dir/events" "$dir/events.csv"
cat <<EOT

The server goes on running.  To look around:
    psql -h $dir -U postgres demo
To stop and remove it:
    ${as[*]:+${as[*]} }$stop && rm -rf $dir
EOT
