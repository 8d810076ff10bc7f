//! The table: how each fault is brought about in each step, or why it cannot be.
//!
//! Where a step is a state of an upgrade, the store is struck in the write that makes it
//! durable, and the host is killed behind it (`HOST_ABORT_AFTER`). What plugins do is done
//! by `faulty`, by marks in its states and by hooks that do what their names say. Each says
//! from which state it ends, and why: so it was really struck there.

use super::how::{Course, Ends, How, Whom};
use super::ways_back::{down, hook_back, roll_back, rolled_back};
use super::{Fault, Step};

use Ends::{Cancelled, Committed, NotBegun, RolledBack};

/// A disk that is slow for 3 s. It is waited for: no bound is exceeded by it.
pub(super) const SLOW: &str = "stall=3000";

/// A disk that is slow for longer than a client is let wait: its call ends with `timeout`.
const SLOWER: &str = "stall=12000";

/// Longer than any test.
pub(super) const FOR_EVER_MS: u64 = 3_600_000;

/// What stands in the snapshot of a `faulty` that has come over.
const CAME_OVER: &str = "trouble_ms";

/// What stands in the snapshot with which the actor has come over that is asleep, and in no
/// other row of the store: its id, and behind it its version, for a seq of 1 takes no byte.
const SLEEPER_CAME_OVER: &str = "faulty:asleep0.2.0";

/// Why an upgrade ended whose process did.
pub(super) const DIED: &str = "the host ended in the middle of it";

/// What is said of code that does not return.
pub(super) const CONTAINED: &str = "does not return, so the host was restarted";

/// Of code that does not return.
pub(super) const IMPATIENT: [&str; 2] = ["--deadline", "2s"];

const UP_IN_TIME: &str = r#"{ update = "state", timeout_ms = 200 }"#;

pub(super) const NO_CODE: &str = "no code of a plugin runs in it";

/// Where it is seen that the new release does worse: it may be before the last has come over.
const SEEN_IN: [&str; 2] = ["switching", "probation"];

const NO_WRITE: &str = "a hook writes nothing; what is written next is the state behind it";

/// The ways of a place of the matrix.
///
/// # Errors
///
/// Why it does not exist.
pub fn ways(step: Step, fault: Fault) -> Result<Vec<How>, &'static str> {
    match step {
        Step::Plan => plan(fault),
        Step::Verify => verify(fault),
        Step::Rehearse => rehearse(fault),
        Step::Stage => stage(fault),
        Step::HookBefore => hook_before(fault),
        Step::Canary => canary(fault),
        Step::Gate => gate(fault),
        Step::Switch => switch(fault),
        Step::Migration => come_over(Whom::Called, fault),
        Step::Sweep => come_over(Whom::Asleep, fault),
        Step::HookBehind => hook_behind(fault),
        Step::Probation => probation(fault),
        Step::Commit => commit(fault),
        Step::RollBack => roll_back(fault),
        Step::HookBack => hook_back(fault),
        Step::Down => down(fault),
        Step::RolledBack => rolled_back(fault),
    }
}

/// A state that is to become durable, behind another: how a host ends that died `before`
/// that, one that died `behind` it, and one that lives on.
pub(super) struct Durable {
    pub(super) state: &'static str,
    pub(super) follows: &'static str,
    pub(super) before: Ends,
    pub(super) behind: Ends,
    pub(super) alive: Ends,
}

impl Durable {
    /// The one way in which a fault strikes every state; `rest` is what else it takes to
    /// come there.
    pub(super) fn ways(&self, fault: Fault, rest: impl Fn(How) -> How) -> Vec<How> {
        let Self { state, follows, .. } = *self;
        let writes = |count: &str, what: &str| {
            format!("write host.db-wal 1 {count} {what} \"state\":\"{state}\"")
        };
        let how =
            |what: &str, ends: Ends| rest(How::new(format!("{what} `{state}` is written"), ends));
        let died = |how: How, last| match how.ends {
            Cancelled | RolledBack => how.from(&[last], DIED),
            NotBegun | Committed => how,
        };
        let fault = match fault {
            Fault::Error => {
                let how = how("the store fails when", self.before);
                died(how, follows).disk(writes("1", "eio"))
            }
            Fault::Kill => {
                let how = how("killed as soon as", self.behind);
                died(how, state).abort_after(state)
            }
            Fault::Timeout => {
                let slow = how("the disk is slow for 3 s when", self.alive);
                let slower = how("the disk is slow for 12 s when", self.alive);
                return vec![
                    slow.disk(writes("1", SLOW)),
                    slower.disk(writes("1", SLOWER)).heard().slow(),
                ];
            }
            Fault::DiskFull => {
                how("the disk is full when", self.alive).disk(writes("all", "enospc"))
            }
            Fault::Panic => return Vec::new(),
        };
        vec![fault]
    }
}

/// Those of a state, and `more`.
fn and(mut ways: Vec<How>, more: Vec<How>) -> Result<Vec<How>, &'static str> {
    ways.extend(more);
    Ok(ways)
}

pub(super) fn marked(what: &'static str, ms: u64, ends: Ends) -> How {
    How::new(format!("an actor is marked {what}"), ends).mark(Whom::Called, what, ms)
}

fn all_marked(what: &'static str, ms: u64, ends: Ends) -> How {
    How::new(format!("all actors are marked {what}"), ends).mark(Whom::All, what, ms)
}

/// A copy of the new plugin that is written: the second one, for the first is looked at
/// when it is verified.
fn copy(what: &str, ends: Ends) -> How {
    let rule = format!("write faulty-0.2.0-* 2 1 {what}");
    How::new(format!("{what} when a plugin is copied"), ends).disk(rule)
}

fn plan(fault: Fault) -> Result<Vec<How>, &'static str> {
    let durable = Durable {
        state: "planned",
        follows: "",
        before: NotBegun,
        behind: Cancelled,
        alive: Committed,
    };
    let more = match fault {
        Fault::Error => {
            let unreadable = How::new("an appup that is none", NotBegun).from(&[], "bad_appup");
            vec![unreadable.damaged("upgrade-scripts/faulty-0.2.0.toml")]
        }
        Fault::Panic => return Err(NO_CODE),
        _ => vec![],
    };
    and(durable.ways(fault, |how| how), more)
}

fn verify(fault: Fault) -> Result<Vec<How>, &'static str> {
    let durable = Durable {
        state: "verified",
        follows: "planned",
        before: Cancelled,
        behind: Cancelled,
        alive: Committed,
    };
    let library = |what, why| {
        let how = How::new(format!("a library whose {what}"), Cancelled);
        how.library(what).from(&["planned"], why)
    };
    let more = match fault {
        Fault::Error => {
            let other = How::new("a library with another digest", Cancelled);
            let other = other.from(&["planned"], "has the digest");
            vec![other.damaged("plugins/faulty-0.2.0.so")]
        }
        Fault::Panic => vec![library("init_panics", "inspected it (signal 6)")],
        Fault::Kill => vec![library("init_segfaults", "inspected it (signal 11)")],
        Fault::Timeout => vec![library("init_hangs", "had not started after 10 s").slow()],
        Fault::DiskFull => {
            let full = How::new("no room for the copy that is looked at", Cancelled);
            let full = full.from(&["planned"], "No space left on device");
            vec![full.disk("write faulty-0.2.0-* 1 all enospc")]
        }
    };
    and(durable.ways(fault, |how| how), more)
}

fn rehearse(fault: Fault) -> Result<Vec<How>, &'static str> {
    let durable = Durable {
        state: "rehearsed",
        follows: "verified",
        before: Cancelled,
        behind: Cancelled,
        alive: Committed,
    };
    let marked = |what, why| marked(what, 0, Cancelled).from(&["verified"], why);
    let more = match fault {
        Fault::Error => vec![marked(
            "up_fails",
            "failed in up: up fails, as it was told to",
        )],
        Fault::Panic => vec![marked("up_panics", "up panics, as it was told to")],
        Fault::Kill => vec![
            marked("up_aborts", "it aborted (SIGABRT)"),
            marked("up_loops", DIED).kill_in("verified"),
        ],
        Fault::Timeout => vec![marked("up_loops", "an endless loop, or a wait").more(&IMPATIENT)],
        Fault::DiskFull => {
            let no_pin = How::new("no room for its pin", Committed);
            vec![no_pin.disk("write host.db-wal 1 all enospc host:rehearsal")]
        }
    };
    let more = more.into_iter().map(How::rehearsed).collect();
    and(durable.ways(fault, How::rehearsed), more)
}

fn stage(fault: Fault) -> Result<Vec<How>, &'static str> {
    let durable = Durable {
        state: "staged",
        follows: "verified",
        before: Cancelled,
        behind: Cancelled,
        alive: Committed,
    };
    let more = match fault {
        Fault::Error => vec![copy("eio", Cancelled).from(&["verified"], "Input/output error")],
        Fault::Panic => return Err("what is started here was started in a child by Verify"),
        Fault::Kill => vec![copy("kill", Cancelled).from(&["verified"], DIED)],
        Fault::Timeout => vec![copy(SLOW, Committed)],
        Fault::DiskFull => {
            vec![copy("enospc", Cancelled).from(&["verified"], "No space left on device")]
        }
    };
    and(durable.ways(fault, |how| how), more)
}

fn hook_before(fault: Fault) -> Result<Vec<How>, &'static str> {
    let how = |up, why| {
        let how = How::new(format!("up = [{up}]"), Cancelled).up(up);
        let how = how.down(r#"{ update = "state" }, { run = "undone" }"#);
        how.from(&["staged"], why)
    };
    Ok(vec![match fault {
        Fault::Error => how(
            r#"{ run = "first" }, { run = "refuse" }, { update = "state" }"#,
            "the hook `refuse`",
        ),
        Fault::Panic => how(
            r#"{ run = "first" }, { run = "panic" }, { update = "state" }"#,
            "the hook `panic` broke: faulty 0.2.0 panicked",
        ),
        Fault::Kill => how(
            r#"{ run = "first" }, { run = "abort" }, { update = "state" }"#,
            DIED,
        )
        .fatal(),
        Fault::Timeout => how(
            r#"{ run = "sleep-1500", timeout_ms = 200 }, { update = "state" }"#,
            "the hook `sleep-1500` of faulty 0.2.0 had not ended after the 200 ms",
        ),
        Fault::DiskFull => return Err(NO_WRITE),
    }])
}

fn canary(fault: Fault) -> Result<Vec<How>, &'static str> {
    let durable = Durable {
        state: "canary",
        follows: "staged",
        before: Cancelled,
        behind: RolledBack,
        alive: Committed,
    };
    let first = |how: How| how.more(&["--canary", "50%"]);
    let ill = |what, ms, why| all_marked(what, ms, RolledBack).from(&["canary"], why);
    let more = match fault {
        Fault::Error => vec![
            ill("up_fails", 0, "failed in up: up fails, as it was told to"),
            ill("add_refused", 0, "rejected as refused").watched("60s"),
        ],
        Fault::Panic => vec![
            ill("up_panics", 0, "panicked in up"),
            ill("add_panics", 0, "calls of add faulted")
                .watched("60s")
                .leaves_letters(),
        ],
        Fault::Kill => {
            let how = How::new("killed while a share is watched", RolledBack);
            let how = how.from(&["canary"], DIED);
            vec![how.watched("300s").kill_in("canary")]
        }
        Fault::Timeout => vec![ill("up_slow", 600, "its appup allows 200 ms").up(UP_IN_TIME)],
        Fault::DiskFull => vec![],
    };
    let more = more.into_iter().map(first).collect();
    and(durable.ways(fault, first), more)
}

fn gate(fault: Fault) -> Result<Vec<How>, &'static str> {
    const PATIENT: &str = r#"{ update = "state", suspend = true, timeout_ms = 30000 }"#;
    const HASTY: &str = r#"{ update = "state", suspend = true, timeout_ms = 200 }"#;
    let durable = Durable {
        state: "switching",
        follows: "staged",
        before: Cancelled,
        behind: RolledBack,
        alive: Committed,
    };
    let inside = |what, ends| How::new(format!("a handler inside {what}"), ends);
    Ok(match fault {
        Fault::Error | Fault::DiskFull => durable.ways(fault, |how| how.up(PATIENT)),
        Fault::Panic => vec![
            inside("panics", Committed)
                .busy("panic_late", 2_500)
                .leaves_letters()
                .up(PATIENT),
        ],
        Fault::Kill => {
            let how = inside("is waited for when the host is killed", Cancelled);
            let how = how.from(&["staged"], DIED);
            vec![how.busy("sleep", 8_000).up(PATIENT).kill_in("staged")]
        }
        Fault::Timeout => vec![
            inside("does not end in time", Cancelled)
                .busy("sleep", 8_000)
                .from(&["staged"], "faulty:busy was still inside `sleep`")
                .up(HASTY),
        ],
    })
}

fn switch(fault: Fault) -> Result<Vec<How>, &'static str> {
    let durable = Durable {
        state: "switching",
        follows: "staged",
        before: Cancelled,
        behind: RolledBack,
        alive: Committed,
    };
    match fault {
        Fault::Panic => Err(NO_CODE),
        _ => Ok(durable.ways(fault, |how| how)),
    }
}

fn come_over(whom: Whom, fault: Fault) -> Result<Vec<How>, &'static str> {
    let marked = |what, ms, why| {
        let how = marked(what, ms, RolledBack).mark(whom, what, ms);
        how.from(&["switching"], why)
    };
    let (text, whose) = match whom {
        Whom::Asleep => (SLEEPER_CAME_OVER, "the snapshot of who sleeps is"),
        _ => (CAME_OVER, "snapshots are"),
    };
    let snapshot = |count: &str, what: &str, ends| {
        let rule = format!("write host.db-wal 1 {count} {what} {text}");
        let how = How::new(format!("{what} when {whose} written"), ends);
        how.whom(whom).disk(rule)
    };
    let dies = |what| snapshot("1", what, RolledBack).from(&["switching"], DIED);
    Ok(match fault {
        Fault::Error => vec![
            marked("up_fails", 0, "failed in up: up fails, as it was told to"),
            marked("check_fails", 0, "broken, as it was told to"),
            dies("eio"),
        ],
        Fault::Panic => vec![marked("up_panics", 0, "panicked in up")],
        Fault::Kill => vec![marked("up_aborts", 0, DIED).fatal(), dies("kill")],
        Fault::Timeout => vec![
            marked("up_slow", 1_500, "its appup allows 200 ms").up(UP_IN_TIME),
            marked("up_slow", FOR_EVER_MS, CONTAINED)
                .more(&IMPATIENT)
                .fatal(),
            snapshot("1", SLOW, Committed),
        ],
        Fault::DiskFull => vec![snapshot("all", "enospc", Committed)],
    })
}

fn hook_behind(fault: Fault) -> Result<Vec<How>, &'static str> {
    let how = |up, why| {
        let how = How::new(format!("up = [{up}]"), RolledBack).up(up);
        how.from(&["switching"], why)
    };
    Ok(vec![match fault {
        Fault::Error => how(
            r#"{ update = "state" }, { run = "refuse" }"#,
            "the hook `refuse`",
        ),
        Fault::Panic => how(
            r#"{ update = "state" }, { run = "panic" }"#,
            "the hook `panic` broke: faulty 0.2.0 panicked",
        ),
        Fault::Kill => how(r#"{ update = "state" }, { run = "abort" }"#, DIED).fatal(),
        Fault::Timeout => how(
            r#"{ update = "state" }, { run = "sleep-1500", timeout_ms = 200 }"#,
            "the hook `sleep-1500` of faulty 0.2.0 had not ended after the 200 ms",
        ),
        Fault::DiskFull => return Err(NO_WRITE),
    }])
}

fn probation(fault: Fault) -> Result<Vec<How>, &'static str> {
    let durable = Durable {
        state: "probation",
        follows: "switching",
        before: RolledBack,
        behind: RolledBack,
        alive: Committed,
    };
    let watched = |what, ms, why| {
        let how = all_marked(what, ms, RolledBack).from(&SEEN_IN, why);
        how.watched("120s")
    };
    let more = match fault {
        Fault::Error => vec![watched("add_refused", 0, "rejected as refused")],
        Fault::Panic => vec![watched("add_panics", 0, "calls of add faulted").leaves_letters()],
        Fault::Kill => {
            let how = How::new("killed while it is watched", RolledBack);
            let how = how.from(&["probation"], DIED);
            vec![how.watched("300s").kill_in("probation")]
        }
        Fault::Timeout => vec![
            watched("add_slow", 200, "runs of add took longer than"),
            marked("add_slow", FOR_EVER_MS, RolledBack)
                .from(&SEEN_IN, CONTAINED)
                .watched("300s")
                .more(&IMPATIENT)
                .fatal(),
        ],
        Fault::DiskFull => {
            let full = How::new("the disk is full while it is watched", Committed);
            vec![
                full.course(Course::Commit)
                    .disk("write host.db-wal 1 all enospc"),
            ]
        }
    };
    and(durable.ways(fault, |how| how), more)
}

fn commit(fault: Fault) -> Result<Vec<How>, &'static str> {
    let durable = Durable {
        state: "committed",
        follows: "probation",
        before: RolledBack,
        behind: Committed,
        alive: Committed,
    };
    match fault {
        Fault::Panic => Err("everyone has come over before: see Migration and Sweep"),
        _ => Ok(durable.ways(fault, |how| how)),
    }
}
