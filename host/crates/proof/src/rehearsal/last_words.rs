//! How a child ended, and what it said last.

use std::io::Read;
use std::os::unix::process::ExitStatusExt;
use std::process::{ChildStderr, ExitStatus};

use host_model::limits::REHEARSAL_BYTES_MAX;

/// Bytes of what the child says last on standard error that are kept.
const LAST_WORDS_BYTES: usize = 4 << 10;

/// The end of what a child says on standard error.
pub(super) fn last_words(mut stderr: ChildStderr) -> String {
    let mut kept = Vec::new();
    let mut chunk = [0; 1 << 10];
    while let Ok(count @ 1..) = stderr.read(&mut chunk) {
        kept.extend_from_slice(&chunk[..count]);
        let excess = kept.len().saturating_sub(LAST_WORDS_BYTES);
        kept.drain(..excess);
    }
    String::from_utf8_lossy(&kept).into_owned()
}

/// How it ended, in words.
pub(super) fn how(status: ExitStatus, said: &str) -> String {
    let said = said.trim();
    if let Some(asked) = said
        .lines()
        .find(|line| line.contains("memory allocation of"))
    {
        return format!(
            "it wanted more memory than a rehearsal may have ({} MiB at most; {asked})",
            REHEARSAL_BYTES_MAX >> 20
        );
    }
    let how = match (status.signal(), status.code()) {
        (Some(libc::SIGSEGV), _) => "a segmentation fault (SIGSEGV)".to_owned(),
        (Some(libc::SIGBUS), _) => "a bus error (SIGBUS)".to_owned(),
        (Some(libc::SIGILL), _) => "an illegal instruction (SIGILL)".to_owned(),
        (Some(libc::SIGABRT), _) => "it aborted (SIGABRT)".to_owned(),
        (Some(libc::SIGFPE), _) => "an arithmetic fault (SIGFPE)".to_owned(),
        (Some(libc::SIGSYS), _) => {
            "it asked the system for what a plugin may not have, such as a socket (SIGSYS)"
                .to_owned()
        }
        (Some(libc::SIGXCPU), _) => "it used up its processor time (SIGXCPU)".to_owned(),
        (Some(libc::SIGKILL), _) => {
            "it was killed (SIGKILL), perhaps because memory was short".to_owned()
        }
        (Some(signal), _) => format!("signal {signal}"),
        (None, Some(code)) => format!("it ended the process with exit code {code}"),
        (None, None) => "it is not known how".to_owned(),
    };
    match said.lines().last() {
        Some(line) => format!("{how}: {line}"),
        None => how,
    }
}
