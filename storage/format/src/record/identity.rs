//! Records about who may ask.

pub use v1::{
    CredentialRemoved, CredentialSet, GRANT_ALL, GRANT_BYPASS, GRANT_DELETE, GRANT_HOLD, GRANT_LIST, GRANT_READ,
    GRANT_WRITE, GrantSet, TenantSet,
};

/// First published layout.
pub mod v1 {
    use crate::codec::Blob;
    use crate::error::FormatError;
    use crate::id::{DomainId, TenantId};

    /// May read objects.
    pub const GRANT_READ: u8 = 1;
    /// May store objects and make buckets.
    pub const GRANT_WRITE: u8 = 2;
    /// May remove objects and empty buckets.
    pub const GRANT_DELETE: u8 = 4;
    /// May list.
    pub const GRANT_LIST: u8 = 8;
    /// May set and clear legal holds.
    pub const GRANT_HOLD: u8 = 16;
    /// May bypass GOVERNANCE retention.
    pub const GRANT_BYPASS: u8 = 32;
    /// Every right.
    pub const GRANT_ALL: u8 = GRANT_READ | GRANT_WRITE | GRANT_DELETE | GRANT_LIST | GRANT_HOLD | GRANT_BYPASS;

    crate::layout! {
        /// An S3 access key. Also its row in the index, where the secret stays sealed under the metadata key.
        pub struct CredentialSet {
            /// Access key id.
            pub access_key: String,
            /// Nonce and sealed secret.
            pub sealed_secret: Blob,
            /// Tenant it acts for.
            pub tenant: TenantId,
            /// Whether it is the vault's root credential.
            pub root: bool,
            /// Whether requests with it are taken.
            pub enabled: bool,
            /// Wall clock.
            pub created_at: u64,
        }
    }

    crate::layout! {
        /// An S3 access key is gone. Its id is not given out again.
        pub struct CredentialRemoved {
            /// Access key id.
            pub access_key: String,
        }
    }

    crate::layout! {
        /// What an access key may do, within its tenant. Also its row in the index.
        pub struct GrantSet {
            /// Access key id.
            pub access_key: String,
            /// What it is for, in the words of whoever made it.
            pub note: String,
            /// Names of buckets; one that ends in `*` stands for all that begin so.
            pub buckets: Vec<String>,
            /// Sum of [`GRANT_READ`], [`GRANT_WRITE`], [`GRANT_DELETE`], [`GRANT_LIST`], [`GRANT_HOLD`], [`GRANT_BYPASS`].
            pub rights: u8,
        }
        check check_grant
    }

    crate::layout! {
        /// A tenant exists. Also its row in the index. Tenant 1, of domain 1, exists from the start and has none.
        pub struct TenantSet {
            /// Its id.
            pub tenant: TenantId,
            /// Its name, unique in the vault.
            pub name: String,
            /// Domain of its content: keys and deduplication of its own.
            pub domain: DomainId,
            /// Wall clock.
            pub created_at: u64,
        }
    }

    fn check_grant(grant: &GrantSet) -> Result<(), FormatError> {
        if grant.rights & !GRANT_ALL != 0 {
            return Err(FormatError::Invalid { what: "rights of an access key" });
        }
        Ok(())
    }
}
