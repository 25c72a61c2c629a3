//! Goal: the vault's main promise, told with the tools that its users have: what `pg_dump | aws s3 cp -` was told is stored comes
//! back byte for byte after kill -9, the loss of two of six disks and of the index. Method: a real database, the dump kept
//! beside by `tee`, another upload under way at the kill; restored into a second database and compared.

use std::io::Write;
use std::process::{Child, Stdio};

use crate::support::corrupt::{self, Harm};
use crate::support::data;
use crate::support::postgres::Postgres;
use crate::support::seed;
use crate::support::vault::{DISKS, Vault, wait_until};
use crate::user::User;

/// Fills a database with a table of `rows` rows and one of large values.
pub fn make_accounts(postgres: &Postgres, database: &str, rows: u32) {
    postgres.sql_in(
        database,
        &format!(
            "create table accounts as select id, id % 50 as branch, (random() * 1e9)::bigint as balance, \
             md5(random()::text) as token, 'имя ' || id || E'\\t\\n\\\\' as name from generate_series(1, {rows}) id; \
             alter table accounts add primary key (id); \
             create table papers as select id, (select string_agg(md5(random()::text || n || id), '') \
             from generate_series(1, 400) n) as body from generate_series(1, {rows} / 200) id"
        ),
    );
}

/// What the database holds, in one line.
pub fn sum_of(postgres: &Postgres, database: &str) -> String {
    postgres.sql_in(
        database,
        "select count(*), sum(hashtext(a::text)::bigint), (select sum(hashtext(p::text)::bigint) from papers p) from accounts a",
    )
}

fn user_of(vault: &Vault, postgres: &Postgres) -> User {
    let mut user = User::of(vault);
    user.set("PGHOST", "127.0.0.1");
    user.set("PGPORT", postgres.port().to_string());
    user.set("PGUSER", "postgres");
    user
}

/// An upload that has sent parts and goes on forever.
fn upload_under_way(vault: &Vault, user: &User) -> Child {
    let before = vault.metrics().physical("data");
    let mut upload = user.aws(&["s3", "cp", "-", "s3://backups/unfinished"]).stdin(Stdio::piped()).spawn().unwrap();
    let mut pipe = upload.stdin.take().unwrap();
    std::thread::spawn(move || {
        let mut piece = vec![0; 1 << 20];
        for number in 0.. {
            data::fill(77, number << 20, &mut piece);
            if pipe.write_all(&piece).is_err() {
                return;
            }
        }
    });
    wait_until("parts of the upload under way", || vault.metrics().physical("data") > before + (24 << 20));
    upload
}

#[test]
fn a_dump_survives_kill_two_lost_disks_and_the_index() {
    let mut rng = seed::rng("a_dump_survives_kill_two_lost_disks_and_the_index");
    let postgres = Postgres::start();
    postgres.sql("create database mydb");
    postgres.sql("create database mydb_again");
    make_accounts(&postgres, "mydb", 400_000);
    let mut vault = Vault::start_new("HEADLINE");
    let user = user_of(&vault, &postgres);
    user.run(&["s3", "mb", "s3://backups"]);
    let mut upload = upload_under_way(&vault, &user);
    user.shell("pg_dump mydb | tee plain.sql | aws s3 cp - s3://backups/plain.sql");
    user.shell("pg_dump -Fc -Z0 mydb | tee custom.dump | aws s3 cp - s3://backups/custom.dump");
    // At once: the exit code of `aws` was the acknowledgement.
    vault.kill();
    let _ = upload.kill();
    let _ = upload.wait();

    let first = rng.below(DISKS as u64) as usize;
    let second = (first + rng.range(1, DISKS as u64) as usize) % DISKS;
    println!("lost: disk{first}, disk{second} and the index");
    corrupt::harm(&vault.disk(first), Harm::Removed, &mut rng);
    corrupt::harm(&vault.disk(second), Harm::Removed, &mut rng);
    std::fs::remove_dir_all(vault.index()).unwrap();
    vault.start();

    let user = user_of(&vault, &postgres);
    for name in ["plain.sql", "custom.dump"] {
        user.shell(&format!("aws s3 cp s3://backups/{name} - | cmp - {name}"));
        let len = user.read(name).len();
        println!("{name}: {len} bytes came back");
        assert!(len > 30_000_000, "{name} has {len} bytes: more than one part, many stripes");
    }
    let listed = user.run(&["s3", "ls", "s3://backups"]);
    assert_eq!(listed.lines().count(), 2, "what was under way is not there: {listed}");
    user.shell("aws s3 cp s3://backups/plain.sql - | psql -X -q -v ON_ERROR_STOP=1 mydb_again");
    assert_eq!(sum_of(&postgres, "mydb_again"), sum_of(&postgres, "mydb"));
    postgres.sql("create database mydb_custom");
    user.shell("aws s3 cp s3://backups/custom.dump - | pg_restore -d mydb_custom");
    assert_eq!(sum_of(&postgres, "mydb_custom"), sum_of(&postgres, "mydb"));

    // And it goes on: four disks still take a backup.
    user.shell("pg_dump mydb_again | aws s3 cp - s3://backups/next.sql");
    user.shell("aws s3 cp s3://backups/next.sql - | psql -X -q -v ON_ERROR_STOP=1 -c 'drop table accounts, papers' -f - mydb_again");
    assert_eq!(sum_of(&postgres, "mydb_again"), sum_of(&postgres, "mydb"));
}
