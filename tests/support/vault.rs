//! The real binary on a temporary folder: started on free loopback ports, waited for, ended, killed, started again.

use std::fs::{self, File};
use std::net::TcpListener;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::atomic::{AtomicU16, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::data::Rng;
use super::metrics::Scrape;
use super::s3::{Client, Keys, Response, http};

/// Disks of the default layout.
pub const DISKS: usize = 6;
/// How long a start may take before the test calls it hung. Generous: test machines are slow and shared.
const START: Duration = Duration::from_secs(120);
/// How long an end may take.
const END: Duration = Duration::from_secs(120);
/// Between two looks whether the server is up or has ended.
const POLL: Duration = Duration::from_millis(20);

/// Ports that [`free_port`] chooses from: these many, from this one on.
const FIRST_PORT: u16 = 10_000;
const PORTS: u16 = 20_000;

static NEXT: AtomicU64 = AtomicU64::new(0);

/// A folder that goes away with its owner, unless the test failed: then it stays, and says where it is.
#[derive(Debug)]
pub struct Folder(pub PathBuf, Kept);

/// Whether a folder outlives a failed test.
#[derive(Debug, PartialEq, Eq)]
enum Kept {
    WhenFailed,
    Never,
}

impl Folder {
    /// A fresh folder below `KOVCHEG_TEST_DIR` or the system's temporary folder.
    pub fn new(name: &str) -> Self {
        let base = std::env::var_os("KOVCHEG_TEST_DIR").map_or_else(std::env::temp_dir, PathBuf::from);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = base.join(format!("kovcheg-tests-{}-{number}-{name}", std::process::id()));
        fs::create_dir_all(&path).expect("a folder for the test");
        Self(path, Kept::WhenFailed)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if std::thread::panicking() && self.1 == Kept::WhenFailed {
            println!("kept for inspection: {}", self.0.display());
        } else {
            let _ = fs::remove_dir_all(&self.0);
        }
    }
}

/// Why a server did not come up.
#[derive(Debug)]
pub struct Refused {
    /// Exit code; `None` after a signal.
    pub code: Option<i32>,
    /// All it said.
    pub said: String,
}

impl Refused {
    /// Fails unless the server ended by itself, not by a panic, with a message that has all of `words` in it.
    #[track_caller]
    pub fn expect_words(&self, words: &[&str]) {
        assert!(!self.said.contains("panicked at"), "a panic is no clear error:\n{}", self.said);
        assert!(self.code.is_some_and(|code| code != 0 && code < 100), "exit code {:?}:\n{}", self.code, self.said);
        let said = self.said.to_lowercase();
        for word in words {
            assert!(said.contains(&word.to_lowercase()), "no {word:?} in the message:\n{}", self.said);
        }
    }
}

/// Gives what is started back its default answer to Ctrl-C. A shell lets what it runs in the background ignore it, and ignored it
/// stays in every child.
pub fn hear_interrupts(command: &mut Command) {
    // SAFETY: between fork and exec the closure does nothing but what is safe in a signal handler.
    unsafe {
        command.pre_exec(|| {
            for signal in [libc::SIGINT, libc::SIGQUIT] {
                libc::signal(signal, libc::SIG_DFL);
            }
            Ok(())
        });
    }
}

/// A vault under test. Dropping it kills the server.
pub struct Vault {
    /// Its folder.
    folder: Folder,
    data: PathBuf,
    child: Option<Child>,
    s3: u16,
    admin: u16,
    keys: Keys,
    config: Option<PathBuf>,
    more_env: Vec<(String, String)>,
    starts: u32,
}

impl Vault {
    /// A vault that has not been started yet.
    pub fn prepare(name: &str) -> Self {
        let folder = Folder::new(name);
        let data = folder.0.join("data");
        let keys = Keys { access: format!("TESTROOT{name}"), secret: format!("secret-of-{name}-0123456789abcdef") };
        Self { folder, data, child: None, s3: 0, admin: 0, keys, config: None, more_env: Vec::new(), starts: 0 }
    }

    /// A running vault with the default layout: six directory disks, 4+2.
    pub fn start_new(name: &str) -> Self {
        let mut vault = Self::prepare(name);
        vault.start();
        vault
    }

    /// Removes its folder also when the test fails: for vaults too large to be kept.
    pub fn keep_nothing(&mut self) {
        self.folder.1 = Kept::Never;
    }

    /// Starts with this configuration file from now on.
    pub fn set_config(&mut self, text: &str) -> PathBuf {
        let path = self.folder.0.join("kovcheg.toml");
        fs::write(&path, text).expect("a configuration file");
        self.config = Some(path.clone());
        path
    }

    /// Sets an environment variable for the server.
    pub fn set_env(&mut self, name: &str, value: &str) {
        self.more_env.retain(|(known, _)| known != name);
        self.more_env.push((name.to_owned(), value.to_owned()));
    }

    /// The folder that holds everything of this test.
    pub fn folder(&self) -> &Path {
        &self.folder.0
    }

    /// The vault's data folder.
    pub fn data(&self) -> &Path {
        &self.data
    }

    /// A disk.
    pub fn disk(&self, number: usize) -> PathBuf {
        self.data.join(format!("disk{number}"))
    }

    /// All disks.
    pub fn disks(&self) -> Vec<PathBuf> {
        (0..DISKS).map(|number| self.disk(number)).collect()
    }

    /// The index.
    pub fn index(&self) -> PathBuf {
        self.data.join("index")
    }

    /// The key file of the default layout.
    pub fn key_file(&self) -> PathBuf {
        self.data.join("root.key")
    }

    /// Port of the S3 listener.
    pub fn s3_port(&self) -> u16 {
        self.s3
    }

    /// Port of the admin listener.
    pub fn admin_port(&self) -> u16 {
        self.admin
    }

    /// Credentials of root.
    pub fn keys(&self) -> &Keys {
        &self.keys
    }

    /// A client with root's credentials.
    pub fn client(&self) -> Client {
        Client { port: self.s3, keys: self.keys.clone() }
    }

    /// Metrics now.
    pub fn metrics(&self) -> Scrape {
        Scrape::take(self.admin)
    }

    /// What `/health/ready` answers now.
    pub fn ready(&self) -> Response {
        http::plain_get(self.admin, "/health/ready").expect("the admin listener answers")
    }

    /// Process id of the server.
    pub fn pid(&self) -> u32 {
        self.child.as_ref().expect("a running server").id()
    }

    /// The binary with the vault's credentials in its environment and nothing else of the test's.
    pub fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_kovcheg"));
        command.env("KOVCHEG_ROOT_ACCESS_KEY", &self.keys.access).env("KOVCHEG_ROOT_SECRET_KEY", &self.keys.secret);
        command.envs(self.more_env.iter().map(|(name, value)| (name, value)));
        command.current_dir(&self.folder.0).stdin(Stdio::null());
        hear_interrupts(&mut command);
        command
    }

    /// Logs of all starts, oldest first.
    pub fn logs(&self) -> Vec<PathBuf> {
        (1..=self.starts).map(|start| self.folder.0.join(format!("serve-{start}.log"))).collect()
    }

    /// What the current or last server said.
    pub fn log(&self) -> String {
        self.logs()
            .last()
            .map(|path| String::from_utf8_lossy(&fs::read(path).unwrap_or_default()).into_owned())
            .unwrap_or_default()
    }

    fn spawn(&mut self) {
        assert!(self.child.is_none(), "the server runs already");
        (self.s3, self.admin) = (free_port(), free_port());
        self.starts += 1;
        let log = File::create(self.folder.0.join(format!("serve-{}.log", self.starts))).expect("a log file");
        let mut command = self.command();
        command.arg("serve").arg("--data").arg(&self.data);
        if let Some(config) = &self.config {
            command.arg("--config").arg(config);
        }
        command.arg("--s3-listen").arg(format!("127.0.0.1:{}", self.s3));
        command.arg("--admin-listen").arg(format!("127.0.0.1:{}", self.admin));
        command.stdout(log.try_clone().expect("the log twice")).stderr(log);
        self.child = Some(command.spawn().expect("the binary starts"));
    }

    /// Starts the server and waits until it is ready; why not, if it ended instead.
    pub fn try_start(&mut self) -> Result<(), Refused> {
        self.spawn();
        self.wait_for(|ready| ready.status == 200)
    }

    /// Starts the server and waits until it says that it serves reads only; the reason it gives.
    #[track_caller]
    pub fn start_read_only(&mut self) -> String {
        self.spawn();
        let mut reason = String::new();
        let up = self.wait_for(|ready| {
            reason = ready.text();
            assert_ne!(ready.status, 200, "the vault takes writes although it must not");
            reason.contains("read_only")
        });
        if let Err(refused) = up {
            panic!("the server ended with {:?} instead of serving reads:\n{}", refused.code, refused.said);
        }
        reason
    }

    fn wait_for(&mut self, mut fits: impl FnMut(&Response) -> bool) -> Result<(), Refused> {
        let deadline = Instant::now() + START;
        while Instant::now() < deadline {
            if let Some(status) = self.child.as_mut().expect("just spawned").try_wait().expect("a child to wait for") {
                self.child = None;
                return Err(Refused { code: status.code(), said: self.log() });
            }
            if http::plain_get(self.admin, "/health/ready").is_ok_and(|response| fits(&response)) {
                return Ok(());
            }
            std::thread::sleep(POLL);
        }
        panic!("not up within {START:?}:\n{}", self.log());
    }

    /// Starts the server and waits until it is ready.
    #[track_caller]
    pub fn start(&mut self) {
        if let Err(refused) = self.try_start() {
            panic!("the server ended with {:?} instead of serving:\n{}", refused.code, refused.said);
        }
    }

    /// Starts the server expecting that it refuses.
    #[track_caller]
    pub fn start_refused(&mut self) -> Refused {
        match self.try_start() {
            Ok(()) => panic!("the server started although it must not:\n{}", self.log()),
            Err(refused) => refused,
        }
    }

    fn signal(&self, signal: i32) {
        let pid = i32::try_from(self.pid()).expect("a process id");
        // SAFETY: kill() has no memory effects; the pid is that of a child not yet waited for.
        let sent = unsafe { libc::kill(pid, signal) };
        assert_eq!(sent, 0, "signal {signal} to the server");
    }

    fn wait(&mut self) -> ExitStatus {
        let mut child = self.child.take().expect("a running server");
        let deadline = Instant::now() + END;
        loop {
            if let Some(status) = child.try_wait().expect("a child to wait for") {
                return status;
            }
            if Instant::now() > deadline {
                let _ = child.kill();
                let _ = child.wait();
                panic!("the server did not end within {END:?}:\n{}", self.log());
            }
            std::thread::sleep(POLL);
        }
    }

    /// Ends the server with SIGTERM; it must end cleanly.
    #[track_caller]
    pub fn stop(&mut self) {
        self.tell_to_stop();
        self.has_stopped();
    }

    /// Sends SIGTERM, and does not wait.
    pub fn tell_to_stop(&self) {
        self.signal(libc::SIGTERM);
    }

    /// Waits for the clean end of a server that was told to stop.
    #[track_caller]
    pub fn has_stopped(&mut self) {
        let status = self.wait();
        assert!(status.success(), "SIGTERM ended the server with {status}:\n{}", self.log());
        assert!(!self.log().contains("panicked at"), "a panic while it ran:\n{}", self.log());
    }

    /// Kills the server with SIGKILL.
    pub fn kill(&mut self) {
        self.signal(libc::SIGKILL);
        let _ = self.wait();
    }

    /// Stops and starts.
    #[track_caller]
    pub fn restart(&mut self) {
        self.stop();
        self.start();
    }

    /// Runs a command of the CLI on this vault.
    pub fn cli(&self, command: &[&str]) -> Output {
        let mut run = self.command();
        run.args(command).arg("--data").arg(&self.data);
        if let Some(config) = &self.config {
            run.arg("--config").arg(config);
        }
        run.output().expect("the binary starts")
    }

    /// Runs a command of the CLI with `--json`, which must succeed and print one JSON value.
    #[track_caller]
    pub fn cli_json(&self, command: &[&str]) -> serde_json::Value {
        let mut args = command.to_vec();
        args.push("--json");
        let output = self.cli(&args);
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{command:?} ended with {}:\n{out}\n{err}", output.status);
        serde_json::from_str(&out)
            .unwrap_or_else(|error| panic!("{command:?} printed no JSON ({error}):\n{out}\n{err}"))
    }

    /// `status --json`.
    #[track_caller]
    pub fn status(&self) -> serde_json::Value {
        self.cli_json(&["status"])
    }

    /// The disks' states, from `status`, in the order of their paths.
    #[track_caller]
    pub fn disk_states(&self) -> Vec<String> {
        let status = self.status();
        let disks = status["disks"].as_array().expect("a list of disks");
        disks.iter().map(|disk| disk["state"].as_str().expect("a state").to_owned()).collect()
    }
}

impl Drop for Vault {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
        if std::thread::panicking() {
            let log = self.log();
            let tail = log.lines().rev().take(40).collect::<Vec<_>>();
            println!("last lines of the server's log:");
            tail.iter().rev().for_each(|line| println!("  {line}"));
        }
    }
}

/// A port nobody listens on now, never the same twice in one process.
///
/// Below the range from which the kernel takes ports of outgoing connections (32768 and up by default): one of those would be
/// given to some client between this look and the server's `bind`, and the server would find its address in use.
pub fn free_port() -> u16 {
    static ASKED: AtomicU16 = AtomicU16::new(0);
    let own = u16::try_from(std::process::id() % u32::from(PORTS)).expect("below the number of ports");
    for _ in 0..PORTS {
        let asked = ASKED.fetch_add(1, Ordering::Relaxed) % PORTS;
        let port = FIRST_PORT + (own + asked) % PORTS;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
    panic!("no port is free from {FIRST_PORT} on");
}

/// Waits until `done` answers true, checking often; fails after [`START`] with what was waited for.
#[track_caller]
pub fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + START;
    while !done() {
        assert!(Instant::now() < deadline, "waited {START:?} for {what}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// Objects a test has stored: key, seed and length of each.
#[derive(Debug, Clone, Default)]
pub struct Stored(pub Vec<(String, u64, u64)>);

impl Stored {
    /// Stores `count` objects of sizes from empty to `max` bytes, small ones often, and remembers them.
    #[track_caller]
    pub fn put_mix(&mut self, client: &Client, bucket: &str, prefix: &str, count: usize, max: u64, rng: &mut Rng) {
        for number in 0..count {
            let len = match number % 4 {
                0 => rng.below(4096),
                1 => rng.below(200_000),
                2 => rng.below(max / 4 + 1),
                _ => rng.range(max / 2, max),
            };
            self.put(client, bucket, &format!("{prefix}/{number:04}"), rng.next(), len);
        }
    }

    /// Stores one object and remembers it.
    #[track_caller]
    pub fn put(&mut self, client: &Client, bucket: &str, key: &str, seed: u64, len: u64) {
        client.put_stream(bucket, key, seed, len);
        self.0.push((key.to_owned(), seed, len));
    }

    /// Keys of everything stored, sorted as listings are.
    pub fn keys(&self) -> Vec<String> {
        let mut keys: Vec<String> = self.0.iter().map(|(key, ..)| key.clone()).collect();
        keys.sort();
        keys
    }

    /// Reads everything back and compares.
    #[track_caller]
    pub fn check(&self, client: &Client, bucket: &str) {
        for (key, seed, len) in &self.0 {
            client.check_stream(bucket, key, *seed, *len);
        }
    }
}
