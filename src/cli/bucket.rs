//! `kovcheg bucket list` and `kovcheg bucket quota`.

use clap::{Args, Subcommand};
use kovcheg_admin::types::{Bucket, NewQuota};
use kovcheg_storage::object::quota;

use super::place::{Asking, Place, ask};
use super::show;
use crate::config::Purpose;
use crate::config::units::ByteSize;
use crate::error::{AppError, Outcome};

/// `kovcheg bucket ...`.
#[derive(Subcommand)]
pub enum BucketCommand {
    /// List the buckets with what they hold and may hold
    #[command(after_help = LIST_EXAMPLES)]
    List(Asking),
    /// Set how much a bucket may hold
    Quota(QuotaArguments),
}

const LIST_EXAMPLES: &str = "\
Examples:
  kovcheg bucket list
  kovcheg bucket list --json

BYTES are those of all versions, noncurrent ones too, as clients count them: before deduplication and compression.";

/// Options of `bucket quota`.
#[derive(Args)]
#[command(after_help = QUOTA_EXAMPLES)]
#[group(id = "limit", required = true, multiple = false, args = ["bytes", "none"])]
pub struct QuotaArguments {
    /// Bucket
    #[arg(value_name = "BUCKET")]
    bucket: String,
    /// Most bytes of its versions and of the parts of its open uploads, as in '500 GiB'
    #[arg(long, value_name = "SIZE")]
    bytes: Option<ByteSize>,
    /// Take the quota away
    #[arg(long)]
    none: bool,
    #[command(flatten)]
    place: Place,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

const QUOTA_EXAMPLES: &str = "\
Examples:
  kovcheg bucket quota ledger --bytes '500 GiB'
  kovcheg bucket quota ledger --none

A quota below what the bucket holds removes nothing: it stops growth. Puts that do not fit are refused with QuotaExceeded (403).";

/// Runs one of them.
pub fn run(command: &BucketCommand) -> Result<Outcome, AppError> {
    match command {
        BucketCommand::List(arguments) => list(arguments),
        BucketCommand::Quota(arguments) => set_quota(arguments),
    }
}

fn list(arguments: &Asking) -> Result<Outcome, AppError> {
    let found = ask(
        &arguments.place.load()?,
        Purpose::Look,
        |client| async move { client.buckets().await },
        |vault| Ok(quota::list(vault.engine().index.as_ref())?.into_iter().map(Bucket::from).collect::<Vec<_>>()),
    )?;
    show::either(arguments.json, &found, |found| {
        let mut rows = vec![["NAME", "OWNER", "VERSIONS", "BYTES", "UPLOADS", "QUOTA"].map(str::to_owned).to_vec()];
        for bucket in found {
            let owner = format!("{:012}", bucket.tenant);
            let (versions, bytes) = (bucket.versions.to_string(), show::bytes(bucket.bytes));
            let (uploads, quota) = (show::bytes(bucket.upload_bytes), limit(bucket));
            rows.push(vec![show::tame(&bucket.name), owner, versions, bytes, uploads, quota]);
        }
        show::table(&rows)
    })?;
    Ok(Outcome::Fine)
}

fn set_quota(arguments: &QuotaArguments) -> Result<Outcome, AppError> {
    let bytes = arguments.bytes.as_ref().map(|size| size.0);
    let new = NewQuota { bucket: arguments.bucket.clone(), bytes };
    let asked = new.clone();
    let set = ask(
        &arguments.place.load()?,
        Purpose::Mend,
        |client| async move { client.set_quota(&asked).await },
        |vault| Ok(Bucket::from(vault.set_quota(&new.bucket, new.bytes)?)),
    )?;
    show::either(arguments.json, &set, |bucket| {
        let holds = show::bytes(bucket.bytes.saturating_add(bucket.upload_bytes));
        format!("{} holds {holds}; quota: {}\n", show::tame(&bucket.name), limit(bucket))
    })?;
    Ok(Outcome::Fine)
}

fn limit(bucket: &Bucket) -> String {
    bucket.quota_bytes.map_or_else(|| "none".to_owned(), show::bytes)
}
