//! What every [`Index`] promises, as one suite that each implementation runs.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use crate::index::rows::META_DOUBT;
use crate::index::{Batch, Change, Column, Index, IndexRead};

/// Makes an empty index.
pub type Make<'a> = &'a dyn Fn() -> Box<dyn Index>;

/// Runs the suite.
pub fn run_all(make: Make<'_>) {
    reads_what_was_written(make);
    later_changes_win(make);
    scans_ranges_in_order(make);
    snapshots_stand_still(make);
    wipes(make);
    agrees_with_a_map(make);
}

fn put(column: Column, key: &[u8], value: &[u8]) -> Change {
    Change { column, key: key.to_vec(), value: Some(value.to_vec()) }
}

fn cut(column: Column, key: &[u8]) -> Change {
    Change { column, key: key.to_vec(), value: None }
}

/// All rows of a range.
pub fn rows(view: &dyn IndexRead, column: Column, from: &[u8], to: Option<&[u8]>) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut out = Vec::new();
    view.scan(column, from, to, &mut |key, value| {
        out.push((key.to_vec(), value.to_vec()));
        ControlFlow::Continue(())
    })
    .unwrap();
    out
}

fn reads_what_was_written(make: Make<'_>) {
    let index = make();
    assert_eq!(None, index.get(Column::Chunk, b"k").unwrap());
    for column in Column::ALL {
        index.apply(Batch { changes: vec![put(column, b"k", &[column.code()])] }).unwrap();
    }
    for column in Column::ALL {
        assert_eq!(Some(vec![column.code()]), index.get(column, b"k").unwrap(), "{}", column.name());
        assert_eq!(1, rows(&*index, column, &[], None).len(), "{}", column.name());
    }
    index.apply(Batch { changes: vec![put(Column::Disk, b"", b""), cut(Column::Chunk, b"k")] }).unwrap();
    assert_eq!(Some(Vec::new()), index.get(Column::Disk, b"").unwrap());
    assert_eq!(None, index.get(Column::Chunk, b"k").unwrap());
}

fn later_changes_win(make: Make<'_>) {
    let index = make();
    let column = Column::Version;
    let changes = vec![put(column, b"a", b"1"), put(column, b"a", b"2"), put(column, b"b", b"1"), cut(column, b"b")];
    index.apply(Batch { changes }).unwrap();
    index.apply(Batch { changes: vec![cut(column, b"c"), put(column, b"c", b"3")] }).unwrap();
    assert_eq!(vec![(b"a".to_vec(), b"2".to_vec()), (b"c".to_vec(), b"3".to_vec())], rows(&*index, column, &[], None));
}

fn scans_ranges_in_order(make: Make<'_>) {
    let index = make();
    let column = Column::Current;
    let changes = [&b"\xff"[..], b"b", b"", b"a\0", b"a", b"ab", b"\xff\xff"].map(|key| put(column, key, b"v"));
    index.apply(Batch { changes: changes.into() }).unwrap();
    let keys = |from: &[u8], to: Option<&[u8]>| -> Vec<Vec<u8>> {
        rows(&*index, column, from, to).into_iter().map(|(key, _)| key).collect()
    };
    let all: Vec<Vec<u8>> = [&b""[..], b"a", b"a\0", b"ab", b"b", b"\xff", b"\xff\xff"].map(<[u8]>::to_vec).into();
    assert_eq!(all, keys(b"", None));
    assert_eq!(all.get(2..4).unwrap(), keys(b"a\0", Some(b"b")));
    assert_eq!(all.get(5..).unwrap(), keys(b"bb", None));
    assert_eq!(Vec::<Vec<u8>>::new(), keys(b"b", Some(b"b")));
    assert_eq!(Vec::<Vec<u8>>::new(), keys(b"c", Some(b"a")));
    let mut seen = 0;
    let mut visit = |_: &[u8], _: &[u8]| {
        seen += 1;
        if seen == 3 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    index.scan(column, b"", None, &mut visit).unwrap();
    assert_eq!(3, seen);
}

fn snapshots_stand_still(make: Make<'_>) {
    let index = make();
    let column = Column::Bucket;
    index.apply(Batch { changes: vec![put(column, b"a", b"1"), put(column, b"b", b"1")] }).unwrap();
    let frozen = index.snapshot();
    index.apply(Batch { changes: vec![put(column, b"a", b"2"), cut(column, b"b"), put(column, b"c", b"2")] }).unwrap();
    index.flush().unwrap();
    let before = vec![(b"a".to_vec(), b"1".to_vec()), (b"b".to_vec(), b"1".to_vec())];
    assert_eq!(before, rows(&*frozen, column, &[], None));
    assert_eq!(Some(b"1".to_vec()), frozen.get(column, b"b").unwrap());
    assert_eq!(None, frozen.get(column, b"c").unwrap());
    assert_eq!(None, index.get(column, b"b").unwrap());
    drop(index);
    assert_eq!(Some(b"1".to_vec()), frozen.get(column, b"a").unwrap(), "a snapshot outlives its index");
}

fn wipes(make: Make<'_>) {
    let index = make();
    let changes: Vec<_> = Column::ALL.into_iter().map(|column| put(column, b"k", b"v")).collect();
    index.apply(Batch { changes: changes.clone() }).unwrap();
    index.flush().unwrap();
    index.apply(Batch { changes: vec![put(Column::Meta, META_DOUBT, b"found")] }).unwrap();
    index.wipe().unwrap();
    for column in Column::ALL {
        assert_eq!(None, index.get(column, b"k").unwrap());
        let kept = if column == Column::Meta { vec![(META_DOUBT.to_vec(), b"found".to_vec())] } else { Vec::new() };
        assert_eq!(kept, rows(&*index, column, &[], None), "a wipe forgets everything but a doubt");
    }
    index.apply(Batch { changes }).unwrap();
    assert_eq!(Some(b"v".to_vec()), index.get(Column::Disk, b"k").unwrap());
}

/// Five hundred batches of a fixed pseudo-random sequence; flushes and a snapshot in between; compared with plain maps.
fn agrees_with_a_map(make: Make<'_>) {
    let index = make();
    let mut model: BTreeMap<(Column, Vec<u8>), Vec<u8>> = BTreeMap::new();
    let mut state: u32 = 0x9E37_79B9;
    let mut next = |below: u32| {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state % below
    };
    for round in 0..500_u32 {
        let mut changes = Vec::new();
        for _ in 0..=next(8) {
            let column = Column::ALL.into_iter().nth(next(13) as usize).unwrap();
            let key = next(40).to_be_bytes()[2..].to_vec();
            let value = (next(3) > 0).then(|| round.to_be_bytes().to_vec());
            match &value {
                Some(value) => model.insert((column, key.clone()), value.clone()),
                None => model.remove(&(column, key.clone())),
            };
            changes.push(Change { column, key, value });
        }
        index.apply(Batch { changes }).unwrap();
        if round % 97 == 0 {
            index.flush().unwrap();
        }
    }
    for view in [&*index as &dyn IndexRead, &*index.snapshot()] {
        for column in Column::ALL {
            let expected: Vec<_> = model
                .iter()
                .filter(|((at, _), _)| *at == column)
                .map(|((_, key), row)| (key.clone(), row.clone()))
                .collect();
            assert_eq!(expected, rows(view, column, &[], None), "{}", column.name());
        }
    }
}
