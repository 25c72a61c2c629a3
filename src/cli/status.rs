//! `kovcheg status` and `kovcheg disk list`.

use std::fmt::Write as _;

use clap::Args;
use kovcheg_admin::types::{Disk, Status};

use super::place::{Access, Asking, Place, access, block_on, offline};
use super::show::{bytes, either, table, tame};
use crate::config::{Config, Purpose};
use crate::error::{AppError, Outcome};

/// Options of `status`.
#[derive(Args)]
#[command(after_help = STATUS_EXAMPLES)]
pub struct StatusArguments {
    #[command(flatten)]
    place: Place,
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// Exit with 1 unless a server takes writes and every disk serves
    #[arg(long)]
    check: bool,
}

const STATUS_EXAMPLES: &str = "\
Examples:
  kovcheg status
  kovcheg status --config /etc/kovcheg/kovcheg.toml --json
  kovcheg status --check || mail -s 'vault needs you' root";

/// Examples of `disk list`.
pub const DISK_EXAMPLES: &str = "\
Examples:
  kovcheg disk list
  kovcheg disk list --data /srv/vault --json";

fn ask(place: &Place) -> Result<Status, AppError> {
    let config = place.load()?;
    match block_on(access(&config))? {
        Access::Server(client) => block_on(async { Ok(client.status().await?) }),
        Access::Offline => look(&config),
    }
}

fn look(config: &Config) -> Result<Status, AppError> {
    let mut status = offline(config, Purpose::Look, |vault| Ok(Status::from(&vault.handle().status())))?;
    // The engine says of itself that it was opened for reading; what people ask is what a server would do.
    status.state = "offline".to_owned();
    status.reason = Some(match shortfall(&status.disks, status.m, config.force_missing) {
        None => "no server runs".to_owned(),
        Some(shortfall) => format!("no server runs, and one would serve reads only: {shortfall}"),
    });
    Ok(status)
}

/// Why a server would take no writes (R15), by the disks that are there.
fn shortfall(disks: &[Disk], m: u8, force: bool) -> Option<String> {
    let all = disks.len();
    let here = disks.iter().filter(|disk| disk.state != "missing").count();
    let needed = all.saturating_sub(usize::from(m)).max(all / 2 + 1);
    let needed = if force { usize::from(m) + 1 } else { needed };
    (here < needed).then(|| format!("{here} of {all} disks are there, and {needed} are needed"))
}

/// `kovcheg status`.
pub fn run(arguments: &StatusArguments) -> Result<Outcome, AppError> {
    let status = ask(&arguments.place)?;
    either(arguments.json, &status, overview)?;
    Ok(if arguments.check && !status.is_healthy() { Outcome::Damage } else { Outcome::Fine })
}

/// `kovcheg disk list`.
pub fn disks(arguments: &Asking) -> Result<Outcome, AppError> {
    let status = ask(&arguments.place)?;
    either(arguments.json, &status.disks, |disks| disk_table(disks))?;
    Ok(Outcome::Fine)
}

fn overview(status: &Status) -> String {
    let mut out = String::new();
    let reason = status.reason.as_deref().map(|reason| format!(": {}", tame(reason))).unwrap_or_default();
    let physical = status.physical_bytes;
    let rows = [
        ("vault", format!("{}{reason}", status.state)),
        ("pool", status.pool.clone()),
        ("stripes", format!("{} data + {} parity: any {} disks may be lost", status.k, status.m, status.m)),
        ("journal", format!("epoch {}, position {}", status.epoch, status.lsn)),
        ("objects", format!("{} versions in {} buckets", status.versions, status.buckets)),
        ("logical", bytes(status.logical_bytes)),
        (
            "physical",
            format!(
                "{} (data {}, parity {}, records {}, index {})",
                bytes(physical.sum()),
                bytes(physical.data),
                bytes(physical.parity),
                bytes(physical.records),
                bytes(physical.index)
            ),
        ),
        ("recovery kit", if status.recovery_kit_confirmed { "confirmed" } else { "NOT confirmed" }.to_owned()),
    ];
    for (name, value) in rows {
        let _ = writeln!(out, "{name:<13} {value}");
    }
    for warning in &status.warnings {
        let _ = writeln!(out, "WARNING       {}", tame(warning));
    }
    let _ = write!(out, "\n{}", disk_table(&status.disks));
    out
}

fn disk_table(disks: &[Disk]) -> String {
    let heads = ["DISK", "STATE", "DRIVER", "TOTAL", "FREE", "BAD", "REPAIRED", "ID", "REASON"];
    let mut rows = vec![heads.map(str::to_owned).to_vec()];
    rows.extend(disks.iter().map(|disk| {
        vec![
            tame(&disk.path),
            disk.state.clone(),
            disk.driver.clone(),
            bytes(disk.total_bytes),
            bytes(disk.free_bytes),
            disk.bad_ranges.to_string(),
            disk.repaired_shards.to_string(),
            disk.id.chars().take(8).collect(),
            disk.reason.as_deref().map(tame).unwrap_or_default(),
        ]
    }));
    table(&rows)
}

#[cfg(test)]
mod tests {
    use super::shortfall;
    use kovcheg_admin::types::Disk;

    #[test]
    fn too_few_disks_are_said_by_number() {
        let disks = |here: usize, all: usize| {
            let disk = |number| Disk {
                path: format!("disk{number}"),
                id: String::new(),
                state: if number < here { "serving" } else { "missing" }.to_owned(),
                reason: None,
                driver: "plain".to_owned(),
                total_bytes: 0,
                free_bytes: 0,
                bad_ranges: 0,
                repaired_shards: 0,
            };
            (0..all).map(disk).collect::<Vec<_>>()
        };
        for (here, all, m, short) in
            [(6, 6, 2, false), (4, 6, 2, false), (3, 6, 2, true), (1, 2, 1, true), (3, 6, 5, true), (2, 3, 1, false)]
        {
            assert_eq!(shortfall(&disks(here, all), m, false).is_some(), short, "{here} of {all}, m = {m}");
        }
        assert!(shortfall(&disks(3, 6), 2, true).is_none() && shortfall(&disks(2, 6), 2, true).is_some(), "forced");
    }
}
