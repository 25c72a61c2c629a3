//! The root key and its file: the one secret outside the data disks (W-2).
//!
//! The file is two lines of text, so that it can be copied by hand if it must: a header and 64 hex digits.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use kovcheg_format::id::PoolId;
use thiserror::Error;
use zeroize::Zeroizing;

use crate::chunk::random::{random_bytes, random_secret};
use crate::error::StorageError;

/// First line of a key file.
const HEADER: &str = "kovcheg root key v1";
/// Longest key file that is read: header, digits and a few line ends.
const FILE_LEN_MAX: u32 = 256;
/// Permissions of a key file: its owner reads and writes, nobody else does anything.
const MODE: u32 = 0o600;

/// Why a key file could not be used.
#[derive(Debug, Error)]
pub enum KeyFileError {
    /// There is none.
    #[error(
        "there is no key file {path}; bring it back, or make it anew with `kovcheg key recover` and the recovery kit"
    )]
    Missing {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// There is one already.
    #[error("{path} exists already; a key file is never overwritten, so move it away if it is not needed")]
    Exists {
        /// Where.
        path: PathBuf,
    },
    /// Others than its owner may read or write it.
    #[error("others than its owner can reach the key file {path} (mode {mode:o}); run `chmod 600` on it")]
    Permissions {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// It is not a key file.
    #[error("{path} is not a key file of this release: {reason}")]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong with it; never its content.
        reason: &'static str,
    },
    /// The operating system refused.
    #[error("{op} the key file {path}")]
    Io {
        /// What was tried.
        op: &'static str,
        /// The file.
        path: PathBuf,
        /// Cause.
        #[source]
        source: io::Error,
    },
}

impl From<KeyFileError> for StorageError {
    fn from(error: KeyFileError) -> Self {
        match error {
            KeyFileError::Io { ref source, .. } => Self::Operator(format!("{error}: {source}")),
            _ => Self::Operator(error.to_string()),
        }
    }
}

/// The root key of a vault. Wiped when dropped.
#[derive(Clone)]
pub struct RootKey(Zeroizing<[u8; 32]>);

impl RootKey {
    /// A new random key.
    ///
    /// # Panics
    /// When the kernel has no randomness.
    #[must_use]
    pub fn generate() -> Self {
        Self(random_secret())
    }

    /// The key whose bytes a recovery kit gave back.
    #[must_use]
    pub(super) fn from_bytes(bytes: Zeroizing<[u8; 32]>) -> Self {
        Self(bytes)
    }

    pub(super) fn bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Reads a key file that only its owner can reach.
    pub fn load(path: &Path) -> Result<Self, KeyFileError> {
        let io = |op| move |source| KeyFileError::Io { op, path: path.into(), source };
        let file = match File::open(path) {
            Ok(file) => file,
            Err(source) if source.kind() == io::ErrorKind::NotFound => {
                return Err(KeyFileError::Missing { path: path.into() });
            }
            Err(source) => return Err(io("open")(source)),
        };
        let found = file.metadata().map_err(io("examine"))?;
        let mode = found.permissions().mode() & 0o7777;
        if mode & 0o077 != 0 {
            return Err(KeyFileError::Permissions { path: path.into(), mode });
        }
        let malformed = |reason| KeyFileError::Malformed { path: path.into(), reason };
        if !found.is_file() || found.len() > FILE_LEN_MAX.into() {
            return Err(malformed("it is not a short regular file"));
        }
        // Room for all of it from the start: a buffer that grows leaves unwiped copies behind.
        let mut text = Zeroizing::new(Vec::with_capacity(2 * FILE_LEN_MAX as usize));
        file.take(FILE_LEN_MAX.into()).read_to_end(&mut text).map_err(io("read"))?;
        parse(&text).map_err(malformed)
    }

    /// Writes a new key file, mode 0600. On return it survives power loss; on error or a crash there is none of this name.
    pub fn save(&self, path: &Path) -> Result<(), KeyFileError> {
        let io = |op| move |source| KeyFileError::Io { op, path: path.into(), source };
        let name = path.file_name().ok_or_else(|| io("name")(io::ErrorKind::InvalidInput.into()))?;
        let folder = match path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        let draft = folder.join(format!(".{}.{}", name.to_string_lossy(), hex::encode(random_bytes::<8>())));
        let written = self.write_draft(&draft).map_err(io("write"));
        // A link fails where the name is taken; a rename would replace the only key of another vault.
        let linked = written.and_then(|()| {
            fs::hard_link(&draft, path).map_err(|source| match source.kind() {
                io::ErrorKind::AlreadyExists => KeyFileError::Exists { path: path.into() },
                _ => io("name")(source),
            })
        });
        let removed = match fs::remove_file(&draft) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => Err(io("remove the draft of")(source)),
            _ => Ok(()),
        };
        linked?;
        removed?;
        File::open(folder).and_then(|folder| folder.sync_all()).map_err(io("sync the folder of"))
    }

    fn write_draft(&self, draft: &Path) -> io::Result<()> {
        let mut digits = Zeroizing::new([0; 64]);
        hex::encode_to_slice(*self.0, &mut *digits).map_err(io::Error::other)?;
        let mut file = OpenOptions::new().write(true).create_new(true).mode(MODE).open(draft)?;
        file.write_all(HEADER.as_bytes())?;
        file.write_all(b"\n")?;
        file.write_all(&*digits)?;
        file.write_all(b"\n")?;
        file.sync_all()
    }

    /// Tells this key from another without telling what it is: `Superblock::key_check` of a pool.
    #[must_use]
    pub fn check(&self, pool: PoolId) -> [u8; 32] {
        *blake3::keyed_hash(&self.0, &pool.0).as_bytes()
    }
}

impl fmt::Debug for RootKey {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("RootKey").finish_non_exhaustive()
    }
}

fn parse(text: &[u8]) -> Result<RootKey, &'static str> {
    let rest = text.strip_prefix(HEADER.as_bytes()).ok_or("its first line is another")?;
    let digits = rest.trim_ascii();
    if digits.len() == rest.len() || !rest.starts_with(b"\n") && !rest.starts_with(b"\r\n") {
        return Err("its first line is another");
    }
    let mut key = Zeroizing::new([0; 32]);
    hex::decode_to_slice(digits, &mut *key).map_err(|_| "its second line is not 64 hex digits")?;
    Ok(RootKey(key))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use std::fs;
    use std::os::unix::fs::PermissionsExt;
    use std::path::PathBuf;

    use kovcheg_format::id::PoolId;

    use super::{KeyFileError, RootKey};
    use crate::chunk::random::random_bytes;

    struct Folder(PathBuf);

    impl Folder {
        fn new() -> Self {
            let path = std::env::temp_dir().join(format!("kovcheg-keys-{}", hex::encode(random_bytes::<8>())));
            fs::create_dir(&path).unwrap();
            Self(path)
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            fs::remove_dir_all(&self.0).unwrap();
        }
    }

    #[test]
    fn a_saved_key_loads() {
        // Goal: the round trip, the mode, no leftovers. Method: save, look at the folder, load.
        let folder = Folder::new();
        let path = folder.0.join("root.key");
        let key = RootKey::generate();
        key.save(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o600);
        assert_eq!(fs::read_dir(&folder.0).unwrap().count(), 1);
        assert_eq!(RootKey::load(&path).unwrap().bytes(), key.bytes());
        assert_ne!(RootKey::generate().bytes(), key.bytes());
    }

    #[test]
    fn a_key_file_is_never_overwritten() {
        // Goal: no start of a second vault can destroy the first one's key. Method: save onto a file, read it again.
        let folder = Folder::new();
        let path = folder.0.join("root.key");
        let key = RootKey::generate();
        key.save(&path).unwrap();
        assert!(matches!(RootKey::generate().save(&path), Err(KeyFileError::Exists { .. })));
        assert_eq!(RootKey::load(&path).unwrap().bytes(), key.bytes());
        assert_eq!(fs::read_dir(&folder.0).unwrap().count(), 1, "no draft is left");
        let nowhere = folder.0.join("nowhere").join("root.key");
        assert!(matches!(key.save(&nowhere), Err(KeyFileError::Io { .. })));
    }

    #[test]
    fn each_bad_file_has_its_own_error() {
        // Goal: an operator learns what to do. Method: absent, open to the group, wrong header, wrong digits, a folder.
        let folder = Folder::new();
        let path = folder.0.join("root.key");
        assert!(matches!(RootKey::load(&path), Err(KeyFileError::Missing { .. })));
        RootKey::generate().save(&path).unwrap();
        for mode in [0o640, 0o604, 0o660, 0o610] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            let error = RootKey::load(&path).unwrap_err();
            assert!(matches!(error, KeyFileError::Permissions { mode: found, .. } if found == mode), "{error}");
            assert!(error.to_string().contains("chmod 600"));
        }
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        let good = fs::read_to_string(&path).unwrap();
        for bad in [
            String::new(),
            good.replace("v1", "v2"),
            good.replace('\n', ""),
            good.replacen('\n', "0\n", 1),
            format!("{good}00"),
            good.replacen("key v1\n", "key v1\nx", 1),
            good.chars().take(good.len() - 3).collect(),
            "x".repeat(1000),
        ] {
            fs::write(&path, &bad).unwrap();
            let error = RootKey::load(&path).unwrap_err();
            assert!(matches!(error, KeyFileError::Malformed { .. }), "{bad:?}: {error}");
        }
        fs::write(
            &path,
            good.replace('\n', "\r\n").to_uppercase().replace("KOVCHEG ROOT KEY V1", "kovcheg root key v1"),
        )
        .unwrap();
        RootKey::load(&path).unwrap();
        fs::set_permissions(&folder.0, fs::Permissions::from_mode(0o700)).unwrap();
        assert!(matches!(RootKey::load(&folder.0), Err(KeyFileError::Malformed { .. })));
    }

    #[test]
    fn the_check_tells_keys_and_pools_apart() {
        // Goal: a wrong key file is told from a damaged keyring. Method: vary each; a golden value; no secret in Debug.
        let key = RootKey::from_bytes([3; 32].into());
        assert_ne!(key.check(PoolId([1; 16])), key.check(PoolId([2; 16])));
        assert_ne!(key.check(PoolId([1; 16])), RootKey::from_bytes([4; 32].into()).check(PoolId([1; 16])));
        assert_eq!(key.check(PoolId([1; 16])), *blake3::keyed_hash(&[3; 32], &[1; 16]).as_bytes());
        assert_eq!(format!("{key:?}"), "RootKey { .. }");
    }
}
