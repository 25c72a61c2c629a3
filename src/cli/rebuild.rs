//! `kovcheg rebuild-index`.

use std::io::IsTerminal as _;
use std::time::Duration;

use clap::Args;
use indicatif::{ProgressBar, ProgressDrawTarget};
use kovcheg_storage::vault::Vault;

use super::place::{Place, block_on, expect_vault, refuse_server};
use super::show::{bytes, json, print};
use crate::config::Purpose;
use crate::error::{AppError, Outcome};
use crate::limits;

/// Options of `rebuild-index`.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct RebuildArguments {
    #[command(flatten)]
    place: Place,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

const EXAMPLES: &str = "\
Examples:
  systemctl stop kovcheg && kovcheg rebuild-index --config /etc/kovcheg/kovcheg.toml
  kovcheg rebuild-index --data ./kovcheg-data --json

Works offline only: a server must not run. A server that finds no index rebuilds it by itself at its next start.";

/// Rebuilds.
pub fn run(arguments: &RebuildArguments) -> Result<Outcome, AppError> {
    let config = arguments.place.load()?;
    block_on(refuse_server(&config))?;
    expect_vault(&config)?;
    limits::raise_open_files();
    let target =
        if std::io::stderr().is_terminal() { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
    let spinner = ProgressBar::with_draw_target(None, target);
    spinner.enable_steady_tick(Duration::from_millis(250));
    let report = Vault::rebuild_index(&config.open_options(Purpose::Mend), &mut |stripes| {
        spinner.set_message(format!("{stripes} journal stripes replayed"));
    });
    spinner.finish_and_clear();
    let report = report?;
    if arguments.json {
        json(&report)?;
    } else {
        print(&format!(
            "{} rows from {} journal stripes, {} read\ndigest {}\n",
            report.rows,
            report.stripes,
            bytes(report.bytes_read),
            report.digest
        ))?;
    }
    Ok(Outcome::Fine)
}
