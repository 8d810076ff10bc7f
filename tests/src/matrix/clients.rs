//! Who is at work while an upgrade is struck: donors, and clients who count. What they were
//! told is held against what is there, and they are told nothing that is not explained.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::json;

use super::how::{How, Whom};
use crate::faulty::{self, Counting, Counts, NO_ANSWER};
use crate::home::Home;
use crate::load::{Load, Seen, only};

/// Of `faulty`, that clients count on.
const ACTORS: usize = 30;

/// Where all of them are marked. So many that none is called so often in a moment that its
/// faults set it aside.
const MARKED: usize = 100;

/// Between an answer and the same client's next call.
const PACE: Duration = Duration::from_millis(20);

/// Gifts that are waited for where there should be some.
const SOME: u64 = 20;

/// The actor that nobody calls, and its count.
pub(super) const ASLEEP: (&str, i64) = ("asleep", 7);

/// They are at work all the while.
pub(super) struct Clients {
    pub(super) port: u16,
    /// How many actors are counted on.
    pub(super) actors: usize,
    donors: Load,
    counting: Counting,
}

impl Clients {
    /// The new release comes when the host runs: what lies there at a start is opened then.
    pub(super) fn begin(home: &Home, how: &How) -> Result<Self> {
        let [lies, comes] = ["next", "releases/0.2.0"].map(|it| home.path().join(it));
        fs::rename(&comes, &lies)?;
        let mut port = home.start()?.port;
        let (key, count) = ASLEEP;
        faulty::told(port, key, "add", &json!({ "by": count }))?;
        match (how.mark, how.whom) {
            (Some((what, ms)), Whom::Called) => faulty::mark(port, "0", what, ms)?,
            (Some((what, ms)), Whom::Asleep) => faulty::mark(port, key, what, ms)?,
            _ => {}
        }
        if how.whom == Whom::Asleep {
            home.stop()?;
            port = home.start()?.port;
        }
        fs::rename(&lies, &comes)?;
        let mark = how.mark.filter(|_| how.whom == Whom::All);
        let actors = if mark.is_some() { MARKED } else { ACTORS };
        let counting = Counting::start(faulty::Shape {
            port,
            actors,
            pace: PACE,
            mark,
        })?;
        let donors = Load::few(port, PACE)?;
        donors.more(SOME)?;
        Ok(Self {
            port,
            actors,
            donors,
            counting,
        })
    }

    /// Waits until some more has been given.
    pub(super) fn give(&self) -> Result<()> {
        self.donors.more(SOME)
    }

    /// Waits until some more has been given, and each actor has counted but for `aside`.
    pub(super) fn are_served(&self, aside: Option<usize>) -> Result<()> {
        self.give()?;
        self.counting.again(|actor| Some(actor) != aside)
    }

    /// Lets them go. They have heard of nothing that was not to be heard.
    pub(super) fn stop(self, how: &How) -> Result<Told> {
        let seen = self.donors.stop()?;
        let counts = self.counting.stop()?;
        ensure!(
            how.is_fatal || seen.closed == 0,
            "{} connections closed, and these errors came: {:?}",
            seen.closed,
            seen.errors
        );
        only(&seen.errors, &how.heard_by_all()).context("donors")?;
        let mut may_be = how.heard_by_all();
        may_be.extend(how.heard_of_faulty());
        if how.is_fatal {
            may_be.push(NO_ANSWER);
        }
        only(counts.refusals(), &may_be).context("who counts")?;
        Ok(Told {
            port: self.port,
            seen,
            counts,
        })
    }
}

/// What they were told.
pub(super) struct Told {
    port: u16,
    seen: Seen,
    counts: Counts,
}

impl Told {
    /// Every acknowledged command is there exactly once.
    pub(super) fn holds(&self, home: &Home) -> Result<()> {
        self.seen.tally.audit(home)?.exact()?;
        self.counts.hold(self.port)?;
        let (key, count) = ASLEEP;
        let found = faulty::summary(self.port, key)?;
        ensure!(found["count"] == count, "faulty:{key}: {found}");
        Ok(())
    }
}
