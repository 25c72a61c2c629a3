//! Logs to stderr, a panic hook that logs, and the recorder behind `/metrics`.

use std::io::IsTerminal as _;
use std::time::Duration;

use kovcheg_admin::ports::MetricsText;
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tracing_subscriber::EnvFilter;

use crate::config::{LogFormat, LogSection};
use crate::error::AppError;

/// Bounds of every duration histogram, seconds: from a cached read to a stuck disk.
const SECONDS: [f64; 14] = [0.000_1, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0];

/// What s3s logs is left out unless the operator names it: it calls every mistake of a client an ERROR, so that anybody who
/// reaches the port could fill the log. The gateway logs what is the vault's fault, and audits refusals.
const QUIET: &str = "s3s=off";

/// Starts logging. Called once, before anything that logs; a second call is an error.
///
/// # Errors
/// When the filter is not one, or logging was started already.
pub fn start_logs(log: &LogSection) -> Result<(), AppError> {
    let failed = |reason: String| AppError::Machinery { what: "logging (`log.level`)", reason };
    let filter = EnvFilter::try_new(format!("{QUIET},{}", log.level)).map_err(|error| failed(error.to_string()))?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let started = match log.format {
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
        LogFormat::Text => builder.with_ansi(std::io::stderr().is_terminal()).with_target(false).try_init(),
    };
    started.map_err(|error| failed(error.to_string()))?;
    log_panics();
    Ok(())
}

/// A panic is a bug: it is logged like any other error, so that it is found where people look.
fn log_panics() {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        let thread = std::thread::current();
        tracing::error!(
            thread = thread.name().unwrap_or("unnamed"),
            place,
            "a bug stopped this thread; please report it"
        );
        usual(panic);
    }));
}

/// What all crates record through `metrics`.
#[derive(Clone)]
pub struct Recorded {
    handle: PrometheusHandle,
}

impl Recorded {
    /// Installs the recorder. Once per process.
    ///
    /// # Errors
    /// When one is installed already.
    pub fn install() -> Result<Self, AppError> {
        let failed = |reason: String| AppError::Machinery { what: "metrics", reason };
        let builder = PrometheusBuilder::new()
            .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &SECONDS)
            .map_err(|error| failed(error.to_string()))?;
        let handle = builder.install_recorder().map_err(|error| failed(error.to_string()))?;
        Ok(Self { handle })
    }

    /// Folds what was recorded since the last time, so that memory stays bounded when nobody scrapes (M-1). Never ends.
    pub async fn keep_up(self) {
        let mut ticks = tokio::time::interval(Duration::from_secs(5));
        loop {
            ticks.tick().await;
            self.handle.run_upkeep();
        }
    }
}

impl MetricsText for Recorded {
    fn render(&self) -> String {
        self.handle.render()
    }
}
