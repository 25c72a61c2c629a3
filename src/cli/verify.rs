//! `kovcheg verify`.

use std::io::IsTerminal as _;
use std::ops::ControlFlow;
use std::time::Duration;

use clap::Args;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use kovcheg_admin::types::{Progress, Report};

use super::place::{Access, Place, access, block_on, offline};
use super::show::{bytes, json, print, tame};
use crate::config::Purpose;
use crate::error::{AppError, Outcome};

/// Options of `verify`.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct VerifyArguments {
    #[command(flatten)]
    place: Place,
    /// Only this bucket
    #[arg(long, value_name = "B")]
    bucket: Option<String>,
    /// Print the report as JSON
    #[arg(long)]
    json: bool,
}

const EXAMPLES: &str = "\
Examples:
  kovcheg verify
  kovcheg verify --bucket postgres --json > report.json

Exit codes: 0 everything comes back whole, 1 damage was found, 2 could not run.
Shards that are rotten or missing are written back, beside a running server and without one, unless too few disks are there.";

/// Verifies, and says what was found.
pub fn run(arguments: &VerifyArguments) -> Result<Outcome, AppError> {
    let config = arguments.place.load()?;
    let bucket = arguments.bucket.as_deref();
    let bar = bar();
    let report = match block_on(access(&config))? {
        Access::Server(client) => block_on(async { Ok(client.verify(bucket, |progress| show(&bar, progress)).await?) }),
        Access::Offline => offline(&config, Purpose::Look, |vault| {
            let report = vault.verify(bucket, &mut |progress| {
                show(&bar, Progress::from(progress));
                ControlFlow::Continue(())
            });
            Ok(Report::from(report?))
        }),
    };
    bar.finish_and_clear();
    let report = report?;
    if arguments.json {
        json(&report)?;
    } else {
        print(&words(&report))?;
    }
    if report.found_damage() {
        return Ok(Outcome::Damage);
    }
    if report.interrupted { Err(AppError::Interrupted) } else { Ok(Outcome::Fine) }
}

/// A bar on a terminal, nothing elsewhere.
fn bar() -> ProgressBar {
    let target =
        if std::io::stderr().is_terminal() { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
    let bar = ProgressBar::with_draw_target(Some(0), target);
    let look = "{elapsed_precise} {bar:30} {binary_bytes}/{binary_total_bytes} ({binary_bytes_per_sec}, {eta}) {msg}";
    if let Ok(style) = ProgressStyle::with_template(look) {
        bar.set_style(style);
    }
    bar.enable_steady_tick(Duration::from_millis(250));
    bar
}

fn show(bar: &ProgressBar, progress: Progress) {
    bar.set_length(progress.bytes_total);
    bar.set_position(progress.bytes_done);
    bar.set_message(format!(
        "{}/{} objects, {} stripes",
        progress.objects_done, progress.objects_total, progress.stripes_done
    ));
}

fn words(report: &Report) -> String {
    let mut out = format!(
        "{} objects, {}, {} stripes looked at\n{} shards repaired, {} lacking because their disk is not serving\n",
        report.objects,
        bytes(report.bytes),
        report.stripes,
        report.repaired_shards,
        report.lacking_shards
    );
    for stripe in &report.damaged_stripes {
        out.push_str(&format!("DAMAGED stripe {}\n", tame(stripe)));
    }
    for object in &report.damaged {
        let (bucket, key, reason) = (tame(&object.bucket), tame(&object.key), tame(&object.reason));
        out.push_str(&format!("DAMAGED {bucket}/{key}: {reason}\n"));
    }
    let verdict = match (report.found_damage(), report.interrupted) {
        (true, _) => "damage was found",
        (false, true) => "no damage so far, but it was stopped before its end",
        (false, false) => "everything comes back whole",
    };
    out.push_str(verdict);
    out.push('\n');
    out
}
