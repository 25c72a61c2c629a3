//! Goal: a command that only looks changes nothing where there is nothing to look at, says what an operator must know, and leaves
//! terminal and output as they should be. Method: the real binary, in a wrong folder, beside a lock, on a terminal of its own.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use crate::support::vault::{Folder, Vault, wait_until};

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&[output.stdout.clone(), output.stderr.clone()].concat()).into_owned()
}

/// The story: `status` in a wrong folder made `kovcheg-data/index.lock` and an empty index there.
#[test]
fn looking_at_no_vault_makes_nothing() {
    let folder = Folder::new("NOTHING");
    for command in [
        &["status"][..],
        &["disk", "list"],
        &["verify"],
        &["rebuild-index"],
        &["key", "renew"],
        &["key", "confirm", "--code", "X"],
    ] {
        let mut run = Command::new(env!("CARGO_BIN_EXE_kovcheg"));
        let output = run.args(command).current_dir(&folder.0).stdin(Stdio::null()).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{command:?}: {}", said(&output));
        assert!(said(&output).contains("no vault"), "{command:?}: {}", said(&output));
        assert_eq!(fs::read_dir(&folder.0).unwrap().count(), 0, "{command:?} made something");
    }
}

/// The story: without a server, `status` always said that the vault was read-only because it was opened for reading, and nothing of
/// the disks that lack.
#[test]
fn offline_status_says_what_a_server_would_do() {
    let mut vault = Vault::start_new("OFFLINE");
    vault.client().create_bucket("bkt");
    vault.stop();
    let whole = vault.status();
    assert_eq!((whole["state"].as_str(), whole["reason"].as_str()), (Some("offline"), Some("no server runs")));
    for disk in [0, 3, 5] {
        fs::rename(vault.disk(disk), vault.folder().join(format!("away{disk}"))).unwrap();
    }
    let short = vault.status();
    let reason = short["reason"].as_str().unwrap();
    assert!(reason.contains("3 of 6 disks") && reason.contains("4 are needed"), "{reason}");
    let check = vault.cli(&["status", "--check"]);
    assert_eq!(check.status.code(), Some(1), "{}", said(&check));
}

/// The code of the recovery kit that the first start wrote.
pub(crate) fn code_of(vault: &Vault) -> String {
    let kit = fs::read_to_string(vault.data().join("recovery-kit")).expect("written without a terminal");
    kit.lines().find_map(|line| line.strip_prefix("Recovery code: ")).expect("a code").trim().to_owned()
}

/// The story: `key recover` read superblocks while whoever held the vault's lock could write them.
#[test]
fn recovering_the_key_takes_the_lock() {
    let mut vault = Vault::start_new("RECOVERLOCK");
    vault.stop();
    let code = code_of(&vault);
    fs::remove_file(vault.key_file()).unwrap();
    let held = File::open(vault.disk(0)).unwrap();
    // SAFETY: `flock` reads nothing but the descriptor, which is open.
    assert_eq!(unsafe { libc::flock(held.as_raw_fd(), libc::LOCK_EX | libc::LOCK_NB) }, 0);
    let refused = vault.cli(&["key", "recover", "--code", &code]);
    assert!(!refused.status.success() && said(&refused).contains("another kovcheg"), "{}", said(&refused));
    assert!(!vault.key_file().exists());
    drop(held);
    let recovered = vault.cli(&["key", "recover", "--code", &code]);
    assert!(recovered.status.success(), "{}", said(&recovered));
    vault.start();
}

/// A pair of descriptors: what a terminal's user holds, and what a program on it has.
fn terminal() -> (OwnedFd, OwnedFd) {
    let (mut user, mut program) = (-1, -1);
    let (name, settings, size) = (std::ptr::null_mut(), std::ptr::null(), std::ptr::null());
    // SAFETY: both integers have room for a descriptor, and everything else may be null.
    let made = unsafe { libc::openpty(&raw mut user, &raw mut program, name, settings, size) };
    assert_eq!(made, 0, "a pseudo-terminal");
    // SAFETY: both were opened just now, and nobody else has them.
    unsafe { (OwnedFd::from_raw_fd(user), OwnedFd::from_raw_fd(program)) }
}

fn echoes(terminal: &OwnedFd) -> bool {
    // SAFETY: zeroes are a termios, and the call fills it.
    let mut settings = unsafe { std::mem::zeroed::<libc::termios>() };
    // SAFETY: the descriptor is open, and `settings` has room.
    assert_eq!(unsafe { libc::tcgetattr(terminal.as_raw_fd(), &raw mut settings) }, 0);
    settings.c_lflag & libc::ECHO != 0
}

/// The story: Ctrl-C at the question for the recovery code left the terminal without echo.
#[test]
fn the_terminal_echoes_again_however_the_question_ends() {
    let mut vault = Vault::start_new("ECHO");
    vault.stop();
    let code = code_of(&vault);
    for ending in [Some(libc::SIGINT), Some(libc::SIGTERM), None] {
        let (user, program) = terminal();
        let data = vault.data().to_str().unwrap().to_owned();
        let mut command = vault.command();
        command.args(["key", "confirm", "--data", &data]).stdin(program.try_clone().unwrap());
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        assert!(echoes(&program));
        wait_until("the question", || !echoes(&program));
        match ending {
            Some(signal) => {
                // SAFETY: kill() has no memory effects; the pid is that of a child not yet waited for.
                assert_eq!(unsafe { libc::kill(i32::try_from(child.id()).unwrap(), signal) }, 0);
                let status = child.wait().unwrap();
                assert_eq!(std::os::unix::process::ExitStatusExt::signal(&status), Some(signal), "{status}");
            }
            None => {
                let mut user = File::from(user.try_clone().unwrap());
                user.write_all(format!("{code}\n").as_bytes()).unwrap();
                assert!(child.wait().unwrap().success());
            }
        }
        assert!(echoes(&program), "no echo after {ending:?}");
    }
}

/// The story: on a terminal, `key renew --json` printed the recovery code in the middle of its JSON.
#[test]
fn json_on_a_terminal_is_json() {
    let mut vault = Vault::start_new("JSONTERM");
    vault.stop();
    let old = code_of(&vault);
    let (user, program) = terminal();
    let data = vault.data().to_str().unwrap().to_owned();
    let mut command = vault.command();
    command.args(["key", "renew", "--json", "--data", &data]).stdout(program).stderr(Stdio::null());
    assert!(command.status().unwrap().success());
    drop(command);
    let mut printed = vec![0; 64 << 10];
    std::thread::sleep(Duration::from_millis(100));
    let length = File::from(user).read(&mut printed).unwrap();
    let printed = String::from_utf8(printed[..length].to_vec()).unwrap();
    let json: serde_json::Value = serde_json::from_str(&printed).unwrap_or_else(|error| panic!("{error}: {printed}"));
    assert_eq!(json["renewed"], true);
    let new = code_of(&vault);
    assert_ne!(new, old, "the file has the new code");
    assert!(!printed.contains(&new), "{printed}");
}
