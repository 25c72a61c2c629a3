//! Request headers: what is kept with an object, and what is refused because honouring it is not built yet. Nothing that
//! changes what a request means is silently ignored.

use http::HeaderMap;
use kovcheg_format::record::version::Pair;
use kovcheg_storage::object::types::{TAG_NAME_MAX, TAG_VALUE_MAX};
use s3s::dto::Metadata;
use s3s::{S3Result, s3_error};

use crate::config::METADATA_BYTES_MAX;
use crate::s3::names::url_decode;

/// Content headers kept with an object, in the case they are stored and sent back in.
const KEPT: [&str; 6] =
    ["cache-control", "content-disposition", "content-encoding", "content-language", "content-type", "expires"];

/// Content type of objects stored without one (S3).
pub(crate) const DEFAULT_CONTENT_TYPE: &str = "binary/octet-stream";

/// Most tags of an object (S3).
const TAGS_MAX: usize = 10;

/// Headers that ask for something this release does not do, with the reason. A prefix ends in `*`.
const REFUSED: [(&str, &str); 11] = [
    ("x-amz-grant-*", "ACLs are not supported; every object belongs to its bucket's owner alone."),
    ("x-amz-server-side-encryption-customer-*", "Encryption with keys of the client (SSE-C) is not supported."),
    (
        "x-amz-copy-source-server-side-encryption-customer-*",
        "Encryption with keys of the client (SSE-C) is not supported.",
    ),
    ("x-amz-server-side-encryption-aws-kms-key-id", "Encryption with keys of a KMS is not supported."),
    ("x-amz-server-side-encryption-context", "Encryption with keys of a KMS is not supported."),
    ("x-amz-server-side-encryption-bucket-key-enabled", "Encryption with keys of a KMS is not supported."),
    ("x-amz-website-redirect-location", "Websites are not supported."),
    ("x-amz-write-offset-bytes", "Appending to objects is not supported."),
    ("x-amz-rename-source*", "Renaming objects is not supported."),
    ("x-amz-mfa", "MFA delete is not supported."),
    ("x-amz-if-match-*", "This precondition is not supported."),
];

/// Canned ACLs that say what holds anyway: one owner, nobody else.
const PRIVATE_ACLS: [&str; 2] = ["private", "bucket-owner-full-control"];

fn matches(name: &str, pattern: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(prefix) => name.starts_with(prefix),
        None => name == pattern,
    }
}

/// Refuses requests whose headers ask for what is not done here.
///
/// # Errors
/// `NotImplemented` with the reason, `InvalidStorageClass`, `InvalidToken`.
pub(crate) fn refuse_unsupported(headers: &HeaderMap) -> S3Result<()> {
    for name in headers.keys().map(http::HeaderName::as_str).filter(|name| name.starts_with("x-amz-")) {
        if let Some((_, reason)) = REFUSED.iter().find(|(pattern, _)| matches(name, pattern)) {
            return Err(s3_error!(NotImplemented, "{name}: {reason}"));
        }
    }
    let text = |name: &str| headers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
    if let Some(acl) = text("x-amz-acl")
        && !PRIVATE_ACLS.contains(&acl.as_str())
    {
        return Err(s3_error!(
            NotImplemented,
            "x-amz-acl: {acl}: objects and buckets are private; ACLs are not supported."
        ));
    }
    if let Some(sse) = text("x-amz-server-side-encryption")
        && sse != "AES256"
    {
        return Err(s3_error!(
            NotImplemented,
            "x-amz-server-side-encryption: {sse}: keys of a KMS are not supported; all data is sealed with the vault's own \
             keys, which AES256 asks for."
        ));
    }
    if let Some(class) = text("x-amz-storage-class")
        && class != "STANDARD"
    {
        return Err(s3_error!(InvalidStorageClass, "The storage class {class} is not valid here; only STANDARD is."));
    }
    if let Some(ownership) = text("x-amz-object-ownership")
        && ownership != "BucketOwnerEnforced"
    {
        return Err(s3_error!(
            NotImplemented,
            "x-amz-object-ownership: {ownership}: every object belongs to its bucket's owner (BucketOwnerEnforced)."
        ));
    }
    if headers.contains_key("x-amz-security-token") {
        return Err(s3_error!(InvalidToken, "Session tokens are not issued here; sign without x-amz-security-token."));
    }
    Ok(())
}

/// Refuses headers of a copy on what is none, and a range on the copy of a whole object.
///
/// # Errors
/// `InvalidRequest`.
pub(crate) fn refuse_stray_copy(operation: &str, headers: &HeaderMap) -> S3Result<()> {
    let allowed = |name: &str| match operation {
        "UploadPartCopy" => true,
        "CopyObject" => name != "x-amz-copy-source-range",
        _ => false,
    };
    let mut names = headers.keys().map(http::HeaderName::as_str).filter(|name| name.starts_with("x-amz-copy-source"));
    match names.find(|name| !allowed(name)) {
        Some(name) => Err(s3_error!(InvalidRequest, "{name} has no meaning for {operation}.")),
        None => Ok(()),
    }
}

/// Refuses `aws-chunked` framing on anything but the content of an object, as S3 does: `s3s` would take a broken framing for a fault of
/// its own, and answer 500.
///
/// # Errors
/// `InvalidRequest`.
pub(crate) fn refuse_framed_document(operation: &str, headers: &HeaderMap) -> S3Result<()> {
    let framed = headers.get("x-amz-content-sha256").is_some_and(|value| value.as_bytes().starts_with(b"STREAMING-"));
    if !framed || matches!(operation, "PutObject" | "UploadPart") {
        return Ok(());
    }
    Err(s3_error!(
        InvalidRequest,
        "The framing aws-chunked is for the content of objects. Send the document of {operation} as it is, its SHA-256 or \
         UNSIGNED-PAYLOAD in x-amz-content-sha256."
    ))
}

/// What is kept of a request beside its body.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Kept {
    pub(crate) headers: Vec<Pair>,
    pub(crate) metadata: Vec<Pair>,
    pub(crate) tags: Vec<Pair>,
}

impl Kept {
    /// Collects content headers, user metadata (as `s3s` decoded it) and tags.
    ///
    /// # Errors
    /// `InvalidArgument` for text that is not UTF-8, `MetadataTooLarge`, `InvalidTag`.
    pub(crate) fn collect(headers: &HeaderMap, metadata: Option<Metadata>) -> S3Result<Self> {
        let mut kept = Self::default();
        for name in KEPT {
            let Some(value) = headers.get(name) else { continue };
            let text = std::str::from_utf8(value.as_bytes())
                .map_err(|_| s3_error!(InvalidArgument, "The header {name} is not valid UTF-8."))?;
            let text = if name == "content-encoding" { without_aws_chunked(text) } else { text.to_owned() };
            if !text.is_empty() {
                kept.headers.push(Pair { name: name.to_owned(), value: text });
            }
        }
        for (name, value) in metadata.unwrap_or_default() {
            kept.metadata.push(Pair { name, value });
        }
        kept.metadata.sort_by(|left, right| left.name.cmp(&right.name));
        let size: usize = kept.metadata.iter().map(|pair| pair.name.len() + pair.value.len()).sum();
        if size > METADATA_BYTES_MAX {
            return Err(s3_error!(
                MetadataTooLarge,
                "Your metadata headers have {size} bytes; the limit is {METADATA_BYTES_MAX}."
            ));
        }
        if let Some(value) = headers.get("x-amz-tagging") {
            kept.tags = parse_tags(value.to_str().unwrap_or("%"))?;
        }
        Ok(kept)
    }
}

/// Removes `aws-chunked`, which describes the request and not the object.
fn without_aws_chunked(encoding: &str) -> String {
    let codings = encoding.split(',').map(str::trim);
    codings
        .filter(|coding| !coding.is_empty() && !coding.eq_ignore_ascii_case("aws-chunked"))
        .collect::<Vec<_>>()
        .join(",")
}

/// Parses `x-amz-tagging`: a URL-encoded query.
fn parse_tags(text: &str) -> S3Result<Vec<Pair>> {
    let wrong = |why: &str| s3_error!(InvalidTag, "The header x-amz-tagging is not valid: {why}.");
    let mut tags: Vec<Pair> = Vec::new();
    for piece in text.split('&').filter(|piece| !piece.is_empty()) {
        let (name, value) = piece.split_once('=').unwrap_or((piece, ""));
        let decode = |part: &str| url_decode(part, true).ok_or_else(|| wrong("it is not URL-encoded UTF-8"));
        tags.push(Pair { name: decode(name)?, value: decode(value)? });
    }
    check_tags(&tags).map_err(wrong)?;
    Ok(tags)
}

/// Whether these may be the tags of an object, or why not.
pub(crate) fn check_tags(tags: &[Pair]) -> Result<(), &'static str> {
    for (at, tag) in tags.iter().enumerate() {
        if tag.name.is_empty() || tag.name.chars().count() > TAG_NAME_MAX {
            return Err("a tag's key has 1 to 128 characters");
        }
        if tag.value.chars().count() > TAG_VALUE_MAX {
            return Err("a tag's value has at most 256 characters");
        }
        if tags.iter().take(at).any(|earlier| earlier.name == tag.name) {
            return Err("a tag's key occurs twice");
        }
    }
    if tags.len() > TAGS_MAX { Err("an object has at most 10 tags") } else { Ok(()) }
}

/// The value stored under `name`.
pub(crate) fn value<'a>(pairs: &'a [Pair], name: &str) -> Option<&'a str> {
    pairs.iter().find(|pair| pair.name == name).map(|pair| pair.value.as_str())
}

/// User metadata as `s3s` sends it.
pub(crate) fn metadata(pairs: &[Pair]) -> Option<Metadata> {
    (!pairs.is_empty()).then(|| pairs.iter().map(|pair| (pair.name.clone(), pair.value.clone())).collect())
}

#[cfg(test)]
mod tests;
