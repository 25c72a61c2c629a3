//! TLS 1.3 of the S3 listener: certificate and key from files, taken anew when they change, without a restart.

use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use parking_lot::{Mutex, RwLock};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{InconsistentKeys, ServerConfig};
use thiserror::Error;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// A client has this long to agree on keys.
const HANDSHAKE_TIME: Duration = Duration::from_secs(10);
/// How often the files are looked at.
pub(crate) const LOOK_EVERY: Duration = Duration::from_secs(10);
/// A certificate that ends sooner is complained about.
const RENEW_BEFORE: Duration = Duration::from_secs(14 * 24 * 3600);
/// First byte of a TLS record that begins a handshake (RFC 8446 §5.1).
const HANDSHAKE_RECORD: u8 = 22;
/// Bits of a file's mode that let everybody in.
const MODE_OTHERS: u32 = 0o007;
/// What a client hears that speaks plain HTTP.
const SPEAK_HTTPS: &str = "This port speaks HTTPS: write https:// in the endpoint.\n";

/// Where certificate and key are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// PEM: the server's certificate first, then those that signed it.
    pub cert: PathBuf,
    /// PEM: the private key.
    pub key: PathBuf,
}

/// Why TLS cannot be served with these files.
#[derive(Debug, Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("{} cannot be read: {source}", path.display())]
    Read {
        /// File.
        path: PathBuf,
        /// Cause.
        #[source]
        source: io::Error,
    },
    /// No certificate, or not PEM.
    #[error("{} holds no certificate ({reason}); it must be PEM, the server's certificate first, those that signed it behind", path.display())]
    NoCertificate {
        /// File.
        path: PathBuf,
        /// Cause.
        reason: String,
    },
    /// No key, or not PEM.
    #[error("{} holds no private key ({reason}); it must be PEM, unencrypted (PKCS #8, PKCS #1 or SEC 1)", path.display())]
    NoKey {
        /// File.
        path: PathBuf,
        /// Cause.
        reason: String,
    },
    /// Everybody on the machine may read the key.
    #[error("everybody may read the private key {} (mode {mode:o}); run `chmod 600` on it", path.display())]
    KeyOpen {
        /// File.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// Key and certificate are of different pairs.
    #[error("the key in {} does not belong to the certificate in {}", key.display(), cert.display())]
    Mismatch {
        /// File of the key.
        key: PathBuf,
        /// File of the certificate.
        cert: PathBuf,
    },
    /// The certificate's time is over.
    #[error("the certificate in {} ended {} days ago; renew it", path.display(), ago.as_secs() / 86_400)]
    Expired {
        /// File.
        path: PathBuf,
        /// Since when.
        ago: Duration,
    },
    /// The pair is of a kind that TLS 1.3 cannot use.
    #[error("{}: {reason}", path.display())]
    Unusable {
        /// File.
        path: PathBuf,
        /// Cause.
        reason: String,
    },
}

/// What tells one state of the files from another.
type Stamp = [(u64, u64, i64, i64); 2];

/// TLS, ready for connections.
pub struct Tls {
    files: TlsFiles,
    current: Arc<Current>,
    acceptor: TlsAcceptor,
    /// The files as they were last looked at.
    seen: Mutex<Option<Stamp>>,
}

/// The pair in use.
#[derive(Debug)]
struct Current(RwLock<Arc<CertifiedKey>>);

impl ResolvesServerCert for Current {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0.read()))
    }
}

impl Tls {
    /// Loads the pair. One whose time is over is taken, with a loud word in the log: clients that check will refuse it, and the
    /// others need not stand still.
    ///
    /// # Errors
    /// [`TlsError`], but not [`TlsError::Expired`].
    pub fn load(files: TlsFiles) -> Result<Self, TlsError> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let seen = Mutex::new(stamp(&files));
        let pair = pair(&files, &provider)?;
        if let Err(error) = check_time(&files.cert, &pair) {
            tracing::error!(%error, "clients that check certificates will refuse this vault");
        }
        let current = Arc::new(Current(RwLock::new(Arc::new(pair))));
        let unusable =
            |error: rustls::Error| TlsError::Unusable { path: files.cert.clone(), reason: error.to_string() };
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(unusable)?
            .with_no_client_auth()
            .with_cert_resolver(Arc::clone(&current) as Arc<dyn ResolvesServerCert>);
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self { acceptor: TlsAcceptor::from(Arc::new(config)), files, current, seen })
    }

    /// Takes the files anew; connections that are open keep what they have.
    ///
    /// # Errors
    /// [`TlsError`]; the pair in use stays then.
    pub fn reload(&self) -> Result<(), TlsError> {
        *self.seen.lock() = stamp(&self.files);
        let pair = pair(&self.files, self.acceptor.config().crypto_provider())?;
        check_time(&self.files.cert, &pair)?;
        *self.current.0.write() = Arc::new(pair);
        Ok(())
    }

    /// [`Tls::reload`], told in the log.
    pub fn reload_aloud(&self) {
        match self.reload() {
            Ok(()) => {
                tracing::info!(cert = %self.files.cert.display(), "new connections get the certificate as it is now")
            }
            Err(error) => tracing::error!(%error, "the certificate was not taken anew; the one in use stays"),
        }
    }

    /// Takes the files anew if they changed; complains about a certificate that ends soon.
    pub(crate) fn look(&self) {
        let now = stamp(&self.files);
        if now.is_some() && *self.seen.lock() != now {
            self.reload_aloud();
        }
    }

    /// Says in the log when the certificate in use ends soon or has ended.
    pub(crate) fn warn_of_end(&self) {
        let pair = Arc::clone(&self.current.0.read());
        match left(&pair) {
            Some(left) if left < RENEW_BEFORE => tracing::warn!(
                cert = %self.files.cert.display(),
                days = left.as_secs() / 86_400,
                "the certificate ends soon; put a new one in its place"
            ),
            Some(_) => {}
            None => {
                tracing::error!(cert = %self.files.cert.display(), "the certificate has ended; put a new one in its place")
            }
        }
    }

    /// Agrees with a client on keys. `None`: it did not come to that, and the connection is over.
    pub(crate) async fn accept(&self, stream: TcpStream) -> Option<TlsStream<TcpStream>> {
        match timeout(HANDSHAKE_TIME, self.shake_hands(stream)).await {
            Ok(Ok(stream)) => Some(stream),
            Ok(Err(error)) => {
                tracing::debug!(error = %error, "no TLS with this client");
                None
            }
            Err(_) => {
                tracing::debug!("a client took too long to agree on keys");
                None
            }
        }
    }

    async fn shake_hands(&self, mut stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        let mut first = [0_u8; 1];
        if stream.peek(&mut first).await? == 1 && first != [HANDSHAKE_RECORD] {
            let answer = format!(
                "HTTP/1.1 400 Bad Request\r\ncontent-type: text/plain\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{SPEAK_HTTPS}",
                SPEAK_HTTPS.len()
            );
            stream.write_all(answer.as_bytes()).await?;
            stream.shutdown().await?;
            return Err(io::Error::new(io::ErrorKind::InvalidData, "the client does not speak TLS"));
        }
        self.acceptor.accept(stream).await
    }
}

fn stamp(files: &TlsFiles) -> Option<Stamp> {
    let of = |path: &Path| {
        let meta = fs::metadata(path).ok()?;
        Some((meta.ino(), meta.len(), meta.mtime(), meta.mtime_nsec()))
    };
    Some([of(&files.cert)?, of(&files.key)?])
}

fn pair(files: &TlsFiles, provider: &CryptoProvider) -> Result<CertifiedKey, TlsError> {
    let read = |path: &PathBuf| fs::read(path).map_err(|source| TlsError::Read { path: path.clone(), source });
    let mode = fs::metadata(&files.key)
        .map_err(|source| TlsError::Read { path: files.key.clone(), source })?
        .permissions()
        .mode();
    if mode & MODE_OTHERS != 0 {
        return Err(TlsError::KeyOpen { path: files.key.clone(), mode: mode & 0o777 });
    }
    let no_certificate = |reason: String| TlsError::NoCertificate { path: files.cert.clone(), reason };
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(&read(&files.cert)?)
        .collect::<Result<_, _>>()
        .map_err(|error| no_certificate(error.to_string()))?;
    if chain.is_empty() {
        return Err(no_certificate("nothing in it is one".to_owned()));
    }
    let key = PrivateKeyDer::from_pem_slice(&read(&files.key)?)
        .map_err(|error| TlsError::NoKey { path: files.key.clone(), reason: error.to_string() })?;
    CertifiedKey::from_der(chain, key, provider).map_err(|error| match error {
        rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => {
            TlsError::Mismatch { key: files.key.clone(), cert: files.cert.clone() }
        }
        rustls::Error::InvalidCertificate(reason) => no_certificate(format!("{reason:?}")),
        other => TlsError::Unusable { path: files.key.clone(), reason: other.to_string() },
    })
}

/// Moment at which the first certificate of a chain ends. One that cannot be read was refused before.
fn ends_at(pair: &CertifiedKey) -> Option<SystemTime> {
    let (_, parsed) = x509_parser::parse_x509_certificate(pair.cert.first()?).ok()?;
    let seconds = u64::try_from(parsed.validity().not_after.timestamp()).unwrap_or(0);
    UNIX_EPOCH.checked_add(Duration::from_secs(seconds))
}

/// Time that a certificate has left; `None` when it has ended.
fn left(pair: &CertifiedKey) -> Option<Duration> {
    ends_at(pair)?.duration_since(SystemTime::now()).ok()
}

fn check_time(path: &Path, pair: &CertifiedKey) -> Result<(), TlsError> {
    match ends_at(pair).map(|end| SystemTime::now().duration_since(end)) {
        Some(Ok(ago)) => Err(TlsError::Expired { path: path.to_owned(), ago }),
        _ => Ok(()),
    }
}
