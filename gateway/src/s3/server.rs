//! The HTTP/1.1 server under the S3 service: connections, their limits, and an orderly end.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use kovcheg_storage::handle::VaultHandle;
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{interval, sleep, timeout};
use tracing::Instrument as _;

use crate::config::S3Config;
use crate::metrics::{CONNECTIONS, Counted, describe, refused};
use crate::s3::admission::{Place, Places};
use crate::s3::layer::{Shared, connection_span, respond};
use crate::s3::service::{BuildError, build};
use crate::s3::tls::{LOOK_EVERY, Tls};
use crate::stream::WriteIdle;

/// Connections above the limit that are answered 503 at a time; further ones are closed unanswered.
const REFUSING_MAX: usize = 64;
/// Such a connection is closed after this long.
const REFUSING_TIME: Duration = Duration::from_secs(5);
/// Most headers of a request: room for all the metadata that S3 allows, one header an item. Beyond, hyper answers 431 without a
/// document and closes the connection.
const HEADERS_MAX: usize = 256;
/// How often a certificate that ends soon is complained about.
const WARN_EVERY: Duration = Duration::from_secs(24 * 3600);
/// Pause after a failed accept (usually: no file descriptors left), so that the loop does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Why the listener could not start.
#[derive(Debug, Error)]
pub enum ServeError {
    /// A setting is wrong.
    #[error(transparent)]
    Build(#[from] BuildError),
}

/// Serves S3 on `listener`, over TLS if there is any, until `shutdown` resolves; then takes no more connections, lets requests in progress end within
/// `config.shutdown_deadline`, and cuts the rest. What was cut was not acknowledged.
///
/// # Errors
/// [`ServeError`] before the first connection is taken; afterwards troubles of single connections are only logged.
pub async fn serve(
    listener: TcpListener,
    tls: Option<Arc<Tls>>,
    vault: VaultHandle,
    config: S3Config,
    shutdown: impl Future<Output = ()> + Send,
) -> Result<(), ServeError> {
    describe();
    let config = Arc::new(config);
    let service = build(vault.clone(), &config)?;
    let shared = Arc::new(Shared::new(service, vault, Arc::clone(&config)));
    let limits = Limits::new(&config);
    let (stop, stopping) = watch::channel(false);
    let mut connections = JoinSet::new();
    let mut look = interval(LOOK_EVERY);
    let mut warn = interval(WARN_EVERY);
    tokio::pin!(shutdown);
    loop {
        tokio::select! {
            biased;
            () = &mut shutdown => break,
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
            _ = look.tick(), if tls.is_some() => with(&tls, Tls::look),
            _ = warn.tick(), if tls.is_some() => with(&tls, Tls::warn_of_end),
            accepted = listener.accept() => match accepted {
                Ok((stream, address)) => {
                    if let Some(room) = limits.room(address) {
                        let connection =
                            connection(Arc::clone(&shared), tls.clone(), stream, address, room, stopping.clone());
                        connections.spawn(connection.instrument(connection_span(address)));
                    }
                }
                Err(error) => {
                    tracing::warn!(error = %error, "a connection could not be accepted; trying on");
                    sleep(ACCEPT_PAUSE).await;
                }
            },
        }
    }
    drop(listener);
    let _ = stop.send(true);
    let all_ended = async { while connections.join_next().await.is_some() {} };
    if timeout(config.shutdown_deadline, all_ended).await.is_err() {
        tracing::warn!(left = connections.len(), "S3 requests did not end before the deadline and were cut");
        connections.shutdown().await;
    }
    Ok(())
}

/// Room for connections.
struct Limits {
    serving: Arc<Places>,
    refusing: Arc<Semaphore>,
}

/// A connection's room.
enum Room {
    Serving {
        _place: Place,
    },
    /// It is told that there is none.
    Refusing {
        _permit: OwnedSemaphorePermit,
    },
}

impl Limits {
    fn new(config: &S3Config) -> Self {
        Self { serving: Places::new(config.connections_max), refusing: Arc::new(Semaphore::new(REFUSING_MAX)) }
    }

    /// Room to be served; if there is none, to be told so; if there is none either, nothing.
    fn room(&self, address: SocketAddr) -> Option<Room> {
        if let Ok(place) = self.serving.enter(address) {
            return Some(Room::Serving { _place: place });
        }
        let permit = Arc::clone(&self.refusing).try_acquire_owned().ok();
        if permit.is_none() {
            refused("connections");
        }
        permit.map(|permit| Room::Refusing { _permit: permit })
    }
}

/// Looks at files, off the async threads.
fn with(tls: &Option<Arc<Tls>>, act: fn(&Tls)) {
    if let Some(tls) = tls.clone() {
        tokio::task::spawn_blocking(move || act(&tls));
    }
}

async fn connection(
    shared: Arc<Shared>,
    tls: Option<Arc<Tls>>,
    stream: TcpStream,
    address: SocketAddr,
    room: Room,
    mut stopping: watch::Receiver<bool>,
) {
    let _counted = Counted::new(CONNECTIONS);
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(error = %error, "TCP_NODELAY could not be set");
    }
    let Some(tls) = tls else { return speak_http(shared, stream, address, room, stopping).await };
    let stream = tokio::select! {
        stream = tls.accept(stream) => stream,
        _ = stopping.wait_for(|stop| *stop) => None,
    };
    if let Some(stream) = stream {
        speak_http(shared, stream, address, room, stopping).await;
    }
}

async fn speak_http<S>(
    shared: Arc<Shared>,
    stream: S,
    address: SocketAddr,
    room: Room,
    mut stopping: watch::Receiver<bool>,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    let overloaded = matches!(room, Room::Refusing { .. });
    let config = Arc::clone(&shared.config);
    let heard = Arc::new(AtomicBool::new(false));
    let hearing = Arc::clone(&heard);
    let service = service_fn(move |request| {
        hearing.store(true, Ordering::Relaxed);
        let shared = Arc::clone(&shared);
        async move { Ok::<_, Infallible>(respond(shared, address, overloaded, request).await) }
    });
    let io = WriteIdle::new(TokioIo::new(stream), config.body_idle_timeout);
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(if overloaded { REFUSING_TIME } else { config.head_timeout })
        .max_headers(HEADERS_MAX)
        .half_close(true)
        .keep_alive(!overloaded)
        .serve_connection(io, service);
    tokio::pin!(served);
    // The guard that `wait_for` gives must not live across an await.
    let stopped = async move { stopping.wait_for(|stop| *stop).await.map(|_| ()) };
    let result = tokio::select! {
        result = served.as_mut() => result,
        _ = stopped => {
            // No request ever began here, so there is none to wait for; hyper would wait for the first.
            if !heard.load(Ordering::Relaxed) {
                return;
            }
            served.as_mut().graceful_shutdown();
            served.as_mut().await
        }
    };
    if let Err(error) = result {
        tracing::debug!(error = %error, "the connection ended early");
    }
}

/// Binds a listener.
///
/// # Errors
/// The operating system's, for example when another server has the address.
pub async fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    TcpListener::bind(address).await
}
