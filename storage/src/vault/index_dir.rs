//! The folder of the index: opening what is in it, and throwing it away.

use std::sync::Arc;

use crate::error::StorageResult;
use crate::index::Index;
use crate::vault::OpenOptions;

/// Opens the index, or makes an empty one in an empty folder.
#[cfg(feature = "rocks")]
pub fn open(options: &OpenOptions) -> StorageResult<Arc<dyn Index>> {
    use crate::index::rocks::{RocksConfig, RocksIndex};
    let config = RocksConfig {
        cache_bytes: options.engine.index_cache_bytes,
        write_buffer_bytes: options.engine.index_write_buffer_bytes,
        ..RocksConfig::default()
    };
    Ok(Arc::new(RocksIndex::open(&options.index_dir, config)?))
}

/// Builds without an index on disk have none to open.
#[cfg(not(feature = "rocks"))]
pub fn open(_options: &OpenOptions) -> StorageResult<Arc<dyn Index>> {
    Err(crate::vault::operator("this build has no index on disk (feature `rocks`); it can only be tested"))
}

/// Removes the index; nothing is lost with it (W-2). A folder that holds anything else is left alone.
#[cfg(feature = "rocks")]
pub fn remove(options: &OpenOptions) -> StorageResult<()> {
    Ok(crate::index::rocks::remove(&options.index_dir)?)
}

/// Builds without an index on disk have none to remove.
#[cfg(not(feature = "rocks"))]
pub fn remove(options: &OpenOptions) -> StorageResult<()> {
    open(options).map(drop)
}
