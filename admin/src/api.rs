//! `/v0` on the private socket: status, disks, verification, the recovery kit, tenants, access keys, case holds
//! and the audit trail.
//!
//! Whoever can open the socket may do all of it ([`crate::socket`] sees to who can). A verification streams lines of JSON;
//! a client that goes away stops it. At most one runs at a time, since it reads the whole vault.

use std::convert::Infallible;
use std::ops::ControlFlow;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use axum::Json;
use axum::Router;
use axum::body::Body;
use axum::extract::{DefaultBodyLimit, Query, State};
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post, put};
use hyper::body::{Bytes, Frame};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use crate::error::ApiError;
use crate::ports::VaultControl;
use crate::snapshot::Snapshots;
use crate::types::{ConfirmKit, Disk, Progress, RetentionClock, Status, VerifyLine, VerifyQuery};

/// Longest request body: an access key for many buckets.
const BODY_LEN_MAX: usize = 8192;
/// Lines a slow client may lag behind before it misses some. One place more is kept for the last line, so that a verification
/// never waits for its client, whatever that does.
const LINES_MAX: usize = 16;
/// Progress is for people; more often than this nobody reads it.
const PROGRESS_EVERY: Duration = Duration::from_millis(100);

mod audit;
mod bucket;
mod hold;
mod identity;

#[derive(Clone)]
struct Api {
    vault: Arc<dyn VaultControl>,
    snapshots: Snapshots,
    verifying: Arc<Semaphore>,
    exporting: Arc<Semaphore>,
}

/// The routes of the private socket.
pub fn router(vault: Arc<dyn VaultControl>) -> Router {
    Router::new()
        .route("/v0/status", get(status))
        .route("/v0/disks", get(disks))
        .route("/v0/verify", post(verify))
        .route("/v0/key/confirm", post(confirm))
        .route("/v0/clock/accept", post(accept_clock))
        .route("/v0/audit/export", get(audit::export))
        .route("/v0/audit/checkpoint", get(audit::checkpoint))
        .route("/v0/audit/key", get(audit::key))
        .route("/v0/buckets", get(bucket::list))
        .route("/v0/buckets/quota", post(bucket::set_quota))
        .route("/v0/case-holds", get(hold::list).post(hold::place))
        .route("/v0/tenants", get(identity::tenants).post(identity::create_tenant))
        .route("/v0/access-keys", get(identity::access_keys).post(identity::create_access_key))
        .route(
            "/v0/access-keys/{access_key}",
            put(identity::set_access_key_enabled).delete(identity::remove_access_key),
        )
        .layer(DefaultBodyLimit::max(BODY_LEN_MAX))
        .with_state(Api {
            snapshots: Snapshots::new(Arc::clone(&vault)),
            vault,
            verifying: Arc::new(Semaphore::new(1)),
            exporting: Arc::new(Semaphore::new(audit::EXPORTS_MAX)),
        })
}

async fn status(State(api): State<Api>) -> Result<Json<Status>, ApiError> {
    Ok(Json(Status::from(&*api.snapshots.status().await?)))
}

async fn disks(State(api): State<Api>) -> Result<Json<Vec<Disk>>, ApiError> {
    Ok(Json(Status::from(&*api.snapshots.status().await?).disks))
}

async fn confirm(State(api): State<Api>, Json(kit): Json<ConfirmKit>) -> Result<Json<serde_json::Value>, ApiError> {
    blocking(api, move |api| {
        api.vault.confirm_recovery_kit(&kit.code)?;
        Ok(serde_json::json!({ "confirmed": true }))
    })
    .await
}

async fn accept_clock(State(api): State<Api>, Json(kit): Json<ConfirmKit>) -> Result<Json<RetentionClock>, ApiError> {
    blocking(api, move |api| Ok(RetentionClock::from(api.vault.accept_clock(&kit.code)?))).await
}

/// Runs `act` on a thread that may block.
async fn blocking<T: Send + 'static>(
    api: Api,
    act: impl FnOnce(Api) -> Result<T, ApiError> + Send + 'static,
) -> Result<Json<T>, ApiError> {
    api.vault.is_open()?;
    let done = tokio::task::spawn_blocking(move || act(api));
    done.await.map_err(|_| ApiError::Worker)?.map(Json)
}

async fn verify(State(api): State<Api>, Query(query): Query<VerifyQuery>) -> Result<Response, ApiError> {
    api.vault.is_open()?;
    let permit = Arc::clone(&api.verifying).try_acquire_owned().map_err(|_| ApiError::Busy)?;
    let (lines, receiver) = mpsc::channel(LINES_MAX + 1);
    tokio::task::spawn_blocking(move || work(&*api.vault, query.bucket.as_deref(), permit, &lines));
    let body = Body::new(ChannelBody { items: receiver, bytes: json_line });
    Ok(([(CONTENT_TYPE, "application/x-ndjson")], body).into_response())
}

fn work(
    vault: &dyn VaultControl,
    bucket: Option<&str>,
    permit: OwnedSemaphorePermit,
    lines: &mpsc::Sender<VerifyLine>,
) {
    let last = match run_verify(vault, bucket, lines) {
        Ok(report) => VerifyLine::Report(report.into()),
        Err(error) => VerifyLine::Error(error.to_string()),
    };
    // Freed before the last line goes out, so that a client that has read it may start the next one.
    drop(permit);
    let _ = lines.try_send(last);
}

fn run_verify(
    vault: &dyn VaultControl,
    bucket: Option<&str>,
    lines: &mpsc::Sender<VerifyLine>,
) -> kovcheg_storage::error::StorageResult<kovcheg_storage::vault::VerifyReport> {
    let mut last: Option<Instant> = None;
    vault.verify(bucket, &mut |progress| {
        if lines.is_closed() {
            return ControlFlow::Break(());
        }
        if last.is_none_or(|last| last.elapsed() >= PROGRESS_EVERY) && lines.capacity() > 1 {
            last = Some(Instant::now());
            let _ = lines.try_send(VerifyLine::Progress(Progress::from(progress)));
        }
        ControlFlow::Continue(())
    })
}

/// A response body of what comes through a channel, as it comes.
struct ChannelBody<T> {
    items: mpsc::Receiver<T>,
    bytes: fn(T) -> Bytes,
}

impl<T> hyper::body::Body for ChannelBody<T> {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        let bytes = self.bytes;
        self.items.poll_recv(context).map(|item| item.map(|item| Ok(Frame::data(bytes(item)))))
    }
}

fn json_line(line: VerifyLine) -> Bytes {
    let mut text = serde_json::to_vec(&line).unwrap_or_default();
    text.push(b'\n');
    text.into()
}

#[cfg(test)]
mod tests;
