//! Object versions: looked up, put, removed. In a bucket without versioning a put replaces the current version, which passes
//! through the guard like any other removal (L-1); in one that suspended it, the version `null`; in one that keeps versions, none.

use std::ops::ControlFlow;

use kovcheg_format::codec::Decode;
use kovcheg_format::id::{BucketId, VersionId};
use kovcheg_format::key;
use kovcheg_format::manifest::Root;
use kovcheg_format::record::Record;
use kovcheg_format::record::audit::Origin;
use kovcheg_format::record::bucket::{BucketCreated, Versioning};
use kovcheg_format::record::version::{PartMark, VersionFacts, VersionKind, VersionPut};
use kovcheg_policy::facts::RemovalCause;

use crate::error::{StorageError, StorageResult};
use crate::index::{Column, IndexError, IndexRead, rows};
use crate::journal::sequencer::Moment;
use crate::object::bucket;
use crate::object::guard::permit;
use crate::object::names::fits_xml;
use crate::object::put::WrittenBody;
use crate::object::types::{DeleteOutcome, Found, NewVersion, Precondition, VersionName};
use crate::object::{locks, quota, versioning};

/// The current version of a key, if it is an object.
pub fn current(view: &dyn IndexRead, bucket: &BucketCreated, object_key: &str) -> StorageResult<Option<VersionPut>> {
    let Some(id) = view.get(Column::Current, &key::current(bucket.bucket, object_key))? else { return Ok(None) };
    let version = VersionId::from_bytes(&id).map_err(|source| IndexError::Row { column: "current", source })?;
    Ok(rows::get(view, Column::Version, &key::version(bucket.bucket, object_key, version))?)
}

/// The current version of a key, or [`StorageError::NoSuchKey`].
pub fn find(view: &dyn IndexRead, bucket_name: &str, object_key: &str) -> StorageResult<VersionPut> {
    let bucket = bucket::find(view, bucket_name)?;
    current(view, &bucket, object_key)?.ok_or(StorageError::NoSuchKey)
}

/// The version that a request means: the one it names, or the current one.
///
/// # Errors
/// [`StorageError::NoSuchVersion`] for a name that there is not, [`StorageError::DeleteMarker`] for one that is a delete marker, or when the
/// newest is.
pub fn named(
    view: &dyn IndexRead,
    bucket_name: &str,
    object_key: &str,
    wanted: Option<VersionName>,
) -> StorageResult<Found> {
    let bucket = bucket::find(view, bucket_name)?;
    let named = versioning::state(view, bucket.bucket)? != Versioning::Off;
    let version = match wanted {
        Some(name) => by_name(view, bucket.bucket, object_key, name)?.ok_or(StorageError::NoSuchVersion)?,
        None => match current(view, &bucket, object_key)? {
            Some(version) => version,
            None => newest(view, bucket.bucket, object_key)?.ok_or(StorageError::NoSuchKey)?,
        },
    };
    if version.kind == VersionKind::DeleteMarker {
        return Err(StorageError::DeleteMarker { name: VersionName::of(&version), asked: wanted.is_some() });
    }
    Ok(Found { version, named })
}

/// A version of a key by its name.
pub fn by_name(
    view: &dyn IndexRead,
    bucket: BucketId,
    object_key: &str,
    name: VersionName,
) -> StorageResult<Option<VersionPut>> {
    match name {
        VersionName::Id(id) => {
            let version: Option<VersionPut> = rows::get(view, Column::Version, &key::version(bucket, object_key, id))?;
            Ok(version.filter(|version| !version.null_version))
        }
        VersionName::Null => first(view, bucket, object_key, |version| version.null_version),
    }
}

/// The newest version of a key, object or delete marker.
pub fn newest(view: &dyn IndexRead, bucket: BucketId, object_key: &str) -> StorageResult<Option<VersionPut>> {
    first(view, bucket, object_key, |_| true)
}

/// The newest version of a key that fits.
fn first(
    view: &dyn IndexRead,
    bucket: BucketId,
    object_key: &str,
    fits: impl Fn(&VersionPut) -> bool,
) -> StorageResult<Option<VersionPut>> {
    let from = key::versions_of(bucket, object_key);
    let to = key::after_prefix(&from);
    let mut found = None;
    rows::scan(view, Column::Version, &from, to.as_deref(), &mut |_, version: VersionPut| {
        if fits(&version) {
            found = Some(version);
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    })?;
    Ok(found)
}

/// The version that a put to a key takes the place of.
pub fn replaced_by_put(
    view: &dyn IndexRead,
    bucket: &BucketCreated,
    object_key: &str,
    state: Versioning,
) -> StorageResult<Option<VersionPut>> {
    match state {
        Versioning::Off => current(view, bucket, object_key),
        Versioning::Enabled => Ok(None),
        Versioning::Suspended => by_name(view, bucket.bucket, object_key, VersionName::Null),
    }
}

/// Content of a version to be: from one body, or composed of parts.
#[derive(Debug, Clone)]
pub struct Content {
    /// Manifest.
    pub manifest: Root,
    /// Bytes.
    pub size: u64,
    /// CRC64-NVME.
    pub crc: u64,
    /// Parts, empty unless multipart.
    pub parts: Vec<PartMark>,
}

impl Content {
    /// The content of one body.
    #[must_use]
    pub fn of(body: &WrittenBody) -> Self {
        Self { manifest: body.manifest.clone(), size: body.size, crc: body.crc, parts: Vec::new() }
    }
}

/// Decides a put: the new version with its locks, and the removal of the one it replaces, if any.
pub fn propose_put(
    moment: &Moment<'_>,
    bucket_name: &str,
    object_key: &str,
    content: Content,
    new: NewVersion,
    by: &Origin,
) -> StorageResult<(Found, Vec<Record>)> {
    locks::check_new(moment, bucket_name, &new.lock)?;
    propose_checked(moment, (bucket_name, object_key), content, new, 0, by)
}

/// [`propose_put`] of a version whose locks were checked when they were asked for: what took long to upload is kept all the same. `freed` bytes
/// of parts go with it.
pub fn propose_checked(
    moment: &Moment<'_>,
    (bucket_name, object_key): (&str, &str),
    content: Content,
    new: NewVersion,
    freed: u64,
    by: &Origin,
) -> StorageResult<(Found, Vec<Record>)> {
    let bucket = bucket::find(moment.view, bucket_name)?;
    let state = versioning::state(moment.view, bucket.bucket)?;
    let current = current(moment.view, &bucket, object_key)?;
    check_precondition(&new.precondition, current.as_ref())?;
    let replaced = match state {
        Versioning::Off => current,
        _ => replaced_by_put(moment.view, &bucket, object_key, state)?,
    };
    let mut records = Vec::new();
    if let Some(replaced) = &replaced {
        let warrant = permit(moment, replaced, bucket_name, RemovalCause::Overwrite, false, by)?;
        records.extend(warrant.execute());
    }
    let freed = freed.saturating_add(replaced.as_ref().map_or(0, |replaced| replaced.size));
    quota::check(moment.view, &bucket, content.size, freed)?;
    let version = VersionPut {
        bucket: bucket.bucket,
        key: object_key.to_owned(),
        version: moment.version_id()?,
        null_version: state != Versioning::Enabled,
        kind: VersionKind::Object,
        domain: bucket.domain,
        size: content.size,
        etag: new.etag,
        created_at: moment.now,
        headers: new.headers,
        metadata: new.metadata,
        tags: new.tags,
        checksums: new.checksums,
        parts: content.parts,
        manifest: content.manifest,
        crc: content.crc,
        facts: locks::facts(moment, &bucket, &new.lock)?,
        by: by.clone(),
    };
    records.push(version.clone().into());
    Ok((Found { version, named: state != Versioning::Off }, records))
}

/// Decides a delete: of the version it names, or, without a name, of the object. Where versions are kept that makes a delete marker, under
/// which all versions stay; where they are suspended the marker replaces the version `null`.
pub fn propose_delete(
    moment: &Moment<'_>,
    bucket_name: &str,
    object_key: &str,
    wanted: Option<VersionName>,
    bypass_governance: bool,
    by: &Origin,
) -> StorageResult<(DeleteOutcome, Vec<Record>)> {
    let as_client = (RemovalCause::ClientDelete, bypass_governance);
    delete_as(moment, (bucket_name, object_key), wanted, as_client, by)
}

/// [`propose_delete`] for a cause: the guard hears which, and whether GOVERNANCE is bypassed.
pub fn delete_as(
    moment: &Moment<'_>,
    (bucket_name, object_key): (&str, &str),
    wanted: Option<VersionName>,
    (cause, bypass_governance): (RemovalCause, bool),
    by: &Origin,
) -> StorageResult<(DeleteOutcome, Vec<Record>)> {
    let bucket = bucket::find(moment.view, bucket_name)?;
    let state = versioning::state(moment.view, bucket.bucket)?;
    let named = state != Versioning::Off;
    let removed = match (wanted, state) {
        (Some(name), _) => by_name(moment.view, bucket.bucket, object_key, name)?,
        (None, Versioning::Off) => current(moment.view, &bucket, object_key)?,
        (None, Versioning::Enabled) => None,
        (None, Versioning::Suspended) => by_name(moment.view, bucket.bucket, object_key, VersionName::Null)?,
    };
    let mut records = Vec::new();
    if let Some(version) = &removed {
        let warrant = permit(moment, version, bucket_name, cause, bypass_governance, by)?;
        records.extend(warrant.execute());
    }
    if wanted.is_none() && named {
        let marker = delete_marker(moment, &bucket, object_key, state, by)?;
        let name = Some(VersionName::of(&marker));
        records.push(marker.into());
        return Ok((DeleteOutcome { existed: true, marker: true, name }, records));
    }
    let marker = removed.as_ref().is_some_and(|version| version.kind == VersionKind::DeleteMarker);
    let name = removed.as_ref().map(VersionName::of).or(wanted).filter(|_| named);
    Ok((DeleteOutcome { existed: removed.is_some(), marker, name }, records))
}

fn delete_marker(
    moment: &Moment<'_>,
    bucket: &BucketCreated,
    object_key: &str,
    state: Versioning,
    by: &Origin,
) -> StorageResult<VersionPut> {
    // Nothing can be put under such a key; a marker there would spoil every listing of versions.
    if let Some(character) = object_key.chars().find(|character| !fits_xml(*character)) {
        let reason = format!(
            "a delete marker under a key with the character U+{:04X} could not be listed",
            u32::from(character)
        );
        return Err(StorageError::InvalidArgument { what: "key", reason });
    }
    Ok(VersionPut {
        bucket: bucket.bucket,
        key: object_key.to_owned(),
        version: moment.version_id()?,
        null_version: state != Versioning::Enabled,
        kind: VersionKind::DeleteMarker,
        domain: bucket.domain,
        size: 0,
        etag: String::new(),
        created_at: moment.now,
        headers: Vec::new(),
        metadata: Vec::new(),
        tags: Vec::new(),
        checksums: Vec::new(),
        parts: Vec::new(),
        manifest: Root::Inline(Vec::new()),
        crc: 0,
        facts: VersionFacts::free(moment.clock.time),
        by: by.clone(),
    })
}

fn check_precondition(precondition: &Precondition, current: Option<&VersionPut>) -> StorageResult<()> {
    if precondition.must_not_exist && current.is_some() {
        return Err(StorageError::PreconditionFailed("If-None-Match"));
    }
    match (&precondition.etag, current) {
        (Some(_), None) => Err(StorageError::NoSuchKey),
        (Some(wanted), Some(current)) if *wanted != current.etag => Err(StorageError::PreconditionFailed("If-Match")),
        _ => Ok(()),
    }
}
