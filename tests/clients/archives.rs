//! Goal: a PostgreSQL server that archives to the vault with pgBackRest or barman-cloud gets every row back, to the moment it names, also
//! after a backup that SIGKILL cut off. Method: the distribution's tools and a real server, in a script of their users' commands.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::newer::within;
use crate::support::postgres::{is_root, newest_bin};
use crate::support::vault::Vault;
use crate::user::User;

/// Runs a script as the user postgres, in a folder of its own, or in another root. It sees these settings and nothing else of the machine's.
#[track_caller]
pub fn play(vault: &Vault, script: &str, settings: &[(&str, String)], root: Option<&Path>) {
    const AS_POSTGRES: [&str; 5] = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups", "timeout"];
    let work = vault.folder().join("work");
    std::fs::create_dir_all(&work).unwrap();
    let mut command = match root {
        // The user has another number there.
        Some(root) => {
            let mut command = within(root, vault.folder());
            command.args(["/bin/sh", "-euc", "chown postgres: \"$WORK\"; exec \"$@\"", "sh"]).args(AS_POSTGRES);
            command
        }
        None if is_root() => {
            assert!(Command::new("chown").arg("postgres:").arg(&work).status().unwrap().success());
            let mut command = Command::new(AS_POSTGRES[0]);
            command.args(&AS_POSTGRES[1..]);
            command
        }
        None => Command::new("timeout"),
    };
    // The folder of the checkout may be none that postgres can read.
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients").join(script);
    let lines = std::fs::read_to_string(&path).unwrap();
    command.args(["--kill-after=5", "300", "/bin/bash", "-xeuo", "pipefail", "-c", &lines]);
    command.env_clear().current_dir(&work).stdin(Stdio::null());
    let text = |path: &Path| path.to_str().unwrap().to_owned();
    command
        .env("PATH", "/usr/bin:/bin:/usr/sbin:/sbin")
        .env("HOME", text(&work))
        .env("WORK", text(&work))
        .env("LC_ALL", "C.UTF-8");
    let bin = root.map_or_else(newest_bin, |_| "/usr/lib/postgresql/17/bin".into());
    command.env("PGBIN", text(&bin)).env("PGPORT", "5432").env("AWS_EC2_METADATA_DISABLED", "true");
    command.env("AWS_ACCESS_KEY_ID", &vault.keys().access).env("AWS_SECRET_ACCESS_KEY", &vault.keys().secret);
    command.env("AWS_DEFAULT_REGION", "us-east-1");
    command.envs(settings.iter().map(|(name, value)| (*name, value.as_str())));
    let output = command.output().expect("a shell");
    assert!(output.status.success(), "{script}: {}\n{}", output.status, String::from_utf8_lossy(&output.stderr));
    let verified = vault.cli(&["verify"]);
    assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stdout));
}

#[test]
fn pgbackrest_over_tls() {
    let (vault, user) = User::over_tls("PGBACKREST");
    let ca = vault.folder().join("tls.crt").to_str().unwrap().to_owned();
    user.run(&["s3", "mb", "s3://pgbackrest"]);
    play(&vault, "pgbackrest.sh", &[("CA", ca), ("PORT", vault.s3_port().to_string())], None);
}

#[test]
fn barman_cloud() {
    let vault = Vault::start_new("BARMAN");
    play(&vault, "barman.sh", &[("AWS_ENDPOINT_URL", format!("http://127.0.0.1:{}", vault.s3_port()))], None);
}
