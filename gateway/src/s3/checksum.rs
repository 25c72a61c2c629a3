//! Content-MD5 and `x-amz-checksum-*`: computed in one pass on the engine's workers, compared before anything is committed,
//! stored with the version, and composed for multipart objects.

use std::any::Any;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use crc_fast::{CrcAlgorithm, checksum_combine};
use http::HeaderMap;
use kovcheg_format::codec::Blob;
use kovcheg_format::record::version::{Checksum, ChecksumKind};
use kovcheg_storage::object::types::BodyObserver;
use s3s::crypto::{Checksum as _, Crc32, Crc32c, Crc64Nvme, Md5, Sha1, Sha256};
use s3s::{S3Result, s3_error};

use http::StatusCode;

use crate::error::coded;

const PREFIX: &str = "x-amz-checksum-";

/// Header names of the algorithms, by kind.
const NAMES: [(&str, ChecksumKind); 5] = [
    ("crc32", ChecksumKind::Crc32),
    ("crc32c", ChecksumKind::Crc32c),
    ("crc64nvme", ChecksumKind::Crc64Nvme),
    ("sha1", ChecksumKind::Sha1),
    ("sha256", ChecksumKind::Sha256),
];

/// Headers that start like a checksum but are none.
const NOT_VALUES: [&str; 3] = ["x-amz-checksum-algorithm", "x-amz-checksum-mode", "x-amz-checksum-type"];

/// The name S3 uses in XML and in `x-amz-sdk-checksum-algorithm`.
pub(crate) fn name_of(kind: ChecksumKind) -> &'static str {
    match kind {
        ChecksumKind::Crc32 => "CRC32",
        ChecksumKind::Crc32c => "CRC32C",
        ChecksumKind::Crc64Nvme => "CRC64NVME",
        ChecksumKind::Sha1 => "SHA1",
        ChecksumKind::Sha256 => "SHA256",
    }
}

/// The reverse of [`name_of`]; other algorithms of S3 are refused by name.
pub(crate) fn parse_algorithm(name: &str) -> S3Result<ChecksumKind> {
    NAMES.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, kind)| *kind).ok_or_else(|| {
        s3_error!(
            NotImplemented,
            "The checksum algorithm {name} is not supported; use CRC32, CRC32C, CRC64NVME, SHA1 or SHA256."
        )
    })
}

/// The reverse of `ChecksumKind::code`, for records that keep 0 for "none".
pub(crate) fn kind_of_code(code: u8) -> Option<ChecksumKind> {
    ChecksumKind::ALL.iter().copied().find(|kind| kind.code() == code)
}

fn digest_len(kind: ChecksumKind) -> usize {
    match kind {
        ChecksumKind::Crc32 | ChecksumKind::Crc32c => 4,
        ChecksumKind::Crc64Nvme => 8,
        ChecksumKind::Sha1 => 20,
        ChecksumKind::Sha256 => 32,
    }
}

fn parse_value(kind: ChecksumKind, text: &str) -> S3Result<Vec<u8>> {
    STANDARD.decode(text.trim()).ok().filter(|digest| digest.len() == digest_len(kind)).ok_or_else(|| {
        s3_error!(InvalidRequest, "The value of {PREFIX}{} is not valid.", name_of(kind).to_ascii_lowercase())
    })
}

/// What the client says its body's digests are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Expected {
    /// `Content-MD5`.
    md5: Option<[u8; 16]>,
    /// `x-amz-checksum-*` header.
    header: Option<(ChecksumKind, Vec<u8>)>,
    /// `x-amz-checksum-*` announced as trailer.
    trailer: Option<ChecksumKind>,
    /// Further algorithm to compute and store: the upload's, or `x-amz-sdk-checksum-algorithm` without a value.
    wanted: Option<ChecksumKind>,
}

impl Expected {
    /// Reads the headers of a request with a body.
    ///
    /// # Errors
    /// `InvalidDigest`, `InvalidRequest` for malformed or contradicting headers, `NotImplemented` for other algorithms.
    pub(crate) fn parse(headers: &HeaderMap) -> S3Result<Self> {
        let mut expected = Self { md5: content_md5(headers)?, ..Self::default() };
        for (name, value) in headers {
            let name = name.as_str();
            let Some(algorithm) = name.strip_prefix(PREFIX) else {
                continue;
            };
            if NOT_VALUES.contains(&name) {
                continue;
            }
            let kind = parse_algorithm(algorithm)?;
            let text = value.to_str().map_err(|_| s3_error!(InvalidRequest, "The value of {name} is not valid."))?;
            if expected.header.replace((kind, parse_value(kind, text)?)).is_some() {
                return Err(s3_error!(InvalidRequest, "Expecting a single x-amz-checksum- header; several were sent."));
            }
        }
        expected.trailer = announced_trailer(headers)?;
        if expected.header.is_some() && expected.trailer.is_some() {
            return Err(s3_error!(InvalidRequest, "A checksum is sent as a header or as a trailer, not as both."));
        }
        if let Some(name) = headers.get("x-amz-sdk-checksum-algorithm") {
            let name = name.to_str().unwrap_or_default();
            expected.want(Some(parse_algorithm(name)?));
        }
        Ok(expected)
    }

    /// Reads what the headers of a request say of its XML document where `x-amz-checksum-*` means an object: Content-MD5.
    ///
    /// # Errors
    /// `InvalidDigest`; `NotImplemented` for a checksum of another algorithm, which nobody would compare.
    pub(crate) fn of_document(headers: &HeaderMap) -> S3Result<Self> {
        for name in headers.keys().map(http::HeaderName::as_str).filter(|name| !NOT_VALUES.contains(name)) {
            name.strip_prefix(PREFIX).map(parse_algorithm).transpose()?;
        }
        Ok(Self { md5: content_md5(headers)?, ..Self::default() })
    }

    /// Also compute `kind`.
    pub(crate) fn want(&mut self, kind: Option<ChecksumKind>) {
        if kind.is_some() {
            self.wanted = kind;
        }
    }

    /// Whether the client gave anything to compare with.
    pub(crate) fn is_empty(&self) -> bool {
        self.md5.is_none() && self.header.is_none() && self.trailer.is_none()
    }

    fn kinds(&self) -> Vec<ChecksumKind> {
        let mut kinds: Vec<ChecksumKind> =
            [self.header.as_ref().map(|(kind, _)| *kind), self.trailer, self.wanted].into_iter().flatten().collect();
        kinds.sort_unstable();
        kinds.dedup();
        kinds
    }

    /// The observer that computes what must be compared or stored, but MD5, and CRC64-NVME, which is the engine's.
    pub(crate) fn digests(&self) -> Digests {
        Digests::new(&self.kinds())
    }

    /// Compares what came with what was announced, and gives the checksums to store.
    ///
    /// # Errors
    /// `BadDigest` for a difference, `MalformedTrailerError` for an announced trailer that is not there.
    pub(crate) fn compare(&self, taken: &Taken, trailers: Option<&HeaderMap>) -> S3Result<Vec<Checksum>> {
        if let Some(md5) = self.md5
            && md5 != taken.md5
        {
            return Err(s3_error!(BadDigest, "The Content-MD5 you specified did not match what we received."));
        }
        if let Some((kind, value)) = &self.header {
            same(*kind, value, taken)?;
        }
        if let Some(kind) = self.trailer {
            let name = format!("{PREFIX}{}", name_of(kind).to_ascii_lowercase());
            let Some(value) = trailers.and_then(|trailers| trailers.get(&name)) else {
                return Err(coded(
                    "MalformedTrailerError",
                    StatusCode::BAD_REQUEST,
                    format!("The trailer {name} was announced and did not come."),
                ));
            };
            let text = value.to_str().map_err(|_| s3_error!(InvalidRequest, "The value of {name} is not valid."))?;
            same(kind, &parse_value(kind, text)?, taken)?;
        }
        let stored = self.kinds().into_iter().filter_map(|kind| {
            let value = taken.value(kind)?;
            Some(Checksum { kind, full_object: true, value: Blob(value.to_vec()) })
        });
        Ok(stored.collect())
    }
}

fn same(kind: ChecksumKind, given: &[u8], taken: &Taken) -> S3Result<()> {
    if taken.value(kind).is_some_and(|computed| computed == given) {
        return Ok(());
    }
    Err(s3_error!(BadDigest, "The {} you specified did not match the calculated checksum.", name_of(kind)))
}

fn content_md5(headers: &HeaderMap) -> S3Result<Option<[u8; 16]>> {
    let Some(value) = headers.get("content-md5") else {
        return Ok(None);
    };
    let digest = value.to_str().ok().and_then(|text| STANDARD.decode(text.trim()).ok());
    digest
        .and_then(|bytes| <[u8; 16]>::try_from(bytes).ok())
        .map(Some)
        .ok_or_else(|| s3_error!(InvalidDigest, "The Content-MD5 you specified is not valid."))
}

fn announced_trailer(headers: &HeaderMap) -> S3Result<Option<ChecksumKind>> {
    let mut found = None;
    for value in headers.get_all("x-amz-trailer") {
        let text = value.to_str().map_err(|_| s3_error!(InvalidRequest, "The value of x-amz-trailer is not valid."))?;
        for name in text.split(',').map(str::trim).filter(|name| !name.is_empty()) {
            let lower = name.to_ascii_lowercase();
            let Some(algorithm) = lower.strip_prefix(PREFIX) else {
                return Err(s3_error!(InvalidRequest, "The value of x-amz-trailer is not valid: {name}."));
            };
            if found.replace(parse_algorithm(algorithm)?).is_some() {
                return Err(s3_error!(InvalidRequest, "Only one checksum trailer may be announced."));
            }
        }
    }
    Ok(found)
}

/// Digests being computed over a body, in order; MD5 is that of [`Md5Pool`](crate::s3::md5::Md5Pool).
pub(crate) struct Digests {
    crc32: Option<Crc32>,
    crc32c: Option<Crc32c>,
    sha1: Option<Sha1>,
    sha256: Option<Sha256>,
    announced: Option<u64>,
}

impl Digests {
    fn new(kinds: &[ChecksumKind]) -> Self {
        Self {
            crc32: kinds.contains(&ChecksumKind::Crc32).then(Crc32::new),
            crc32c: kinds.contains(&ChecksumKind::Crc32c).then(Crc32c::new),
            sha1: kinds.contains(&ChecksumKind::Sha1).then(Sha1::new),
            sha256: kinds.contains(&ChecksumKind::Sha256).then(Sha256::new),
            announced: None,
        }
    }

    /// Ends the pass; `crc64_nvme` and `md5` are those of the same bytes.
    pub(crate) fn finish(self, crc64_nvme: u64, md5: [u8; 16]) -> Taken {
        let mut values = vec![(ChecksumKind::Crc64Nvme, crc64_nvme.to_be_bytes().to_vec())];
        values.extend(self.crc32.map(|digest| (ChecksumKind::Crc32, digest.finalize().to_vec())));
        values.extend(self.crc32c.map(|digest| (ChecksumKind::Crc32c, digest.finalize().to_vec())));
        values.extend(self.sha1.map(|digest| (ChecksumKind::Sha1, digest.finalize().to_vec())));
        values.extend(self.sha256.map(|digest| (ChecksumKind::Sha256, digest.finalize().to_vec())));
        Taken { md5, values }
    }
}

impl Digests {
    /// Those of a body of this length, as the request has it.
    pub(crate) fn of_length(mut self, announced: Option<i64>) -> Self {
        self.announced = announced.and_then(|bytes| u64::try_from(bytes).ok());
        self
    }

    /// Takes the next bytes; for passes outside a body.
    pub(crate) fn with(mut self, bytes: &[u8]) -> Self {
        self.update(bytes);
        self
    }

    /// One digest of such a pass, if it was asked for.
    pub(crate) fn value(self, kind: ChecksumKind) -> Option<Vec<u8>> {
        let taken = self.finish(0, [0; 16]);
        taken.value(kind).map(<[u8]>::to_vec)
    }
}

impl BodyObserver for Digests {
    fn announced(&self) -> Option<u64> {
        self.announced
    }

    fn update(&mut self, bytes: &[u8]) {
        if let Some(digest) = &mut self.crc32 {
            digest.update(bytes);
        }
        if let Some(digest) = &mut self.crc32c {
            digest.update(bytes);
        }
        if let Some(digest) = &mut self.sha1 {
            digest.update(bytes);
        }
        if let Some(digest) = &mut self.sha256 {
            digest.update(bytes);
        }
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any + Send> {
        self
    }
}

/// Digests of a whole body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Taken {
    /// MD5, which is the ETag.
    pub(crate) md5: [u8; 16],
    values: Vec<(ChecksumKind, Vec<u8>)>,
}

impl Taken {
    fn value(&self, kind: ChecksumKind) -> Option<&[u8]> {
        self.values.iter().find(|(known, _)| *known == kind).map(|(_, value)| value.as_slice())
    }

    /// Digests of a body held in memory.
    pub(crate) fn of(expected: &Expected, body: &[u8]) -> Self {
        let mut digests = expected.digests();
        digests.update(body);
        digests.finish(u64::from_be_bytes(Crc64Nvme::checksum(body)), Md5::checksum(body))
    }
}

/// ETag of an object or part that came in one request: MD5 in lower-case hex.
pub(crate) fn etag(md5: [u8; 16]) -> String {
    hex::encode(md5)
}

/// ETag of a multipart object: MD5 of the parts' MD5s, and their number. `None` if an ETag is not an MD5 in hex.
pub(crate) fn multipart_etag<'a>(parts: impl ExactSizeIterator<Item = &'a str>) -> Option<String> {
    let count = parts.len();
    let mut whole = Md5::new();
    for part in parts {
        let mut md5 = [0_u8; 16];
        hex::decode_to_slice(part, &mut md5).ok()?;
        whole.update(&md5);
    }
    Some(format!("{}-{count}", hex::encode(whole.finalize())))
}

/// One part's checksum of the algorithm asked for, with its length.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PartSum {
    /// Digest.
    pub(crate) value: Vec<u8>,
    /// Bytes of the part.
    pub(crate) len: u64,
}

/// Checksum of the parts' checksums (`COMPOSITE`).
pub(crate) fn compose(kind: ChecksumKind, parts: &[PartSum]) -> Vec<u8> {
    let mut all = Vec::with_capacity(parts.len() * digest_len(kind));
    for part in parts {
        all.extend_from_slice(&part.value);
    }
    match kind {
        ChecksumKind::Crc32 => Crc32::checksum(&all).to_vec(),
        ChecksumKind::Crc32c => Crc32c::checksum(&all).to_vec(),
        ChecksumKind::Crc64Nvme => Crc64Nvme::checksum(&all).to_vec(),
        ChecksumKind::Sha1 => Sha1::checksum(&all).to_vec(),
        ChecksumKind::Sha256 => Sha256::checksum(&all).to_vec(),
    }
}

/// Checksum of the whole object from those of its parts (`FULL_OBJECT`); `None` for hashes, which cannot be joined.
pub(crate) fn join(kind: ChecksumKind, parts: &[PartSum]) -> Option<Vec<u8>> {
    let algorithm = match kind {
        ChecksumKind::Crc32 => CrcAlgorithm::Crc32IsoHdlc,
        ChecksumKind::Crc32c => CrcAlgorithm::Crc32Iscsi,
        ChecksumKind::Crc64Nvme => CrcAlgorithm::Crc64Nvme,
        ChecksumKind::Sha1 | ChecksumKind::Sha256 => return None,
    };
    let number = |value: &[u8]| value.iter().fold(0_u64, |number, byte| (number << 8) | u64::from(*byte));
    let (first, rest) = parts.split_first()?;
    let mut whole = number(&first.value);
    for part in rest {
        if part.len > 0 {
            whole = checksum_combine(algorithm, whole, number(&part.value), part.len);
        }
    }
    let bytes = whole.to_be_bytes();
    bytes.get(bytes.len() - digest_len(kind)..).map(<[u8]>::to_vec)
}

/// Checksums as responses carry them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Shown {
    pub(crate) crc32: Option<String>,
    pub(crate) crc32c: Option<String>,
    pub(crate) crc64nvme: Option<String>,
    pub(crate) sha1: Option<String>,
    pub(crate) sha256: Option<String>,
    /// `FULL_OBJECT` or `COMPOSITE`.
    pub(crate) kind: Option<&'static str>,
}

impl Shown {
    /// The stored checksums of a version or part; without any, the CRC64-NVME that the engine keeps of all content.
    /// `parts` is the number of parts of a multipart object, for the suffix of composed checksums.
    pub(crate) fn of(stored: &[Checksum], crc64_nvme: u64, parts: usize) -> Self {
        let mut shown = Self::default();
        for checksum in stored {
            let text = text_of(&checksum.value.0, (!checksum.full_object).then_some(parts));
            match checksum.kind {
                ChecksumKind::Crc32 => shown.crc32 = Some(text),
                ChecksumKind::Crc32c => shown.crc32c = Some(text),
                ChecksumKind::Crc64Nvme => shown.crc64nvme = Some(text),
                ChecksumKind::Sha1 => shown.sha1 = Some(text),
                ChecksumKind::Sha256 => shown.sha256 = Some(text),
            }
            shown.kind = Some(if checksum.full_object { "FULL_OBJECT" } else { "COMPOSITE" });
        }
        if stored.is_empty() {
            shown.crc64nvme = Some(STANDARD.encode(crc64_nvme.to_be_bytes()));
            shown.kind = Some("FULL_OBJECT");
        }
        shown
    }
}

/// Base64 of a digest, with the number of parts behind a dash if it is composed.
pub(crate) fn text_of(digest: &[u8], composed_of: Option<usize>) -> String {
    match composed_of {
        Some(parts) => format!("{}-{parts}", STANDARD.encode(digest)),
        None => STANDARD.encode(digest),
    }
}

/// Sets the checksum fields that outputs of `s3s` have in common.
macro_rules! show_checksums {
    ($output:expr, $shown:expr) => {{
        let shown: $crate::s3::checksum::Shown = $shown;
        $output.checksum_crc32 = shown.crc32;
        $output.checksum_crc32c = shown.crc32c;
        $output.checksum_crc64nvme = shown.crc64nvme;
        $output.checksum_sha1 = shown.sha1;
        $output.checksum_sha256 = shown.sha256;
        shown.kind
    }};
}
pub(crate) use show_checksums;

#[cfg(test)]
mod tests;
