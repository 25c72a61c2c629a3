//! Goal (W-2): what the index costs at size. Rebuilding it reads < 3 % of a 16 GiB vault and gives the same rows. Method:
//! incompressible unique data through S3, the kernel's count of bytes read by the process, both indexes compared row by row.
//!
//! Nothing here fails because of a slow machine: times are printed, counts are asserted.

use std::fs::{self, File};
use std::ops::ControlFlow;
use std::path::Path;
use std::time::{Duration, Instant};

use kovcheg_storage::index::digest::digest_of;
use kovcheg_storage::index::rocks::{RocksConfig, RocksIndex};
use kovcheg_storage::index::{Column, IndexRead};

use crate::support::bulk::{GIB, MIB, OBJECT, Read, fill, roomy_vault};
use crate::support::seed;
use crate::support::vault::Vault;

fn size() -> u64 {
    seed::number("KOVCHEG_NIGHTLY_GIB", 16) * GIB
}

/// Runs `rebuild-index`; what it says, what it read, how long it took.
fn rebuild(vault: &Vault) -> (serde_json::Value, Read, Duration) {
    let out = vault.folder().join("rebuild.json");
    let began = Instant::now();
    let mut command = vault.command();
    command.args(["rebuild-index", "--json", "--data"]).arg(vault.data()).stdout(File::create(&out).unwrap());
    let mut child = command.spawn().expect("the binary starts");
    // Until it is waited for, an ended process can still be asked what it read.
    // SAFETY: waitid() fills the structure it is given; the process is a child not yet waited for.
    unsafe {
        let mut info: libc::siginfo_t = std::mem::zeroed();
        assert_eq!(libc::waitid(libc::P_PID, child.id(), &mut info, libc::WEXITED | libc::WNOWAIT), 0, "waitid");
    }
    let (took, read) = (began.elapsed(), Read::of(child.id()));
    assert!(child.wait().unwrap().success(), "rebuild-index failed");
    (serde_json::from_slice(&fs::read(out).unwrap()).expect("JSON"), read, took)
}

fn open(folder: &Path) -> RocksIndex {
    RocksIndex::open(folder, RocksConfig::default()).unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
}

/// Compares two indexes row by row, all columns but the one that says how an index came about; the number of rows.
fn assert_same_rows(grown: &dyn IndexRead, rebuilt: &dyn IndexRead) -> u64 {
    let mut total = 0;
    for column in Column::ALL.into_iter().filter(|column| *column != Column::Meta) {
        let (mut left, mut right) = (0, 0);
        let compare = &mut |key: &[u8], value: &[u8]| {
            left += 1;
            let other = rebuilt.get(column, key).unwrap();
            assert!(other.as_deref() == Some(value), "{}: row {} differs", column.name(), hex::encode(key));
            ControlFlow::Continue(())
        };
        grown.scan(column, &[], None, compare).unwrap();
        let count = &mut |_: &[u8], _: &[u8]| {
            right += 1;
            ControlFlow::Continue(())
        };
        rebuilt.scan(column, &[], None, count).unwrap();
        assert_eq!(left, right, "rows of {}", column.name());
        total += left;
    }
    total
}

#[test]
#[ignore = "nightly: fills 16 GiB"]
fn rebuild_reads_little_and_gives_the_same_rows() {
    let mut rng = seed::rng("rebuild_reads_little_and_gives_the_same_rows");
    let mut vault = roomy_vault("NIGHTINDEX", size());
    fill(&vault, "data", size(), &mut rng);
    let physical = vault.metrics().stored();
    assert!(physical > size(), "{physical} bytes on the disks for {} of data: it was not unique", size());
    vault.stop();
    let grown = vault.folder().join("grown-index");
    fs::rename(vault.index(), &grown).unwrap();
    let (report, read, took) = rebuild(&vault);
    let share = |bytes: u64| 100.0 * bytes as f64 / size() as f64;
    println!(
        "rebuild-index of {} MiB of data ({} MiB on disks): {took:.1?}, {report}; read {:.3} % ({} MiB fetched, {} MiB asked for)",
        size() / MIB,
        physical / MIB,
        share(read.at_most()),
        read.fetched / MIB,
        read.asked / MIB
    );
    assert!(read.at_most() >= report["bytes_read"].as_u64().unwrap(), "the count misses what was read: {read:?}");
    assert!(read.at_most() * 100 < size() * 3, "{:.2} % of the data were read: {read:?}", share(read.at_most()));
    {
        let (grown, rebuilt) = (open(&grown), open(&vault.index()));
        let rows = assert_same_rows(&grown, &rebuilt);
        println!("{rows} rows, all the same");
        for index in [&grown, &rebuilt] {
            assert_eq!(report["digest"], hex::encode(digest_of(index).unwrap().to_bytes()), "digest");
        }
    }
    vault.start();
    assert_eq!(vault.client().list("bkt", "", 1000).len() as u64, size().div_ceil(OBJECT));
}
