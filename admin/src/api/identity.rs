//! `/v0/tenants` and `/v0/access-keys` on the private socket.

use axum::Json;
use axum::extract::{Path, State};

use super::{Api, blocking};
use crate::error::ApiError;
use crate::types::{AccessKey, Enabled, MadeAccessKey, NewAccessKey, NewTenant, Tenant};

pub(super) async fn tenants(State(api): State<Api>) -> Result<Json<Vec<Tenant>>, ApiError> {
    blocking(api, |api| Ok(api.vault.tenants()?.into_iter().map(Tenant::from).collect())).await
}

pub(super) async fn create_tenant(
    State(api): State<Api>,
    Json(new): Json<NewTenant>,
) -> Result<Json<Tenant>, ApiError> {
    blocking(api, move |api| Ok(api.vault.create_tenant(&new.name)?.into())).await
}

pub(super) async fn access_keys(State(api): State<Api>) -> Result<Json<Vec<AccessKey>>, ApiError> {
    blocking(api, |api| Ok(api.vault.access_keys()?.into_iter().map(AccessKey::from).collect())).await
}

pub(super) async fn create_access_key(
    State(api): State<Api>,
    Json(new): Json<NewAccessKey>,
) -> Result<Json<MadeAccessKey>, ApiError> {
    blocking(api, move |api| {
        let (access_key, secret) = api.vault.create_access_key(&new.tenant, new.grant()?, &new.note)?;
        Ok(MadeAccessKey { access_key, secret_key: secret.to_string(), tenant: new.tenant })
    })
    .await
}

pub(super) async fn set_access_key_enabled(
    State(api): State<Api>,
    Path(access_key): Path<String>,
    Json(wanted): Json<Enabled>,
) -> Result<Json<Enabled>, ApiError> {
    blocking(api, move |api| {
        api.vault.set_access_key_enabled(&access_key, wanted.enabled)?;
        Ok(wanted)
    })
    .await
}

pub(super) async fn remove_access_key(
    State(api): State<Api>,
    Path(access_key): Path<String>,
) -> Result<Json<serde_json::Value>, ApiError> {
    blocking(api, move |api| {
        api.vault.remove_access_key(&access_key)?;
        Ok(serde_json::json!({ "removed": true }))
    })
    .await
}
