//! The one bridge between async gateways and the synchronous engine.
//!
//! Every call is queued to the engine's bounded pool of CPU workers (or to the sequencer) and awaited; a full queue makes the
//! caller wait, which is the back-pressure a client feels. Futures may be dropped at any await: a [`PutStream`] dropped
//! before `commit` leaves nothing that clients can see.

use bytes::Bytes;
use kovcheg_format::id::UploadId;
use kovcheg_format::record::audit::Origin;
use kovcheg_format::record::bucket::BucketCreated;
use kovcheg_format::record::upload::PartPut;
use kovcheg_format::record::version::{Checksum, VersionPut};

use crate::error::StorageResult;
use crate::object::types::{
    BodyObserver, Credential, DeleteOutcome, ListPage, ListQuery, NamedPart, NewBucket, NewUpload, NewVersion, PartPage,
    UploadRef,
};
