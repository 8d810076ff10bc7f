//! A pseudo-terminal, and a command on it: what somebody sees who types it.

use std::fs::{File, OpenOptions};
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt;
use std::process::Command;

use anyhow::{Context, Result};
use rustix::fs::OFlags;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

/// Wide enough for what is shown in one line.
const SIZE: Winsize = Winsize {
    ws_row: 40,
    ws_col: 120,
    ws_xpixel: 0,
    ws_ypixel: 0,
};

/// Has `command` read from and write to a new terminal. The side on which that is looked
/// at: it ends in an error when the last who has the other one has closed it.
///
/// # Errors
///
/// That there is no terminal to be had.
pub fn attach(command: &mut Command) -> Result<File> {
    let no_owner = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let screen = openpt(no_owner).context("open a terminal")?;
    grantpt(&screen)?;
    unlockpt(&screen)?;
    let name = ptsname(&screen, Vec::new())?;
    let keyboard = OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(OFlags::NOCTTY.bits().cast_signed())
        .open(name.to_str()?)?;
    tcsetwinsize(&keyboard, SIZE)?;
    let side = || keyboard.try_clone().map(OwnedFd::from);
    command
        .env("TERM", "xterm")
        .stdin(side()?)
        .stdout(side()?)
        .stderr(side()?);
    Ok(File::from(screen))
}
