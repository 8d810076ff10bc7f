//! The child's side of a replay in a process of its own.

use std::fs::File;
use std::io;

use host_loader::{Inspector, Loader};
use host_model::error::chain;

use crate::frames;
use crate::process::{Answer, Opening, Question};
use crate::replay::{Code, Replay};

/// Replays what standard input says until that ends, and writes states to standard output.
/// `inspector` is asked about each library before it is opened. Returns the exit code.
///
/// Standard output is the answers' alone: what a plugin prints goes to standard error.
#[must_use]
pub fn replay_main(inspector: Inspector) -> i32 {
    let Ok(mut out) = take_stdout() else {
        return 1;
    };
    let (mut asked, mut buffer) = (io::stdin().lock(), Vec::new());
    let unreadable = |error: io::Error| format!("it was asked what it cannot read: {error}");
    let opened = match frames::read::<Opening>(&mut asked, &mut buffer) {
        Ok(Some(opening)) => open(opening, inspector),
        Ok(None) => Err("it was asked nothing".to_owned()),
        Err(error) => Err(unreadable(error)),
    };
    let code = match opened {
        Ok(code) => code,
        Err(why) => return frames::send(&mut out, &Answer::Failed(why)).map_or(1, |()| 0),
    };
    loop {
        let answered = match frames::read::<Question>(&mut asked, &mut buffer) {
            Ok(Some(question)) => answer(&code, &question, &mut out),
            Ok(None) => return 0,
            Err(error) => Err(unreadable(error)),
        };
        let last = match answered {
            Ok(()) => Answer::End,
            Err(why) => Answer::Failed(why),
        };
        // Without a reader there is nobody to tell.
        if frames::send(&mut out, &last).is_err() {
            return 1;
        }
    }
}

fn open(opening: Opening, inspector: Inspector) -> Result<Code, String> {
    let loader = Loader::new(&opening.images, inspector).map_err(|e| chain(&e))?;
    let mut plugins = Vec::new();
    for (path, digest) in opening.libraries {
        let digest = digest.parse().map_err(|e| format!("{e}"))?;
        let plugin = loader.load(&path, Some(digest)).map_err(|e| chain(&e))?;
        plugins.push((plugin, path));
    }
    Ok(Code::of(plugins))
}

fn answer(code: &Code, question: &Question, out: &mut File) -> Result<(), String> {
    let Question { course, wanted } = question;
    let mut replay = Replay::begin(code, course).map_err(|e| chain(&e))?;
    loop {
        let is_wanted = (wanted.as_ref()).is_none_or(|wanted| wanted.contains(&replay.seq()));
        if is_wanted {
            let state = replay.here().map_err(|e| chain(&e))?;
            frames::send(out, &Answer::State(state)).map_err(|e| format!("answer: {e}"))?;
        }
        if !replay.step().map_err(|e| chain(&e))? {
            return Ok(());
        }
    }
}

/// Standard output, with standard error in its place.
fn take_stdout() -> rustix::io::Result<File> {
    let out = rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stdout(), 3)?;
    rustix::stdio::dup2_stdout(rustix::stdio::stderr())?;
    Ok(out.into())
}
