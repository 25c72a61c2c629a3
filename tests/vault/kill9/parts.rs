//! Writers of multipart uploads for kill -9: a part that was acknowledged is listed with its ETag after the kill, and is what
//! the completed object consists of; a completion or an abort under way at the kill happened as a whole or not at all.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use md5::{Digest, Md5};

use crate::support::data::{self, Rng};
use crate::support::s3::{Call, Client};

/// Every part but the last has at least this many bytes.
const PART_MIN: u64 = 5 << 20;

/// Seed and length of what a part holds.
type Content = (u64, u64);

fn bytes((seed, len): Content) -> Vec<u8> {
    data::random(seed, len as usize)
}

fn etag(content: Content) -> String {
    format!("\"{}\"", hex::encode(Md5::digest(bytes(content))))
}

/// A part: what was acknowledged under its number, and what was on its way at the kill.
#[derive(Debug, Clone, Default)]
struct Part {
    acknowledged: Option<Content>,
    in_flight: Option<Content>,
}

/// How an upload was about to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ending {
    Completion,
    Abort,
}

/// An upload that was acknowledged, and whose end was not.
#[derive(Debug, Clone)]
struct Open {
    id: String,
    parts: BTreeMap<u32, Part>,
    ending: Option<Ending>,
}

impl Open {
    /// Both parts, if both were acknowledged.
    fn whole(&self) -> Option<[Content; 2]> {
        Some([self.parts.get(&1)?.acknowledged?, self.parts.get(&2)?.acknowledged?])
    }
}

/// One writer with one key of its own.
pub struct PartWriter {
    key: String,
    rng: Rng,
    object: Option<[Content; 2]>,
    open: Option<Open>,
    /// Parts, completions and aborts acknowledged over all rounds.
    pub acknowledged: [u64; 3],
}

impl PartWriter {
    /// A writer that has written nothing.
    pub fn new(number: usize, seed: u64) -> Self {
        Self { key: format!("parts{number}"), rng: Rng::new(seed), object: None, open: None, acknowledged: [0; 3] }
    }

    /// Works until the server is gone.
    pub fn work(&mut self, client: &Client, killed: &AtomicBool, acknowledged: &AtomicU64) {
        while !killed.load(Ordering::Relaxed) && self.step(client) {
            acknowledged.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// One request; false when it was not acknowledged.
    fn step(&mut self, client: &Client) -> bool {
        let Some(mut open) = self.open.take() else { return self.create(client) };
        let went = match (open.whole(), self.rng.below(8)) {
            (_, 0) => self.abort(client, &mut open),
            (Some(parts), 1..=4) => self.complete(client, &mut open, parts),
            _ => self.put(client, &mut open),
        };
        if !went || open.ending.is_none() {
            self.open = Some(open);
        }
        went
    }

    fn create(&mut self, client: &Client) -> bool {
        let Ok(answer) = client.send(&Call::new("POST", "bkt", &self.key).query("uploads", "")) else { return false };
        let id = answer.xml("UploadId").filter(|_| answer.ok());
        self.open = id.map(|id| Open { id, parts: BTreeMap::new(), ending: None });
        self.open.is_some()
    }

    fn put(&mut self, client: &Client, open: &mut Open) -> bool {
        // The large part now and then, the small one often: also over itself.
        let number = if open.parts.contains_key(&1) && self.rng.below(4) > 0 { 2 } else { 1 };
        let len = if number == 1 { PART_MIN + self.rng.below(100_000) } else { self.rng.below(300_000) };
        let content = (self.rng.next(), len);
        open.parts.entry(number).or_default().in_flight = Some(content);
        let call = Call::new("PUT", "bkt", &self.key).query("partNumber", number).query("uploadId", &open.id);
        let body = bytes(content);
        let answer = client.send(&call.body(&body));
        let went = answer.is_ok_and(|answer| answer.ok() && answer.header("etag") == Some(etag(content).as_str()));
        if went {
            open.parts.insert(number, Part { acknowledged: Some(content), in_flight: None });
            self.acknowledged[0] += 1;
        }
        went
    }

    fn complete(&mut self, client: &Client, open: &mut Open, parts: [Content; 2]) -> bool {
        open.ending = Some(Ending::Completion);
        let named = [(1, etag(parts[0])), (2, etag(parts[1]))];
        let went = client.try_complete("bkt", &self.key, &open.id, &named).is_ok_and(|answer| answer.ok());
        if went {
            self.object = Some(parts);
            self.acknowledged[1] += 1;
        }
        went
    }

    fn abort(&mut self, client: &Client, open: &mut Open) -> bool {
        open.ending = Some(Ending::Abort);
        let call = Call::new("DELETE", "bkt", &self.key).query("uploadId", &open.id);
        let went = client.send(&call).is_ok_and(|answer| answer.ok());
        self.acknowledged[2] += u64::from(went);
        went
    }

    /// Compares what is there with what may be there, and goes on from what was found.
    pub fn check(&mut self, client: &Client) {
        let ended = self.open.take().map(|open| self.check_upload(client, open));
        let expected = match ended {
            // The completion and the end of its upload are one.
            Some(Some(parts)) => Some(parts),
            _ => self.object,
        };
        let found = client.try_get("bkt", &self.key).unwrap_or_else(|error| panic!("get {}: {error}", self.key));
        let fits = match expected {
            None => found.status == 404,
            Some(parts) => found.ok() && found.body == parts.map(bytes).concat(),
        };
        assert!(fits, "{}: {} with {} bytes, expected {expected:?}", self.key, found.status, found.body.len());
        self.object = expected;
    }

    /// Compares the upload with its listing. The parts of the object that its completion made, if it is gone for that reason.
    fn check_upload(&mut self, client: &Client, mut open: Open) -> Option<[Content; 2]> {
        let call = Call::new("GET", "bkt", &self.key).query("uploadId", &open.id);
        let listed = client.send(&call).unwrap_or_else(|error| panic!("list parts of {}: {error}", self.key));
        if listed.status == 404 && open.ending.is_some() {
            return open.whole().filter(|_| open.ending == Some(Ending::Completion));
        }
        assert!(listed.ok(), "{}: the upload is gone: {} {open:?}", self.key, listed.text());
        let numbers = listed.xml_all("PartNumber");
        let etags: BTreeMap<String, String> = numbers.into_iter().zip(listed.xml_all("ETag")).collect();
        for (number, part) in &mut open.parts {
            let found = etags.get(&number.to_string());
            let is = |content: &Option<Content>| found == content.map(etag).as_ref();
            let fits = [part.acknowledged, part.in_flight].into_iter().find(is);
            let settled = fits.unwrap_or_else(|| panic!("{}: part {number} is {found:?}: {part:?}", self.key));
            *part = Part { acknowledged: settled, in_flight: None };
        }
        assert!(etags.len() <= open.parts.len(), "{}: parts nobody sent: {etags:?}", self.key);
        open.parts.retain(|_, part| part.acknowledged.is_some());
        open.ending = None;
        self.open = Some(open);
        None
    }

    /// Completes what is open, so that the content of every part that a listing vouched for is compared too.
    pub fn finish(&mut self, client: &Client) {
        let Some(open) = self.open.take() else { return };
        let parts: Vec<(u32, Content)> =
            open.parts.iter().filter_map(|(number, part)| Some((*number, part.acknowledged?))).collect();
        if parts.is_empty() {
            return;
        }
        let named: Vec<(u32, String)> = parts.iter().map(|(number, content)| (*number, etag(*content))).collect();
        client.complete("bkt", &self.key, &open.id, &named).expect_ok(&format!("complete {}", self.key));
        let whole: Vec<u8> = parts.iter().flat_map(|(_, content)| bytes(*content)).collect();
        assert!(client.get("bkt", &self.key) == whole, "{}: the content of its parts", self.key);
    }
}
