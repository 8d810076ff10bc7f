//! An upgrade on its way, as others see it: its state, and where to leave a wish.

use std::mem;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use host_actors::Actors;
use host_journal::unix_ms;
use host_model::Version;
use host_model::control::{
    Progress, Rehearsing, SlowHandler, UnderWay, UpgradeReport, UpgradeStatus,
};
use host_model::flight::{Asked as Noted, Asker};
use host_model::limits::{BUSY_MIN, NAMED_ACTORS_MAX};
use host_model::plan::Plan;
use parking_lot::Mutex;
use tokio::sync::broadcast;

use crate::flight::asked;
use crate::pace::Pace;
use crate::refused::RefusedUpgrade;
use crate::state::{Event, State, Upgrade};
use crate::window::Window;
use crate::wishes::{Asked, Wishes};

/// Wishes that are written down until the next transition takes them.
const NOTED_MAX: usize = 32;

/// Why an upgrade ends that has not switched when the host is stopped.
const STOPPED_BEFORE: &str = "the host was stopped before the switch; nothing has changed";

/// Why one ends that has.
const STOPPED: &str = "the host was stopped in the middle of it; the next start boots the permanent release and rolls the rest back";

/// What others see of an upgrade.
#[derive(Debug)]
pub(crate) struct Running {
    id: u64,
    pub(crate) plan: Plan,
    /// Whether it is a rollback itself, of a release that was committed.
    rollback: bool,
    state: Mutex<State>,
    pace: Mutex<Pace>,
    noted: Mutex<Vec<Noted>>,
    rehearsing: Mutex<Option<Rehearsing>>,
    /// Actors of the plugins that move, where a rehearsal has counted them.
    moving: OnceLock<u64>,
    pub(crate) wishes: Wishes,
    progress: broadcast::Sender<Progress>,
    /// What there was to report of the last state, and when it came to that.
    so_far: Mutex<Option<(UpgradeReport, Instant)>>,
    /// Whether the process ends before the upgrade does: then it comes to no other state
    /// here. Held while it comes to one.
    pub(crate) stopped: tokio::sync::Mutex<bool>,
}

/// What becomes of wishes once an upgrade is about to commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Closed {
    /// Nothing takes it back any more.
    ToAll,
    /// It was paused before: it is heeded first.
    Paused,
    /// It was to go back before: it does.
    RollsBack,
}

impl Running {
    pub(crate) fn new(upgrade: &Upgrade, progress: broadcast::Sender<Progress>) -> Self {
        Self {
            id: upgrade.id,
            plan: upgrade.plan.clone(),
            rollback: upgrade.rollback,
            state: Mutex::new(upgrade.state.clone()),
            pace: Mutex::default(),
            noted: Mutex::default(),
            rehearsing: Mutex::default(),
            moving: OnceLock::new(),
            wishes: Wishes::default(),
            progress,
            so_far: Mutex::default(),
            stopped: tokio::sync::Mutex::new(false),
        }
    }

    /// Tells whoever listens, which may be nobody.
    pub(crate) fn tell(&self, progress: Progress) {
        let _ = self.progress.send(progress);
    }

    /// Says something that holds from now on, if it is not what was said last.
    pub(crate) fn say(&self, text: &str) {
        let mut pace = self.pace.lock();
        if pace.remark.as_deref() != Some(text) {
            tracing::info!(upgrade = self.id, "{text}");
            pace.remark = Some(text.to_owned());
            self.tell(Progress::Said {
                text: text.to_owned(),
            });
        }
    }

    /// Keeps what there is to report of the state that it has come to.
    pub(crate) fn keep(&self, so_far: UpgradeReport) {
        *self.so_far.lock() = Some((so_far, Instant::now()));
    }

    /// Shows that the upgrade has come to `state`, and what there is to report of it. Told under
    /// the state's lock: who asks for something from now on hears what comes of that, and nothing
    /// older.
    pub(crate) fn enter(&self, state: &State, so_far: UpgradeReport) {
        let mut shown = self.state.lock();
        let is_new = mem::discriminant(&*shown) != mem::discriminant(state);
        *shown = state.clone();
        if is_new && state.reason().is_some() {
            // The way back does not stand still, and is what there was to wish for.
            self.pace.lock().resume();
            self.wishes.forget();
        }
        self.keep(so_far.clone());
        self.tell(Progress::State {
            state: state.name().to_owned(),
            at_ms: so_far.duration_ms,
        });
        if is_new && matches!(state, State::Stuck { .. }) {
            // Nothing follows by itself: it goes on without those who have followed it so far.
            self.tell(Progress::Ended(so_far));
        }
    }

    /// What there is to report by now: of the state that it came to last, with what has been
    /// counted since. None before its first state.
    pub(crate) fn report(&self, actors: &Actors) -> Option<UnderWay> {
        // Of one moment: what is kept is kept under the state's lock.
        let state = self.state.lock();
        let (so_far, since) = self.so_far.lock().clone()?;
        let migrations = actors.migrations();
        let came_over = state.came_over(migrations.migrated());
        let since_ms = u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX);
        let report = UpgradeReport {
            actors_migrated: so_far.actors_migrated.max(came_over),
            pause_us: migrations.pauses_us(),
            duration_ms: so_far.duration_ms.saturating_add(since_ms),
            ended_ms: 0,
            paused_ms: self.paused_ms(),
            way_back: Box::new(migrations.way_back()),
            ..so_far
        };
        Some(UnderWay {
            state: state.name().to_owned(),
            share: state.share(),
            report,
        })
    }

    /// Leaves the upgrade in the state that it is in, and tells whoever follows it what
    /// the next start makes of that. Returns when they have heard.
    pub(crate) async fn stop(&self, actors: &Actors) {
        if mem::replace(&mut *self.stopped.lock().await, true) {
            return;
        }
        let state = self.state.lock().clone();
        let Ok(next) = state.clone().apply(Event::HostDied) else {
            return;
        };
        let Some(so_far) = self.report(actors).filter(|_| !state.is_over()) else {
            return;
        };
        self.tell(Progress::Ended(UpgradeReport {
            outcome: next.outcome(),
            ended_ms: unix_ms(),
            reason: Some(match next {
                State::Cancelled { .. } => STOPPED_BEFORE.to_owned(),
                State::Stuck { reason } => reason.text,
                _ => STOPPED.to_owned(),
            }),
            ..so_far.report
        }));
        self.progress.closed().await;
    }

    pub(crate) fn listen(&self) -> broadcast::Receiver<Progress> {
        self.progress.subscribe()
    }

    /// Its number in the history.
    pub(crate) fn id(&self) -> u64 {
        self.id
    }

    pub(crate) fn state(&self) -> State {
        self.state.lock().clone()
    }

    pub(crate) fn is_over(&self) -> bool {
        self.state.lock().is_over()
    }

    /// Whether it is an operator's way back from a permanent release.
    pub(crate) fn is_rollback(&self) -> bool {
        self.rollback
    }

    pub(crate) fn busy(&self) -> RefusedUpgrade {
        RefusedUpgrade::Busy {
            from: self.plan.from.clone(),
            to: self.plan.to.clone(),
            state: self.state.lock().name(),
        }
    }

    /// Takes an operator's wish. Under the state's lock, so that an upgrade that has just
    /// ended is not waited for.
    pub(crate) fn ask(
        &self,
        asked: Asked,
        by: &Asker,
    ) -> Result<broadcast::Receiver<Progress>, RefusedUpgrade> {
        let state = self.state.lock();
        let too_late = |wish| RefusedUpgrade::TooLate {
            state: state.name(),
            wish,
        };
        match (&*state, &asked) {
            (State::RollingBack { .. } | State::Stuck { .. }, Asked::Commit) => {
                return Err(too_late("commit"));
            }
            (state, _) if state.is_over() => return Err(too_late("change")),
            _ => {}
        }
        let is_under_way = match &*state {
            // An operator has looked, and wants it to be tried again.
            State::Stuck { .. } => false,
            State::RollingBack { .. } => true,
            // A rollback that is asked for again is the one under way: to take that back
            // would lead up again.
            _ => self.rollback && asked == Asked::RollBack,
        };
        let progress = self.progress.subscribe();
        let is_commit = asked == Asked::Commit;
        self.write_down(if is_commit { "commit" } else { "rollback" }, by);
        // A pause ends when the wish is heeded, and not before: an upgrade that goes on
        // first might go further than anyone wanted.
        if !is_under_way && !self.wishes.want(asked) {
            return Err(RefusedUpgrade::Committing {
                to: self.plan.to.clone(),
            });
        }
        Ok(progress)
    }

    /// So many actors have been rehearsed, of `total`.
    pub(crate) fn rehearsed(&self, rehearsed: u64, total: u64) {
        *self.rehearsing.lock() = Some(Rehearsing { rehearsed, total });
        self.tell(Progress::Rehearsed { rehearsed, total });
    }

    /// So many actors are of plugins that move.
    pub(crate) fn counted(&self, moving: u64) {
        // Once: who comes or goes meanwhile makes no difference that matters.
        let _again = self.moving.set(moving);
    }

    /// About how many actors come over in this state: of all that there are, where nobody has
    /// counted those of the plugins that move, the share of a canary, which is one by key.
    pub(crate) fn called(&self, actors: &Actors) -> u64 {
        let migrated = actors.migrations().migrated();
        let counted = self.moving.get().copied();
        let all = counted.unwrap_or_else(|| actors.journal().known());
        let called = match self.state.lock().share() {
            Some(share) => {
                let millionths = u128::from(all) * u128::from(share.millionths());
                u64::try_from(millionths.div_ceil(1_000_000)).unwrap_or(all)
            }
            None => all,
        };
        called.max(migrated)
    }

    /// Goes on, if it was paused.
    pub(crate) fn resume(&self) {
        self.pace.lock().resume();
    }

    /// Stops the sweep, the ramp and the clock, or lets them go on. To say it twice is
    /// to say it once.
    pub(crate) fn pause(&self, paused: bool, by: &Asker) -> Result<(), RefusedUpgrade> {
        let wish = if paused { "pause" } else { "resume" };
        {
            let state = self.state.lock();
            let state_name = state.name();
            // A commit closes under the same lock: a pause is heeded, or refused.
            let mut pace = self.pace.lock();
            match &*state {
                State::Canary { .. } | State::Switching | State::Probation
                    if !self.rollback && !self.wishes.is_closed() => {}
                State::Planned | State::Verified | State::Rehearsed | State::Staged => {
                    return Err(RefusedUpgrade::TooEarly {
                        state: state_name,
                        wish,
                    });
                }
                _ => {
                    return Err(RefusedUpgrade::TooLate {
                        state: state_name,
                        wish,
                    });
                }
            }
            match paused {
                true => pace.pause(),
                false => pace.resume(),
            }
        }
        self.write_down(wish, by);
        self.tell(Progress::Said {
            text: match paused {
                true => "paused: who has come over stays; others still come at their next message"
                    .to_owned(),
                false => "it goes on".to_owned(),
            },
        });
        self.wishes.want(Asked::Look);
        Ok(())
    }

    /// Takes no wish from now on but to commit, unless one is to be heeded first.
    pub(crate) fn close(&self) -> Closed {
        let pace = self.pace.lock();
        match pace.paused {
            Some(_) => Closed::Paused,
            None if self.wishes.close() => Closed::ToAll,
            None => Closed::RollsBack,
        }
    }

    /// Pauses it because an operator has to decide, for the reason in `text`.
    pub(crate) fn pause_with(&self, text: String) {
        self.pace.lock().pause();
        self.say(&text);
    }

    pub(crate) fn is_paused(&self) -> bool {
        self.pace.lock().paused.is_some()
    }

    /// For how long it has gone on without a pause. None: it is paused.
    pub(crate) fn goes_on_for(&self) -> Option<Duration> {
        self.pace.lock().goes_on_for()
    }

    /// For how long it was paused, up to now.
    pub(crate) fn paused_ms(&self) -> u64 {
        let paused = self.pace.lock().paused_for();
        u64::try_from(paused.as_millis()).unwrap_or(u64::MAX)
    }

    /// A step is watched for so long.
    pub(crate) fn watch(&self, mut window: Window) {
        let mut pace = self.pace.lock();
        if pace.paused.is_some() {
            window.pause(Instant::now());
        }
        pace.remark = None;
        pace.window = Some(window);
    }

    /// A step is watched no more.
    pub(crate) fn watched(&self) {
        self.pace.lock().window = None;
    }

    /// Whether it is paused, and the window as it is now.
    pub(crate) fn window(&self) -> (bool, Option<Window>) {
        let pace = self.pace.lock();
        (pace.paused.is_some(), pace.window.clone())
    }

    fn write_down(&self, what: &str, by: &Asker) {
        let mut noted = self.noted.lock();
        if noted.len() < NOTED_MAX {
            noted.push(asked(what, &(), by));
        }
    }

    /// Wishes since the last time that this was asked.
    pub(crate) fn take_noted(&self) -> Vec<Noted> {
        mem::take(&mut *self.noted.lock())
    }

    /// Where a rollback leads that is asked for now.
    pub(crate) fn goes_back_to(&self) -> &Version {
        match self.rollback {
            true => &self.plan.to,
            false => &self.plan.from,
        }
    }

    pub(crate) fn status(&self, actors: &std::sync::Arc<Actors>) -> UpgradeStatus {
        let state = self.state.lock().clone();
        let migrated = state.came_over(actors.migrations().migrated());
        let called = self.called(actors);
        let busy = actors.behind_and_busy(BUSY_MIN, NAMED_ACTORS_MAX);
        let pace = self.pace.lock();
        let left = pace.window.as_ref().map(|it| it.left(Instant::now()));
        // A canary is watched when its share has come.
        let called = match state {
            State::Canary { .. } if left.is_none() => called,
            State::Switching | State::RollingBack { .. } => called,
            _ => 0,
        };
        UpgradeStatus {
            id: self.id,
            from: self.plan.from.clone(),
            to: self.plan.to.clone(),
            state: state.name().to_owned(),
            rehearsing: match state {
                State::Verified => *self.rehearsing.lock(),
                _ => None,
            },
            migrated,
            remaining: called.saturating_sub(migrated),
            probation_left_s: match state {
                State::Canary { .. } | State::Probation => {
                    Some(left.unwrap_or_default().as_secs_f64().ceil() as u64)
                }
                _ => None,
            },
            share: state.share(),
            paused: pace.paused.is_some(),
            remark: pace.remark.clone(),
            busy: busy
                .into_iter()
                .map(|running| SlowHandler {
                    actor: running.actor,
                    event: running.event,
                    running_ms: u64::try_from(running.for_.as_millis()).unwrap_or(u64::MAX),
                })
                .collect(),
            reason: state.reason().map(|reason| reason.text.clone()),
            way_back: actors.migrations().way_back(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::samples::upgrade;
    use crate::state::Reason;

    fn running(state: State, rollback: bool) -> Running {
        let upgrade = Upgrade {
            rollback,
            ..upgrade(state)
        };
        Running::new(&upgrade, broadcast::channel(4).0)
    }

    fn ask(running: &Running, asked: Asked) -> Result<(), RefusedUpgrade> {
        running.ask(asked, &Asker::default()).map(drop)
    }

    fn reason() -> Reason {
        Reason::blameless("why")
    }

    /// What there is to report of one that is in this state.
    fn so_far(state: &State) -> UpgradeReport {
        UpgradeReport {
            from: Version::new(0, 1, 0),
            to: Version::new(0, 2, 0),
            outcome: state.outcome(),
            rollback: false,
            actors_migrated: 0,
            pause_us: Default::default(),
            rehearsal: None,
            config: Vec::new(),
            duration_ms: 1,
            ended_ms: 0,
            paused_ms: 0,
            remark: None,
            reason: state.reason().map(|reason| reason.text.clone()),
            way_back: Box::default(),
        }
    }

    fn enter(running: &Running, state: &State) {
        running.enter(state, so_far(state));
    }

    #[test]
    fn what_is_stuck_is_tried_again_by_a_rollback_also_where_it_is_one() {
        for rollback in [false, true] {
            let stuck = running(State::Stuck { reason: reason() }, rollback);
            ask(&stuck, Asked::RollBack).unwrap();
            assert_eq!(stuck.wishes.take(), Some(Asked::RollBack));
            let back = running(State::RollingBack { reason: reason() }, rollback);
            ask(&back, Asked::RollBack).unwrap();
            assert_eq!(back.wishes.take(), None, "it goes back already");
            ask(&back, Asked::Commit).unwrap_err();
        }
        // To take a rollback back would lead up again.
        let switching = running(State::Switching, true);
        ask(&switching, Asked::RollBack).unwrap();
        assert_eq!(switching.wishes.take(), None);
    }

    #[test]
    fn a_pause_ends_when_the_wish_is_heeded_and_not_before() {
        let share = "5%".parse().unwrap();
        let canary = running(State::Canary { share }, false);
        canary.pause_with("decide".to_owned());
        for asked in [Asked::RollBack, Asked::Commit] {
            ask(&canary, asked).unwrap();
            assert!(canary.is_paused(), "{asked:?}");
        }
        enter(&canary, &State::RollingBack { reason: reason() });
        assert!(!canary.is_paused());
        assert_eq!(canary.wishes.take(), None, "there is nothing left to wish");
    }

    #[test]
    fn a_wish_is_kept_where_the_same_state_is_entered_once_more() {
        // A start writes what it has found before it goes on.
        let state = State::Stuck { reason: reason() };
        let stuck = running(state.clone(), false);
        let mut said = stuck.ask(Asked::RollBack, &Asker::default()).unwrap();
        enter(&stuck, &state);
        assert!(matches!(said.try_recv(), Ok(Progress::State { .. })));
        assert!(said.try_recv().is_err(), "it goes on for who has asked");
        assert_eq!(stuck.wishes.take(), Some(Asked::RollBack));
        // A way back for one reason more.
        let back = running(State::RollingBack { reason: reason() }, false);
        back.wishes.want(Asked::Look);
        let reason = Reason::blameless("why; it does not return");
        enter(&back, &State::RollingBack { reason });
        assert_eq!(back.wishes.take(), Some(Asked::Look));
    }

    #[test]
    fn how_long_it_has_gone_on_begins_anew_behind_a_pause() {
        let switching = running(State::Switching, false);
        let by = Asker::default();
        let goes_on = || switching.goes_on_for();
        assert_eq!(goes_on(), Some(Duration::MAX));
        switching.pause(true, &by).unwrap();
        assert_eq!(goes_on(), None);
        switching.pause(false, &by).unwrap();
        assert!(goes_on().is_some_and(|it| it < Duration::MAX));
    }

    #[test]
    fn a_rollback_that_comes_behind_the_commit_is_refused() {
        let probation = running(State::Probation, false);
        let window = Window::open(Duration::from_secs(1), 1, Instant::now());
        probation.watch(window);
        // A pause that is confirmed is heeded first.
        probation.pause(true, &Asker::default()).unwrap();
        assert_eq!(probation.close(), Closed::Paused);
        probation.pause(false, &Asker::default()).unwrap();
        assert_eq!(probation.close(), Closed::ToAll);
        let refused = ask(&probation, Asked::RollBack).unwrap_err();
        assert_eq!(refused.reason(), "too_late");
        assert!(refused.to_string().contains("0.2.0"), "{refused}");
        let refused = probation.pause(true, &Asker::default()).unwrap_err();
        assert_eq!(refused.reason(), "too_late");
        ask(&probation, Asked::Commit).unwrap();
    }
}
