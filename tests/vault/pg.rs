//! Goal: the main job on a real database: `pg_dump` twice, with 1 % of the rows changed between. Changed in one key range
//! the second dump adds < 10 % of physical bytes; the random case is printed. Method: a PostgreSQL of our own on a free
//! port of 127.0.0.1, its dump streamed into the vault, the metric before and after, and the dump restored and compared.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use crate::physical::assert_metric_is_true;
use crate::support::s3::sign::sha256_hex;
use crate::support::vault::{Folder, Vault, free_port};

/// Rows of the test's table, of about 130 bytes each in a dump.
const ROWS: u32 = 400_000;

struct Postgres {
    bin: PathBuf,
    folder: Folder,
    port: u16,
    started: bool,
}

/// The newest PostgreSQL that the distribution installed.
fn find_bin() -> PathBuf {
    let mut found: Vec<PathBuf> = std::fs::read_dir("/usr/lib/postgresql")
        .map(|folder| folder.flatten().map(|entry| entry.path().join("bin")).collect())
        .unwrap_or_default();
    found.retain(|bin| bin.join("initdb").exists() && bin.join("pg_dump").exists());
    found.sort();
    found.pop().expect("PostgreSQL is needed for this test: install the package `postgresql`")
}

impl Postgres {
    fn start() -> Self {
        let mut server = Self { bin: find_bin(), folder: Folder::new("postgres"), port: free_port(), started: false };
        let data = server.data();
        if is_root() {
            let owner = server.as_owner("id").arg("-u").output().expect("id");
            assert!(owner.status.success(), "no user `postgres` to run the database as");
            let chown = Command::new("chown").arg("postgres:").arg(&server.folder.0).status().expect("chown");
            assert!(chown.success(), "the database's folder must belong to postgres");
        }
        let initdb = server.bin.join("initdb");
        let made = server
            .as_owner(&initdb)
            .args(["-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "-N", "-D"])
            .arg(&data)
            .output();
        expect(made, "initdb");
        let options = format!(
            "-p {} -c listen_addresses=127.0.0.1 -c unix_socket_directories= -c fsync=off -c autovacuum=off",
            server.port
        );
        let pg_ctl = server.bin.join("pg_ctl");
        let log = server.folder.0.join("log");
        let up = server
            .as_owner(&pg_ctl)
            .args(["-w", "-D"])
            .arg(&data)
            .arg("-l")
            .arg(log)
            .arg("-o")
            .arg(options)
            .arg("start")
            .stdout(Stdio::null())
            .status();
        assert!(up.expect("pg_ctl").success(), "PostgreSQL did not start");
        server.started = true;
        server
    }

    fn data(&self) -> PathBuf {
        self.folder.0.join("data")
    }

    /// PostgreSQL refuses to run as root.
    fn as_owner(&self, program: impl AsRef<Path>) -> Command {
        let mut command = if is_root() {
            let mut command = Command::new("setpriv");
            command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups"]).arg(program.as_ref());
            command
        } else {
            Command::new(program.as_ref())
        };
        command.current_dir(&self.folder.0).stdin(Stdio::null());
        command
    }

    fn tool(&self, name: &str) -> Command {
        let mut command = Command::new(self.bin.join(name));
        command.args(["-h", "127.0.0.1", "-U", "postgres", "-p"]).arg(self.port.to_string());
        command
    }

    fn sql(&self, statement: &str) -> String {
        let output = expect(
            self.tool("psql")
                .args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-c", statement, "postgres"])
                .output(),
            statement,
        );
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    /// `pg_dump`, uncompressed, as one body.
    fn dump(&self) -> Vec<u8> {
        let mut child =
            self.tool("pg_dump").args(["-Fc", "-Z0", "postgres"]).stdout(Stdio::piped()).spawn().expect("pg_dump");
        let mut bytes = Vec::new();
        child.stdout.take().expect("its output").read_to_end(&mut bytes).expect("the dump");
        assert!(child.wait().expect("pg_dump").success(), "pg_dump failed");
        bytes
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        if self.started {
            let pg_ctl = self.bin.join("pg_ctl");
            let _ = self.as_owner(&pg_ctl).args(["-w", "-m", "immediate", "-D"]).arg(self.data()).arg("stop").output();
        }
    }
}

fn is_root() -> bool {
    // SAFETY: geteuid() only reads the process's credentials.
    unsafe { libc::geteuid() == 0 }
}

#[track_caller]
fn expect(output: std::io::Result<Output>, what: &str) -> Output {
    let output = output.unwrap_or_else(|error| panic!("{what}: {error}"));
    assert!(output.status.success(), "{what}: {}", String::from_utf8_lossy(&output.stderr));
    output
}

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
