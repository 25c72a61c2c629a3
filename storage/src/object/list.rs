//! Listing (pending).
use crate::error::StorageResult; use crate::index::IndexRead; use crate::object::types::*; use kovcheg_format::id::BucketId; use kovcheg_format::record::upload::UploadCreated;
pub fn list_objects(_v: &dyn IndexRead, _b: BucketId, _q: &ListQuery) -> StorageResult<ListPage> { Ok(ListPage::default()) }
pub fn list_parts(_v: &dyn IndexRead, u: UploadCreated, _a: u16, _m: usize) -> StorageResult<PartPage> { Ok(PartPage{upload:u,parts:vec![],next:None}) }
