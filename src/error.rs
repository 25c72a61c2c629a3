//! How a command ends. Exit codes are made of this in `main.rs`.

use std::net::SocketAddr;
use std::path::PathBuf;

use kovcheg_admin::client::ClientError;
use kovcheg_admin::socket::SocketError;
use kovcheg_gateway::s3::tls::TlsError;
use kovcheg_storage::error::StorageError;
use thiserror::Error;

use crate::config::ConfigError;

/// A command that did what it was asked to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing wrong was found.
    Fine,
    /// Damage was found, or somebody is needed.
    Damage,
}

/// A command that could not do what it was asked to; the message says what to do next.
#[derive(Debug, Error)]
pub enum AppError {
    /// The configuration cannot work.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The engine refused or failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The running server refused or failed.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The admin socket.
    #[error(transparent)]
    Socket(#[from] SocketError),
    /// Certificate and key of the S3 listener.
    #[error("TLS: {0}")]
    Tls(#[from] TlsError),
    /// The S3 listener ended.
    #[error("the S3 listener failed: {0}")]
    Gateway(String),
    /// A listener cannot be made.
    #[error("cannot listen on {address} (`{key}`): {source}; is something else running there?")]
    Listen {
        /// The setting.
        key: &'static str,
        /// The address.
        address: SocketAddr,
        /// Cause.
        #[source]
        source: std::io::Error,
    },
    /// A file or folder.
    #[error("cannot {op} {path}: {source}")]
    Io {
        /// What was tried.
        op: &'static str,
        /// On what.
        path: PathBuf,
        /// Cause.
        #[source]
        source: std::io::Error,
    },
    /// Root credentials from the environment cannot be used.
    #[error("root credentials: {0}")]
    Credentials(String),
    /// A command that looks at a vault, where none is.
    #[error(
        "there is no vault at {data_dir}: no superblock on {disks}; name the vault with --data or --config, or mount its disks. \
         Nothing was made"
    )]
    NoVault {
        /// Where it was looked for.
        data_dir: PathBuf,
        /// The disks, by path.
        disks: String,
    },
    /// A command that needs the vault for itself.
    #[error("a server runs on {0}; stop it first: this command needs the vault for itself")]
    ServerRuns(PathBuf),
    /// Something is in the way that must not be overwritten.
    #[error("{path} exists already; {advice}")]
    InTheWay {
        /// What.
        path: PathBuf,
        /// What to do.
        advice: &'static str,
    },
    /// Bad input to a command.
    #[error("{0}")]
    Usage(String),
    /// A verification was stopped before its end.
    #[error("stopped before the end; what was looked at so far is in the report")]
    Interrupted,
    /// The process's own machinery.
    #[error("cannot start {what}: {reason}")]
    Machinery {
        /// Which.
        what: &'static str,
        /// Why.
        reason: String,
    },
    /// A second signal.
    #[error("stopped at once by a second signal; the next start replays the journal's tail")]
    Forced,
}

impl AppError {
    /// For `map_err` on file operations.
    pub fn io(op: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { op, path, source }
    }
}
