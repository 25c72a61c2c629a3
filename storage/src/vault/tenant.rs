//! The making of a tenant: a key for its domain on the disks first, then the record, so that no record ever names a domain without a
//! key (R10). A key without a record, after a crash in between, is never used.

use std::path::Path;
use std::sync::Arc;

use kovcheg_format::record::identity::TenantSet;

use crate::engine::Engine;
use crate::error::StorageResult;
use crate::identity::{operator_origin, tenants};
use crate::journal::sequencer::Commit;
use crate::vault::pool::FoundPool;
use crate::vault::{keyrings, operator};

/// Makes a tenant with a domain of its own; durable on more than m disks on return, audited. One at a time: the keyring is written as
/// a whole.
pub fn create(engine: &Arc<Engine>, found: &FoundPool, key_file: &Path, name: &str) -> StorageResult<TenantSet> {
    if let Some(refusal) = engine.refusal() {
        return Err(refusal);
    }
    let mut written = engine.keyring_written.lock();
    // Before a key is made: a refusal leaves nothing.
    tenants::check_new(engine.index.as_ref(), name)?;
    let root = keyrings::root_key(found, key_file)?;
    let (mut keyring, _) = keyrings::load(found, &root)?;
    let domain = keyring.add_domain(*written, engine.clock.wall_ms());
    let domain = domain.ok_or_else(|| operator("there are no more ids for domains"))?;
    // Also when it then reaches too few disks: the next attempt must not look like this one.
    *written = keyring.sequence();
    keyrings::replace(engine, found, &keyring, &root)?;
    if let Some(cipher) = keyring.domain(domain) {
        engine.domains.write().insert(domain, Arc::new(cipher));
    }
    let (by, name) = (operator_origin(), name.to_owned());
    engine.decide(Commit::empty(), move |moment| tenants::propose_create(moment, &name, domain, &by))
}
