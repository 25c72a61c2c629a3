//! A record as an entry of the audit trail: one line of JSON, its fields fixed and in a fixed order (docs/audit.md). Frozen: a field is only ever
//! added behind the others, and only shown when it is not what it was before there was one.

use std::fmt::Write as _;

use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::id::{AuditHash, Lsn};
use crate::record::Record;
use crate::record::audit::{Audit, Origin};
use crate::record::hold::CaseHoldPlaced;
use crate::record::version::{Pair, RetentionMode, VersionPut};
use crate::units::TimestampMs;

/// What stands between an entry and its hash in a line of an export.
const CHAIN_FIELD: &str = ",\"chain\":\"";

/// The text of the entry that a record is; `None` for records about where bytes lie, which are none.
#[must_use]
pub fn entry_text(number: u64, lsn: Lsn, retention_clock: TimestampMs, record: &Record) -> Option<String> {
    let mut text = Text::begin(number, lsn, retention_clock, kind(record)?);
    tell(&mut text, record);
    let body = Sha256::new()
        .chain_update(record.tag().to_le_bytes())
        .chain_update(record.version().to_le_bytes())
        .chain_update(record.body())
        .finalize();
    Some(text.end(&hex::encode(body)))
}

/// Name of the kind of a record that is an entry.
fn kind(record: &Record) -> Option<&'static str> {
    let is_entry = match record {
        Record::CheckpointTaken(_)
        | Record::ClockTicked(_)
        | Record::SegmentOpened(_)
        | Record::SegmentClosed(_)
        | Record::StripeAdded(_)
        | Record::ChunksInlined(_)
        | Record::NodeAdded(_)
        | Record::ChunksDamaged(_) => false,
        Record::EpochStarted(_)
        | Record::MembersChanged(_)
        | Record::DiskStateChanged(_)
        | Record::BucketCreated(_)
        | Record::BucketDeleted(_)
        | Record::VersioningSet(_)
        | Record::ObjectLockSet(_)
        | Record::CaseHoldPlaced(_)
        | Record::LifecycleSet(_)
        | Record::QuotaSet(_)
        | Record::VersionPut(_)
        | Record::VersionRemoved(_)
        | Record::RetentionSet(_)
        | Record::LegalHoldSet(_)
        | Record::TagsSet(_)
        | Record::UploadCreated(_)
        | Record::PartPut(_)
        | Record::UploadEnded(_)
        | Record::UploadLocked(_)
        | Record::Audit(_)
        | Record::CredentialSet(_)
        | Record::CredentialRemoved(_)
        | Record::GrantSet(_)
        | Record::TenantSet(_) => true,
    };
    let name = Record::TAGS.iter().find(|(tag, _)| *tag == record.tag()).map(|(_, name)| *name);
    name.filter(|_| is_entry)
}

/// A line of an export: the entry, and the head of the chain after it as its last field.
#[must_use]
pub fn export_line(text: &str, chain: AuditHash) -> String {
    let open = text.strip_suffix('}').unwrap_or(text);
    format!("{open}{CHAIN_FIELD}{chain}\"}}")
}

/// The reverse of [`export_line`]; `None` when a line has no such field at its end.
#[must_use]
pub fn split_line(line: &str) -> Option<(String, AuditHash)> {
    let (open, rest) = line.rsplit_once(CHAIN_FIELD)?;
    let mut chain = [0; 32];
    hex::decode_to_slice(rest.strip_suffix("\"}")?, &mut chain).ok()?;
    Some((format!("{open}}}"), AuditHash(chain)))
}

/// One line of JSON in the making.
struct Text(String);

impl Text {
    fn begin(number: u64, lsn: Lsn, retention_clock: TimestampMs, kind: &str) -> Self {
        Self(format!("{{\"n\":{number},\"lsn\":{lsn},\"clock\":{retention_clock},\"kind\":\"{kind}\""))
    }

    fn end(mut self, body: &str) -> String {
        let _ = write!(self.0, ",\"record\":\"{body}\"}}");
        self.0
    }

    /// A field whose value JSON writes as it is.
    fn plain(&mut self, name: &str, value: impl std::fmt::Display) -> &mut Self {
        let _ = write!(self.0, ",\"{name}\":{value}");
        self
    }

    fn text(&mut self, name: &str, value: impl Into<String>) -> &mut Self {
        self.plain(name, Value::String(value.into()))
    }

    fn list(&mut self, name: &str, values: impl Iterator<Item = Value>) -> &mut Self {
        self.plain(name, Value::Array(values.collect()))
    }

    fn texts(&mut self, name: &str, values: &[String]) -> &mut Self {
        self.list(name, values.iter().cloned().map(Value::String))
    }

    fn pairs(&mut self, name: &str, pairs: &[Pair]) -> &mut Self {
        self.list(name, pairs.iter().map(|pair| Value::from(vec![pair.name.clone(), pair.value.clone()])))
    }

    fn by(&mut self, by: &Origin) -> &mut Self {
        self.text("actor", &*by.actor).text("address", &*by.address).text("request", by.request.to_string())
    }

    fn locks(&mut self, mode: RetentionMode, retain_until: u64, legal_hold: bool) -> &mut Self {
        self.text("retention", format!("{mode:?}")).plain("retain_until", retain_until).plain("legal_hold", legal_hold)
    }

    /// Bucket, key and version.
    fn version(&mut self, bucket: impl std::fmt::Display, key: &str, version: impl ToString) -> &mut Self {
        self.plain("bucket", bucket).text("key", key).text("version", version.to_string())
    }
}

fn tell(out: &mut Text, record: &Record) {
    match record {
        Record::Audit(audit) => tell_audit(out, audit),
        Record::VersionPut(version) => tell_version(out, version),
        Record::CaseHoldPlaced(hold) => tell_hold(out, hold),
        Record::LifecycleSet(set) => {
            let ids = set.rules.iter().map(|rule| Value::String(rule.id.clone()));
            out.plain("bucket", set.bucket).list("rules", ids).by(&set.by);
        }
        Record::VersionRemoved(gone) => drop(out.version(gone.bucket, &gone.key, gone.version)),
        Record::RetentionSet(set) => {
            out.version(set.bucket, &set.key, set.version).text("retention", format!("{:?}", set.mode));
            out.plain("retain_until", set.retain_until).by(&set.by);
        }
        Record::LegalHoldSet(set) => {
            out.version(set.bucket, &set.key, set.version).plain("legal_hold", set.on).by(&set.by);
        }
        Record::TagsSet(set) => {
            out.version(set.bucket, &set.key, set.version).pairs("tags", &set.tags).by(&set.by);
        }
        Record::UploadCreated(_) | Record::PartPut(_) | Record::UploadEnded(_) | Record::UploadLocked(_) => {
            tell_upload(out, record);
        }
        Record::BucketCreated(_)
        | Record::BucketDeleted(_)
        | Record::VersioningSet(_)
        | Record::ObjectLockSet(_)
        | Record::QuotaSet(_) => tell_bucket(out, record),
        Record::CredentialSet(_) | Record::CredentialRemoved(_) | Record::GrantSet(_) | Record::TenantSet(_) => {
            tell_identity(out, record);
        }
        _ => tell_pool(out, record),
    }
}

fn tell_audit(out: &mut Text, audit: &Audit) {
    out.text("action", format!("{:?}", audit.action)).text("verdict", format!("{:?}", audit.verdict));
    out.texts("reasons", &audit.reasons).plain("count", audit.count);
    out.text("bucket_name", &*audit.bucket).text("key", &*audit.key).text("version", audit.version.to_string());
    out.plain("at", audit.at).by(&audit.by);
}

fn tell_version(out: &mut Text, version: &VersionPut) {
    out.version(version.bucket, &version.key, version.version).plain("null_version", version.null_version);
    out.text("what", format!("{:?}", version.kind)).plain("size", version.size).text("etag", &*version.etag);
    let facts = &version.facts;
    out.pairs("tags", &version.tags).locks(facts.retention, facts.retain_until, facts.legal_hold);
    out.plain("at", version.created_at).by(&version.by);
}

fn tell_hold(out: &mut Text, hold: &CaseHoldPlaced) {
    out.plain("hold", hold.hold).text("case", &*hold.case).text("scope", format!("{:?}", hold.scope));
    out.version(hold.bucket, &hold.key, hold.version).pairs("tag", std::slice::from_ref(&hold.tag));
    out.text("note", &*hold.note).plain("at", hold.placed_at).by(&hold.by);
}

fn tell_upload(out: &mut Text, record: &Record) {
    match record {
        Record::UploadCreated(upload) => {
            out.plain("bucket", upload.bucket).text("key", &*upload.key).text("upload", upload.upload.to_string());
            out.plain("at", upload.created_at).by(&upload.by);
        }
        Record::PartPut(part) => {
            out.text("upload", part.upload.to_string()).plain("part", part.number).plain("size", part.size);
            out.text("etag", &*part.etag).plain("at", part.created_at);
        }
        Record::UploadEnded(ended) => {
            out.plain("bucket", ended.bucket).text("key", &*ended.key).text("upload", ended.upload.to_string());
            out.text("outcome", format!("{:?}", ended.outcome)).by(&ended.by);
        }
        Record::UploadLocked(locked) => {
            out.text("upload", locked.upload.to_string()).locks(locked.mode, locked.retain_until, locked.legal_hold);
        }
        _ => {}
    }
}

fn tell_bucket(out: &mut Text, record: &Record) {
    match record {
        Record::BucketCreated(bucket) => {
            out.plain("bucket", bucket.bucket).text("bucket_name", &*bucket.name).plain("tenant", bucket.tenant);
            out.plain("object_lock", bucket.object_lock).plain("at", bucket.created_at).by(&bucket.by);
        }
        Record::BucketDeleted(deleted) => drop(out.plain("bucket", deleted.bucket).by(&deleted.by)),
        Record::VersioningSet(set) => {
            out.plain("bucket", set.bucket).text("versioning", format!("{:?}", set.state)).by(&set.by);
        }
        Record::ObjectLockSet(set) => {
            out.plain("bucket", set.bucket).text("retention", format!("{:?}", set.mode));
            out.plain("days", set.days).plain("years", set.years).by(&set.by);
        }
        Record::QuotaSet(set) => {
            out.plain("bucket", set.bucket).plain("quota", Value::from(set.bytes)).by(&set.by);
        }
        _ => {}
    }
}

/// Secrets stay where they are: sealed, in the record.
fn tell_identity(out: &mut Text, record: &Record) {
    match record {
        Record::CredentialSet(set) => {
            out.text("access_key", &*set.access_key).plain("tenant", set.tenant).plain("root", set.root);
            out.plain("enabled", set.enabled).plain("at", set.created_at);
        }
        Record::CredentialRemoved(removed) => drop(out.text("access_key", &*removed.access_key)),
        Record::GrantSet(set) => {
            out.text("access_key", &*set.access_key).text("note", &*set.note).texts("buckets", &set.buckets);
            out.plain("rights", set.rights);
        }
        Record::TenantSet(set) => {
            out.plain("tenant", set.tenant).text("name", &*set.name).plain("domain", set.domain);
            out.plain("at", set.created_at);
        }
        _ => {}
    }
}

fn tell_pool(out: &mut Text, record: &Record) {
    match record {
        Record::EpochStarted(started) => {
            out.plain("epoch", started.epoch).plain("last_lsn", started.last_lsn);
            out.text("last_hash", started.last_hash.to_string()).text("release", &*started.release);
            out.plain("at", started.started_at);
        }
        Record::MembersChanged(changed) => {
            let member = |member: &crate::record::pool::Member| {
                Value::from(vec![member.disk.to_string(), format!("{:?}", member.state)])
            };
            out.plain("generation", changed.generation).list("disks", changed.members.iter().map(member));
        }
        Record::DiskStateChanged(changed) => {
            out.text("disk", changed.disk.to_string()).text("state", format!("{:?}", changed.state));
            out.text("reason", &*changed.reason).plain("at", changed.changed_at);
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::{AuditHash, export_line, split_line};

    #[test]
    fn a_line_is_split_where_it_was_joined_whatever_the_entry_says() {
        for text in ["{}", "{\"key\":\"a\\\",\\\"chain\\\":\\\"b\"}", "{\"key\":\",chain:\"}"] {
            let line = export_line(text, AuditHash([7; 32]));
            assert_eq!(split_line(&line).unwrap(), (text.to_owned(), AuditHash([7; 32])));
        }
        for wrong in ["", "{}", "{,\"chain\":\"00\"}", "x,\"chain\":\"", "{\"chain\":\"\"}"] {
            assert!(split_line(wrong).is_none(), "{wrong}");
        }
    }
}
