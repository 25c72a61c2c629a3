//! Copies of objects and of ranges of them, by manifest alone: no chunk is written, and none read but the two at a range's
//! edges (R16).

use std::sync::Arc;

use kovcheg_format::Encode as _;
use kovcheg_format::checksum::crc64;
use kovcheg_format::id::DomainId;
use kovcheg_format::manifest::{Entry, Root};
use kovcheg_format::record::Record;
use kovcheg_format::record::audit::Origin;
use kovcheg_format::record::upload::PartPut;
use kovcheg_format::record::version::{Checksum, VersionPut};

use crate::chunk::pipeline::{ContentKind, DomainCipher};
use crate::engine::Engine;
use crate::error::{StorageError, StorageResult};
use crate::journal::sequencer::Moment;
use crate::object::manifest::range::RangeCopy;
use crate::object::sink::{ChunkSink, Filled};
use crate::object::types::{Found, NewVersion, UploadRef, VersionName};
use crate::object::version::{Content, propose_put};
use crate::object::{bucket, multipart, version};

/// Characters of an MD5 in hex.
const MD5_HEX: usize = 32;

/// A version to copy from, as it was looked up. The commit checks that it is still there.
#[derive(Debug, Clone)]
pub struct CopySource {
    /// Bucket name.
    pub bucket: String,
    /// The version.
    pub version: VersionPut,
}

impl CopySource {
    /// At this point of the order the source must be what it was, or what was decided about it no longer holds.
    fn check(&self, moment: &Moment<'_>, domain: DomainId) -> StorageResult<()> {
        let source = bucket::find(moment.view, &self.bucket)?;
        let name = VersionName::of(&self.version);
        let now = version::by_name(moment.view, source.bucket, &self.version.key, name)?;
        let now = now.filter(|now| now.version == self.version.version).ok_or(StorageError::SourceChanged)?;
        if now.domain != domain {
            // Chunks are sealed under their domain's key: such a copy would have to be written anew.
            return Err(StorageError::InvalidArgument {
                what: "copy source",
                reason: "it lies in another deduplication domain; read it and write it".to_owned(),
            });
        }
        Ok(())
    }
}

/// Decides a copy: a put whose content is there already.
pub fn propose_copy(
    moment: &Moment<'_>,
    source: &CopySource,
    bucket_name: &str,
    object_key: &str,
    new: NewVersion,
    by: &Origin,
) -> StorageResult<(Found, Vec<Record>)> {
    let destination = bucket::find(moment.view, bucket_name)?;
    source.check(moment, destination.domain)?;
    let VersionPut { manifest, size, crc, parts, .. } = source.version.clone();
    propose_put(moment, bucket_name, object_key, Content { manifest, size, crc, parts }, new, by)
}

/// The content of a part to be, whose new nodes are stored.
pub struct CopiedPart {
    /// Content.
    pub content: Content,
    /// ETag: 32 hex digits, as every part's.
    pub etag: String,
    /// New nodes.
    pub filled: Filled,
}

/// Makes the manifest of `start..end` of the source, which lies within it. Runs on a worker, before the commit.
pub fn take_range(engine: &Arc<Engine>, source: &VersionPut, start: u64, end: u64) -> StorageResult<CopiedPart> {
    let cipher = engine.domain(source.domain)?;
    let mut sink = ChunkSink::new(engine.clone(), cipher.clone());
    let whole = start == 0 && end == source.size;
    let manifest = if whole {
        source.manifest.clone()
    } else {
        let copy = RangeCopy {
            load: &|id| engine.load_node(id, &cipher),
            piece_crc: &|piece| piece_crc(engine, &cipher, piece),
            store: &mut |node| sink.node(node),
            range: (start, end),
        };
        copy.copy(&source.manifest)?
    };
    if manifest.len() != end - start {
        return Err(StorageError::NotAuthentic {
            what: format!("manifest of version {}", source.version),
            reason: "it does not cover the object",
        });
    }
    let is_md5 = source.etag.len() == MD5_HEX && source.etag.bytes().all(|byte| byte.is_ascii_hexdigit());
    let etag = if whole && is_md5 { source.etag.clone() } else { derived_etag(&cipher, &manifest) };
    let content = Content { size: end - start, crc: manifest.crc(), manifest, parts: Vec::new() };
    Ok(CopiedPart { content, etag, filled: sink.finish()? })
}

fn piece_crc(engine: &Engine, cipher: &DomainCipher, piece: &Entry) -> StorageResult<u64> {
    let chunk = engine.read_chunk(ContentKind::Chunk, piece.chunk, cipher)?;
    let range = piece.offset as usize..(piece.offset as usize).saturating_add(piece.len as usize);
    let bytes = chunk.get(range).ok_or_else(|| StorageError::NotAuthentic {
        what: format!("entry of chunk {}", piece.chunk),
        reason: "its range lies outside the chunk",
    })?;
    Ok(crc64(bytes))
}

/// An ETag for content whose MD5 nobody knows and that is not read for it: the first half of the keyed hash of its manifest. The
/// same copy of the same source gives the same.
fn derived_etag(cipher: &DomainCipher, manifest: &Root) -> String {
    let name = hex::encode(cipher.node_id(&manifest.to_bytes()).0);
    name.get(..MD5_HEX).unwrap_or(&name).to_owned()
}

/// Decides a copied part.
pub fn propose_part(
    moment: &Moment<'_>,
    source: &CopySource,
    upload: &UploadRef,
    number: u16,
    copied: (Content, String),
    checksums: Vec<Checksum>,
) -> StorageResult<(PartPut, Vec<Record>)> {
    let created = multipart::find(moment.view, upload)?;
    source.check(moment, created.domain)?;
    let (content, etag) = copied;
    multipart::propose_part(moment, upload, number, content, etag, checksums)
}
