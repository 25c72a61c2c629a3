//! A walk over one bucket: versions, then uploads, in pages. What it remembers from page to page does not grow with the bucket (M-1).

use std::ops::ControlFlow;

use kovcheg_format::id::BucketId;
use kovcheg_format::key;
use kovcheg_format::record::lifecycle::{LifecycleRule, LifecycleSet};
use kovcheg_format::record::upload::UploadCreated;
use kovcheg_format::record::version::VersionPut;
use kovcheg_policy::facts::{RemovalCause, VersionRemoval};
use kovcheg_policy::lifecycle::{Due, due, upload_due};
use kovcheg_policy::object_lock::may_remove;

use crate::error::StorageResult;
use crate::index::{Column, IndexRead, rows};
use crate::object::bucket;
use crate::object::lifecycle::{DueThing, DueWhat, facts, made};

/// Rows looked at between two pages, and things due in one.
const ROWS: usize = 4096;
const DUE: usize = 256;

/// Every bucket that has rules, with its name.
pub fn buckets(view: &dyn IndexRead) -> StorageResult<Vec<(BucketId, String, Vec<LifecycleRule>)>> {
    let mut found = Vec::new();
    for bucket in bucket::all(view)? {
        let set: Option<LifecycleSet> = rows::get(view, Column::Lifecycle, &key::bucket(bucket.bucket))?;
        let rules = set.map(|set| set.rules).unwrap_or_default();
        if rules.iter().any(|rule| rule.enabled) {
            found.push((bucket.bucket, bucket.name, rules));
        }
    }
    Ok(found)
}

/// What a stretch of the bucket holds.
#[derive(Debug, Default)]
pub struct Page {
    /// What is due, and not locked as far as its own facts say.
    pub due: Vec<DueThing>,
    /// Versions that are due and locked.
    pub kept: u64,
}

/// The key that the walk is in.
#[derive(Debug, Default)]
struct Place {
    key: String,
    /// Versions of it seen so far.
    seen: u32,
    /// When the newest of those not looked at yet, that is the one before, was made.
    made: u64,
    /// A delete marker that is the newest version: due when no other version follows.
    marker: Option<VersionPut>,
}

/// See the module.
pub struct Walk<'a> {
    view: &'a dyn IndexRead,
    bucket: BucketId,
    name: &'a str,
    rules: &'a [LifecycleRule],
    now: u64,
    /// Column, and the key to go on from; `None` at the end.
    at: Option<(Column, Vec<u8>)>,
    place: Place,
}

impl<'a> Walk<'a> {
    /// At the beginning of a bucket; `now` is the retention clock.
    pub fn of(
        view: &'a dyn IndexRead,
        (bucket, name): (BucketId, &'a str),
        rules: &'a [LifecycleRule],
        now: u64,
    ) -> Self {
        let at = Some((Column::Version, key::bucket(bucket)));
        Self { view, bucket, name, rules, now, at, place: Place::default() }
    }

    /// The next page; `None` behind the last.
    pub fn page(&mut self) -> StorageResult<Option<Page>> {
        let Some((column, from)) = self.at.take() else { return Ok(None) };
        let mut page = Page::default();
        let end = key::after_prefix(&key::bucket(self.bucket));
        let (mut rows_seen, mut next) = (0, None);
        let view = self.view;
        let mut more = |row: &[u8], page: &Page| {
            rows_seen += 1;
            if rows_seen < ROWS && page.due.len() < DUE {
                return ControlFlow::Continue(());
            }
            // Behind this row: no key is a longer one's beginning with a zero byte after it.
            next = Some([row, &[0]].concat());
            ControlFlow::Break(())
        };
        match column {
            Column::Version => rows::scan(view, column, &from, end.as_deref(), &mut |row, version: VersionPut| {
                self.version(version, &mut page);
                more(row, &page)
            })?,
            _ => rows::scan(view, column, &from, end.as_deref(), &mut |row, upload: UploadCreated| {
                self.upload(upload, &mut page);
                more(row, &page)
            })?,
        }
        self.at = match (next, column) {
            (Some(next), _) => Some((column, next)),
            (None, Column::Version) => {
                self.leave(&mut page);
                Some((Column::Upload, key::bucket(self.bucket)))
            }
            (None, _) => None,
        };
        Ok(Some(page))
    }

    /// Versions come by key, and from the newest to the oldest.
    fn version(&mut self, version: VersionPut, page: &mut Page) {
        if self.place.seen == 0 || self.place.key != version.key {
            self.leave(page);
            self.place = Place { key: version.key.clone(), ..Place::default() };
        }
        let (seen, successor) = (self.place.seen, self.place.made);
        self.place.seen = seen.saturating_add(1);
        self.place.made = made(&version);
        if seen > 0 {
            self.place.marker = None;
            let newer_noncurrent = seen - 1;
            let looked = facts(&version, Some(successor), newer_noncurrent, false);
            if let Some((_, rule)) = due(self.rules, &looked, self.now) {
                let what = DueWhat::Version { version: version.version, superseded: Some(successor) };
                self.note(&version, rule, what, page);
            }
            return;
        }
        match due(self.rules, &facts(&version, None, 0, false), self.now) {
            Some((Due::Current, rule)) => self.note(&version, rule, DueWhat::Current(version.version), page),
            _ => self.place.marker = Some(version),
        }
    }

    /// At the end of a key: a marker with nothing under it may be due.
    fn leave(&mut self, page: &mut Page) {
        let Some(marker) = self.place.marker.take() else { return };
        if let Some((Due::Version, rule)) = due(self.rules, &facts(&marker, None, 0, true), self.now) {
            let what = DueWhat::Version { version: marker.version, superseded: None };
            self.note(&marker, rule, what, page);
        }
    }

    fn upload(&mut self, upload: UploadCreated, page: &mut Page) {
        if let Some(rule) = upload_due(self.rules, &upload.key, upload.created_at, self.now) {
            let rule = rule.to_owned();
            page.due.push(self.thing(upload.key, rule, DueWhat::Upload(upload.upload)));
        }
    }

    /// What its own facts lock is not even asked for: a bucket full of locked versions would fill the journal's queue every hour. Only the guard
    /// knows of case holds, and of what has changed since.
    fn note(&self, version: &VersionPut, rule: &str, what: DueWhat, page: &mut Page) {
        let removal = VersionRemoval {
            facts: version.facts.clone(),
            bypass_governance: false,
            retention_clock: self.now,
            cause: RemovalCause::Lifecycle,
        };
        // A current version may be put under a delete marker, locked or not.
        if matches!(what, DueWhat::Version { .. }) && !may_remove(&removal).is_allow() {
            page.kept += 1;
            return;
        }
        page.due.push(self.thing(version.key.clone(), rule.to_owned(), what));
    }

    fn thing(&self, object_key: String, rule: String, what: DueWhat) -> DueThing {
        DueThing { bucket: self.bucket, bucket_name: self.name.to_owned(), key: object_key, rule, what }
    }
}
