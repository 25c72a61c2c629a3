//! Goal: programs written against boto3 work as against AWS. Method: one Python script per theme, each on a vault of its own;
//! every script says its goal in its first line, and its assertions end it with an exit code.

use crate::support::vault::Vault;
use crate::user::User;

fn run(name: &str, script: &str) {
    let vault = Vault::start_new(name);
    let user = User::of(&vault);
    play(&vault, user, script);
}

/// Over TLS the same client frames its bodies, adds checksums as trailers and says no length.
fn run_over_tls(name: &str, script: &str) {
    let (vault, user) = User::over_tls(name);
    play(&vault, user, script);
}

fn play(vault: &Vault, mut user: User, script: &str) {
    if let Ok(seed) = std::env::var("KOVCHEG_SEED") {
        user.set("KOVCHEG_SEED", seed);
    }
    user.script(script, &[]);
    // ERROR means that a person must look: nothing that a client does wrong is a reason, signed or not.
    let log = vault.log();
    let alarm = log.lines().find(|line| line.contains(" ERROR ") || line.contains("panicked at"));
    assert_eq!(alarm, None, "an alarm in the server's log");
}

#[test]
fn bodies_stream() {
    run("BOTOSTREAMS", "streams.py");
}

#[test]
fn parts_by_several_threads() {
    run("BOTOPARTS", "multipart.py");
}

#[test]
fn copies() {
    run("BOTOCOPY", "copies.py");
}

#[test]
fn presigned_links() {
    run("BOTOLINKS", "presigned.py");
}

#[test]
fn checksums_are_checked_and_kept() {
    run("BOTOSUMS", "checksums.py");
}

#[test]
fn completions_are_compared() {
    run("BOTOWHOLE", "completions.py");
}

#[test]
fn errors_have_codes() {
    run("BOTOERRORS", "errors.py");
}

#[test]
fn locks_hold() {
    run("BOTOLOCKS", "locks.py");
}

#[test]
fn locks_hold_over_tls() {
    run_over_tls("BOTOTLSLOCKS", "locks.py");
}

#[test]
fn keys_are_any_text() {
    run("BOTOKEYS", "keys.py");
}

#[test]
fn bodies_stream_over_tls() {
    run_over_tls("BOTOTLS", "streams.py");
}

#[test]
fn parts_by_several_threads_over_tls() {
    run_over_tls("BOTOTLSPARTS", "multipart.py");
}

#[test]
fn checksums_are_checked_and_kept_over_tls() {
    run_over_tls("BOTOTLSSUMS", "checksums.py");
}

#[test]
fn errors_have_codes_over_tls() {
    run_over_tls("BOTOTLSERRORS", "errors.py");
}

#[test]
fn lifecycle_rules_are_kept() {
    run("BOTORULES", "lifecycle.py");
}
