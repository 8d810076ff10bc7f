//! The table: how each fault is brought about in each step, or why it cannot be.
//!
//! Where a step is a state of an upgrade, the store is struck in the write that makes it
//! durable, and the host is killed behind it (`HOST_ABORT_AFTER`). What plugins do is done
//! by `faulty`, by marks in its states and by hooks that do what their names say.

use super::how::{Course, Ends, How, Whom};
use super::{Fault, Step};

use Ends::{Cancelled, Committed, NotBegun, RolledBack};

/// A disk that is slow for 3 s. It is waited for: no bound is exceeded by it.
const SLOW: &str = "stall=3000";

/// A disk that is slow for longer than a client is let wait: its call ends with `timeout`.
const SLOWER: &str = "stall=12000";

/// Longer than any test.
const FOR_EVER_MS: u64 = 3_600_000;

/// What stands in the snapshot of a `faulty` that has come over.
const CAME_OVER: &str = "trouble_ms";

/// What stands in the snapshot with which the actor has come over that is asleep, and in no
/// other row of the store: its id, and behind it its version, for a seq of 1 takes no byte.
const SLEEPER_CAME_OVER: &str = "faulty:asleep0.2.0";

/// What stands in the snapshot of an actor that has gone back: in its carry.
const WENT_BACK: &str = "older";

/// Of code that does not return.
const IMPATIENT: [&str; 2] = ["--deadline", "2s"];

const UP_IN_TIME: &str = r#"{ update = "state", timeout_ms = 200 }"#;

const NO_CODE: &str = "no code of a plugin runs in it";

const NO_WRITE: &str = "a hook writes nothing; what is written next is the state behind it";

/// What stands in an upgrade that is written because a hook of the way back is begun.
const HOOK_BEGUN: &str = "\"hook\":\"undone\",\"times\":1";

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

/// A state that is to become durable: how a host ends that died `before` that, one that
/// died `behind` it, and one that lives on.
struct Durable {
    state: &'static str,
    before: Ends,
    behind: Ends,
    alive: Ends,
}

impl Durable {
    /// The one way in which a fault strikes every state; `rest` is what else it takes to
    /// come there.
    fn ways(&self, fault: Fault, rest: impl Fn(How) -> How) -> Vec<How> {
        let Self { state, .. } = self;
        let writes = |count: &str, what: &str| {
            format!("write host.db-wal 1 {count} {what} \"state\":\"{state}\"")
        };
        let how =
            |what: &str, ends: Ends| rest(How::new(format!("{what} `{state}` is written"), ends));
        let fault = match fault {
            Fault::Error => how("the store fails when", self.before).disk(writes("1", "eio")),
            Fault::Kill => how("killed as soon as", self.behind).abort_after(self.state),
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

fn marked(what: &'static str, ms: u64, ends: Ends) -> How {
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
        before: NotBegun,
        behind: Cancelled,
        alive: Committed,
    };
    let more = match fault {
        Fault::Error => {
            let unreadable = How::new("an appup that is none", NotBegun);
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
        before: Cancelled,
        behind: Cancelled,
        alive: Committed,
    };
    let library = |what| How::new(format!("a library whose {what}"), Cancelled).library(what);
    let more = match fault {
        Fault::Error => {
            let other = How::new("a library with another digest", Cancelled);
            vec![other.damaged("plugins/faulty-0.2.0.so")]
        }
        Fault::Panic => vec![library("init_panics")],
        Fault::Kill => vec![library("init_segfaults")],
        Fault::Timeout => vec![library("init_hangs").slow()],
        Fault::DiskFull => {
            let full = How::new("no room for the copy that is looked at", Cancelled);
            vec![full.disk("write faulty-0.2.0-* 1 all enospc")]
        }
    };
    and(durable.ways(fault, |how| how), more)
}

fn rehearse(fault: Fault) -> Result<Vec<How>, &'static str> {
    let durable = Durable {
        state: "rehearsed",
        before: Cancelled,
        behind: Cancelled,
        alive: Committed,
    };
    let more = match fault {
        Fault::Error => vec![marked("up_fails", 0, Cancelled)],
        Fault::Panic => vec![marked("up_panics", 0, Cancelled)],
        Fault::Kill => vec![
            marked("up_aborts", 0, Cancelled),
            marked("up_loops", 0, Cancelled).kill_in("verified"),
        ],
        Fault::Timeout => vec![marked("up_loops", 0, Cancelled).more(&IMPATIENT)],
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
        before: Cancelled,
        behind: Cancelled,
        alive: Committed,
    };
    let more = match fault {
        Fault::Error => vec![copy("eio", Cancelled)],
        Fault::Panic => return Err("what is started here was started in a child by Verify"),
        Fault::Kill => vec![copy("kill", Cancelled)],
        Fault::Timeout => vec![copy(SLOW, Committed)],
        Fault::DiskFull => vec![copy("enospc", Cancelled)],
    };
    and(durable.ways(fault, |how| how), more)
}

fn hook_before(fault: Fault) -> Result<Vec<How>, &'static str> {
    let how = |up| {
        let how = How::new(format!("up = [{up}]"), Cancelled).up(up);
        how.down(r#"{ update = "state" }, { run = "undone" }"#)
    };
    Ok(vec![match fault {
        Fault::Error => how(r#"{ run = "first" }, { run = "refuse" }, { update = "state" }"#),
        Fault::Panic => how(r#"{ run = "first" }, { run = "panic" }, { update = "state" }"#),
        Fault::Kill => how(r#"{ run = "first" }, { run = "abort" }, { update = "state" }"#).fatal(),
        Fault::Timeout => how(r#"{ run = "sleep-1500", timeout_ms = 200 }, { update = "state" }"#),
        Fault::DiskFull => return Err(NO_WRITE),
    }])
}

fn canary(fault: Fault) -> Result<Vec<How>, &'static str> {
    let durable = Durable {
        state: "canary",
        before: Cancelled,
        behind: RolledBack,
        alive: Committed,
    };
    let first = |how: How| how.more(&["--canary", "50%"]);
    let more = match fault {
        Fault::Error => vec![
            all_marked("up_fails", 0, RolledBack),
            all_marked("add_refused", 0, RolledBack).watched("60s"),
        ],
        Fault::Panic => vec![
            all_marked("up_panics", 0, RolledBack),
            all_marked("add_panics", 0, RolledBack)
                .watched("60s")
                .leaves_letters(),
        ],
        Fault::Kill => {
            let how = How::new("killed while a share is watched", RolledBack);
            vec![how.watched("300s").kill_in("canary")]
        }
        Fault::Timeout => vec![all_marked("up_slow", 600, RolledBack).up(UP_IN_TIME)],
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
            vec![how.busy("sleep", 8_000).up(PATIENT).kill_in("staged")]
        }
        Fault::Timeout => vec![
            inside("does not end in time", Cancelled)
                .busy("sleep", 8_000)
                .up(HASTY),
        ],
    })
}

fn switch(fault: Fault) -> Result<Vec<How>, &'static str> {
    let durable = Durable {
        state: "switching",
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
    let marked = |what, ms| marked(what, ms, RolledBack).mark(whom, what, ms);
    let (text, whose) = match whom {
        Whom::Asleep => (SLEEPER_CAME_OVER, "the snapshot of who sleeps is"),
        _ => (CAME_OVER, "snapshots are"),
    };
    let snapshot = |count: &str, what: &str, ends| {
        let rule = format!("write host.db-wal 1 {count} {what} {text}");
        let how = How::new(format!("{what} when {whose} written"), ends);
        how.whom(whom).disk(rule)
    };
    Ok(match fault {
        Fault::Error => vec![
            marked("up_fails", 0),
            marked("check_fails", 0),
            snapshot("1", "eio", RolledBack),
        ],
        Fault::Panic => vec![marked("up_panics", 0)],
        Fault::Kill => vec![
            marked("up_aborts", 0).fatal(),
            snapshot("1", "kill", RolledBack),
        ],
        Fault::Timeout => vec![
            marked("up_slow", 1_500).up(UP_IN_TIME),
            marked("up_slow", FOR_EVER_MS).more(&IMPATIENT).fatal(),
            snapshot("1", SLOW, Committed),
        ],
        Fault::DiskFull => vec![snapshot("all", "enospc", Committed)],
    })
}

fn hook_behind(fault: Fault) -> Result<Vec<How>, &'static str> {
    let how = |up| How::new(format!("up = [{up}]"), RolledBack).up(up);
    Ok(vec![match fault {
        Fault::Error => how(r#"{ update = "state" }, { run = "refuse" }"#),
        Fault::Panic => how(r#"{ update = "state" }, { run = "panic" }"#),
        Fault::Kill => how(r#"{ update = "state" }, { run = "abort" }"#).fatal(),
        Fault::Timeout => how(r#"{ update = "state" }, { run = "sleep-1500", timeout_ms = 200 }"#),
        Fault::DiskFull => return Err(NO_WRITE),
    }])
}

fn probation(fault: Fault) -> Result<Vec<How>, &'static str> {
    let durable = Durable {
        state: "probation",
        before: RolledBack,
        behind: RolledBack,
        alive: Committed,
    };
    let watched = |what, ms| all_marked(what, ms, RolledBack).watched("120s");
    let more = match fault {
        Fault::Error => vec![watched("add_refused", 0)],
        Fault::Panic => vec![watched("add_panics", 0).leaves_letters()],
        Fault::Kill => {
            let how = How::new("killed while it is watched", RolledBack);
            vec![how.watched("300s").kill_in("probation")]
        }
        Fault::Timeout => vec![
            watched("add_slow", 200),
            marked("add_slow", FOR_EVER_MS, RolledBack)
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
        before: RolledBack,
        behind: Committed,
        alive: Committed,
    };
    match fault {
        Fault::Panic => Err("everyone has come over before: see Migration and Sweep"),
        _ => Ok(durable.ways(fault, |how| how)),
    }
}

/// A state of the way back: whatever happens, everyone is back behind it.
fn back(state: &'static str, fault: Fault) -> Vec<How> {
    let durable = Durable {
        state,
        before: RolledBack,
        behind: RolledBack,
        alive: RolledBack,
    };
    durable.ways(fault, |how| how.course(Course::RollBack))
}

fn roll_back(fault: Fault) -> Result<Vec<How>, &'static str> {
    match fault {
        Fault::Panic => Err(NO_CODE),
        _ => Ok(back("rolling_back", fault)),
    }
}

fn hook_back(fault: Fault) -> Result<Vec<How>, &'static str> {
    let how = |down| {
        let how = How::new(format!("down = [{down}]"), RolledBack).down(down);
        how.course(Course::RollBack)
    };
    // That it is begun is written down before it runs.
    let begun = |count: &str, what: &str| {
        let rule = format!("write host.db-wal 1 {count} {what} {HOOK_BEGUN}");
        let how = How::new(format!("{what} when a hook is begun"), RolledBack);
        let how = how.down(r#"{ run = "undone" }, { update = "state" }"#);
        how.course(Course::RollBack).disk(rule)
    };
    Ok(match fault {
        Fault::Error => vec![
            how(r#"{ run = "refuse" }, { update = "state" }"#),
            begun("1", "eio"),
        ],
        Fault::Panic => vec![how(r#"{ run = "panic" }, { update = "state" }"#)],
        Fault::Kill => vec![
            how(r#"{ run = "abort" }, { update = "state" }"#).fatal(),
            begun("1", "kill"),
        ],
        Fault::Timeout => vec![
            how(r#"{ run = "sleep-1500", timeout_ms = 200 }, { update = "state" }"#),
            begun("1", SLOW),
        ],
        Fault::DiskFull => vec![begun("all", "enospc")],
    })
}

fn down(fault: Fault) -> Result<Vec<How>, &'static str> {
    let marked = |what, ms| marked(what, ms, RolledBack);
    let snapshot = |count: &str, what: &str| {
        let rule = format!("write host.db-wal 1 {count} {what} {WENT_BACK}");
        How::new(format!("{what} when snapshots are written"), RolledBack).disk(rule)
    };
    let ways = match fault {
        Fault::Error => vec![marked("down_fails", 0), snapshot("1", "eio")],
        Fault::Panic => vec![marked("down_panics", 0)],
        Fault::Kill => vec![snapshot("1", "kill")],
        Fault::Timeout => vec![
            snapshot("1", SLOW),
            marked("down_slow", FOR_EVER_MS)
                .more(&IMPATIENT)
                .fatal()
                .sets_aside(),
        ],
        Fault::DiskFull => vec![snapshot("all", "enospc")],
    };
    let ways = ways.into_iter().map(|how| how.course(Course::RollBack));
    Ok(ways.collect())
}

fn rolled_back(fault: Fault) -> Result<Vec<How>, &'static str> {
    match fault {
        Fault::Panic => Err(NO_CODE),
        _ => Ok(back("rolled_back", fault)),
    }
}
