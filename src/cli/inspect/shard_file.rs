//! Walks a shard file stripe by stripe: headers, and every block of data against its checksum.
//!
//! After a header that cannot be read the walk goes on at the next block of 4 KiB, so that one rotten header does not
//! hide what lies behind it. Every step moves forward by at least that much, whatever the bytes say.

use std::io::{Read, Seek, SeekFrom};

use kovcheg_format::id::SegmentId;
use kovcheg_format::shard::{CRC_BLOCK_LEN, ShardFront, ShardHeader, StripeKind};
use kovcheg_format::units::BLOCK_LEN;
use kovcheg_format::version::MAGIC_SHARD;

use super::report::{GapReport, ShardsReport, StripeReport};

/// Bytes read to decode a header with the longest table there is: 256 + 8 × 256.
const FRONT_LEN: usize = 4096;
/// Most gaps that are listed.
const GAPS_LISTED_MAX: usize = 1000;

/// Walks `len` bytes of `input`. `named` is the segment by the file's name. Never fails: what cannot be read is a gap.
pub fn walk<R: Read + Seek>(
    input: &mut R,
    len: u64,
    named: Option<SegmentId>,
    stripes_listed_max: usize,
) -> ShardsReport {
    let report = ShardsReport {
        file_len: len,
        segment: named.map(SegmentId::file_name),
        sound: true,
        ..ShardsReport::default()
    };
    let mut walk = Walk { input, len, segment: named, stripes_listed_max, report, gap: None };
    let mut offset = 0;
    while offset < len {
        offset = offset.saturating_add(walk.step(offset));
    }
    walk.end_gap(false);
    walk.report
}

struct Walk<'a, R> {
    input: &'a mut R,
    len: u64,
    segment: Option<SegmentId>,
    stripes_listed_max: usize,
    report: ShardsReport,
    gap: Option<GapReport>,
}

impl<R: Read + Seek> Walk<'_, R> {
    /// Looks at what begins at `offset`; answers by how much to move on.
    fn step(&mut self, offset: u64) -> u64 {
        let front = match self.read(offset, FRONT_LEN) {
            Ok(front) => front,
            Err(error) => return self.skip(offset, "unreadable", &error.to_string()),
        };
        if front.iter().all(|byte| *byte == 0) {
            return self.skip(offset, "unwritten", "");
        }
        if !front.starts_with(&MAGIC_SHARD) {
            return self.skip(offset, "unreadable", "no shard header");
        }
        let front = match ShardFront::decode(&front) {
            Ok(front) => front,
            Err(error) => return self.skip(offset, "unreadable", &error.to_string()),
        };
        let header = front.header;
        if header.offset != offset {
            let words = format!("a header that belongs at offset {}: a misdirected write", header.offset);
            return self.skip(offset, "unreadable", &words);
        }
        if *self.segment.get_or_insert(header.segment) != header.segment {
            let words =
                format!("a stripe of segment {}, from before the file was used again", header.segment.file_name());
            return self.skip(offset, "stale", &words);
        }
        self.end_gap(true);
        self.stripe(&front);
        header.disk_len()
    }

    fn stripe(&mut self, front: &ShardFront) {
        let header = &front.header;
        let (bad_blocks, cut) = self.check_data(front);
        let report = &mut self.report;
        report.segment.get_or_insert_with(|| header.segment.file_name());
        report.pool.get_or_insert_with(|| header.pool.to_string());
        report.stripe_count += 1;
        report.bad_blocks += bad_blocks as u64;
        if bad_blocks > 0 || cut {
            report.damaged_stripes += 1;
            report.sound = false;
        }
        if header.kind == StripeKind::Journal {
            let (first, last) = report.lsn_range.unwrap_or((header.lsn.0, header.lsn.0));
            report.lsn_range = Some((first.min(header.lsn.0), last.max(header.lsn.0)));
        }
        if report.stripes.len() < self.stripes_listed_max {
            report.stripes.push(stripe_report(header, front.crcs.len(), bad_blocks, cut));
        }
    }

    /// Blocks whose checksum does not hold, and whether the file ends before the data does.
    fn check_data(&mut self, front: &ShardFront) -> (usize, bool) {
        let header = &front.header;
        let start = header.offset.saturating_add(header.data_offset() as u64);
        let mut bad = 0;
        let mut left = header.shard_len as usize;
        let mut at = start;
        for block in 0..front.crcs.len() {
            let want = left.min(CRC_BLOCK_LEN);
            match self.read(at, want) {
                Ok(bytes) if bytes.len() < want => return (bad, true),
                Ok(bytes) if front.block_is_sound(block, &bytes) => {}
                _ => bad += 1,
            }
            at = at.saturating_add(want as u64);
            left -= want;
        }
        (bad, false)
    }

    /// Up to `len` bytes at `offset`; fewer where the file ends.
    fn read(&mut self, offset: u64, len: usize) -> std::io::Result<Vec<u8>> {
        self.input.seek(SeekFrom::Start(offset))?;
        let mut bytes = Vec::new();
        self.input.by_ref().take(len as u64).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    /// One block that is no stripe; runs of the same kind are one gap.
    fn skip(&mut self, offset: u64, what: &str, reason: &str) -> u64 {
        let len = BLOCK_LEN.min(self.len.saturating_sub(offset));
        match &mut self.gap {
            // Blocks inside a shard with a rotten header are "no shard header": they belong to that gap.
            Some(gap) if gap.what == what => gap.len += len,
            _ => {
                self.end_gap(true);
                self.gap = Some(GapReport { offset, len, what: what.to_owned(), reason: reason.to_owned() });
            }
        }
        len
    }

    /// The gap is over; `more` says whether something follows it.
    fn end_gap(&mut self, more: bool) {
        let Some(mut gap) = self.gap.take() else { return };
        if gap.what == "unwritten" && more {
            "hole".clone_into(&mut gap.what);
            "zeros before something later: a lost write".clone_into(&mut gap.reason);
        }
        if gap.what == "hole" || gap.what == "unreadable" {
            self.report.sound = false;
        }
        if self.report.gaps.len() < GAPS_LISTED_MAX {
            self.report.gaps.push(gap);
        } else {
            self.report.gaps_unlisted += 1;
        }
    }
}

fn stripe_report(header: &ShardHeader, blocks: usize, bad_blocks: usize, cut: bool) -> StripeReport {
    let holds = match header.kind {
        StripeKind::Data => "data",
        StripeKind::Journal => "journal",
        StripeKind::Checkpoint => "checkpoint",
    };
    StripeReport {
        offset: header.offset,
        holds: holds.to_owned(),
        index: header.index,
        k: header.k,
        m: header.m,
        epoch: header.epoch.0,
        lsn: header.lsn.0,
        payload_len: header.payload_len,
        shard_len: header.shard_len,
        hash: header.hash.to_string(),
        previous: header.previous.to_string(),
        written_at: header.written_at,
        blocks,
        bad_blocks,
        cut,
    }
}
