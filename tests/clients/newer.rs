//! Goal: the newer tools of Debian 13 (restic 0.18, pgBackRest 2.55, barman-cloud 3.13, PostgreSQL 17) work as those of Debian 12 do.
//! Method: the same scripts in a Debian 13 of its own (`scripts/debian13.sh`), for the nightly run.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::archives::play;
use crate::support::vault::Vault;
use crate::tools::{CUT_OFF, RESTIC, TREE};
use crate::user::User;

/// Where Debian 13 lies. Without it these tests prove nothing, so they fail.
pub fn debian13() -> PathBuf {
    let named = std::env::var_os("KOVCHEG_DEBIAN13").map(PathBuf::from);
    let path =
        named.unwrap_or_else(|| PathBuf::from(std::env::var_os("HOME").expect("HOME")).join(".cache/kovcheg-debian13"));
    assert!(path.join("complete").exists(), "no Debian 13 in {}: run scripts/debian13.sh as root", path.display());
    path
}

/// A command in another root, which sees `folder` under its own path; what is mounted for it goes with it.
pub fn within(root: &Path, folder: &Path) -> Command {
    const MOUNTS: &str = r#"
root=$1 folder=$2; shift 2
mkdir -p "$root$folder"
mount --bind "$folder" "$root$folder"
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"
exec chroot "$root" "$@""#;
    let mut command = Command::new("unshare");
    command.args(["--mount", "--propagation", "private", "/bin/sh", "-euc", MOUNTS, "sh"]).arg(root).arg(folder);
    command
}

#[test]
#[ignore = "needs a Debian 13; `make nightly` makes one and runs it"]
fn restic_of_debian_13() {
    let (root, vault) = (debian13(), Vault::start_new("RESTIC13"));
    let user = User::of(&vault);
    let mut command = within(&root, vault.folder());
    let lines = [&format!("cd {}\nrestic version\n", user.home().display()), TREE, CUT_OFF, RESTIC].concat();
    command.args(["/usr/bin/timeout", "300", "/bin/bash", "-euo", "pipefail", "-c", &lines]);
    command.env_clear().envs(user.settings().iter().cloned()).env("PATH", "/usr/bin:/bin:/usr/sbin:/sbin");
    let output = command.output().expect("a shell");
    println!("{}", String::from_utf8_lossy(&output.stdout));
    assert!(output.status.success(), "{}\n{}", output.status, String::from_utf8_lossy(&output.stderr));
    assert!(vault.cli(&["verify"]).status.success());
}

#[test]
#[ignore = "needs a Debian 13; `make nightly` makes one and runs it"]
fn pgbackrest_of_debian_13_over_tls() {
    let root = debian13();
    let (vault, user) = User::over_tls("PGBACKREST13");
    user.run(&["s3", "mb", "s3://pgbackrest"]);
    let ca = vault.folder().join("tls.crt").to_str().unwrap().to_owned();
    play(&vault, "pgbackrest.sh", &[("CA", ca), ("PORT", vault.s3_port().to_string())], Some(&root));
}

#[test]
#[ignore = "needs a Debian 13; `make nightly` makes one and runs it"]
fn barman_cloud_of_debian_13() {
    let (root, vault) = (debian13(), Vault::start_new("BARMAN13"));
    let endpoint = format!("http://127.0.0.1:{}", vault.s3_port());
    play(&vault, "barman.sh", &[("AWS_ENDPOINT_URL", endpoint)], Some(&root));
}
