//! `kovcheg key recover`, `kovcheg key confirm` and `kovcheg key renew`.

use clap::{Args, Subcommand};
use kovcheg_storage::vault::recover_key;
use serde_json::json;

use super::place::{Access, Place, access, block_on, expect_vault, offline, refuse_server};
use super::prompt::secret_line;
use super::show;
use crate::app::{KIT_FILE, tell_kit};
use crate::config::Purpose;
use crate::error::{AppError, Outcome};
use crate::secrets::Told;

/// `kovcheg key ...`.
#[derive(Subcommand)]
pub enum KeyCommand {
    /// Restore the root key file from any data disk and the code of the recovery kit
    Recover(RecoverArguments),
    /// Show that you hold the recovery kit, so that status stops warning
    Confirm(ConfirmArguments),
    /// Make a new recovery kit in place of one that was lost or never seen; needs the key file
    Renew(RenewArguments),
}

/// Options of `key renew`.
#[derive(Args)]
#[command(after_help = RENEW_EXAMPLES)]
pub struct RenewArguments {
    #[command(flatten)]
    place: Place,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

const RENEW_EXAMPLES: &str = "\
Examples:
  kovcheg key renew
  kovcheg key renew --config /etc/kovcheg/kovcheg.toml

The new code is shown once on a terminal; without one, or with --json, it is written to DIR/recovery-kit (mode 0600). The old code opens nothing afterwards.
No server may run.";

/// Options of `key recover`.
#[derive(Args)]
#[command(after_help = RECOVER_EXAMPLES)]
pub struct RecoverArguments {
    #[command(flatten)]
    place: Place,
    /// The code; better left out, since others on this machine can read it here: it is then asked for, or read from stdin
    #[arg(long, value_name = "CODE")]
    code: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

const RECOVER_EXAMPLES: &str = "\
Examples:
  kovcheg key recover --config /etc/kovcheg/kovcheg.toml
  kovcheg key recover --data ./kovcheg-data < code.txt

The key file must not be there; a wrong one is moved away first. No server may run.";

/// Options of `key confirm`.
#[derive(Args)]
#[command(after_help = CONFIRM_EXAMPLES)]
pub struct ConfirmArguments {
    #[command(flatten)]
    place: Place,
    /// The code; better left out, since others on this machine can read it here: it is then asked for, or read from stdin
    #[arg(long, value_name = "CODE")]
    code: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

const CONFIRM_EXAMPLES: &str = "\
Examples:
  kovcheg key confirm
  kovcheg key confirm --data /srv/vault < code.txt";

/// Runs one of them.
pub fn run(command: &KeyCommand) -> Result<Outcome, AppError> {
    match command {
        KeyCommand::Recover(arguments) => recover(arguments),
        KeyCommand::Confirm(arguments) => confirm(arguments),
        KeyCommand::Renew(arguments) => renew(arguments),
    }
}

fn recover(arguments: &RecoverArguments) -> Result<Outcome, AppError> {
    let config = arguments.place.load()?;
    block_on(refuse_server(&config))?;
    if config.key_file.exists() {
        return Err(AppError::InTheWay { path: config.key_file, advice: "if it is the wrong key, move it away first" });
    }
    expect_vault(&config)?;
    let code = code(arguments.code.as_deref())?;
    recover_key(&config.open_options(Purpose::Mend), &code)?;
    if arguments.json {
        show::json(&json!({ "recovered": true, "key_file": config.key_file }))?;
    } else {
        show::print(&format!("the root key is back in {}\n", config.key_file.display()))?;
    }
    Ok(Outcome::Fine)
}

fn confirm(arguments: &ConfirmArguments) -> Result<Outcome, AppError> {
    let config = arguments.place.load()?;
    let access = block_on(access(&config))?;
    let code = code(arguments.code.as_deref())?;
    match access {
        Access::Server(client) => block_on(async { Ok(client.confirm_recovery_kit(&code).await?) })?,
        Access::Offline => {
            offline(&config, Purpose::Mend, |vault| Ok(vault.confirm_recovery_kit(&code)?))?;
        }
    }
    if arguments.json {
        show::json(&json!({ "confirmed": true }))?;
    } else {
        show::print("the recovery kit is confirmed\n")?;
    }
    Ok(Outcome::Fine)
}

fn renew(arguments: &RenewArguments) -> Result<Outcome, AppError> {
    let config = arguments.place.load()?;
    block_on(refuse_server(&config))?;
    // JSON is read by a program, on a terminal too: the code must not stand in the middle of it.
    let told = if arguments.json { Told::InFile } else { Told::OnTerminal };
    offline(&config, Purpose::Mend, |vault| tell_kit(&vault.renew_recovery_kit(&config.key_file)?, &config, told))?;
    if arguments.json {
        show::json(&json!({ "renewed": true, "code_file": config.data_dir.join(KIT_FILE) }))?;
    } else {
        show::print("there is a new recovery kit; confirm it with `kovcheg key confirm`\n")?;
    }
    Ok(Outcome::Fine)
}

/// The code of the recovery kit: as given, or asked for.
pub(super) fn code(given: Option<&str>) -> Result<String, AppError> {
    let code = match given {
        Some(code) => code.to_owned(),
        None => secret_line("Recovery code: ")?,
    };
    let code = code.trim().to_owned();
    if code.is_empty() { Err(AppError::Usage("no recovery code was given".to_owned())) } else { Ok(code) }
}
