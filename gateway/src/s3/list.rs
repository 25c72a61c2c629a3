//! Listings: `ListObjectsV2` and `ListObjects`, from the same page of the engine.

use kovcheg_format::record::version::VersionPut;
use kovcheg_storage::object::types::{ListPage, ListQuery};
use s3s::dto::{
    ChecksumAlgorithm, ChecksumType, CommonPrefix, ETag, EncodingType, ListObjectsInput, ListObjectsOutput,
    ListObjectsV2Input, ListObjectsV2Output, Object, ObjectStorageClass, Owner,
};
use s3s::{S3Request, S3Response, S3Result, s3_error};

use crate::config::PAGE_KEYS_MAX;
use crate::error::from_storage;
use crate::s3::bucket::owner;
use crate::s3::checksum::name_of;
use crate::s3::names::{parse_token, token, url_encode};
use crate::s3::range::timestamp;
use crate::s3::service::Gateway;

/// How names are written into the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Encoding {
    Plain,
    Url,
}

impl Encoding {
    pub(crate) fn parse(asked: Option<&EncodingType>) -> S3Result<Self> {
        match asked.map(EncodingType::as_str) {
            None | Some("") => Ok(Self::Plain),
            Some("url") => Ok(Self::Url),
            Some(other) => Err(s3_error!(InvalidArgument, "Invalid encoding method {other}; only url is known.")),
        }
    }

    pub(crate) fn name(self, text: &str) -> String {
        match self {
            Self::Plain => text.to_owned(),
            Self::Url => url_encode(text),
        }
    }

    pub(crate) fn shown(self) -> Option<EncodingType> {
        (self == Self::Url).then(|| EncodingType::from_static(EncodingType::URL))
    }
}

fn max_keys(asked: Option<i32>) -> S3Result<usize> {
    most("max-keys", asked)
}

/// The length of a page, as the parameter `name` asks for it.
pub(crate) fn most(name: &str, asked: Option<i32>) -> S3Result<usize> {
    match asked {
        None => Ok(PAGE_KEYS_MAX),
        Some(count) => usize::try_from(count)
            .map(|count| count.min(PAGE_KEYS_MAX))
            .map_err(|_| s3_error!(InvalidArgument, "{name} must not be negative.")),
    }
}

fn shown_count(count: usize) -> Option<i32> {
    i32::try_from(count).ok()
}

/// One page; an empty one without asking the index if nothing may be on it.
async fn page(gateway: &Gateway, bucket: &str, query: ListQuery) -> S3Result<ListPage> {
    if query.max_keys == 0 {
        gateway.vault.bucket(bucket).await.map_err(from_storage)?;
        return Ok(ListPage::default());
    }
    gateway.vault.list_objects(bucket, query).await.map_err(from_storage)
}

fn object(version: VersionPut, encoding: Encoding, owner: Option<&Owner>) -> Object {
    let algorithms = version.checksums.iter().map(|sum| ChecksumAlgorithm::from_static(name_of(sum.kind)));
    let kind = version.checksums.first().map(|sum| if sum.full_object { "FULL_OBJECT" } else { "COMPOSITE" });
    Object {
        checksum_algorithm: kind.is_some().then(|| algorithms.collect()),
        checksum_type: kind.map(ChecksumType::from_static),
        key: Some(encoding.name(&version.key)),
        e_tag: Some(ETag::Strong(version.etag)),
        last_modified: Some(timestamp(version.created_at)),
        owner: owner.cloned(),
        size: i64::try_from(version.size).ok(),
        storage_class: Some(ObjectStorageClass::from_static(ObjectStorageClass::STANDARD)),
        ..Object::default()
    }
}

pub(crate) fn prefixes(found: &[String], encoding: Encoding) -> Vec<CommonPrefix> {
    found.iter().map(|prefix| CommonPrefix { prefix: Some(encoding.name(prefix)) }).collect()
}

/// `ListObjectsV2`.
pub(crate) async fn list_v2(
    gateway: &Gateway,
    req: S3Request<ListObjectsV2Input>,
) -> S3Result<S3Response<ListObjectsV2Output>> {
    let input = req.input;
    let encoding = Encoding::parse(input.encoding_type.as_ref())?;
    let max_keys = max_keys(input.max_keys)?;
    let from_token = input.continuation_token.as_deref().map(parse_token).transpose()?;
    let query = ListQuery {
        prefix: input.prefix.clone().unwrap_or_default(),
        delimiter: input.delimiter.clone().unwrap_or_default(),
        after: from_token.or_else(|| input.start_after.clone().filter(|after| !after.is_empty())),
        max_keys,
    };
    let mut page = page(gateway, &input.bucket, query).await?;
    let owner = match input.fetch_owner {
        Some(true) => Some(owner(gateway.vault.bucket(&input.bucket).await.map_err(from_storage)?.tenant)),
        _ => None,
    };
    let common_prefixes = prefixes(&page.common_prefixes, encoding);
    let objects = std::mem::take(&mut page.objects);
    let contents: Vec<Object> = objects.into_iter().map(|version| object(version, encoding, owner.as_ref())).collect();
    Ok(S3Response::new(ListObjectsV2Output {
        name: Some(input.bucket),
        prefix: Some(encoding.name(input.prefix.as_deref().unwrap_or_default())),
        delimiter: input.delimiter.as_deref().map(|text| encoding.name(text)),
        start_after: input.start_after.as_deref().map(|text| encoding.name(text)),
        max_keys: shown_count(max_keys),
        key_count: shown_count(contents.len() + common_prefixes.len()),
        continuation_token: input.continuation_token,
        is_truncated: Some(page.next.is_some()),
        next_continuation_token: page.next.as_deref().map(token),
        encoding_type: encoding.shown(),
        contents: Some(contents),
        common_prefixes: Some(common_prefixes),
        ..ListObjectsV2Output::default()
    }))
}

/// `ListObjects`. `NextMarker` is always there when there is more, with or without a delimiter.
pub(crate) async fn list_v1(
    gateway: &Gateway,
    req: S3Request<ListObjectsInput>,
) -> S3Result<S3Response<ListObjectsOutput>> {
    let input = req.input;
    let encoding = Encoding::parse(input.encoding_type.as_ref())?;
    let max_keys = max_keys(input.max_keys)?;
    let query = ListQuery {
        prefix: input.prefix.clone().unwrap_or_default(),
        delimiter: input.delimiter.clone().unwrap_or_default(),
        after: input.marker.clone().filter(|marker| !marker.is_empty()),
        max_keys,
    };
    let mut page = page(gateway, &input.bucket, query).await?;
    let owner = owner(gateway.vault.bucket(&input.bucket).await.map_err(from_storage)?.tenant);
    let common_prefixes = prefixes(&page.common_prefixes, encoding);
    let objects = std::mem::take(&mut page.objects);
    Ok(S3Response::new(ListObjectsOutput {
        name: Some(input.bucket),
        prefix: Some(encoding.name(input.prefix.as_deref().unwrap_or_default())),
        marker: Some(encoding.name(input.marker.as_deref().unwrap_or_default())),
        delimiter: input.delimiter.as_deref().map(|text| encoding.name(text)),
        max_keys: shown_count(max_keys),
        is_truncated: Some(page.next.is_some()),
        next_marker: page.next.as_deref().map(|next| encoding.name(next)),
        encoding_type: encoding.shown(),
        contents: Some(objects.into_iter().map(|version| object(version, encoding, Some(&owner))).collect()),
        common_prefixes: Some(common_prefixes),
        ..ListObjectsOutput::default()
    }))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use s3s::S3ErrorCode;
    use s3s::dto::EncodingType;

    use super::{Encoding, max_keys};

    #[test]
    fn pages_hold_at_most_a_thousand() {
        for (asked, got) in [(None, 1000), (Some(0), 0), (Some(1), 1), (Some(1000), 1000), (Some(100_000), 1000)] {
            assert_eq!(max_keys(asked).unwrap(), got, "{asked:?}");
        }
        assert_eq!(max_keys(Some(-1)).unwrap_err().code(), &S3ErrorCode::InvalidArgument);
    }

    #[test]
    fn encoding_is_applied_and_named_or_neither() {
        let url = EncodingType::from_static(EncodingType::URL);
        let url = Encoding::parse(Some(&url)).unwrap();
        assert_eq!((url.name("a b"), url.shown().is_some()), ("a%20b".to_owned(), true));
        let plain = Encoding::parse(None).unwrap();
        assert_eq!((plain.name("a b"), plain.shown().is_some()), ("a b".to_owned(), false));
        let other = EncodingType::from("html".to_owned());
        assert_eq!(Encoding::parse(Some(&other)).unwrap_err().code(), &S3ErrorCode::InvalidArgument);
    }
}
