//! `x-amz-*` in the query. Tools that presign a link hoist headers there, and `s3s` reads headers only: what would change the
//! meaning of the request and is not honoured is refused, never ignored.

use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri};
use s3s::{S3Result, s3_error};

use crate::s3::headers::refuse_unsupported;
use crate::s3::names::url_decode;

/// The parameters of a presigned link itself.
const SIGNATURE: [&str; 6] =
    ["x-amz-algorithm", "x-amz-credential", "x-amz-date", "x-amz-expires", "x-amz-signedheaders", "x-amz-signature"];

/// Parameters that change nothing here: what they ask for holds anyway (other values were refused before), or they only say what
/// the client would like to hear.
const HARMLESS: [&str; 7] = [
    "x-amz-acl",
    "x-amz-checksum-mode",
    "x-amz-object-ownership",
    "x-amz-request-payer",
    "x-amz-server-side-encryption",
    "x-amz-storage-class",
    "x-amz-user-agent",
];

/// Parameter that is honoured: [`expected_owners`].
const EXPECTED_OWNER: &str = "x-amz-expected-bucket-owner";
const EMPTY_SHA256: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

/// `x-amz-*` parameters of a query, names in lower case. `s3s` has refused a query that does not decode.
fn amz_pairs(uri: &Uri) -> impl Iterator<Item = (String, String)> {
    uri.query().unwrap_or_default().split('&').filter_map(|pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let name = url_decode(name, true)?.to_ascii_lowercase();
        name.starts_with("x-amz-").then(|| (name, url_decode(value, true).unwrap_or_default()))
    })
}

/// Refuses what a query asks for and would not get.
///
/// # Errors
/// `InvalidToken` for a session token; otherwise `NotImplemented` or what the header would be answered, naming the parameter.
pub(crate) fn refuse_ignored(method: &Method, uri: &Uri) -> S3Result<()> {
    let mut as_headers = HeaderMap::new();
    for (name, value) in amz_pairs(uri).filter(|(name, _)| !SIGNATURE.contains(&name.as_str())) {
        let harmless = match name.as_str() {
            // Read where it belongs.
            EXPECTED_OWNER => true,
            "x-amz-content-sha256" => {
                let bodyless = !matches!(*method, Method::PUT | Method::POST);
                value.eq_ignore_ascii_case("UNSIGNED-PAYLOAD") || (bodyless && value == EMPTY_SHA256)
            }
            name => HARMLESS.contains(&name),
        };
        if let (Ok(header), Ok(text)) = (HeaderName::try_from(name.as_str()), HeaderValue::try_from(value.as_str())) {
            as_headers.append(header, text);
            refuse_unsupported(&as_headers)?;
        }
        if !harmless {
            return Err(s3_error!(
                NotImplemented,
                "{name} stands in the query, where it has no effect here; send it as a signed header."
            ));
        }
    }
    Ok(())
}

/// Owners that a request expects its bucket to have, in header or query: each must be right.
pub(crate) fn expected_owners(headers: &HeaderMap, uri: &Uri) -> Vec<String> {
    let from_headers =
        headers.get_all(EXPECTED_OWNER).iter().map(|value| value.to_str().unwrap_or_default().to_owned());
    let from_query = amz_pairs(uri).filter(|(name, _)| name == EXPECTED_OWNER).map(|(_, value)| value);
    from_headers.chain(from_query).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use http::{HeaderMap, HeaderValue, Method, Uri};

    use super::{EMPTY_SHA256, expected_owners, refuse_ignored};

    fn answer(method: Method, query: &str) -> Option<(String, String)> {
        let error = refuse_ignored(&method, &format!("/b/k?{query}").parse::<Uri>().unwrap()).err()?;
        Some((error.code().as_str().to_owned(), error.message().unwrap_or_default().to_owned()))
    }

    #[test]
    fn what_changes_a_request_is_refused_by_name() {
        // The story: tools hoist `x-amz-*` headers into presigned links, and all of them were silently ignored.
        for (query, code, named) in [
            ("X-Amz-Security-Token=t", "InvalidToken", "x-amz-security-token"),
            ("x-amz-security-token=", "InvalidToken", "x-amz-security-token"),
            ("X-Amz-Meta-Owner=me", "NotImplemented", "x-amz-meta-owner"),
            ("X%2DAmz%2DMeta%2Da=me", "NotImplemented", "x-amz-meta-a"),
            ("x-amz-tagging=a%3Db", "NotImplemented", "x-amz-tagging"),
            ("x-amz-acl=public-read", "NotImplemented", "x-amz-acl"),
            ("x-amz-storage-class=GLACIER", "InvalidStorageClass", "GLACIER"),
            ("x-amz-server-side-encryption=aws%3Akms", "NotImplemented", "x-amz-server-side-encryption"),
            ("x-amz-object-lock-mode=COMPLIANCE", "NotImplemented", "x-amz-object-lock-mode"),
            ("x-amz-copy-source=%2Fb%2Fk", "NotImplemented", "x-amz-copy-source"),
            ("x-amz-checksum-crc32=AAAAAA%3D%3D", "NotImplemented", "x-amz-checksum-crc32"),
            ("x-amz-sdk-checksum-algorithm=SHA256", "NotImplemented", "x-amz-sdk-checksum-algorithm"),
            ("x-amz-content-sha256=00", "NotImplemented", "x-amz-content-sha256"),
            ("x-amz-decoded-content-length=5", "NotImplemented", "x-amz-decoded-content-length"),
            ("x-amz-something-new=1", "NotImplemented", "x-amz-something-new"),
        ] {
            let (found, words) = answer(Method::PUT, query).unwrap_or_else(|| panic!("{query} is ignored"));
            assert_eq!(found, code, "{query}: {words}");
            assert!(words.contains(named), "{query}: {words}");
        }
        assert!(answer(Method::PUT, &format!("x-amz-content-sha256={EMPTY_SHA256}")).is_some());
    }

    #[test]
    fn what_sdks_add_and_what_changes_nothing_is_taken() {
        let link = "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=a%2Fb&X-Amz-Date=x&X-Amz-Expires=9\
                    &X-Amz-SignedHeaders=host&X-Amz-Signature=00";
        let empty = format!("X-Amz-Content-Sha256={EMPTY_SHA256}");
        for query in [
            "",
            link,
            &link.to_ascii_lowercase(),
            "x-id=GetObject&partNumber=1&versionId=null&response-content-type=a",
            "X-Amz-Content-Sha256=UNSIGNED-PAYLOAD",
            &empty,
            "x-amz-checksum-mode=ENABLED",
            "x-amz-user-agent=aws-sdk-js%2F3",
            "x-amz-request-payer=requester",
            "x-amz-acl=private&x-amz-storage-class=STANDARD&x-amz-server-side-encryption=AES256",
            "X-Amz-Expected-Bucket-Owner=000000000001",
        ] {
            assert_eq!(answer(Method::GET, query), None, "{query}");
        }
    }

    #[test]
    fn expected_owners_are_found_in_header_and_query() {
        let uri = Uri::from_static("/b?X-Amz-Expected-Bucket-Owner=2&x=1");
        let mut headers = HeaderMap::new();
        assert_eq!(expected_owners(&headers, &uri), ["2"]);
        headers.insert("x-amz-expected-bucket-owner", HeaderValue::from_static("1"));
        assert_eq!(expected_owners(&headers, &uri), ["1", "2"]);
        assert!(expected_owners(&HeaderMap::new(), &Uri::from_static("/b")).is_empty());
    }
}
