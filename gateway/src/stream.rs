//! Bodies with limits on time: requests that stand still are ended, and sockets that no longer take bytes are closed.
//! What a handler left unread of a request is handed back, so that the client can be let to finish and read the answer.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::rt::{Read, ReadBufCursor, Write};
use parking_lot::Mutex;
use thiserror::Error;
use tokio::time::{Instant, Sleep, sleep};

/// Why a request body could not be read to its end.
#[derive(Debug, Clone, Error)]
pub enum BodyError {
    /// No byte came for this long.
    #[error("no byte of the body came for {} s", .0.as_secs())]
    Idle(Duration),
    /// The connection failed or ended early.
    #[error("the connection ended inside the body: {0}")]
    Transport(Arc<hyper::Error>),
    /// The whole body came and is not what its headers say.
    #[error("{message}")]
    Mismatch {
        /// S3 error code.
        code: &'static str,
        /// For the client.
        message: String,
    },
}

/// What is known of a request's body after its handler is done with it.
#[derive(Debug, Default)]
pub struct BodyWatch {
    received: AtomicU64,
    started: AtomicBool,
    failed: Mutex<Option<BodyError>>,
    unread: Mutex<Option<Incoming>>,
}

impl BodyWatch {
    /// Bytes received so far, framing of `aws-chunked` included.
    #[must_use]
    pub fn received(&self) -> u64 {
        self.received.load(Ordering::Relaxed)
    }

    /// Whether anybody asked for the body (and so told a waiting client `100 Continue`).
    #[must_use]
    pub fn started(&self) -> bool {
        self.started.load(Ordering::Relaxed)
    }

    /// The failure that the handler saw, if any.
    #[must_use]
    pub fn failure(&self) -> Option<BodyError> {
        self.failed.lock().clone()
    }

    /// Notes how the body is going to fail.
    pub fn note_failure(&self, error: BodyError) {
        *self.failed.lock() = Some(error);
    }

    /// The rest of a body that was dropped before its end.
    #[must_use]
    pub fn take_unread(&self) -> Option<Incoming> {
        self.unread.lock().take()
    }
}

/// Looks at, and may rewrite or hold back, the bytes of a body on their way in.
pub trait Inspector: Send + Unpin {
    /// Takes the next bytes off the wire.
    fn push(&mut self, bytes: Bytes) -> Result<(), BodyError>;
    /// Gives the next bytes to the handler. `Ready(None)`: push more, or the end if `finish` was called.
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>>;
    /// All declared bytes came. Called once or more.
    fn finish(&mut self) -> Result<(), BodyError>;
}

/// A request's body on its way from hyper to `s3s`.
pub struct RequestBody {
    inner: Option<Incoming>,
    inspector: Option<Box<dyn Inspector>>,
    idle: Duration,
    timer: Pin<Box<Sleep>>,
    waiting: bool,
    ended: bool,
    watch: Arc<BodyWatch>,
}

impl RequestBody {
    /// Wraps `inner`; the caller keeps `watch`.
    #[must_use]
    pub fn new(inner: Incoming, idle: Duration, inspector: Option<Box<dyn Inspector>>, watch: Arc<BodyWatch>) -> Self {
        Self { inner: Some(inner), inspector, idle, timer: Box::pin(sleep(idle)), waiting: false, ended: false, watch }
    }

    fn fail(&mut self, error: BodyError) -> BodyError {
        self.ended = true;
        if matches!(error, BodyError::Transport(_)) {
            self.inner = None;
        }
        self.watch.note_failure(error.clone());
        error
    }

    /// The next frame off the wire, or the idle error. `None` at the end.
    fn poll_wire(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let Some(inner) = self.inner.as_mut() else {
            return Poll::Ready(None);
        };
        match Pin::new(inner).poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => {
                self.waiting = false;
                if let Some(data) = frame.data_ref() {
                    let len = u64::try_from(data.len()).unwrap_or(u64::MAX);
                    self.watch.received.fetch_add(len, Ordering::Relaxed);
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(Some(Err(error))) => Poll::Ready(Some(Err(BodyError::Transport(Arc::new(error))))),
            Poll::Ready(None) => {
                self.inner = None;
                Poll::Ready(None)
            }
            Poll::Pending => {
                if !self.waiting {
                    self.waiting = true;
                    let deadline = Instant::now() + self.idle;
                    self.timer.as_mut().reset(deadline);
                }
                ready!(self.timer.as_mut().poll(cx));
                Poll::Ready(Some(Err(BodyError::Idle(self.idle))))
            }
        }
    }

    fn poll_inspected(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        loop {
            if let Some(inspector) = self.inspector.as_mut()
                && let Some(bytes) = ready!(inspector.poll_next(cx))
            {
                return Poll::Ready(Some(Ok(Frame::data(bytes))));
            }
            let frame = match ready!(self.poll_wire(cx)) {
                Some(Ok(frame)) => Some(frame),
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => None,
            };
            let all_here = self.inner.as_ref().is_none_or(Body::is_end_stream);
            let Some(inspector) = self.inspector.as_mut() else {
                return Poll::Ready(frame.map(Ok));
            };
            let pushed = match frame.map(Frame::into_data) {
                Some(Ok(bytes)) => inspector.push(bytes),
                Some(Err(trailers)) => return Poll::Ready(Some(Ok(trailers))),
                None => {
                    return match inspector.finish() {
                        Ok(()) => inspector.poll_next(cx).map(|bytes| bytes.map(|bytes| Ok(Frame::data(bytes)))),
                        Err(error) => Poll::Ready(Some(Err(error))),
                    };
                }
            };
            let checked = if all_here { pushed.and_then(|()| inspector.finish()) } else { pushed };
            if let Err(error) = checked {
                return Poll::Ready(Some(Err(error)));
            }
        }
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if self.ended {
            return Poll::Ready(None);
        }
        self.watch.started.store(true, Ordering::Relaxed);
        let item = if self.inspector.is_some() { ready!(self.poll_inspected(cx)) } else { ready!(self.poll_wire(cx)) };
        if item.is_none() {
            self.ended = true;
        }
        Poll::Ready(item.map(|frame| frame.map_err(|error| self.fail(error))))
    }

    fn is_end_stream(&self) -> bool {
        self.ended || (self.inspector.is_none() && self.inner.as_ref().is_none_or(Body::is_end_stream))
    }

    fn size_hint(&self) -> SizeHint {
        match self.inner.as_ref() {
            Some(inner) => inner.size_hint(),
            None if self.inspector.is_none() => SizeHint::with_exact(0),
            None => SizeHint::default(),
        }
    }
}

impl Drop for RequestBody {
    fn drop(&mut self) {
        if let Some(inner) = self.inner.take()
            && !inner.is_end_stream()
        {
            *self.watch.unread.lock() = Some(inner);
        }
    }
}

/// Reads and throws away the rest of a body, within limits, so that the client gets to read its answer.
pub async fn drain(mut unread: Incoming, bytes_max: u64, time_max: Duration) {
    let all = async {
        let mut left = bytes_max;
        while let Some(Ok(frame)) = std::future::poll_fn(|cx| Pin::new(&mut unread).poll_frame(cx)).await {
            let len = frame.data_ref().map_or(0, Bytes::len);
            left = left.saturating_sub(u64::try_from(len).unwrap_or(u64::MAX));
            if left == 0 {
                return;
            }
        }
    };
    // Running out of time is as good as running out of bytes: dropping the body closes the connection.
    let _ = tokio::time::timeout(time_max, all).await;
}

/// A socket whose peer must take bytes within a time: hyper alone would wait for a stalled reader for ever.
pub struct WriteIdle<T> {
    io: T,
    limit: Duration,
    timer: Pin<Box<Sleep>>,
    waiting: bool,
}

impl<T> WriteIdle<T> {
    /// Wraps `io`; a write that stands still for `limit` fails with `TimedOut`.
    #[must_use]
    pub fn new(io: T, limit: Duration) -> Self {
        Self { io, limit, timer: Box::pin(sleep(limit)), waiting: false }
    }

    fn guard<R>(&mut self, cx: &mut Context<'_>, poll: Poll<io::Result<R>>) -> Poll<io::Result<R>> {
        if poll.is_ready() {
            self.waiting = false;
            return poll;
        }
        if !self.waiting {
            self.waiting = true;
            let deadline = Instant::now() + self.limit;
            self.timer.as_mut().reset(deadline);
        }
        ready!(self.timer.as_mut().poll(cx));
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the client stopped reading")))
    }
}

impl<T: Read + Unpin> Read for WriteIdle<T> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buf)
    }
}

impl<T: Write + Unpin> Write for WriteIdle<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let poll = Pin::new(&mut self.io).poll_write(cx, buf);
        self.guard(cx, poll)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let poll = Pin::new(&mut self.io).poll_flush(cx);
        self.guard(cx, poll)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let poll = Pin::new(&mut self.io).poll_shutdown(cx);
        self.guard(cx, poll)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let poll = Pin::new(&mut self.io).poll_write_vectored(cx, bufs);
        self.guard(cx, poll)
    }
}
