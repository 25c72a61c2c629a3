//! Listing of versions and delete markers: pages of a bucket, by key and then from the newest to the oldest.
//!
//! Rows sort by key, then by inverted version: the order of the index is the order of the listing, a page is one scan, and a marker stays
//! good when its version has gone.

use kovcheg_format::id::BucketId;
use kovcheg_format::key;
use kovcheg_format::record::version::VersionPut;

use crate::error::StorageResult;
use crate::index::{Column, IndexRead};
use crate::object::paging::{End, Span};
use crate::object::types::{VersionMarker, VersionName, VersionPage, VersionQuery};
use crate::object::version;

/// Lists versions and delete markers of a bucket. Keys that hold the delimiter after the prefix are shown as the common prefix that ends
/// there, and stepped over in one seek. `next` is set exactly when there is more; nothing is listed for `max_keys` 0. Callers hand over a
/// snapshot, so that a page is one state of the bucket.
pub fn list_versions(view: &dyn IndexRead, bucket: BucketId, query: &VersionQuery) -> StorageResult<VersionPage> {
    let (prefix, delimiter) = (query.prefix.as_str(), query.delimiter.as_str());
    let span = Span { column: Column::Version, bucket, prefix, delimiter, max: query.max_keys };
    let from = match &query.after {
        None => Some(span.first()),
        Some(after) => span.behind(&after.key, row_of(view, bucket, after)?),
    };
    let page = span.page(view, from, |version: &VersionPut| &version.key)?;
    let next = match page.end {
        None => None,
        Some(End::Prefix) => {
            page.common_prefixes.last().map(|prefix| VersionMarker { key: prefix.clone(), version: None })
        }
        // By its id, also when it is `null`: that stays its place when it is gone.
        Some(End::Row) => page
            .rows
            .last()
            .map(|last| VersionMarker { key: last.key.clone(), version: Some(VersionName::Id(last.version)) }),
    };
    // Of the key that the page before ended in, the newest was shown there.
    let mut key = query.after.as_ref().filter(|after| after.version.is_some()).map(|after| after.key.clone());
    let versions = page.rows.into_iter().map(|version| {
        let newest = key.as_ref() != Some(&version.key);
        key = Some(version.key.clone());
        (version, newest)
    });
    Ok(VersionPage { versions: versions.collect(), common_prefixes: page.common_prefixes, next })
}

/// The row that a marker names; `None` when it names no version, or a `null` that is not there.
fn row_of(view: &dyn IndexRead, bucket: BucketId, marker: &VersionMarker) -> StorageResult<Option<Vec<u8>>> {
    let id = match marker.version {
        None => None,
        Some(VersionName::Id(id)) => Some(id),
        Some(name) => version::by_name(view, bucket, &marker.key, name)?.map(|version| version.version),
    };
    Ok(id.map(|id| key::version(bucket, &marker.key, id)))
}

#[cfg(test)]
mod tests {
    //! Goal: pages that put together are the listing, whatever their size. Method: a naive listing over the same versions, all page sizes,
    //! prefixes and delimiters of a small alphabet.
    #![allow(clippy::unwrap_used, reason = "tests")]

    use kovcheg_format::id::BucketId;
    use kovcheg_format::record::Record;
    use kovcheg_format::record::version::VersionKind;

    use super::list_versions;
    use crate::index::Index;
    use crate::index::memory::MemoryIndex;
    use crate::journal::apply::{Overlay, apply_record, fixtures};
    use crate::object::types::{VersionMarker, VersionName, VersionQuery};

    /// Key, version, whether it is the newest; a common prefix has version 0.
    type Item = (String, u64, bool);

    /// In the order of their making: of one key, of keys that are prefixes of each other, below folders.
    const VERSIONS: [(&str, u64); 12] = [
        ("a", 1),
        ("b/x", 2),
        ("a", 3),
        ("a/b", 4),
        ("a!", 5),
        ("a", 6),
        ("a/b", 7),
        ("a/c", 8),
        ("ab", 9),
        ("я", 10),
        ("я/я", 11),
        ("я", 12),
    ];

    fn index() -> MemoryIndex {
        let mut records: Vec<Record> = vec![fixtures::bucket(1, "left").into(), fixtures::bucket(2, "kept").into()];
        records.push(fixtures::version(1, "z", 100, VersionKind::Object, 1).into());
        records.extend(VERSIONS.map(|(key, n)| {
            let kind = if n % 3 == 0 { VersionKind::DeleteMarker } else { VersionKind::Object };
            let mut version = fixtures::version(2, key, n, kind, 1);
            version.null_version = false;
            version.into()
        }));
        let (index, place) = (MemoryIndex::new(), fixtures::stripe_place(0));
        let batch = {
            let mut overlay = Overlay::new(&index).unwrap();
            records.iter().for_each(|record| apply_record(&mut overlay, &place, record).unwrap());
            overlay.into_batch(&place.applied())
        };
        index.apply(batch).unwrap();
        index
    }

    fn naive(prefix: &str, delimiter: &str) -> Vec<Item> {
        let mut shown: Vec<Item> = Vec::new();
        let mut all: Vec<(&str, u64)> = VERSIONS.iter().copied().filter(|(key, _)| key.starts_with(prefix)).collect();
        all.sort_by(|left, right| (left.0.as_bytes(), right.1).cmp(&(right.0.as_bytes(), left.1)));
        for (key, n) in all {
            let rest = key.strip_prefix(prefix).unwrap();
            let item = match rest.find(delimiter).filter(|_| !delimiter.is_empty()) {
                Some(at) => (format!("{prefix}{}", rest.get(..at + delimiter.len()).unwrap()), 0, false),
                None => (key.to_owned(), n, VERSIONS.iter().all(|(other, m)| *other != key || *m <= n)),
            };
            if shown.last() != Some(&item) {
                shown.push(item);
            }
        }
        shown
    }

    fn pages(index: &MemoryIndex, prefix: &str, delimiter: &str, max_keys: usize) -> Vec<Item> {
        let mut all = Vec::new();
        let mut after = None;
        loop {
            let query = VersionQuery { prefix: prefix.to_owned(), delimiter: delimiter.to_owned(), after, max_keys };
            let page = list_versions(index.snapshot().as_ref(), BucketId(2), &query).unwrap();
            let versions = page.versions.into_iter().map(|(version, newest)| (version.key, version.created_at, newest));
            let mut items: Vec<Item> =
                versions.chain(page.common_prefixes.into_iter().map(|key| (key, 0, false))).collect();
            items.sort_by(|left, right| (left.0.as_bytes(), right.1).cmp(&(right.0.as_bytes(), left.1)));
            assert!((1..=max_keys).contains(&items.len()) || page.next.is_none(), "{items:?}");
            all.extend(items);
            after = page.next;
            if after.is_none() {
                return all;
            }
        }
    }

    #[test]
    fn pages_of_any_size_make_the_listing() {
        let index = index();
        for prefix in ["", "a", "a/", "a/b", "b/", "я", "nothing"] {
            for delimiter in ["", "/", "b", "я"] {
                for max in [1, 2, 3, 5, 1000] {
                    let found = pages(&index, prefix, delimiter, max);
                    assert_eq!(found, naive(prefix, delimiter), "prefix {prefix:?}, delimiter {delimiter:?}, {max}");
                }
            }
        }
    }

    #[test]
    fn markers_need_not_name_what_is_there() {
        let index = index();
        let after = |key: &str, version: Option<VersionName>| {
            let after = Some(VersionMarker { key: key.to_owned(), version });
            let query = VersionQuery { after, max_keys: 2, ..VersionQuery::default() };
            let page = list_versions(index.snapshot().as_ref(), BucketId(2), &query).unwrap();
            let shown = page.versions.into_iter();
            shown.map(|(version, newest)| (version.key, version.created_at, newest)).collect::<Vec<_>>()
        };
        let is = |items: &[(&str, u64, bool)]| {
            items.iter().map(|(key, n, newest)| ((*key).to_owned(), *n, *newest)).collect::<Vec<_>>()
        };
        let id = |n: u64| Some(VersionName::Id(fixtures::version_id(n)));
        assert_eq!(after("a", id(6)), is(&[("a", 3, false), ("a", 1, false)]));
        assert_eq!(after("a", id(4)), is(&[("a", 3, false), ("a", 1, false)]), "a version that is gone");
        assert_eq!(after("a", None), is(&[("a!", 5, true), ("a/b", 7, true)]), "behind all versions of a key");
        assert_eq!(after("a", Some(VersionName::Null)), is(&[("a!", 5, true), ("a/b", 7, true)]), "there is no null");
        assert_eq!(after("я/я", id(11)), []);
    }
}
