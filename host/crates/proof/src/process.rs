//! A replay in a process of its own.
//!
//! The child is told what to replay over its standard input, and answers with states
//! over its standard output, in [`frames`]. [`crate::replay_main`] is its side.

use std::io;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::course::{Base, Course};
use crate::frames;
use crate::replay::Code;

/// How long a child may take in all: far longer than any actor takes to wake.
const TIME_MAX: Duration = Duration::from_secs(120);

/// States on their way here.
const UNREAD_MAX: usize = 2;

/// How the child is started.
#[derive(Debug, Clone)]
pub struct OtherProcess {
    program: PathBuf,
    args: Vec<String>,
    images: Option<PathBuf>,
}

/// What a child is asked.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Question {
    /// Libraries, with the digests that they must have.
    pub(crate) libraries: Vec<(PathBuf, String)>,
    /// Where copies of them go: whoever asks removes it, for a child may be killed.
    pub(crate) images: PathBuf,
    pub(crate) course: Course,
    /// The sequences at which its states are wanted; none: at each.
    pub(crate) wanted: Option<Vec<u64>>,
}

/// What it answers, again and again.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Answer {
    State(Base),
    /// There are no more.
    End,
    /// It cannot go on, and says why.
    Failed(String),
}

/// Why the other process could not be asked.
#[derive(Debug, Error)]
pub enum ProcessError {
    /// It could not be started, written to or read from.
    #[error("run {} for a replay", program.display())]
    Run {
        /// The program.
        program: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It says that it cannot.
    #[error("the process for a replay says: {0}")]
    Failed(String),
    /// It ended without saying that all was sent: a plugin has ended it, or the system.
    #[error("the process for a replay ended before it had answered")]
    Ended,
    /// It has not answered in time, and was killed.
    #[error("the process for a replay had not answered after {} s and was killed", TIME_MAX.as_secs())]
    Hung,
}

impl OtherProcess {
    /// A program that calls [`crate::replay_main`] when it has these arguments.
    pub fn new<A: Into<String>>(
        program: impl Into<PathBuf>,
        args: impl IntoIterator<Item = A>,
    ) -> Self {
        Self {
            program: program.into(),
            args: args.into_iter().map(Into::into).collect(),
            images: None,
        }
    }

    /// Has the child keep its copies of libraries below this folder, which must allow
    /// exec, instead of among the system's temporary files.
    #[must_use]
    pub fn with_images_in(mut self, folder: impl Into<PathBuf>) -> Self {
        self.images = Some(folder.into());
        self
    }

    /// Replays a course there, and hands on the states at the sequences that are
    /// `wanted`, or at each, until `take` wants no more.
    pub(crate) fn replay(
        &self,
        code: &Code,
        course: &Course,
        wanted: Option<&[u64]>,
        mut take: impl FnMut(&Base) -> bool,
    ) -> Result<(), ProcessError> {
        let failed = |source| ProcessError::Run {
            program: self.program.clone(),
            source,
        };
        let folder = match &self.images {
            Some(images) => tempfile::tempdir_in(images),
            None => tempfile::tempdir(),
        };
        let folder = folder.map_err(failed)?;
        let question = Question {
            libraries: code
                .libraries(course.actor.plugin())
                .map(|(path, digest)| (path.to_owned(), digest))
                .collect(),
            images: folder.path().join("images"),
            course: course.clone(),
            wanted: wanted.map(<[u64]>::to_vec),
        };
        let mut child = Killed(self.start().map_err(failed)?);
        let mut stdin = child.0.stdin.take().expect("it was asked for");
        let mut stdout = child.0.stdout.take().expect("it was asked for");
        // On threads of their own: a child that hangs is to hold up no one. They end
        // with the child, whose pipes close.
        thread::spawn(move || {
            // A child that does not read is noticed by what it answers.
            let _ = frames::send(&mut stdin, &question);
        });
        let (sender, answers) = sync_channel(UNREAD_MAX);
        thread::spawn(move || {
            let mut buffer = Vec::new();
            while let Ok(Some(answer)) = frames::read::<Answer>(&mut stdout, &mut buffer) {
                if sender.send(answer).is_err() {
                    return;
                }
            }
        });
        let deadline = Instant::now() + TIME_MAX;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match answers.recv_timeout(left) {
                Ok(Answer::State(state)) if take(&state) => {}
                Ok(Answer::State(_) | Answer::End) => return Ok(()),
                Ok(Answer::Failed(why)) => return Err(ProcessError::Failed(why)),
                Err(RecvTimeoutError::Disconnected) => return Err(ProcessError::Ended),
                Err(RecvTimeoutError::Timeout) => return Err(ProcessError::Hung),
            }
        }
    }

    fn start(&self) -> io::Result<Child> {
        Command::new(&self.program)
            .args(&self.args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
    }
}

/// A child that does not outlive the question.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        // It has ended as a rule, and then both do nothing.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
