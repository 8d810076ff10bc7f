//! A watched step: a new release is judged, look after look, until its window is over
//! and enough was seen.

use std::sync::Arc;
use std::time::{Duration, Instant};

use host_actors::FailedPlugin;
use host_model::control::Progress;
use host_model::flight::Watched;
use host_model::limits::{
    CANARY_WINDOWS_MAX, FAULT_WINDOW, PROBATION_WINDOWS_MAX, QUARANTINES_MAX,
};
use host_model::release::Start;

use crate::engine::Upgrader;
use crate::judge::{TooFew, Verdict, judge, not_compared};
use crate::run::Run;
use crate::running::Running;
use crate::state::{Reason, State};
use crate::steps::BY_HAND;
use crate::stuck::{Remedy, versions};
use crate::trial::seen;
use crate::window::Window;
use crate::wishes::Asked;

/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// How a watched step ended.
pub(crate) enum Step {
    /// The next one may begin.
    Over,
    /// An operator wants all of it now.
    Commit,
    /// It is to be taken back.
    Failed(Reason),
}

/// What follows from a look.
#[derive(Debug, PartialEq, Eq)]
enum Next {
    /// Nothing yet.
    Watch,
    /// Its time is over, and it goes on because too little was seen.
    Extend(TooFew),
    /// An operator has to decide.
    Ask(TooFew),
    /// It may go on although too little was seen.
    PassUnseen(TooFew),
    /// It may go on.
    Pass,
    /// The new release must go.
    GoBack(String),
}

/// What follows from `verdict` while `window` goes on; none stands still.
fn next(verdict: Verdict, window: Option<&Window>, now: Instant, is_canary: bool) -> Next {
    match (verdict, window.filter(|window| window.is_over(now))) {
        (Verdict::Breached(why), _) => Next::GoBack(why),
        (_, None) => Next::Watch,
        (Verdict::Passed, Some(_)) => Next::Pass,
        // Who is ill is well at one of the next looks, or a breach.
        (Verdict::TooFew(few), Some(window)) if few.is_ill || !window.is_exhausted(now) => {
            Next::Extend(few)
        }
        (Verdict::TooFew(few), Some(_)) if is_canary => Next::Ask(few),
        (Verdict::TooFew(few), Some(_)) => Next::PassUnseen(few),
    }
}

impl Upgrader {
    /// The permanent plugins that are past their limit of faults for good: not those whose
    /// version an upgrade that is under way has brought, and takes back.
    #[must_use]
    pub fn failed_for_good(&self) -> Vec<FailedPlugin> {
        // As a rule there is none, and then nobody's lock is waited for.
        if self.actors.failed_plugins().is_empty() {
            return Vec::new();
        }
        // Before what has failed is read: it is forgiven before the way back is over.
        let running = self.running().map(|it| (it.state(), it));
        let is_taken_back = |failed: &FailedPlugin| match &running {
            Some((state, running)) => running.takes_back(state, failed),
            None => false,
        };
        let mut failed = self.actors.failed_plugins();
        failed.retain(|it| it.start == Start::Permanent && !is_taken_back(it));
        failed
    }
}

impl Running {
    /// Whether it has brought what is past its limit of faults, and in this state of it can
    /// take it back or does so, if only once an operator has looked. An operator's way back is
    /// no trial, and has nothing to go back to.
    fn takes_back(&self, state: &State, failed: &FailedPlugin) -> bool {
        let is_on_trial = matches!(
            state,
            State::Canary { .. }
                | State::Switching
                | State::Probation
                | State::RollingBack { .. }
                | State::Stuck { .. }
        );
        let (left, gone_to) = versions(&self.plan, &failed.plugin);
        is_on_trial
            && !self.is_rollback()
            && left != gone_to
            && gone_to.is_some()
            && failed.version.as_ref() == gone_to
    }
}

impl Run {
    /// Watches for `length`, and longer where too few calls are seen. Without a length
    /// nobody wants to know.
    pub(crate) async fn watch(&mut self, length: Duration) -> Step {
        if length.is_zero() {
            return self.wished().unwrap_or(Step::Over);
        }
        let is_canary = matches!(self.upgrade.state, State::Canary { .. });
        let windows = match is_canary {
            true => CANARY_WINDOWS_MAX,
            false => PROBATION_WINDOWS_MAX,
        };
        self.running
            .watch(Window::open(length, windows, Instant::now()));
        let step = self.watch_on(is_canary).await;
        self.running.watched();
        step
    }

    async fn watch_on(&mut self, is_canary: bool) -> Step {
        // Once it has left the decision to an operator, to go on is one.
        let mut undecided: Option<TooFew> = None;
        loop {
            let verdict = self.look().await;
            // Before anything follows from the look: nobody wants to go on who wants it back.
            if let Some(step) = self.wished() {
                return step;
            }
            let (paused, window) = self.running.window();
            let now = Instant::now();
            let left = window.as_ref().map_or(Duration::ZERO, |it| it.left(now));
            if !paused
                && verdict.may_be_passed()
                && let Some(few) = undecided.take()
            {
                self.note("too_few_calls", Some(few.text));
                return Step::Over;
            }
            match next(verdict, window.filter(|_| !paused).as_ref(), now, is_canary) {
                Next::GoBack(why) => {
                    self.note("breached", Some(why.clone()));
                    return Step::Failed(Reason::release(why));
                }
                Next::Pass => {
                    let baseline = self.baseline.as_ref();
                    let open = baseline.and_then(|it| not_compared(&it.trials()));
                    if !is_canary && let Some(text) = &open {
                        self.running.say(text);
                        self.remark = Some(text.clone());
                    }
                    self.note("passed", open);
                    return Step::Over;
                }
                Next::PassUnseen(few) => {
                    let text = format!("it was watched, and too little was seen: {}", few.text);
                    self.running.say(&text);
                    self.remark = Some(text);
                    self.note("too_few_calls", Some(few.text));
                    return Step::Over;
                }
                Next::Ask(few) => {
                    let text = format!(
                        "{}; more would not be seen soon: say `host upgrade resume` to go on, `host commit`, or `host rollback`",
                        few.text
                    );
                    self.running.pause_with(text);
                    undecided = Some(few);
                }
                Next::Extend(few) => {
                    let text = format!("the window is extended: {}", few.text);
                    self.running.say(&text);
                }
                Next::Watch => {}
            }
            self.running.tell(Progress::Probation {
                left_s: left.as_secs_f64().ceil() as u64,
            });
            // A window that stands still has nothing left to wait for but a wish.
            let pause = match paused || left.is_zero() {
                true => LOOK_EVERY,
                false => left.min(LOOK_EVERY),
            };
            if let Some(step) = self.hear(pause).await {
                return step;
            }
            if let Remedy::GoBack(reason) = self.look_for_stuck().await {
                self.note("stuck", Some(reason.text.clone()));
                return Step::Failed(reason);
            }
        }
    }

    /// Hears of failures and wishes, for so long at most.
    async fn hear(&mut self, most: Duration) -> Option<Step> {
        let actors = Arc::clone(&self.upgrader.actors);
        let running = Arc::clone(&self.running);
        tokio::select! {
            () = actors.migrations().failure() => {}
            () = tokio::time::sleep(most) => {}
            asked = running.wishes.heard() => {
                if let Some(step) = self.heeded(asked) {
                    return Some(step);
                }
            }
        }
        let reason = self.failures()?;
        self.note("migration_failed", Some(reason.text.clone()));
        Some(Step::Failed(reason))
    }

    /// What is wished for and was not heeded yet.
    fn wished(&mut self) -> Option<Step> {
        let asked = self.running.wishes.take()?;
        self.heeded(asked)
    }

    /// How a wish ends the step, if it does.
    fn heeded(&mut self, asked: Asked) -> Option<Step> {
        match asked {
            Asked::RollBack => {
                self.note("by_hand", Some(BY_HAND.to_owned()));
                Some(Step::Failed(Reason::blameless(BY_HAND)))
            }
            Asked::Commit => {
                self.note("by_hand", None);
                Some(Step::Commit)
            }
            Asked::Look => None,
        }
    }

    async fn look(&mut self) -> Verdict {
        if let Some(why) = self.past_its_limit() {
            return Verdict::Breached(why);
        }
        let actors = Arc::clone(&self.upgrader.actors);
        match &mut self.baseline {
            Some(baseline) => {
                baseline.ask_for_health(&actors).await;
                judge(&baseline.trials())
            }
            // A start goes on with ways back only, and those are not watched.
            None => Verdict::Passed,
        }
    }

    /// What is wrong with the new release while actors still come over, if it is watched
    /// at all.
    pub(crate) fn breach(&mut self) -> Option<String> {
        if let Some(why) = self.past_its_limit() {
            self.note("breached", Some(why.clone()));
            return Some(why);
        }
        let is_watched = self.asks.probation_s.is_some_and(|seconds| seconds > 0);
        let baseline = self.baseline.as_ref().filter(|_| is_watched)?;
        match judge(&baseline.trials()) {
            Verdict::Breached(why) => {
                self.note("breached", Some(why.clone()));
                Some(why)
            }
            Verdict::Passed | Verdict::TooFew(_) => None,
        }
    }

    /// What is wrong with a plugin of the new release whose actors are set aside one after
    /// the other, watched or not: the host would end for it.
    fn past_its_limit(&self) -> Option<String> {
        let failed = self.upgrader.actors.failed_plugins();
        let state = &self.upgrade.state;
        let failed = failed
            .iter()
            .find(|it| self.running.takes_back(state, it))?;
        let version = failed.version.as_ref()?;
        Some(format!(
            "{} {version}: {QUARANTINES_MAX} actors were set aside for faults within {} s",
            failed.plugin,
            FAULT_WINDOW.as_secs()
        ))
    }

    /// Heeds what was asked for while this step was written down, before anyone comes over
    /// in it: nobody who has paused it, or wants it back, is to see it grow.
    pub(crate) async fn still_wanted(&mut self) -> Result<(), Reason> {
        let mut wanted = self.heed();
        if wanted.is_ok() && self.running.is_paused() {
            self.open_gates();
            self.gates_are_open = true;
            wanted = self.rest().await.map_or(Ok(()), Err);
        }
        if wanted.is_err() {
            self.open_gates();
        }
        wanted
    }

    /// Waits while it is paused. Some: why it goes back.
    pub(crate) async fn rest(&mut self) -> Option<Reason> {
        let actors = Arc::clone(&self.upgrader.actors);
        let running = Arc::clone(&self.running);
        let mut look = tokio::time::interval(LOOK_EVERY);
        while self.running.is_paused() {
            // Actors still come over at their next message.
            tokio::select! {
                () = actors.migrations().failure() => {
                    if let Some(reason) = self.failures() {
                        return Some(reason);
                    }
                }
                asked = running.wishes.heard() => {
                    if let Some(reason) = self.take(asked) {
                        return Some(reason);
                    }
                }
                _ = look.tick() => {
                    if let Some(why) = self.breach() {
                        return Some(Reason::release(why));
                    }
                    // Nobody waits for who is busy in the old version.
                    if let Remedy::GoBack(reason) = self.look_for_stuck().await
                        && self.hung.is_some()
                    {
                        return Some(reason);
                    }
                }
            }
        }
        None
    }

    /// Writes down what came of a step, and what was seen in it.
    fn note(&mut self, verdict: &str, text: Option<String>) {
        let trials = self.baseline.as_ref().map(|it| it.trials());
        self.flight.watched(Watched {
            state: self.upgrade.state.name().to_owned(),
            share: self.upgrade.state.share(),
            verdict: verdict.to_owned(),
            text,
            plugins: seen(&trials.unwrap_or_default()),
        });
    }
}

#[cfg(test)]
mod tests {
    use host_model::Version;
    use host_model::appup::Probation;
    use host_model::plan::{Change, Plan, PluginPlan};
    use tokio::sync::broadcast;

    use super::*;
    use crate::state::Upgrade;

    /// Whether an upgrade in this state takes back what it has added.
    fn takes_back(state: State, rollback: bool) -> bool {
        let version = Version::new(0, 2, 0);
        let added = PluginPlan {
            plugin: "added".to_owned(),
            change: Change::Add {
                version: version.clone(),
            },
            probation: Probation::default(),
        };
        let upgrade = Upgrade {
            id: 1,
            plan: Plan {
                from: Version::new(0, 1, 0),
                to: version.clone(),
                plugins: vec![added],
                steps: Vec::new(),
                back: Vec::new(),
                reversible: true,
                probation_s: 60,
                at_start: false,
            },
            state: state.clone(),
            rollback,
            given_up: Vec::new(),
            suspect: None,
            begun: Vec::new(),
        };
        let failed = FailedPlugin {
            plugin: "added".to_owned(),
            version: Some(version),
            start: Start::Permanent,
        };
        Running::new(&upgrade, broadcast::channel(1).0).takes_back(&state, &failed)
    }

    #[test]
    fn what_it_has_brought_is_taken_back_also_once_it_is_stuck() {
        let reason = || Reason::blameless("why");
        for state in [
            State::Probation,
            State::RollingBack { reason: reason() },
            State::Stuck { reason: reason() },
        ] {
            assert!(takes_back(state.clone(), false), "{state:?}");
            assert!(!takes_back(state.clone(), true), "{state:?}");
        }
        assert!(!takes_back(State::Committed, false));
        assert!(!takes_back(State::RolledBack { reason: reason() }, false));
    }

    #[test]
    fn a_window_is_extended_and_then_passed_or_left_to_an_operator() {
        let few = || TooFew {
            text: "3 calls".to_owned(),
            is_ill: false,
        };
        let start = Instant::now();
        let window = Window::open(Duration::from_secs(10), 2, start);
        let after = |verdict, seconds, is_canary| {
            let now = start + Duration::from_secs(seconds);
            next(verdict, Some(&window), now, is_canary)
        };
        let too_few = || Verdict::TooFew(few());
        for is_canary in [true, false] {
            assert_eq!(after(Verdict::Passed, 9, is_canary), Next::Watch);
            assert_eq!(after(Verdict::Passed, 10, is_canary), Next::Pass);
            assert_eq!(after(too_few(), 9, is_canary), Next::Watch);
            assert_eq!(after(too_few(), 19, is_canary), Next::Extend(few()));
        }
        assert_eq!(after(too_few(), 20, false), Next::PassUnseen(few()));
        assert_eq!(after(too_few(), 20, true), Next::Ask(few()));
        // An illness is never passed, however late it is seen.
        let ill = || TooFew {
            is_ill: true,
            ..few()
        };
        for is_canary in [true, false] {
            let found = after(Verdict::TooFew(ill()), 500, is_canary);
            assert_eq!(found, Next::Extend(ill()));
        }
    }

    #[test]
    fn a_breach_counts_at_any_time_and_a_pause_stops_all_else() {
        let now = Instant::now();
        let breach = || Verdict::Breached("it broke".to_owned());
        let window = Window::open(Duration::from_secs(10), 2, now);
        for window in [None, Some(&window)] {
            let found = next(breach(), window, now, true);
            assert_eq!(found, Next::GoBack("it broke".to_owned()));
            assert_eq!(next(Verdict::Passed, window, now, true), Next::Watch);
        }
    }
}
