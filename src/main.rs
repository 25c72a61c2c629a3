//! `kovcheg`: parse, run, and turn the outcome into an exit code. Exit codes are decided here and nowhere else.
//!
//! | code | meaning |
//! |---|---|
//! | 0 | done; nothing wrong was found |
//! | 1 | done; damage was found (`verify`, `inspect`), or the vault needs somebody (`status --check`) |
//! | 2 | could not run, or bad usage; the reason is on stderr |
//! | 130 | stopped at once by a second signal |

use std::process::ExitCode;

use clap::Parser as _;
use kovcheg::cli::{Arguments, run};
use kovcheg::error::{AppError, Outcome};

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(arguments) {
        Ok(Outcome::Fine) => ExitCode::SUCCESS,
        Ok(Outcome::Damage) => ExitCode::from(1),
        Err(error) => {
            // The log may go elsewhere or be filtered; why a command failed is always on stderr.
            eprintln!("kovcheg: {error}");
            if matches!(error, AppError::Forced) {
                // At once: threads that still write to disks are not waited for.
                std::process::exit(130);
            }
            ExitCode::from(2)
        }
    }
}
