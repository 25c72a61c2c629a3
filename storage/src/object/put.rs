//! The life of a body: bytes in, chunks cut, ranges noted in a manifest. Runs on the CPU workers.

use std::sync::Arc;

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
            size: 0,
            crc: 0,
            observer,
        })
    }

    /// Takes the next bytes of the body.
    pub fn write(&mut self, bytes: &[u8]) -> StorageResult<()> {
        self.observer.update(bytes);
        let mut rest = bytes;
        while let Some((of_chunk, after)) =
            self.chunker.feed(&mut self.scan, rest).and_then(|len| rest.split_at_checked(len))
        {
            self.sink.extend(of_chunk)?;
            self.take_chunk()?;
            rest = after;
        }
        self.sink.extend(rest)
    }

    /// Takes the end of the body.
    pub fn end(mut self) -> StorageResult<WrittenBody> {
        if !self.sink.pending().is_empty() {
            self.take_chunk()?;
        }
        let Self { mut sink, manifest, size, crc, observer, chunker: _, scan: _ } = self;
        let manifest = manifest.finish(&mut |node| sink.node(node))?;
        let domain = sink.domain();
        Ok(WrittenBody { filled: sink.finish()?, domain, manifest, size, crc, observer })
    }

    fn take_chunk(&mut self) -> StorageResult<()> {
        let plain = self.sink.pending();
        let crc = crc64(plain);
        let len = u32::try_from(plain.len()).unwrap_or(u32::MAX);
        let chunk = self.sink.chunk()?;
        self.size += u64::from(len);
        self.crc = crc64_combine(self.crc, crc, len.into());
        let sink = &mut self.sink;
        self.manifest.push(Entry { chunk, offset: 0, len, crc }, &mut |node| sink.node(node))
    }
}
