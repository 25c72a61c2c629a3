//! Which requests carry an XML document, and what their headers say of it: `s3s` hands handlers the parsed document only, so
//! its digests are compared on the way in (`chunked::DocumentCheck`).

use http::header::{CONTENT_TYPE, HOST};
use http::{HeaderMap, Method, Uri};
use s3s::S3Result;

use crate::s3::checksum::Expected;
use crate::s3::names::url_decode;

/// Parameters that make of a PUT on an object a document about it.
const ABOUT_OBJECTS: [&str; 7] =
    ["acl", "annotation", "encryption", "legal-hold", "renameObject", "retention", "tagging"];

/// Whether a request is an HTML form.
pub(crate) fn is_form(method: &Method, headers: &HeaderMap) -> bool {
    let form = b"multipart/form-data";
    method == Method::POST
        && headers.get(CONTENT_TYPE).is_some_and(|value| {
            value.as_bytes().get(..form.len()).is_some_and(|start| start.eq_ignore_ascii_case(form))
        })
}

/// The digests that the headers give of a request's document; `None` when the body is none. Every POST carries one, and so do
/// a PUT on a bucket and one about an object. `domain` is that of virtual-hosted style.
///
/// # Errors
/// Those of [`Expected::parse`].
pub(crate) fn document_of(
    method: &Method,
    uri: &Uri,
    headers: &HeaderMap,
    domain: Option<&str>,
) -> S3Result<Option<Expected>> {
    if method == Method::POST {
        // Here `x-amz-checksum-*` is that of the object to be, which `multipart` compares.
        let of_object = asks(uri, "uploadId") && !asks(uri, "delete");
        return if of_object { Expected::of_document(headers) } else { Expected::parse(headers) }.map(Some);
    }
    let about_object = || ABOUT_OBJECTS.iter().any(|name| asks(uri, name));
    if method == Method::PUT && (names_no_key(uri, headers, domain) || about_object()) {
        return Expected::parse(headers).map(Some);
    }
    Ok(None)
}

fn asks(uri: &Uri, name: &str) -> bool {
    let pairs = uri.query().unwrap_or_default().split('&');
    let mut names = pairs.map(|pair| pair.split('=').next().unwrap_or_default());
    names.any(|found| url_decode(found, true).is_some_and(|found| found == name))
}

/// Whether a request is about a bucket and not about an object in it.
fn names_no_key(uri: &Uri, headers: &HeaderMap, domain: Option<&str>) -> bool {
    let path = uri.path().strip_prefix('/').unwrap_or(uri.path());
    if domain.is_some_and(|domain| is_host_style(uri, headers, domain)) {
        return path.is_empty();
    }
    path.split_once('/').is_none_or(|(_, key)| key.is_empty())
}

fn is_host_style(uri: &Uri, headers: &HeaderMap, domain: &str) -> bool {
    let named = headers.get(HOST).and_then(|host| host.to_str().ok()).or_else(|| uri.host()).unwrap_or_default();
    let [host, domain] = [named, domain].map(|text| text.split(':').next().unwrap_or_default().to_ascii_lowercase());
    host.strip_suffix(&domain).is_some_and(|bucket| bucket.ends_with('.'))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use http::header::CONTENT_TYPE;
    use http::{HeaderMap, HeaderValue, Method, Uri};

    use super::{document_of, is_form};

    const MD5: &str = "1B2M2Y8AsgTpgAmY7PhCfg==";

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_static(value))).collect()
    }

    #[test]
    fn forms_are_known_by_their_type() {
        let mut headers = HeaderMap::new();
        assert!(!is_form(&Method::POST, &headers));
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("Multipart/Form-Data; boundary=x"));
        assert!(is_form(&Method::POST, &headers));
        assert!(!is_form(&Method::PUT, &headers));
    }

    #[test]
    fn a_completion_is_not_held_against_the_checksum_of_its_object() {
        // The story: the header of `CompleteMultipartUpload` was compared with the XML of the request, so that every
        // completion with a checksum failed. Of a completion only Content-MD5 is that of the document.
        let completing = Uri::from_static("/b/k?uploadId=00");
        let sums = headers(&[("x-amz-checksum-crc32c", "AAAAAA==-2"), ("x-amz-checksum-type", "COMPOSITE")]);
        assert!(document_of(&Method::POST, &completing, &sums, None).unwrap().unwrap().is_empty());
        let md5 = headers(&[("content-md5", MD5), ("x-amz-checksum-crc32c", "AAAAAA==")]);
        assert!(!document_of(&Method::POST, &completing, &md5, None).unwrap().unwrap().is_empty());
        // A DeleteObjects cannot be smuggled past its checksum.
        let deleting = Uri::from_static("/b?delete&uploadId=00");
        let sum = headers(&[("x-amz-checksum-crc32c", "AAAAAA==")]);
        assert!(!document_of(&Method::POST, &deleting, &sum, None).unwrap().unwrap().is_empty());
    }

    #[test]
    fn a_put_carries_a_document_where_it_names_no_key_or_is_about_an_object() {
        let plain = headers(&[("host", "vault:9000")]);
        let hosted = headers(&[("host", "Bucket.s3.lan:9000")]);
        let domain = Some("s3.lan");
        for (uri, headers, domain, document) in [
            ("/b", &plain, None, true),
            ("/b/", &plain, None, true),
            ("/b?versioning", &plain, None, true),
            ("/b/k", &plain, None, false),
            ("/b/k/", &plain, None, false),
            ("/b/k?partNumber=1&uploadId=00", &plain, None, false),
            ("/b/k?prefix=acl", &plain, None, false),
            ("/b/k?acl", &plain, None, true),
            ("/b/k?x=1&legal%2Dhold=", &plain, None, true),
            ("/b", &plain, domain, true),
            ("/k", &hosted, domain, false),
            ("/", &hosted, domain, true),
            ("/k", &hosted, None, true),
        ] {
            let found = document_of(&Method::PUT, &Uri::from_static(uri), headers, domain).unwrap();
            assert_eq!(found.is_some(), document, "{uri} {headers:?} {domain:?}");
        }
        assert!(document_of(&Method::GET, &Uri::from_static("/b"), &plain, None).unwrap().is_none());
    }
}
