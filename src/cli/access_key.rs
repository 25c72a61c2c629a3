//! `kovcheg access-key create`, `list`, `enable`, `disable` and `delete`.

use clap::{Args, Subcommand};
use kovcheg_admin::types::{AccessKey, MadeAccessKey, NewAccessKey};
use kovcheg_storage::identity::access_keys;
use serde_json::json;

use super::place::{Asking, Place, ask};
use super::show;
use crate::config::Purpose;
use crate::control::create_access_key;
use crate::error::{AppError, Outcome};

/// `kovcheg access-key ...`.
#[derive(Subcommand)]
pub enum AccessKeyCommand {
    /// Make an S3 access key of a tenant; its secret is shown this once
    Create(CreateArguments),
    /// List the access keys, without secrets
    #[command(after_help = LIST_EXAMPLES)]
    List(Asking),
    /// Take requests with an access key again
    Enable(OneArguments),
    /// Refuse requests with an access key, until it is enabled
    Disable(OneArguments),
    /// Remove an access key for good
    Delete(OneArguments),
}

/// Options of `access-key create`.
#[derive(Args)]
#[command(after_help = CREATE_EXAMPLES)]
pub struct CreateArguments {
    /// Tenant it acts for
    #[arg(long, value_name = "NAME", default_value = "default")]
    tenant: String,
    /// Bucket it may use, which need not be there yet; a name that ends in * stands for all that begin so. Repeatable
    #[arg(long = "bucket", value_name = "BUCKET", required = true)]
    buckets: Vec<String>,
    /// What it may do there: read, write, delete, list, hold (set and clear legal holds), bypass (GOVERNANCE retention)
    #[arg(long = "allow", value_name = "RIGHTS", value_delimiter = ',', default_value = "read,write,delete,list")]
    rights: Vec<String>,
    /// What it is for
    #[arg(long, value_name = "TEXT", default_value = "")]
    note: String,
    #[command(flatten)]
    place: Place,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

const CREATE_EXAMPLES: &str = "\
Examples:
  kovcheg access-key create --bucket '*'
  kovcheg access-key create --tenant accounting --bucket dumps --bucket 'wal-*' --allow write,list --note 'pg1, nightly'

write includes making buckets and replacing objects; a tool that prunes its backups needs delete.";

const LIST_EXAMPLES: &str = "\
Examples:
  kovcheg access-key list
  kovcheg access-key list --json";

/// Options of the commands about one access key.
#[derive(Args)]
#[command(after_help = ONE_EXAMPLES)]
pub struct OneArguments {
    /// Id of the access key
    access_key: String,
    #[command(flatten)]
    place: Place,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

const ONE_EXAMPLES: &str = "\
Examples:
  kovcheg access-key disable KV0123456789ABCDEFGH
  kovcheg access-key enable KV0123456789ABCDEFGH
  kovcheg access-key delete KV0123456789ABCDEFGH

Requests that were taken before may still finish.";

/// Runs one of them.
pub fn run(command: &AccessKeyCommand) -> Result<Outcome, AppError> {
    match command {
        AccessKeyCommand::Create(arguments) => create(arguments),
        AccessKeyCommand::List(arguments) => list(arguments),
        AccessKeyCommand::Enable(arguments) => change(arguments, Change::Enable),
        AccessKeyCommand::Disable(arguments) => change(arguments, Change::Disable),
        AccessKeyCommand::Delete(arguments) => change(arguments, Change::Delete),
    }
}

fn create(arguments: &CreateArguments) -> Result<Outcome, AppError> {
    let config = arguments.place.load()?;
    let new = NewAccessKey {
        tenant: arguments.tenant.clone(),
        buckets: arguments.buckets.clone(),
        rights: arguments.rights.clone(),
        note: arguments.note.clone(),
    };
    let (asked, tenant) = (new.clone(), new.tenant.clone());
    let made = ask(
        &config,
        Purpose::Mend,
        |client| async move { client.create_access_key(&asked).await },
        |vault| {
            let (access_key, secret) = create_access_key(vault, &tenant, new.grant()?, &new.note)?;
            Ok(MadeAccessKey { access_key, secret_key: secret.to_string(), tenant: tenant.clone() })
        },
    )?;
    show::either(arguments.json, &made, |made| {
        format!("access key  {}\nsecret key  {}\n", made.access_key, made.secret_key)
    })?;
    if !arguments.json {
        eprintln!("the secret is shown this once and stored nowhere in clear");
    }
    Ok(Outcome::Fine)
}

fn list(arguments: &Asking) -> Result<Outcome, AppError> {
    let found = ask(
        &arguments.place.load()?,
        Purpose::Look,
        |client| async move { client.access_keys().await },
        |vault| {
            Ok(access_keys::all(vault.engine().index.as_ref())?.into_iter().map(AccessKey::from).collect::<Vec<_>>())
        },
    )?;
    show::either(arguments.json, &found, |found| show::table(&rows(found)))?;
    Ok(Outcome::Fine)
}

fn rows(keys: &[AccessKey]) -> Vec<Vec<String>> {
    let head = ["ACCESS KEY", "TENANT", "STATE", "BUCKETS", "RIGHTS", "NOTE"].map(str::to_owned).to_vec();
    let row = |key: &AccessKey| {
        let (buckets, rights) = match key.root {
            true => ("all of all tenants".to_owned(), "root".to_owned()),
            false => (key.buckets.join(","), key.rights.join(",")),
        };
        let state = if key.enabled { "enabled" } else { "disabled" }.to_owned();
        [key.access_key.clone(), key.tenant.clone(), state, buckets, rights, key.note.clone()]
            .map(|cell| show::tame(&cell))
            .to_vec()
    };
    std::iter::once(head).chain(keys.iter().map(row)).collect()
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Change {
    Enable,
    Disable,
    Delete,
}

fn change(arguments: &OneArguments, change: Change) -> Result<Outcome, AppError> {
    let (config, id) = (arguments.place.load()?, arguments.access_key.as_str());
    let enabled = change == Change::Enable;
    ask(
        &config,
        Purpose::Mend,
        |client| async move {
            match change {
                Change::Delete => client.remove_access_key(id).await,
                Change::Enable | Change::Disable => client.set_access_key_enabled(id, enabled).await,
            }
        },
        |vault| {
            match change {
                Change::Delete => access_keys::remove(vault.engine(), id)?,
                Change::Enable | Change::Disable => access_keys::set_enabled(vault.engine(), id, enabled)?,
            }
            Ok(())
        },
    )?;
    let done = match change {
        Change::Enable => "enabled",
        Change::Disable => "disabled",
        Change::Delete => "deleted",
    };
    let answer = json!({ "access_key": id, "state": done });
    show::either(arguments.json, &answer, |_| format!("{} is {done}\n", show::tame(id)))?;
    Ok(Outcome::Fine)
}
