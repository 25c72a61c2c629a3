//! Inspectors of request bodies: the framing of `aws-chunked`, and XML documents whose digests the client sent along.
//!
//! `s3s` decodes `aws-chunked`, with three gaps that are closed here, on the wire side of it:
//! - it reads only eight hex digits of a chunk's size, so that one chunk of 4 GiB or more (a client may send a whole object as
//!   one unsigned chunk) is cut wrongly: sizes are written anew, and long unsigned chunks are split;
//! - it holds a signed chunk in memory until the signature was checked: large ones wait here for their share of a budget;
//! - it takes a body that ends before its last chunk, of no bytes, for a whole one once the declared length has come: the
//!   signature of that chunk, which proves the end, would be checked by nobody.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, Bytes};
use s3s::crypto::{Checksum as _, Sha256};
use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore};

use crate::s3::checksum::{Expected, Taken};
use crate::stream::{BodyError, Inspector};

/// Unsigned chunks are split into pieces of at most this many bytes: eight hex digits hold it.
const PIECE_BYTES: u64 = 1 << 30;
/// Signed chunks up to this many bytes take no share of the budget: the limit on requests bounds them.
const SMALL_CHUNK_BYTES: u64 = 1 << 20;
/// Longest line before a chunk (as in `s3s`).
const LINE_BYTES_MAX: usize = 1024;
/// The budget is counted in units of this many bytes.
const UNIT_BYTES: u64 = 1024;

type Acquiring = Pin<Box<dyn Future<Output = Result<OwnedSemaphorePermit, AcquireError>> + Send>>;

/// Memory for large signed chunks, shared by all requests.
#[derive(Debug, Clone)]
pub(crate) struct ChunkBudget {
    units: Arc<Semaphore>,
    chunk_bytes_max: u64,
}

impl ChunkBudget {
    /// `bytes` for all requests, chunks of at most `chunk_bytes_max`; the budget holds at least one such chunk.
    pub(crate) fn new(bytes: usize, chunk_bytes_max: usize) -> Self {
        let per_unit = usize::try_from(UNIT_BYTES).unwrap_or(usize::MAX);
        let units = (bytes.max(chunk_bytes_max) / per_unit).clamp(1, Semaphore::MAX_PERMITS);
        Self {
            units: Arc::new(Semaphore::new(units)),
            chunk_bytes_max: u64::try_from(chunk_bytes_max).unwrap_or(u64::MAX),
        }
    }
}

/// Where in the framing the next byte lies.
#[derive(Debug)]
enum Place {
    /// In the line before a chunk.
    Line(Vec<u8>),
    /// In a chunk: `left` bytes of this piece, `more` bytes of the chunk after it.
    Data { left: u64, more: u64 },
    /// In the line end after a chunk; so many bytes of it are still to come.
    End(u8),
    /// Behind the last chunk, or after something that is no framing: passed on for `s3s` to judge.
    Rest,
}

/// Passes `aws-chunked` framing on in a form that `s3s` reads right, and holds large signed chunks back.
pub(crate) struct ChunkGate {
    budget: ChunkBudget,
    place: Place,
    wire: VecDeque<Bytes>,
    out: VecDeque<Bytes>,
    acquiring: Option<Acquiring>,
    held: Option<OwnedSemaphorePermit>,
    begun: bool,
}

impl ChunkGate {
    pub(crate) fn new(budget: ChunkBudget) -> Self {
        Self {
            budget,
            place: Place::Line(Vec::new()),
            wire: VecDeque::new(),
            out: VecDeque::new(),
            acquiring: None,
            held: None,
            begun: false,
        }
    }

    /// Handles wire bytes until there is output, or a share must be waited for.
    fn advance(&mut self) {
        while self.out.is_empty() && self.acquiring.is_none() {
            let Some(mut bytes) = self.wire.pop_front() else { return };
            self.step(&mut bytes);
            if !bytes.is_empty() {
                self.wire.push_front(bytes);
            }
        }
    }

    fn step(&mut self, bytes: &mut Bytes) {
        match &mut self.place {
            Place::Rest => self.out.push_back(std::mem::take(bytes)),
            Place::End(left) => {
                let take = bytes.len().min(usize::from(*left));
                *left = left.saturating_sub(u8::try_from(take).unwrap_or(*left));
                let done = *left == 0;
                self.out.push_back(bytes.split_to(take));
                if done {
                    self.place = Place::Line(Vec::new());
                }
            }
            Place::Data { left, more } => {
                let take = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len());
                *left = left.saturating_sub(u64::try_from(take).unwrap_or(u64::MAX));
                let (left, more) = (*left, *more);
                self.out.push_back(bytes.split_to(take));
                if left == 0 {
                    self.end_piece(more);
                }
            }
            Place::Line(line) => {
                let end = bytes.iter().position(|byte| *byte == b'\n').map_or(bytes.len(), |at| at + 1);
                line.extend_from_slice(&bytes.split_to(end));
                if line.last() == Some(&b'\n') || line.len() > LINE_BYTES_MAX {
                    let line = std::mem::take(line);
                    self.begin_chunk(line);
                }
            }
        }
    }

    fn end_piece(&mut self, more: u64) {
        if more == 0 {
            self.place = Place::End(2);
            return;
        }
        self.out.push_back(Bytes::from_static(b"\r\n"));
        self.begin_piece(more);
    }

    fn begin_piece(&mut self, size: u64) {
        let piece = size.min(PIECE_BYTES);
        self.out.push_back(Bytes::from(format!("{piece:x}\r\n")));
        self.place = Place::Data { left: piece, more: size - piece };
    }

    fn begin_chunk(&mut self, line: Vec<u8>) {
        // The chunk before was taken over by the handler, or this line would not have been asked for.
        self.held = None;
        let Some((size, extension)) = parse_line(&line) else {
            self.out.push_back(line.into());
            self.place = Place::Rest;
            return;
        };
        if size > 0 && extension.is_empty() {
            self.begin_piece(size);
            return;
        }
        self.out.push_back(Bytes::from(format!("{size:x}{extension}\r\n")));
        if size == 0 {
            self.place = Place::Rest;
            return;
        }
        self.place = Place::Data { left: size, more: 0 };
        if size > SMALL_CHUNK_BYTES && size <= self.budget.chunk_bytes_max {
            let units = u32::try_from(size.div_ceil(UNIT_BYTES)).unwrap_or(u32::MAX);
            self.acquiring = Some(Box::pin(Arc::clone(&self.budget.units).acquire_many_owned(units)));
        }
    }
}

/// Size and extension (`;chunk-signature=…`) of the line before a chunk; `None` if it is none.
fn parse_line(line: &[u8]) -> Option<(u64, &str)> {
    let text = std::str::from_utf8(line.strip_suffix(b"\r\n")?).ok()?;
    let at = text.find(';').unwrap_or(text.len());
    let (size, extension) = text.split_at_checked(at)?;
    if size.is_empty() || !size.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    let digits = size.trim_start_matches('0');
    let size = if digits.is_empty() { 0 } else { u64::from_str_radix(digits, 16).ok()? };
    Some((size, extension))
}

impl Inspector for ChunkGate {
    fn push(&mut self, bytes: Bytes) -> Result<(), BodyError> {
        if !bytes.is_empty() {
            self.begun = true;
            self.wire.push_back(bytes);
        }
        Ok(())
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        loop {
            if let Some(bytes) = self.out.pop_front() {
                return Poll::Ready(Some(bytes));
            }
            if let Some(acquiring) = self.acquiring.as_mut() {
                // The semaphore is never closed; without a share the chunk would still be bounded by `s3s`.
                self.held = ready!(acquiring.as_mut().poll(cx)).ok();
                self.acquiring = None;
            }
            self.advance();
            if self.out.is_empty() && self.acquiring.is_none() {
                return Poll::Ready(None);
            }
        }
    }

    fn finish(&mut self) -> Result<(), BodyError> {
        // Called again when all of this has been handed on.
        let waiting = !(self.wire.is_empty() && self.out.is_empty()) || self.acquiring.is_some();
        if waiting || !self.begun || matches!(self.place, Place::Rest) {
            return Ok(());
        }
        Err(BodyError::Mismatch {
            code: "IncompleteBody",
            message: "The body ends before its last chunk, the one of no bytes.".to_owned(),
        })
    }
}

/// Holds an XML document until all of it came, and compares it with the digests in the request's headers: `s3s` gives
/// handlers the parsed document only.
pub(crate) struct DocumentCheck {
    expected: Expected,
    sha256: Option<[u8; 32]>,
    bytes_max: usize,
    document: Vec<u8>,
    checked: Option<Bytes>,
    done: bool,
}

impl DocumentCheck {
    /// `sha256` is that of `x-amz-content-sha256`, if it is one.
    pub(crate) fn new(expected: Expected, sha256: Option<[u8; 32]>, bytes_max: usize) -> Self {
        Self { expected, sha256, bytes_max, document: Vec::new(), checked: None, done: false }
    }
}

impl Inspector for DocumentCheck {
    fn push(&mut self, bytes: Bytes) -> Result<(), BodyError> {
        if self.document.len().saturating_add(bytes.remaining()) > self.bytes_max {
            return Err(BodyError::Mismatch {
                code: "MaxMessageLengthExceeded",
                message: format!("The document is longer than {} bytes.", self.bytes_max),
            });
        }
        self.document.extend_from_slice(&bytes);
        Ok(())
    }

    fn poll_next(&mut self, _cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        Poll::Ready(self.checked.take())
    }

    fn finish(&mut self) -> Result<(), BodyError> {
        if self.done {
            return Ok(());
        }
        self.done = true;
        if self.sha256.is_some_and(|given| given != Sha256::checksum(&self.document)) {
            return Err(BodyError::Mismatch {
                code: "XAmzContentSHA256Mismatch",
                message: "The provided x-amz-content-sha256 header does not match what was computed.".to_owned(),
            });
        }
        let taken = Taken::of(&self.expected, &self.document);
        self.expected.compare(&taken, None).map_err(|error| BodyError::Mismatch {
            code: "BadDigest",
            message: error.message().unwrap_or("A checksum did not match.").to_owned(),
        })?;
        let document = std::mem::take(&mut self.document);
        self.checked = (!document.is_empty()).then(|| document.into());
        Ok(())
    }
}

#[cfg(test)]
mod tests;
