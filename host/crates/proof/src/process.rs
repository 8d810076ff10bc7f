//! A replay in a process of its own.
//!
//! The child is told its libraries and then what to replay, one course behind the other, over
//! its standard input, and answers with states over its standard output, in [`frames`].
//! [`crate::replay_main`] is its side. To start one and to open libraries there takes as long
//! as some hundred replays, so one is asked of all actors of a plugin in turn; one that has not
//! answered as it should is asked nothing more.

use std::cell::RefCell;
use std::io;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use tempfile::TempDir;
use thiserror::Error;

use crate::course::{Base, Course};
use crate::frames;
use crate::replay::Code;

/// How long a child may take over a course: far longer than any actor takes to wake.
const TIME_MAX: Duration = Duration::from_secs(120);

/// States on their way here.
const UNREAD_MAX: usize = 2;

/// How the child is started, and the one that runs.
#[derive(Debug)]
pub struct OtherProcess {
    program: PathBuf,
    args: Vec<String>,
    images: Option<PathBuf>,
    running: RefCell<Option<Running>>,
}

/// A child that waits for the next course.
#[derive(Debug)]
struct Running {
    libraries: Libraries,
    questions: Sender<Question>,
    answers: Receiver<Answer>,
    _child: Killed,
    /// Where its copies of the libraries are. It goes behind the child.
    _folder: TempDir,
}

/// Libraries, with the digests that they must have.
type Libraries = Vec<(PathBuf, String)>;

/// What a child is told first.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Opening {
    pub(crate) libraries: Libraries,
    /// Where copies of them go: whoever asks removes it, for a child may be killed.
    pub(crate) images: PathBuf,
}

/// What it is asked then, until its standard input ends.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Question {
    pub(crate) course: Course,
    /// The sequences at which its states are wanted; none: at each.
    pub(crate) wanted: Option<Vec<u64>>,
}

/// What it answers to each, again and again.
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
            running: RefCell::new(None),
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
        let libraries: Libraries = code
            .libraries(course.actor.plugin())
            .map(|(path, digest)| (path.to_owned(), digest))
            .collect();
        let question = || Question {
            course: course.clone(),
            wanted: wanted.map(<[u64]>::to_vec),
        };
        let waiting = self.running.take();
        if let Some(waiting) = waiting.filter(|it| it.libraries == libraries) {
            let mut has_begun = false;
            let asked = self.ask(waiting, question(), &mut |state| {
                has_begun = true;
                take(state)
            });
            match asked {
                // It had ended over another course: this one is asked anew.
                Err(ProcessError::Ended) if !has_begun => {}
                asked => return asked,
            }
        }
        let running = self.open(libraries).map_err(|source| ProcessError::Run {
            program: self.program.clone(),
            source,
        })?;
        self.ask(running, question(), &mut take)
    }

    /// Asks one child, and keeps it for the next course if it has answered all of this one.
    fn ask(
        &self,
        running: Running,
        question: Question,
        take: &mut impl FnMut(&Base) -> bool,
    ) -> Result<(), ProcessError> {
        // A child that has ended is noticed by what it does not answer.
        let _ = running.questions.send(question);
        let deadline = Instant::now() + TIME_MAX;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match running.answers.recv_timeout(left) {
                Ok(Answer::State(state)) if take(&state) => {}
                Ok(Answer::State(_)) => return Ok(()),
                Ok(Answer::End) => break,
                Ok(Answer::Failed(why)) => return Err(ProcessError::Failed(why)),
                Err(RecvTimeoutError::Disconnected) => return Err(ProcessError::Ended),
                Err(RecvTimeoutError::Timeout) => return Err(ProcessError::Hung),
            }
        }
        self.running.replace(Some(running));
        Ok(())
    }

    /// Starts a child that opens these libraries.
    fn open(&self, libraries: Libraries) -> io::Result<Running> {
        let folder = match &self.images {
            Some(images) => tempfile::tempdir_in(images),
            None => tempfile::tempdir(),
        }?;
        let opening = Opening {
            libraries: libraries.clone(),
            images: folder.path().join("images"),
        };
        let mut child = Killed(self.start()?);
        let mut stdin = child.0.stdin.take().expect("it was asked for");
        let mut stdout = child.0.stdout.take().expect("it was asked for");
        let (questions, asked) = channel();
        // On threads of their own: a child that hangs is to hold up no one. They end
        // with the child, whose pipes close, or when nothing more is asked.
        thread::spawn(move || {
            let mut sent = frames::send(&mut stdin, &opening);
            for question in asked {
                sent = sent.and_then(|()| frames::send(&mut stdin, &question));
            }
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
        Ok(Running {
            libraries,
            questions,
            answers,
            _child: child,
            _folder: folder,
        })
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

/// A child that does not outlive whoever asks it.
#[derive(Debug)]
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        // It has ended as a rule, and then both do nothing.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
