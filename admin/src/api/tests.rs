//! The private API through a real socket and the client that the command line uses.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "tests")]

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::router;
use crate::client::{AdminClient, ClientError};
use crate::socket::AdminSocket;
use crate::testing::{CODE, FakeVault, Folder, ask, sample_bucket};
use crate::types::{NewAccessKey, NewCaseHold, NewQuota, Status, Tag, VerifyLine};

async fn served(name: &str, vault: Arc<FakeVault>) -> (Folder, AdminClient) {
    let folder = Folder::new(name);
    let socket = AdminSocket::bind(folder.path()).await.unwrap();
    tokio::spawn(async move { axum::serve(socket, router(vault)).await });
    let client = AdminClient::find(folder.path()).await.unwrap().expect("a server");
    (folder, client)
}

#[tokio::test]
async fn status_and_disks_pass_through_the_socket() {
    let (_folder, client) = served("api-status", Arc::new(FakeVault::serving())).await;
    let status = client.status().await.unwrap();
    assert_eq!(status, Status::from(&crate::testing::sample_status()));
    assert!(status.is_healthy());
    assert_eq!(client.disks().await.unwrap(), status.disks);
}

#[tokio::test]
async fn verify_streams_progress_and_ends_with_the_report() {
    let (_folder, client) = served("api-verify", Arc::new(FakeVault::serving())).await;
    let mut seen = Vec::new();
    let report = client.verify(Some("b ä/&"), |progress| seen.push(progress)).await.unwrap();
    assert_eq!((report.objects, report.damaged.len(), report.interrupted), (3, 1, false));
    assert!(!seen.is_empty() && seen.iter().all(|progress| progress.objects_total == 3), "{seen:?}");
    // One after the other is fine: the first gave its place back.
    assert!(client.verify(None, |_| {}).await.is_ok());
    let absent = client.verify(Some("absent"), |_| {}).await;
    assert!(matches!(&absent, Err(ClientError::Refused { error }) if error.contains("absent")), "{absent:?}");
}

#[tokio::test]
async fn client_that_goes_away_stops_its_verification_and_a_second_is_refused_meanwhile() {
    // Goal: at most one runs, and none goes on for nobody. Method: an endless verification, a second client beside it,
    // then the first future is dropped.
    let vault = Arc::new(FakeVault::serving());
    vault.steps.store(u64::MAX, Ordering::SeqCst);
    let (_folder, client) = served("api-drop", vault.clone()).await;
    let (started, wait) = tokio::sync::oneshot::channel();
    let first = client.clone();
    let task = tokio::spawn(async move {
        let mut started = Some(started);
        first
            .verify(None, |_| {
                let _ = started.take().map(|started| started.send(()));
            })
            .await
    });
    wait.await.unwrap();
    let second = client.verify(None, |_| {}).await;
    assert!(matches!(&second, Err(ClientError::Refused { error }) if error.contains("already")), "{second:?}");
    task.abort();
    while !vault.stopped.load(Ordering::SeqCst) {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn a_verification_never_waits_for_its_client_and_never_loses_its_result() {
    // The story: a client stopped with Ctrl-Z filled its socket, the verification waited for room for ever, and the vault could
    // not be closed. Method: more lines than there is room for, and nobody who reads them.
    let vault = Arc::new(FakeVault::serving());
    let steps = u64::try_from(super::PROGRESS_EVERY.as_millis()).unwrap() * (super::LINES_MAX as u64 + 8);
    vault.steps.store(steps, Ordering::SeqCst);
    let (lines, mut unread) = tokio::sync::mpsc::channel(super::LINES_MAX + 1);
    let permit = Arc::new(tokio::sync::Semaphore::new(1)).try_acquire_owned().unwrap();
    let work = tokio::task::spawn_blocking(move || super::work(&*vault, None, permit, &lines));
    tokio::time::timeout(std::time::Duration::from_secs(60), work).await.expect("an end").unwrap();
    let mut last = None;
    let mut seen = 0;
    while let Some(line) = unread.recv().await {
        (last, seen) = (Some(line), seen + 1);
    }
    assert!(matches!(&last, Some(VerifyLine::Report(report)) if report.objects == steps), "{last:?}");
    assert_eq!(seen, super::LINES_MAX + 1);
}

#[tokio::test]
async fn kit_is_confirmed_by_its_code_only() {
    let (_folder, client) = served("api-kit", Arc::new(FakeVault::serving())).await;
    client.confirm_recovery_kit(CODE).await.unwrap();
    let wrong = client.confirm_recovery_kit("WRONG-CODE").await;
    assert!(matches!(&wrong, Err(ClientError::Refused { error }) if !error.contains("WRONG-CODE")), "{wrong:?}");
}

#[tokio::test]
async fn clock_is_accepted_by_the_kit_only() {
    let (_folder, client) = served("api-clock", Arc::new(FakeVault::serving())).await;
    assert!(client.status().await.unwrap().retention_clock.disputed);
    let accepted = client.accept_clock(CODE).await.unwrap();
    assert_eq!((accepted.time_ms, accepted.disputed), (5_000, false));
    let wrong = client.accept_clock("WRONG-CODE").await;
    assert!(matches!(&wrong, Err(ClientError::Refused { error }) if !error.contains("WRONG-CODE")), "{wrong:?}");
}

#[tokio::test]
async fn tenants_and_access_keys_pass_through_the_socket() {
    let (_folder, client) = served("api-identity", Arc::new(FakeVault::serving())).await;
    let tenant = client.create_tenant("bank").await.unwrap();
    assert_eq!((tenant.id, tenant.name.as_str()), (2, "bank"));
    assert_eq!(client.tenants().await.unwrap(), [tenant]);
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    let mut new = NewAccessKey {
        tenant: "bank".into(),
        buckets: words(&["dumps", "wal-*"]),
        rights: words(&["write", "list"]),
        note: "ночь".into(),
    };
    let made = client.create_access_key(&new).await.unwrap();
    assert_eq!((made.secret_key.as_str(), made.tenant.as_str()), ("a secret", "bank"));
    // Its id has a character that means something in a path.
    client.set_access_key_enabled(&made.access_key, false).await.unwrap();
    let listed = client.access_keys().await.unwrap();
    assert_eq!((listed[0].enabled, &listed[0].rights, &listed[0].note), (false, &new.rights, &new.note));
    new.rights = words(&["admin"]);
    let wrong = client.create_access_key(&new).await.map(|made| made.access_key);
    assert!(matches!(&wrong, Err(ClientError::Refused { error }) if error.contains("admin")), "{wrong:?}");
    let missing = client.set_access_key_enabled("KV1", true).await;
    assert!(matches!(&missing, Err(ClientError::Refused { .. })), "{missing:?}");
    client.remove_access_key(&made.access_key).await.unwrap();
    assert!(client.access_keys().await.unwrap().is_empty());
}

#[tokio::test]
async fn vault_that_is_opening_answers_503() {
    let routes = router(Arc::new(FakeVault::opening()));
    for (method, path) in [("GET", "/v0/status"), ("GET", "/v0/disks"), ("POST", "/v0/verify")] {
        let (code, text) = ask(&routes, method, path, "").await;
        assert_eq!((code, text.contains("opening")), (503, true), "{path}: {text}");
    }
}

#[tokio::test]
async fn hostile_requests_are_refused() {
    // Goal: unknown fields, oversized and malformed bodies are client errors, and nothing panics.
    let routes = router(Arc::new(FakeVault::serving()));
    let long = format!("{{\"code\":\"{}\"}}", "x".repeat(16384));
    for body in ["", "{", "[]", "{\"code\":1}", "{\"code\":\"x\",\"more\":1}", &long] {
        let (code, text) = ask(&routes, "POST", "/v0/key/confirm", body).await;
        assert!((400..500).contains(&code), "{code} {text}");
    }
    assert_eq!(ask(&routes, "POST", "/v0/verify?buket=x", "").await.0, 400);
    assert_eq!(ask(&routes, "DELETE", "/v0/status", "").await.0, 405);
}

#[test]
fn lines_of_a_verification_keep_their_shape() {
    // Goal: the wire form is frozen per version.
    let line = serde_json::to_string(&VerifyLine::Error("no".to_owned())).unwrap();
    assert_eq!(line, "{\"error\":\"no\"}");
}

#[tokio::test]
async fn buckets_are_listed_and_given_quotas() {
    let vault = Arc::new(FakeVault::serving());
    *vault.bucket.lock().unwrap() = Some(sample_bucket("ledger"));
    let (_folder, client) = served("api-buckets", vault).await;
    let held = client.buckets().await.unwrap();
    assert_eq!((held.len(), &*held[0].name, held[0].bytes, held[0].quota_bytes), (1, "ledger", 600, None));
    for bytes in [Some(0), Some(u64::MAX), None] {
        let set = client.set_quota(&NewQuota { bucket: "ledger".into(), bytes }).await.unwrap();
        assert_eq!((set.quota_bytes, &client.buckets().await.unwrap()[0]), (bytes, &set));
    }
    let absent = client.set_quota(&NewQuota { bucket: "absent".into(), bytes: None }).await;
    assert!(matches!(&absent, Err(ClientError::Refused { error }) if error.contains("absent")), "{absent:?}");
}

#[tokio::test]
async fn case_holds_are_placed_and_listed_by_bucket() {
    let (_folder, client) = served("api-holds", Arc::new(FakeVault::serving())).await;
    let tag = Tag { name: "дело &".into(), value: "7=8".into() };
    let new =
        NewCaseHold {
            case: "А40/2026".into(), bucket: "a b".into(), tag: Some(tag.clone()), ..NewCaseHold::default()
        };
    let placed = client.place_case_hold(&new).await.unwrap();
    assert_eq!((placed.scope.as_str(), &placed.tag, placed.prefix.as_deref()), ("tag", &Some(tag.clone()), None));
    assert_eq!(client.case_holds(Some("a b")).await.unwrap(), std::slice::from_ref(&placed));
    assert_eq!(client.case_holds(None).await.unwrap(), [placed]);
    assert_eq!(client.case_holds(Some("other")).await.unwrap(), []);
    let two = client.place_case_hold(&NewCaseHold { prefix: Some("p".into()), ..new }).await;
    assert!(matches!(&two, Err(ClientError::Refused { error }) if error.contains("several")), "{two:?}");
}

#[tokio::test]
async fn an_export_brings_every_entry_and_ends_early_for_a_client_that_has_enough_or_a_vault_that_closes() {
    let vault = Arc::new(FakeVault::serving());
    vault.steps.store(20_000, Ordering::SeqCst);
    let (_folder, client) = served("api-audit", vault.clone()).await;
    let mut next = 0;
    let entries = client
        .export_audit(|line| {
            assert_eq!(line, format!("{{\"n\":{next},\"key\":\"дело\"}}"));
            next += 1;
            ControlFlow::Continue(())
        })
        .await;
    assert_eq!((entries.unwrap(), next), (Some(20_000), 20_000));
    assert_eq!(client.audit_checkpoint().await.unwrap(), "a note\n");
    assert_eq!(client.audit_key().await.unwrap(), "a key");
    // Endless, and nobody reads on.
    vault.steps.store(u64::MAX, Ordering::SeqCst);
    assert_eq!(client.export_audit(|_| ControlFlow::Break(())).await.unwrap(), None);
    while !vault.stopped.swap(false, Ordering::SeqCst) {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    let (pieces, _unread) = tokio::sync::mpsc::channel(1);
    let stalled = vault.clone();
    let work = tokio::task::spawn_blocking(move || super::audit::work(&*stalled, &pieces));
    vault.close();
    tokio::time::timeout(std::time::Duration::from_secs(60), work).await.expect("an end").unwrap();
}
