//! The host's side of a rehearsal: starts the child, keeps it supplied, and ends it
//! where it does not answer.

use std::collections::{HashMap, VecDeque};
use std::io::{self, ErrorKind, Write};
use std::net::Shutdown;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::{Duration, Instant};
use std::{mem, thread, vec};

use host_model::ActorId;
use host_model::limits::{
    BUSY_DEADLINE, INSPECT_TIMEOUT, REHEARSAL_BEAT, REHEARSAL_IN_FLIGHT_BYTES_MAX,
    REHEARSAL_IN_FLIGHT_MAX, REHEARSAL_MIB_TIME_MAX,
};
use tempfile::TempDir;
use thiserror::Error;

use super::last_words::{how, last_words};
use super::talk::{Answer, Asked};
use super::{Judged, Moved, Setup, Subject};
use crate::frames;

/// How long nothing is looked at: what a cancellation waits at most.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// How long what a child has said last is waited for once it has ended: whoever has inherited
/// its standard error may live on.
const LAST_WORDS_TIMEOUT: Duration = Duration::from_secs(1);

/// Frames are handed to the socket from so many bytes on.
const WRITE_BYTES: usize = 64 << 10;

/// How the child is started.
#[derive(Debug, Clone)]
pub struct Rehearser {
    /// A program that calls [`super::rehearsal_main`] when it has these arguments and
    /// the folder for its images behind them.
    pub program: PathBuf,
    /// See `program`.
    pub args: Vec<String>,
    /// Where the child's copies of libraries go, in a folder of their own: a file system
    /// that allows exec.
    pub images: PathBuf,
}

/// Why there is no child to rehearse with. Nothing has been rehearsed.
#[derive(Debug, Error)]
pub enum StartError {
    /// It could not be started or written to.
    #[error("start {} for a rehearsal", program.display())]
    Run {
        /// The program.
        program: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It says that it cannot.
    #[error("the rehearsal could not open what it needs: {0}")]
    Failed(String),
    /// It ended while it opened the libraries, or never had.
    #[error("the rehearsal's process ended before its first actor: {0}")]
    Ended(String),
    /// Nobody wants to know any more.
    #[error("the rehearsal was cancelled")]
    Cancelled,
}

/// The child is no more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ended {
    /// It ended, or was ended, over one of those that it was asked about.
    Over {
        /// What it was doing, where it was asked to tell.
        step: Option<String>,
        /// How it ended.
        why: String,
    },
    /// Nobody wants to know any more.
    Cancelled,
}

/// An actor, and what was found of it.
#[derive(Debug)]
pub struct Answered {
    /// Which.
    pub actor: ActorId,
    /// What was found.
    pub judged: Judged,
}

/// A child at work. Dropped, it is ended.
#[derive(Debug)]
pub struct Stage {
    child: Child,
    socket: UnixStream,
    out: Vec<u8>,
    /// As many at once as have come together.
    answers: Receiver<Vec<Answer>>,
    /// Those that have come and are not taken yet.
    ready: vec::IntoIter<Answer>,
    errors: Receiver<String>,
    /// See [`Moved::deadline_ms`], by plugin.
    deadlines: HashMap<String, Duration>,
    asked: VecDeque<Pending>,
    asked_bytes: usize,
    is_spared: bool,
    cancelled: Arc<AtomicBool>,
    clock: Watch,
    step: Option<String>,
    remarks: Vec<String>,
    _images: TempDir,
}

#[derive(Debug)]
struct Pending {
    subject: Subject,
    bytes: usize,
}

impl Rehearser {
    /// Starts a child, and waits until it has opened all libraries. From the moment
    /// that `cancelled` is set it ends within [`LOOK_EVERY`].
    ///
    /// # Errors
    ///
    /// [`StartError`]
    pub fn start(&self, setup: &Setup, cancelled: &Arc<AtomicBool>) -> Result<Stage, StartError> {
        let failed = |source| StartError::Run {
            program: self.program.clone(),
            source,
        };
        let mut stage = self.spawn(cancelled).map_err(failed)?;
        let deadline = |moved: &Moved| {
            let deadline = Duration::from_millis(moved.deadline_ms);
            (moved.plugin.clone(), deadline)
        };
        stage.deadlines = setup.plugins.iter().map(deadline).collect();
        frames::write(&mut stage.out, &Asked::Setup(setup)).map_err(failed)?;
        stage.clock = Watch::over(&stage.child, INSPECT_TIMEOUT * 2);
        let ended = |ended| match ended {
            Ended::Cancelled => StartError::Cancelled,
            Ended::Over { why, .. } => StartError::Ended(why),
        };
        match stage.next().map_err(ended)? {
            Answer::Ready(remarks) => {
                stage.remarks = remarks;
                Ok(stage)
            }
            Answer::Failed(why) => Err(StartError::Failed(why)),
            answer => Err(StartError::Failed(format!("it answered {answer:?}"))),
        }
    }

    fn spawn(&self, cancelled: &Arc<AtomicBool>) -> io::Result<Stage> {
        std::fs::create_dir_all(&self.images)?;
        let images = tempfile::Builder::new()
            .prefix("rehearsal-")
            .tempdir_in(&self.images)?;
        let (socket, theirs) = UnixStream::pair()?;
        socket.set_write_timeout(Some(LOOK_EVERY))?;
        let mut child = Command::new(&self.program)
            .args(&self.args)
            .arg(images.path())
            // Secrets are in it, and a plugin has no use for the rest.
            .env_clear()
            .envs(std::env::vars_os().filter(|(name, _)| name == "LD_LIBRARY_PATH"))
            .stdin(OwnedFd::from(theirs))
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()?;
        let stderr = child.stderr.take().expect("it was asked for");
        let (last, errors) = sync_channel(1);
        thread::spawn(move || {
            // Nobody may want to hear it.
            let _ = last.send(last_words(stderr));
        });
        // Room for all that may be asked: whoever waits until the child takes more does not
        // take its answers, which the child may wait for.
        let (sender, answers) = sync_channel(REHEARSAL_IN_FLIGHT_MAX);
        let from = io::BufReader::with_capacity(WRITE_BYTES, socket.try_clone()?);
        // It ends with the child, whose end of the socket closes. As nice as the thread that
        // starts it: Linux hands that on.
        thread::spawn(move || receive(from, &sender));
        Ok(Stage {
            clock: Watch::over(&child, INSPECT_TIMEOUT),
            child,
            socket,
            out: Vec::new(),
            answers,
            ready: Vec::new().into_iter(),
            errors,
            deadlines: HashMap::new(),
            asked: VecDeque::new(),
            asked_bytes: 0,
            is_spared: false,
            cancelled: Arc::clone(cancelled),
            step: None,
            remarks: Vec::new(),
            _images: images,
        })
    }
}

impl Stage {
    /// What is wrong with libraries of [`Setup::spare`], which it does without.
    #[must_use]
    pub fn remarks(&self) -> &[String] {
        &self.remarks
    }

    /// Whether it has as much to do as it may.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        self.asked.len() >= REHEARSAL_IN_FLIGHT_MAX
            || self.asked_bytes >= REHEARSAL_IN_FLIGHT_BYTES_MAX
    }

    /// Whether it has been asked what it has not answered.
    #[must_use]
    pub fn is_asked(&self) -> bool {
        !self.asked.is_empty()
    }

    /// Has it rest between actors from what is asked next on, for clients are served, or no
    /// more. See [`REHEARSAL_BURST`](host_model::limits::REHEARSAL_BURST).
    pub fn spare(&mut self, clients: bool) {
        if self.is_spared != clients {
            self.is_spared = clients;
            frames::write(&mut self.out, &Asked::Spare(clients)).expect("a word fits a frame");
        }
    }

    /// Asks about an actor. `traced`: each step is told before it is taken, so that it
    /// is known over which one the child ends.
    ///
    /// # Errors
    ///
    /// [`Ended`]
    pub fn ask(&mut self, subject: Subject, traced: bool) -> Result<(), Ended> {
        self.unless_cancelled()?;
        if self.asked.is_empty() {
            self.clock = Watch::over(&self.child, self.clock.allowed);
        }
        let before = self.out.len();
        let asked = match traced {
            true => Asked::Traced(&subject),
            false => Asked::Subject(&subject),
        };
        frames::write(&mut self.out, &asked).map_err(|error| Ended::Over {
            step: None,
            why: format!("{} cannot be sent: {error}", subject.actor),
        })?;
        let bytes = self.out.len() - before;
        self.asked_bytes += bytes;
        self.asked.push_back(Pending { subject, bytes });
        self.allow();
        match self.out.len() >= WRITE_BYTES {
            true => self.flush(),
            false => Ok(()),
        }
    }

    /// The next answer, in the order of asking.
    ///
    /// # Errors
    ///
    /// [`Ended`]
    pub fn answer(&mut self) -> Result<Answered, Ended> {
        loop {
            match self.next()? {
                Answer::Judged(judged) => {
                    let Some(pending) = self.asked.pop_front() else {
                        return Err(self.end("it answered what it was not asked"));
                    };
                    self.asked_bytes -= pending.bytes;
                    self.step = None;
                    self.allow();
                    self.clock.restart();
                    return Ok(Answered {
                        actor: pending.subject.actor,
                        judged,
                    });
                }
                Answer::Step(step) => {
                    // It is getting on: the next step has its own time.
                    self.step = Some(step);
                    self.clock.restart();
                }
                answer => return Err(self.end(&format!("it answered {answer:?}"))),
            }
        }
    }

    /// What it has been asked and has not answered, when it has ended.
    #[must_use]
    pub fn unanswered(self) -> Vec<Subject> {
        // Not the fields of a value with a drop: they are taken out.
        let mut stage = self;
        stage.asked.drain(..).map(|it| it.subject).collect()
    }

    /// One step of the first that is asked about, which what is on its way may have to be
    /// gone through for; and the time in which nothing is told.
    fn allow(&mut self) {
        let mib = u32::try_from(self.asked_bytes >> 20).unwrap_or(u32::MAX);
        let first = self.asked.front().map(|it| it.subject.actor.plugin());
        let deadline = first.and_then(|plugin| self.deadlines.get(plugin));
        let deadline = deadline.copied().unwrap_or(BUSY_DEADLINE);
        self.clock.allowed = deadline + REHEARSAL_BEAT + REHEARSAL_MIB_TIME_MAX * mib;
    }

    fn flush(&mut self) -> Result<(), Ended> {
        if self.out.is_empty() {
            return Ok(());
        }
        // What has waited here is not the child's time.
        self.clock.restart();
        let mut sent = 0;
        while sent < self.out.len() {
            match self.socket.write(&self.out[sent..]) {
                Ok(0) => return Err(self.ended()),
                Ok(count) => sent += count,
                Err(error) => match error.kind() {
                    ErrorKind::WouldBlock | ErrorKind::TimedOut => self.look()?,
                    ErrorKind::Interrupted => {}
                    _ => return Err(self.ended()),
                },
            }
        }
        self.out.clear();
        Ok(())
    }

    fn next(&mut self) -> Result<Answer, Ended> {
        loop {
            // First of all: answers may come for as long as there are actors.
            self.unless_cancelled()?;
            if let Some(answer) = self.ready.next() {
                return Ok(answer);
            }
            // Only before it would wait: what is written together wakes the child once.
            self.flush()?;
            match self.answers.recv_timeout(LOOK_EVERY) {
                Ok(answers) => self.ready = answers.into_iter(),
                Err(RecvTimeoutError::Timeout) => self.look()?,
                Err(RecvTimeoutError::Disconnected) => return Err(self.ended()),
            }
        }
    }

    fn unless_cancelled(&self) -> Result<(), Ended> {
        match self.cancelled.load(Ordering::Relaxed) {
            true => Err(Ended::Cancelled),
            false => Ok(()),
        }
    }

    fn look(&mut self) -> Result<(), Ended> {
        self.unless_cancelled()?;
        if self.clock.is_over() {
            let why = format!(
                "it had not answered after {} s and was ended: an endless loop, or a wait",
                self.clock.allowed.as_secs()
            );
            return Err(self.end(&why));
        }
        Ok(())
    }

    /// Its socket has closed.
    fn ended(&mut self) -> Ended {
        if let Err(cancelled) = self.unless_cancelled() {
            return cancelled;
        }
        // One that closed its socket and lives is ended here.
        let deadline = Instant::now() + LOOK_EVERY * 10;
        let mut status = None;
        while status.is_none() && Instant::now() < deadline {
            status = self.child.try_wait().ok().flatten();
            if status.is_none() {
                thread::sleep(Duration::from_millis(1));
            }
        }
        let said = self.kill();
        let why = status.map_or_else(|| "it closed its socket".to_owned(), |it| how(it, &said));
        Ended::Over {
            step: self.step.take(),
            why,
        }
    }

    fn end(&mut self, why: &str) -> Ended {
        self.kill();
        Ended::Over {
            step: self.step.take(),
            why: why.to_owned(),
        }
    }

    /// Ends it, and gives its last words.
    fn kill(&mut self) -> String {
        // It has ended as a rule, and then all of these do nothing.
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = self.socket.shutdown(Shutdown::Both);
        let words = self.errors.recv_timeout(LAST_WORDS_TIMEOUT);
        words.unwrap_or_default()
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Hands on what the child says until nobody listens, or it ends: together what has come
/// together, for each time that it is handed on wakes a thread.
fn receive(mut from: io::BufReader<UnixStream>, to: &SyncSender<Vec<Answer>>) {
    let mut buffer = Vec::new();
    let mut answers = Vec::new();
    while let Ok(Some(answer)) = frames::read::<Answer>(&mut from, &mut buffer) {
        answers.push(answer);
        let would_wait = from.buffer().is_empty();
        if (would_wait || answers.len() >= REHEARSAL_IN_FLIGHT_MAX)
            && to.send(mem::take(&mut answers)).is_err()
        {
            return;
        }
    }
    // The end may have come in the middle of a frame. Who does not listen does not miss it.
    let _ = to.send(answers);
}

/// How long a child has had for its next answer.
#[derive(Debug)]
struct Watch {
    pid: u32,
    began: Instant,
    /// See [`waited`].
    waited: Duration,
    allowed: Duration,
}

impl Watch {
    fn over(child: &Child, allowed: Duration) -> Self {
        Self {
            pid: child.id(),
            began: Instant::now(),
            waited: waited(child.id()),
            allowed,
        }
    }

    fn restart(&mut self) {
        self.began = Instant::now();
        // Looked at when it matters: too short a wait is no harm, for it is asked again.
        self.waited = Duration::MAX;
    }

    fn is_over(&mut self) -> bool {
        if self.waited == Duration::MAX {
            self.waited = waited(self.pid);
        }
        let had = self.began.elapsed();
        had > self.allowed
            && had.saturating_sub(waited(self.pid).saturating_sub(self.waited)) > self.allowed
    }
}

/// How long a process has been ready to run while others ran; nothing where the kernel
/// does not count it.
fn waited(pid: u32) -> Duration {
    let text = std::fs::read_to_string(format!("/proc/{pid}/schedstat"));
    let nanos = text.ok().and_then(|text| {
        let delay = text.split_whitespace().nth(1)?;
        delay.parse().ok()
    });
    Duration::from_nanos(nanos.unwrap_or(0))
}
