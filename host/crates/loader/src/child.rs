//! What a program says that was started to be asked something.

use std::io::{self, Read};
use std::process::{Child, ChildStdout, ExitStatus};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

/// Between two looks whether it has ended that has closed its output, or gives it to a
/// process of its own. Who asks serves clients and is waited for: one that ends is seen to
/// have ended within this.
const LOOK_EVERY: Duration = Duration::from_micros(200);

/// Between two looks whether it lives, while it may still say something.
const LIVES_EVERY: Duration = Duration::from_millis(50);

/// What it said, and how it ended.
#[derive(Debug)]
pub struct Said {
    /// How.
    pub status: ExitStatus,
    /// What it wrote to its standard output, or as much of it as was asked for.
    pub text: Vec<u8>,
}

/// Reads what `child` writes to its standard output, which is a pipe, and waits until it has
/// ended: `within` so long, then it is killed. No more than `at_most` bytes are read.
/// None: it was killed.
///
/// # Errors
///
/// It cannot be read or waited for; it is killed then, too.
///
/// # Panics
///
/// If its standard output is no pipe.
///
/// # Examples
///
/// ```
/// use std::process::{Command, Stdio};
/// use std::time::Duration;
///
/// let child = Command::new("echo").arg("hello").stdout(Stdio::piped()).spawn()?;
/// let said = host_loader::said(child, 64, Duration::from_secs(60))?.expect("it ends by itself");
/// assert!(said.status.success());
/// assert_eq!(said.text, b"hello\n");
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn said(mut child: Child, at_most: usize, within: Duration) -> io::Result<Option<Said>> {
    let stdout = child.stdout.take().expect("its standard output is a pipe");
    let said = listen(&mut child, stdout, at_most, Instant::now() + within);
    if !matches!(said, Ok(Some(_))) {
        // Whatever comes of either.
        let _ = child.kill();
        let _ = child.wait();
    }
    said
}

fn listen(
    child: &mut Child,
    stdout: ChildStdout,
    at_most: usize,
    deadline: Instant,
) -> io::Result<Option<Said>> {
    let mut text = Vec::new();
    // Until it has closed it, or has said too much: one that goes on is told by a signal.
    let mut open = Some(stdout);
    while Instant::now() < deadline {
        if let Some(stdout) = &mut open
            && is_readable(stdout, LIVES_EVERY)?
        {
            let mut piece = [0; 4 << 10];
            let left = piece.len().min(at_most - text.len());
            let count = stdout.read(&mut piece[..left])?;
            text.extend_from_slice(&piece[..count]);
            if count == 0 {
                open = None;
            }
        } else if let Some(status) = child.try_wait()? {
            return Ok(Some(Said { status, text }));
        } else if open.is_none() {
            std::thread::sleep(LOOK_EVERY);
        }
    }
    Ok(None)
}

/// Whether there is something to read, or the end, within `wait`.
fn is_readable(stdout: &ChildStdout, wait: Duration) -> io::Result<bool> {
    let wait = Timespec::try_from(wait).expect("it is short");
    match poll(&mut [PollFd::new(stdout, PollFlags::IN)], Some(&wait)) {
        Ok(ready) => Ok(ready > 0),
        Err(Errno::INTR) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    fn shell(script: &str) -> Child {
        let mut shell = Command::new("sh");
        shell.args(["-c", script]).stdout(Stdio::piped());
        shell.stderr(Stdio::null()).spawn().unwrap()
    }

    #[test]
    fn what_it_says_and_how_it_ends() {
        let said = said(shell("echo one; echo two; exit 3"), 64, LONG);
        let said = said.unwrap().unwrap();
        assert_eq!(said.text, b"one\ntwo\n");
        assert_eq!(said.status.code(), Some(3));
    }

    #[test]
    fn no_more_is_read_than_was_asked_for() {
        let said = said(shell("echo 0123456789"), 4, LONG).unwrap().unwrap();
        assert_eq!(said.text, b"0123");
        let endless = super::said(shell("exec cat /dev/zero"), 4, LONG);
        let endless = endless.unwrap().unwrap();
        assert_eq!(endless.text.len(), 4);
        assert!(!endless.status.success(), "{}", endless.status);
    }

    #[test]
    fn one_that_does_not_end_is_killed() {
        let short = Duration::from_millis(1);
        for script in ["exec sleep 600", "exec >&-; exec sleep 600"] {
            let child = shell(script);
            let id = child.id();
            assert!(said(child, 64, short).unwrap().is_none(), "{script}");
            assert!(
                !std::path::Path::new(&format!("/proc/{id}")).exists(),
                "it was waited for"
            );
        }
    }

    #[test]
    fn a_process_of_its_own_that_lives_on_is_not_waited_for() {
        let said = said(shell("echo mine; sleep 600 & echo $!"), 64, LONG);
        let text = String::from_utf8(said.unwrap().unwrap().text).unwrap();
        let (mine, lives_on) = text.trim().split_once('\n').unwrap();
        assert_eq!(mine, "mine");
        let lives_on = rustix::process::Pid::from_raw(lives_on.parse().unwrap()).unwrap();
        rustix::process::kill_process(lives_on, rustix::process::Signal::KILL).unwrap();
    }
}
