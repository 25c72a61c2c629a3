//! `/v0/buckets` and `/v0/buckets/quota` on the private socket.

use axum::Json;
use axum::extract::State;

use super::{Api, blocking};
use crate::error::ApiError;
use crate::types::{Bucket, NewQuota};

pub(super) async fn list(State(api): State<Api>) -> Result<Json<Vec<Bucket>>, ApiError> {
    blocking(api, |api| Ok(api.vault.buckets()?.into_iter().map(Bucket::from).collect())).await
}

pub(super) async fn set_quota(State(api): State<Api>, Json(new): Json<NewQuota>) -> Result<Json<Bucket>, ApiError> {
    blocking(api, move |api| Ok(api.vault.set_quota(&new.bucket, new.bytes)?.into())).await
}
