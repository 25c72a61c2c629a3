//! The composition root: the only file that names concrete types of every layer and puts them together.
//!
//! Order of a start: listeners (so that a taken port is found before anything is touched), health, vault, root
//! credential, private socket, S3. Order of an end: S3 drains, the socket ends, the vault is closed, health ends; a second
//! signal at any time ends the process at once, which is as safe as a crash.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;

use kovcheg_admin::serve;
use kovcheg_admin::socket::{AdminSocket, SOCKET_NAME, SocketError, connect};
use kovcheg_gateway::s3;
use kovcheg_gateway::s3::tls::Tls;
use kovcheg_storage::error::StorageError;
use kovcheg_storage::handle::VaultHandle;
use kovcheg_storage::identity::{self, RootChange};
use kovcheg_storage::vault::{Opened, Vault};
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::advice::{Facts, warnings};
use crate::config::{Config, Purpose};
use crate::control::Control;
use crate::error::{AppError, Outcome};
use crate::secrets::{KeyPair, Told, from_environment, generate, tell_once};
use crate::signals::Signals;
use crate::telemetry::Recorded;
use crate::{folders, limits, memory, secrets};

/// File in the vault's folder that holds a root credential made at first start, when there was no terminal to print it.
pub const CREDENTIALS_FILE: &str = "root-credentials";
/// File in the vault's folder that holds the recovery code, when there was no terminal to print it.
pub const KIT_FILE: &str = "recovery-kit";

/// Serves until a signal ends it.
///
/// # Errors
/// [`AppError`]; [`AppError::Forced`] after a second signal, when the caller must end the process without waiting for
/// anything.
pub fn run_server(config: Config) -> Result<Outcome, AppError> {
    memory::keep_what_is_freed();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| AppError::Machinery { what: "the async runtime", reason: error.to_string() })?;
    let recorded = Recorded::install()?;
    let outcome = runtime.block_on(run(config, recorded));
    // What still blocks on disks after a second signal is not waited for.
    runtime.shutdown_background();
    outcome
}

async fn run(mut config: Config, recorded: Recorded) -> Result<Outcome, AppError> {
    let mut signals = Signals::listen()?;
    let root = from_environment()?;
    limits::fit_connections(&mut config.s3, limits::raise_open_files());
    for warning in warnings(&Facts::gather(&config)) {
        tracing::warn!("WARNING: {warning}");
    }
    let tls = load_tls(&config)?;
    folders::prepare(&config)?;
    if connect(&config.data_dir).await?.is_some() {
        return Err(SocketError::Answered(config.data_dir.join(SOCKET_NAME)).into());
    }
    let s3_listener = listen("s3.listen", config.s3_listen).await?;
    let admin_listener = listen("admin.listen", config.admin_listen).await?;
    let control = Arc::new(Control::default());
    // One reference is never given back: at a second signal the vault must not be dropped on the way out, which would
    // wait for its threads. After a clean end nothing is left in it.
    std::mem::forget(Arc::clone(&control));
    let stop = Stop::default();
    tokio::spawn(recorded.clone().keep_up());
    let health = serve::health(admin_listener, control.clone(), Arc::new(recorded), stop.told());
    let health = tokio::spawn(health);

    let vault = signals.through(open(&config, root)).await??;
    let handle = vault.handle();
    control.put(vault);
    let ended = match signals.asked() {
        true => Ok(()),
        false => serve_all(S3 { listener: s3_listener, tls, handle }, &config, &mut signals, &control).await,
    };
    if matches!(ended, Err(AppError::Forced)) {
        return Err(AppError::Forced);
    }
    close(control, &mut signals).await?;
    stop.tell();
    let _ = signals.through(health).await?;
    ended?;
    tracing::info!("closed cleanly");
    Ok(Outcome::Fine)
}

/// Told once to every listener that it is over.
struct Stop(watch::Sender<bool>);

impl Default for Stop {
    fn default() -> Self {
        Self(watch::Sender::new(false))
    }
}

impl Stop {
    fn tell(&self) {
        self.0.send_replace(true);
    }

    fn told(&self) -> impl Future<Output = ()> + Send + 'static {
        let mut stop = self.0.subscribe();
        async move {
            // An error means that the sender is gone: over as well.
            let _ = stop.wait_for(|stop| *stop).await;
        }
    }
}

/// What S3 is served with.
struct S3 {
    listener: TcpListener,
    tls: Option<Arc<Tls>>,
    handle: VaultHandle,
}

/// The pair of the S3 listener, if there is one; SIGHUP takes it anew.
fn load_tls(config: &Config) -> Result<Option<Arc<Tls>>, AppError> {
    let Some(files) = config.tls.clone() else { return Ok(None) };
    let tls = Arc::new(Tls::load(files)?);
    let reloaded = Arc::clone(&tls);
    Signals::on_hangup(move || reloaded.reload_aloud())?;
    Ok(Some(tls))
}

/// Serves the private socket and S3 until the first signal, then until both have ended.
async fn serve_all(s3: S3, config: &Config, signals: &mut Signals, control: &Arc<Control>) -> Result<(), AppError> {
    let stop = Stop::default();
    let socket = AdminSocket::bind(&config.data_dir).await?;
    let socket = tokio::spawn(serve::private(socket, control.clone(), stop.told()));
    let ended = serve_s3(s3, config, signals, control, &stop).await;
    if matches!(ended, Err(AppError::Forced)) {
        return ended;
    }
    control.stop();
    stop.tell();
    let _ = signals.through(socket).await?;
    ended
}

/// Serves S3 until the first signal, then until it has drained.
async fn serve_s3(
    s3: S3,
    config: &Config,
    signals: &mut Signals,
    control: &Control,
    stop: &Stop,
) -> Result<(), AppError> {
    let scheme = if s3.tls.is_some() { "https" } else { "http" };
    let S3 { listener, tls, handle } = s3;
    let mut serving = std::pin::pin!(s3::server::serve(listener, tls, handle, config.s3.clone(), stop.told()));
    tracing::info!(
        endpoint = %format_args!("{scheme}://{}", config.s3_listen),
        region = config.s3.region,
        admin = %config.admin_listen,
        "serving S3, path style"
    );
    let signal = tokio::select! {
        ended = &mut serving => return ended.map_err(|error| AppError::Gateway(error.to_string())),
        signal = signals.next() => signal,
    };
    tracing::info!(signal, "ending: no new connections; requests in progress may finish");
    control.stop();
    stop.tell();
    let ended = signals.through(serving).await?;
    ended.map_err(|error| AppError::Gateway(error.to_string()))
}

/// Opens the vault off the async threads, tells what a first start has to tell, and sets the root credential.
async fn open(config: &Config, root: Option<KeyPair>) -> Result<Vault, AppError> {
    let config = config.clone();
    let opening = tokio::task::spawn_blocking(move || {
        let Opened { vault, first_start } = Vault::open(&config.open_options(Purpose::Serve))?;
        if let Some(first) = first_start {
            tell_kit(&first.recovery_code, &config, Told::OnTerminal)?;
        }
        settle_root(&vault, root, &config)?;
        Ok(vault)
    });
    opening.await.map_err(|error| AppError::Machinery { what: "the vault", reason: error.to_string() })?
}

/// Tells the code of a new recovery kit, once.
///
/// # Errors
/// When it can be told to nobody.
pub fn tell_kit(code: &str, config: &Config, told: Told) -> Result<(), AppError> {
    let words = format!(
        "Recovery code: {code}\n\nIt restores the root key from any data disk (`kovcheg key recover`) when the key \
         file is lost.\nPrint it, keep it away from this machine, then run `kovcheg key confirm`.\n"
    );
    tell_once("recovery kit", &words, &config.data_dir.join(KIT_FILE), told)
}

/// The environment's credential wins; without one, the stored one stays, or a first one is made and told once.
fn settle_root(vault: &Vault, given: Option<KeyPair>, config: &Config) -> Result<(), AppError> {
    let pair = match given {
        Some(pair) => pair,
        None if vault.root_credential()?.is_some() => return Ok(()),
        None => {
            let pair = generate()?;
            let words =
                format!("{}={}\n{}={}\n", secrets::ROOT_ACCESS_KEY, pair.access, secrets::ROOT_SECRET_KEY, pair.secret);
            tell_once("root S3 credentials", &words, &config.data_dir.join(CREDENTIALS_FILE), Told::OnTerminal)?;
            pair
        }
    };
    match vault.set_root_credential(&pair.access, &pair.secret) {
        Ok(RootChange::Unchanged) => {}
        Ok(RootChange::Created) => tracing::info!(access_key = pair.access, "root credential set"),
        Ok(RootChange::Replaced) => {
            tracing::warn!(
                access_key = pair.access,
                "root credential replaced by the environment's; the old one no longer signs"
            );
        }
        // A vault that takes no writes is still worth reading, and by nobody whose credential was replaced.
        Err(StorageError::ReadOnly { reason }) => {
            identity::hold_root(vault.engine(), &pair.access, &pair.secret);
            tracing::warn!(
                access_key = pair.access,
                reason,
                "root credential held in memory only, since the vault takes no writes; the stored one does not sign until a start \
                 without this one"
            );
        }
        Err(error) => return Err(error.into()),
    }
    Ok(())
}

async fn listen(key: &'static str, address: SocketAddr) -> Result<TcpListener, AppError> {
    TcpListener::bind(address).await.map_err(|source| AppError::Listen { key, address, source })
}

async fn close(control: Arc<Control>, signals: &mut Signals) -> Result<(), AppError> {
    control.stop();
    let closing = tokio::task::spawn_blocking(move || control.take().map_or(Ok(()), Vault::close));
    let closed = signals.through(closing).await?;
    closed.map_err(|error| AppError::Machinery { what: "closing the vault", reason: error.to_string() })??;
    Ok(())
}
