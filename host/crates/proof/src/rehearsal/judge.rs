//! Asks the laws of one actor.

use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::{Duration, Instant};

use host_loader::{Call, Caller, Plugin, Verdict};
use host_model::Version;
use rustix::time::{ClockId, clock_gettime};

use super::ways::{Opened, Way, Ways};
use super::{By, Judged, Law, PROBLEMS_MAX, Said, Setup, Subject};
use crate::crossing::{Crossing, Hop, Stuck};
use crate::difference::Difference;
use crate::fields::differing;
use crate::value::decode;

/// A pause above this is measured again, for the child runs when nobody else wants to;
/// and once more if the processor was elsewhere meanwhile.
const SUSPECT_PAUSE: Duration = Duration::from_millis(1);

/// Times that such a pause is measured; the least counts.
const MEASURED_MAX: usize = 3;

/// All ways, ready to be gone.
pub(super) struct Judge {
    opened: Opened,
    ways: Ways,
}

/// Told before each step, where somebody wants to hear it.
pub(super) type Trace<'a> = dyn FnMut(fmt::Arguments<'_>) + 'a;

impl Judge {
    /// With these plugins: what they lack of the setup's ways is gone by nobody.
    pub(super) fn new(setup: &Setup, plugins: Vec<Arc<Plugin>>) -> Self {
        let named = plugins.into_iter().map(|plugin| {
            let name = (plugin.name().to_owned(), plugin.version().clone());
            (name, plugin)
        });
        let opened: Opened = named.collect();
        Self {
            ways: Ways::over(&setup.plugins, &opened),
            opened,
        }
    }

    /// Asks all laws of one actor.
    pub(super) fn judge(&self, subject: &Subject, trace: &mut Trace<'_>) -> Judged {
        let mut found = Judged::default();
        let end = subject.commands.last().map(|said| &said.version);
        let Some(version) = end.or(subject.start.as_ref().map(|start| &start.version)) else {
            return found;
        };
        let way = match self.ways.of(subject, version, &self.opened) {
            Ok(Some(way)) => way,
            Ok(None) => {
                found.is_there = true;
                return found;
            }
            Err(why) => {
                found.fail(Law::Crossing, "", why);
                return found;
            }
        };
        let mut hasher = DefaultHasher::new();
        subject.actor.as_str().hash(&mut hasher);
        let mut case = Case {
            judge: self,
            way: &way,
            subject,
            seed: hasher.finish(),
            trace,
            back: way.back.as_deref(),
            found: &mut found,
        };
        if let Err((law, Stuck(text))) = case.ask_all() {
            case.found.fail(law, "", text);
        }
        found
    }

    fn opened(&self, plugin: &str, version: &Version) -> Result<&Arc<Plugin>, Stuck> {
        let name = (plugin.to_owned(), version.clone());
        let found = self.opened.get(&name);
        found.ok_or_else(|| Stuck(format!("{plugin} {version} is not installed")))
    }
}

/// One actor before its judge.
pub(super) struct Case<'a> {
    judge: &'a Judge,
    pub(super) way: &'a Way,
    pub(super) subject: &'a Subject,
    seed: u64,
    trace: &'a mut Trace<'a>,
    /// The way back, as long as it has led back.
    back: Option<&'a [Hop]>,
    pub(super) found: &'a mut Judged,
}

/// The states of an actor.
struct States {
    /// S, where commands follow it.
    start: Option<Crossing>,
    /// Behind some of the commands, see [`Case::begun`]; none: S stands for it.
    begun: Option<Crossing>,
    /// E, behind all of them.
    end: Crossing,
}

/// When commands are made up: behind C, or before it.
#[derive(Clone, Copy)]
enum When {
    Now,
    AtStart,
}

/// What stops a case: under which law, and why.
pub(super) type Stopped = (Law, Stuck);

pub(super) fn under(law: Law) -> impl Fn(Stuck) -> Stopped {
    move |stuck| (law, stuck)
}

impl<'a> Case<'a> {
    fn ask_all(&mut self) -> Result<(), Stopped> {
        let runs_commands = self.subject.samples > 0;
        let states = self.states(runs_commands);
        let States { start, begun, end } = states.map_err(under(Law::Crossing))?;
        self.found.ask(Law::Crossing);
        let over = self.come_over(&end).map_err(under(Law::Crossing))?;
        self.returns(&over, &end);
        if !runs_commands {
            return Ok(());
        }
        self.queries(&end, &over)?;
        // Both are done with before the next states are made: one may be large.
        drop(end);
        let mut behind = match start {
            Some(start) => self.live_on(start)?,
            None => None,
        };
        if self.back.is_some() {
            self.samples(over)?;
            if let Some(begun) = begun {
                // A state of the past that does not come over is no reason against one of now.
                behind = self.forth(&begun, &mut Vec::new()).ok();
            }
            if let Some(behind) = behind {
                self.carried(&behind)?;
            }
        }
        Ok(())
    }

    /// How many of the commands are behind a new actor when `carry` begins: before the first one
    /// it has nothing that could be lost, as a rule.
    fn begun(&self) -> usize {
        match self.subject.start {
            Some(_) => 0,
            None => self.subject.commands.len() / 2,
        }
    }

    /// C, as `carry` has it.
    pub(super) fn rest(&self) -> &'a [Said] {
        &self.subject.commands[self.begun()..]
    }

    /// All in the version in which the way begins. `with_start`: not E alone.
    fn states(&mut self, with_start: bool) -> Result<States, Stuck> {
        let has_commands = !self.subject.commands.is_empty();
        let start = match has_commands && with_start {
            true => Some(self.start()?),
            false => None,
        };
        let mut end = match &start {
            Some(start) => start.again(&self.way.from)?,
            None => self.start()?,
        };
        let mut begun = None;
        for (at, said) in self.subject.commands.iter().enumerate() {
            if at > 0 && at == self.begun() && with_start {
                end.bytes = end.state.export()?;
                begun = Some(end.again(&self.way.from)?);
            }
            if *end.state.plugin().version() != said.version {
                let code = self
                    .judge
                    .opened(self.subject.actor.plugin(), &said.version)?;
                let code = Arc::clone(code);
                end.bytes = end.state.export()?;
                end = end.again(&code)?;
            }
            (self.trace)(format_args!("{:?} as it happened", said.event));
            end.state.apply(&said.happened)?;
        }
        if has_commands {
            end.bytes = end.state.export()?;
        }
        Ok(States { start, begun, end })
    }

    fn start(&mut self) -> Result<Crossing, Stuck> {
        let plugin = self.subject.actor.plugin();
        let crossing = match (&self.subject.start, self.subject.commands.first()) {
            (Some(start), _) => {
                let code = self.judge.opened(plugin, &start.version)?;
                Crossing::of(code.import(&start.state)?, start.carries.clone())?
            }
            (None, Some(first)) => {
                let code = self.judge.opened(plugin, &first.version)?;
                Crossing::of(code.new_state(self.subject.actor.key())?, Vec::new())?
            }
            (None, None) => return Err(Stuck("the store has nothing of it".to_owned())),
        };
        match crossing.state.plugin().version() == self.way.from.version() {
            true => Ok(crossing),
            // Only the code changed since.
            false => crossing.again(&self.way.from),
        }
    }

    /// F, with the invariants; measured as a switch does it, which begins with an export.
    fn come_over(&mut self, from: &Crossing) -> Result<Crossing, Stuck> {
        let (mut over, mut pause, mut steps) = self.measured(from)?;
        let mut measured = 1;
        while pause > SUSPECT_PAUSE && measured < MEASURED_MAX {
            drop(over);
            let cpu_began = cpu();
            let (again, took, others) = self.measured(from)?;
            over = again;
            let elsewhere = took.saturating_sub(cpu().saturating_sub(cpu_began));
            if took < pause {
                (pause, steps) = (took, others);
            }
            measured += 1;
            if elsewhere < took / 4 {
                break;
            }
        }
        if let Some(text) = self.way.too_slow(&steps) {
            self.found.fail(Law::Crossing, "", text);
        }
        self.found.pause_ns = nanos(pause);
        self.found.steps_ns = steps;
        Ok(over)
    }

    fn measured(&mut self, from: &Crossing) -> Result<(Crossing, Duration, Vec<u64>), Stuck> {
        let mut steps = Vec::with_capacity(self.way.forth.len() + 1);
        let began = Instant::now();
        from.state.export()?;
        let over = self.forth(from, &mut steps)?;
        let ended = Instant::now();
        steps.push(ended);
        let lasted = |pair: &[Instant]| nanos(pair[1] - pair[0]);
        let steps = steps.windows(2).map(lasted).collect();
        Ok((over, ended - began, steps))
    }

    fn forth(&mut self, from: &Crossing, steps: &mut Vec<Instant>) -> Result<Crossing, Stuck> {
        let (way, trace) = (self.way, &mut *self.trace);
        let over = from.over(&way.forth, &mut |hop| {
            trace(format_args!("{hop}"));
            steps.push(Instant::now());
        })?;
        trace(format_args!("check of {}", way.to.version()));
        over.check()?;
        over.fits()?;
        Ok(over)
    }

    fn back(&mut self, from: &Crossing, back: &[Hop]) -> Result<Crossing, Stuck> {
        let trace = &mut *self.trace;
        let over = from.over(back, &mut |hop| trace(format_args!("{hop}")))?;
        over.fits()?;
        Ok(over)
    }

    /// `round_trip`: B(over) is `before`.
    fn returns(&mut self, over: &Crossing, before: &Crossing) {
        if self.back.is_some() {
            self.found.ask(Law::RoundTrip);
        }
        if let Some(returned) = self.back_of(over) {
            self.same_state(Law::RoundTrip, &before.bytes, &returned.bytes);
        }
    }

    /// S, and what C makes of it here and there. Gives F(S), if there is one: a state of the
    /// past that does not come over is no reason against one of now.
    fn live_on(&mut self, start: Crossing) -> Result<Option<Crossing>, Stopped> {
        let Ok(over) = self.forth(&start, &mut Vec::new()) else {
            return Ok(None);
        };
        // A new actor's state says nothing that no other's does.
        if self.subject.start.is_some() {
            self.returns(&over, &start);
        }
        let new = over.again(&self.way.to).map_err(under(Law::Shadow))?;
        self.shadow(start, new)?;
        Ok(Some(over))
    }

    /// What two ways came to, seen through B where the new one is in the new version. A B
    /// that breaks leads back no more, which is taken down; what needs none is asked on.
    pub(super) fn back_of(&mut self, new: &Crossing) -> Option<Crossing> {
        match self.back(new, self.back?) {
            Ok(returned) => Some(returned),
            Err(Stuck(text)) => {
                self.found.fail(Law::RoundTrip, "", text);
                self.back = None;
                None
            }
        }
    }

    /// Runs commands that are made up on `state`; gives how many it took.
    fn make_up(&mut self, state: &mut Crossing, when: When) -> Result<u32, Stuck> {
        (self.trace)(format_args!("samples of {}", self.way.to.version()));
        let (seq, ms) = self.rest_from();
        let (seed, mut seq, now_ms) = match when {
            When::Now => (self.seed, self.end_seq(), self.now_ms()),
            // What follows must not be earlier.
            When::AtStart => (!self.seed, seq, ms),
        };
        let samples = state.state.samples(seed, self.subject.samples)?;
        let mut taken = 0;
        for sample in samples.iter().flatten() {
            (self.trace)(format_args!("{:?} of its samples", sample.event));
            let call = Call {
                key: self.subject.actor.key(),
                event: &sample.event,
                payload: sample.payload(),
                claims: b"",
                now_ms,
                seed: seed ^ seq,
                seq,
                caller: Caller::CLIENT,
                hops: 0,
            };
            if let Verdict::Accepted(accepted) = state.state.handle(&call)? {
                seq += u64::from(accepted.event.is_some());
                taken += 1;
            }
        }
        state.bytes = state.state.export()?;
        Ok(taken)
    }

    /// `samples`: F(B(N)) is N.
    fn samples(&mut self, over: Crossing) -> Result<(), Stopped> {
        let Some(back) = self.back else {
            return Ok(());
        };
        let here = under(Law::Samples);
        let mut new = over;
        let taken = self.make_up(&mut new, When::Now).map_err(&here)?;
        if taken > 0 {
            // Otherwise `round_trip` has asked it already.
            self.found.ask(Law::Samples);
        }
        self.found.samples += taken;
        let down = self.back(&new, back).map_err(&here)?;
        let again = self.forth(&down, &mut Vec::new()).map_err(&here)?;
        self.same_state(Law::Samples, &new.bytes, &again.bytes);
        Ok(())
    }

    /// `carry`: C on B(N), and F again.
    fn carried(&mut self, behind: &Crossing) -> Result<(), Stopped> {
        let here = under(Law::Carry);
        let Some(back) = self.back else {
            return Ok(());
        };
        let mut new = behind.again(&self.way.to).map_err(&here)?;
        let taken = self.make_up(&mut new, When::AtStart).map_err(&here)?;
        if taken == 0 && self.subject.start.is_none() && self.begun() == 0 {
            // There is nothing yet that could be lost.
            return Ok(());
        }
        self.found.samples += taken;
        let down = self.back(&new, back).map_err(&here)?;
        self.live_on_below(&new, &down)
    }

    /// C on `down`, and F again: what C does not touch must be as it was in `new`.
    fn live_on_below(&mut self, new: &Crossing, down: &Crossing) -> Result<(), Stopped> {
        let here = under(Law::Carry);
        let Some((old, moved)) = self.both(down, new).map_err(&here)? else {
            return Ok(());
        };
        self.found.ask(Law::Carry);
        let again = self.forth(&old, &mut Vec::new()).map_err(&here)?;
        if again.bytes != moved {
            let above = (&*new.bytes, &*moved, &*again.bytes);
            for lost in self.lost(above, (&down.bytes, &old.bytes)) {
                self.differs(Law::Carry, &lost);
            }
        }
        // And all that the old version did is still so.
        if let Some(back) = self.back {
            let returned = self.back(&again, back).map_err(&here)?;
            self.same_state(Law::Carry, &old.bytes, &returned.bytes);
        }
        Ok(())
    }

    pub(super) fn trace(&mut self, step: fmt::Arguments<'_>) {
        (self.trace)(step);
    }

    /// Names where two states differ that should be one.
    pub(super) fn same_state(&mut self, law: Law, one: &[u8], other: &[u8]) {
        if one == other {
            return;
        }
        let found = match (decode(one), decode(other)) {
            (Some(one), Some(other)) => differing("state", &one, &other, PROBLEMS_MAX),
            _ => Vec::new(),
        };
        if found.is_empty() {
            // Not values, or the same ones written in two ways.
            return self.found.fail(law, "state", "its bytes differ");
        }
        for difference in found {
            self.differs(law, &difference);
        }
    }

    pub(super) fn differs(&mut self, law: Law, difference: &Difference) {
        let Difference { field, one, other } = difference;
        let text = match law {
            Law::Shadow => format!("{one} in the old version, {other} in the new one"),
            _ => format!("{one} before, {other} after"),
        };
        self.found.fail(law, field, text);
    }

    /// How a command is called, in either version.
    pub(super) fn call<'c>(&'c self, said: &'c Said, seq: u64) -> Call<'c> {
        Call {
            key: self.subject.actor.key(),
            event: &said.event,
            payload: &said.payload,
            claims: b"",
            now_ms: said.time_ms,
            seed: self.seed ^ said.seq,
            seq,
            caller: match said.by {
                By::Client => Caller::CLIENT,
                By::Actor => Caller::ACTOR,
                By::Timer => Caller::TIMER,
            },
            hops: u32::from(said.by == By::Actor),
        }
    }

    pub(super) fn begin_seq(&self) -> u64 {
        self.subject.start.as_ref().map_or(0, |start| start.seq)
    }

    fn end_seq(&self) -> u64 {
        let last = self.subject.commands.last();
        last.map_or_else(|| self.begin_seq(), |said| said.seq)
    }

    /// Sequence and time at which `carry` begins.
    pub(super) fn rest_from(&self) -> (u64, i64) {
        let said = &self.subject.commands;
        let before = self.begun().checked_sub(1).map(|at| &said[at]);
        let start = self.subject.start.as_ref().map(|start| start.time_ms);
        let ms = start.or(before.or(said.first()).map(|said| said.time_ms));
        let seq = before.map_or_else(|| self.begin_seq(), |said| said.seq);
        (seq, ms.unwrap_or(0))
    }

    pub(super) fn now_ms(&self) -> i64 {
        let start = self.subject.start.as_ref().map_or(0, |start| start.time_ms);
        let last = self.subject.commands.last();
        last.map_or(start, |said| said.time_ms)
    }

    pub(super) fn seed(&self) -> u64 {
        self.seed
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// The processor's time of this thread.
fn cpu() -> Duration {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    Duration::try_from(now).unwrap_or_default()
}
