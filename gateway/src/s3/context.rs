//! What travels with one request from its head to the audit trail.

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use kovcheg_format::id::RequestId;
use kovcheg_format::record::audit::Origin;

/// Longest access key that is written into the audit trail; a longer one is cut.
const ACTOR_BYTES_MAX: usize = 128;

/// Identity of a request. Cheap to clone; lives in the request's extensions.
#[derive(Debug, Clone)]
pub(crate) struct Caller(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    request: RequestId,
    address: SocketAddr,
    host_id: String,
    operation: OnceLock<Box<str>>,
    actor: OnceLock<Box<str>>,
}

impl Caller {
    /// A request that came from `address`; `random` gives its name.
    pub(crate) fn new(random: [u8; 16], server: [u8; 16], address: SocketAddr) -> Self {
        let mut id = [0_u8; 32];
        let (left, right) = id.split_at_mut(16);
        left.copy_from_slice(&server);
        right.copy_from_slice(&random);
        Self(Arc::new(Inner {
            request: RequestId(random),
            address,
            host_id: STANDARD.encode(id),
            operation: OnceLock::new(),
            actor: OnceLock::new(),
        }))
    }

    /// `x-amz-request-id`: 32 upper-case hex digits.
    pub(crate) fn request_id(&self) -> String {
        hex::encode_upper(self.0.request.0)
    }

    /// `x-amz-id-2`: names the server process and the request.
    pub(crate) fn host_id(&self) -> &str {
        &self.0.host_id
    }

    /// Sets what is asked for, once it is known.
    pub(crate) fn set_operation(&self, name: &str) {
        let _ = self.0.operation.set(name.into());
    }

    /// What is asked for; `unknown` until a request was parsed and its signature checked.
    pub(crate) fn operation(&self) -> &str {
        self.0.operation.get().map_or("unknown", |name| name)
    }

    /// Sets who asks, once the signature was checked.
    pub(crate) fn set_actor(&self, access_key: &str) {
        let _ = self.0.actor.set(cut(access_key).into());
    }

    /// Whether the signature was checked and found good.
    pub(crate) fn is_authenticated(&self) -> bool {
        self.0.actor.get().is_some()
    }

    /// Who asks, for the audit trail: the authenticated access key, or what the request claims.
    pub(crate) fn origin(&self, claimed: &str) -> Origin {
        Origin {
            actor: self.0.actor.get().map_or_else(|| cut(claimed).to_owned(), |actor| actor.to_string()),
            address: self.0.address.to_string(),
            request: self.0.request,
        }
    }
}

fn cut(text: &str) -> &str {
    let mut end = text.len().min(ACTOR_BYTES_MAX);
    while !text.is_char_boundary(end) {
        end = end.saturating_sub(1);
    }
    text.get(..end).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::{Caller, cut};

    #[test]
    fn ids_have_the_form_that_clients_expect() {
        let caller = Caller::new([0xab; 16], [1; 16], ([127, 0, 0, 1], 9000).into());
        assert_eq!(caller.request_id(), "AB".repeat(16));
        assert_eq!(caller.operation(), "unknown");
        caller.set_operation("GetObject");
        assert_eq!(caller.operation(), "GetObject");
        assert_eq!(caller.origin("claimed").actor, "claimed");
        assert!(!caller.is_authenticated());
        caller.set_actor("AKROOT");
        let origin = caller.origin("claimed");
        assert_eq!((origin.actor.as_str(), origin.address.as_str()), ("AKROOT", "127.0.0.1:9000"));
    }

    #[test]
    fn long_actors_are_cut_at_a_character() {
        assert_eq!(cut("short"), "short");
        let long = "é".repeat(100);
        assert_eq!(cut(&long).len(), 128);
        assert!(cut(&format!("a{long}")).len() < 128);
    }
}
