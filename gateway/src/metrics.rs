//! Names of the gateway's metrics, and the one place that records them. Labels come from closed sets: operation names of
//! S3 and classes of status codes, never buckets, keys or addresses.

use std::time::Duration;

use metrics::{Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};

/// Requests answered, by `op` and `code_class`.
pub const REQUESTS: &str = "kovcheg_s3_requests_total";
/// Bytes of request bodies as they came over the wire.
pub const BYTES_IN: &str = "kovcheg_s3_received_bytes_total";
/// Bytes of response bodies.
pub const BYTES_OUT: &str = "kovcheg_s3_sent_bytes_total";
/// Requests in progress.
pub const IN_FLIGHT: &str = "kovcheg_s3_requests_in_flight";
/// Open connections.
pub const CONNECTIONS: &str = "kovcheg_s3_connections";
/// From the head of a request to the last byte of its answer, by `op`.
pub const DURATION: &str = "kovcheg_s3_request_duration_seconds";
/// Requests and connections turned away because a limit was reached, by `limit`.
pub const REFUSED: &str = "kovcheg_s3_refused_total";
/// Requests that panicked and were answered 500.
pub const PANICS: &str = "kovcheg_s3_panics_total";

/// Registers help texts and units with the installed recorder.
pub fn describe() {
    describe_counter!(REQUESTS, "S3 requests answered, by operation and class of status code");
    describe_counter!(BYTES_IN, Unit::Bytes, "bytes of S3 request bodies received, framing included");
    describe_counter!(BYTES_OUT, Unit::Bytes, "bytes of S3 response bodies sent");
    describe_gauge!(IN_FLIGHT, "S3 requests in progress");
    describe_gauge!(CONNECTIONS, "open S3 connections");
    describe_histogram!(DURATION, Unit::Seconds, "duration of S3 requests, bodies included");
    describe_counter!(REFUSED, "requests and connections turned away because a limit was reached");
    describe_counter!(PANICS, "S3 requests that panicked and were answered with an internal error");
}

/// The class of an HTTP status: `2xx`, `3xx`, `4xx`, `5xx` or `other`.
#[must_use]
pub fn code_class(status: u16) -> &'static str {
    match status {
        200..=299 => "2xx",
        300..=399 => "3xx",
        400..=499 => "4xx",
        500..=599 => "5xx",
        _ => "other",
    }
}

/// Records one finished request.
pub(crate) fn request_done(op: &str, status: u16, received: u64, sent: u64, took: Duration) {
    counter!(REQUESTS, "op" => op.to_owned(), "code_class" => code_class(status)).increment(1);
    counter!(BYTES_IN).increment(received);
    counter!(BYTES_OUT).increment(sent);
    histogram!(DURATION, "op" => op.to_owned()).record(took.as_secs_f64());
}

/// Records a refusal by a limit (`connections` or `requests`).
pub(crate) fn refused(limit: &'static str) {
    counter!(REFUSED, "limit" => limit).increment(1);
}

/// Records a panic.
pub(crate) fn panicked() {
    counter!(PANICS).increment(1);
}

/// Counts itself in a gauge for as long as it lives.
#[derive(Debug)]
pub(crate) struct Counted(&'static str);

impl Counted {
    /// Raises the gauge.
    pub(crate) fn new(name: &'static str) -> Self {
        gauge!(name).increment(1.0);
        Self(name)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        gauge!(self.0).decrement(1.0);
    }
}

#[cfg(test)]
mod tests {
    use super::code_class;

    #[test]
    fn every_status_has_a_class() {
        let cases =
            [(100, "other"), (200, "2xx"), (206, "2xx"), (304, "3xx"), (412, "4xx"), (503, "5xx"), (600, "other")];
        for (status, class) in cases {
            assert_eq!(code_class(status), class, "{status}");
        }
    }
}
