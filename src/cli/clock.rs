//! `kovcheg clock status` and `kovcheg clock accept`.

use std::fmt::Write as _;

use clap::{Args, Subcommand};
use kovcheg_admin::types::RetentionClock;
use kovcheg_storage::status::clock_status;

use super::key::code;
use super::place::{Access, Place, access, block_on, offline};
use super::show::{self, either};
use crate::config::Purpose;
use crate::error::{AppError, Outcome};

/// `kovcheg clock ...`.
#[derive(Subcommand)]
pub enum ClockCommand {
    /// Show the retention clock, by which locks expire, beside the wall clock
    Status(StatusArguments),
    /// Accept the wall clock as the retention clock's time; needs the code of the recovery kit
    Accept(AcceptArguments),
}

/// Options of `clock status`.
#[derive(Args)]
#[command(after_help = STATUS_EXAMPLES)]
pub struct StatusArguments {
    #[command(flatten)]
    place: Place,
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// Exit with 1 when the clock is disputed
    #[arg(long)]
    check: bool,
}

const STATUS_EXAMPLES: &str = "\
Examples:
  kovcheg clock status
  kovcheg clock status --check --json";

/// Options of `clock accept`.
#[derive(Args)]
#[command(after_help = ACCEPT_EXAMPLES)]
pub struct AcceptArguments {
    #[command(flatten)]
    place: Place,
    /// The code; better left out, since others on this machine can read it here: it is then asked for, or read from stdin
    #[arg(long, value_name = "CODE")]
    code: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

const ACCEPT_EXAMPLES: &str = "\
Examples:
  date && kovcheg clock accept
  kovcheg clock accept --data /srv/vault < code.txt

Look at the wall clock first: locks whose date lies before it can be removed afterwards, and that cannot be taken back.";

/// Runs one of them.
pub fn run(command: &ClockCommand) -> Result<Outcome, AppError> {
    match command {
        ClockCommand::Status(arguments) => status(arguments),
        ClockCommand::Accept(arguments) => accept(arguments),
    }
}

fn status(arguments: &StatusArguments) -> Result<Outcome, AppError> {
    let config = arguments.place.load()?;
    let clock = match block_on(access(&config))? {
        Access::Server(client) => block_on(async { Ok(client.status().await?) })?.retention_clock,
        Access::Offline => {
            offline(&config, Purpose::Look, |vault| Ok(RetentionClock::from(clock_status(vault.engine()))))?
        }
    };
    either(arguments.json, &clock, overview)?;
    Ok(if arguments.check && clock.disputed { Outcome::Damage } else { Outcome::Fine })
}

fn accept(arguments: &AcceptArguments) -> Result<Outcome, AppError> {
    let config = arguments.place.load()?;
    let access = block_on(access(&config))?;
    let code = code(arguments.code.as_deref())?;
    let clock = match access {
        Access::Server(client) => block_on(async { Ok(client.accept_clock(&code).await?) })?,
        Access::Offline => offline(&config, Purpose::Mend, |vault| {
            vault.accept_clock(&code)?;
            Ok(RetentionClock::from(clock_status(vault.engine())))
        })?,
    };
    if arguments.json {
        show::json(&clock)?;
    } else {
        show::print(&overview(&clock))?;
    }
    Ok(Outcome::Fine)
}

fn overview(clock: &RetentionClock) -> String {
    let mut out = String::new();
    let rows = [
        ("retention clock", show::moment(clock.time_ms)),
        ("wall clock", show::moment(clock.wall_ms)),
        ("state", if clock.disputed { "DISPUTED: it stands still, and no lock expires" } else { "running" }.to_owned()),
        ("credited", format!("{} s of the time off, to be regained", clock.credited_ms / 1000)),
    ];
    for (name, value) in rows {
        let _ = writeln!(out, "{name:<15} {value}");
    }
    out
}
