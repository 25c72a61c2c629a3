//! State of the vault as Prometheus text: a pure function of its status.

use std::fmt::Write as _;

use kovcheg_storage::status::{DiskStatus, VaultStatus};

/// Every state a disk can be in, so that each has a series even when it counts nothing.
const DISK_STATES: [&str; 4] = ["serving", "fenced", "missing", "returning"];

/// Renders what a status tells; `None` while the vault is not open.
#[must_use]
pub fn render(status: Option<&VaultStatus>, resident_bytes: Option<u64>) -> String {
    let mut out = Text { text: String::new() };
    out.family("kovcheg_build_info", "gauge", "The release that runs.");
    out.sample("kovcheg_build_info", &[("version", env!("CARGO_PKG_VERSION"))], 1);
    out.family("kovcheg_serving", "gauge", "1 when the vault takes writes.");
    out.sample("kovcheg_serving", &[], status.is_some_and(|status| status.state == "serving").into());
    if let Some(bytes) = resident_bytes {
        out.family("process_resident_memory_bytes", "gauge", "Resident memory of the process.");
        out.sample("process_resident_memory_bytes", &[], bytes);
    }
    if let Some(status) = status {
        vault(&mut out, status);
        disks(&mut out, status);
    }
    out.text
}

fn vault(out: &mut Text, status: &VaultStatus) {
    let bytes = status.physical;
    out.family("kovcheg_physical_bytes", "gauge", "Bytes on disks by kind, as the journal accounts for them.");
    for (kind, value) in
        [("data", bytes.data), ("parity", bytes.parity), ("records", bytes.records), ("index", bytes.index)]
    {
        out.sample("kovcheg_physical_bytes", &[("kind", kind)], value);
    }
    let single = [
        ("kovcheg_logical_bytes", "Bytes of object versions as clients see them.", status.logical_bytes),
        ("kovcheg_versions", "Object versions.", status.versions),
        ("kovcheg_buckets", "Buckets.", status.buckets),
        ("kovcheg_journal_lsn", "Newest durable position of the journal.", status.lsn),
        ("kovcheg_epoch", "Life of the process.", status.epoch),
        (
            "kovcheg_recovery_kit_confirmed",
            "1 when the recovery kit was confirmed.",
            status.recovery_kit_confirmed.into(),
        ),
        (
            "kovcheg_retention_clock_seconds",
            "The clock by which locks expire, seconds since 1970.",
            status.retention_clock.time_ms / 1000,
        ),
        (
            "kovcheg_retention_clock_disputed",
            "1 when the retention clock stands still until people accept a time.",
            status.retention_clock.disputed.into(),
        ),
        (
            "kovcheg_retention_clock_credited_seconds",
            "Time off that was credited to the retention clock and not regained yet.",
            status.retention_clock.credited_ms / 1000,
        ),
        (
            "kovcheg_warnings",
            "Things an operator should mend; `kovcheg status` names them.",
            status.warnings.len() as u64,
        ),
    ];
    for (name, help, value) in single {
        out.family(name, "gauge", help);
        out.sample(name, &[], value);
    }
}

fn disks(out: &mut Text, status: &VaultStatus) {
    out.family("kovcheg_disks", "gauge", "Disks by state.");
    for state in DISK_STATES {
        let count = status.disks.iter().filter(|disk| disk.state == state).count();
        out.sample("kovcheg_disks", &[("state", state)], count as u64);
    }
    type Column = (&'static str, &'static str, &'static str, fn(&DiskStatus) -> u64);
    let columns: [Column; 4] = [
        ("kovcheg_disk_total_bytes", "gauge", "Size of the disk.", |disk| disk.total),
        ("kovcheg_disk_free_bytes", "gauge", "Bytes free on the disk.", |disk| disk.free),
        ("kovcheg_disk_bad_ranges_total", "counter", "Ranges unreadable or rotten since start.", |disk| {
            disk.bad_ranges
        }),
        ("kovcheg_disk_repaired_shards_total", "counter", "Shards written back since start.", |disk| disk.repaired),
    ];
    for (name, kind, help, value) in columns {
        out.family(name, kind, help);
        for disk in &status.disks {
            out.sample(name, &[("disk", &disk.label)], value(disk));
        }
    }
}

struct Text {
    text: String,
}

impl Text {
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        let _ = writeln!(self.text, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: u64) {
        self.text.push_str(name);
        for (at, (label, content)) in labels.iter().enumerate() {
            let open = if at == 0 { '{' } else { ',' };
            let escaped = content.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
            let _ = write!(self.text, "{open}{label}=\"{escaped}\"");
        }
        if !labels.is_empty() {
            self.text.push('}');
        }
        let _ = writeln!(self.text, " {value}");
    }
}

#[cfg(test)]
mod tests {
    use super::render;
    use crate::testing::sample_status;

    #[test]
    fn every_kind_and_state_has_a_series() {
        // Goal: the series that dashboards and tests rely on are there, zeros included, and values are the status'.
        let mut status = sample_status();
        status.disks.truncate(2);
        if let Some(disk) = status.disks.first_mut() {
            disk.state = "missing".to_owned();
            disk.label = "/srv/a \"b\"\\c".to_owned();
        }
        let text = render(Some(&status), Some(4096));
        for line in [
            "kovcheg_physical_bytes{kind=\"data\"} 100",
            "kovcheg_physical_bytes{kind=\"parity\"} 50",
            "kovcheg_physical_bytes{kind=\"records\"} 7",
            "kovcheg_physical_bytes{kind=\"index\"} 3",
            "kovcheg_disks{state=\"serving\"} 1",
            "kovcheg_disks{state=\"missing\"} 1",
            "kovcheg_disks{state=\"fenced\"} 0",
            "kovcheg_journal_lsn 42",
            "kovcheg_retention_clock_seconds 5",
            "kovcheg_retention_clock_disputed 1",
            "kovcheg_retention_clock_credited_seconds 3",
            "kovcheg_serving 1",
            "kovcheg_disk_free_bytes{disk=\"/srv/a \\\"b\\\"\\\\c\"} 500",
            "process_resident_memory_bytes 4096",
        ] {
            assert!(text.lines().any(|found| found == line), "no `{line}` in\n{text}");
        }
    }

    #[test]
    fn vault_that_is_not_open_still_has_metrics() {
        let text = render(None, None);
        assert!(text.contains("kovcheg_serving 0\n"));
        assert!(!text.contains("kovcheg_physical_bytes"));
    }

    #[test]
    fn every_family_is_declared_once_before_its_samples() {
        // Goal: what Prometheus' parser insists on.
        let text = render(Some(&sample_status()), Some(1));
        let mut declared: Vec<&str> = Vec::new();
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("# TYPE ") {
                let name = rest.split(' ').next().unwrap_or_default();
                assert!(!declared.contains(&name), "{name} twice");
                declared.push(name);
            } else if !line.starts_with('#') {
                let name = line.split(['{', ' ']).next().unwrap_or_default();
                assert_eq!(declared.last(), Some(&name), "{line}");
            }
        }
    }
}
