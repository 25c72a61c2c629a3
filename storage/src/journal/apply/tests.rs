//! Goal: rows follow from records alone, whatever the batches; digest and counters follow the rows; replay changes nothing.
//! Method: a table per record, then random records cut into batches at random.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use std::collections::BTreeMap;

use kovcheg_format::codec::Encode;
use kovcheg_format::id::{BucketId, Lsn, SegmentId};
use kovcheg_format::key;
use kovcheg_format::record::Record;
use kovcheg_format::record::bucket::BucketDeleted;
use kovcheg_format::record::segment::{
    CHUNK_FLAG_REPLACES, ChunkRow, ChunksDamaged, ChunksInlined, SegmentClosed, SegmentRow,
};
use kovcheg_format::record::upload::{PartPut, UploadEnded, UploadOutcome};
use kovcheg_format::record::version::{VersionKind, VersionPut, VersionRemoved};
use kovcheg_format::shard::{StripeKind, disk_len};
use proptest::prelude::{Just, Strategy, any, prop, prop_assert_eq, prop_oneof, proptest};

use super::fixtures::{
    bucket, chunk_id, chunk_place, credential, opened, origin, part, stripe_added, stripe_place, upload, upload_id,
    version, version_id,
};
use super::{Overlay, apply_frame, apply_record, read_applied};
use crate::index::digest::digest_of;
use crate::index::memory::MemoryIndex;
use crate::index::rows::BucketUsage;
use crate::index::{Column, Index, IndexRead, rows};
use crate::testing::rows::rows_of;

/// Applies `records` as one batch at position `n`.
fn apply(index: &MemoryIndex, n: u64, records: &[Record]) {
    let place = stripe_place(n);
    let mut overlay = Overlay::new(index).unwrap();
    for record in records {
        apply_record(&mut overlay, &place, record).unwrap();
    }
    let batch = overlay.into_batch(&place.applied());
    index.apply(batch).unwrap();
}

fn of(records: &[Record]) -> MemoryIndex {
    let index = MemoryIndex::new();
    apply(&index, 1, records);
    index
}

fn all_rows(index: &MemoryIndex) -> Vec<(Column, Vec<u8>, Vec<u8>)> {
    let rows = |column| rows_of(index, column).into_iter().map(move |(key, value)| (column, key, value));
    Column::ALL.into_iter().flat_map(rows).collect()
}

fn current(index: &MemoryIndex, object_key: &str) -> Option<Vec<u8>> {
    index.get(Column::Current, &key::current(BucketId(1), object_key)).unwrap()
}

fn removed(n: u64) -> Record {
    VersionRemoved { bucket: BucketId(1), key: "a".into(), version: version_id(n) }.into()
}

#[test]
fn a_bucket_has_a_row_and_a_name_until_it_is_deleted() {
    let made: Record = bucket(1, "one").into();
    let index = of(std::slice::from_ref(&made));
    assert!(index.get(Column::Bucket, &key::bucket(BucketId(1))).unwrap().is_some());
    assert!(index.get(Column::BucketName, b"one").unwrap().is_some());
    apply(&index, 2, &[BucketDeleted { bucket: BucketId(1), by: origin() }.into()]);
    assert!(index.get(Column::BucketName, b"one").unwrap().is_none());
    assert_eq!(rows::counters(&index).unwrap().buckets, 0);
}

#[test]
fn the_current_version_is_the_newest_object_that_is_left() {
    let index = of(&[
        bucket(1, "one").into(),
        version(1, "a", 1, VersionKind::Object, 10).into(),
        version(1, "a", 2, VersionKind::Object, 20).into(),
    ]);
    assert_eq!(current(&index, "a"), Some(version_id(2).to_bytes()));
    assert_eq!(rows::counters(&index).unwrap().logical_bytes, 30);
    apply(&index, 2, &[removed(2)]);
    assert_eq!(current(&index, "a"), Some(version_id(1).to_bytes()));
    apply(&index, 3, &[version(1, "a", 3, VersionKind::DeleteMarker, 0).into()]);
    assert_eq!(current(&index, "a"), None, "a delete marker hides the object");
    apply(&index, 4, &[removed(1), removed(3)]);
    assert_eq!(current(&index, "a"), None);
    assert_eq!(rows::counters(&index).unwrap().versions, 0);
}

#[test]
fn the_first_copy_of_a_chunk_wins_unless_it_is_replaced() {
    let segments: Vec<Record> = (1..=3).map(|id| opened(id, StripeKind::Data).into()).collect();
    let index = of(&segments);
    let row = |index: &MemoryIndex| {
        rows::get::<ChunkRow>(index, Column::Chunk, &key::chunk(chunk_id(7))).unwrap().unwrap().segment
    };
    apply(&index, 2, &[stripe_added(1, 0, vec![chunk_place(7, 0, 0)]).into()]);
    apply(&index, 3, &[stripe_added(2, 0, vec![chunk_place(7, 0, 0)]).into()]);
    assert_eq!(row(&index), SegmentId(1));
    apply(&index, 4, &[stripe_added(3, 0, vec![chunk_place(7, 0, CHUNK_FLAG_REPLACES)]).into()]);
    assert_eq!(row(&index), SegmentId(3));
}

#[test]
fn a_damaged_copy_is_marked_until_it_is_replaced() {
    let segments: Vec<Record> = (1..=3).map(|id| opened(id, StripeKind::Data).into()).collect();
    let index = of(&segments);
    let damaged = |segment, stripe| -> Record {
        ChunksDamaged { segment: SegmentId(segment), stripe, chunks: vec![chunk_id(7), chunk_id(8)] }.into()
    };
    let marks = |index: &MemoryIndex| [7, 8].map(|id| index.get(Column::Damaged, &key::chunk(chunk_id(id))).unwrap());
    let at = |segment, stripe| Some(key::stripe(SegmentId(segment), stripe));
    apply(&index, 2, &[stripe_added(1, 8192, vec![chunk_place(7, 0, 0)]).into()]);
    apply(&index, 3, &[damaged(2, 8192), damaged(1, 0)]);
    assert_eq!(marks(&index), [None, None], "no copy that counts lies there");
    apply(&index, 4, &[damaged(1, 8192)]);
    assert_eq!(marks(&index), [at(1, 8192), None]);
    apply(&index, 5, &[stripe_added(2, 0, vec![chunk_place(7, 0, 0)]).into()]);
    assert_eq!(marks(&index), [at(1, 8192), None], "a second copy does not count");
    apply(&index, 6, &[stripe_added(3, 0, vec![chunk_place(7, 0, CHUNK_FLAG_REPLACES)]).into()]);
    assert_eq!(marks(&index), [None, None]);
    apply(&index, 7, &[damaged(1, 8192)]);
    assert_eq!(marks(&index), [None, None], "the news is older than the new copy");
    apply(&index, 8, &[damaged(3, 0)]);
    assert_eq!(marks(&index), [at(3, 0), None]);
}

#[test]
fn a_segment_grows_with_its_stripes_and_stays_closed() {
    let index = of(&[opened(1, StripeKind::Data).into()]);
    let added = stripe_added(1, 8192, vec![chunk_place(1, 0, 0)]);
    let end = 8192 + disk_len(added.shard_len);
    apply(&index, 2, &[added.into()]);
    let row = |index: &MemoryIndex| {
        rows::get::<SegmentRow>(index, Column::Segment, &key::segment(SegmentId(1))).unwrap().unwrap()
    };
    assert_eq!((row(&index).len, row(&index).closed), (end, false));
    apply(&index, 3, &[SegmentClosed { segment: SegmentId(1), len: end }.into()]);
    assert_eq!((row(&index).len, row(&index).closed), (end, true));
}

#[test]
fn inline_chunks_lie_behind_the_frame_of_their_stripe() {
    let index = MemoryIndex::new();
    let inlined = ChunksInlined { domain: kovcheg_format::id::DomainId(1), chunks: vec![chunk_place(9, 40, 0)] };
    apply(&index, 5, &[inlined.into()]);
    let row = rows::get::<ChunkRow>(&index, Column::Chunk, &key::chunk(chunk_id(9))).unwrap().unwrap();
    let place = stripe_place(5);
    assert_eq!((row.segment, row.stripe, row.offset), (place.segment, place.offset, place.inner_len + 40));
}

#[test]
fn an_ended_upload_leaves_neither_itself_nor_parts() {
    let index = of(&[bucket(1, "one").into(), upload(1, "a", 1).into(), part(1, 1, 1).into(), part(1, 2, 2).into()]);
    let rows_of = |column| all_rows(&index).iter().filter(|(found, _, _)| *found == column).count();
    assert!(rows_of(Column::Part) >= 2 && rows_of(Column::Upload) == 1);
    let ended = UploadEnded {
        bucket: BucketId(1),
        key: "a".into(),
        upload: upload_id(1),
        outcome: UploadOutcome::Aborted,
        by: origin(),
    };
    apply(&index, 2, &[ended.into(), part(1, 3, 3).into()]);
    let rows_of = |column| all_rows(&index).iter().filter(|(found, _, _)| *found == column).count();
    assert_eq!((rows_of(Column::Part), rows_of(Column::Upload)), (0, 0), "a part of an ended upload is left out");
}

fn records() -> impl Strategy<Value = Vec<Record>> {
    let one = prop_oneof![
        (1_u64..3).prop_map(|id| bucket(id, ["one", "two"][usize::from(id == 2)]).into()),
        (1_u64..3).prop_map(|id| BucketDeleted { bucket: BucketId(id), by: origin() }.into()),
        (1_u64..3, "[a-c]{1,2}", 1_u64..6, any::<bool>()).prop_map(|(bucket, key, n, marker)| {
            let kind = if marker { VersionKind::DeleteMarker } else { VersionKind::Object };
            version(bucket, &key, n, kind, if marker { 0 } else { n * 10 }).into()
        }),
        (1_u64..3, "[a-c]{1,2}", 1_u64..6).prop_map(|(bucket, key, n)| {
            VersionRemoved { bucket: BucketId(bucket), key, version: version_id(n) }.into()
        }),
        (1_u64..4).prop_map(|id| opened(id, StripeKind::Data).into()),
        (1_u64..4, 0_u64..4, prop::collection::vec((any::<u8>(), prop_oneof![Just(0), Just(1)]), 0..4)).prop_map(
            |(segment, at, chunks)| {
                let chunks = chunks.into_iter().map(|(n, flags)| chunk_place(n, 0, flags)).collect();
                stripe_added(segment, at * 4096, chunks).into()
            }
        ),
        // No two uploads have one id.
        (1_u8..3).prop_map(|id| upload(id.into(), "u", id).into()),
        (1_u8..3).prop_map(|id| {
            let (bucket, upload, outcome) = (BucketId(id.into()), upload_id(id), UploadOutcome::Completed);
            UploadEnded { bucket, key: "u".to_owned(), upload, outcome, by: origin() }.into()
        }),
        (1_u8..3, 1_u16..4, any::<u8>()).prop_map(|(id, number, etag)| part(id, number, etag).into()),
        any::<u8>().prop_map(|secret| credential("key", secret).into()),
    ];
    prop::collection::vec(one, 1..60)
}

/// Rows of usage, counted from versions and parts.
fn usage_of(index: &MemoryIndex) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let mut usage: BTreeMap<Vec<u8>, BucketUsage> = BTreeMap::new();
    for (_, value) in rows_of(index, Column::Version) {
        let version: VersionPut = rows::decode(Column::Version, &value).unwrap();
        let of = usage.entry(key::bucket(version.bucket)).or_default();
        of.versions += 1;
        of.bytes += version.size;
    }
    let (uploads, parts): (Vec<_>, Vec<_>) =
        rows_of(index, Column::Part).into_iter().partition(|(key, _)| key.ends_with(&[0, 0]));
    for (row, value) in parts {
        let of_upload = uploads.iter().find(|(key, _)| key[..16] == row[..16]).unwrap();
        let part: PartPut = rows::decode(Column::Part, &value).unwrap();
        usage.entry(of_upload.1[..8].to_vec()).or_default().upload_bytes += part.size;
    }
    let some = usage.into_iter().filter(|(_, usage)| *usage != BucketUsage::default());
    some.map(|(bucket, usage)| (bucket, usage.to_bytes())).collect()
}

proptest! {
    #[test]
    fn batches_do_not_matter_and_digest_and_counters_follow(records in records(), cuts in prop::collection::vec(1_usize..8, 60)) {
        let whole = MemoryIndex::new();
        apply(&whole, 1, &records);
        let pieces = MemoryIndex::new();
        let mut rest = records.as_slice();
        for cut in cuts {
            let (head, tail) = rest.split_at(cut.min(rest.len()));
            rest = tail;
            // All at the same position: only the cuts differ.
            apply(&pieces, 1, head);
        }
        prop_assert_eq!(all_rows(&whole), all_rows(&pieces));
        prop_assert_eq!(digest_of(&whole).unwrap(), rows::digest(&whole).unwrap());
        prop_assert_eq!(read_applied(&whole).unwrap().map(|applied| applied.lsn), Some(stripe_place(1).lsn));
        let versions = all_rows(&whole).iter().filter(|(column, _, _)| *column == Column::Version).count();
        prop_assert_eq!(rows::counters(&whole).unwrap().versions, versions as u64);
        let kept: BTreeMap<_, _> = rows_of(&whole, Column::Usage).into_iter().collect();
        prop_assert_eq!(kept, usage_of(&whole));
    }
}

#[test]
fn the_trail_grows_by_stripe_once_whatever_is_applied_again() {
    let index = MemoryIndex::new();
    let apply = |n: u64, records: &[Record]| {
        let place = stripe_place(n);
        let mut overlay = Overlay::new(&index).unwrap();
        apply_frame(&mut overlay, &place, records).unwrap();
        index.apply(overlay.into_batch(&place.applied())).unwrap();
        rows::audit_tree(&index).unwrap()
    };
    let opened: Record = opened(1, StripeKind::Journal).into();
    assert_eq!(apply(0, std::slice::from_ref(&opened)), None, "where bytes lie is no entry");
    let first =
        apply(1, &[bucket(1, "one").into(), opened.clone(), version(1, "a", 1, VersionKind::Object, 10).into()]);
    let second = apply(2, &[version(1, "a", 2, VersionKind::Object, 10).into()]);
    let sizes = [&first, &second].map(|tree| tree.as_ref().map(|tree| (tree.size, tree.lsn)));
    assert_eq!(sizes, [Some((2, Lsn(2))), Some((3, Lsn(3)))]);
    // Both again, as after a crash, and one without an entry.
    let again = [bucket(1, "one").into(), opened.clone(), version(1, "a", 1, VersionKind::Object, 10).into()];
    assert_eq!(apply(1, &again), second);
    assert_eq!(apply(2, &[version(1, "a", 2, VersionKind::Object, 10).into()]), second);
    assert_eq!(apply(3, &[opened]), second);
    assert_eq!(digest_of(&index).unwrap(), rows::digest(&index).unwrap());
}
