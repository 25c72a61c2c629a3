//! One request from its head to its last byte: request id, limits, panics, error documents, denials, metrics. Everything
//! that `s3s` leaves to the server around it.

use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Instant;

use futures::FutureExt as _;
use http::header::{AUTHORIZATION, EXPECT, SERVER};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri};
use hyper::body::{Body as _, Incoming};
use kovcheg_storage::handle::VaultHandle;
use kovcheg_storage::object::names::fits_xml;
use s3s::service::S3Service;
use s3s::{Body, S3Error, StdError, s3_error};
use tracing::{Instrument as _, Span};

use crate::config::{S3Config, XML_BYTES_MAX};
use crate::error::{coded, from_body};
use crate::metrics::{Counted, IN_FLIGHT, panicked, refused};
use crate::s3::admission::{BodyBudget, Places, Refusal};
use crate::s3::chunked::{ChunkBudget, ChunkGate, DocumentCheck};
use crate::s3::context::Caller;
use crate::s3::document::{document_of, is_form};
use crate::s3::names::url_decode;
use crate::s3::respond::{Answer, Finish, code_of, complete_error, error_response};
use crate::stream::{BodyWatch, Inspector, RequestBody, drain};

/// What all requests of a listener share.
pub(crate) struct Shared {
    pub(crate) service: S3Service,
    pub(crate) vault: VaultHandle,
    pub(crate) config: Arc<S3Config>,
    places: Arc<Places>,
    bodies: Arc<BodyBudget>,
    budget: ChunkBudget,
    server: [u8; 16],
}

impl Shared {
    pub(crate) fn new(service: S3Service, vault: VaultHandle, config: Arc<S3Config>) -> Self {
        Self {
            service,
            vault,
            places: Places::new(config.requests_max),
            bodies: BodyBudget::new(config.body_memory),
            budget: ChunkBudget::new(config.signed_chunk_memory, config.signed_chunk_bytes_max),
            config,
            server: random_id(),
        }
    }
}

/// Sixteen random bytes. A request's name need not be secret: if the system gives no randomness, it is the time.
fn random_id() -> [u8; 16] {
    let mut id = [0_u8; 16];
    if getrandom::fill(&mut id).is_err() {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        id = now.map_or(0, |now| now.as_nanos()).to_be_bytes();
    }
    id
}

/// Answers one request.
pub(crate) async fn respond(
    shared: Arc<Shared>,
    address: SocketAddr,
    overloaded: bool,
    request: Request<Incoming>,
) -> Response<Answer> {
    let began = Instant::now();
    let caller = Caller::new(random_id(), shared.server, address);
    let span = tracing::info_span!("s3", request = %caller.request_id(), peer = %address);
    let counted = Counted::new(IN_FLIGHT);
    let place = if overloaded { Err(Limit::Connections) } else { shared.places.enter(address).map_err(Limit::from) };
    let watch = Arc::new(BodyWatch::default());
    let head = Head::of(&request);
    let result = match &place {
        Ok(_) => serve(&shared, &caller, address, &watch, request).instrument(span.clone()).await,
        Err(limit) => {
            let error = turn_away(&shared, &watch, *limit, request.into_body());
            error_response(&error, &head.resource, &caller)
        }
    };
    let mut response = result;
    span.in_scope(|| finish_head(&shared, &caller, &head, &watch, &mut response, overloaded));
    // Whoever reads a refusal finds it in the trail.
    shared.vault.write_denials().instrument(span.clone()).await;
    if let Some(unread) = watch.take_unread()
        && (watch.started() || !head.waits_for_continue)
    {
        tokio::spawn(drain(unread, shared.config.drain_bytes_max, shared.config.drain_time_max));
    }
    let status = response.status().as_u16();
    let finish =
        Finish { caller, status, began, watch: Some(watch), sent: 0, span, _place: place.ok(), _counted: counted };
    response.map(|body| Answer::new(body, finish))
}

/// What is needed of a request after it was given away.
struct Head {
    method: Method,
    resource: String,
    claimed: String,
    waits_for_continue: bool,
}

impl Head {
    fn of<B>(request: &Request<B>) -> Self {
        Self {
            method: request.method().clone(),
            resource: request.uri().path().to_owned(),
            claimed: claimed_key(request.headers(), request.uri()),
            waits_for_continue: request.headers().contains_key(EXPECT),
        }
    }
}

/// The credential scope a request claims (access key, day, region, service), whether or not its signature is good.
fn claimed_scope(headers: &HeaderMap, uri: &Uri) -> Option<String> {
    let from_header = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok()).and_then(|text| {
        let (_, rest) = text.split_once("Credential=")?;
        rest.split([',', ' ']).next().map(str::to_owned)
    });
    let from_query = || {
        let pairs = uri.query()?.split('&');
        let value = pairs.filter_map(|pair| pair.split_once('=')).find(|(name, _)| *name == "X-Amz-Credential")?.1;
        url_decode(value, true)
    };
    from_header.or_else(from_query)
}

/// The access key a request claims.
fn claimed_key(headers: &HeaderMap, uri: &Uri) -> String {
    let scope = claimed_scope(headers, uri);
    let key = scope.as_deref().and_then(|scope| scope.split('/').next()).unwrap_or("anonymous");
    key.to_owned()
}

/// Refuses a region that is none, in the words by which clients (s3cmd signs for `US`) learn the right one and ask again.
fn refuse_no_region(shared: &Shared, head: &Parts) -> Result<(), S3Error> {
    let scope = claimed_scope(&head.headers, &head.uri);
    let Some(region) = scope.as_deref().and_then(|scope| scope.split('/').nth(2)) else { return Ok(()) };
    if region.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-') {
        return Ok(());
    }
    let right = &shared.config.region;
    Err(s3_error!(
        AuthorizationHeaderMalformed,
        "The authorization header is malformed; the region '{region}' is wrong; expecting '{right}'"
    ))
}

/// What there is not enough of.
#[derive(Debug, Clone, Copy)]
enum Limit {
    Connections,
    Requests,
    Share,
    Memory,
}

impl From<Refusal> for Limit {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Full => Self::Requests,
            Refusal::Share => Self::Share,
        }
    }
}

impl Limit {
    /// For the metric and for the client.
    fn words(self, config: &S3Config) -> (&'static str, String) {
        match self {
            Self::Connections => {
                ("connections", format!("at most {} connections are served at a time.", config.connections_max))
            }
            Self::Requests => ("requests", format!("at most {} requests are served at a time.", config.requests_max)),
            Self::Share => ("share", "few places are left, and this address has its share of them.".to_owned()),
            Self::Memory => ("memory", "the memory for bodies on their way in is taken.".to_owned()),
        }
    }
}

/// Refuses a request because a limit was reached. Its body is left for draining.
fn turn_away(shared: &Shared, watch: &Arc<BodyWatch>, limit: Limit, body: Incoming) -> S3Error {
    let (name, message) = limit.words(&shared.config);
    refused(name);
    drop(RequestBody::new(body, shared.config.body_idle_timeout, None, Arc::clone(watch)));
    s3_error!(SlowDown, "Please reduce your request rate: {message}")
}

async fn serve(
    shared: &Shared,
    caller: &Caller,
    address: SocketAddr,
    watch: &Arc<BodyWatch>,
    request: Request<Incoming>,
) -> Response<Body> {
    let resource = request.uri().path().to_owned();
    let fail = |error: &S3Error| error_response(error, &resource, caller);
    let (mut parts, body) = request.into_parts();
    // A body that is refused unread is wrapped and dropped: that leaves it for draining.
    let wrap = |body, inspector| RequestBody::new(body, shared.config.body_idle_timeout, inspector, Arc::clone(watch));
    let mut inspector = match refuse_no_region(shared, &parts).and_then(|()| inspector(shared, &parts)) {
        Ok(inspector) => inspector,
        Err(error) => {
            drop(wrap(body, None));
            return fail(&error);
        }
    };
    let (bodiless, uri) = (body.is_end_stream(), parts.uri.clone());
    if bodiless && !is_framed(&parts.headers) {
        compare_nothing(inspector.as_mut(), watch);
    }
    // Held until the body is stored or refused.
    let _memory = match bodiless {
        true => None,
        false => match shared.bodies.take(address, body.size_hint().exact(), shared.config.body_idle_timeout).await {
            Some(memory) => Some(memory),
            None => return fail(&turn_away(shared, watch, Limit::Memory, body)),
        },
    };
    let body = if bodiless { Body::empty() } else { Body::http_body_unsync(wrap(body, inspector)) };
    parts.extensions.insert(caller.clone());
    let call = AssertUnwindSafe(shared.service.call(Request::from_parts(parts, body))).catch_unwind();
    match call.await {
        Ok(Ok(response)) if is_unwritten(&response) && unrepeatable(&uri).is_some() => fail(&no_answer(&uri)),
        Ok(Ok(response)) => rewrite_body_failure(response, watch, &resource, caller),
        Ok(Err(_)) if unrepeatable(&uri).is_some() => fail(&no_answer(&uri)),
        Ok(Err(error)) => {
            tracing::error!(error = %error, "an answer could not be written");
            fail(&coded("InternalError", StatusCode::INTERNAL_SERVER_ERROR, "The answer could not be written."))
        }
        Err(_panic) => {
            panicked();
            tracing::error!(op = caller.operation(), "a request panicked; this is a bug");
            fail(&coded("InternalError", StatusCode::INTERNAL_SERVER_ERROR, "The request hit a bug in the vault."))
        }
    }
}

/// Compares the digests of a document with those of nothing, where nothing comes: `s3s` compares its hash without asking for a byte, and
/// answers 500 when it differs.
fn compare_nothing(inspector: Option<&mut Box<dyn Inspector>>, watch: &BodyWatch) {
    if let Some(Err(error)) = inspector.map(|inspector| inspector.finish()) {
        watch.note_failure(error);
    }
}

/// Whether `s3s` could not write an answer for a character in it.
fn is_unwritten(response: &Response<Body>) -> bool {
    const SAID: &[u8] = b"XML response contains a control character";
    response.status() == StatusCode::INTERNAL_SERVER_ERROR
        && response.body().bytes().is_some_and(|document| document.windows(SAID.len()).any(|part| part == SAID))
}

fn no_answer(uri: &Uri) -> S3Error {
    let number = unrepeatable(uri).map_or(0, u32::from);
    s3_error!(InvalidArgument, "The query holds the character U+{number:04X}, which no answer can repeat.")
}

/// A character of the query that XML cannot hold: refusals of `s3s` repeat what they refuse, and are then not written at all.
fn unrepeatable(uri: &Uri) -> Option<char> {
    let decoded = decoded_query(uri.query()?);
    String::from_utf8_lossy(&decoded).chars().find(|character| !fits_xml(*character))
}

/// A query as bytes; what is no escape stands for itself.
fn decoded_query(query: &str) -> Vec<u8> {
    let (mut rest, mut out) = (query.as_bytes(), Vec::with_capacity(query.len()));
    while let Some((first, after)) = rest.split_first() {
        let mut one = [0_u8; 1];
        let escape = (*first == b'%').then(|| after.split_at_checked(2)).flatten();
        match escape.filter(|(digits, _)| hex::decode_to_slice(digits, &mut one).is_ok()) {
            Some((_, behind)) => {
                out.push(one[0]);
                rest = behind;
            }
            None => {
                out.push(*first);
                rest = after;
            }
        }
    }
    out
}

/// Whether the body is framed as `aws-chunked`.
fn is_framed(headers: &HeaderMap) -> bool {
    headers.get("x-amz-content-sha256").is_some_and(|value| value.as_bytes().starts_with(b"STREAMING-"))
}

/// What looks at a body on its way in.
fn inspector(shared: &Shared, head: &Parts) -> Result<Option<Box<dyn Inspector>>, S3Error> {
    let declared = head.headers.get("x-amz-content-sha256").map(HeaderValue::as_bytes).unwrap_or_default();
    if is_framed(&head.headers) {
        return Ok(Some(Box::new(ChunkGate::new(shared.budget.clone()))));
    }
    if is_form(&head.method, &head.headers) {
        return Err(s3_error!(NotImplemented, "Uploads by HTML form are not supported."));
    }
    let Some(expected) = document_of(&head.method, &head.uri, &head.headers, shared.config.domain.as_deref())? else {
        return Ok(None);
    };
    let mut sha256 = [0_u8; 32];
    let sha256 = hex::decode_to_slice(declared, &mut sha256).is_ok().then_some(sha256);
    if expected.is_empty() && sha256.is_none() {
        return Ok(None);
    }
    Ok(Some(Box::new(DocumentCheck::new(expected, sha256, XML_BYTES_MAX))))
}

/// `s3s` answers 500 when the body of a request with an XML document fails; the failure is the client's.
fn rewrite_body_failure(
    response: Response<Body>,
    watch: &BodyWatch,
    resource: &str,
    caller: &Caller,
) -> Response<Body> {
    if response.status() != StatusCode::INTERNAL_SERVER_ERROR {
        return response;
    }
    match watch.failure() {
        Some(failure) => error_response(&from_body(&(Box::new(failure) as StdError)), resource, caller),
        None => response,
    }
}

/// Headers of every answer, completed error documents, and the audit of refusals.
fn finish_head(
    shared: &Shared,
    caller: &Caller,
    head: &Head,
    watch: &BodyWatch,
    response: &mut Response<Body>,
    overloaded: bool,
) {
    let status = response.status();
    if status.is_client_error() || status.is_server_error() {
        let code = response.body().bytes().and_then(|bytes| code_of(&bytes).map(str::to_owned));
        let region = (code.as_deref() == Some("AuthorizationHeaderMalformed")).then_some(shared.config.region.as_str());
        complete_error(response, &head.resource, caller, region);
        let code = code.unwrap_or_else(|| status.as_u16().to_string());
        if status == StatusCode::INTERNAL_SERVER_ERROR {
            tracing::warn!(op = caller.operation(), code, "a request failed inside the vault");
        } else {
            tracing::debug!(op = caller.operation(), status = status.as_u16(), code, "refused or failed");
        }
        if status == StatusCode::FORBIDDEN {
            record_denial(shared, caller, head, &code);
        }
        if head.method == Method::HEAD {
            *response.body_mut() = Body::empty();
        }
    }
    let headers = response.headers_mut();
    headers.insert(SERVER, HeaderValue::from_static("Kovcheg"));
    for (name, value) in [("x-amz-request-id", caller.request_id()), ("x-amz-id-2", caller.host_id().to_owned())] {
        if let Ok(value) = HeaderValue::try_from(value) {
            headers.insert(name, value);
        }
    }
    let refused_early = watch.failure().is_some() || overloaded;
    // A final answer where the client waits for `100 Continue` leaves open whether its body follows. awscli is mistaken about
    // such a connection from then on, and takes a later answer on it for another.
    let never_asked = head.waits_for_continue && !watch.started();
    if refused_early || never_asked {
        headers.insert(http::header::CONNECTION, HeaderValue::from_static("close"));
    }
    if status == StatusCode::SERVICE_UNAVAILABLE {
        headers.insert(http::header::RETRY_AFTER, HeaderValue::from_static("1"));
    }
}

fn record_denial(shared: &Shared, caller: &Caller, head: &Head, code: &str) {
    let path = url_decode(&head.resource, false).unwrap_or_else(|| head.resource.clone());
    let path = path.strip_prefix('/').unwrap_or(&path);
    let (bucket, key) = path.split_once('/').unwrap_or((path, ""));
    let how = if caller.is_authenticated() { "authenticated" } else { "claimed" };
    // Words of closed sets only: refusals are told apart by them.
    let reason = format!("{code} on {} {}, key {how}", known_method(&head.method), caller.operation());
    let origin = caller.origin(&head.claimed);
    shared.vault.record_denial(origin, bucket, key, &reason);
}

/// The name of a method that S3 has; a client may make up others without end.
fn known_method(method: &Method) -> &str {
    match *method {
        Method::GET | Method::HEAD | Method::PUT | Method::POST | Method::DELETE | Method::OPTIONS => method.as_str(),
        _ => "OTHER",
    }
}

/// The span under which a connection's own troubles are logged.
pub(crate) fn connection_span(address: SocketAddr) -> Span {
    tracing::debug_span!("connection", peer = %address)
}

#[cfg(test)]
mod tests {
    use http::header::AUTHORIZATION;
    use http::{HeaderMap, HeaderValue, Method, Uri};

    use super::{claimed_key, known_method, random_id};

    #[test]
    fn the_claimed_key_is_found_in_header_or_query() {
        let mut headers = HeaderMap::new();
        assert_eq!(claimed_key(&headers, &Uri::from_static("/b/k")), "anonymous");
        let uri = Uri::from_static("/b/k?x=1&X-Amz-Credential=AKQUERY%2F20260101%2Fus-east-1%2Fs3%2Faws4_request");
        assert_eq!(claimed_key(&headers, &uri), "AKQUERY");
        let value =
            "AWS4-HMAC-SHA256 Credential=AKHEAD/20260101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=00";
        headers.insert(AUTHORIZATION, HeaderValue::from_static(value));
        assert_eq!(claimed_key(&headers, &uri), "AKHEAD");
    }

    #[test]
    fn methods_of_the_audit_trail_are_a_closed_set_and_ids_differ() {
        assert_eq!(known_method(&Method::DELETE), "DELETE");
        assert_eq!(known_method(&Method::from_bytes(b"MADE-UP-1").unwrap_or_default()), "OTHER");
        assert_ne!(random_id(), random_id());
    }
}
