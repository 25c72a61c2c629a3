//! A small S3 client. It can do what a good client does, and, through [`Call`], what a bad one does.

pub mod body;
pub mod http;
pub mod sign;

use std::io;

pub use body::{Body, Mode};
pub use http::{Response, Sink};
pub use sign::Keys;
use sign::{Moment, Signed, Signer, canonical_query, encode};

/// Speaks to one vault with one key.
#[derive(Debug, Clone)]
pub struct Client {
    /// Port on 127.0.0.1.
    pub port: u16,
    /// Credentials.
    pub keys: Keys,
}

/// One request before it is signed. Fields that a good client computes can be overridden.
#[derive(Debug, Clone)]
pub struct Call<'a> {
    /// Method.
    pub method: &'a str,
    /// Path, already percent-encoded.
    pub path: String,
    /// Query, plain.
    pub query: Vec<(String, String)>,
    /// More headers, signed; names in lower case.
    pub headers: Vec<(String, String)>,
    /// Body.
    pub body: Body<'a>,
    /// How the body is signed.
    pub mode: Mode,
    /// Seconds by which the client's clock is off.
    pub skew: i64,
    /// `content-length` to claim instead of the true one.
    pub claim_length: Option<u64>,
    /// `x-amz-decoded-content-length` to claim, and sign, instead of the true one.
    pub claim_decoded: Option<u64>,
    /// Whether the query (presigned) carries the signature.
    pub presigned: bool,
    /// `host` to send, and sign, instead of the address.
    pub host: Option<&'a str>,
}

impl<'a> Call<'a> {
    /// A request for a bucket (`key` empty) or an object.
    pub fn new(method: &'a str, bucket: &str, key: &str) -> Self {
        Self::raw(method, bucket, &encode(key.as_bytes(), true))
    }

    /// As [`Call::new`], the key percent-encoded by the caller.
    pub fn raw(method: &'a str, bucket: &str, encoded_key: &str) -> Self {
        let path = if encoded_key.is_empty() { format!("/{bucket}") } else { format!("/{bucket}/{encoded_key}") };
        Self {
            method,
            path,
            query: Vec::new(),
            headers: Vec::new(),
            body: Body::Empty,
            mode: Mode::Signed,
            skew: 0,
            claim_length: None,
            claim_decoded: None,
            presigned: false,
            host: None,
        }
    }

    /// With a query parameter.
    pub fn query(mut self, name: &str, value: impl ToString) -> Self {
        self.query.push((name.to_owned(), value.to_string()));
        self
    }

    /// With a header.
    pub fn header(mut self, name: &str, value: impl ToString) -> Self {
        self.headers.push((name.to_owned(), value.to_string()));
        self
    }

    /// With a body.
    pub fn body(mut self, body: &'a [u8]) -> Self {
        self.body = Body::Bytes(body);
        self
    }

    /// With a body signed in some way.
    pub fn mode(mut self, mode: Mode) -> Self {
        self.mode = mode;
        self
    }
}

/// A request ready to be sent.
pub struct Ready {
    /// Request line and headers, with the empty line.
    pub head: Vec<u8>,
    /// The header's signature, from which chunk signatures go on.
    pub seed_signature: String,
    /// Who signs.
    pub signer: Signer,
}

impl Client {
    /// Signs a call.
    pub fn prepare(&self, call: &Call<'_>) -> Ready {
        let signer = Signer { keys: self.keys.clone(), moment: Moment::now(call.skew) };
        let payload = call.mode.payload_header(&call.body);
        let mut query = call.query.clone();
        let host = call.host.map_or_else(|| format!("127.0.0.1:{}", self.port), str::to_owned);
        let mut headers = vec![("host".to_owned(), host)];
        headers.extend(call.headers.iter().cloned());
        if call.presigned {
            query.extend(self.presign_query(&signer, &headers));
            let of = Signed {
                method: call.method,
                path: &call.path,
                query: &query,
                headers: &headers,
                payload: "UNSIGNED-PAYLOAD",
            };
            let (signature, _) = signer.request(&of);
            query.push(("X-Amz-Signature".to_owned(), signature.clone()));
            let head = self.head(call, &query, &headers, None);
            return Ready { head, seed_signature: signature, signer };
        }
        headers.push(("x-amz-date".to_owned(), signer.moment.long.clone()));
        headers.push(("x-amz-content-sha256".to_owned(), payload.clone()));
        headers.extend(call.mode.extra_headers(&call.body));
        if let Some(claimed) = call.claim_decoded {
            let decoded = headers.iter_mut().find(|(name, _)| name == "x-amz-decoded-content-length");
            decoded.expect("an aws-chunked body").1 = claimed.to_string();
        }
        let of = Signed { method: call.method, path: &call.path, query: &query, headers: &headers, payload: &payload };
        let (authorization, seed_signature) = signer.authorization(&of);
        let head = self.head(call, &query, &headers, Some(&authorization));
        Ready { head, seed_signature, signer }
    }

    fn presign_query(&self, signer: &Signer, headers: &[(String, String)]) -> Vec<(String, String)> {
        let mut names: Vec<&str> = headers.iter().map(|(name, _)| name.as_str()).collect();
        names.sort_unstable();
        let credential = format!("{}/{}", self.keys.access, signer.moment.scope());
        let pair = |name: &str, value: String| (name.to_owned(), value);
        vec![
            pair("X-Amz-Algorithm", "AWS4-HMAC-SHA256".to_owned()),
            pair("X-Amz-Credential", credential),
            pair("X-Amz-Date", signer.moment.long.clone()),
            pair("X-Amz-Expires", "300".to_owned()),
            pair("X-Amz-SignedHeaders", names.join(";")),
        ]
    }

    fn head(
        &self,
        call: &Call<'_>,
        query: &[(String, String)],
        headers: &[(String, String)],
        auth: Option<&str>,
    ) -> Vec<u8> {
        let query = canonical_query(query);
        let target = if query.is_empty() { call.path.clone() } else { format!("{}?{query}", call.path) };
        let mut head = format!("{} {target} HTTP/1.1\r\n", call.method);
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        if let Some(auth) = auth {
            head.push_str(&format!("authorization: {auth}\r\n"));
        }
        let length = call.claim_length.unwrap_or_else(|| call.mode.wire_len(&call.body));
        if length > 0 || matches!(call.method, "PUT" | "POST") {
            head.push_str(&format!("content-length: {length}\r\n"));
        }
        head.push_str("connection: close\r\n\r\n");
        head.into_bytes()
    }

    /// Sends a call.
    pub fn send(&self, call: &Call<'_>) -> io::Result<Response> {
        self.send_to(call, Sink::Keep)
    }

    /// Sends a call; the answer's body goes to the sink.
    pub fn send_to(&self, call: &Call<'_>, sink: Sink<'_>) -> io::Result<Response> {
        let ready = self.prepare(call);
        http::exchange(self.port, &ready.head, &mut |stream| call.mode.write(&call.body, &ready, stream), sink)
    }

    #[track_caller]
    fn must(&self, call: &Call<'_>) -> Response {
        self.send(call).unwrap_or_else(|error| panic!("{} {}: {error}", call.method, call.path))
    }

    /// Makes a bucket.
    #[track_caller]
    pub fn create_bucket(&self, bucket: &str) {
        self.must(&Call::new("PUT", bucket, "")).expect_ok("create bucket");
    }

    /// Stores an object; whatever the vault answers.
    pub fn try_put(&self, bucket: &str, key: &str, body: &[u8]) -> io::Result<Response> {
        self.send(&Call::new("PUT", bucket, key).body(body).mode(Mode::Unsigned))
    }

    /// Stores an object.
    #[track_caller]
    pub fn put(&self, bucket: &str, key: &str, body: &[u8]) -> Response {
        self.must(&Call::new("PUT", bucket, key).body(body)).expect_ok(&format!("put {key}"))
    }

    /// Stores `len` bytes of the stream of `seed` without holding them; whatever the vault answers.
    pub fn try_put_stream(&self, bucket: &str, key: &str, seed: u64, len: u64) -> io::Result<Response> {
        let mut call = Call::new("PUT", bucket, key).mode(Mode::Unsigned);
        call.body = Body::Stream { seed, len };
        self.send(&call)
    }

    /// Stores `len` bytes of the stream of `seed` without holding them.
    #[track_caller]
    pub fn put_stream(&self, bucket: &str, key: &str, seed: u64, len: u64) -> Response {
        let answer = self.try_put_stream(bucket, key, seed, len);
        answer.unwrap_or_else(|error| panic!("put {key}: {error}")).expect_ok(&format!("put {key}"))
    }

    /// Reads an object; whatever the vault answers.
    pub fn try_get(&self, bucket: &str, key: &str) -> io::Result<Response> {
        self.send(&Call::new("GET", bucket, key))
    }

    /// Reads an object.
    #[track_caller]
    pub fn get(&self, bucket: &str, key: &str) -> Vec<u8> {
        self.must(&Call::new("GET", bucket, key)).expect_ok(&format!("get {key}")).body
    }

    /// Reads an object and compares it with the stream of `seed`.
    #[track_caller]
    pub fn check_stream(&self, bucket: &str, key: &str, seed: u64, len: u64) {
        let mut check = super::data::StreamCheck::new(seed);
        let call = Call::new("GET", bucket, key);
        let response = self.send_to(&call, Sink::Stream(&mut |piece| check.update(piece)));
        response.unwrap_or_else(|error| panic!("get {key}: {error}")).expect_ok(&format!("get {key}"));
        assert_eq!(check.end(), Ok(len), "content of {key}");
    }

    /// Reads a range given as in the `Range` header, without the unit.
    #[track_caller]
    pub fn get_range(&self, bucket: &str, key: &str, range: &str) -> Response {
        self.must(&Call::new("GET", bucket, key).header("range", format!("bytes={range}")))
    }

    /// HEAD of an object.
    #[track_caller]
    pub fn head_object(&self, bucket: &str, key: &str) -> Response {
        self.must(&Call::new("HEAD", bucket, key))
    }

    /// Deletes an object.
    #[track_caller]
    pub fn delete(&self, bucket: &str, key: &str) -> Response {
        self.must(&Call::new("DELETE", bucket, key)).expect_ok(&format!("delete {key}"))
    }

    /// All keys under a prefix, through as many pages as it takes.
    #[track_caller]
    pub fn list(&self, bucket: &str, prefix: &str, page: usize) -> Vec<String> {
        let mut keys = Vec::new();
        let mut token: Option<String> = None;
        loop {
            let mut call =
                Call::new("GET", bucket, "").query("list-type", 2).query("prefix", prefix).query("max-keys", page);
            if let Some(token) = &token {
                call = call.query("continuation-token", token);
            }
            let response = self.must(&call).expect_ok("list");
            keys.extend(response.xml_all("Key"));
            token = response.xml("NextContinuationToken");
            if response.xml("IsTruncated").as_deref() != Some("true") {
                return keys;
            }
            assert!(token.is_some(), "a truncated page without a token: {}", response.text());
        }
    }

    /// Starts a multipart upload.
    #[track_caller]
    pub fn create_upload(&self, bucket: &str, key: &str) -> String {
        let response = self.must(&Call::new("POST", bucket, key).query("uploads", "")).expect_ok("create upload");
        response.xml("UploadId").expect("an upload id")
    }

    /// Stores a part; its ETag.
    #[track_caller]
    pub fn upload_part(&self, bucket: &str, key: &str, upload: &str, number: u32, body: &[u8]) -> String {
        let call = Call::new("PUT", bucket, key).query("partNumber", number).query("uploadId", upload);
        let response = self.must(&call.body(body)).expect_ok("upload part");
        response.header("etag").expect("an ETag").to_owned()
    }

    /// Completes an upload with the given parts; whatever the vault answers.
    #[track_caller]
    pub fn complete(&self, bucket: &str, key: &str, upload: &str, parts: &[(u32, String)]) -> Response {
        self.try_complete(bucket, key, upload, parts).unwrap_or_else(|error| panic!("complete {key}: {error}"))
    }

    /// As [`Client::complete`], for a vault that may be gone.
    pub fn try_complete(&self, bucket: &str, key: &str, upload: &str, parts: &[(u32, String)]) -> io::Result<Response> {
        let part = |(number, etag): &(u32, String)| {
            format!("<Part><PartNumber>{number}</PartNumber><ETag>{etag}</ETag></Part>")
        };
        let parts: String = parts.iter().map(part).collect();
        let xml = format!(
            "<CompleteMultipartUpload xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">{parts}</CompleteMultipartUpload>"
        );
        self.send(&Call::new("POST", bucket, key).query("uploadId", upload).body(xml.as_bytes()))
    }
}
