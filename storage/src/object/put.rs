//! The life of a body: bytes in, chunks cut, ranges noted in a manifest. Runs on the CPU workers.

use std::sync::Arc;

use bytes::Bytes;
use kovcheg_format::checksum::{crc64, crc64_combine};
use kovcheg_format::id::DomainId;
use kovcheg_format::manifest::{Entry, Root};
use kovcheg_format::record::bucket::ChunkProfile;

use crate::chunk::chunker::{Chunker, Scan};
use crate::engine::Engine;
use crate::error::{StorageError, StorageResult};
use crate::object::manifest::ManifestBuilder;
use crate::object::sink::{ChunkSink, Filled};
use crate::object::types::BodyObserver;

/// A body being taken in.
pub struct BodyWriter {
    sink: ChunkSink,
    chunker: Chunker,
    /// How far the search for the end of the current chunk has come.
    scan: Scan,
    manifest: ManifestBuilder,
    buffer: Vec<u8>,
    size: u64,
    crc: u64,
    observer: Box<dyn BodyObserver>,
}

/// A body that came to its end and was handed to the disks; not durable before its commit.
pub struct WrittenBody {
    /// Stripes, inline chunks and edges for the commit.
    pub filled: Filled,
    /// Domain of the chunks.
    pub domain: DomainId,
    /// Content.
    pub manifest: Root,
    /// Bytes.
    pub size: u64,
    /// CRC64-NVME of the content.
    pub crc: u64,
    /// The gateway's observer.
    pub observer: Box<dyn BodyObserver>,
}

impl BodyWriter {
    /// A writer for one body of a bucket with this domain and profile.
    pub fn new(
        engine: &Arc<Engine>,
        domain: DomainId,
        profile: &ChunkProfile,
        observer: Box<dyn BodyObserver>,
    ) -> StorageResult<Self> {
        let cipher = engine.domain(domain)?;
        let chunker = cipher
            .chunker(profile)
            .map_err(|error| StorageError::InvalidArgument { what: "chunk profile", reason: error.to_string() })?;
        Ok(Self {
            sink: ChunkSink::new(engine.clone(), cipher),
            chunker,
            scan: Scan::default(),
            manifest: ManifestBuilder::default(),
            buffer: Vec::new(),
            size: 0,
            crc: 0,
            observer,
        })
    }

    /// Takes the next bytes of the body.
    pub fn write(&mut self, bytes: &[u8]) -> StorageResult<()> {
        self.observer.update(bytes);
        if self.buffer.is_empty() {
            let rest = self.cut_all(bytes, false)?;
            self.buffer.extend_from_slice(bytes.get(rest..).unwrap_or(&[]));
            return Ok(());
        }
        self.buffer.extend_from_slice(bytes);
        self.cut_buffer(false)
    }

    /// Takes the next bytes of the body, in pieces: all are laid behind each other before any is cut, so that what is left over
    /// moves once, not once a piece.
    pub fn write_all(&mut self, pieces: &[Bytes]) -> StorageResult<()> {
        self.buffer.reserve(pieces.iter().map(Bytes::len).sum());
        for piece in pieces {
            self.observer.update(piece);
            self.buffer.extend_from_slice(piece);
        }
        self.cut_buffer(false)
    }

    /// Takes the end of the body.
    pub fn end(mut self) -> StorageResult<WrittenBody> {
        self.cut_buffer(true)?;
        let Self { mut sink, manifest, size, crc, observer, chunker: _, scan: _, buffer: _ } = self;
        let manifest = manifest.finish(&mut |node| sink.node(node))?;
        let domain = sink.domain();
        Ok(WrittenBody { filled: sink.finish()?, domain, manifest, size, crc, observer })
    }

    fn cut_buffer(&mut self, at_end: bool) -> StorageResult<()> {
        let mut buffer = std::mem::take(&mut self.buffer);
        let used = self.cut_all(&buffer, at_end)?;
        buffer.drain(..used);
        self.buffer = buffer;
        Ok(())
    }

    /// Cuts as many chunks as `window` holds and answers the bytes they took.
    fn cut_all(&mut self, window: &[u8], at_end: bool) -> StorageResult<usize> {
        let mut used = 0;
        loop {
            let rest = window.get(used..).unwrap_or(&[]);
            if rest.is_empty() {
                return Ok(used);
            }
            let Some(len) = self.chunker.resume(&mut self.scan, rest, at_end) else { return Ok(used) };
            self.take_chunk(rest.get(..len).unwrap_or(rest))?;
            used += len;
        }
    }

    fn take_chunk(&mut self, plain: &[u8]) -> StorageResult<()> {
        let crc = crc64(plain);
        let len = u32::try_from(plain.len()).unwrap_or(u32::MAX);
        let chunk = self.sink.chunk(plain)?;
        self.size += u64::from(len);
        self.crc = crc64_combine(self.crc, crc, len.into());
        let sink = &mut self.sink;
        self.manifest.push(Entry { chunk, offset: 0, len, crc }, &mut |node| sink.node(node))
    }
}
