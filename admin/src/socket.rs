//! `DIR/admin.sock`: who may open it, and what happens to one that a dead process left behind.
//!
//! The socket is made under a name of its own, gets mode 0600, and is then renamed into place, so that there is never a
//! moment at which `admin.sock` is open to others; every connection's peer is checked as well. A socket that somebody
//! answers on is never replaced.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::net::unix::SocketAddr;
use tokio::net::{UnixListener, UnixStream};

/// Name of the socket in the vault's directory.
pub const SOCKET_NAME: &str = "admin.sock";
/// Longest path that fits every platform's `sun_path` with room for the temporary name.
const PATH_LEN_MAX: usize = 90;

/// Why the socket could not be made or reached.
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    /// Another process serves this vault.
    #[error("another kovcheg answers on {0}; stop it first, or use another --data directory")]
    Answered(PathBuf),
    /// The operating system refused.
    #[error("{op} {path}: {source}")]
    Io {
        /// What was tried.
        op: &'static str,
        /// On what.
        path: PathBuf,
        /// Cause.
        #[source]
        source: io::Error,
    },
}

fn failed(op: &'static str, path: &Path) -> impl FnOnce(io::Error) -> SocketError {
    let path = path.to_owned();
    move |source| SocketError::Io { op, path, source }
}

/// A way to the vault's directory that is short enough for a socket address, however deep the directory lies.
#[derive(Debug)]
struct ShortFolder {
    path: PathBuf,
    _open: Option<File>,
}

impl ShortFolder {
    fn new(folder: &Path) -> io::Result<Self> {
        if folder.as_os_str().len() + SOCKET_NAME.len() < PATH_LEN_MAX {
            return Ok(Self { path: folder.to_owned(), _open: None });
        }
        let open = File::open(folder)?;
        let path = PathBuf::from(format!("/proc/self/fd/{}", open.as_raw_fd()));
        Ok(Self { path, _open: Some(open) })
    }
}

/// Connects to the socket in `folder`; `None` when there is none or nobody answers on it.
///
/// # Errors
/// When there is a socket that this user may not open, or the operating system refuses otherwise.
pub async fn connect(folder: &Path) -> Result<Option<UnixStream>, SocketError> {
    let path = folder.join(SOCKET_NAME);
    let short = match ShortFolder::new(folder) {
        Ok(short) => short,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed("open the folder of", &path)(error)),
    };
    match UnixStream::connect(short.path.join(SOCKET_NAME)).await {
        Ok(stream) => Ok(Some(stream)),
        Err(error) => match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused | io::ErrorKind::NotADirectory => Ok(None),
            _ => Err(failed("connect to", &path)(error)),
        },
    }
}

/// The listening socket; removed from its folder when dropped.
#[derive(Debug)]
pub struct AdminSocket {
    listener: UnixListener,
    owner: u32,
    path: PathBuf,
    inode: u64,
}

impl AdminSocket {
    /// Makes the socket in `folder`, replacing one that nobody answers on. Call it while holding the vault's lock: that
    /// is what makes two servers on one folder impossible; the socket alone could not.
    ///
    /// # Errors
    /// [`SocketError::Answered`] when somebody answers on the old one.
    pub async fn bind(folder: &Path) -> Result<Self, SocketError> {
        let path = folder.join(SOCKET_NAME);
        if connect(folder).await?.is_some() {
            return Err(SocketError::Answered(path));
        }
        let short = ShortFolder::new(folder).map_err(failed("open the folder of", &path))?;
        let fresh = short.path.join(format!("{SOCKET_NAME}.new"));
        match std::fs::remove_file(&fresh) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed("remove", &fresh)(error)),
            _ => {}
        }
        let listener = UnixListener::bind(&fresh).map_err(failed("listen on", &path))?;
        std::fs::set_permissions(&fresh, std::fs::Permissions::from_mode(0o600)).map_err(failed("protect", &path))?;
        let made = std::fs::metadata(&fresh).map_err(failed("look at", &path))?;
        std::fs::rename(&fresh, short.path.join(SOCKET_NAME)).map_err(failed("put in place", &path))?;
        Ok(Self { listener, owner: made.uid(), path, inode: made.ino() })
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for AdminSocket {
    fn drop(&mut self) {
        // Only our own: another server may have replaced it meanwhile.
        if std::fs::metadata(&self.path).is_ok_and(|found| found.ino() == self.inode) {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

impl axum::serve::Listener for AdminSocket {
    type Io = UnixStream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            match self.listener.accept().await {
                Ok((stream, address)) => match stream.peer_cred() {
                    Ok(peer) if peer.uid() == self.owner || peer.uid() == 0 => return (stream, address),
                    Ok(peer) => tracing::warn!(uid = peer.uid(), "refused a connection to the admin socket"),
                    Err(error) => tracing::warn!(%error, "peer of the admin socket is unknown; refused"),
                },
                Err(error) => {
                    // Out of descriptors, most likely: wait for some to come back instead of spinning.
                    tracing::warn!(%error, "accept on the admin socket failed");
                    tokio::time::sleep(Duration::from_millis(200)).await;
                }
            }
        }
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        self.listener.local_addr()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "tests")]

    use super::{AdminSocket, SOCKET_NAME, SocketError, connect};
    use crate::testing::Folder;
    use std::os::unix::fs::PermissionsExt as _;

    #[tokio::test]
    async fn socket_is_private_and_found_and_removed() {
        // Goal: the mode is 0600, a client finds it, and a clean end leaves nothing behind.
        let folder = Folder::new("socket-private");
        let socket = AdminSocket::bind(folder.path()).await.unwrap();
        let mode = std::fs::metadata(folder.path().join(SOCKET_NAME)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert!(connect(folder.path()).await.unwrap().is_some());
        drop(socket);
        assert!(connect(folder.path()).await.unwrap().is_none());
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[tokio::test]
    async fn answered_socket_is_kept_and_stale_one_replaced() {
        // Goal: a second server is refused while the first answers; a socket that a dead process left is replaced.
        let folder = Folder::new("socket-stale");
        let first = AdminSocket::bind(folder.path()).await.unwrap();
        let second = AdminSocket::bind(folder.path()).await;
        assert!(matches!(second, Err(SocketError::Answered(_))), "{second:?}");
        drop(first);
        let dead = std::os::unix::net::UnixListener::bind(folder.path().join(SOCKET_NAME)).unwrap();
        drop(dead);
        assert!(folder.path().join(SOCKET_NAME).exists());
        let _third = AdminSocket::bind(folder.path()).await.unwrap();
        assert!(connect(folder.path()).await.unwrap().is_some());
    }

    #[tokio::test]
    async fn folder_may_lie_deeper_than_a_socket_address_is_long() {
        // Goal: a folder whose path does not fit into sun_path (108 bytes) works all the same.
        let folder = Folder::new("socket-deep");
        let deep = folder.path().join("d".repeat(120));
        std::fs::create_dir(&deep).unwrap();
        let _socket = AdminSocket::bind(&deep).await.unwrap();
        assert!(connect(&deep).await.unwrap().is_some());
    }

    #[tokio::test]
    async fn missing_folder_means_nobody() {
        let folder = Folder::new("socket-missing");
        assert!(connect(&folder.path().join("absent")).await.unwrap().is_none());
        assert!(connect(&folder.path().join("absent").join("x".repeat(120))).await.unwrap().is_none());
    }
}
