//! Serves this crate's routes until told to end; requests in progress may finish.

use std::future::Future;
use std::sync::Arc;

use tokio::net::TcpListener;

use crate::ports::{MetricsText, VaultControl};
use crate::socket::AdminSocket;
use crate::{api, observe};

/// Health and metrics on `listener`, until `stop` resolves.
pub async fn health(
    listener: TcpListener,
    vault: Arc<dyn VaultControl>,
    recorded: Arc<dyn MetricsText>,
    stop: impl Future<Output = ()> + Send + 'static,
) {
    let routes = observe::router(vault, recorded);
    if let Err(error) = axum::serve(listener, routes).with_graceful_shutdown(stop).await {
        tracing::error!(%error, "the admin listener failed");
    }
}

/// The private API on `socket`, until `stop` resolves. The socket is removed on return.
pub async fn private(
    socket: AdminSocket,
    vault: Arc<dyn VaultControl>,
    stop: impl Future<Output = ()> + Send + 'static,
) {
    if let Err(error) = axum::serve(socket, api::router(vault)).with_graceful_shutdown(stop).await {
        tracing::error!(%error, "the admin socket failed");
    }
}
