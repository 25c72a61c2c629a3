//! Configuration: defaults, the shipped file, unknown keys, absurd values.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "tests")]

use std::path::{Path, PathBuf};

use super::unknown::paths;
use super::{Config, ConfigError, FileConfig, Overrides, Purpose, known_keys};

const SHIPPED: &str = include_str!("../../deploy/kovcheg.toml");

fn load(text: &str) -> Result<Config, ConfigError> {
    Config::from_text(text, Path::new("test.toml"), &Overrides::default())
}

#[test]
fn shipped_file_equals_the_defaults_and_names_every_key() {
    // Goal: deploy/kovcheg.toml is the reference; it must not drift from the code in either direction.
    let shipped: FileConfig = toml::from_str(SHIPPED).unwrap();
    assert_eq!(shipped, FileConfig::default());
    let table: toml::Table = toml::from_str(SHIPPED).unwrap();
    let mut named = paths(&table, "");
    let mut known = paths(&known_keys(), "");
    named.sort();
    known.sort();
    assert_eq!(named, known);
}

#[test]
fn every_key_of_the_shipped_file_is_explained() {
    // Goal: each `key = value` line has a comment above it (first occurrence; the further disks repeat the first).
    let lines: Vec<&str> = SHIPPED.lines().collect();
    let mut seen = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        let Some((key, _)) = line.split_once(" = ") else { continue };
        if line.starts_with('#') || seen.contains(&key) && key == "path" {
            continue;
        }
        seen.push(key);
        assert!(at > 0 && lines[at - 1].starts_with("# "), "`{line}` has no comment above it");
    }
    assert!(seen.len() > 30, "{seen:?}");
}

#[test]
fn defaults_are_six_disks_under_the_data_folder() {
    let config = Config::load(&Overrides { data: Some(PathBuf::from("/v")), ..Overrides::default() }).unwrap();
    let disks: Vec<_> = config.disks.iter().map(|disk| disk.path.display().to_string()).collect();
    assert_eq!(disks, ["/v/disk0", "/v/disk1", "/v/disk2", "/v/disk3", "/v/disk4", "/v/disk5"]);
    assert_eq!(config.index_dir, Path::new("/v/index"));
    assert_eq!(config.key_file, Path::new("/v/root.key"));
    assert_eq!((config.k, config.m, config.disks_listed), (4, 2, false));
    assert_eq!(config.s3_listen.to_string(), "127.0.0.1:9000");
    assert_eq!(config.admin_listen.to_string(), "127.0.0.1:9001");
    assert!(config.engine.workers >= 1);
    let serve = config.open_options(Purpose::Serve);
    assert_eq!((serve.create, serve.read_only), (true, false));
    let look = config.open_options(Purpose::Look);
    assert_eq!((look.create, look.read_only), (false, true));
}

#[test]
fn command_line_wins_over_the_file() {
    let overrides = Overrides {
        data: Some(PathBuf::from("/elsewhere")),
        s3_listen: Some("127.0.0.1:1".parse().unwrap()),
        admin_listen: Some("127.0.0.1:2".parse().unwrap()),
        ..Overrides::default()
    };
    let text = "[vault]\ndata_dir = '/v'\n[s3]\nlisten = '127.0.0.1:3'\n[admin]\nlisten = '127.0.0.1:4'\n";
    let config = Config::from_text(text, Path::new("t"), &overrides).unwrap();
    assert_eq!(config.data_dir, Path::new("/elsewhere"));
    assert_eq!((config.s3_listen.port(), config.admin_listen.port()), (1, 2));
}

#[test]
fn listed_disks_replace_the_default_ones() {
    let disks: String = (0..3).map(|n| format!("[[disk]]\npath = '/mnt/d{n}'\ncountry = 'RU'\n")).collect();
    let config = load(&format!("[vault]\nk = 2\nm = 1\n{disks}")).unwrap();
    assert!(config.disks_listed);
    assert_eq!(config.disks.len(), 3);
    assert_eq!(config.disks[2].path, Path::new("/mnt/d2"));
    assert_eq!(config.disks[0].failure_domain.country, "RU");
}

#[test]
fn unknown_keys_are_refused_by_name_with_the_nearest_known_one() {
    for (text, key, nearest) in [
        ("[engine]\nworker = 2", "`engine.worker`", "`engine.workers`"),
        ("[s3]\nlissten = 'x'", "`s3.lissten`", "`s3.listen`"),
        ("[[disk]]\npaht = 'x'", "`disk.paht`", "`disk.path`"),
        ("[valt]\nk = 4", "`valt`", "`vault`"),
        ("k = 4", "`k`", "`vault.k`"),
    ] {
        let error = load(text).unwrap_err();
        assert!(matches!(error, ConfigError::UnknownKey { .. }), "{text}: {error}");
        let words = error.to_string();
        assert!(words.contains(key) && words.contains(nearest), "{words}");
    }
}

#[test]
fn absurd_values_are_refused_by_name() {
    for (text, key) in [
        ("[vault]\nk = 0", "vault.k"),
        ("[vault]\nm = 0", "vault.m"),
        ("[vault]\nk = 40", "vault.k"),
        ("[vault]\nk = 30\nm = 30", "vault.m"),
        ("[vault]\ndata_dir = ''", "vault.data_dir"),
        ("[s3]\nlisten = 'nowhere'", "s3.listen"),
        ("[s3]\nregion = ''", "s3.region"),
        ("[s3]\nregion = 'a b'", "s3.region"),
        // The story: these were found only after the first start had made a vault.
        ("[s3]\nregion = 'Moscow-1'", "s3.region"),
        ("[s3]\nregion = 'ru_1'", "s3.region"),
        ("[s3]\ndomain = 's3..lan'", "s3.domain"),
        ("[s3]\ndomain = 's3_lan'", "s3.domain"),
        ("[s3]\nrequests_max = 0", "s3.requests_max"),
        ("[s3]\nput_size_max = '6 GiB'", "s3.put_size_max"),
        ("[s3]\nsigned_chunk_memory = '1 MiB'", "s3.signed_chunk_memory"),
        ("[s3]\nbody_memory = '1 MiB'", "s3.body_memory"),
        ("[engine]\nchunk_min = '1 KiB'", "engine.chunk_min"),
        ("[engine]\nchunk_average = '16 KiB'", "engine.chunk_average"),
        ("[engine]\nchunk_max = '1 GiB'", "engine.chunk_max"),
        ("[engine]\nstripe_size = '64 KiB'", "engine.stripe_size"),
        ("[engine]\nsegment_size = 1", "engine.segment_size"),
        ("[engine]\nzstd_level = 99", "engine.zstd_level"),
        ("[engine]\nopen_segments = 0", "engine.open_segments"),
        ("[engine]\nio_deadline_s = 0", "engine.io_deadline_s"),
        ("[engine]\nlifecycle_every_s = 0", "engine.lifecycle_every_s"),
        ("[engine]\nstripe_size = '13 MiB'", "engine.stripe_size"),
        ("[engine]\ncommit_size = '12 MiB'", "engine.commit_size"),
        ("[engine]\ninline_size = '1 MiB'\ncommit_size = '11300 KiB'", "engine.commit_size"),
        ("[engine]\nchunk_max = '12 MiB'", "engine.chunk_max"),
        ("[engine]\nread_memory = '1 MiB'", "engine.read_memory"),
        ("[log]\nlevel = ''", "log.level"),
        // The story: `warning` was taken for the name of a module, and nothing was logged at all.
        ("[log]\nlevel = 'warning'", "log.level"),
        ("[log]\nlevel = 'kovcheg_storage'", "log.level"),
        ("[log]\nlevel = 'info,kovcheg_storage=loud'", "log.level"),
        ("[log]\nlevel = 'info,'", "log.level"),
    ] {
        let error = load(text).unwrap_err();
        assert!(matches!(error, ConfigError::Absurd { .. }), "{text}: {error}");
        assert!(error.to_string().contains(&format!("`{key} = ")), "{text}: {error}");
    }
}

#[test]
fn what_can_work_passes() {
    for text in [
        "[s3]\nregion = 'ru-1'\ndomain = 's3.example.com'",
        "[s3]\ndomain = 's3.lan:9000'",
        "[engine]\nchunk_max = '8 MiB'\nstripe_size = '12 MiB'",
        "[engine]\ninline_size = '1 MiB'\ncommit_size = '11 MiB'",
        "[log]\nlevel = 'OFF'",
        "[log]\nlevel = 'warn,kovcheg_storage::journal=debug,s3s=error'",
        "[log]\nlevel = 'info,[s3{request=a}]=trace'",
    ] {
        if let Err(error) = load(text) {
            panic!("{text}: {error}");
        }
    }
    let said = load("[log]\nlevel = 'warning'").unwrap_err().to_string();
    assert!(said.contains("off, error, warn, info, debug, trace"), "{said}");
}

#[test]
fn wrong_types_are_refused_with_their_line() {
    for text in ["[vault]\nk = 'four'", "[engine]\ndriver = 'fast'", "[vault]\nk = 300", "vault = 1", "[s3", "disk = 1"]
    {
        let error = load(text).unwrap_err();
        assert!(matches!(error, ConfigError::Syntax { .. }), "{text}: {error}");
        assert!(error.to_string().contains("line"), "{error}");
    }
}

#[test]
fn disks_must_be_enough_and_distinct() {
    let listed = |paths: &[&str]| paths.iter().map(|path| format!("[[disk]]\npath = '{path}'\n")).collect::<String>();
    let few = load(&listed(&["/a", "/b"])).unwrap_err();
    assert!(matches!(few, ConfigError::TooFewDisks { disks: 2, k: 4, m: 2 }), "{few}");
    for twice in [["/a", "/b", "/a"], ["/a", "/b", "/x/../a"], ["/a", "/b", "/./b/"]] {
        let error = load(&format!("[vault]\nk = 2\nm = 1\n{}", listed(&twice))).unwrap_err();
        assert!(matches!(error, ConfigError::DuplicateDisk(_)), "{twice:?}: {error}");
    }
    let nameless = load(&format!("[vault]\nk = 2\nm = 1\n{}", listed(&["/a", "/b", ""]))).unwrap_err();
    assert!(matches!(nameless, ConfigError::Absurd { key: "disk.path", .. }), "{nameless}");
}

#[test]
fn disks_are_distinct_behind_links_too() {
    // Goal: two names of one folder are one disk. Method: a symbolic link.
    let folder = std::env::temp_dir().join(format!("kovcheg-config-links-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(folder.join("a")).unwrap();
    std::os::unix::fs::symlink(folder.join("a"), folder.join("b")).unwrap();
    let text = format!(
        "[vault]\ndata_dir = '{}'\nk = 1\nm = 1\n[[disk]]\npath = 'a'\n[[disk]]\npath = 'b'\n",
        folder.display()
    );
    let error = load(&text).unwrap_err();
    std::fs::remove_dir_all(&folder).unwrap();
    assert!(matches!(error, ConfigError::DuplicateDisk(_)), "{error}");
}

#[test]
fn keys_and_index_stay_off_data_disks() {
    for (key, text) in [
        ("vault.key_file", "[vault]\nkey_file = 'disk3/root.key'"),
        ("vault.index_dir", "[vault]\nindex_dir = 'disk0/../disk1/index'"),
    ] {
        let error = load(text).unwrap_err();
        assert!(matches!(&error, ConfigError::OnDataDisk { key: found, .. } if *found == key), "{error}");
    }
}

#[test]
fn plain_http_stays_on_loopback_unless_said_otherwise() {
    for good in ["127.0.0.1:9000", "[::1]:9000", "127.8.8.8:1", "localhost:9000", "[::ffff:127.0.0.1]:1"] {
        assert!(load(&format!("[s3]\nlisten = '{good}'")).is_ok(), "{good}");
    }
    for bad in ["0.0.0.0:9000", "[::]:9000", "192.168.1.1:9000", "[::ffff:10.0.0.1]:1"] {
        let error = load(&format!("[s3]\nlisten = '{bad}'")).unwrap_err();
        assert!(matches!(error, ConfigError::PlainHttp { key: "s3.listen", .. }), "{bad}: {error}");
        assert!(load(&format!("[s3]\nlisten = '{bad}'\nallow_plain_http = true")).is_ok(), "{bad}");
        let said = Overrides { allow_plain_http: true, ..Overrides::default() };
        assert!(Config::from_text(&format!("[s3]\nlisten = '{bad}'"), Path::new("t"), &said).is_ok(), "{bad}");
    }
    let admin = load("[admin]\nlisten = '0.0.0.0:9001'").unwrap_err();
    assert!(matches!(admin, ConfigError::PlainHttp { key: "admin.listen", .. }), "{admin}");
}

#[test]
fn tls_lets_others_reach_s3_and_comes_in_pairs() {
    let with = |s3: &str| load(&format!("[s3]\nlisten = \"0.0.0.0:9000\"\n{s3}"));
    assert!(matches!(with(""), Err(ConfigError::PlainHttp { key: "s3.listen", .. })));
    let tls = with("tls_cert = \"tls.crt\"\ntls_key = \"/etc/tls.key\"").unwrap().tls.unwrap();
    assert_eq!(tls.cert, Path::new("./kovcheg-data/tls.crt"));
    assert_eq!(tls.key, Path::new("/etc/tls.key"));
    assert!(matches!(with("tls_cert = \"a\""), Err(ConfigError::Absurd { key: "s3.tls_key", .. })));
    assert!(matches!(with("tls_key = \"a\""), Err(ConfigError::Absurd { key: "s3.tls_cert", .. })));
    let on_disk = with("tls_cert = \"a\"\ntls_key = \"disk0/tls.key\"");
    assert!(matches!(on_disk, Err(ConfigError::OnDataDisk { key: "s3.tls_key", .. })));
    let admin = "[s3]\ntls_cert = \"a\"\ntls_key = \"b\"\n[admin]\nlisten = \"0.0.0.0:9001\"";
    assert!(matches!(load(admin), Err(ConfigError::PlainHttp { key: "admin.listen", .. })), "metrics are still plain");
}
