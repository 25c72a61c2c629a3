//! Somebody who uses a vault: awscli, Python and a shell, with the vault's keys and a home of their own, and nothing else of
//! the machine's settings.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use crate::support::vault::Vault;

/// Seconds after which a client counts as hung.
const PATIENCE: &str = "300";

/// See the module.
pub struct User {
    environment: PathBuf,
    home: PathBuf,
    settings: Vec<(String, String)>,
}

impl User {
    /// A user of a running vault. Ports change with every start, so each start needs a new one.
    pub fn of(vault: &Vault) -> Self {
        let home = vault.folder().join("home");
        fs::create_dir_all(&home).expect("a home for the client");
        let path = format!("{}:/usr/local/bin:/usr/bin:/bin", environment().join("bin").display());
        let home_text = home.to_str().expect("a path that is text").to_owned();
        let mut user = Self { environment: environment(), home, settings: Vec::new() };
        user.set("PATH", path);
        user.set("HOME", home_text);
        user.set("LC_ALL", "C.UTF-8");
        user.set("PYTHONDONTWRITEBYTECODE", "1");
        // Otherwise credentials would be looked for in the cloud that the machine may be in.
        user.set("AWS_EC2_METADATA_DISABLED", "true");
        // The rest is what `make run` writes to run.env.
        user.set("AWS_ACCESS_KEY_ID", &vault.keys().access);
        user.set("AWS_SECRET_ACCESS_KEY", &vault.keys().secret);
        user.set("AWS_DEFAULT_REGION", "us-east-1");
        user.set("AWS_ENDPOINT_URL", format!("http://127.0.0.1:{}", vault.s3_port()));
        user
    }

    /// A new vault that speaks TLS under the name `localhost` (pgBackRest 2.45 compares no addresses), and a user who trusts it.
    pub fn over_tls(name: &str) -> (Vault, Self) {
        let mut vault = Vault::prepare(name);
        let out = vault.folder().to_str().expect("a path that is text").to_owned();
        let made = vault.command().args(["tls", "self-signed", "--name", "localhost", "--out", &out]).status();
        assert!(made.expect("the binary starts").success());
        vault.set_config(&format!("[s3]\ntls_cert = \"{out}/tls.crt\"\ntls_key = \"{out}/tls.key\"\n"));
        vault.start();
        let mut user = Self::of(&vault);
        user.set("AWS_ENDPOINT_URL", format!("https://localhost:{}", vault.s3_port()));
        user.set("AWS_CA_BUNDLE", format!("{out}/tls.crt"));
        (vault, user)
    }

    /// Sets a variable for everything this user runs.
    pub fn set(&mut self, name: &str, value: impl Into<String>) {
        self.settings.push((name.to_owned(), value.into()));
    }

    /// The variables of everything this user runs.
    pub fn settings(&self) -> &[(String, String)] {
        &self.settings
    }

    /// Where this user keeps files.
    pub fn home(&self) -> &Path {
        &self.home
    }

    /// A file in the home, written.
    pub fn file(&self, name: &str, content: &[u8]) -> PathBuf {
        let path = self.home.join(name);
        fs::create_dir_all(path.parent().expect("a folder")).expect("folders of a file");
        fs::write(&path, content).expect("a file to upload");
        path
    }

    /// What a file in the home holds.
    #[track_caller]
    pub fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.home.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    /// A program in this user's environment, bounded in time.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new("/usr/bin/timeout");
        command.args(["--kill-after=5", PATIENCE]).arg(program);
        command.env_clear().envs(self.settings.iter().map(|(name, value)| (name, value)));
        command.current_dir(&self.home).stdin(Stdio::null());
        command
    }

    /// `aws` with these arguments.
    pub fn aws(&self, arguments: &[&str]) -> Command {
        let mut command = self.command(self.environment.join("bin/aws"));
        command.args(arguments);
        command
    }

    /// Runs `aws`, which must succeed; what it printed.
    #[track_caller]
    pub fn run(&self, arguments: &[&str]) -> String {
        let output = self.aws(arguments).output().expect("aws starts");
        assert!(output.status.success(), "aws {arguments:?}: {}", said(&output));
        String::from_utf8(output.stdout).expect("text")
    }

    /// Runs `aws` with JSON output.
    #[track_caller]
    pub fn json(&self, arguments: &[&str]) -> serde_json::Value {
        let text = self.run(&[arguments, &["--output", "json"]].concat());
        if text.trim().is_empty() {
            return serde_json::Value::Null;
        }
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("aws {arguments:?}: {error}: {text}"))
    }

    /// Runs `aws`, which must fail by itself and say all of `words`.
    #[track_caller]
    pub fn fails(&self, arguments: &[&str], words: &[&str]) {
        let output = self.aws(arguments).output().expect("aws starts");
        let code = output.status.code();
        assert!(
            code.is_some_and(|code| (1..=255).contains(&code) && code != 124),
            "aws {arguments:?}: {}",
            said(&output)
        );
        for word in words {
            assert!(said(&output).contains(word), "aws {arguments:?} does not say {word:?}: {}", said(&output));
        }
    }

    /// Runs lines of shell, every one of which must succeed; what they printed.
    #[track_caller]
    pub fn shell(&self, script: &str) -> Vec<u8> {
        let output = self.command("/bin/bash").args(["-euo", "pipefail", "-c", script]).output().expect("bash starts");
        assert!(output.status.success(), "{script}\n{}", said(&output));
        output.stdout
    }

    /// Runs a script of this folder, which must succeed.
    #[track_caller]
    pub fn script(&self, name: &str, arguments: &[&str]) {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients").join(name);
        let mut command = self.command(self.environment.join("bin/python"));
        let output = command.arg("-W").arg("error::RuntimeWarning").arg(&script).args(arguments).output();
        let output = output.expect("python starts");
        assert!(output.status.success(), "{name}: {}", said(&output));
        print!("{}", String::from_utf8_lossy(&output.stdout));
    }
}

/// All that a client said.
fn said(output: &Output) -> String {
    let [out, err] = [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes));
    format!("{}\n{out}\n{err}", output.status)
}

/// The Python environment with the clients. Without it these tests prove nothing, so they fail.
fn environment() -> PathBuf {
    let named = std::env::var_os("KOVCHEG_CLIENTS").filter(|named| !named.is_empty()).map(PathBuf::from);
    let path = named.unwrap_or_else(|| {
        let home = std::env::var_os("HOME").expect("HOME, or KOVCHEG_CLIENTS with a Python environment");
        PathBuf::from(home).join(".cache/kovcheg-venv")
    });
    for program in ["bin/aws", "bin/python"] {
        assert!(
            path.join(program).exists(),
            "no {program} in {0}: the tests with real clients need awscli, boto3 and minio. `make test` makes the environment, \
             and so does scripts/clients.sh (KOVCHEG_CLIENTS names another place)",
            path.display()
        );
    }
    path
}
