//! How people and machines run the vault: health and metrics on one listener, control on a private socket.
//!
//! - [`observe`]: `/health/live`, `/health/ready`, `/metrics`; no secrets, no control, nothing else.
//! - [`api`]: `/v0/...` on `DIR/admin.sock`, which only the vault's own user and root may open ([`socket`]).
//! - [`types`]: what the API says, frozen per version; never the engine's own structures.
//! - [`serve`]: both of them until told to end.
//! - [`client`]: the same API from the other side, for the command line.
//! - [`snapshot`]: the vault at a glance, shared by those who ask at the same time.
//! - [`ports`]: what this crate needs from the vault; `src/app.rs` plugs it in.

pub mod api;
pub mod client;
pub mod error;
pub mod observe;
pub mod ports;
pub mod serve;
pub mod snapshot;
pub mod socket;
pub mod types;

#[cfg(test)]
mod testing;
