//! The traps that S3 servers fell into, each a test named after its number: `docs/clients.md` lists them. What other tests of this
//! folder's parent already did carries its number there (t01, t12, t16).

mod bodies;
mod hours;
mod lists;
mod parts;
mod requests;
