//! Asking for a secret: without echo on a terminal, else one line of standard input.

use std::io::{BufRead as _, IsTerminal as _, Read as _, Write as _};
use std::os::fd::AsRawFd as _;

use crate::error::AppError;

/// Longer is no secret of ours.
const LINE_LEN_MAX: u64 = 4096;

/// Asks, and reads one line without its end.
pub fn secret_line(question: &str) -> Result<String, AppError> {
    let failed = AppError::io("read", "standard input");
    let input = std::io::stdin();
    let quiet = if input.is_terminal() {
        eprint!("{question}");
        let _ = std::io::stderr().flush();
        Quiet::new(input.as_raw_fd())
    } else {
        None
    };
    let mut line = String::new();
    let read = input.lock().take(LINE_LEN_MAX).read_line(&mut line);
    if quiet.is_some() {
        eprintln!();
    }
    read.map_err(failed)?;
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}

/// A terminal that does not echo, until dropped.
struct Quiet {
    terminal: i32,
    before: libc::termios,
}

impl Quiet {
    /// `None` when the terminal will not have it; the line is then shown as it is typed.
    fn new(terminal: i32) -> Option<Self> {
        let mut before = std::mem::MaybeUninit::<libc::termios>::uninit();
        // SAFETY: the descriptor is open, and `before` has room for what is written there.
        if unsafe { libc::tcgetattr(terminal, before.as_mut_ptr()) } != 0 {
            return None;
        }
        // SAFETY: the call above succeeded and has filled it.
        let before = unsafe { before.assume_init() };
        let mut quiet = before;
        quiet.c_lflag &= !libc::ECHO;
        // SAFETY: the descriptor is open, and `quiet` is a whole termios.
        (unsafe { libc::tcsetattr(terminal, libc::TCSAFLUSH, &raw const quiet) } == 0)
            .then_some(Self { terminal, before })
    }
}

impl Drop for Quiet {
    fn drop(&mut self) {
        // SAFETY: standard input stays open as long as the process, and `before` is a whole termios.
        unsafe { libc::tcsetattr(self.terminal, libc::TCSAFLUSH, &raw const self.before) };
    }
}
