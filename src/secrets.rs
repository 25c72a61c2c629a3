//! Keys that are made here, and how they are told: once, to a terminal, or else to a file that only its owner may read.

use std::fs::{File, OpenOptions};
use std::io::{IsTerminal as _, Read as _, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

use crate::error::AppError;

/// Environment variable of the root access key.
pub const ROOT_ACCESS_KEY: &str = "KOVCHEG_ROOT_ACCESS_KEY";
/// Environment variable of the root secret key.
pub const ROOT_SECRET_KEY: &str = "KOVCHEG_ROOT_SECRET_KEY";

/// Secrets shorter than this can be guessed offline from one signed request.
const SECRET_LEN_MIN: usize = 16;
const ACCESS_LEN: std::ops::RangeInclusive<usize> = 3..=128;
const SECRET_LEN_MAX: usize = 256;

/// An S3 key pair. No `Debug`: the secret must not reach a log.
#[derive(Clone, PartialEq, Eq)]
pub struct KeyPair {
    /// Access key id.
    pub access: String,
    /// Secret key.
    pub secret: String,
}

/// The pair that the environment sets, if it does.
///
/// # Errors
/// [`AppError::Credentials`] when one of the two is missing or cannot be used.
pub fn from_environment() -> Result<Option<KeyPair>, AppError> {
    let read = |name| std::env::var_os(name).map(|value| value.into_string());
    let utf8 = |_| AppError::Credentials("they must be plain text".to_owned());
    let access = read(ROOT_ACCESS_KEY).transpose().map_err(utf8)?;
    let secret = read(ROOT_SECRET_KEY).transpose().map_err(utf8)?;
    pair(access, secret)
}

fn pair(access: Option<String>, secret: Option<String>) -> Result<Option<KeyPair>, AppError> {
    let refuse = |why: String| Err(AppError::Credentials(why));
    let present = |value: Option<String>| value.filter(|value| !value.is_empty());
    let (access, secret) = match (present(access), present(secret)) {
        (None, None) => return Ok(None),
        (Some(access), Some(secret)) => (access, secret),
        (Some(_), None) => {
            return refuse(format!("{ROOT_ACCESS_KEY} is set and {ROOT_SECRET_KEY} is not; set both or neither"));
        }
        (None, Some(_)) => {
            return refuse(format!("{ROOT_SECRET_KEY} is set and {ROOT_ACCESS_KEY} is not; set both or neither"));
        }
    };
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.+@".contains(&byte);
    if !ACCESS_LEN.contains(&access.len()) || !access.bytes().all(plain) {
        return refuse(format!("{ROOT_ACCESS_KEY} must be 3 to 128 letters, digits and -_.+@"));
    }
    if !(SECRET_LEN_MIN..=SECRET_LEN_MAX).contains(&secret.len()) || !secret.bytes().all(|byte| byte.is_ascii_graphic())
    {
        return refuse(format!(
            "{ROOT_SECRET_KEY} must be {SECRET_LEN_MIN} to {SECRET_LEN_MAX} printable characters without spaces"
        ));
    }
    Ok(Some(KeyPair { access, secret }))
}

/// A fresh pair: 93 bits of access key, 238 bits of secret, safe in shells and URLs.
///
/// # Errors
/// When the operating system gives no randomness.
pub fn generate() -> Result<KeyPair, AppError> {
    let access = random_text(18, b"ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789")?;
    let secret = random_text(40, b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789")?;
    Ok(KeyPair { access: format!("KV{access}"), secret })
}

/// `len` characters of `alphabet` (at most 256), each equally likely.
fn random_text(len: usize, alphabet: &[u8]) -> Result<String, AppError> {
    const SOURCE: &str = "/dev/urandom";
    let mut source = File::open(SOURCE).map_err(AppError::io("open", SOURCE))?;
    // Bytes at or above the largest multiple of the alphabet's length would favour its first characters.
    let fair = 256 - 256 % alphabet.len();
    let mut out = String::with_capacity(len);
    let mut bytes = [0_u8; 64];
    while out.len() < len {
        source.read_exact(&mut bytes).map_err(AppError::io("read", SOURCE))?;
        let fair_bytes = bytes.iter().map(|byte| usize::from(*byte)).filter(|byte| *byte < fair);
        let chars = fair_bytes.filter_map(|byte| alphabet.get(byte % alphabet.len())).map(|byte| char::from(*byte));
        out.extend(chars.take(len - out.len()));
    }
    bytes.fill(0);
    Ok(out)
}

/// Where a secret is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Told {
    /// On standard output when that is a terminal, else in a file.
    OnTerminal,
    /// In a file, whatever standard output is.
    InFile,
}

/// Tells a secret once: on standard output when that is a terminal and may be used, else into `file` with mode 0600, whose path alone is
/// logged. Durable on return in the second case.
///
/// # Errors
/// When the file cannot be written. A file that is there already is replaced as a whole.
pub fn tell_once(what: &str, words: &str, file: &Path, told: Told) -> Result<(), AppError> {
    let mut out = std::io::stdout();
    if told == Told::OnTerminal && out.is_terminal() {
        let rule = "-".repeat(78);
        let shown = write!(out, "\n{rule}\n{what}: shown once, stored nowhere in clear\n\n{words}\n{rule}\n\n");
        return shown.and_then(|()| out.flush()).map_err(AppError::io("write to", "the terminal"));
    }
    write_private(file, words)?;
    tracing::warn!(path = %file.display(), "{what} written to a file that only its owner may read; keep it elsewhere and remove the file");
    Ok(())
}

/// Writes a file of mode 0600 as a whole: beside, flushed, renamed into place, the folder flushed.
///
/// # Errors
/// [`AppError::Io`].
pub fn write_private(file: &Path, text: &str) -> Result<(), AppError> {
    let fresh = file.with_extension("new");
    let _ = std::fs::remove_file(&fresh);
    let mut options = OpenOptions::new();
    let mut open =
        options.write(true).create_new(true).mode(0o600).open(&fresh).map_err(AppError::io("make", &fresh))?;
    // Whatever the umask, exactly this.
    open.set_permissions(std::fs::Permissions::from_mode(0o600)).map_err(AppError::io("protect", &fresh))?;
    open.write_all(text.as_bytes()).map_err(AppError::io("write", &fresh))?;
    open.sync_all().map_err(AppError::io("flush", &fresh))?;
    std::fs::rename(&fresh, file).map_err(AppError::io("put in place", file))?;
    let folder = file.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(AppError::io("flush", folder))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

    use super::{KeyPair, generate, pair, random_text, write_private};
    use std::os::unix::fs::PermissionsExt as _;

    fn set(access: &str, secret: &str) -> Result<Option<(String, String)>, String> {
        let some = |text: &str| Some(text.to_owned());
        let made = pair(some(access), some(secret)).map_err(|error| error.to_string())?;
        Ok(made.map(|KeyPair { access, secret }| (access, secret)))
    }

    #[test]
    fn environment_sets_both_or_neither() {
        assert_eq!(set("", ""), Ok(None));
        assert!(set("root", "").unwrap_err().contains("KOVCHEG_ROOT_SECRET_KEY is not"));
        assert!(set("", "0123456789abcdef").unwrap_err().contains("KOVCHEG_ROOT_ACCESS_KEY is not"));
        assert_eq!(set("root", "0123456789abcdef"), Ok(Some(("root".to_owned(), "0123456789abcdef".to_owned()))));
    }

    #[test]
    fn unusable_credentials_are_refused_without_being_repeated() {
        for (access, secret) in [
            ("ab", "0123456789abcdef"),
            ("a/b/c", "0123456789abcdef"),
            ("a b c", "0123456789abcdef"),
            ("root", "SHORTsecret"),
            ("root", "SECRET with space inside"),
            ("root", &"SECRET".repeat(100)),
        ] {
            let error = set(access, secret).unwrap_err();
            assert!(!error.contains("SECRET with") && !error.contains("SHORTsecret"), "{error}");
        }
    }

    #[test]
    fn generated_pairs_pass_their_own_rules_and_differ() {
        let (one, two) = (generate().unwrap(), generate().unwrap());
        assert!(one != two);
        assert_eq!(set(&one.access, &one.secret), Ok(Some((one.access.clone(), one.secret.clone()))));
        assert_eq!((one.access.len(), one.secret.len()), (20, 40));
    }

    #[test]
    fn random_text_uses_the_whole_alphabet() {
        // Goal: no character is left out or out of place. 10,000 draws of 62 miss one with probability below 1e-68.
        let text = random_text(10_000, b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789").unwrap();
        assert_eq!(text.len(), 10_000);
        let mut seen: Vec<char> = text.chars().collect();
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len(), 62);
    }

    #[test]
    fn private_files_are_private_and_replaced_as_a_whole() {
        let folder = std::env::temp_dir().join(format!("kovcheg-secrets-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).unwrap();
        let file = folder.join("root-credentials");
        std::fs::write(&file, "an older and longer text").unwrap();
        write_private(&file, "text").unwrap();
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "text");
        assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 1);
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
