//! `kovcheg audit prove`: proofs of RFC 9162 from an exported file. Opens no vault.

use std::path::PathBuf;

use clap::Args;
use kovcheg_format::audit::tree::{consistency_path, inclusion_path, leaf_hash, verify_consistency, verify_inclusion};
use kovcheg_format::audit::{Checkpoint, TrailCheck};
use kovcheg_format::id::AuditHash;
use serde::{Deserialize, Serialize};

use super::super::show;
use super::verify::each_line;
use crate::error::{AppError, Outcome};

/// Options of `audit prove`.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct ProveArguments {
    /// The exported file
    #[arg(value_name = "EXPORT")]
    export: PathBuf,
    /// Prove that this entry is in the trail
    #[arg(long, value_name = "N", required_unless_present = "from")]
    entry: Option<u64>,
    /// Prove that the trail goes on from the one of this many entries
    #[arg(long, value_name = "SIZE", conflicts_with = "entry")]
    from: Option<u64>,
    /// Of how many entries the trail is, as the audit checkpoint says that the proof is for [default: all of the export]
    #[arg(long, value_name = "SIZE")]
    size: Option<u64>,
}

const EXAMPLES: &str = "\
Examples:
  kovcheg audit prove trail.jsonl --entry 17 --size 5000 > entry-17.json
  kovcheg audit prove trail.jsonl --from 1000 --size 5000 > june-from-january.json
  kovcheg audit verify --proof entry-17.json --checkpoint june.note --key vault.pub

Whoever gets a proof sees that one entry and nothing of the others.";

/// A proof, and what it proves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "proof", deny_unknown_fields)]
pub enum Proof {
    /// That an entry is in the trail.
    Inclusion {
        /// Its number.
        entry: u64,
        /// Entries of the trail.
        size: u64,
        /// The entry.
        text: String,
        /// The hashes beside it, from the entry upward, in hex.
        path: Vec<String>,
    },
    /// That a trail goes on from an earlier one.
    Consistency {
        /// Entries of the earlier one.
        from: u64,
        /// Entries of the trail.
        size: u64,
        /// The hashes of RFC 9162, in hex.
        path: Vec<String>,
    },
}

pub fn run(arguments: &ProveArguments) -> Result<Outcome, AppError> {
    let (mut leaves, mut wanted) = (Vec::new(), None);
    let mut check = TrailCheck::default();
    let read = each_line(&arguments.export, |line| {
        let text = check.line(line)?;
        leaves.push(leaf_hash(text.as_bytes()));
        if arguments.entry == Some(leaves.len() as u64 - 1) {
            wanted = Some(text);
        }
        Ok(())
    })?;
    read.map_err(|fault: kovcheg_format::audit::TrailFault| {
        AppError::Usage(format!("{}: {fault}", arguments.export.display()))
    })?;
    let size = arguments.size.unwrap_or(leaves.len() as u64);
    let few = || AppError::Usage(format!("{} has {} entries", arguments.export.display(), check.tree().size));
    let leaves = usize::try_from(size).ok().and_then(|size| leaves.get(..size)).ok_or_else(few)?;
    let at = |number: u64| usize::try_from(number).ok();
    let proof = match (arguments.entry, arguments.from) {
        (Some(entry), _) => {
            let path = at(entry).and_then(|index| inclusion_path(leaves, index)).ok_or_else(few)?;
            Proof::Inclusion { entry, size, text: wanted.unwrap_or_default(), path: hex_of(&path) }
        }
        (None, from) => {
            let from = from.unwrap_or_default();
            let path = at(from).and_then(|size| consistency_path(leaves, size)).ok_or_else(few)?;
            Proof::Consistency { from, size, path: hex_of(&path) }
        }
    };
    show::json(&proof)?;
    Ok(Outcome::Fine)
}

fn hex_of(path: &[AuditHash]) -> Vec<String> {
    path.iter().map(ToString::to_string).collect()
}

fn hashes_of(path: &[String]) -> Option<Vec<AuditHash>> {
    let hash = |text: &String| {
        let mut bytes = [0; 32];
        hex::decode_to_slice(text, &mut bytes).ok().map(|()| AuditHash(bytes))
    };
    path.iter().map(hash).collect()
}

impl Proof {
    /// Entries of the trail it is about.
    pub fn size(&self) -> u64 {
        match self {
            Self::Inclusion { size, .. } | Self::Consistency { size, .. } => *size,
        }
    }

    /// What is wrong with it, held against checkpoints whose signatures were verified.
    pub fn verify(&self, checkpoints: &[Checkpoint]) -> Result<Option<String>, AppError> {
        let of = |size: u64| {
            let found = checkpoints.iter().find(|checkpoint| checkpoint.size == size);
            let missing =
                || AppError::Usage(format!("the proof is for an audit checkpoint of {size} entries; give that one"));
            found.map(|checkpoint| (size, checkpoint.root)).ok_or_else(missing)
        };
        let holds = match self {
            Self::Inclusion { entry, size, text, path } => {
                let root = of(*size)?.1;
                let leaf = leaf_hash(text.as_bytes());
                hashes_of(path).is_some_and(|path| verify_inclusion(leaf, *entry, *size, &path, root))
            }
            Self::Consistency { from, size, path } => {
                let (old, new) = (of(*from)?, of(*size)?);
                hashes_of(path).is_some_and(|path| verify_consistency(old, new, &path))
            }
        };
        Ok((!holds).then(|| "the proof does not lead to what was signed".to_owned()))
    }
}
