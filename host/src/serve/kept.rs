//! What the host has its keeper do.

use crate::checks;
use crate::home::Home;
use crate::launcher::Found;
use crate::notify;
use crate::pidfile::is_held;

/// That there is a keeper, or why that is needed.
///
/// # Errors
///
/// What to do instead.
pub(super) fn keeper(home: &Home) -> Result<(), String> {
    match is_held(&home.keeper_pid_file()) {
        true => Ok(()),
        false => Err(
            "restart the host: it runs without a keeper; restart it by what started it, or `host stop` and `host start`"
                .to_owned(),
        ),
    }
}

/// That there is a keeper, and that a start of it finds what it wants: the environment and
/// the file of settings are those of this process, which has them of the keeper.
///
/// # Errors
///
/// The reason for programs, and for people what to do instead.
pub(super) fn may_restart(found: &Found) -> Result<(), (&'static str, String)> {
    keeper(&found.home).map_err(|why| ("no_keeper", why))?;
    let fit = found.again().and_then(|found| checks::checked(&found));
    fit.map(drop).map_err(|why| ("unfit", why.to_string()))
}

/// Tells the keeper to end this host and to boot it anew.
///
/// # Errors
///
/// As [`keeper`], or that it does not listen.
pub(super) fn restart(home: &Home) -> Result<(), String> {
    keeper(home)?;
    notify::restart(&home.keeper_socket())
        .map_err(|e| format!("restart the host: tell its keeper: {e}"))
}
