//! `kovcheg audit verify`: an exported file, or a proof, against signed audit checkpoints. Opens no vault.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};

use clap::Args;
use kovcheg_format::audit::{Checkpoint, TrailCheck, VerifierKey};
use kovcheg_storage::audit::signer::verify_note;
use serde::Serialize;

use super::super::show;
use super::prove::Proof;
use crate::error::{AppError, Outcome};

/// Options of `audit verify`.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct VerifyArguments {
    /// The exported file
    #[arg(value_name = "EXPORT", required_unless_present = "proof", conflicts_with = "proof")]
    export: Option<PathBuf>,
    /// A proof, as `audit prove` wrote it
    #[arg(long, value_name = "FILE", requires = "checkpoints")]
    proof: Option<PathBuf>,
    /// A published audit checkpoint. Repeatable
    #[arg(long = "checkpoint", value_name = "FILE", requires = "key")]
    checkpoints: Vec<PathBuf>,
    /// The vault's public key, or a file that holds it
    #[arg(long, value_name = "KEY")]
    key: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

const EXAMPLES: &str = "\
Examples:
  kovcheg audit verify trail.jsonl --checkpoint 2026-11-30.note --key vault.pub
  kovcheg audit verify trail.jsonl --checkpoint january.note --checkpoint june.note --key vault.pub --json
  kovcheg audit verify --proof entry-17.json --checkpoint june.note --key vault.pub

Exit codes: 0 it is as it was signed, 1 it is not, 2 it could not be verified.
Without a checkpoint only the chain is verified, which whoever made the export can have made anew.";

/// What a verification found.
#[derive(Debug, Serialize)]
struct Found {
    /// Entries of the export, up to the problem if there is one.
    entries: u64,
    /// Of those, how many a checkpoint signed.
    signed: u64,
    /// Root of the tree over the entries, in hex.
    root: Option<String>,
    /// What is not as it was signed.
    problem: Option<String>,
}

pub fn run(arguments: &VerifyArguments) -> Result<Outcome, AppError> {
    let checkpoints = signed(arguments)?;
    let found = match (&arguments.export, &arguments.proof) {
        (Some(export), _) => verify_export(export, checkpoints)?,
        (None, Some(proof)) => verify_proof(proof, &checkpoints)?,
        (None, None) => return Err(AppError::Usage("name an exported file, or a proof".to_owned())),
    };
    show::either(arguments.json, &found, words)?;
    Ok(if found.problem.is_some() { Outcome::Damage } else { Outcome::Fine })
}

/// The checkpoints, each signed by the key.
fn signed(arguments: &VerifyArguments) -> Result<Vec<Checkpoint>, AppError> {
    let Some(key) = &arguments.key else { return Ok(Vec::new()) };
    let text = if Path::new(key).exists() { text_of(Path::new(key))? } else { key.clone() };
    let key = VerifierKey::parse(&text).map_err(|error| AppError::Usage(error.to_string()))?;
    let checkpoint = |path: &PathBuf| {
        let refused = |error| AppError::Usage(format!("{}: {error}", path.display()));
        verify_note(&text_of(path)?, &key).map_err(refused)
    };
    arguments.checkpoints.iter().map(checkpoint).collect()
}

fn text_of(path: &Path) -> Result<String, AppError> {
    std::fs::read_to_string(path).map_err(|source| AppError::Io { op: "read", path: path.to_owned(), source })
}

/// Reads an export line by line; `on` gets each, without its end.
pub(super) fn each_line<E>(path: &Path, mut on: impl FnMut(&str) -> Result<(), E>) -> Result<Result<(), E>, AppError> {
    let failed = |op| move |source| AppError::Io { op, path: path.to_owned(), source };
    let mut file = BufReader::new(File::open(path).map_err(failed("open"))?);
    let mut line = Vec::new();
    loop {
        line.clear();
        if file.read_until(b'\n', &mut line).map_err(failed("read"))? == 0 {
            return Ok(Ok(()));
        }
        let end = line.len() - usize::from(line.ends_with(b"\n"));
        // A byte that is no text was changed, and is found where the line is hashed.
        let text = String::from_utf8_lossy(line.get(..end).unwrap_or_default());
        if let Err(error) = on(&text) {
            return Ok(Err(error));
        }
    }
}

fn verify_export(path: &Path, checkpoints: Vec<Checkpoint>) -> Result<Found, AppError> {
    let signed = checkpoints.iter().map(|checkpoint| checkpoint.size).max().unwrap_or_default();
    let mut check = TrailCheck::against(checkpoints);
    let read = each_line(path, |line| check.line(line).map(drop))?;
    let entries = check.tree().size;
    let root = |tree: &kovcheg_format::audit::AuditTree| Some(tree.root().to_string());
    Ok(match read.and_then(|()| check.end()) {
        Ok(tree) => Found { entries, signed, root: root(&tree), problem: None },
        Err(fault) => Found { entries, signed: 0, root: None, problem: Some(fault.to_string()) },
    })
}

fn verify_proof(path: &Path, checkpoints: &[Checkpoint]) -> Result<Found, AppError> {
    let proof: Proof = serde_json::from_str(&text_of(path)?)
        .map_err(|error| AppError::Usage(format!("{} is no proof: {error}", path.display())))?;
    let problem = proof.verify(checkpoints)?;
    let signed = checkpoints.iter().map(|checkpoint| checkpoint.size).max().unwrap_or_default();
    Ok(Found { entries: proof.size(), signed, root: None, problem })
}

fn words(found: &Found) -> String {
    let mut out = String::new();
    match (&found.problem, found.signed) {
        (Some(problem), _) => drop(writeln!(out, "NOT AS IT WAS: {}", show::tame(problem))),
        (None, 0) => drop(writeln!(
            out,
            "{} entries, the chain is whole; no audit checkpoint says that they are the ones",
            found.entries
        )),
        (None, signed) => drop(writeln!(
            out,
            "{} entries, the chain is whole, and the first {signed} are those that were signed",
            found.entries
        )),
    }
    if let Some(root) = &found.root {
        let _ = writeln!(out, "root {root}");
    }
    out
}
