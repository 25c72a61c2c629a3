//! From a request's body into the vault: nothing is committed before the clean end of the stream and the agreement of
//! length, SHA-256, Content-MD5 and checksums (traps of truncated and altered uploads end here).

use futures::StreamExt as _;
use kovcheg_format::record::version::Checksum;
use kovcheg_storage::handle::{EndedPut, PutStream};
use s3s::dto::StreamingBlob;
use s3s::{S3Result, TrailingHeaders, s3_error};

use crate::error::{from_body, from_storage};
use crate::s3::checksum::{Digests, Expected, Taken};
use crate::s3::md5::Md5Stream;

/// A body that came whole and is what its headers say; not yet committed.
pub(crate) struct Received {
    /// To be committed.
    pub(crate) put: EndedPut,
    /// MD5 of the content.
    pub(crate) md5: [u8; 16],
    /// Checksums to store.
    pub(crate) checksums: Vec<Checksum>,
}

/// Streams `body` into `put` and checks it. Dropping the future, or an error, leaves nothing that clients can see.
///
/// # Errors
/// Those of the body (`IncompleteBody`, `XAmzContentSHA256Mismatch`, `RequestTimeout`, …), of its digests (`BadDigest`,
/// `MalformedTrailerError`) and of the engine.
pub(crate) async fn receive(
    mut put: PutStream,
    md5: Md5Stream,
    body: Option<StreamingBlob>,
    declared_len: Option<i64>,
    expected: &Expected,
    trailers: Option<TrailingHeaders>,
) -> S3Result<Received> {
    let mut received = 0_u64;
    if let Some(mut body) = body {
        while let Some(item) = body.next().await {
            let bytes = item.map_err(|error| from_body(&error))?;
            received = received.saturating_add(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
            md5.update(bytes.clone()).await.map_err(from_storage)?;
            put.write(bytes).await.map_err(from_storage)?;
        }
    }
    if let Some(declared) = declared_len
        && u64::try_from(declared).ok() != Some(received)
    {
        return Err(s3_error!(
            IncompleteBody,
            "You did not provide the number of bytes specified by the Content-Length HTTP header: {declared} were \
             announced and {received} came."
        ));
    }
    let (put, md5) = futures::join!(put.end(), md5.finish());
    let mut put = put.map_err(from_storage)?;
    let taken = take_digests(&mut put, md5.map_err(from_storage)?)?;
    let trailers = trailers.and_then(|trailers| trailers.take());
    let checksums = expected.compare(&taken, trailers.as_ref())?;
    Ok(Received { put, md5: taken.md5, checksums })
}

fn take_digests(put: &mut EndedPut, md5: [u8; 16]) -> S3Result<Taken> {
    let crc64_nvme = put.crc64_nvme;
    let observer = put.take_observer().map(|observer| observer.into_any().downcast::<Digests>());
    match observer {
        Some(Ok(digests)) => Ok(digests.finish(crc64_nvme, md5)),
        _ => {
            tracing::error!("the engine gave back another observer than it was given; nothing was committed");
            Err(s3_error!(InternalError, "The body's digests are lost; try again."))
        }
    }
}
