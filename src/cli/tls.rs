//! `kovcheg tls self-signed`.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use rcgen::{CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, KeyPair, KeyUsagePurpose};
use serde_json::json;
use time::{Duration, OffsetDateTime};

use super::show;
use crate::error::{AppError, Outcome};
use crate::secrets::write_private;

/// File of the certificate.
const CERT_FILE: &str = "tls.crt";
/// File of the private key.
const KEY_FILE: &str = "tls.key";

/// `kovcheg tls ...`.
#[derive(Subcommand)]
pub enum TlsCommand {
    /// Make a key and a certificate that only clients trust which are given it
    SelfSigned(SelfSignedArguments),
}

/// Options of `tls self-signed`.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct SelfSignedArguments {
    /// Name or address by which clients reach the vault; may be repeated [default: localhost, 127.0.0.1 and ::1]
    #[arg(long = "name", value_name = "HOST")]
    names: Vec<String>,
    /// Folder for tls.crt and tls.key; not one on a data disk
    #[arg(long, value_name = "DIR", default_value = ".")]
    out: PathBuf,
    /// Days for which the certificate holds
    #[arg(long, value_name = "DAYS", default_value_t = 365, value_parser = clap::value_parser!(u16).range(1..=3650))]
    days: u16,
    /// Replace files that are there; a running server takes the new ones within ten seconds
    #[arg(long)]
    replace: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

const EXAMPLES: &str = "\
Examples:
  kovcheg tls self-signed --name vault.example.org --name 10.0.0.5 --out /etc/kovcheg
  kovcheg serve --s3-listen 0.0.0.0:9000 --tls-cert /etc/kovcheg/tls.crt --tls-key /etc/kovcheg/tls.key
  aws --ca-bundle tls.crt --endpoint-url https://vault.example.org:9000 s3 ls

Clients must be given tls.crt, and nothing else: it holds no secret. A certificate of your own authority goes the same way:
its file, then those that signed it, in one PEM file.";

/// Runs one of them.
pub fn run(command: &TlsCommand) -> Result<Outcome, AppError> {
    match command {
        TlsCommand::SelfSigned(arguments) => self_signed(arguments),
    }
}

fn self_signed(arguments: &SelfSignedArguments) -> Result<Outcome, AppError> {
    let (cert, key) = (arguments.out.join(CERT_FILE), arguments.out.join(KEY_FILE));
    let in_the_way = [&cert, &key].into_iter().find(|path| path.exists());
    if let (Some(path), false) = (in_the_way, arguments.replace) {
        return Err(AppError::InTheWay { path: path.clone(), advice: "say --replace to make a new pair in its place" });
    }
    let names = match arguments.names.as_slice() {
        [] => ["localhost", "127.0.0.1", "::1"].map(str::to_owned).to_vec(),
        given => given.to_vec(),
    };
    let made = make(&names, arguments.days)?;
    std::fs::create_dir_all(&arguments.out).map_err(AppError::io("make", &arguments.out))?;
    // The key first: a server that looks in between finds a pair that does not fit, keeps its own, and looks again.
    write_private(&key, &made.key)?;
    write_public(&cert, &made.cert)?;
    if arguments.json {
        show::json(&json!({ "cert": cert, "key": key, "names": names, "days": arguments.days }))?;
        return Ok(Outcome::Fine);
    }
    show::print(&format!(
        "{} and {} made for {}, good for {} days.\n\nNext:\n  kovcheg serve --tls-cert {} --tls-key {}\n\nClients trust it with \
         {}: `aws --ca-bundle`, `verify=` of boto3, --ca-cert of rclone, --cacert of restic.\n",
        cert.display(),
        key.display(),
        names.join(", "),
        arguments.days,
        cert.display(),
        key.display(),
        cert.display()
    ))?;
    Ok(Outcome::Fine)
}

struct Made {
    cert: String,
    key: String,
}

fn make(names: &[String], days: u16) -> Result<Made, AppError> {
    let refused = |error: rcgen::Error| AppError::Usage(format!("no certificate for {}: {error}", names.join(", ")));
    let mut params = CertificateParams::new(names.to_vec()).map_err(refused)?;
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, "Kovcheg, self-signed");
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    // Clocks of clients may be a little behind.
    params.not_before = OffsetDateTime::now_utc() - Duration::hours(1);
    params.not_after = OffsetDateTime::now_utc() + Duration::days(days.into());
    let key = KeyPair::generate().map_err(refused)?;
    let cert = params.self_signed(&key).map_err(refused)?;
    Ok(Made { cert: cert.pem(), key: key.serialize_pem() })
}

/// Writes a file that everybody may read, as a whole.
fn write_public(path: &Path, text: &str) -> Result<(), AppError> {
    use std::os::unix::fs::PermissionsExt as _;
    write_private(path, text)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o644)).map_err(AppError::io("open up", path))
}
