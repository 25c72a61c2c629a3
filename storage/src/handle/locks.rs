//! Object Lock, lifecycle rules and tags through the handle. Every refusal of the guard is noted for the audit trail.

use kovcheg_format::record::audit::Origin;
use kovcheg_format::record::lifecycle::LifecycleRule;
use kovcheg_format::record::version::Pair;

use crate::error::StorageResult;
use crate::handle::VaultHandle;
use crate::object::types::{DefaultRetention, Found, Retention, VersionRef};
use crate::object::{bucket, lifecycle, locks, names, tags};

impl VaultHandle {
    /// What a bucket gives versions that ask for nothing; `None` where there is no Object Lock.
    pub async fn object_lock(&self, bucket: &str) -> StorageResult<Option<DefaultRetention>> {
        let name = bucket.to_owned();
        self.look(move |engine| {
            let view = engine.index.as_ref();
            locks::state(view, &bucket::find(view, &name)?)
        })
        .await
    }

    /// Has a bucket have Object Lock, with this default; durable on return. Errors as of [`locks::propose_configure`].
    pub async fn set_object_lock(&self, by: Origin, bucket: &str, wanted: DefaultRetention) -> StorageResult<()> {
        let name = bucket.to_owned();
        self.decide(move |moment| Ok(((), locks::propose_configure(moment, &name, wanted, &by)?))).await
    }

    /// The version whose locks a request asks for.
    pub async fn locks_of(&self, target: VersionRef) -> StorageResult<Found> {
        names::check_key(&target.key)?;
        self.look(move |engine| locks::find(engine.index.as_ref(), &target)).await
    }

    /// Sets or, with `None`, takes away the retention of a version, through the guard; durable on return.
    pub async fn set_retention(
        &self,
        by: Origin,
        target: VersionRef,
        wanted: Option<Retention>,
        bypass_governance: bool,
    ) -> StorageResult<Found> {
        names::check_key(&target.key)?;
        let (origin, asked) = (by.clone(), target.clone());
        let outcome = self
            .decide(move |moment| locks::propose_set_retention(moment, &asked, wanted, bypass_governance, &origin))
            .await;
        self.note_refusal(&outcome, by, &target.bucket, &target.key);
        outcome
    }

    /// Sets the tags of a version, in place of those it has, through the guard; durable on return.
    pub async fn set_tags(&self, by: Origin, target: VersionRef, tags: Vec<Pair>) -> StorageResult<Found> {
        let (origin, asked) = (by.clone(), target.clone());
        let outcome = self.decide(move |moment| tags::propose_set(moment, &asked, tags, &origin)).await;
        self.note_refusal(&outcome, by, &target.bucket, &target.key);
        outcome
    }

    /// The lifecycle rules of a bucket; none where there are none.
    pub async fn lifecycle(&self, bucket: &str) -> StorageResult<Vec<LifecycleRule>> {
        let name = bucket.to_owned();
        self.look(move |engine| {
            let view = engine.index.as_ref();
            lifecycle::rules(view, bucket::find(view, &name)?.bucket)
        })
        .await
    }

    /// Gives a bucket these lifecycle rules in place of those it has; durable on return.
    pub async fn set_lifecycle(&self, by: Origin, bucket: &str, rules: Vec<LifecycleRule>) -> StorageResult<()> {
        let name = bucket.to_owned();
        self.decide(move |moment| Ok(((), lifecycle::propose_configure(moment, &name, rules, &by)?))).await
    }

    /// Puts a version under an S3 legal hold, or lifts that; durable on return.
    pub async fn set_legal_hold(&self, by: Origin, target: VersionRef, on: bool) -> StorageResult<Found> {
        names::check_key(&target.key)?;
        self.decide(move |moment| locks::propose_set_hold(moment, &target, on, &by)).await
    }
}
