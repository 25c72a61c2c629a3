//! Goal: the first commands that a new user copies from the README do what they say. Method: the lines are taken from the
//! README itself and run in a shell, on a real database and a real folder; both languages must show the same lines.

use std::fs;
use std::path::Path;

use crate::dumps::{make_accounts, sum_of};
use crate::support::data;
use crate::support::postgres::Postgres;
use crate::support::vault::Vault;
use crate::user::User;

/// Commands of the block that makes the first bucket, comments cut off.
fn commands(readme: &str) -> Vec<String> {
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(readme)).unwrap();
    let block = text.lines().skip_while(|line| !line.contains("aws s3 mb"));
    let block = block.take_while(|line| line.is_empty() || line.starts_with("    "));
    block
        .filter_map(|line| line.split('#').next())
        .map(|line| line.trim().to_owned())
        .filter(|line| !line.is_empty())
        .collect()
}

#[test]
fn both_readmes_show_the_same_commands() {
    let english = commands("README.md");
    assert!(english.len() >= 6, "{english:?}");
    assert_eq!(english, commands("README.ru.md"));
}

#[test]
fn the_first_commands_work() {
    let postgres = Postgres::start();
    postgres.sql("create database mydb");
    postgres.sql("create database mydb_again");
    make_accounts(&postgres, "mydb", 20_000);
    let vault = Vault::start_new("README");
    let mut user = User::of(&vault);
    user.set("PGHOST", "127.0.0.1");
    user.set("PGPORT", postgres.port().to_string());
    user.set("PGUSER", "postgres");
    let folder = user.home().join("srv");
    user.file("srv/one file", &data::random(1, 100_000));
    user.file("srv/deep/другой", &data::random(2, 3_000_000));
    let mut last = String::new();
    for command in commands("README.md") {
        let command = command.replace("/srv/files", folder.to_str().unwrap());
        println!("$ {command}");
        last = String::from_utf8(user.shell(&command)).unwrap();
    }
    for name in ["files/deep/другой", "files/one file", "hostname", "mydb.sql"] {
        assert!(last.contains(name), "the last command lists {name}: {last}");
    }
    assert_eq!(sum_of(&postgres, "mydb"), sum_of(&postgres, "mydb_again"), "the database that came back");
    assert!(vault.client().get("backups", "hostname") == fs::read("/etc/hostname").unwrap());
}
