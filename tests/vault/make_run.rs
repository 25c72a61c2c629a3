//! Goal: `make run` starts a vault, says how to use it, can be repeated, and ends with Ctrl-C. Method: its script on a folder of
//! the test's own, with free ports, and the binary that is built already: in place of cargo stands a word that remembers what it
//! was asked.

use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use crate::support::s3::{Client, Keys, http};
use crate::support::vault::{Folder, free_port, hear_interrupts, wait_until};

/// What stands in for cargo: the binary is built, or this test would not run.
const CARGO: &str = "#!/bin/sh\nif [ \"$1\" = build ]; then echo \"$@\" >>\"$ASKED\"; fi\n";
/// How long an end may take.
const END: Duration = Duration::from_secs(60);

/// A place for a vault that is run by the script.
struct Scene {
    folder: Folder,
    s3: u16,
    admin: u16,
}

impl Scene {
    fn new() -> Self {
        let folder = Folder::new("make-run");
        let cargo = folder.0.join("cargo");
        fs::write(&cargo, CARGO).unwrap();
        fs::set_permissions(&cargo, fs::Permissions::from_mode(0o755)).unwrap();
        Self { folder, s3: free_port(), admin: free_port() }
    }

    fn data(&self) -> PathBuf {
        self.folder.0.join("data")
    }

    fn keys_file(&self) -> PathBuf {
        self.data().join("run.env")
    }

    /// Starts the script in a process group of its own, as a terminal would; what it says goes to a file of this name.
    fn run(&self, said: &str) -> Running {
        let said = self.folder.0.join(said);
        let out = File::create(&said).unwrap();
        let target = Path::new(env!("CARGO_BIN_EXE_kovcheg")).ancestors().nth(2).unwrap();
        let path = format!("{}:{}", self.folder.0.display(), std::env::var("PATH").unwrap());
        let mut command = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/run.sh"));
        command.env("PATH", path).env("ASKED", self.folder.0.join("asked")).env("CARGO_TARGET_DIR", target);
        command.env("KOVCHEG_CARGO_FLAGS", "--release --locked").env("KOVCHEG_DATA", self.data());
        command.env("KOVCHEG_S3", format!("127.0.0.1:{}", self.s3));
        command.env("KOVCHEG_ADMIN", format!("127.0.0.1:{}", self.admin));
        command.env_remove("KOVCHEG_ROOT_ACCESS_KEY").env_remove("KOVCHEG_ROOT_SECRET_KEY");
        command.stdin(Stdio::null()).stdout(out.try_clone().unwrap()).stderr(out).process_group(0);
        hear_interrupts(&mut command);
        Running { child: command.spawn().expect("the script starts"), said }
    }

    /// The keys that clients and vault read from one file.
    fn keys(&self) -> Keys {
        let text = fs::read_to_string(self.keys_file()).unwrap();
        let value = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(&format!("export {name}=")));
            line.unwrap_or_else(|| panic!("no {name} in {text}")).to_owned()
        };
        assert_eq!(value("KOVCHEG_ROOT_ACCESS_KEY"), value("AWS_ACCESS_KEY_ID"));
        assert_eq!(value("KOVCHEG_ROOT_SECRET_KEY"), value("AWS_SECRET_ACCESS_KEY"));
        assert_eq!(value("AWS_ENDPOINT_URL"), format!("http://127.0.0.1:{}", self.s3));
        assert_eq!(value("AWS_DEFAULT_REGION"), "us-east-1");
        Keys { access: value("AWS_ACCESS_KEY_ID"), secret: value("AWS_SECRET_ACCESS_KEY") }
    }

    fn client(&self) -> Client {
        Client { port: self.s3, keys: self.keys() }
    }
}

/// A script at work. Dropping it kills its process group.
struct Running {
    child: Child,
    said: PathBuf,
}

impl Running {
    fn said(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.said).unwrap()).into_owned()
    }

    fn signal(&self, signal: i32) {
        let group = -i32::try_from(self.child.id()).unwrap();
        // SAFETY: kill() has no memory effects; the group is that of a child not yet waited for.
        unsafe { libc::kill(group, signal) };
    }

    #[track_caller]
    fn banner(&self) -> String {
        wait_until("the banner", || self.said().contains("Ctrl-C ends the vault"));
        self.said()
    }

    #[track_caller]
    fn end(&mut self) -> ExitStatus {
        let deadline = Instant::now() + END;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < deadline, "it did not end: {}", self.said());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Ctrl-C: the terminal sends SIGINT to the whole group.
    #[track_caller]
    fn interrupt(&mut self) {
        self.signal(libc::SIGINT);
        let status = self.end();
        assert!(status.success(), "Ctrl-C ended it with {status}:\n{}", self.said());
        assert!(self.said().contains("closed cleanly"), "{}", self.said());
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            self.signal(libc::SIGKILL);
            let _ = self.child.wait();
        }
    }
}

#[test]
fn it_starts_says_how_and_can_be_repeated() {
    let scene = Scene::new();
    let mut first = scene.run("first");
    let said = first.banner();
    let keys = scene.keys();
    for words in [
        format!("endpoint     http://127.0.0.1:{}", scene.s3),
        "region       us-east-1".to_owned(),
        "addressing   path style".to_owned(),
        format!("access key   {}", keys.access),
        format!("secret key   (in {})", scene.keys_file().display()),
        format!("http://127.0.0.1:{}/health/ready", scene.admin),
        format!(". {} && aws s3 mb", scene.keys_file().display()),
    ] {
        assert!(said.contains(&words), "no {words:?} in\n{said}");
    }
    assert!(!said.contains(&keys.secret), "the secret is told to a file, not to a terminal:\n{said}");
    assert_eq!(fs::metadata(scene.keys_file()).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!((keys.access.len(), keys.secret.len()), (20, 40));
    assert_eq!(fs::read_to_string(scene.folder.0.join("asked")).unwrap(), "build --release --locked\n");
    scene.client().create_bucket("first");
    scene.client().put("first", "k", b"kept");

    // A second one beside it is told so, and the first does not notice.
    let mut beside = scene.run("beside");
    assert_eq!(beside.end().code(), Some(1), "{}", beside.said());
    assert!(beside.said().contains("something answers on"), "{}", beside.said());
    assert_eq!(scene.client().get("first", "k"), b"kept");
    first.interrupt();

    let mut again = scene.run("again");
    again.banner();
    let same = scene.keys();
    assert_eq!((same.access, same.secret), (keys.access, keys.secret), "made anew");
    assert_eq!(scene.client().get("first", "k"), b"kept");
    again.interrupt();
}

/// A server of somebody else on the admin port, and one on the S3 port alone: both are refused, and nothing is left running.
#[test]
fn taken_ports_are_refused() {
    let scene = Scene::new();
    let stranger = std::net::TcpListener::bind(("127.0.0.1", scene.admin)).unwrap();
    let answering = std::thread::spawn(move || {
        use std::io::{Read, Write};
        let (mut stream, _) = stranger.accept().unwrap();
        let _ = stream.read(&mut [0; 4096]);
        let _ = stream.write_all(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
    });
    let mut refused = scene.run("stranger");
    assert_eq!(refused.end().code(), Some(1), "{}", refused.said());
    assert!(refused.said().contains("something answers on"), "{}", refused.said());
    answering.join().unwrap();
    assert!(!scene.keys_file().exists(), "keys were made for a vault that did not start");

    let taken = std::net::TcpListener::bind(("127.0.0.1", scene.s3)).unwrap();
    let mut refused = scene.run("taken");
    let status = refused.end();
    assert!(!status.success() && refused.said().contains("s3.listen"), "{status}: {}", refused.said());
    drop(taken);
    assert!(http::plain_get(scene.admin, "/health/live").is_err(), "something was left running");
    let mut running = scene.run("free");
    running.banner();
    running.interrupt();
}
