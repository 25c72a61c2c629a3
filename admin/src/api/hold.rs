//! `/v0/case-holds` on the private socket.

use axum::Json;
use axum::extract::{Query, State};

use super::{Api, blocking};
use crate::error::ApiError;
use crate::types::{CaseHold, HoldQuery, NewCaseHold};

pub(super) async fn list(
    State(api): State<Api>,
    Query(query): Query<HoldQuery>,
) -> Result<Json<Vec<CaseHold>>, ApiError> {
    blocking(api, move |api| {
        Ok(api.vault.case_holds(query.bucket.as_deref())?.into_iter().map(CaseHold::from).collect())
    })
    .await
}

pub(super) async fn place(State(api): State<Api>, Json(new): Json<NewCaseHold>) -> Result<Json<CaseHold>, ApiError> {
    blocking(api, move |api| Ok(api.vault.place_case_hold(new.parse()?)?.into())).await
}
