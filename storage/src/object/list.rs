//! Listing: pages of a bucket's current versions, of an upload's parts, and all buckets.
//!
//! A page costs what it shows: keys below a rolled-up prefix are stepped over in one seek, however many they are. Callers
//! hand over a snapshot, so that a page is one state of the bucket.

use std::ops::ControlFlow;

use kovcheg_format::FormatError;
use kovcheg_format::id::{BucketId, VersionId};
use kovcheg_format::key;
use kovcheg_format::record::bucket::BucketCreated;
use kovcheg_format::record::upload::{PartPut, UploadCreated};
use kovcheg_format::record::version::VersionPut;

use crate::error::StorageResult;
use crate::index::{Column, IndexError, IndexRead, rows};
use crate::object::types::{ListPage, ListQuery, PartPage};

/// Rows of other versions in a row after which a seek is cheaper than stepping on.
const OTHERS_MAX: usize = 8;

/// Lists current versions of a bucket in the order of their keys' bytes. A key that holds the delimiter after the prefix
/// is shown as the common prefix that ends there; a common prefix shows when it sorts after `query.after` itself, so one
/// that `after` lies inside of does not. `next` is set exactly when there is more; nothing is listed for `max_keys` 0.
pub fn list_objects(view: &dyn IndexRead, bucket: BucketId, query: &ListQuery) -> StorageResult<ListPage> {
    let mut page = ListPage::default();
    if query.max_keys == 0 {
        return Ok(page);
    }
    let end = key::after_prefix(&key::current(bucket, &query.prefix));
    let mut from = first_key(bucket, query);
    let mut last = None;
    while let Some(start) = from {
        let room = query.max_keys - page.objects.len() - page.common_prefixes.len();
        let run = walk(view, query, &start, end.as_deref(), room)?;
        page.objects.extend(fetch(view, bucket, &run.found)?);
        last = run.found.into_iter().next_back().map(|(name, _)| name).or(last);
        from = match run.stop {
            Stop::End => None,
            Stop::Full => {
                page.next = last;
                return Ok(page);
            }
            Stop::RolledUp(prefix) => {
                let beyond = key::after_prefix(&key::current(bucket, &prefix));
                page.common_prefixes.push(prefix.clone());
                last = Some(prefix);
                beyond
            }
        };
    }
    Ok(page)
}

/// One page of the parts of an open upload, by number, after number `after`.
pub fn list_parts(view: &dyn IndexRead, upload: UploadCreated, after: u16, max: usize) -> StorageResult<PartPage> {
    let mut page = PartPage { upload, parts: Vec::new(), next: None };
    let Some(first) = after.checked_add(1).filter(|_| max > 0) else { return Ok(page) };
    let id = page.upload.upload;
    let end = key::after_prefix(&id.0);
    rows::scan(view, Column::Part, &key::part(id, first), end.as_deref(), &mut |_, part: PartPut| {
        if page.parts.len() == max {
            page.next = page.parts.last().map(|part| part.number);
            return ControlFlow::Break(());
        }
        page.parts.push(part);
        ControlFlow::Continue(())
    })?;
    Ok(page)
}

/// Every bucket, by name.
pub fn list_buckets(view: &dyn IndexRead) -> StorageResult<Vec<BucketCreated>> {
    let mut ids = Vec::new();
    view.scan(Column::BucketName, &[], None, &mut |_, id| {
        ids.push(id.to_vec());
        ControlFlow::Continue(())
    })?;
    let mut buckets = Vec::with_capacity(ids.len());
    for id in ids {
        buckets.push(
            rows::get(view, Column::Bucket, &id)?.ok_or_else(|| dangling(Column::BucketName, "bucket of a name"))?,
        );
    }
    Ok(buckets)
}

/// Why a run of keys ended.
enum Stop {
    /// There are no more keys.
    End,
    /// There is more than the page takes.
    Full,
    /// A key below this common prefix, for which there is room.
    RolledUp(String),
}

/// Keys in a row that are shown as they are.
struct Run {
    found: Vec<(String, VersionId)>,
    stop: Stop,
}

fn walk(
    view: &dyn IndexRead,
    query: &ListQuery,
    from: &[u8],
    to: Option<&[u8]>,
    room: usize,
) -> Result<Run, IndexError> {
    let mut run = Run { found: Vec::new(), stop: Stop::End };
    let mut failed = Ok(());
    view.scan(Column::Current, from, to, &mut |key, value| {
        if run.found.len() == room {
            run.stop = Stop::Full;
            return ControlFlow::Break(());
        }
        match read_current(key, value) {
            Ok((name, version)) => match rolled_up(name, query) {
                Some(prefix) => run.stop = Stop::RolledUp(prefix.to_owned()),
                None => {
                    run.found.push((name.to_owned(), version));
                    return ControlFlow::Continue(());
                }
            },
            Err(error) => failed = Err(error),
        }
        ControlFlow::Break(())
    })?;
    failed.map(|()| run)
}

/// Where the listing begins; `None` when nothing can follow.
fn first_key(bucket: BucketId, query: &ListQuery) -> Option<Vec<u8>> {
    let first = key::current(bucket, &query.prefix);
    let Some(after) = &query.after else { return Some(first) };
    let follows = match rolled_up(after, query) {
        Some(prefix) => key::after_prefix(&key::current(bucket, prefix))?,
        None => {
            let mut next = key::current(bucket, after);
            next.push(0);
            next
        }
    };
    Some(follows.max(first))
}

fn rolled_up<'k>(name: &'k str, query: &ListQuery) -> Option<&'k str> {
    common_prefix(name, &query.prefix, &query.delimiter)
}

/// The common prefix under which a key that begins with `prefix` is shown, if it is not shown itself.
pub(super) fn common_prefix<'k>(name: &'k str, prefix: &str, delimiter: &str) -> Option<&'k str> {
    if delimiter.is_empty() {
        return None;
    }
    let at = name.strip_prefix(prefix)?.find(delimiter)?;
    name.get(..prefix.len() + at + delimiter.len())
}

fn read_current<'k>(key: &'k [u8], value: &[u8]) -> Result<(&'k str, VersionId), IndexError> {
    let name = key.get(size_of::<BucketId>()..).and_then(|name| std::str::from_utf8(name).ok());
    let name = name.ok_or_else(|| dangling(Column::Current, "object key"))?;
    Ok((name, rows::decode(Column::Current, value)?))
}

/// The rows of current versions that follow one another. Read in one go, as they stand in that order: a thousand look-ups would each
/// search for their place. Older versions in between are stepped over one by one, and many of them in one seek.
fn fetch(view: &dyn IndexRead, bucket: BucketId, found: &[(String, VersionId)]) -> Result<Vec<VersionPut>, IndexError> {
    let wanted: Vec<Vec<u8>> = found.iter().map(|(name, version)| key::version(bucket, name, *version)).collect();
    let end = wanted.last().map(|last| [last.as_slice(), &[0]].concat());
    let mut rows = Vec::with_capacity(wanted.len());
    while let Some(from) = wanted.get(rows.len()) {
        let (before, mut others) = (rows.len(), 0);
        rows::scan(view, Column::Version, from, end.as_deref(), &mut |key, row: VersionPut| {
            match wanted.get(rows.len()) {
                Some(next) if next.as_slice() == key => {
                    rows.push(row);
                    others = 0;
                }
                _ => others += 1,
            }
            if others < OTHERS_MAX { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })?;
        // A scan begins at the row that is wanted next.
        if rows.len() == before {
            return Err(dangling(Column::Current, "current version"));
        }
    }
    Ok(rows)
}

fn dangling(column: Column, what: &'static str) -> IndexError {
    IndexError::Row { column: column.name(), source: FormatError::Invalid { what } }
}

#[cfg(test)]
mod tests;
