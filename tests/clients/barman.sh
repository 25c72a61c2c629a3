# barman-cloud as a database server runs it: WAL archiving, backup, one that SIGKILL cuts off, restore with recovery to the newest WAL,
# removal of old backups. Run by the test in a folder of the user postgres.
cd "$WORK"
trap '"$PGBIN"/pg_ctl -D data -m immediate stop >/dev/null 2>&1 || true' EXIT
export PATH=/usr/bin:/bin
mkdir -p sock log
"$PGBIN"/initdb -D data -U postgres -A trust --locale=C.UTF-8 -N >/dev/null
cloud=(--cloud-provider=aws-s3 "--endpoint-url=$AWS_ENDPOINT_URL")
cat >> data/postgresql.conf <<CONF
wal_level = replica
archive_mode = on
archive_command = 'barman-cloud-wal-archive ${cloud[*]} s3://barman main %p'
CONF
sql() { "$PGBIN"/psql -X -q -A -t -v ON_ERROR_STOP=1 -h "$WORK/sock" -p "$PGPORT" -U postgres -c "$1"; }
up() { "$PGBIN"/pg_ctl -D data -l log/pg -w -o "-p $PGPORT -c listen_addresses= -c unix_socket_directories=$WORK/sock -c fsync=off" start >/dev/null; }
barman-cloud-check-wal-archive "${cloud[@]}" s3://barman main
up
sql 'create table ledger as select n, md5(n::text) as line from generate_series(1, 200000) n'
barman-cloud-backup "${cloud[@]}" --immediate-checkpoint -h "$WORK/sock" -p "$PGPORT" -U postgres s3://barman main
sql "insert into ledger select n, 'second' from generate_series(200001, 210000) n"
sql 'select pg_switch_wal()' >/dev/null
# A backup that is cut off, and one that replaces it.
setsid barman-cloud-backup "${cloud[@]}" --immediate-checkpoint -h "$WORK/sock" -p "$PGPORT" -U postgres s3://barman main >/dev/null 2>&1 & pid=$!
sleep 1
kill -KILL -- -$pid 2>/dev/null || true
wait $pid || true
barman-cloud-backup "${cloud[@]}" --immediate-checkpoint -h "$WORK/sock" -p "$PGPORT" -U postgres s3://barman main
sql "insert into ledger select n, 'third' from generate_series(210001, 210100) n"
sum=$(sql "select md5(string_agg(n || line, ',' order by n)) from ledger")
sql 'select pg_switch_wal()' >/dev/null
"$PGBIN"/pg_ctl -D data -m fast -w stop >/dev/null
id=$(barman-cloud-backup-list "${cloud[@]}" --format json s3://barman main | python3 -c 'import json, sys; print([b["backup_id"] for b in json.load(sys.stdin)["backups_list"] if b["status"] == "DONE"][-1])')
rm -rf data
barman-cloud-restore "${cloud[@]}" s3://barman main "$id" data
chmod 700 data
echo "restore_command = 'barman-cloud-wal-restore ${cloud[*]} s3://barman main %f %p'" >> data/postgresql.conf
touch data/recovery.signal
up
for _ in $(seq 1 300); do [ "$(sql 'select pg_is_in_recovery()')" = f ] && break; sleep 0.2; done
test "$(sql "select md5(string_agg(n || line, ',' order by n)) from ledger")" = "$sum"
barman-cloud-backup-delete "${cloud[@]}" --retention-policy 'REDUNDANCY 1' s3://barman main
test "$(barman-cloud-backup-list "${cloud[@]}" --format json s3://barman main | python3 -c 'import json, sys; print(len([b for b in json.load(sys.stdin)["backups_list"] if b["status"] == "DONE"]))')" = 1
"$PGBIN"/pg_ctl -D data -m immediate -w stop >/dev/null
