//! The only table from engine errors to status codes of the admin API.

use axum::Json;
use axum::response::{IntoResponse, Response};
use hyper::StatusCode;
use kovcheg_storage::error::StorageError;

use crate::ports::NotOpen;
use crate::types::Problem;

/// A refusal of the admin API.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// The engine refused or failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The vault is not open.
    #[error(transparent)]
    NotOpen(#[from] NotOpen),
    /// One at a time.
    #[error("a verification is running already; wait for it to end")]
    Busy,
    /// A few at a time.
    #[error("several exports of the audit trail are running already; wait for one to end")]
    BusyExporting,
    /// A worker of this process died.
    #[error("the request's worker ended early; see the log of the server")]
    Worker,
}

impl ApiError {
    /// The status code that stands for this error.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        match self {
            Self::NotOpen(_) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Busy | Self::BusyExporting => StatusCode::CONFLICT,
            Self::Worker => StatusCode::INTERNAL_SERVER_ERROR,
            Self::Storage(error) => match error {
                StorageError::NoSuchBucket(_) => StatusCode::NOT_FOUND,
                StorageError::InvalidArgument { .. } | StorageError::Operator(_) => StatusCode::BAD_REQUEST,
                StorageError::Refused { .. } => StatusCode::FORBIDDEN,
                StorageError::ReadOnly { .. }
                | StorageError::Full(_)
                | StorageError::Exhausted(_)
                | StorageError::Stopping(_) => StatusCode::SERVICE_UNAVAILABLE,
                _ => StatusCode::INTERNAL_SERVER_ERROR,
            },
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        (self.status(), Json(Problem { error: self.to_string() })).into_response()
    }
}
