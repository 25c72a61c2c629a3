//! Finding the vault, and whoever serves it.

use std::future::Future;
use std::path::PathBuf;

use clap::Args;
use kovcheg_admin::client::{AdminClient, ClientError};
use kovcheg_admin::socket::SOCKET_NAME;
use kovcheg_storage::disk::superblock::SUPERBLOCK_FILE;
use kovcheg_storage::vault::{Opened, Vault};

use crate::config::{Config, Overrides, Purpose};
use crate::error::AppError;
use crate::limits;

/// Where the vault is.
#[derive(Args)]
pub struct Place {
    /// Configuration file (TOML); deploy/kovcheg.toml has every key
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Folder of the vault [default: ./kovcheg-data, or the configuration's]
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
}

/// Options of a command that shows something and needs to be told nothing more.
#[derive(Args)]
pub struct Asking {
    #[command(flatten)]
    pub place: Place,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

impl Place {
    /// The vault's configuration. Listeners are of no concern here, so they may be what they like.
    pub fn load(&self) -> Result<Config, AppError> {
        let overrides = Overrides {
            config: self.config.clone(),
            data: self.data.clone(),
            allow_plain_http: true,
            ..Overrides::default()
        };
        Ok(Config::load(&overrides)?)
    }
}

/// Whoever answers for the vault.
pub enum Access {
    /// A running server.
    Server(AdminClient),
    /// Nobody: the command opens the vault itself.
    Offline,
}

/// Runs `work` on a small runtime of its own.
pub fn block_on<T>(work: impl Future<Output = Result<T, AppError>>) -> Result<T, AppError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime
        .map_err(|error| AppError::Machinery { what: "the async runtime", reason: error.to_string() })?
        .block_on(work)
}

/// Looks for a running server.
pub async fn access(config: &Config) -> Result<Access, AppError> {
    Ok(AdminClient::find(&config.data_dir).await?.map_or(Access::Offline, Access::Server))
}

/// Refuses to go on while a server runs.
pub async fn refuse_server(config: &Config) -> Result<(), AppError> {
    match access(config).await? {
        Access::Offline => Ok(()),
        Access::Server(_) => Err(AppError::ServerRuns(config.data_dir.join(SOCKET_NAME))),
    }
}

/// Refuses to go on where there is no vault, before a lock, an index or a folder is made in a place that was mistyped.
pub fn expect_vault(config: &Config) -> Result<(), AppError> {
    if config.disks.iter().any(|disk| disk.path.join(SUPERBLOCK_FILE).exists()) {
        return Ok(());
    }
    let disks = config.disks.iter().map(|disk| disk.path.display().to_string()).collect::<Vec<_>>().join(", ");
    Err(AppError::NoVault { data_dir: config.data_dir.clone(), disks })
}

/// Opens the vault, lets `act` use it, and closes it again, whatever came of it.
pub fn offline<T>(
    config: &Config,
    purpose: Purpose,
    act: impl FnOnce(&Vault) -> Result<T, AppError>,
) -> Result<T, AppError> {
    expect_vault(config)?;
    limits::raise_open_files();
    let Opened { vault, .. } = Vault::open(&config.open_options(purpose))?;
    let outcome = act(&vault);
    let closed = vault.close();
    let value = outcome?;
    closed?;
    Ok(value)
}

/// Has the running server answer, or the vault, which is then opened for it.
pub fn ask<T, F: Future<Output = Result<T, ClientError>>>(
    config: &Config,
    purpose: Purpose,
    server: impl FnOnce(AdminClient) -> F,
    vault: impl FnOnce(&Vault) -> Result<T, AppError>,
) -> Result<T, AppError> {
    match block_on(access(config))? {
        Access::Server(client) => block_on(async { Ok(server(client).await?) }),
        Access::Offline => offline(config, purpose, vault),
    }
}
