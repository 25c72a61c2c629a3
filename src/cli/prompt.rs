//! Asking for a secret: without echo on a terminal, else one line of standard input. A signal that ends the process while it asks
//! gives the terminal its echo back first.

use std::io::{BufRead as _, IsTerminal as _, Read as _, Write as _};
use std::sync::atomic::{AtomicPtr, Ordering};

use crate::error::AppError;

/// Longer is no secret of ours.
const LINE_LEN_MAX: u64 = 4096;
/// Signals by which people and systems end a command.
const ENDING: [libc::c_int; 4] = [libc::SIGINT, libc::SIGTERM, libc::SIGHUP, libc::SIGQUIT];

/// Asks, and reads one line without its end.
pub fn secret_line(question: &str) -> Result<String, AppError> {
    let failed = AppError::io("read", "standard input");
    let input = std::io::stdin();
    let quiet = if input.is_terminal() {
        let quiet = Quiet::new();
        eprint!("{question}");
        let _ = std::io::stderr().flush();
        quiet
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

/// What the terminal on standard input was set to, while it does not echo; else null.
static BEFORE: AtomicPtr<libc::termios> = AtomicPtr::new(std::ptr::null_mut());

/// Standard input as a terminal that does not echo, until dropped.
struct Quiet {
    handlers: Vec<(libc::c_int, libc::sigaction)>,
}

impl Quiet {
    /// `None` when the terminal will not have it; the line is then shown as it is typed.
    fn new() -> Option<Self> {
        let mut before = std::mem::MaybeUninit::<libc::termios>::uninit();
        // SAFETY: the descriptor is open, and `before` has room for what is written there.
        if unsafe { libc::tcgetattr(libc::STDIN_FILENO, before.as_mut_ptr()) } != 0 {
            return None;
        }
        // SAFETY: the call above succeeded and has filled it.
        let before = unsafe { before.assume_init() };
        // Some bytes that stay for ever, once for each question: a handler may be reading them at any time.
        BEFORE.store(Box::leak(Box::new(before)), Ordering::Release);
        // From here on dropping it undoes what was done.
        let this = Self { handlers: ENDING.into_iter().filter_map(handle).collect() };
        let mut quiet = before;
        quiet.c_lflag &= !libc::ECHO;
        // SAFETY: the descriptor is open, and `quiet` is a whole termios.
        (unsafe { libc::tcsetattr(libc::STDIN_FILENO, libc::TCSAFLUSH, &raw const quiet) } == 0).then_some(this)
    }
}

impl Drop for Quiet {
    fn drop(&mut self) {
        restore_echo(libc::TCSAFLUSH);
        for (signal, before) in &self.handlers {
            // SAFETY: `before` is the whole sigaction that stood there.
            unsafe { libc::sigaction(*signal, before, std::ptr::null_mut()) };
        }
        BEFORE.store(std::ptr::null_mut(), Ordering::Release);
    }
}

/// Has `signal` give the echo back before it ends the process; what stood there before. A signal that is ignored stays so.
fn handle(signal: libc::c_int) -> Option<(libc::c_int, libc::sigaction)> {
    // SAFETY: zeroes are a valid sigaction: no flags, an empty mask.
    let (mut new, mut before) =
        unsafe { (std::mem::zeroed::<libc::sigaction>(), std::mem::zeroed::<libc::sigaction>()) };
    new.sa_sigaction = end_with_echo as extern "C" fn(libc::c_int) as usize;
    // SAFETY: both point to whole sigactions, and the handler does nothing but what is safe in one.
    unsafe {
        if libc::sigaction(signal, std::ptr::null(), &raw mut before) != 0 || before.sa_sigaction == libc::SIG_IGN {
            return None;
        }
        (libc::sigaction(signal, &raw const new, std::ptr::null_mut()) == 0).then_some((signal, before))
    }
}

extern "C" fn end_with_echo(signal: libc::c_int) {
    restore_echo(libc::TCSANOW);
    // SAFETY: both are safe in a handler; the signal is delivered, with its default effect, when this returns.
    unsafe {
        libc::signal(signal, libc::SIG_DFL);
        libc::raise(signal);
    }
}

/// Safe in a signal handler.
fn restore_echo(when: libc::c_int) {
    let before = BEFORE.load(Ordering::Acquire);
    if !before.is_null() {
        // SAFETY: what `BEFORE` points to is a whole termios and never freed; the call is safe in a handler.
        unsafe { libc::tcsetattr(libc::STDIN_FILENO, when, before) };
    }
}
