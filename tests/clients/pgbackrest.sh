# pgBackRest over TLS as a database server runs it: full, differential and incremental backups, WAL archiving, recovery to a point in
# time, a backup that SIGKILL cuts off, expiry, verification. Run by the test in a folder of the user postgres.
cd "$WORK"
trap '"$PGBIN"/pg_ctl -D data -m immediate stop >/dev/null 2>&1 || true' EXIT
export PATH=/usr/bin:/bin
mkdir -p sock log lock spool
"$PGBIN"/initdb -D data -U postgres -A trust --locale=C.UTF-8 -N >/dev/null
printf '%s\n' '[global]' repo1-type=s3 repo1-path=/repo repo1-s3-bucket=pgbackrest repo1-s3-uri-style=path repo1-s3-endpoint=localhost \
    repo1-storage-host=localhost "repo1-storage-port=$PORT" "repo1-storage-ca-file=$CA" repo1-s3-region=us-east-1 \
    "repo1-s3-key=$AWS_ACCESS_KEY_ID" "repo1-s3-key-secret=$AWS_SECRET_ACCESS_KEY" repo1-retention-full=1 repo1-bundle=y start-fast=y \
    "log-path=$WORK/log" "lock-path=$WORK/lock" "spool-path=$WORK/spool" log-level-console=warn '[main]' "pg1-path=$WORK/data" "pg1-port=$PGPORT" \
    "pg1-socket-path=$WORK/sock" pg1-user=postgres > pgbackrest.conf
back() { pgbackrest --config="$WORK/pgbackrest.conf" --stanza=main "$@"; }
sql() { "$PGBIN"/psql -X -q -A -t -v ON_ERROR_STOP=1 -h "$WORK/sock" -p "$PGPORT" -U postgres -c "$1"; }
up() { "$PGBIN"/pg_ctl -D data -l log/pg -w -o "-p $PGPORT -c listen_addresses= -c unix_socket_directories=$WORK/sock -c fsync=off" start >/dev/null; }
cat >> data/postgresql.conf <<CONF
wal_level = replica
archive_mode = on
archive_command = 'pgbackrest --config=$WORK/pgbackrest.conf --stanza=main archive-push %p'
CONF
up
back stanza-create
back check
sql 'create table ledger as select n, md5(n::text) as line from generate_series(1, 200000) n'
back backup --type=full
sql "insert into ledger select n, 'second' from generate_series(200001, 210000) n"
back backup --type=diff
sql "update ledger set line = 'third' where n % 1000 = 0"
back backup --type=incr
sum=$(sql "select md5(string_agg(n || line, ',' order by n)) from ledger")
moment=$(sql 'select clock_timestamp()')
sleep 1
sql 'drop table ledger'
sql 'select pg_switch_wal()' >/dev/null
back check
"$PGBIN"/pg_ctl -D data -m fast -w stop >/dev/null
rm -rf data
back restore --type=time "--target=$moment" --target-action=promote
up
for _ in $(seq 1 300); do [ "$(sql 'select pg_is_in_recovery()')" = f ] && break; sleep 0.2; done
test "$(sql "select md5(string_agg(n || line, ',' order by n)) from ledger")" = "$sum"
# An upload that is cut off with all its workers, and what comes after it.
setsid pgbackrest --config="$WORK/pgbackrest.conf" --stanza=main backup --type=full & pid=$!
sleep 1
kill -KILL -- -$pid 2>/dev/null || true
wait $pid || true
back backup --type=full
back expire
test "$(back info --output=json | grep -o '"label":"[^"]*F"' | sort -u | wc -l)" = 1
back verify
"$PGBIN"/pg_ctl -D data -m immediate -w stop >/dev/null
