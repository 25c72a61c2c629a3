//! Listing of open uploads: pages of a bucket, by key and then in the order they were begun.
//!
//! An upload's id begins with its place in the journal (`VaultHandle::create_upload`), and rows sort by key, then by id: the order
//! of the index is the order of the listing, a page is one scan, and a marker stays good when its upload has ended.

use kovcheg_format::id::BucketId;
use kovcheg_format::key;
use kovcheg_format::record::upload::UploadCreated;

use crate::error::StorageResult;
use crate::index::{Column, IndexRead};
use crate::object::paging::{End, Span};
use crate::object::types::{UploadMarker, UploadPage, UploadQuery};

/// Lists open uploads of a bucket. Keys that hold the delimiter after the prefix are shown as the common prefix that ends there,
/// whose uploads are stepped over in one seek. `next` is set exactly when there is more; nothing is listed for `max_uploads` 0.
/// Callers hand over a snapshot, so that a page is one state of the bucket.
pub fn list_uploads(view: &dyn IndexRead, bucket: BucketId, query: &UploadQuery) -> StorageResult<UploadPage> {
    let (prefix, delimiter) = (query.prefix.as_str(), query.delimiter.as_str());
    let span = Span { column: Column::Upload, bucket, prefix, delimiter, max: query.max_uploads };
    let from = match &query.after {
        None => Some(span.first()),
        Some(after) => span.behind(&after.key, after.upload.map(|upload| key::upload(bucket, &after.key, upload))),
    };
    let page = span.page(view, from, |upload: &UploadCreated| &upload.key)?;
    let next = match page.end {
        None => None,
        Some(End::Prefix) => {
            page.common_prefixes.last().map(|prefix| UploadMarker { key: prefix.clone(), upload: None })
        }
        Some(End::Row) => {
            page.rows.last().map(|last| UploadMarker { key: last.key.clone(), upload: Some(last.upload) })
        }
    };
    Ok(UploadPage { uploads: page.rows, common_prefixes: page.common_prefixes, next })
}

#[cfg(test)]
mod tests {
    //! Goal: pages that put together are the listing, whatever their size. Method: a naive listing over the same uploads, all
    //! page sizes, prefixes and delimiters of a small alphabet.
    #![allow(clippy::unwrap_used, reason = "tests")]

    use std::collections::BTreeSet;

    use kovcheg_format::id::{BucketId, UploadId};
    use kovcheg_format::record::Record;

    use super::list_uploads;
    use crate::index::Index;
    use crate::index::memory::MemoryIndex;
    use crate::journal::apply::{Overlay, apply_record, fixtures};
    use crate::object::types::{UploadMarker, UploadQuery};

    /// Key and id; an upload or, without one, a common prefix.
    type Item = (String, Option<UploadId>);

    /// Uploads of one key, of keys that are prefixes of each other, below folders, and in neighbouring buckets.
    const UPLOADS: [(&str, u8); 12] = [
        ("a", 9),
        ("a", 2),
        ("a", 5),
        ("a/b", 1),
        ("a/b/c", 3),
        ("a/c", 4),
        ("a!", 6),
        ("ab", 7),
        ("b/", 8),
        ("b/x", 10),
        ("я", 11),
        ("я/я", 12),
    ];

    fn index() -> MemoryIndex {
        let mut records: Vec<Record> = vec![
            fixtures::bucket(1, "left").into(),
            fixtures::bucket(2, "kept").into(),
            fixtures::bucket(3, "right").into(),
        ];
        records.extend(UPLOADS.map(|(key, id)| fixtures::upload(2, key, id).into()));
        records.push(fixtures::upload(1, "z", 100).into());
        records.push(fixtures::upload(3, "a", 101).into());
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
        let mut shown: BTreeSet<(Vec<u8>, Option<[u8; 16]>)> = BTreeSet::new();
        for (key, id) in UPLOADS.iter().filter(|(key, _)| key.starts_with(prefix)) {
            let rest = key.strip_prefix(prefix).unwrap();
            match rest.find(delimiter).filter(|_| !delimiter.is_empty()) {
                Some(at) => {
                    let common = format!("{prefix}{}", rest.get(..at + delimiter.len()).unwrap());
                    shown.insert((common.into_bytes(), None))
                }
                None => shown.insert((key.as_bytes().to_vec(), Some([*id; 16]))),
            };
        }
        shown.into_iter().map(|(key, id)| (String::from_utf8(key).unwrap(), id.map(UploadId))).collect()
    }

    fn pages(index: &MemoryIndex, prefix: &str, delimiter: &str, max_uploads: usize) -> Vec<Item> {
        let mut all = Vec::new();
        let mut after = None;
        loop {
            let query = UploadQuery { prefix: prefix.to_owned(), delimiter: delimiter.to_owned(), after, max_uploads };
            let page = list_uploads(index.snapshot().as_ref(), BucketId(2), &query).unwrap();
            let uploads = page.uploads.into_iter().map(|upload| (upload.key, Some(upload.upload)));
            let mut items: Vec<Item> = uploads.chain(page.common_prefixes.into_iter().map(|key| (key, None))).collect();
            items.sort_by(|left, right| (left.0.as_bytes(), left.1).cmp(&(right.0.as_bytes(), right.1)));
            assert!((1..=max_uploads).contains(&items.len()) || page.next.is_none(), "{items:?}");
            if let Some(next) = &page.next {
                let (key, upload) = items.last().cloned().unwrap();
                assert_eq!(*next, UploadMarker { key, upload });
            }
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
        let after = |key: &str, upload: Option<u8>| {
            let after = Some(UploadMarker { key: key.to_owned(), upload: upload.map(|id| UploadId([id; 16])) });
            let query = UploadQuery { after, max_uploads: 2, ..UploadQuery::default() };
            let page = list_uploads(index.snapshot().as_ref(), BucketId(2), &query).unwrap();
            page.uploads.into_iter().map(|upload| (upload.key, upload.upload.0[0])).collect::<Vec<_>>()
        };
        let is = |items: &[(&str, u8)]| items.iter().map(|(key, id)| ((*key).to_owned(), *id)).collect::<Vec<_>>();
        assert_eq!(after("a", Some(3)), is(&[("a", 5), ("a", 9)]), "an upload that ended meanwhile");
        assert_eq!(after("a", None), is(&[("a!", 6), ("a/b", 1)]), "behind all uploads of a key");
        assert_eq!(after("a/b/a", None), is(&[("a/b/c", 3), ("a/c", 4)]), "a key without uploads");
        assert_eq!(after("я/я", Some(12)), []);
        let none = UploadQuery { max_uploads: 0, ..UploadQuery::default() };
        let page = list_uploads(index.snapshot().as_ref(), BucketId(2), &none).unwrap();
        assert!(page.uploads.is_empty() && page.next.is_none());
    }
}
