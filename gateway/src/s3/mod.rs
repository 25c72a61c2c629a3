//! The S3 protocol: `s3s` verifies signatures and parses requests, the files here decide what they mean.
//!
//! - [`server`]: listener, connections, shutdown; [`tls`]; [`admission`]: who is let in; `layer`: one request from head to metrics;
//! - [`auth`], `rights`: who may ask; `headers`, `hoisted`, `names`, `checksum`, `document`, `chunked`: what a request says;
//! - [`service`]: the S3 trait, handing over to `bucket`, `settings`, `lifecycle`, `object`, `copy`, `list`, `multipart`, `uploads`, `versions`; `body`: streams
//!   into the vault; `md5`: their ETags.

pub mod admission;
mod attributes;
mod auth;
mod body;
mod bucket;
mod checksum;
mod chunked;
mod context;
mod copy;
mod document;
#[cfg(test)]
mod fixtures;
mod headers;
mod hoisted;
mod layer;
mod lifecycle;
mod list;
mod locks;
mod md5;
mod multipart;
mod names;
mod object;
mod range;
mod respond;
mod rights;
pub mod server;
pub mod service;
mod settings;
mod tags;
pub mod tls;
mod uploads;
mod versions;
