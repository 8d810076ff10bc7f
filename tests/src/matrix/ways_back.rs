//! The table's rows of the way back. Whatever happens on it, everyone is back behind it.

use super::Fault;
use super::how::{Course, Ends, How};
use super::ways::{CONTAINED, DIED, Durable, FOR_EVER_MS, IMPATIENT, NO_CODE, SLOW, marked};

use Ends::RolledBack;

/// Why an upgrade went back that was asked to.
const ASKED: &str = "an operator rolled it back";

/// What stands in the snapshot of an actor that has gone back: in its carry.
const WENT_BACK: &str = "older";

/// What stands in an upgrade that is written because a hook of the way back is begun.
const HOOK_BEGUN: &str = "\"hook\":\"undone\",\"times\":1";

/// One that an operator asks for.
fn asked(how: How, why: &'static str) -> How {
    how.course(Course::RollBack).from(&["probation"], why)
}

/// A state of the way back: whatever happens, everyone is back behind it.
fn back(state: &'static str, fault: Fault) -> Vec<How> {
    let durable = Durable {
        state,
        follows: "probation",
        before: RolledBack,
        behind: RolledBack,
        alive: RolledBack,
    };
    let why = match (state, fault) {
        // That it was asked for is not durable.
        ("rolling_back", Fault::Error) => DIED,
        _ => ASKED,
    };
    let ways = durable.ways(fault, |how| how).into_iter();
    ways.map(|how| asked(how, why)).collect()
}

pub(super) fn roll_back(fault: Fault) -> Result<Vec<How>, &'static str> {
    match fault {
        Fault::Panic => Err(NO_CODE),
        _ => Ok(back("rolling_back", fault)),
    }
}

pub(super) fn hook_back(fault: Fault) -> Result<Vec<How>, &'static str> {
    let how = |down, why| {
        let how = How::new(format!("down = [{down}]"), RolledBack).down(down);
        asked(how, why)
    };
    // That it is begun is written down before it runs.
    let begun = |count: &str, what: &str| {
        let rule = format!("write host.db-wal 1 {count} {what} {HOOK_BEGUN}");
        let how = How::new(format!("{what} when a hook is begun"), RolledBack);
        let how = how.down(r#"{ run = "undone" }, { update = "state" }"#);
        asked(how, ASKED).disk(rule)
    };
    Ok(match fault {
        Fault::Error => vec![
            how(
                r#"{ run = "refuse" }, { update = "state" }"#,
                "on the way back the hook `refuse`",
            ),
            begun("1", "eio"),
        ],
        Fault::Panic => vec![how(
            r#"{ run = "panic" }, { update = "state" }"#,
            "on the way back the hook `panic` broke: faulty 0.2.0 panicked",
        )],
        Fault::Kill => vec![
            how(
                r#"{ run = "abort" }, { update = "state" }"#,
                "on the way back the hook `abort` of faulty 0.2.0 was left out",
            )
            .fatal(),
            begun("1", "kill"),
        ],
        Fault::Timeout => vec![
            how(
                r#"{ run = "sleep-1500", timeout_ms = 200 }, { update = "state" }"#,
                "on the way back the hook `sleep-1500` of faulty 0.2.0 had not ended after the 200 ms",
            ),
            begun("1", SLOW),
        ],
        Fault::DiskFull => vec![begun("all", "enospc")],
    })
}

pub(super) fn down(fault: Fault) -> Result<Vec<How>, &'static str> {
    let marked = |what, ms, why| asked(marked(what, ms, RolledBack), why);
    let snapshot = |count: &str, what: &str| {
        let rule = format!("write host.db-wal 1 {count} {what} {WENT_BACK}");
        let how = How::new(format!("{what} when snapshots are written"), RolledBack);
        asked(how, ASKED).disk(rule)
    };
    Ok(match fault {
        Fault::Error => vec![
            marked("down_fails", 0, ASKED).rebuilt(),
            snapshot("1", "eio"),
        ],
        Fault::Panic => vec![marked("down_panics", 0, ASKED).rebuilt()],
        Fault::Kill => vec![snapshot("1", "kill")],
        Fault::Timeout => vec![
            snapshot("1", SLOW),
            marked("down_slow", FOR_EVER_MS, CONTAINED)
                .more(&IMPATIENT)
                .fatal()
                .sets_aside(),
        ],
        Fault::DiskFull => vec![snapshot("all", "enospc")],
    })
}

pub(super) fn rolled_back(fault: Fault) -> Result<Vec<How>, &'static str> {
    match fault {
        Fault::Panic => Err(NO_CODE),
        _ => Ok(back("rolled_back", fault)),
    }
}
