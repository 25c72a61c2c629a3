//! What an operator should be warned of before a vault serves: a decision over plain facts, and where the facts come from.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use crate::config::Config;

/// Where things lie.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// Disks with the device each lies on; `None` when it is not there.
    pub disks: Vec<(PathBuf, Option<u64>)>,
    /// Parity shards: disks that may be lost at once.
    pub m: u8,
    /// The key file and its device.
    pub key_file: (PathBuf, Option<u64>),
}

impl Facts {
    /// Looks at the machine.
    #[must_use]
    pub fn gather(config: &Config) -> Self {
        let disks = config.disks.iter().map(|disk| (disk.path.clone(), device_of(&disk.path))).collect();
        Self { disks, m: config.m, key_file: (config.key_file.clone(), device_of(&config.key_file)) }
    }
}

/// The device of a path, or of the nearest folder above it that exists.
fn device_of(path: &Path) -> Option<u64> {
    path.ancestors().find_map(|place| {
        let place = if place.as_os_str().is_empty() { Path::new(".") } else { place };
        std::fs::metadata(place).ok().map(|found| found.dev())
    })
}

/// What to say, loudest first. Empty for a set-up that keeps its promises.
#[must_use]
pub fn warnings(facts: &Facts) -> Vec<String> {
    let mut out = Vec::new();
    let mut devices: BTreeMap<u64, usize> = BTreeMap::new();
    for device in facts.disks.iter().filter_map(|(_, device)| *device) {
        *devices.entry(device).or_default() += 1;
    }
    let crowded = devices.values().copied().max().unwrap_or_default();
    if crowded > usize::from(facts.m) {
        let (all, m) = (facts.disks.len(), facts.m);
        let words = if crowded == all { "all".to_owned() } else { crowded.to_string() };
        out.push(format!(
            "{words} of the {all} disks are folders on one device, and {all} folders on one device are not {all} disks: \
             if that device fails, the vault is gone, since it survives the loss of {m} disks only. List folders on \
             devices of their own under [[disk]] in a configuration before you keep anything here"
        ));
    }
    let (key_file, device) = &facts.key_file;
    if device.is_some_and(|device| devices.contains_key(&device)) {
        out.push(format!(
            "the key file {} lies on the same device as data disks: whoever takes that device has key and data, and \
             whoever loses it has neither. Keep it elsewhere (`vault.key_file`), and confirm the recovery kit with \
             `kovcheg key confirm`; where the code was never seen, `kovcheg key renew` makes a new one",
            key_file.display()
        ));
    }
    out
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

    use super::{Facts, device_of, warnings};
    use std::path::{Path, PathBuf};

    fn facts(devices: &[u64], m: u8, key: u64) -> Facts {
        let disks = devices.iter().map(|device| (PathBuf::from("/d"), Some(*device))).collect();
        Facts { disks, m, key_file: (PathBuf::from("/k/root.key"), Some(key)) }
    }

    #[test]
    fn one_device_is_not_six_disks() {
        // Goal: the warnings of the default set-up name both troubles.
        let said = warnings(&facts(&[1; 6], 2, 1));
        assert_eq!(said.len(), 2, "{said:?}");
        assert!(said[0].contains("all of the 6 disks") && said[0].contains("are not 6 disks"), "{said:?}");
        assert!(said[1].contains("/k/root.key"), "{said:?}");
    }

    #[test]
    fn warns_exactly_when_one_device_takes_more_than_m_disks_with_it() {
        for (devices, m, loud) in [
            (vec![1, 2, 3, 4, 5, 6], 2, false),
            (vec![1, 1, 2, 2, 3, 3], 2, false),
            (vec![1, 1, 1, 2, 3, 4], 2, true),
            (vec![1, 1], 1, true),
            (vec![1, 2], 1, false),
        ] {
            assert_eq!(!warnings(&facts(&devices, m, 99)).is_empty(), loud, "{devices:?} m={m}");
        }
    }

    #[test]
    fn missing_disks_are_not_counted() {
        let mut facts = facts(&[1, 1, 1], 2, 9);
        facts.disks[0].1 = None;
        assert!(warnings(&facts).is_empty());
    }

    #[test]
    fn device_of_what_is_not_there_yet_is_its_parents() {
        assert_eq!(device_of(Path::new("/absent/a/b")), device_of(Path::new("/")));
        assert_eq!(device_of(Path::new("absent-folder/x")), device_of(Path::new(".")));
    }
}
