//! Goal: the main job on a real database: `pg_dump` twice, with 1 % of the rows changed between. Changed in one key range
//! the second dump adds < 10 % of physical bytes; the random case is printed. Method: a PostgreSQL of our own on a free
//! port of 127.0.0.1, its dump streamed into the vault, the metric before and after, and the dump restored and compared.

use crate::physical::assert_metric_is_true;
use crate::support::postgres::{Postgres, expect};
use crate::support::s3::sign::sha256_hex;
use crate::support::vault::Vault;

/// Rows of the test's table, of about 130 bytes each in a dump.
const ROWS: u32 = 400_000;

#[test]
fn second_dump_after_one_percent_changed() {
    let postgres = Postgres::start();
    let vault = Vault::start_new("PG");
    let client = vault.client();
    client.create_bucket("dumps");
    postgres.sql(&format!(
        "create table accounts as select id, id % 50 as branch, (random() * 1e9)::bigint as balance, md5(random()::text) \
         as token, repeat('x', 20) || md5(id::text) as filler from generate_series(1, {ROWS}) id; alter table accounts add primary key (id)"
    ));
    let rows = postgres.sql("select sum(hashtext(a::text)::bigint) from accounts a");
    let mut before = assert_metric_is_true(&vault).total();
    let mut store = |name: &str| {
        let dump = postgres.dump();
        client.put("dumps", name, &dump);
        assert_eq!(sha256_hex(&client.get("dumps", name)), sha256_hex(&dump), "{name}");
        let now = assert_metric_is_true(&vault).total();
        let added = now - before;
        before = now;
        println!("pg_dump {name}: {} bytes, {added} physical bytes added", dump.len());
        added
    };
    let first = store("first");
    let change =
        |rows: &str| format!("update accounts set balance = balance + 1, token = md5(random()::text) where {rows}");
    let from = ROWS / 3;
    postgres.sql(&change(&format!("id >= {from} and id < {}", from + ROWS / 100)));
    let clustered = store("after 1 % changed in one key range");
    // Rewritten in order of the key, so that only which rows changed differs from the case before.
    postgres.sql("cluster accounts using accounts_pkey");
    store("after cluster");
    postgres.sql(&change("id % 100 = 7"));
    postgres.sql("cluster accounts using accounts_pkey");
    let scattered = store("after 1 % changed all over");
    println!(
        "clustered {:.2} %, random {:.2} % of the first dump",
        percent(clustered, first),
        percent(scattered, first)
    );
    assert!(clustered * 10 < first, "1 % in one key range added {:.2} %", percent(clustered, first));

    let saved = vault.folder().join("restored.dump");
    std::fs::write(&saved, client.get("dumps", "first")).unwrap();
    postgres.sql("create schema gone; alter table accounts set schema gone");
    expect(postgres.tool("pg_restore").args(["-d", "postgres"]).arg(&saved).output(), "pg_restore");
    let restored = postgres.sql("select sum(hashtext(a::text)::bigint) from accounts a");
    assert_eq!(restored, rows, "the restored table is the one that was dumped first");
}

fn percent(part: u64, of: u64) -> f64 {
    100.0 * part as f64 / of as f64
}
