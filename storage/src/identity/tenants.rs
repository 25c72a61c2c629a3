//! Tenants: each has buckets, access keys and a domain of its own, so that nobody learns from deduplication what others store.

use std::ops::ControlFlow;

use kovcheg_format::id::{DomainId, TenantId};
use kovcheg_format::key;
use kovcheg_format::record::Record;
use kovcheg_format::record::audit::{Action, Origin};
use kovcheg_format::record::identity::TenantSet;

use crate::error::{StorageError, StorageResult};
use crate::index::{Column, IndexRead, rows};
use crate::journal::sequencer::Moment;
use crate::object::guard::audit;

/// The tenant that exists from the start.
pub const DEFAULT_TENANT: TenantId = TenantId(1);
/// Its name.
const DEFAULT_NAME: &str = "default";
/// Its domain.
const DEFAULT_DOMAIN: DomainId = DomainId(1);
/// Longest name, bytes.
const NAME_LEN_MAX: usize = 63;

/// Every tenant, by age.
pub fn all(view: &dyn IndexRead) -> StorageResult<Vec<TenantSet>> {
    let first =
        TenantSet { tenant: DEFAULT_TENANT, name: DEFAULT_NAME.to_owned(), domain: DEFAULT_DOMAIN, created_at: 0 };
    let mut tenants = vec![first];
    rows::scan::<TenantSet>(view, Column::Tenant, &[], None, &mut |_, tenant| {
        tenants.push(tenant);
        ControlFlow::Continue(())
    })?;
    Ok(tenants)
}

/// The tenant of this name.
pub fn find(view: &dyn IndexRead, name: &str) -> StorageResult<TenantSet> {
    let found = all(view)?.into_iter().find(|tenant| tenant.name == name);
    found.ok_or_else(|| refused(format!("there is no tenant {name}; `kovcheg tenant list` shows them")))
}

/// Domain of a tenant's content.
pub fn domain_of(view: &dyn IndexRead, tenant: TenantId) -> StorageResult<DomainId> {
    if tenant == DEFAULT_TENANT {
        return Ok(DEFAULT_DOMAIN);
    }
    let row: Option<TenantSet> = rows::get(view, Column::Tenant, &key::tenant(tenant))?;
    row.map(|tenant| tenant.domain)
        .ok_or_else(|| StorageError::Operator(format!("tenant {tenant} is not in the index")))
}

/// Decides the making of a tenant whose domain has a key already.
pub fn propose_create(
    moment: &Moment<'_>,
    name: &str,
    domain: DomainId,
    by: &Origin,
) -> StorageResult<(TenantSet, Vec<Record>)> {
    let tenants = check_new(moment.view, name)?;
    let newest = tenants.iter().map(|tenant| tenant.tenant).max().unwrap_or(DEFAULT_TENANT);
    let next = newest.0.checked_add(1).ok_or_else(|| refused("there are no more ids for tenants".to_owned()))?;
    let new = TenantSet { tenant: TenantId(next), name: name.to_owned(), domain, created_at: moment.now };
    Ok((new.clone(), vec![audit(moment, Action::CreateTenant, by, "", name), new.into()]))
}

/// Whether a tenant of this name can be made; those there are.
pub fn check_new(view: &dyn IndexRead, name: &str) -> StorageResult<Vec<TenantSet>> {
    check_name(name)?;
    let tenants = all(view)?;
    if tenants.iter().any(|tenant| tenant.name == name) {
        return Err(refused(format!("there is a tenant {name} already")));
    }
    Ok(tenants)
}

/// Names are short, in lower case, and fit into paths and commands.
fn check_name(name: &str) -> StorageResult<()> {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let sound = (1..=NAME_LEN_MAX).contains(&name.len()) && name.bytes().all(plain) && !name.starts_with('-');
    if sound {
        Ok(())
    } else {
        Err(refused(format!("{name:?}: 1 to {NAME_LEN_MAX} of a-z, 0-9 and -, not beginning with -")))
    }
}

fn refused(reason: String) -> StorageError {
    StorageError::InvalidArgument { what: "tenant", reason }
}
