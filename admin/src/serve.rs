//! Serves this crate's routes until told to end. Requests in progress may finish, within a time: neither a client that stopped in
//! the middle of a request nor one that no longer reads can keep the process from ending.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use axum::serve::Listener;
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tower::ServiceExt as _;

use crate::ports::{MetricsText, VaultControl};
use crate::socket::AdminSocket;
use crate::{api, observe};

/// Most connections of one listener; further ones wait to be taken. Scrapers, probes and operators are few.
const CONNECTIONS_MAX: usize = 64;
/// A request's head must come within this time; also how long an idle connection is kept.
const HEAD_WITHIN: Duration = Duration::from_secs(30);
/// Requests in progress at the end have this long.
const END_WITHIN: Duration = Duration::from_secs(5);

/// Health and metrics on `listener`, until `stop` resolves.
pub async fn health(
    listener: TcpListener,
    vault: Arc<dyn VaultControl>,
    recorded: Arc<dyn MetricsText>,
    stop: impl Future<Output = ()> + Send + 'static,
) {
    serve(listener, observe::router(vault, recorded), stop).await;
}

/// The private API on `socket`, until `stop` resolves. The socket is removed on return.
pub async fn private(
    socket: AdminSocket,
    vault: Arc<dyn VaultControl>,
    stop: impl Future<Output = ()> + Send + 'static,
) {
    serve(socket, api::router(vault), stop).await;
}

async fn serve<L: Listener>(mut listener: L, routes: Router, stop: impl Future<Output = ()>) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let (end, ending) = watch::channel(false);
    let mut connections = JoinSet::new();
    tokio::pin!(stop);
    loop {
        let accepted = async {
            let place = Arc::clone(&places).acquire_owned().await.ok();
            (place, listener.accept().await.0)
        };
        tokio::select! {
            biased;
            () = &mut stop => break,
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
            (place, io) = accepted => {
                let connection = connection(io, routes.clone(), ending.clone());
                connections.spawn(async move {
                    connection.await;
                    drop(place);
                });
            }
        }
    }
    drop(listener);
    let _ = end.send(true);
    let all_ended = async { while connections.join_next().await.is_some() {} };
    if timeout(END_WITHIN, all_ended).await.is_err() {
        tracing::warn!(left = connections.len(), "connections of operators did not end in time and were cut");
        connections.shutdown().await;
    }
}

async fn connection(
    io: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    routes: Router,
    mut ending: watch::Receiver<bool>,
) {
    let heard = Arc::new(AtomicBool::new(false));
    let hearing = Arc::clone(&heard);
    let service = service_fn(move |request: Request<Incoming>| {
        hearing.store(true, Ordering::Relaxed);
        routes.clone().oneshot(request)
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_WITHIN)
        .serve_connection(TokioIo::new(io), service);
    tokio::pin!(served);
    // The guard that `wait_for` gives must not live across an await.
    let ended = async move { ending.wait_for(|end| *end).await.map(|_| ()) };
    let result = tokio::select! {
        result = served.as_mut() => result,
        _ = ended => {
            // No request ever began here, so there is none to wait for; hyper would wait for the first.
            if !heard.load(Ordering::Relaxed) {
                return;
            }
            served.as_mut().graceful_shutdown();
            served.as_mut().await
        }
    };
    if let Err(error) = result {
        tracing::debug!(%error, "a connection of an operator ended early");
    }
}

#[cfg(test)]
mod tests {
    //! Goal: the end waits for nobody who stands still, and one who floods the listener cannot take more than its places.
    //! Method: raw sockets against the real server, time measured.
    #![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

    use std::sync::Arc;
    use std::time::{Duration, Instant};

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::{TcpListener, TcpStream};
    use tokio::sync::oneshot;
    use tokio::time::timeout;

    use super::{CONNECTIONS_MAX, END_WITHIN, health};
    use crate::testing::{FakeVault, no_metrics};

    const SOON: Duration = Duration::from_secs(2);

    async fn listening() -> (std::net::SocketAddr, oneshot::Sender<()>, tokio::task::JoinHandle<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let vault = Arc::new(FakeVault::serving());
        let stopped = async move { drop(stopped.await) };
        (address, stop, tokio::spawn(health(listener, vault, no_metrics(), stopped)))
    }

    async fn live(address: std::net::SocketAddr) -> TcpStream {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(b"GET /health/live HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
        stream
    }

    #[tokio::test]
    async fn half_a_request_does_not_hold_the_end() {
        let (address, stop, served) = listening().await;
        let mut half = TcpStream::connect(address).await.unwrap();
        half.write_all(b"GET /health/live HT").await.unwrap();
        let mut whole = live(address).await;
        let mut answer = [0; 12];
        whole.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, b"HTTP/1.1 200");
        // One that was heard before and stops in the middle of its next request.
        whole.write_all(b"GET /health/live HT").await.unwrap();
        tokio::time::sleep(Duration::from_millis(200)).await;
        stop.send(()).unwrap();
        let began = Instant::now();
        timeout(END_WITHIN + SOON, served).await.expect("an end").unwrap();
        assert!(began.elapsed() < END_WITHIN + SOON);
    }

    #[tokio::test]
    async fn places_are_few_and_come_back() {
        let (address, _stop, _served) = listening().await;
        let mut held = Vec::new();
        for _ in 0..CONNECTIONS_MAX {
            let mut stream = TcpStream::connect(address).await.unwrap();
            stream.write_all(b"GET /health/live HT").await.unwrap();
            held.push(stream);
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
        let mut late = live(address).await;
        let mut answer = [0; 12];
        assert!(timeout(Duration::from_millis(300), late.read_exact(&mut answer)).await.is_err(), "above the limit");
        held.pop();
        timeout(SOON, late.read_exact(&mut answer)).await.expect("a place came free").unwrap();
    }
}
