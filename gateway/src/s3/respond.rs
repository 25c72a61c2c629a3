//! Answers: error documents with `Resource`, `RequestId` and `HostId`, and the body that counts what leaves.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderValue, Response, StatusCode};
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use s3s::{Body, S3Error, StdError};
use tracing::Span;

use crate::metrics::{Counted, request_done};
use crate::s3::admission::Place;
use crate::s3::context::Caller;
use crate::stream::BodyWatch;
use kovcheg_storage::object::names::fits_xml;

const XML_HEAD: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n";

/// Escapes text for XML; characters that XML 1.0 cannot hold become `U+FFFD`.
pub(crate) fn xml_escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&apos;"),
            character if fits_xml(character) => out.push(character),
            _ => out.push('\u{fffd}'),
        }
    }
    out
}

fn tail(resource: &str, caller: &Caller) -> String {
    format!(
        "<Resource>{}</Resource><RequestId>{}</RequestId><HostId>{}</HostId></Error>",
        xml_escape(resource),
        caller.request_id(),
        caller.host_id()
    )
}

/// An error document.
pub(crate) fn error_document(code: &str, message: &str, resource: &str, caller: &Caller) -> String {
    let (code, message) = (xml_escape(code), xml_escape(message));
    format!("{XML_HEAD}<Error><Code>{code}</Code><Message>{message}</Message>{}", tail(resource, caller))
}

/// The error document of `s3s`, with what it lacks and, where a client asked for another one, the right region; `None` if `document`
/// is none.
pub(crate) fn complete_document(
    document: &[u8],
    resource: &str,
    caller: &Caller,
    region: Option<&str>,
) -> Option<String> {
    let text = std::str::from_utf8(document).ok()?;
    let open = text.strip_suffix("</Error>")?;
    let region = region.map(|region| format!("<Region>{}</Region>", xml_escape(region))).unwrap_or_default();
    let rest = match text.contains("<RequestId>") {
        true => format!("{region}</Error>"),
        false => format!("{region}{}", tail(resource, caller)),
    };
    open.contains("<Error>").then(|| format!("{open}{rest}"))
}

/// The code in an error document.
pub(crate) fn code_of(document: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(document).ok()?;
    let (_, rest) = text.split_once("<Code>")?;
    rest.split_once("</Code>").map(|(code, _)| code)
}

/// An answer with an error document.
pub(crate) fn error_response(error: &S3Error, resource: &str, caller: &Caller) -> Response<Body> {
    let message = error.message().unwrap_or_default();
    let document = error_document(error.code().as_str(), message, resource, caller);
    let mut response = Response::new(Body::from(document));
    *response.status_mut() = error.status_code().unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/xml"));
    response
}

/// Completes the error document of a failed answer.
pub(crate) fn complete_error(response: &mut Response<Body>, resource: &str, caller: &Caller, region: Option<&str>) {
    let document = response.body().bytes().and_then(|bytes| complete_document(&bytes, resource, caller, region));
    if let Some(document) = document {
        response.headers_mut().remove(CONTENT_LENGTH);
        *response.body_mut() = Body::from(document);
    }
}

/// What ends with the last byte of an answer: the place among the requests in progress, and its figures.
pub(crate) struct Finish {
    pub(crate) caller: Caller,
    pub(crate) status: u16,
    pub(crate) began: Instant,
    pub(crate) watch: Option<Arc<BodyWatch>>,
    pub(crate) sent: u64,
    pub(crate) span: Span,
    pub(crate) _place: Option<Place>,
    pub(crate) _counted: Counted,
}

impl Drop for Finish {
    fn drop(&mut self) {
        let received = self.watch.as_ref().map_or(0, |watch| watch.received());
        let took = self.began.elapsed();
        request_done(self.caller.operation(), self.status, received, self.sent, took);
        let milliseconds = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        self.span.in_scope(|| {
            tracing::debug!(
                op = self.caller.operation(),
                status = self.status,
                received,
                sent = self.sent,
                milliseconds,
                "answered"
            );
        });
    }
}

/// The body of an answer.
pub(crate) struct Answer {
    inner: Body,
    finish: Finish,
}

impl Answer {
    pub(crate) fn new(inner: Body, finish: Finish) -> Self {
        Self { inner, finish }
    }
}

impl HttpBody for Answer {
    type Data = Bytes;
    type Error = StdError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, StdError>>> {
        let this = &mut *self;
        let _entered = this.finish.span.enter();
        let frame = ready!(Pin::new(&mut this.inner).poll_frame(cx));
        if let Some(Ok(frame)) = &frame
            && let Some(data) = frame.data_ref()
        {
            this.finish.sent = this.finish.sent.saturating_add(u64::try_from(data.len()).unwrap_or(u64::MAX));
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use s3s::s3_error;

    use super::{code_of, complete_document, error_document, error_response, xml_escape};
    use crate::s3::context::Caller;

    fn caller() -> Caller {
        Caller::new([0x11; 16], [0x22; 16], ([127, 0, 0, 1], 1).into())
    }

    #[test]
    fn resources_cannot_break_the_document() {
        assert_eq!(xml_escape("/b/<a>&\"'\u{1}é"), "/b/&lt;a&gt;&amp;&quot;&apos;\u{fffd}é");
        let document = error_document("NoSuchKey", "no <such> key", "/b/</Error>", &caller());
        assert_eq!(document.matches("</Error>").count(), 1);
        assert_eq!(code_of(document.as_bytes()), Some("NoSuchKey"));
        assert!(document.contains(&format!("<RequestId>{}</RequestId>", "11".repeat(16))));
    }

    #[test]
    fn documents_of_the_protocol_crate_are_completed() {
        let given = b"<?xml version=\"1.0\"?><Error><Code>NoSuchKey</Code><Message>m</Message></Error>";
        let document = complete_document(given, "/b/k", &caller(), None).unwrap_or_default();
        assert!(document.starts_with("<?xml version=\"1.0\"?><Error><Code>NoSuchKey</Code><Message>m</Message>"));
        assert!(document.ends_with("</HostId></Error>") && document.contains("<Resource>/b/k</Resource>"));
        assert_eq!(complete_document(b"<ListBucketResult/>", "/b", &caller(), None), None);
        let own = error_document("AuthorizationHeaderMalformed", "m", "/b/k", &caller());
        let told = complete_document(own.as_bytes(), "/b/k", &caller(), Some("eu-1")).unwrap_or_default();
        assert!(told.ends_with("<Region>eu-1</Region></Error>"), "{told}");
        assert_eq!(told.matches("<RequestId>").count(), 1, "what is complete is not completed again: {told}");
    }

    #[test]
    fn errors_keep_their_status() {
        let response = error_response(&s3_error!(SlowDown, "busy"), "/", &caller());
        assert_eq!(response.status().as_u16(), 503);
        assert_eq!(
            response.headers().get("content-type").map(http::HeaderValue::as_bytes),
            Some(&b"application/xml"[..])
        );
    }
}
