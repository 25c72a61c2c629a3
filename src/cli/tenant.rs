//! `kovcheg tenant create` and `kovcheg tenant list`.

use clap::{Args, Subcommand};
use kovcheg_admin::types::Tenant;
use kovcheg_storage::identity::tenants;

use super::place::{Asking, Place, ask};
use super::show;
use crate::config::Purpose;
use crate::error::{AppError, Outcome};

/// `kovcheg tenant ...`.
#[derive(Subcommand)]
pub enum TenantCommand {
    /// Make a tenant: buckets, access keys and encryption keys of its own, and no deduplication with others
    Create(CreateArguments),
    /// List the tenants
    #[command(after_help = LIST_EXAMPLES)]
    List(Asking),
}

/// Options of `tenant create`.
#[derive(Args)]
#[command(after_help = CREATE_EXAMPLES)]
pub struct CreateArguments {
    /// Name: 1 to 63 of a-z, 0-9 and -
    name: String,
    #[command(flatten)]
    place: Place,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

const CREATE_EXAMPLES: &str = "\
Examples:
  kovcheg tenant create accounting
  kovcheg access-key create --tenant accounting --bucket '*'

Back up the key file no less than before: the keys of all tenants are wrapped by it.";

const LIST_EXAMPLES: &str = "\
Examples:
  kovcheg tenant list
  kovcheg tenant list --data /srv/vault --json";

/// Runs one of them.
pub fn run(command: &TenantCommand) -> Result<Outcome, AppError> {
    match command {
        TenantCommand::Create(arguments) => create(arguments),
        TenantCommand::List(arguments) => list(arguments),
    }
}

fn create(arguments: &CreateArguments) -> Result<Outcome, AppError> {
    let (config, name) = (arguments.place.load()?, arguments.name.as_str());
    let made = ask(
        &config,
        Purpose::Mend,
        |client| async move { client.create_tenant(name).await },
        |vault| Ok(Tenant::from(vault.create_tenant(name)?)),
    )?;
    show::either(arguments.json, &made, |tenant| {
        let Tenant { id, name, .. } = tenant;
        format!("tenant {name} (owner {id:012}); next: kovcheg access-key create --tenant {name} --bucket '*'\n")
    })?;
    Ok(Outcome::Fine)
}

fn list(arguments: &Asking) -> Result<Outcome, AppError> {
    let found = ask(
        &arguments.place.load()?,
        Purpose::Look,
        |client| async move { client.tenants().await },
        |vault| Ok(tenants::all(vault.engine().index.as_ref())?.into_iter().map(Tenant::from).collect::<Vec<_>>()),
    )?;
    show::either(arguments.json, &found, |found| {
        let mut rows = vec![vec!["NAME".to_owned(), "OWNER".to_owned()]];
        rows.extend(found.iter().map(|tenant| vec![show::tame(&tenant.name), format!("{:012}", tenant.id)]));
        show::table(&rows)
    })?;
    Ok(Outcome::Fine)
}
