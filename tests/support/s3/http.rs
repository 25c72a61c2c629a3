//! HTTP/1.1 over a plain socket: one connection per request, every byte of it ours, so that a test can send what no
//! well-behaved client would.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

/// How long a test waits for the other side before it calls the vault hung.
const PATIENCE: Duration = Duration::from_secs(120);
/// Longest line of a response head.
const LINE_MAX: u64 = 64 << 10;

/// What came back.
#[derive(Debug, Clone)]
pub struct Response {
    /// Status code.
    pub status: u16,
    /// Headers, names in lower case.
    pub headers: Vec<(String, String)>,
    /// Body; empty when it went to a sink.
    pub body: Vec<u8>,
}

impl Response {
    /// A header, by its lower-case name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// Content of the first element `tag` of the body, unescaped.
    pub fn xml(&self, tag: &str) -> Option<String> {
        self.xml_all(tag).into_iter().next()
    }

    /// Contents of all elements `tag`, unescaped. Good for the flat elements S3 answers with.
    pub fn xml_all(&self, tag: &str) -> Vec<String> {
        let text = self.text();
        let (open, close) = (format!("<{tag}>"), format!("</{tag}>"));
        let pieces = text.split(&open).skip(1).filter_map(|rest| rest.split_once(&close));
        pieces.map(|(content, _)| unescape(content)).collect()
    }

    /// The S3 error code of the body.
    pub fn code(&self) -> String {
        self.xml("Code").unwrap_or_default()
    }

    /// Whether the status is 2xx.
    pub fn ok(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// Itself, if 2xx; otherwise the test fails and shows what came.
    #[track_caller]
    pub fn expect_ok(self, what: &str) -> Self {
        assert!(self.ok(), "{what}: {} {}", self.status, self.text());
        self
    }

    /// Fails unless status and error code are these.
    #[track_caller]
    pub fn expect_error(&self, what: &str, status: u16, code: &str) {
        assert!(
            self.status == status && self.code() == code,
            "{what}: wanted {status} {code}, got {} {}",
            self.status,
            self.text()
        );
    }
}

fn unescape(text: &str) -> String {
    let pairs = [
        ("&lt;", "<"),
        ("&gt;", ">"),
        ("&quot;", "\""),
        ("&#34;", "\""),
        ("&apos;", "'"),
        ("&#39;", "'"),
        ("&amp;", "&"),
    ];
    pairs.iter().fold(text.to_owned(), |text, (from, to)| text.replace(from, to))
}

/// Where a response's body goes.
pub enum Sink<'a> {
    /// Into [`Response::body`].
    Keep,
    /// To this function, piece by piece, when the status is 2xx; error bodies are kept.
    Stream(&'a mut dyn FnMut(&[u8])),
}

/// Sends `head` (request line and headers, with the empty line), lets `body` write, and reads the answer. A server that
/// answers early and closes is heard all the same.
pub fn exchange(
    port: u16,
    head: &[u8],
    body: &mut dyn FnMut(&mut TcpStream) -> io::Result<()>,
    sink: Sink<'_>,
) -> io::Result<Response> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    stream.set_nodelay(true)?;
    let sent = stream.write_all(head).and_then(|()| body(&mut stream)).and_then(|()| stream.flush());
    let answer = read_response(&mut BufReader::with_capacity(64 << 10, &stream), head.starts_with(b"HEAD "), sink);
    match (sent, answer) {
        (_, Ok(response)) => Ok(response),
        (Err(error), Err(_)) => Err(error),
        (Ok(()), Err(error)) => Err(error),
    }
}

/// Sends the head and part of a body, then closes the sending half, as a client does that died. The answer, if any.
pub fn abandon(port: u16, head: &[u8], part: &[u8]) -> io::Result<Response> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(head)?;
    stream.write_all(part)?;
    stream.shutdown(Shutdown::Write)?;
    read_response(&mut BufReader::new(&stream), false, Sink::Keep)
}

/// A plain, unsigned GET.
pub fn plain_get(port: u16, path: &str) -> io::Result<Response> {
    let head = format!("GET {path} HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\nconnection: close\r\n\r\n");
    exchange(port, head.as_bytes(), &mut |_| Ok(()), Sink::Keep)
}

fn malformed(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.to_owned())
}

fn line(from: &mut impl BufRead) -> io::Result<String> {
    let mut bytes = Vec::new();
    from.by_ref().take(LINE_MAX).read_until(b'\n', &mut bytes)?;
    if bytes.last() != Some(&b'\n') {
        return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "connection closed inside the response head"));
    }
    let text = String::from_utf8(bytes).map_err(|_| malformed("response head is not UTF-8"))?;
    Ok(text.trim_end_matches(['\r', '\n']).to_owned())
}

fn head(from: &mut impl BufRead) -> io::Result<Response> {
    let status = line(from)?;
    let code = status.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)).and_then(|code| code.parse().ok());
    let status = code.ok_or_else(|| malformed(&format!("status line {status:?}")))?;
    let mut headers = Vec::new();
    loop {
        let text = line(from)?;
        if text.is_empty() {
            return Ok(Response { status, headers, body: Vec::new() });
        }
        let (name, value) = text.split_once(':').ok_or_else(|| malformed(&format!("header line {text:?}")))?;
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
}

/// Reads one answer; the connection may go on afterwards.
pub fn read_response(from: &mut impl BufRead, no_body: bool, sink: Sink<'_>) -> io::Result<Response> {
    let mut response = head(from)?;
    while response.status == 100 {
        response = head(from)?;
    }
    if no_body || matches!(response.status, 204 | 304) {
        return Ok(response);
    }
    let mut kept = Vec::new();
    let mut keep = |piece: &[u8]| kept.extend_from_slice(piece);
    let to: &mut dyn FnMut(&[u8]) = match sink {
        Sink::Stream(to) if response.ok() => to,
        Sink::Stream(_) | Sink::Keep => &mut keep,
    };
    if response.header("transfer-encoding").is_some_and(|value| value.eq_ignore_ascii_case("chunked")) {
        chunked(from, to)?;
    } else if let Some(len) = response.header("content-length") {
        exactly(from, len.parse().map_err(|_| malformed("content-length"))?, to)?;
    } else {
        let mut rest = Vec::new();
        from.read_to_end(&mut rest)?;
        to(&rest);
    }
    response.body = kept;
    Ok(response)
}

fn exactly(from: &mut impl BufRead, mut len: u64, to: &mut dyn FnMut(&[u8])) -> io::Result<()> {
    while len > 0 {
        let piece = from.fill_buf()?;
        if piece.is_empty() {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, format!("response body ends {len} bytes early")));
        }
        let take = piece.len().min(usize::try_from(len).unwrap_or(usize::MAX));
        to(&piece[..take]);
        from.consume(take);
        len -= take as u64;
    }
    Ok(())
}

fn chunked(from: &mut impl BufRead, to: &mut dyn FnMut(&[u8])) -> io::Result<()> {
    loop {
        let size = line(from)?;
        let digits = size.split(';').next().unwrap_or_default().trim();
        let len = u64::from_str_radix(digits, 16).map_err(|_| malformed(&format!("chunk size {size:?}")))?;
        exactly(from, len, to)?;
        if len == 0 {
            while !line(from)?.is_empty() {}
            return Ok(());
        }
        if !line(from)?.is_empty() {
            return Err(malformed("no line end after a chunk"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Sink, read_response};

    #[test]
    fn reads_chunked_and_counted_bodies() {
        let chunked = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nt: v\r\n\r\n";
        let response = read_response(&mut &chunked[..], false, Sink::Keep).unwrap();
        assert_eq!((response.status, response.text().as_str()), (200, "abcde"));
        let cut = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nabc";
        let error = read_response(&mut &cut[..], false, Sink::Keep).unwrap_err();
        assert!(error.to_string().contains("2 bytes early"), "{error}");
    }

    #[test]
    fn finds_and_unescapes_elements() {
        let body = b"HTTP/1.1 404 X\r\ncontent-length: 60\r\n\r\n<E><Code>NoSuchKey</Code><Key>a&amp;lt;b</Key><Key>c</Key></E>".to_vec();
        let response = read_response(&mut &body[..], false, Sink::Keep).unwrap();
        assert_eq!(response.code(), "NoSuchKey");
        assert_eq!(response.xml_all("Key"), ["a&lt;b", "c"]);
    }
}
