//! `kovcheg status` and `kovcheg disk list`.

use std::fmt::Write as _;

use clap::Args;
use kovcheg_admin::types::{Disk, Status};

use super::place::{Access, Place, access, block_on, offline};
use super::show::{bytes, json, print, table, tame};
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

/// Options of `disk list`.
#[derive(Args)]
#[command(after_help = DISK_EXAMPLES)]
pub struct DiskArguments {
    #[command(flatten)]
    place: Place,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

const DISK_EXAMPLES: &str = "\
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
    offline(config, Purpose::Look, |vault| Ok(Status::from(&vault.handle().status())))
}

/// `kovcheg status`.
pub fn run(arguments: &StatusArguments) -> Result<Outcome, AppError> {
    let status = ask(&arguments.place)?;
    if arguments.json {
        json(&status)?;
    } else {
        print(&overview(&status))?;
    }
    Ok(if arguments.check && !status.is_healthy() { Outcome::Damage } else { Outcome::Fine })
}

/// `kovcheg disk list`.
pub fn disks(arguments: &DiskArguments) -> Result<Outcome, AppError> {
    let status = ask(&arguments.place)?;
    if arguments.json {
        json(&status.disks)?;
    } else {
        print(&disk_table(&status.disks))?;
    }
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
