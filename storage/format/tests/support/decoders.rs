//! Every way in which bytes of a disk enter this crate, each as one function that must be total.

use kovcheg_format::Decode;
use kovcheg_format::audit::AuditTree;
use kovcheg_format::checkpoint::CheckpointPage;
use kovcheg_format::directory::Directory;
use kovcheg_format::envelope;
use kovcheg_format::frame::Frame;
use kovcheg_format::id::{AuditHash, ChunkId, SegmentId};
use kovcheg_format::keyring::{KeyEntry, SealedKeyring};
use kovcheg_format::manifest::{Node, Root};
use kovcheg_format::record::Record;
use kovcheg_format::record::pool::Member;
use kovcheg_format::record::segment::{ChunkRow, SegmentRow};
use kovcheg_format::shard::ShardFront;
use kovcheg_format::superblock::Superblock;

use super::samples::snake;

/// A decoder: says whether it took the bytes, and uses what it got as a reader of the vault would.
pub type Decoder = Box<dyn Fn(&[u8]) -> bool>;

fn value<T: Decode + 'static>(use_it: impl Fn(&T) + 'static) -> Decoder {
    Box::new(move |bytes| T::from_bytes(bytes).inspect(&use_it).is_ok())
}

fn walk_node(node: &Node) {
    let _ = (node.level(), node.len(), node.crc(), node.edges().len());
}

fn walk_root(root: &Root) {
    let _ = (root.len(), root.crc(), root.is_empty());
}

fn walk_record(record: &Record) {
    match record {
        Record::VersionPut(put) => walk_root(&put.manifest),
        Record::PartPut(part) => walk_root(&part.manifest),
        Record::EpochStarted(started) => {
            let _ = (started.last_lsn.next(), started.epoch.next(), SegmentId::new(started.epoch, 0));
        }
        Record::StripeAdded(added) => {
            let _ = added.offset + kovcheg_format::shard::disk_len(added.shard_len);
        }
        Record::ChunksInlined(inlined) => {
            let _ = inlined.chunks.iter().map(|place| place.offset + place.sealed_len).max();
        }
        _ => {}
    }
    assert!(record.check().is_ok(), "read what could not have been written");
}

fn walk_shard(bytes: &[u8]) -> bool {
    let Ok(front) = ShardFront::decode(bytes) else { return false };
    let header = &front.header;
    let end = header.data_offset() + header.shard_len as usize;
    let _ = (header.offset + header.disk_len(), header.lsn.next(), SegmentId::new(header.epoch, 1));
    let _ = bytes.get(header.data_offset()..end).is_some_and(|data| front.data_is_sound(data));
    true
}

/// Name and decoder of everything. Names that start like a sample's take that sample.
pub fn all() -> Vec<(String, Decoder)> {
    let mut all: Vec<(String, Decoder)> = vec![
        ("superblock".into(), Box::new(|bytes| Superblock::from_slot(bytes).is_ok())),
        ("superblock_file".into(), Box::new(|bytes| Superblock::from_file(bytes).is_ok())),
        ("keyring".into(), Box::new(|bytes| SealedKeyring::from_file(bytes).is_ok())),
        ("key_entries".into(), value::<Vec<KeyEntry>>(|_| {})),
        ("shard".into(), Box::new(walk_shard)),
        (
            "envelope".into(),
            Box::new(|bytes| {
                let sound = envelope::crc_is_sound(bytes);
                let split = envelope::split(bytes);
                split.is_ok_and(|(header, _)| header.associated_data(ChunkId::ZERO).len() == envelope::AAD_LEN || sound)
            }),
        ),
        ("node".into(), value(walk_node)),
        (
            "directory".into(),
            value(|directory: &Directory| assert!(directory.envelopes_len() <= 2 * u64::from(u32::MAX))),
        ),
        ("checkpoint_page".into(), value::<CheckpointPage>(|_| {})),
        ("row_audit_tree".into(), value::<AuditTree>(|tree| assert_ne!(tree.root(), AuditHash::ZERO))),
        ("row_segment".into(), value::<SegmentRow>(|_| {})),
        ("row_chunk".into(), value(|row: &ChunkRow| assert!(row.offset + row.sealed_len >= row.offset))),
        ("row_member".into(), value::<Member>(|_| {})),
        ("frame".into(), value(|frame: &Frame| frame.records.iter().for_each(walk_record))),
        ("root".into(), value(walk_root)),
    ];
    for (tag, name) in Record::TAGS {
        let decoder: Decoder = Box::new(|bytes| Record::decode_body(*tag, 1, bytes).inspect(walk_record).is_ok());
        all.push((format!("record_{}", snake(name)), decoder));
    }
    all
}
