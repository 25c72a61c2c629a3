//! Bodies and the ways S3 signs them.

use std::io::{self, Write};
use std::net::TcpStream;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use crc_fast::{CrcAlgorithm, checksum};

use super::Ready;
use super::sign::{EMPTY_SHA256, sha256_hex};
use crate::support::data;

/// Bytes of one `aws-chunked` chunk. Odd, so that chunks never fall on boundaries of anything in the vault.
const CHUNK: usize = 70_001;
/// Bytes of generated bodies that are made at a time.
const PIECE: usize = 1 << 20;

/// A request's body.
#[derive(Debug, Clone, Copy)]
pub enum Body<'a> {
    /// None.
    Empty,
    /// These bytes.
    Bytes(&'a [u8]),
    /// The first `len` bytes of the stream of `seed` (`data::fill`).
    Stream {
        /// Seed.
        seed: u64,
        /// Length.
        len: u64,
    },
}

impl Body<'_> {
    fn len(&self) -> u64 {
        match self {
            Body::Empty => 0,
            Body::Bytes(bytes) => bytes.len() as u64,
            Body::Stream { len, .. } => *len,
        }
    }

    fn bytes(&self) -> Vec<u8> {
        match self {
            Body::Empty => Vec::new(),
            Body::Bytes(bytes) => bytes.to_vec(),
            Body::Stream { seed, len } => data::random(*seed, *len as usize),
        }
    }
}

/// How a body is signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// SHA-256 of the whole body in the header.
    Signed,
    /// `UNSIGNED-PAYLOAD`.
    Unsigned,
    /// `aws-chunked`, each chunk signed.
    SignedChunks,
    /// `aws-chunked`, each chunk and a trailing CRC64-NVME signed.
    SignedChunksTrailer,
    /// `aws-chunked`, nothing signed, a trailing CRC64-NVME.
    UnsignedTrailer,
    /// As [`Mode::UnsignedTrailer`], the checksum wrong: a vault must refuse it.
    WrongTrailer,
    /// As [`Mode::SignedChunks`], the signature of the last data chunk wrong.
    WrongChunk,
    /// As [`Mode::Signed`], the hash in the header that of another body.
    WrongHash,
}

const TRAILER: &str = "x-amz-checksum-crc64nvme";

impl Mode {
    /// The five ways in which good clients sign.
    pub const GOOD: [Mode; 5] =
        [Mode::Signed, Mode::Unsigned, Mode::SignedChunks, Mode::SignedChunksTrailer, Mode::UnsignedTrailer];

    fn chunked(self) -> bool {
        !matches!(self, Mode::Signed | Mode::Unsigned | Mode::WrongHash)
    }

    fn signs_chunks(self) -> bool {
        matches!(self, Mode::SignedChunks | Mode::SignedChunksTrailer | Mode::WrongChunk)
    }

    fn has_trailer(self) -> bool {
        matches!(self, Mode::SignedChunksTrailer | Mode::UnsignedTrailer | Mode::WrongTrailer)
    }

    /// Value of `x-amz-content-sha256`.
    pub fn payload_header(self, body: &Body<'_>) -> String {
        match self {
            Mode::Signed if body.len() == 0 => EMPTY_SHA256.to_owned(),
            Mode::Signed => sha256_hex(&body.bytes()),
            Mode::WrongHash => sha256_hex(b"another body"),
            Mode::Unsigned => "UNSIGNED-PAYLOAD".to_owned(),
            Mode::SignedChunks | Mode::WrongChunk => "STREAMING-AWS4-HMAC-SHA256-PAYLOAD".to_owned(),
            Mode::SignedChunksTrailer => "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER".to_owned(),
            Mode::UnsignedTrailer | Mode::WrongTrailer => "STREAMING-UNSIGNED-PAYLOAD-TRAILER".to_owned(),
        }
    }

    /// Headers that this way of signing adds.
    pub fn extra_headers(self, body: &Body<'_>) -> Vec<(String, String)> {
        let mut headers = Vec::new();
        if self.chunked() {
            headers.push(("content-encoding".to_owned(), "aws-chunked".to_owned()));
            headers.push(("x-amz-decoded-content-length".to_owned(), body.len().to_string()));
        }
        if self.has_trailer() {
            headers.push(("x-amz-trailer".to_owned(), TRAILER.to_owned()));
        }
        headers
    }

    /// Bytes on the wire.
    pub fn wire_len(self, body: &Body<'_>) -> u64 {
        if !self.chunked() {
            return body.len();
        }
        let signature = if self.signs_chunks() { ";chunk-signature=".len() + 64 } else { 0 };
        let mut left = body.len();
        let mut total = 0;
        while left > 0 {
            let chunk = left.min(CHUNK as u64);
            total += (format!("{chunk:x}").len() + signature + 4) as u64 + chunk;
            left -= chunk;
        }
        total += (1 + signature + 2) as u64;
        if self.has_trailer() {
            total += (TRAILER.len() + 1 + 12 + 2) as u64;
            if self.signs_chunks() {
                total += ("x-amz-trailer-signature:".len() + 64 + 2) as u64;
            }
        }
        total + 2
    }

    /// Writes the body.
    pub fn write(self, body: &Body<'_>, ready: &Ready, to: &mut TcpStream) -> io::Result<()> {
        match (self.chunked(), body) {
            (false, Body::Empty) => Ok(()),
            (false, Body::Bytes(bytes)) => to.write_all(bytes),
            (false, Body::Stream { seed, len }) => write_stream(*seed, *len, to),
            (true, body) => {
                let wire = self.chunk(&body.bytes(), ready);
                assert_eq!(wire.len() as u64, self.wire_len(body), "the length announced must be the length sent");
                to.write_all(&wire)
            }
        }
    }

    /// The body as it goes over the wire, whole.
    pub fn wire(self, body: &Body<'_>, ready: &Ready) -> Vec<u8> {
        if self.chunked() { self.chunk(&body.bytes(), ready) } else { body.bytes() }
    }

    fn chunk(self, body: &[u8], ready: &Ready) -> Vec<u8> {
        let mut out = Vec::with_capacity(body.len() + body.len() / CHUNK * 128 + 512);
        let mut previous = ready.seed_signature.clone();
        let last = body.len().div_ceil(CHUNK).saturating_sub(1);
        let mut put = |bytes: &[u8], wrong: bool| {
            out.extend_from_slice(format!("{:x}", bytes.len()).as_bytes());
            if self.signs_chunks() {
                previous = ready.signer.chunk(&previous, bytes);
                let shown = if wrong { "0".repeat(64) } else { previous.clone() };
                out.extend_from_slice(format!(";chunk-signature={shown}").as_bytes());
            }
            out.extend_from_slice(b"\r\n");
            out.extend_from_slice(bytes);
            if !bytes.is_empty() {
                out.extend_from_slice(b"\r\n");
            }
        };
        for (number, bytes) in body.chunks(CHUNK).enumerate() {
            put(bytes, self == Mode::WrongChunk && number == last);
        }
        put(&[], false);
        if self.has_trailer() {
            let crc = checksum(CrcAlgorithm::Crc64Nvme, body) ^ u64::from(self == Mode::WrongTrailer);
            let value = STANDARD.encode(crc.to_be_bytes());
            out.extend_from_slice(format!("{TRAILER}:{value}\r\n").as_bytes());
            if self.signs_chunks() {
                let signature = ready.signer.trailer(&previous, &format!("{TRAILER}:{value}\n"));
                out.extend_from_slice(format!("x-amz-trailer-signature:{signature}\r\n").as_bytes());
            }
        }
        out.extend_from_slice(b"\r\n");
        out
    }
}

fn write_stream(seed: u64, len: u64, to: &mut TcpStream) -> io::Result<()> {
    let mut piece = vec![0; PIECE];
    let mut at = 0;
    while at < len {
        let take = usize::try_from((len - at).min(PIECE as u64)).unwrap_or(PIECE);
        data::fill(seed, at, &mut piece[..take]);
        to.write_all(&piece[..take])?;
        at += take as u64;
    }
    Ok(())
}
