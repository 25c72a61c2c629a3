//! Records about who may ask.

pub use v1::CredentialSet;

/// First published layout.
pub mod v1 {
    use crate::codec::Blob;
    use crate::id::TenantId;

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
}
