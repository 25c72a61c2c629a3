//! Open files: how many the process may have, and how many connections that allows.

use kovcheg_gateway::config::S3Config;

/// Files that the vault itself may have open: shard files of all disks, the index, listeners, the admin's connections.
const OWN_FILES: u64 = 1024;
/// Below this a vault runs out of descriptors under ordinary load.
const FILES_WANTED: u64 = 4096;

/// Raises the limit on open files as far as the system allows without asking anybody, and answers what it is then.
pub fn raise_open_files() -> u64 {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` has room for what is written there.
    if unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) } != 0 {
        tracing::warn!(error = %std::io::Error::last_os_error(), "the limit on open files is unknown");
        return FILES_WANTED;
    }
    let raised = libc::rlimit { rlim_cur: limit.rlim_max, ..limit };
    // SAFETY: `raised` is a whole rlimit.
    if limit.rlim_cur < limit.rlim_max && unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const raised) } == 0 {
        limit = raised;
    }
    let files = limit.rlim_cur;
    if files < FILES_WANTED {
        tracing::warn!(
            files,
            "this process may have {files} files open, and {FILES_WANTED} are wanted; raise the hard limit (`ulimit -Hn`, or \
             LimitNOFILE= in the unit of systemd)"
        );
    }
    files
}

/// Lowers the number of S3 connections to what so many open files allow.
pub fn fit_connections(s3: &mut S3Config, files: u64) {
    let most = usize::try_from(connections(files)).unwrap_or(usize::MAX);
    if s3.connections_max > most {
        tracing::warn!(
            configured = s3.connections_max,
            served = most,
            files,
            "fewer S3 connections are served than configured, since each takes an open file"
        );
        s3.connections_max = most;
    }
}

/// Connections that so many open files allow: what the vault does not need itself, or a quarter where that is next to nothing.
fn connections(files: u64) -> u64 {
    files.saturating_sub(OWN_FILES).max(files / 4).max(1)
}

#[cfg(test)]
mod tests {
    use super::{connections, fit_connections, raise_open_files};
    use kovcheg_gateway::config::S3Config;

    #[test]
    fn connections_leave_files_to_the_vault() {
        for (files, most) in [(1_048_576, 1_047_552), (4096, 3072), (1024, 256), (256, 64), (0, 1)] {
            assert_eq!(connections(files), most, "{files}");
        }
        let mut s3 = S3Config { connections_max: 4096, ..S3Config::default() };
        fit_connections(&mut s3, 1 << 20);
        assert_eq!(s3.connections_max, 4096, "enough for all");
        fit_connections(&mut s3, 4096);
        assert_eq!(s3.connections_max, 3072);
    }

    #[test]
    fn the_soft_limit_becomes_the_hard_one() {
        let files = raise_open_files();
        assert!(files > 0);
        assert_eq!(raise_open_files(), files, "raised once");
    }
}
