//! A PostgreSQL of the test's own: the newest that the distribution installed, on a free port of 127.0.0.1, in a folder that
//! goes away with it.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use super::vault::{Folder, free_port};

/// A running server, ended and removed with its owner. User `postgres`, no password, TCP on 127.0.0.1 only.
pub struct Postgres {
    bin: PathBuf,
    folder: Folder,
    port: u16,
    started: bool,
}

/// Programs of the newest PostgreSQL that the distribution installed.
pub fn newest_bin() -> PathBuf {
    let mut found: Vec<PathBuf> = std::fs::read_dir("/usr/lib/postgresql")
        .map(|folder| folder.flatten().map(|entry| entry.path().join("bin")).collect())
        .unwrap_or_default();
    found.retain(|bin| bin.join("initdb").exists() && bin.join("pg_dump").exists());
    found.sort();
    found.pop().expect("PostgreSQL is needed for this test: install the package `postgresql`")
}

impl Postgres {
    /// Makes and starts one.
    pub fn start() -> Self {
        let mut server = Self { bin: newest_bin(), folder: Folder::new("postgres"), port: free_port(), started: false };
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

    /// Port it listens on.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Folder of its programs.
    pub fn bin(&self) -> &Path {
        &self.bin
    }

    /// One of its programs, told where the server is.
    pub fn tool(&self, name: &str) -> Command {
        let mut command = Command::new(self.bin.join(name));
        command.args(["-h", "127.0.0.1", "-U", "postgres", "-p"]).arg(self.port.to_string());
        command
    }

    /// What a statement gives in the database `postgres`.
    pub fn sql(&self, statement: &str) -> String {
        self.sql_in("postgres", statement)
    }

    /// What a statement gives in a database.
    pub fn sql_in(&self, database: &str, statement: &str) -> String {
        let output = expect(
            self.tool("psql")
                .args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-c", statement, database])
                .output(),
            statement,
        );
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    /// `pg_dump`, uncompressed, as one body.
    pub fn dump(&self) -> Vec<u8> {
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

/// Whether this process is root, as which PostgreSQL does not run.
pub fn is_root() -> bool {
    // SAFETY: geteuid() only reads the process's credentials.
    unsafe { libc::geteuid() == 0 }
}

/// What a program said, which must have succeeded.
#[track_caller]
pub fn expect(output: std::io::Result<Output>, what: &str) -> Output {
    let output = output.unwrap_or_else(|error| panic!("{what}: {error}"));
    assert!(output.status.success(), "{what}: {}", String::from_utf8_lossy(&output.stderr));
    output
}
