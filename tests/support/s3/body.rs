//! Bodies and the ways S3 signs them.

use std::io::{self, Write};
use std::net::TcpStream;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use crc_fast::{CrcAlgorithm, checksum};
use sha2::Digest as _;

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
    /// As [`Mode::UnsignedTrailer`], with a checksum of this kind.
    TrailerOf(Sum),
    /// As [`Mode::UnsignedTrailer`], the checksum announced and then left out: a vault must refuse it.
    MissingTrailer,
    /// As [`Mode::UnsignedTrailer`], the checksum wrong: a vault must refuse it.
    WrongTrailer,
    /// As [`Mode::SignedChunks`], the signature of the last data chunk wrong.
    WrongChunk,
    /// As [`Mode::Signed`], the hash in the header that of another body.
    WrongHash,
}

/// The checksums of S3.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sum {
    /// CRC-32 of IEEE.
    Crc32,
    /// CRC-32 of Castagnoli.
    Crc32c,
    /// CRC-64/NVME.
    Crc64Nvme,
    /// SHA-1.
    Sha1,
    /// SHA-256.
    Sha256,
}

impl Sum {
    /// All of them.
    pub const ALL: [Sum; 5] = [Sum::Crc32, Sum::Crc32c, Sum::Crc64Nvme, Sum::Sha1, Sum::Sha256];

    /// As `x-amz-checksum-algorithm` names it.
    pub fn name(self) -> &'static str {
        match self {
            Sum::Crc32 => "CRC32",
            Sum::Crc32c => "CRC32C",
            Sum::Crc64Nvme => "CRC64NVME",
            Sum::Sha1 => "SHA1",
            Sum::Sha256 => "SHA256",
        }
    }

    /// The header or trailer that carries it.
    pub fn header(self) -> String {
        format!("x-amz-checksum-{}", self.name().to_ascii_lowercase())
    }

    /// Its bytes, as S3 encodes them in base64.
    pub fn raw(self, body: &[u8]) -> Vec<u8> {
        let crc = |algorithm| checksum(algorithm, body).to_be_bytes();
        match self {
            Sum::Crc32 => crc(CrcAlgorithm::Crc32IsoHdlc)[4..].to_vec(),
            Sum::Crc32c => crc(CrcAlgorithm::Crc32Iscsi)[4..].to_vec(),
            Sum::Crc64Nvme => crc(CrcAlgorithm::Crc64Nvme).to_vec(),
            Sum::Sha1 => <sha1::Sha1 as sha1::Digest>::digest(body).to_vec(),
            Sum::Sha256 => sha2::Sha256::digest(body).to_vec(),
        }
    }

    /// As S3 writes it.
    pub fn of(self, body: &[u8]) -> String {
        STANDARD.encode(self.raw(body))
    }

    /// Characters of [`Sum::of`].
    fn text_len(self) -> usize {
        self.raw(b"").len().div_ceil(3) * 4
    }
}

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

    /// The checksum that is announced as trailer.
    fn trailer(self) -> Option<Sum> {
        match self {
            Mode::SignedChunksTrailer | Mode::UnsignedTrailer | Mode::MissingTrailer | Mode::WrongTrailer => {
                Some(Sum::Crc64Nvme)
            }
            Mode::TrailerOf(sum) => Some(sum),
            _ => None,
        }
    }

    /// The checksum that is sent as trailer.
    fn sent_trailer(self) -> Option<Sum> {
        self.trailer().filter(|_| self != Mode::MissingTrailer)
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
            Mode::UnsignedTrailer | Mode::TrailerOf(_) | Mode::MissingTrailer | Mode::WrongTrailer => {
                "STREAMING-UNSIGNED-PAYLOAD-TRAILER".to_owned()
            }
        }
    }

    /// Headers that this way of signing adds.
    pub fn extra_headers(self, body: &Body<'_>) -> Vec<(String, String)> {
        let mut headers = Vec::new();
        if self.chunked() {
            headers.push(("content-encoding".to_owned(), "aws-chunked".to_owned()));
            headers.push(("x-amz-decoded-content-length".to_owned(), body.len().to_string()));
        }
        if let Some(sum) = self.trailer() {
            headers.push(("x-amz-trailer".to_owned(), sum.header()));
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
        if let Some(sum) = self.sent_trailer() {
            total += (sum.header().len() + 1 + sum.text_len() + 2) as u64;
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
        if let Some(sum) = self.sent_trailer() {
            let mut raw = sum.raw(body);
            raw[0] ^= u8::from(self == Mode::WrongTrailer);
            let (name, value) = (sum.header(), STANDARD.encode(raw));
            out.extend_from_slice(format!("{name}:{value}\r\n").as_bytes());
            if self.signs_chunks() {
                let signature = ready.signer.trailer(&previous, &format!("{name}:{value}\n"));
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
