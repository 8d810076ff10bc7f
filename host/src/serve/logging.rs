//! Log lines: how they look, and which there are.

use std::io;

use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::reload::Error;

use crate::config::tuning::SetLogFilter;
use crate::config::{Config, LogFormat};
use crate::logfile::LogFile;

/// Log lines go to `file`, which is standard output: the log, the journal of systemd, or a
/// terminal. Who holds what is returned can say which lines there are from then on.
pub(super) fn log(config: &Config, file: LogFile) -> SetLogFilter {
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter(&config.log_filter))
        .with_writer(file)
        // A terminal that has gone takes no line, and who says so there panics.
        .log_internal_errors(false);
    let (set, reload): (_, SetLogFilter) = match config.log_format {
        LogFormat::Pretty => {
            let lines = lines.with_ansi(false).with_filter_reloading();
            let handle = lines.reload_handle();
            let reload = move |lines: &str| reloaded(handle.reload(filter(lines)));
            (lines.try_init(), Box::new(reload))
        }
        LogFormat::Json => {
            let lines = lines.json().flatten_event(true).with_filter_reloading();
            let handle = lines.reload_handle();
            let reload = move |lines: &str| reloaded(handle.reload(filter(lines)));
            (lines.try_init(), Box::new(reload))
        }
    };
    if let Err(error) = set {
        eprintln!("log lines are not shown: {error}");
    }
    reload
}

/// From now on the next line goes to a new file at SIGUSR1, if the log was moved; it would
/// end the process otherwise.
///
/// # Errors
///
/// The system's.
pub(super) fn reopen_at_sigusr1(file: LogFile) -> io::Result<()> {
    let mut word = signal(SignalKind::user_defined1())?;
    // Until the runtime ends.
    tokio::spawn(async move {
        while word.recv().await.is_some() {
            file.reopen();
        }
    });
    Ok(())
}

/// Which lines there are. What the migrations of the store's tables tell step by step is for
/// who asks for it: on a first start it would stand before all else.
fn filter(lines: &str) -> EnvFilter {
    let filter = EnvFilter::new(lines);
    match lines.contains("refinery") {
        true => filter,
        false => {
            let quiet = "refinery_core=warn".parse();
            filter.add_directive(quiet.expect("it is a directive"))
        }
    }
}

fn reloaded(outcome: Result<(), Error>) {
    if let Err(error) = outcome {
        tracing::error!(%error, "RUST_LOG could not be changed; what was logged is logged");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_steps_of_migrations_are_for_who_asks_for_them() {
        let shown = |lines: &str| filter(lines).to_string();
        assert!(shown("info").contains("refinery_core=warn"));
        assert!(shown("info").contains("info"));
        assert_eq!(shown("refinery_core=debug"), "refinery_core=debug");
    }
}
