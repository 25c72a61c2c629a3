//! A vault that says what a test told it to, and small helpers for this crate's tests.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "tests")]

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Body;
use http_body_util::BodyExt as _;
use hyper::Request;
use kovcheg_format::id::{BucketId, DomainId, HoldId, RequestId, TenantId};
use kovcheg_format::record::audit::Origin;
use kovcheg_format::record::bucket::{BucketCreated, ChunkProfile, Namespace};
use kovcheg_format::record::identity::TenantSet;
use kovcheg_storage::error::{StorageError, StorageResult};
use kovcheg_storage::identity::access_keys::AccessKey;
use kovcheg_storage::index::rows::BucketUsage;
use kovcheg_storage::object::types::{BucketStatus, CaseHold, Grant, NewCaseHold};
use kovcheg_storage::status::{ClockStatus, DiskStatus, PhysicalBytes, VaultStatus};
use kovcheg_storage::vault::{DamagedObject, VerifyProgress, VerifyReport};
use tower::ServiceExt as _;
use zeroize::Zeroizing;

use crate::ports::{AuditControl, BucketControl, HoldControl, IdentityControl, MetricsText, NotOpen, VaultControl};

/// The code that the fake vault's recovery kit opens with.
pub const CODE: &str = "RIGHT-CODE";

/// A healthy vault of six disks.
pub fn sample_status() -> VaultStatus {
    let disk = |number: u32| DiskStatus {
        label: format!("/srv/disk{number}"),
        id: format!("{number:032x}"),
        state: "serving".to_owned(),
        reason: None,
        driver: "plain".to_owned(),
        total: 1000,
        free: 500,
        bad_ranges: 0,
        repaired: 0,
    };
    VaultStatus {
        state: "serving".to_owned(),
        reason: None,
        warnings: vec!["the recovery kit is not confirmed".to_owned()],
        pool: "00".repeat(16),
        epoch: 3,
        lsn: 42,
        k: 4,
        m: 2,
        disks: (0..6).map(disk).collect(),
        physical: PhysicalBytes { data: 100, parity: 50, records: 7, index: 3 },
        logical_bytes: 90,
        versions: 5,
        buckets: 2,
        recovery_kit_confirmed: false,
        retention_clock: ClockStatus { time_ms: 5_000, wall_ms: 7_000, credited_ms: 3_000, disputed: true },
    }
}

/// A bucket that holds a little.
pub fn sample_bucket(name: &str) -> BucketStatus {
    let bucket = BucketCreated {
        bucket: BucketId(7),
        name: name.to_owned(),
        tenant: TenantId(1),
        domain: DomainId(1),
        namespace: Namespace::Flat,
        profile: ChunkProfile { min: 1, average: 2, max: 4 },
        jurisdiction: 0,
        placement: 0,
        tier: 0,
        object_lock: false,
        created_at: 7,
        by: Origin { actor: "root".to_owned(), address: String::new(), request: RequestId::ZERO },
    };
    BucketStatus { bucket, usage: BucketUsage { versions: 2, bytes: 600, upload_bytes: 0 }, quota: None }
}

/// See the module.
pub struct FakeVault {
    status: Mutex<Result<VaultStatus, NotOpen>>,
    /// Steps of a verification; each reports progress once.
    pub steps: AtomicU64,
    /// Whether a verification was told to stop.
    pub stopped: AtomicBool,
    /// How often its status was taken, and milliseconds that takes.
    pub asked: AtomicU64,
    pub status_ms: AtomicU64,
    tenants: Mutex<Vec<TenantSet>>,
    access_keys: Mutex<Vec<AccessKey>>,
    case_holds: Mutex<Vec<CaseHold>>,
    /// The one bucket there is, if any.
    pub bucket: Mutex<Option<BucketStatus>>,
}

impl FakeVault {
    pub fn opening() -> Self {
        Self {
            status: Mutex::new(Err(NotOpen("opening"))),
            steps: AtomicU64::new(3),
            stopped: AtomicBool::new(false),
            asked: AtomicU64::new(0),
            status_ms: AtomicU64::new(0),
            tenants: Mutex::default(),
            access_keys: Mutex::default(),
            case_holds: Mutex::default(),
            bucket: Mutex::default(),
        }
    }

    pub fn serving() -> Self {
        let vault = Self::opening();
        vault.serve();
        vault
    }

    pub fn serve(&self) {
        *self.status.lock().unwrap() = Ok(sample_status());
    }

    pub fn close(&self) {
        *self.status.lock().unwrap() = Err(NotOpen("closing"));
    }

    pub fn read_only(&self, reason: &str) {
        let mut status = sample_status();
        status.state = "read_only".to_owned();
        status.reason = Some(reason.to_owned());
        *self.status.lock().unwrap() = Ok(status);
    }
}

impl VaultControl for FakeVault {
    fn is_open(&self) -> Result<(), NotOpen> {
        self.status.lock().unwrap().as_ref().map(|_| ()).map_err(|not_open| *not_open)
    }

    fn status(&self) -> Result<VaultStatus, NotOpen> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        std::thread::sleep(std::time::Duration::from_millis(self.status_ms.load(Ordering::SeqCst)));
        self.status.lock().unwrap().clone()
    }

    fn verify(
        &self,
        bucket: Option<&str>,
        progress: &mut dyn FnMut(&VerifyProgress) -> ControlFlow<()>,
    ) -> StorageResult<VerifyReport> {
        if bucket == Some("absent") {
            return Err(StorageError::NoSuchBucket("absent".to_owned()));
        }
        let total = self.steps.load(Ordering::SeqCst);
        for done in 1..=total {
            let now = VerifyProgress { objects_done: done, objects_total: total, ..VerifyProgress::default() };
            if progress(&now).is_break() {
                self.stopped.store(true, Ordering::SeqCst);
                return Ok(report(done, true));
            }
            if total > 1000 {
                std::thread::sleep(std::time::Duration::from_millis(1));
            }
        }
        Ok(report(total, false))
    }

    fn confirm_recovery_kit(&self, code: &str) -> StorageResult<()> {
        if code == CODE {
            return Ok(());
        }
        Err(StorageError::Operator("this code does not open the recovery kit; check it and try again".to_owned()))
    }

    fn accept_clock(&self, code: &str) -> StorageResult<ClockStatus> {
        self.confirm_recovery_kit(code)?;
        Ok(ClockStatus { disputed: false, ..sample_status().retention_clock })
    }
}

impl AuditControl for FakeVault {
    fn read_audit(&self, visit: &mut dyn FnMut(String) -> ControlFlow<()>) -> StorageResult<Option<u64>> {
        let total = self.steps.load(Ordering::SeqCst);
        for n in 0..total {
            if visit(format!("{{\"n\":{n},\"key\":\"дело\"}}")).is_break() {
                self.stopped.store(true, Ordering::SeqCst);
                return Ok(None);
            }
        }
        Ok(Some(total))
    }

    fn audit_checkpoint(&self) -> StorageResult<String> {
        Ok("a note\n".to_owned())
    }

    fn audit_key(&self) -> StorageResult<String> {
        Ok("a key".to_owned())
    }
}

impl BucketControl for FakeVault {
    fn buckets(&self) -> StorageResult<Vec<BucketStatus>> {
        Ok(self.bucket.lock().unwrap().clone().into_iter().collect())
    }

    fn set_quota(&self, bucket: &str, bytes: Option<u64>) -> StorageResult<BucketStatus> {
        let mut held = self.bucket.lock().unwrap();
        let held = held.as_mut().filter(|held| held.bucket.name == bucket);
        let held = held.ok_or_else(|| StorageError::NoSuchBucket(bucket.to_owned()))?;
        held.quota = bytes;
        Ok(held.clone())
    }
}

impl HoldControl for FakeVault {
    fn case_holds(&self, bucket: Option<&str>) -> StorageResult<Vec<CaseHold>> {
        let holds = self.case_holds.lock().unwrap().clone();
        Ok(holds.into_iter().filter(|hold| bucket.is_none_or(|bucket| bucket == hold.bucket)).collect())
    }

    fn place_case_hold(&self, new: NewCaseHold) -> StorageResult<CaseHold> {
        let NewCaseHold { case, bucket, part, note } = new;
        let hold = CaseHold { id: HoldId(1), case, bucket, part, note, placed_at: 7, placed_by: "operator".to_owned() };
        self.case_holds.lock().unwrap().push(hold.clone());
        Ok(hold)
    }
}

impl IdentityControl for FakeVault {
    fn tenants(&self) -> StorageResult<Vec<TenantSet>> {
        Ok(self.tenants.lock().unwrap().clone())
    }

    fn create_tenant(&self, name: &str) -> StorageResult<TenantSet> {
        let mut tenants = self.tenants.lock().unwrap();
        let id = u32::try_from(tenants.len()).unwrap() + 2;
        let new = TenantSet { tenant: TenantId(id), name: name.to_owned(), domain: DomainId(id), created_at: 7 };
        tenants.push(new.clone());
        Ok(new)
    }

    fn access_keys(&self) -> StorageResult<Vec<AccessKey>> {
        Ok(self.access_keys.lock().unwrap().clone())
    }

    fn create_access_key(&self, tenant: &str, grant: Grant, note: &str) -> StorageResult<(String, Zeroizing<String>)> {
        let mut keys = self.access_keys.lock().unwrap();
        let access_key = format!("KV/{}", keys.len());
        keys.push(AccessKey {
            access_key: access_key.clone(),
            tenant: tenant.to_owned(),
            root: false,
            enabled: true,
            grant,
            note: note.to_owned(),
            created_at: 7,
        });
        Ok((access_key, Zeroizing::new("a secret".to_owned())))
    }

    fn set_access_key_enabled(&self, access_key: &str, enabled: bool) -> StorageResult<()> {
        let mut keys = self.access_keys.lock().unwrap();
        let found = keys.iter_mut().find(|key| key.access_key == access_key);
        found.map(|key| key.enabled = enabled).ok_or_else(|| StorageError::Operator("there is no such key".to_owned()))
    }

    fn remove_access_key(&self, access_key: &str) -> StorageResult<()> {
        self.access_keys.lock().unwrap().retain(|key| key.access_key != access_key);
        Ok(())
    }
}

fn report(objects: u64, interrupted: bool) -> VerifyReport {
    let damaged =
        vec![DamagedObject { bucket: "b".to_owned(), key: "k".to_owned(), reason: "3 of 6 shards".to_owned() }];
    VerifyReport { objects, damaged, interrupted, ..VerifyReport::default() }
}

struct NoMetrics;

impl MetricsText for NoMetrics {
    fn render(&self) -> String {
        String::new()
    }
}

/// Nothing was recorded.
pub fn no_metrics() -> Arc<dyn MetricsText> {
    Arc::new(NoMetrics)
}

/// One request against routes, without a network: status code and body.
pub async fn ask(routes: &Router, method: &str, path: &str, body: &str) -> (u16, String) {
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header("content-type", "application/json")
        .body(Body::from(body.to_owned()))
        .unwrap();
    let answer = routes.clone().oneshot(request).await.unwrap();
    let code = answer.status().as_u16();
    let bytes = answer.into_body().collect().await.unwrap().to_bytes();
    (code, String::from_utf8(bytes.to_vec()).unwrap())
}

/// A folder that is gone when the test ends.
pub struct Folder(PathBuf);

impl Folder {
    pub fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("kovcheg-admin-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
