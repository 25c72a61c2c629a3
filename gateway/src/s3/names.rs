//! Keys, tokens, upload ids and the URL encoding of listings: pure functions of text.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use kovcheg_format::id::UploadId;
use kovcheg_storage::object::names::fits_xml;
use kovcheg_storage::object::types::{KEY_LEN_MAX, VersionName};
use s3s::{S3Error, S3Result, s3_error};

/// First byte of a continuation token; another form gets another byte.
const TOKEN_V1: u8 = 1;

/// Checks a key. Any UTF-8 of 1 to 1,024 bytes without NUL is one, `..` included: keys are never paths here.
pub(crate) fn check_key(key: &str) -> S3Result<()> {
    if key.is_empty() {
        return Err(s3_error!(InvalidArgument, "An object key has at least one byte."));
    }
    if key.len() > KEY_LEN_MAX {
        return Err(s3_error!(KeyTooLongError, "Your key is too long: {} bytes, at most {KEY_LEN_MAX}.", key.len()));
    }
    if key.contains('\0') {
        return Err(s3_error!(InvalidArgument, "An object key must not contain the NUL character."));
    }
    Ok(())
}

/// Checks a key that something is to be made under: one that XML cannot carry could be neither answered nor listed. What was made
/// under such a key before can still be read and deleted.
pub(crate) fn check_new_key(key: &str) -> S3Result<()> {
    check_key(key)?;
    match key.chars().find(|character| !fits_xml(*character)) {
        None => Ok(()),
        Some(character) => Err(s3_error!(
            InvalidArgument,
            "An object key must not contain the character U+{:04X}: the XML of S3's answers cannot carry it.",
            u32::from(character)
        )),
    }
}

/// Percent-encodes what `encoding-type=url` asks for: everything but unreserved characters and `/`.
///
/// A space becomes `%20`, never `+`: clients that decode `+` and clients that do not both read it back right.
pub(crate) fn url_encode(text: &str) -> String {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    let digit = |nibble: u8| char::from(HEX.get(usize::from(nibble)).copied().unwrap_or(b'0'));
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' | b'/' => out.push(char::from(byte)),
            _ => {
                out.push('%');
                out.push(digit(byte >> 4));
                out.push(digit(byte & 15));
            }
        }
    }
    out
}

/// Percent-decodes; `None` if a `%` is not followed by two hex digits or the result is not UTF-8. `+` becomes a space if
/// `form` is set.
pub(crate) fn url_decode(text: &str, form: bool) -> Option<String> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'%' => {
                let pair = [bytes.next()?, bytes.next()?];
                let mut one = [0_u8; 1];
                hex::decode_to_slice(pair, &mut one).ok()?;
                out.extend_from_slice(&one);
            }
            b'+' if form => out.push(b' '),
            other => out.push(other),
        }
    }
    String::from_utf8(out).ok()
}

/// The opaque token that continues a listing after `after`.
pub(crate) fn token(after: &str) -> String {
    let mut bytes = Vec::with_capacity(after.len() + 1);
    bytes.push(TOKEN_V1);
    bytes.extend_from_slice(after.as_bytes());
    URL_SAFE_NO_PAD.encode(bytes)
}

/// The reverse of [`token`].
pub(crate) fn parse_token(token: &str) -> S3Result<String> {
    let wrong = || -> S3Error { s3_error!(InvalidArgument, "The continuation token provided is incorrect.") };
    let bytes = URL_SAFE_NO_PAD.decode(token).map_err(|_| wrong())?;
    match bytes.split_first() {
        Some((&TOKEN_V1, after)) => String::from_utf8(after.to_vec()).map_err(|_| wrong()),
        _ => Err(wrong()),
    }
}

/// A version as clients name it: `null`, or 32 hex digits.
pub(crate) fn version_text(name: VersionName) -> String {
    name.to_string()
}

/// The reverse of [`version_text`]; `None` where no version is named.
pub(crate) fn parse_version(text: Option<&str>) -> S3Result<Option<VersionName>> {
    let Some(text) = text.filter(|text| !text.is_empty()) else { return Ok(None) };
    let name = VersionName::from_text(text);
    name.map(Some).ok_or_else(|| s3_error!(InvalidArgument, "Invalid version id specified."))
}

/// An upload id as clients see it: 32 hex digits.
pub(crate) fn upload_text(upload: UploadId) -> String {
    upload.to_string()
}

/// The reverse of [`upload_text`]; anything else names no upload.
pub(crate) fn parse_upload(text: &str) -> S3Result<UploadId> {
    let mut bytes = [0_u8; 16];
    hex::decode_to_slice(text, &mut bytes)
        .map_err(|_| -> S3Error { s3_error!(NoSuchUpload, "The specified multipart upload does not exist.") })?;
    Ok(UploadId(bytes))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

    use proptest::prelude::{any, proptest};
    use s3s::S3ErrorCode;

    use super::{check_key, check_new_key, parse_token, parse_upload, token, upload_text, url_decode, url_encode};
    use kovcheg_format::id::UploadId;

    #[test]
    fn keys_are_not_paths_but_have_limits() {
        for good in ["a", "..", "../..", "/", "//", "a/../b", "\u{1}", "ключ", " ", &"x".repeat(1024)] {
            assert!(check_key(good).is_ok(), "{good:?}");
        }
        let code = |key: &str| check_key(key).unwrap_err().code().clone();
        assert_eq!(code(""), S3ErrorCode::InvalidArgument);
        assert_eq!(code("a\0b"), S3ErrorCode::InvalidArgument);
        assert_eq!(code(&"x".repeat(1025)), S3ErrorCode::KeyTooLongError);
        assert_eq!(code(&"é".repeat(513)), S3ErrorCode::KeyTooLongError);
    }

    #[test]
    fn nothing_new_is_made_under_a_key_that_xml_cannot_carry() {
        for good in ["a", "tab\tline\ncr\r", "\u{7f}", "\u{85}", "\u{fffd}", "ключ", "\u{1f5c4}", &"x".repeat(1024)]
        {
            assert!(check_new_key(good).is_ok(), "{good:?}");
        }
        for bad in ["a\u{1}b", "\u{8}", "\u{b}", "\u{1f}", "\u{fffe}", "\u{ffff}", "a\0b", ""] {
            assert_eq!(check_new_key(bad).unwrap_err().code(), &S3ErrorCode::InvalidArgument, "{bad:?}");
        }
        assert_eq!(check_new_key(&"x".repeat(1025)).unwrap_err().code(), &S3ErrorCode::KeyTooLongError);
    }

    #[test]
    fn every_character_survives_url_encoding() {
        for point in 1..=0x7ff_u32 {
            let text = char::from_u32(point).unwrap().to_string();
            let encoded = url_encode(&text);
            assert!(encoded.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'+'), "{encoded}");
            assert_eq!(url_decode(&encoded, false).unwrap(), text);
            assert_eq!(url_decode(&encoded, true).unwrap(), text);
        }
        assert_eq!(url_encode("dir/a b+c%é"), "dir/a%20b%2Bc%25%C3%A9");
    }

    #[test]
    fn broken_encodings_are_refused() {
        for broken in ["%", "%4", "%zz", "%ff"] {
            assert_eq!(url_decode(broken, false), None, "{broken}");
        }
        assert_eq!(url_decode("a+b", true).unwrap(), "a b");
        assert_eq!(url_decode("a+b", false).unwrap(), "a+b");
    }

    #[test]
    fn foreign_tokens_are_refused() {
        for foreign in ["", "!", "AA", "Anh4", "AXh4=", "Af8"] {
            assert_eq!(parse_token(foreign).unwrap_err().code(), &S3ErrorCode::InvalidArgument, "{foreign}");
        }
    }

    #[test]
    fn upload_ids_survive_their_text() {
        let upload = UploadId([0x5a; 16]);
        assert_eq!(parse_upload(&upload_text(upload)).unwrap(), upload);
        for wrong in ["", "5a", "zz", &"5a".repeat(17), "../../etc/passwd"] {
            assert_eq!(parse_upload(wrong).unwrap_err().code(), &S3ErrorCode::NoSuchUpload, "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn any_key_survives_token_and_encoding(key in any::<String>()) {
            assert_eq!(parse_token(&token(&key)).unwrap(), key);
            assert_eq!(url_decode(&url_encode(&key), true).unwrap(), key);
        }
    }
}
