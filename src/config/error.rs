//! Why a configuration is refused; every message names the key and says what would be right.

use std::path::PathBuf;

use thiserror::Error;

/// Why a configuration is refused.
#[derive(Debug, Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read the configuration {path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Cause.
        #[source]
        source: std::io::Error,
    },
    /// The file is not TOML, or a value has the wrong type. The detail shows the line.
    #[error("configuration {path}: {detail}")]
    Syntax {
        /// The file.
        path: PathBuf,
        /// The parser's words.
        detail: String,
    },
    /// A key that means nothing.
    #[error("configuration {path}: unknown key `{key}`{}", hint(.nearest.as_deref()))]
    UnknownKey {
        /// The file.
        path: PathBuf,
        /// The key, with its table.
        key: String,
        /// The known key that is most like it.
        nearest: Option<String>,
    },
    /// A value that cannot work.
    #[error("`{key} = {value}` cannot work: {why}")]
    Absurd {
        /// The key, with its table.
        key: &'static str,
        /// Its value.
        value: String,
        /// What would be right.
        why: String,
    },
    /// One folder given as two disks.
    #[error("disk {0} is listed twice; every disk needs a folder of its own")]
    DuplicateDisk(PathBuf),
    /// A path that must not lie on a data disk.
    #[error("`{key}` lies inside the disk {disk}; keys and the index must not lie on data disks")]
    OnDataDisk {
        /// The key, with its table.
        key: &'static str,
        /// The disk.
        disk: PathBuf,
    },
    /// Something that must stay lies in the folder of the index, which is thrown away when it is made anew.
    #[error(
        "`vault.index_dir` holds {place}; the index needs a folder of its own, which `kovcheg rebuild-index` empties"
    )]
    InIndex {
        /// What lies there.
        place: PathBuf,
    },
    /// Fewer disks than a stripe has shards.
    #[error("{disks} disks are too few for k = {k}, m = {m}: a stripe needs {} disks", u16::from(*k) + u16::from(*m))]
    TooFewDisks {
        /// Disks listed.
        disks: usize,
        /// Data shards.
        k: u8,
        /// Parity shards.
        m: u8,
    },
    /// Unencrypted HTTP beyond this machine, which nobody asked for.
    #[error(
        "refusing plain HTTP on {address} (`{key}`): it is not a loopback address, so keys and data would cross the \
         network readably; give --tls-cert and --tls-key (`kovcheg tls self-signed` makes a pair), or say --allow-plain-http where \
         the network is trusted"
    )]
    PlainHttp {
        /// The key, with its table.
        key: &'static str,
        /// The address.
        address: std::net::SocketAddr,
    },
}

fn hint(nearest: Option<&str>) -> String {
    nearest.map(|nearest| format!("; did you mean `{nearest}`?")).unwrap_or_default()
}
