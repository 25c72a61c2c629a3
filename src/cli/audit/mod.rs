//! `kovcheg audit list`, `export`, `checkpoint` and `key`, which need the vault; `verify` and `prove` need an exported file alone.

mod list;
mod prove;
mod verify;

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use kovcheg_admin::types::{AuditKey, AuditNote};
use kovcheg_storage::audit::trail;

use super::place::{Access, Place, access, ask, block_on, offline};
use super::show;
use crate::config::{Config, Purpose};
use crate::error::{AppError, Outcome};

/// `kovcheg audit ...`.
#[derive(Subcommand)]
pub enum AuditCommand {
    /// Show the newest entries of the audit trail
    List(list::ListArguments),
    /// Write the whole audit trail as lines of JSON, for an auditor
    Export(ExportArguments),
    /// Sign the head of the audit trail; publish it where the vault's operators cannot change it
    Checkpoint(CheckpointArguments),
    /// Print the public key that audit checkpoints are verified with
    Key(KeyArguments),
    /// Verify an exported audit trail, or a proof, against audit checkpoints; needs no vault
    Verify(verify::VerifyArguments),
    /// Prove from an exported audit trail that an entry is in it, or that it goes on from an earlier one
    Prove(prove::ProveArguments),
}

/// Options of `audit export`.
#[derive(Args)]
#[command(after_help = EXPORT_EXAMPLES)]
pub struct ExportArguments {
    #[command(flatten)]
    place: Place,
    /// File to write; it must not be there yet [default: standard output]
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
}

const EXPORT_EXAMPLES: &str = "\
Examples:
  kovcheg audit export --output trail.jsonl
  kovcheg audit export | zstd > trail.jsonl.zst

Reads the whole journal, and compares it with the index at the end.";

/// Options of `audit checkpoint`.
#[derive(Args)]
#[command(after_help = CHECKPOINT_EXAMPLES)]
pub struct CheckpointArguments {
    #[command(flatten)]
    place: Place,
    /// File to write; it must not be there yet [default: standard output]
    #[arg(long, value_name = "FILE", conflicts_with = "json")]
    output: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

const CHECKPOINT_EXAMPLES: &str = "\
Examples:
  kovcheg audit checkpoint --output $(date +%F).note
  kovcheg audit checkpoint | mail -s 'audit checkpoint' auditor@example.org

Whatever was written before a published checkpoint cannot be changed afterwards without `audit verify` showing it.";

/// Options of `audit key`.
#[derive(Args)]
#[command(after_help = KEY_EXAMPLES)]
pub struct KeyArguments {
    #[command(flatten)]
    place: Place,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

const KEY_EXAMPLES: &str = "\
Examples:
  kovcheg audit key > vault.pub

Hand it to auditors once, at the beginning.";

/// Runs one of them.
pub fn run(command: &AuditCommand) -> Result<Outcome, AppError> {
    match command {
        AuditCommand::List(arguments) => list::run(arguments),
        AuditCommand::Export(arguments) => export(arguments),
        AuditCommand::Checkpoint(arguments) => checkpoint(arguments),
        AuditCommand::Key(arguments) => key(arguments),
        AuditCommand::Verify(arguments) => verify::run(arguments),
        AuditCommand::Prove(arguments) => prove::run(arguments),
    }
}

fn export(arguments: &ExportArguments) -> Result<Outcome, AppError> {
    let config = arguments.place.load()?;
    let mut out = Output::open(arguments.output.as_deref())?;
    let mut failed = None;
    let whole = read(&config, |line| match writeln!(out.to, "{line}") {
        Ok(()) => ControlFlow::Continue(()),
        Err(error) => {
            failed = Some(error);
            ControlFlow::Break(())
        }
    });
    match failed {
        Some(error) => out.end(Err(error))?,
        None => {
            // What is there is no export when it could not be read to its end.
            if whole.is_err() {
                out.remove();
            }
            if whole?.is_none() {
                out.remove();
                return Err(AppError::Usage("the export was stopped before its end; run it again".to_owned()));
            }
            out.end(Ok(()))?;
        }
    }
    Ok(Outcome::Fine)
}

fn checkpoint(arguments: &CheckpointArguments) -> Result<Outcome, AppError> {
    let config = arguments.place.load()?;
    let note = ask(
        &config,
        Purpose::Look,
        |client| async move { client.audit_checkpoint().await },
        |vault| Ok(trail::checkpoint(vault.engine())?),
    )?;
    if arguments.json {
        show::json(&AuditNote { note })?;
        return Ok(Outcome::Fine);
    }
    let mut out = Output::open(arguments.output.as_deref())?;
    let written = out.to.write_all(note.as_bytes());
    out.end(written)?;
    Ok(Outcome::Fine)
}

fn key(arguments: &KeyArguments) -> Result<Outcome, AppError> {
    let key = ask(
        &arguments.place.load()?,
        Purpose::Look,
        |client| async move { client.audit_key().await },
        |vault| Ok(vault.engine().signer.verifier().text()),
    )?;
    show::either(arguments.json, &AuditKey { key }, |shown| format!("{}\n", shown.key))?;
    Ok(Outcome::Fine)
}

/// Reads the trail of the vault from its first entry. The number of entries; `None` when `on` broke off.
fn read(config: &Config, mut on: impl FnMut(&str) -> ControlFlow<()>) -> Result<Option<u64>, AppError> {
    match block_on(access(config))? {
        Access::Server(client) => block_on(async { Ok(client.export_audit(on).await?) }),
        Access::Offline => offline(config, Purpose::Look, |vault| {
            let read = trail::read(vault.engine(), &mut |line| on(&line))?;
            Ok(read.whole.then_some(read.tree.size))
        }),
    }
}

/// A new file, or standard output.
struct Output {
    path: Option<PathBuf>,
    to: Box<dyn Write>,
}

impl Output {
    fn open(path: Option<&Path>) -> Result<Self, AppError> {
        let Some(path) = path else { return Ok(Self { path: None, to: Box::new(BufWriter::new(io::stdout())) }) };
        let file = File::create_new(path).map_err(|source| match source.kind() {
            io::ErrorKind::AlreadyExists => {
                AppError::InTheWay { path: path.to_owned(), advice: "name another file, or move it away" }
            }
            _ => AppError::Io { op: "make", path: path.to_owned(), source },
        })?;
        Ok(Self { path: Some(path.to_owned()), to: Box::new(BufWriter::new(file)) })
    }

    /// Flushes. A reader that went away (`| head`) is no error.
    fn end(mut self, written: io::Result<()>) -> Result<(), AppError> {
        match written.and_then(|()| self.to.flush()) {
            Err(error) if self.path.is_none() && error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            Err(source) => {
                let path = self.path.clone().unwrap_or_else(|| "standard output".into());
                self.remove();
                Err(AppError::Io { op: "write to", path, source })
            }
            Ok(()) => Ok(()),
        }
    }

    /// Leaves no half of a file.
    fn remove(&self) {
        if let Some(path) = &self.path {
            let _ = std::fs::remove_file(path);
        }
    }
}
