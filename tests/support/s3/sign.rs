//! AWS Signature Version 4, written from its specification and not from the vault's own crates, so that both can be wrong
//! only in different ways.

use std::time::{SystemTime, UNIX_EPOCH};

use sha2::{Digest, Sha256};

/// Region that everything is signed for.
pub const REGION: &str = "us-east-1";
/// SHA-256 of nothing.
pub const EMPTY_SHA256: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

/// An access key and its secret.
#[derive(Debug, Clone)]
pub struct Keys {
    /// Access key id.
    pub access: String,
    /// Secret.
    pub secret: String,
}

/// Hex of SHA-256.
pub fn sha256_hex(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

fn hmac(key: &[u8], message: &[u8]) -> [u8; 32] {
    let mut block = [0_u8; 64];
    if key.len() > 64 {
        block[..32].copy_from_slice(&Sha256::digest(key));
    } else {
        block[..key.len()].copy_from_slice(key);
    }
    let inner = Sha256::new().chain_update(block.map(|byte| byte ^ 0x36)).chain_update(message).finalize();
    Sha256::new().chain_update(block.map(|byte| byte ^ 0x5c)).chain_update(inner).finalize().into()
}

/// The moment a request is signed at.
#[derive(Debug, Clone)]
pub struct Moment {
    /// `20260102T030405Z`.
    pub long: String,
}

impl Moment {
    /// Now, moved by some seconds.
    pub fn now(skew_seconds: i64) -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs() as i64);
        Self::at(now + skew_seconds)
    }

    /// Seconds since 1970 (days to date after H. Hinnant's `civil_from_days`).
    pub fn at(seconds: i64) -> Self {
        let (days, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
        let shifted = days + 719_468;
        let era = shifted.div_euclid(146_097);
        let day_of_era = shifted.rem_euclid(146_097);
        let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let shifted_month = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
        let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
        let year = year_of_era + era * 400 + i64::from(month <= 2);
        let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
        Self { long: format!("{year:04}{month:02}{day:02}T{hour:02}{minute:02}{second:02}Z") }
    }

    /// The day alone.
    pub fn day(&self) -> &str {
        &self.long[..8]
    }

    /// The credential scope.
    pub fn scope(&self) -> String {
        format!("{}/{REGION}/s3/aws4_request", self.day())
    }
}

/// Percent-encodes as SigV4 asks; `/` stays when `path`.
pub fn encode(bytes: &[u8], path: bool) -> String {
    let mut out = String::with_capacity(bytes.len());
    for byte in bytes {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => out.push(char::from(*byte)),
            b'/' if path => out.push('/'),
            other => out.push_str(&format!("%{other:02X}")),
        }
    }
    out
}

/// The query, encoded and sorted.
pub fn canonical_query(query: &[(String, String)]) -> String {
    let mut pairs: Vec<(String, String)> =
        query.iter().map(|(name, value)| (encode(name.as_bytes(), false), encode(value.as_bytes(), false))).collect();
    pairs.sort();
    pairs.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("&")
}

/// Signs strings for one key at one moment.
pub struct Signer {
    /// Key and secret.
    pub keys: Keys,
    /// When.
    pub moment: Moment,
}

/// The parts of a request that are signed.
pub struct Signed<'a> {
    /// Method.
    pub method: &'a str,
    /// Path, encoded.
    pub path: &'a str,
    /// Query, plain.
    pub query: &'a [(String, String)],
    /// Headers to sign, names in lower case.
    pub headers: &'a [(String, String)],
    /// Value of `x-amz-content-sha256`.
    pub payload: &'a str,
}

impl Signer {
    fn key(&self) -> [u8; 32] {
        let day = hmac(format!("AWS4{}", self.keys.secret).as_bytes(), self.moment.day().as_bytes());
        hmac(&hmac(&hmac(&day, REGION.as_bytes()), b"s3"), b"aws4_request")
    }

    fn sign(&self, text: &str) -> String {
        hex::encode(hmac(&self.key(), text.as_bytes()))
    }

    /// The signature of a request and the list of its signed headers.
    pub fn request(&self, of: &Signed<'_>) -> (String, String) {
        let mut headers = of.headers.to_vec();
        headers.sort();
        let names = headers.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(";");
        let lines: String = headers.iter().map(|(name, value)| format!("{name}:{}\n", value.trim())).collect();
        let query = canonical_query(of.query);
        let canonical = format!("{}\n{}\n{query}\n{lines}\n{names}\n{}", of.method, of.path, of.payload);
        let scope = self.moment.scope();
        let text = format!("AWS4-HMAC-SHA256\n{}\n{scope}\n{}", self.moment.long, sha256_hex(canonical.as_bytes()));
        (self.sign(&text), names)
    }

    /// The `Authorization` header of a request.
    pub fn authorization(&self, of: &Signed<'_>) -> (String, String) {
        let (signature, names) = self.request(of);
        let credential = format!("{}/{}", self.keys.access, self.moment.scope());
        let header = format!("AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders={names}, Signature={signature}");
        (header, signature)
    }

    /// The signature of one chunk of an `aws-chunked` body.
    pub fn chunk(&self, previous: &str, bytes: &[u8]) -> String {
        let (moment, scope) = (&self.moment.long, self.moment.scope());
        let hash = sha256_hex(bytes);
        self.sign(&format!("AWS4-HMAC-SHA256-PAYLOAD\n{moment}\n{scope}\n{previous}\n{EMPTY_SHA256}\n{hash}"))
    }

    /// The signature of the trailing headers of an `aws-chunked` body.
    pub fn trailer(&self, previous: &str, lines: &str) -> String {
        let (moment, scope) = (&self.moment.long, self.moment.scope());
        let hash = sha256_hex(lines.as_bytes());
        self.sign(&format!("AWS4-HMAC-SHA256-TRAILER\n{moment}\n{scope}\n{previous}\n{hash}"))
    }
}

#[cfg(test)]
mod tests {
    use super::{Keys, Moment, Signed, Signer, encode};

    /// The worked example "GET Object" of the SigV4 documentation of S3.
    #[test]
    fn signs_the_published_example() {
        let keys =
            Keys { access: "AKIAIOSFODNN7EXAMPLE".into(), secret: "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY".into() };
        let signer = Signer { keys, moment: Moment { long: "20130524T000000Z".into() } };
        let header = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let headers = [
            header("host", "examplebucket.s3.amazonaws.com"),
            header("range", "bytes=0-9"),
            header("x-amz-content-sha256", super::EMPTY_SHA256),
            header("x-amz-date", "20130524T000000Z"),
        ];
        let of =
            Signed { method: "GET", path: "/test.txt", query: &[], headers: &headers, payload: super::EMPTY_SHA256 };
        assert_eq!(signer.request(&of).0, "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41");
    }

    #[test]
    fn dates_and_escapes() {
        assert_eq!(Moment::at(0).long, "19700101T000000Z");
        assert_eq!(Moment::at(951_827_696).long, "20000229T123456Z");
        assert_eq!(encode("a/b c\u{e9}".as_bytes(), true), "a/b%20c%C3%A9");
        assert_eq!(encode(b"a/b", false), "a%2Fb");
    }
}
