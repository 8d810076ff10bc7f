//! Log lines: how they look, and which there are.

use tracing_subscriber::EnvFilter;
use tracing_subscriber::reload::Error;

use crate::config::tuning::SetLogFilter;
use crate::config::{Config, LogFormat};

/// Log lines go to standard output: the log file, the journal of systemd, or a terminal.
/// Who holds what is returned can say which lines there are from then on.
pub(super) fn log(config: &Config) -> SetLogFilter {
    let filter = EnvFilter::new(&config.log_filter);
    let lines = tracing_subscriber::fmt().with_env_filter(filter);
    let (set, reload): (_, SetLogFilter) = match config.log_format {
        LogFormat::Pretty => {
            let lines = lines.with_ansi(false).with_filter_reloading();
            let handle = lines.reload_handle();
            let reload = move |filter: &str| reloaded(handle.reload(EnvFilter::new(filter)));
            (lines.try_init(), Box::new(reload))
        }
        LogFormat::Json => {
            let lines = lines.json().flatten_event(true).with_filter_reloading();
            let handle = lines.reload_handle();
            let reload = move |filter: &str| reloaded(handle.reload(EnvFilter::new(filter)));
            (lines.try_init(), Box::new(reload))
        }
    };
    if let Err(error) = set {
        eprintln!("log lines are not shown: {error}");
    }
    reload
}

fn reloaded(outcome: Result<(), Error>) {
    if let Err(error) = outcome {
        tracing::error!(%error, "RUST_LOG could not be changed; what was logged is logged");
    }
}
