//! The child's side of a rehearsal.

use std::fs::File;
use std::io::{self, BufReader, Write};
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use host_loader::{Loader, Plugin};
use host_model::error::chain;
use host_model::limits::{REHEARSAL_BEAT, REHEARSAL_BURST, REHEARSAL_REST};
use rustix::stdio::dup2_stdin;
use rustix::time::{ClockId, clock_gettime};

use super::judge::Judge;
use super::talk::{Answer, Ask};
use super::{Setup, jail};
use crate::frames;

/// Bytes that are read at once: some hundred small actors.
const READ_BYTES: usize = 256 << 10;

/// When somebody last heard of this process, by a clock that costs next to nothing.
struct Heard(Duration);

impl Heard {
    fn now() -> Self {
        Self(Self::clock())
    }

    fn clock() -> Duration {
        let now = clock_gettime(ClockId::MonotonicCoarse);
        Duration::try_from(now).unwrap_or_default()
    }

    fn is_long_ago(&self) -> bool {
        Self::clock().saturating_sub(self.0) >= REHEARSAL_BEAT
    }
}

/// Leaves the processor to clients now and then.
struct Pace {
    is_sparing: bool,
    since: Instant,
}

impl Pace {
    fn rest_if_due(&mut self) {
        if self.is_sparing && self.since.elapsed() >= REHEARSAL_BURST {
            thread::sleep(REHEARSAL_REST);
            self.since = Instant::now();
        }
    }
}

/// Rehearses what comes over standard input, which is a socket, and answers over it.
/// Returns the exit code. `images` is where copies of libraries go; whoever starts this
/// removes it.
#[must_use]
pub fn rehearsal_main(images: &Path) -> i32 {
    // Two handles, for later there are no new ones.
    let (Ok(mut socket), Ok(mut answers)) = (socket(), socket()) else {
        return 1;
    };
    if !matches!(
        File::open("/dev/null").map(|nothing| dup2_stdin(&nothing)),
        Ok(Ok(()))
    ) {
        return 1;
    }
    // The first look at the clock finds out how to have it without a call into the kernel,
    // and later no file can be opened.
    Heard::now();
    let mut buffer = Vec::new();
    let first = frames::read(&mut socket, &mut buffer);
    let begun = match first {
        Ok(Some(Ask::Setup(setup))) => begin(&setup, images),
        Ok(_) => Err("it was asked before it was set up".to_owned()),
        Err(error) => Err(format!("it was asked what it cannot read: {error}")),
    };
    let served = match begun {
        Ok((judge, remarks)) => say(&mut answers, &Answer::Ready(remarks))
            .and_then(|()| serve(&judge, socket, &mut answers, buffer)),
        Err(why) => say(&mut answers, &Answer::Failed(why)),
    };
    // Without a reader there is nobody to tell.
    served.map_or(1, |()| 0)
}

/// Opens the libraries, and gives up all that is not needed any more. What is wrong with those
/// that are to spare is told beside.
fn begin(setup: &Setup, images: &Path) -> Result<(Judge, Vec<String>), String> {
    let shut = |error: io::Error| format!("shut itself in: {error}");
    jail::shut_in().map_err(shut)?;
    let loader = Loader::in_a_child(images).map_err(|e| chain(&e))?;
    let open = |path: &Path, digest: &str| -> Result<Arc<Plugin>, String> {
        let digest = digest.parse().map_err(|e| format!("{e}"))?;
        loader.load(path, Some(digest)).map_err(|e| chain(&e))
    };
    let mut plugins = Vec::new();
    let mut remarks = Vec::new();
    for (path, digest) in &setup.libraries {
        let mut or_remark = |wrong: Result<(), String>| match wrong {
            Err(why) if setup.spare.contains(digest) => {
                remarks.push(format!("{}: {why}", path.display()));
                Ok(())
            }
            wrong => wrong,
        };
        match open(path, digest) {
            Ok(plugin) => {
                // As in a host, where one that does not rule need not be in order to be crossed.
                or_remark(configure(&plugin, setup.configs.get(digest)))?;
                plugins.push(plugin);
            }
            Err(why) => or_remark(Err(why))?,
        }
    }
    let judge = Judge::new(setup, plugins);
    jail::shut().map_err(shut)?;
    Ok((judge, remarks))
}

fn configure(plugin: &Plugin, config: Option<&String>) -> Result<(), String> {
    let Some(config) = config else {
        return Ok(());
    };
    let taken = plugin.configure(config.as_bytes());
    let taken = taken.map_err(|fault| fault.to_string())?;
    taken.map_err(|rejection| format!("configure {}: {}", plugin.name(), rejection.reason))
}

fn serve(judge: &Judge, socket: File, answers: &mut File, mut buffer: Vec<u8>) -> io::Result<()> {
    let mut socket = BufReader::with_capacity(READ_BYTES, socket);
    let mut out = Vec::new();
    let mut is_traced = false;
    let mut heard = Heard::now();
    let mut pace = Pace {
        is_sparing: false,
        since: Instant::now(),
    };
    loop {
        // Only when it would wait: what is written together wakes the host once. Who is
        // asked step by step may not come so far.
        let waits = socket.buffer().is_empty();
        if waits || out.len() >= READ_BYTES || is_traced || heard.is_long_ago() {
            answers.write_all(&out)?;
            out.clear();
            heard = Heard::now();
        }
        pace.rest_if_due();
        let asked = frames::read(&mut socket, &mut buffer)?;
        is_traced = matches!(asked, Some(Ask::Traced(_)));
        let judged = match asked {
            // That it is getting on, and with what, is told now and then: one actor may have
            // many steps, and each its time.
            Some(Ask::Subject(subject)) => judge.judge(&subject, &mut |step| {
                if heard.is_long_ago() {
                    heard = Heard::now();
                    let step = Answer::Step(step.to_string());
                    let told = frames::write(&mut out, &step);
                    let _ = told.and_then(|()| answers.write_all(&out));
                    out.clear();
                }
            }),
            Some(Ask::Traced(subject)) => judge.judge(&subject, &mut |step| {
                // A host that is gone is noticed below.
                let _ = say(answers, &Answer::Step(step.to_string()));
            }),
            Some(Ask::Spare(clients)) => {
                pace.is_sparing = clients;
                continue;
            }
            Some(Ask::Setup(_)) => return Err(io::Error::other("it was set up again")),
            None => return Ok(()),
        };
        frames::write(&mut out, &Answer::Judged(judged))?;
    }
}

fn say(socket: &mut File, answer: &Answer) -> io::Result<()> {
    let mut out = Vec::new();
    frames::write(&mut out, answer)?;
    socket.write_all(&out)
}

/// The socket, which came as standard input.
fn socket() -> io::Result<File> {
    let socket = rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stdin(), 3)?;
    Ok(socket.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_followed_by_a_rest_while_clients_are_served_and_only_then() {
        let began = Instant::now();
        let since = began.checked_sub(REHEARSAL_BURST).unwrap();
        let mut pace = Pace {
            is_sparing: true,
            since,
        };
        pace.rest_if_due();
        assert!(began.elapsed() >= REHEARSAL_REST);
        assert!(pace.since > began, "the next burst begins behind it");

        let mut alone = Pace {
            is_sparing: false,
            since,
        };
        alone.rest_if_due();
        assert_eq!(alone.since, since);
    }
}
