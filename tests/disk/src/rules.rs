//! Which calls fail, and how: one rule a line, `CALL FILE FIRST COUNT WHAT [TEXT]`.
//!
//! | field | |
//! |---|---|
//! | `CALL` | `write`, `sync` or `truncate` |
//! | `FILE` | a file's name, such as `host.db-wal`; with `*` at its end, the beginning of one |
//! | `FIRST` | the first call that is struck, from 1, since the rules were read |
//! | `COUNT` | how many are, or `all` |
//! | `WHAT` | `eio`, `enospc`, `short` (half is written), `kill` (the process dies), or `stall=MS` |
//! | `TEXT` | calls are counted from the first one whose bytes have it: so the moment is that in which this is to become durable |

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// What is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Call {
    Write,
    Sync,
    Truncate,
}

/// What happens to a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Strike {
    Io,
    NoSpace,
    Short,
    Kill,
    Stall(Duration),
}

/// A line.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Rule {
    call: Call,
    file: String,
    first: u64,
    count: u64,
    strike: Strike,
    /// What is waited for; none once it was there.
    text: Option<String>,
    /// Calls that it was asked about, from then on.
    seen: u64,
}

/// What was read last.
struct Read {
    /// The file's inode and length: whoever writes rules puts a new file in the place
    /// of the old one.
    from: Option<(u64, u64)>,
    rules: Vec<Rule>,
}

static READ: Mutex<Read> = Mutex::new(Read {
    from: None,
    rules: Vec::new(),
});

/// What strikes this call, which writes `bytes`, or none.
///
/// # Panics
///
/// In a rule that makes no sense: the test is wrong.
pub(crate) fn strike(call: Call, file: &str, bytes: &[u8]) -> Option<Strike> {
    let path = PathBuf::from(std::env::var_os("DISK_FAULTS")?);
    let found = fs::metadata(&path).ok().map(|it| (it.ino(), it.len()));
    let mut read = READ.lock().unwrap_or_else(PoisonError::into_inner);
    if read.from != found {
        let text = fs::read_to_string(&path).unwrap_or_default();
        *read = Read {
            from: found,
            rules: parse(&text),
        };
    }
    // Each rule counts all that it is for, whichever strikes first.
    let struck = read
        .rules
        .iter_mut()
        .filter_map(|rule| rule.asked(call, file, bytes));
    struck.collect::<Vec<_>>().first().copied()
}

fn parse(text: &str) -> Vec<Rule> {
    let lines = text.lines().filter(|line| !line.trim().is_empty());
    lines
        .map(|line| line.parse().unwrap_or_else(|()| panic!("no rule: {line}")))
        .collect()
}

impl Rule {
    fn asked(&mut self, call: Call, file: &str, bytes: &[u8]) -> Option<Strike> {
        let is_its_file = match self.file.strip_suffix('*') {
            Some(beginning) => file.starts_with(beginning),
            None => self.file == file,
        };
        if self.call != call || !is_its_file {
            return None;
        }
        if let Some(text) = &self.text {
            let text = text.as_bytes();
            if !bytes.windows(text.len()).any(|it| it == text) {
                return None;
            }
            self.text = None;
        }
        self.seen += 1;
        let is_struck = self.seen >= self.first && self.seen - self.first < self.count;
        is_struck.then_some(self.strike)
    }
}

impl FromStr for Rule {
    type Err = ();

    fn from_str(line: &str) -> Result<Self, ()> {
        let words: Vec<&str> = line.split_whitespace().collect();
        let (words, text) = match words[..] {
            [ref rule @ .., text] if rule.len() == 5 => (rule, Some(text.to_owned())),
            ref rule => (rule, None),
        };
        let [call, file, first, count, what] = *words else {
            return Err(());
        };
        Ok(Self {
            call: match call {
                "write" => Call::Write,
                "sync" => Call::Sync,
                "truncate" => Call::Truncate,
                _ => return Err(()),
            },
            file: file.to_owned(),
            first: first.parse().map_err(drop)?,
            count: match count {
                "all" => u64::MAX,
                count => count.parse().map_err(drop)?,
            },
            strike: match (what, what.strip_prefix("stall=")) {
                ("eio", _) => Strike::Io,
                ("enospc", _) => Strike::NoSpace,
                ("short", _) => Strike::Short,
                ("kill", _) => Strike::Kill,
                (_, Some(ms)) => Strike::Stall(Duration::from_millis(ms.parse().map_err(drop)?)),
                _ => return Err(()),
            },
            text,
            seen: 0,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_strikes_the_calls_that_it_counts() {
        let mut rules = parse("sync host.db-wal 2 2 eio\n\nwrite host.db 1 all stall=5\n");
        let mut ask = |call, file| {
            let mut struck = rules
                .iter_mut()
                .filter_map(|rule| rule.asked(call, file, b""));
            struck.next()
        };
        let sync: Vec<_> = (0..5).map(|_| ask(Call::Sync, "host.db-wal")).collect();
        assert_eq!(sync, [None, Some(Strike::Io), Some(Strike::Io), None, None]);
        assert_eq!(ask(Call::Sync, "host.db"), None);
        let stall = Some(Strike::Stall(Duration::from_millis(5)));
        assert_eq!([(); 2].map(|()| ask(Call::Write, "host.db")), [stall; 2]);
    }

    #[test]
    fn a_rule_with_a_text_waits_for_it_and_strikes_from_then_on() {
        let mut rule: Rule = "write plugin-* 1 2 enospc \"state\":\"x\"".parse().unwrap();
        let mut write = |bytes: &str| rule.asked(Call::Write, "plugin-1.so", bytes.as_bytes());
        let said = ["", "state x", r#"{"state":"x"}"#, "", ""].map(&mut write);
        let full = Some(Strike::NoSpace);
        assert_eq!(said, [None, None, full, full, None]);
        assert_eq!(rule.asked(Call::Write, "other-1.so", b""), None);
    }

    #[test]
    fn what_is_no_rule_is_not_taken_for_one() {
        for line in [
            "sync",
            "sync f 1 1 what",
            "read f 1 1 eio",
            "sync f x 1 eio",
            "sync f 1 1 stall=x",
            "sync f 1 1 eio text more",
        ] {
            assert_eq!(line.parse::<Rule>(), Err(()), "{line}");
        }
    }
}
