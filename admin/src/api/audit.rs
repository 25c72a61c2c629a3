//! `/v0/audit` on the private socket. An export streams lines; its thread never waits for a client while the vault closes.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use hyper::body::Bytes;
use tokio::sync::mpsc::{self, error::TrySendError};

use super::{Api, ChannelBody, blocking};
use crate::error::ApiError;
use crate::ports::VaultControl;
use crate::types::{AuditKey, AuditNote, TrailEnd};

/// Exports at a time: each reads the whole journal.
pub(super) const EXPORTS_MAX: usize = 2;
/// Bytes of lines that go out together, and how many such pieces may wait for a slow client.
const PIECE_LEN: usize = 64 << 10;
const PIECES_MAX: usize = 16;
/// How often a thread looks again whether its client has taken something.
const PAUSE: Duration = Duration::from_millis(5);

pub(super) async fn checkpoint(State(api): State<Api>) -> Result<Json<AuditNote>, ApiError> {
    blocking(api, |api| Ok(AuditNote { note: api.vault.audit_checkpoint()? })).await
}

pub(super) async fn key(State(api): State<Api>) -> Result<Json<AuditKey>, ApiError> {
    blocking(api, |api| Ok(AuditKey { key: api.vault.audit_key()? })).await
}

pub(super) async fn export(State(api): State<Api>) -> Result<Response, ApiError> {
    api.vault.is_open()?;
    let permit = Arc::clone(&api.exporting).try_acquire_owned().map_err(|_| ApiError::BusyExporting)?;
    let (pieces, receiver) = mpsc::channel(PIECES_MAX);
    tokio::task::spawn_blocking(move || {
        work(&*api.vault, &pieces);
        drop(permit);
    });
    let body = Body::new(ChannelBody { items: receiver, bytes: |piece| piece });
    Ok(([(CONTENT_TYPE, "application/x-ndjson")], body).into_response())
}

pub(super) fn work(vault: &dyn VaultControl, pieces: &mpsc::Sender<Bytes>) {
    let mut piece = Vec::with_capacity(2 * PIECE_LEN);
    let outcome = vault.read_audit(&mut |line| {
        piece.extend_from_slice(line.as_bytes());
        piece.push(b'\n');
        if piece.len() < PIECE_LEN { ControlFlow::Continue(()) } else { hand_over(vault, pieces, &mut piece) }
    });
    let end = match outcome {
        Ok(Some(entries)) => TrailEnd::End(entries),
        Ok(None) => TrailEnd::Error("it was stopped before its end".to_owned()),
        Err(error) => TrailEnd::Error(error.to_string()),
    };
    piece.extend(serde_json::to_vec(&end).unwrap_or_default());
    piece.push(b'\n');
    let _ = hand_over(vault, pieces, &mut piece);
}

/// Breaks when the client is gone, or the vault is no longer open.
fn hand_over(vault: &dyn VaultControl, pieces: &mpsc::Sender<Bytes>, piece: &mut Vec<u8>) -> ControlFlow<()> {
    let mut bytes = Bytes::from(std::mem::take(piece));
    loop {
        match pieces.try_send(bytes) {
            Ok(()) => return ControlFlow::Continue(()),
            Err(TrySendError::Closed(_)) => return ControlFlow::Break(()),
            Err(TrySendError::Full(_)) if vault.is_open().is_err() => return ControlFlow::Break(()),
            Err(TrySendError::Full(back)) => bytes = back,
        }
        std::thread::sleep(PAUSE);
    }
}
