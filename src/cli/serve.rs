//! `kovcheg serve`.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;

use super::place::Place;
use crate::app::run_server;
use crate::config::{Config, Overrides};
use crate::error::{AppError, Outcome};
use crate::telemetry::start_logs;

/// Options of `serve`.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct ServeArguments {
    #[command(flatten)]
    place: Place,
    /// Address of the S3 endpoint [default: 127.0.0.1:9000]
    #[arg(long, value_name = "ADDRESS:PORT")]
    s3_listen: Option<SocketAddr>,
    /// Address of health and metrics [default: 127.0.0.1:9001]
    #[arg(long, value_name = "ADDRESS:PORT")]
    admin_listen: Option<SocketAddr>,
    /// Serve plain HTTP on addresses that are not loopback: bodies cross the network readably
    #[arg(long)]
    allow_plain_http: bool,
    /// Serve S3 over TLS with this certificate (PEM, those that signed it behind it)
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// Private key of that certificate (PEM); taken anew with it when the files change, and on SIGHUP
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
}

const EXAMPLES: &str = "\
Examples:
  kovcheg serve
      a vault of six folders under ./kovcheg-data, for trying out
  kovcheg serve --config /etc/kovcheg/kovcheg.toml
      a vault on the disks that the configuration lists
  KOVCHEG_ROOT_ACCESS_KEY=... KOVCHEG_ROOT_SECRET_KEY=... kovcheg serve --data /srv/vault
      with root credentials of your own; they win over stored ones
  kovcheg serve --s3-listen 0.0.0.0:9000 --tls-cert tls.crt --tls-key tls.key
      over TLS, for the network; `kovcheg tls self-signed` makes a pair to begin with

Without those two variables, root credentials are made at first start and shown once on a terminal, or written to
DIR/root-credentials (mode 0600) where there is none; so is the recovery kit (DIR/recovery-kit).
SIGTERM or SIGINT ends cleanly; a second one at once.";

/// Serves until told to end.
pub fn run(arguments: &ServeArguments) -> Result<Outcome, AppError> {
    let config = Config::load(&Overrides {
        config: arguments.place.config.clone(),
        data: arguments.place.data.clone(),
        s3_listen: arguments.s3_listen,
        admin_listen: arguments.admin_listen,
        allow_plain_http: arguments.allow_plain_http,
        tls: arguments.tls_cert.clone().zip(arguments.tls_key.clone()),
    })?;
    start_logs(&config.log)?;
    run_server(config)
}
