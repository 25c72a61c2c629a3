//! Folders of a vault before its first start. After it, a folder that is missing is a missing disk (R15) and stays so.

use std::io::ErrorKind;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;

use crate::config::Config;
use crate::error::AppError;

/// Makes the vault's folder if it is missing, and, when nothing says that there ever was a vault, the disks' folders.
///
/// # Errors
/// [`AppError::Io`] naming the folder; in particular when a listed disk's parent is not there, which is a mount that failed
/// more often than not.
pub fn prepare(config: &Config) -> Result<(), AppError> {
    make(&config.data_dir, true)?;
    if !is_first_start(config) {
        return Ok(());
    }
    for disk in &config.disks {
        make(&disk.path, !config.disks_listed)?;
    }
    Ok(())
}

/// No key file, and no disk with anything on it.
fn is_first_start(config: &Config) -> bool {
    !config.key_file.exists() && config.disks.iter().all(|disk| is_empty(&disk.path))
}

fn is_empty(folder: &Path) -> bool {
    match std::fs::read_dir(folder) {
        Ok(mut entries) => entries.next().is_none(),
        Err(error) => error.kind() == ErrorKind::NotFound,
    }
}

fn make(folder: &Path, with_parents: bool) -> Result<(), AppError> {
    if folder.is_dir() {
        return Ok(());
    }
    std::fs::DirBuilder::new()
        .recursive(with_parents)
        .mode(0o700)
        .create(folder)
        .map_err(AppError::io("make the folder (mount the disk first, or make its parent)", folder))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::prepare;
    use crate::config::{Config, Overrides};
    use std::os::unix::fs::PermissionsExt as _;
    use std::path::{Path, PathBuf};

    fn at(name: &str, text: &str) -> (PathBuf, Config) {
        let folder = std::env::temp_dir().join(format!("kovcheg-folders-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&folder);
        let overrides = Overrides { data: Some(folder.clone()), ..Overrides::default() };
        let config = Config::from_text(text, Path::new("t"), &overrides).unwrap();
        (folder, config)
    }

    #[test]
    fn first_start_makes_private_folders_and_later_ones_make_no_disks() {
        // Goal: a disk that vanished is never replaced by an empty folder of the same name.
        let (folder, config) = at("first", "");
        prepare(&config).unwrap();
        assert!((0..6).all(|number| folder.join(format!("disk{number}")).is_dir()));
        assert_eq!(std::fs::metadata(&folder).unwrap().permissions().mode() & 0o777, 0o700);
        std::fs::remove_dir(folder.join("disk2")).unwrap();
        std::fs::write(folder.join("disk1/superblock"), b"x").unwrap();
        prepare(&config).unwrap();
        assert!(!folder.join("disk2").exists(), "a disk holds something");
        std::fs::remove_file(folder.join("disk1/superblock")).unwrap();
        std::fs::write(folder.join("root.key"), b"x").unwrap();
        prepare(&config).unwrap();
        assert!(!folder.join("disk2").exists(), "there is a key");
        std::fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn listed_disks_need_their_parent() {
        // Goal: a mount point that is not there is an error, not a folder on the system disk.
        let (folder, config) =
            at("listed", "[vault]\nk = 1\nm = 1\n[[disk]]\npath = 'mnt/a/disk'\n[[disk]]\npath = 'mnt/b/disk'\n");
        assert!(prepare(&config).unwrap_err().to_string().contains("mnt/a/disk"));
        std::fs::create_dir_all(folder.join("mnt/a")).unwrap();
        std::fs::create_dir_all(folder.join("mnt/b")).unwrap();
        prepare(&config).unwrap();
        assert!(folder.join("mnt/b/disk").is_dir());
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
