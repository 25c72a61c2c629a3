//! What clients see of a vault, to be compared with the model; and what its index holds, row by row.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use kovcheg_format::record::bucket::Versioning;
use kovcheg_format::record::upload::{PartPut, UploadCreated, UploadLocked};
use kovcheg_format::record::version::{VersionKind, VersionPut};

use super::fresh;
use super::script::{MARKER, State, kept_name, lock_text};
use crate::engine::Engine;
use crate::error::StorageResult;
use crate::identity::access_keys;
use crate::identity::tenants::{self, DEFAULT_TENANT};
use crate::index::{Column, IndexRead, rows};
use crate::object::types::VersionQuery;
use crate::object::versions::list_versions;
use crate::object::{bucket, holds, lifecycle, locks, quota, versioning};
use crate::testing::driver::{get, get_range};
use crate::testing::rows::rows_of;
use crate::testing::sim_disk::SimPool;
use crate::testing::world::World;

/// What clients see of a vault.
pub fn observe(engine: &Arc<Engine>) -> StorageResult<State> {
    let mut state = State::new();
    for bucket in bucket::all(engine.index.as_ref())? {
        state.insert(format!("{}/", bucket.name), Arc::default());
    }
    for key in keys(engine)? {
        state.insert(format!("ledger/{key}"), Arc::new(get(engine, "ledger", &key)?));
    }
    observe_uploads(engine, &mut state)?;
    observe_kept(engine, &mut state)?;
    observe_locks(engine, &mut state)?;
    let view = engine.index.as_ref();
    for held in quota::list(view)? {
        if let Some(bytes) = held.quota {
            state.insert(format!("quota of {}", held.bucket.name), Arc::new(bytes.to_be_bytes().to_vec()));
        }
    }
    for tenant in tenants::all(view)?.into_iter().filter(|tenant| tenant.tenant != DEFAULT_TENANT) {
        engine.domain(tenant.domain)?;
        state.insert(format!("tenant {}", tenant.name), Arc::default());
    }
    for key in access_keys::all(view)?.into_iter().filter(|key| !key.root) {
        state.insert(format!("access key {}", key.access_key), Arc::new(vec![u8::from(key.enabled)]));
    }
    Ok(state)
}

/// Keys of all objects of the bucket `ledger`.
pub fn keys(engine: &Engine) -> StorageResult<Vec<String>> {
    Ok(versions_of(engine, "ledger")?.into_iter().map(|version| version.key).collect())
}

/// All versions of a bucket, of each key from the newest to the oldest; none if there is no such bucket.
fn versions_of(engine: &Engine, bucket_name: &str) -> StorageResult<Vec<VersionPut>> {
    let view = engine.index.as_ref();
    let Some(bucket) = bucket::all(view)?.into_iter().find(|bucket| bucket.name == bucket_name) else {
        return Ok(Vec::new());
    };
    let query = VersionQuery { max_keys: usize::MAX, ..VersionQuery::default() };
    let page = list_versions(view, bucket.bucket, &query)?;
    Ok(page.versions.into_iter().map(|(version, _)| version).collect())
}

/// The bucket that keeps versions, from the oldest to the newest.
fn observe_kept(engine: &Arc<Engine>, state: &mut State) -> StorageResult<()> {
    for (n, version) in versions_of(engine, "kept")?.into_iter().rev().enumerate() {
        let content = match version.kind {
            VersionKind::DeleteMarker => MARKER.to_vec(),
            VersionKind::Object => {
                let size = version.size;
                get_range(engine, version, 0, size)?
            }
        };
        state.insert(kept_name(n), Arc::new(content));
    }
    let view = engine.index.as_ref();
    for bucket in bucket::all(view)? {
        if versioning::state(view, bucket.bucket)? != Versioning::Off {
            state.insert(format!("{}!", bucket.name), Arc::default());
        }
    }
    Ok(())
}

/// Object Lock: of buckets, of the versions of one, and of uploads.
fn observe_locks(engine: &Arc<Engine>, state: &mut State) -> StorageResult<()> {
    let view = engine.index.as_ref();
    for bucket in bucket::all(view)? {
        for rule in lifecycle::rules(view, bucket.bucket)? {
            state.insert(format!("rules of {}", bucket.name), Arc::new(rule.id.into_bytes()));
        }
        if let Some(default) = locks::state(view, &bucket)? {
            state.insert(format!("{}$", bucket.name), Arc::new(default.to_string().into_bytes()));
        }
    }
    for (n, version) in versions_of(engine, "held")?.into_iter().rev().enumerate() {
        let facts = &version.facts;
        let text = lock_text(facts.retention, facts.retain_until, facts.legal_hold);
        state.insert(format!("held#{n:03}"), Arc::new(text));
        for tag in &version.tags {
            state.insert("held tags".into(), Arc::new(format!("{}={}", tag.name, tag.value).into_bytes()));
        }
    }
    for hold in holds::list(view, None)? {
        state.insert(format!("case {} in {}", hold.case, hold.bucket), Arc::new(hold.part.to_string().into_bytes()));
    }
    rows::scan::<UploadLocked>(view, Column::UploadLock, &[], None, &mut |_, locked| {
        let text = lock_text(locked.mode, locked.retain_until, locked.legal_hold);
        state.insert(format!("locks of {}", locked.upload), Arc::new(text));
        ControlFlow::Continue(())
    })?;
    Ok(())
}

fn observe_uploads(engine: &Arc<Engine>, state: &mut State) -> StorageResult<()> {
    let mut uploads: Vec<UploadCreated> = Vec::new();
    rows::scan(engine.index.as_ref(), Column::Upload, &[], None, &mut |_, upload| {
        uploads.push(upload);
        ControlFlow::Continue(())
    })?;
    for upload in uploads {
        state.insert(format!("ledger?{}/0", upload.upload), Arc::default());
        for number in 1..4 {
            let key = kovcheg_format::key::part(upload.upload, number);
            let Some(part) = rows::get::<PartPut>(engine.index.as_ref(), Column::Part, &key)? else { continue };
            let content = get_range(engine, as_version(engine, &part)?, 0, part.size)?;
            state.insert(format!("ledger?{}/{number}", upload.upload), Arc::new(content));
        }
    }
    Ok(())
}

/// A part as if it were an object, to read it.
fn as_version(engine: &Engine, part: &PartPut) -> StorageResult<VersionPut> {
    let bucket = bucket::find(engine.index.as_ref(), "ledger")?;
    Ok(VersionPut {
        bucket: bucket.bucket,
        key: "part".into(),
        version: kovcheg_format::id::VersionId::ZERO,
        null_version: true,
        kind: kovcheg_format::record::version::VersionKind::Object,
        domain: bucket.domain,
        size: part.size,
        etag: part.etag.clone(),
        created_at: 0,
        headers: Vec::new(),
        metadata: Vec::new(),
        tags: Vec::new(),
        checksums: Vec::new(),
        parts: Vec::new(),
        manifest: part.manifest.clone(),
        crc: part.crc,
        facts: kovcheg_format::record::version::VersionFacts::free(0),
        by: crate::testing::driver::origin(),
    })
}

/// A state in few words.
pub fn told(state: &State) -> Vec<String> {
    state.iter().map(|(name, content)| format!("{name}={}", content.len())).collect()
}

/// What differs between two states.
pub fn difference(found: &State, expected: &State) -> String {
    let names: std::collections::BTreeSet<&String> = found.keys().chain(expected.keys()).collect();
    let differing = names.into_iter().filter(|name| found.get(*name) != expected.get(*name));
    let len = |content: Option<&Arc<Vec<u8>>>| content.map_or("absent".to_owned(), |bytes| bytes.len().to_string());
    let each = differing.map(|name| format!("{name}: {} for {}", len(found.get(name)), len(expected.get(name))));
    each.collect::<Vec<_>>().join(", ")
}

/// Every row of every column.
pub fn all_rows(view: &dyn IndexRead) -> BTreeMap<(&'static str, Vec<u8>), Vec<u8>> {
    let rows =
        |column: Column| rows_of(view, column).into_iter().map(move |(key, value)| ((column.name(), key), value));
    Column::ALL.into_iter().flat_map(rows).collect()
}

/// Compares an index with one built from a copy of the disks alone, row by row and by digest (W-2): once with the checkpoints,
/// once without them. `present` are the disks that the copy is opened with.
pub fn check_rebuilt(world: &World, pool: &SimPool, present: &[usize], live: &dyn IndexRead) -> Result<(), String> {
    let frozen = pool.freeze();
    for checkpoints in [true, false] {
        let copy = frozen.thaw(1);
        for disk in 0..6 {
            for (file, _) in
                copy.files(disk).iter().filter(|(file, _)| !checkpoints && file.starts_with("checkpoints/"))
            {
                copy.disk(disk).remove(file).unwrap();
            }
        }
        let rebuilt = fresh();
        let disks = present.iter().map(|disk| copy.disk(*disk)).collect();
        let opened = world.open_with(disks, rebuilt.clone(), true);
        let opened = opened.map_err(|error| format!("to rebuild (checkpoints: {checkpoints}): {error}"))?;
        let (live_rows, rebuilt_rows) = (all_rows(live), all_rows(rebuilt.as_ref()));
        let names = live_rows.keys().chain(rebuilt_rows.keys());
        if let Some(row) = names.into_iter().find(|name| live_rows.get(*name) != rebuilt_rows.get(*name)) {
            return Err(format!("row {row:?} differs (checkpoints: {checkpoints})"));
        }
        let digests = [
            rows::digest(live).unwrap(),
            rows::digest(rebuilt.as_ref()).unwrap(),
            crate::index::digest::digest_of(live).unwrap(),
            crate::index::digest::digest_of(rebuilt.as_ref()).unwrap(),
        ];
        if digests.iter().any(|digest| *digest != digests[0]) {
            return Err(format!("digests differ (checkpoints: {checkpoints})"));
        }
        drop(opened);
    }
    Ok(())
}
