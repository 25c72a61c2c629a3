//! The admin listener: `/health/live`, `/health/ready`, `/metrics`, and nothing else. It holds no secret and no control.
//!
//! `live` says that the process answers. `ready` says that writes are taken; while the vault recovers, closes or is
//! read-only it is 503 with the reason, so that a load balancer sends writers elsewhere. `metrics` is Prometheus text.

use std::sync::Arc;

use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use hyper::StatusCode;

use crate::ports::{MetricsText, VaultControl};
use crate::snapshot::Snapshots;
use crate::types::Health;

pub mod prometheus;

#[derive(Clone)]
struct Observed {
    snapshots: Snapshots,
    recorded: Arc<dyn MetricsText>,
}

/// The routes of the admin listener.
pub fn router(vault: Arc<dyn VaultControl>, recorded: Arc<dyn MetricsText>) -> Router {
    Router::new()
        .route("/health/live", get(live))
        .route("/health/ready", get(ready))
        .route("/metrics", get(metrics))
        .with_state(Observed { snapshots: Snapshots::new(vault), recorded })
}

async fn live() -> Json<Health> {
    Json(Health { state: "live".to_owned(), reason: None })
}

async fn ready(State(observed): State<Observed>) -> Response {
    let reason = match observed.snapshots.status().await {
        Err(not_open) => not_open.to_string(),
        Ok(status) if status.state == "serving" => {
            return Json(Health { state: "ready".to_owned(), reason: None }).into_response();
        }
        Ok(status) => format!("the vault is {}: {}", status.state, status.reason.as_deref().unwrap_or_default()),
    };
    let health = Health { state: "not_ready".to_owned(), reason: Some(reason) };
    (StatusCode::SERVICE_UNAVAILABLE, Json(health)).into_response()
}

async fn metrics(State(observed): State<Observed>) -> Response {
    let status = observed.snapshots.status().await.ok();
    let mut text = prometheus::render(status.as_deref(), resident_bytes());
    text.push_str(&observed.recorded.render());
    ([(CONTENT_TYPE, "text/plain; version=0.0.4")], text).into_response()
}

/// Resident memory of this process, where the kernel tells.
fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "tests")]

    use std::sync::Arc;

    use super::router;
    use crate::testing::{FakeVault, ask, no_metrics};

    #[tokio::test]
    async fn ready_follows_the_state_of_the_vault() {
        // Goal: 503 with the reason while opening and when read-only, 200 when serving; live throughout.
        let vault = Arc::new(FakeVault::opening());
        let routes = router(vault.clone(), no_metrics());
        let (code, text) = ask(&routes, "GET", "/health/ready", "").await;
        assert_eq!((code, text.contains("opening")), (503, true), "{text}");
        vault.serve();
        assert_eq!(ask(&routes, "GET", "/health/ready", "").await.0, 200);
        vault.read_only("3 of 6 disks are missing");
        // What was seen before is kept for a second at most.
        tokio::time::sleep(std::time::Duration::from_millis(1100)).await;
        let (code, text) = ask(&routes, "GET", "/health/ready", "").await;
        assert_eq!((code, text.contains("3 of 6 disks are missing")), (503, true), "{text}");
        assert_eq!(ask(&routes, "GET", "/health/live", "").await.0, 200);
    }

    #[tokio::test]
    async fn listener_has_nothing_but_health_and_metrics() {
        // Goal: control routes of the private socket are not on the listener.
        let routes = router(Arc::new(FakeVault::serving()), no_metrics());
        for path in ["/", "/v0/status", "/v0/disks", "/health"] {
            assert_eq!(ask(&routes, "GET", path, "").await.0, 404, "{path}");
        }
        assert_eq!(ask(&routes, "POST", "/v0/verify", "").await.0, 404);
        let (code, text) = ask(&routes, "GET", "/metrics", "").await;
        assert_eq!(code, 200);
        assert!(text.contains("kovcheg_physical_bytes{kind=\"parity\"} 50\n"), "{text}");
        assert!(text.contains("process_resident_memory_bytes "), "{text}");
    }
}
