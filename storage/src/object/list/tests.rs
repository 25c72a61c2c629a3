//! Goal: pages that put together are the listing, each at the cost of what it shows. Method: a naive listing over the same
//! keys, random buckets and queries; and a view that counts the rows it hands out.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};

use kovcheg_format::id::BucketId;
use kovcheg_format::record::Record;
use kovcheg_format::record::version::VersionKind;
use proptest::prelude::{Strategy, prop, prop_assert, prop_assert_eq, proptest};

use super::{list_buckets, list_objects, list_parts};
use crate::index::memory::MemoryIndex;
use crate::index::{Column, Index, IndexError, IndexRead, Visit};
use crate::journal::apply::{Overlay, apply_record, fixtures};
use crate::object::types::ListQuery;

fn index_of(records: &[Record]) -> MemoryIndex {
    let index = MemoryIndex::new();
    let place = fixtures::stripe_place(0);
    let batch = {
        let mut overlay = Overlay::new(&index).unwrap();
        for record in records {
            apply_record(&mut overlay, &place, record).unwrap();
        }
        overlay.into_batch(&place.applied())
    };
    index.apply(batch).unwrap();
    index
}

fn bucket_with<'k>(keys: impl IntoIterator<Item = &'k str>) -> MemoryIndex {
    let mut records: Vec<Record> = vec![
        fixtures::bucket(1, "left").into(),
        fixtures::bucket(2, "kept").into(),
        fixtures::bucket(3, "right").into(),
    ];
    for (at, key) in keys.into_iter().enumerate() {
        records.push(fixtures::version(2, key, at as u64, VersionKind::Object, 1).into());
        records.push(fixtures::version(1, key, at as u64, VersionKind::Object, 1).into());
        records.push(fixtures::version(3, "other", at as u64, VersionKind::Object, 1).into());
    }
    index_of(&records)
}

fn query(prefix: &str, delimiter: &str, after: Option<&str>, max_keys: usize) -> ListQuery {
    ListQuery { prefix: prefix.to_owned(), delimiter: delimiter.to_owned(), after: after.map(str::to_owned), max_keys }
}

/// What one page shows, in order: names, and whether each is a common prefix.
fn shown(view: &dyn IndexRead, query: &ListQuery) -> (Vec<(String, bool)>, Option<String>) {
    let page = list_objects(view, BucketId(2), query).unwrap();
    let objects = page.objects.into_iter().map(|version| {
        assert_eq!(BucketId(2), version.bucket);
        (version.key, false)
    });
    let prefixes = page.common_prefixes.into_iter().map(|prefix| (prefix, true));
    let mut items: Vec<_> = objects.chain(prefixes).collect();
    items.sort();
    (items, page.next)
}

/// The definition: keys of the prefix, rolled up, each item once, in order, those after `after`.
fn naive(keys: &BTreeSet<String>, query: &ListQuery) -> Vec<(String, bool)> {
    let mut items = BTreeMap::new();
    for key in keys.iter().filter(|key| key.starts_with(&query.prefix)) {
        let rest = &key[query.prefix.len()..];
        let cut = if query.delimiter.is_empty() { None } else { rest.find(&query.delimiter) };
        match cut {
            Some(at) => items.insert(key[..query.prefix.len() + at + query.delimiter.len()].to_owned(), true),
            None => items.insert(key.clone(), false),
        };
    }
    items.into_iter().filter(|(item, _)| query.after.as_ref().is_none_or(|after| item > after)).collect()
}

#[test]
fn rolls_up_and_continues() {
    let index = bucket_with(["asdf", "boo/bar", "boo/baz/xyzzy", "cquux/thud", "cquux/bla", "d"]);
    let object = |key: &str| (key.to_owned(), false);
    let prefix = |key: &str| (key.to_owned(), true);
    type Case = (&'static str, &'static str, Option<&'static str>, usize, Vec<(String, bool)>, Option<&'static str>);
    let cases: [Case; 12] = [
        ("", "/", None, 1, vec![object("asdf")], Some("asdf")),
        ("", "/", Some("asdf"), 1, vec![prefix("boo/")], Some("boo/")),
        ("", "/", Some("boo/"), 2, vec![prefix("cquux/"), object("d")], None),
        ("", "/", Some("boo/bar"), 1, vec![prefix("cquux/")], Some("cquux/")),
        ("", "/", Some("boo"), 1, vec![prefix("boo/")], Some("boo/")),
        ("", "/", None, 4, vec![object("asdf"), prefix("boo/"), prefix("cquux/"), object("d")], None),
        ("boo/", "/", None, 9, vec![object("boo/bar"), prefix("boo/baz/")], None),
        ("boo", "/", None, 9, vec![prefix("boo/")], None),
        ("", "", Some("boo/bar"), 2, vec![object("boo/baz/xyzzy"), object("cquux/bla")], Some("cquux/bla")),
        ("c", "", Some("a"), 1, vec![object("cquux/bla")], Some("cquux/bla")),
        ("b", "", Some("c"), 9, vec![], None),
        ("", "/", None, 0, vec![], None),
    ];
    for (start, delimiter, after, max, items, next) in cases {
        let query = query(start, delimiter, after, max);
        assert_eq!((items, next.map(str::to_owned)), shown(&index, &query), "{query:?}");
    }
}

/// A prefix whose last object is deleted is gone, and a deleted object shows nowhere.
#[test]
fn empty_prefixes_do_not_show() {
    let put = |key: &str, n, kind| Record::from(fixtures::version(2, key, n, kind, 1));
    let index = index_of(&[
        fixtures::bucket(2, "kept").into(),
        put("a/1", 1, VersionKind::Object),
        put("b/1", 2, VersionKind::Object),
        put("a/1", 3, VersionKind::DeleteMarker),
    ]);
    assert_eq!((vec![("b/".to_owned(), true)], None), shown(&index, &query("", "/", None, 9)));
}

/// Hands out rows of another view and counts them.
struct Counting<'a> {
    view: &'a dyn IndexRead,
    rows: AtomicUsize,
}

impl IndexRead for Counting<'_> {
    fn get(&self, column: Column, key: &[u8]) -> Result<Option<Vec<u8>>, IndexError> {
        self.rows.fetch_add(1, Ordering::Relaxed);
        self.view.get(column, key)
    }

    fn scan(&self, column: Column, from: &[u8], to: Option<&[u8]>, visit: Visit<'_>) -> Result<(), IndexError> {
        self.view.scan(column, from, to, &mut |key, value| {
            self.rows.fetch_add(1, Ordering::Relaxed);
            visit(key, value)
        })
    }
}

/// Twenty prefixes of a thousand keys each cost twenty rows, and a page of ten keys costs about ten.
#[test]
fn cost_follows_output() {
    let keys: Vec<String> = (0..20).flat_map(|dir| (0..1000).map(move |file| format!("{dir:02}/{file:04}"))).collect();
    let index = bucket_with(keys.iter().map(String::as_str));
    for (delimiter, max, least, most) in [("/", 1000, 20, 20), ("/", 5, 6, 6), ("", 10, 21, 21)] {
        let view = Counting { view: &index, rows: AtomicUsize::new(0) };
        list_objects(&view, BucketId(2), &query("", delimiter, None, max)).unwrap();
        let rows = view.rows.into_inner();
        assert!((least..=most).contains(&rows), "{rows} rows for delimiter {delimiter:?}, {max} keys");
    }
}

#[test]
fn older_versions_do_not_show_and_cost_a_seek() {
    let mut records: Vec<Record> = vec![fixtures::bucket(2, "kept").into()];
    for (at, key) in ["a", "b", "c"].into_iter().enumerate() {
        for version in 0..100_u64 {
            records.push(fixtures::version(2, key, version * 3 + at as u64 + 1, VersionKind::Object, 1).into());
        }
    }
    let index = index_of(&records);
    let view = Counting { view: &index, rows: AtomicUsize::new(0) };
    let page = list_objects(&view, BucketId(2), &query("", "", None, 10)).unwrap();
    let found: Vec<_> = page.objects.iter().map(|object| (object.key.as_str(), object.version)).collect();
    let newest = |at: u64| fixtures::version_id(99 * 3 + at + 1);
    assert_eq!(found, [("a", newest(0)), ("b", newest(1)), ("c", newest(2))]);
    let rows = view.rows.into_inner();
    assert!(rows <= 40, "{rows} rows for three keys of a hundred versions");
}

#[test]
fn buckets_come_by_name() {
    let index = index_of(&[
        fixtures::bucket(9, "alpha").into(),
        fixtures::bucket(1, "gamma").into(),
        fixtures::bucket(5, "beta").into(),
    ]);
    let names: Vec<_> = list_buckets(&index).unwrap().into_iter().map(|bucket| bucket.name).collect();
    assert_eq!(vec!["alpha", "beta", "gamma"], names);
}

#[test]
fn parts_come_in_pages() {
    let upload = fixtures::upload(2, "k", 7);
    let mut records: Vec<Record> = vec![fixtures::bucket(2, "kept").into(), upload.clone().into()];
    records.push(fixtures::upload(2, "k", 8).into());
    records.push(fixtures::part(8, 4, 1).into());
    for number in [10_000, 1, 300, 2] {
        records.push(fixtures::part(7, number, 1).into());
    }
    let index = index_of(&records);
    let cases: [(u16, usize, &[u16], Option<u16>); 7] = [
        (0, 9, &[1, 2, 300, 10_000], None),
        (0, 4, &[1, 2, 300, 10_000], None),
        (0, 2, &[1, 2], Some(2)),
        (2, 1, &[300], Some(300)),
        (300, 1, &[10_000], None),
        (0, 0, &[], None),
        (u16::MAX, 5, &[], None),
    ];
    for (after, max, numbers, next) in cases {
        let page = list_parts(&index, upload.clone(), after, max).unwrap();
        assert_eq!(numbers, page.parts.iter().map(|part| part.number).collect::<Vec<_>>(), "after {after}, {max}");
        assert_eq!((next, &upload), (page.next, &page.upload), "after {after}, {max}");
    }
}

/// Names over few letters, so that prefixes, delimiters and overlaps of delimiters meet often.
fn name() -> impl Strategy<Value = String> {
    prop::collection::vec(prop::sample::select(vec!["a", "b", "/", "//", "\u{1}", "я", "\u{10FFFF}"]), 0..6)
        .prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn pages_are_the_listing(
        keys in prop::collection::btree_set(name().prop_filter("a key", |key| !key.is_empty()), 0..40),
        prefix in name(),
        delimiter in prop::sample::select(vec!["", "/", "//", "a", "aa", "я", "/a"]),
        after in prop::option::of(name()),
        max_keys in 1_usize..6,
    ) {
        let index = bucket_with(keys.iter().map(String::as_str));
        let mut query = query(&prefix, delimiter, after.as_deref(), max_keys);
        let expected = naive(&keys, &query);
        let mut listed = Vec::new();
        loop {
            let (items, next) = shown(&index, &query);
            prop_assert!(items.len() <= max_keys);
            prop_assert_eq!(next.as_ref(), next.as_ref().and(items.last().map(|(item, _)| item)));
            listed.extend(items);
            prop_assert!(listed.len() <= expected.len());
            prop_assert_eq!(next.is_some(), listed.len() < expected.len());
            if next.is_none() {
                break;
            }
            query.after = next;
        }
        prop_assert_eq!(expected, listed);
    }
}
