//! Whether a new version does as well as it must: a pure function over what was counted.
//!
//! | looked at | compared with | a breach is |
//! |---|---|---|
//! | faults over calls | `max_fault_rate`, or what the old version does if that is more | above it |
//! | dead letters over calls, faults not among them | the same | above it |
//! | rejections for one reason over calls, of events that both know | `max_rejection_rate`, where the reason was rare | above it |
//! | runs slower than `max_p99_ratio` times the old version's p99, and than `SLOW_RUN_MIN` | one in a hundred | above it |
//! | the plugin's `health` | the old version's | ill alone, look after look |
//!
//! A rate is taken over `min_calls` at least, so one fault of three calls is judged like
//! one of a hundred: what can no longer be made good is a breach before the number is
//! reached. A pass needs the number. Where the old version has been seen too little, or
//! comparisons are of small numbers, doubt speaks for the new one: an upgrade that is
//! taken back without need costs trust, and faults are held to an absolute bound anyway.
//! Such a pass says so ([`not_compared`]).

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::time::Duration;

use host_actors::{Counts, EventCounts};
use host_model::Version;
use host_model::appup::Probation;
use host_model::histogram::Histogram;
use host_model::limits::{ILL_LOOKS_MAX, REJECTION_RISE_MIN, SLOW_RUN_MIN};

/// How many standard deviations a count may be off before it is more than chance.
const SIGMAS: f64 = 3.0;

/// Events that could not be compared and are named.
const NAMED_EVENTS_MAX: usize = 3;

/// A plugin's new version, and what it is held to.
#[derive(Debug, Clone)]
pub(crate) struct Trial {
    /// The plugin.
    pub(crate) plugin: String,
    /// Its new version.
    pub(crate) version: Version,
    /// What was counted of it in this step.
    pub(crate) new: Counts,
    /// What was counted of the version before: at the same time in a canary, before the
    /// switch otherwise. None for a plugin that is new.
    pub(crate) old: Option<Before>,
    /// What it is held to.
    pub(crate) limits: Probation,
    /// How it is.
    pub(crate) health: Health,
}

/// See [`Trial::old`].
#[derive(Debug, Clone)]
pub(crate) struct Before {
    /// The version.
    pub(crate) version: Version,
    /// What was counted of it.
    pub(crate) counts: Counts,
}

/// What a plugin says of its health.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Health {
    /// Looks in a row that found it ill, while the version before was well.
    pub(crate) ill_looks: u32,
    /// What it said at the last of them.
    pub(crate) said: String,
}

/// What comes of the trials.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// All is as it must be, and enough was seen to say so.
    Passed,
    /// Nothing is wrong, and too little was seen to say more.
    TooFew(TooFew),
    /// The new release must go.
    Breached(String),
}

impl Verdict {
    /// Whether an operator may let it pass who has been told how little was seen.
    pub(crate) fn may_be_passed(&self) -> bool {
        match self {
            Self::Passed => true,
            Self::TooFew(few) => !few.is_ill,
            Self::Breached(_) => false,
        }
    }
}

/// See [`Verdict::TooFew`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TooFew {
    /// In words: `donations 0.2.0 has had 3 of at least 100 calls`.
    pub(crate) text: String,
    /// Whether a plugin said at the last look that it is not well: the next looks tell
    /// whether that is a breach, and nothing is passed meanwhile.
    pub(crate) is_ill: bool,
}

/// Judges a release by all its trials. The first breach counts; without one, everything
/// that is used must have been seen enough.
#[must_use]
pub(crate) fn judge(trials: &[Trial]) -> Verdict {
    if let Some(breach) = trials.iter().find_map(breach) {
        return Verdict::Breached(breach);
    }
    // A plugin that nobody has asked for anything, now or before, shows nothing; but if
    // that is true of all, nothing was seen at all.
    let is_used = |trial: &&Trial| {
        trial.new.calls() > 0 || trial.old.as_ref().is_some_and(|old| old.counts.calls() > 0)
    };
    let any_is_used = trials.iter().any(|trial| is_used(&trial));
    let is_ill = trials.iter().any(|trial| trial.health.ill_looks > 0);
    // Who is ill is heard, whether anybody has asked it for anything or not.
    let asked = trials
        .iter()
        .filter(|trial| !any_is_used || is_used(trial) || trial.health.ill_looks > 0);
    let few: Vec<String> = asked.filter_map(too_few).collect();
    if few.is_empty() {
        return Verdict::Passed;
    }
    Verdict::TooFew(TooFew {
        text: few.join(", "),
        is_ill,
    })
}

fn too_few(trial: &Trial) -> Option<String> {
    let (calls, least) = (trial.new.calls(), trial.limits.min_calls);
    // One look that finds it ill is no breach yet, and no pass either.
    if trial.health.ill_looks > 0 {
        return Some(format!(
            "{} is not well: {}",
            trial.name(),
            trial.health.said
        ));
    }
    (calls < least).then(|| format!("{} has had {calls} of at least {least} calls", trial.name()))
}

/// What a pass leaves open: in what the new version was held against nothing, for too little was
/// seen of the version before. What only the new one knows has nothing to be held against, and
/// what it was hardly called for itself says nothing of it.
#[must_use]
pub(crate) fn not_compared(trials: &[Trial]) -> Option<String> {
    let open: Vec<_> = trials.iter().filter_map(open).collect();
    (!open.is_empty()).then(|| format!("too little was seen to compare {}", open.join("; ")))
}

/// As in: `donations 0.2.0 with 0.1.0 in rejections and in the time of donate, refund and 2 more`.
fn open(trial: &Trial) -> Option<String> {
    let old = trial.old.as_ref()?;
    let known = |name: &str| old.counts.events.contains_key(name);
    let is_enough = |event: &EventCounts| event.took_ns.count() >= trial.limits.min_calls;
    let seen = trial.new.events.iter();
    let seen = seen.filter(|(name, event)| known(name) && is_enough(event));
    let mut untimed: Vec<_> = seen
        .filter(|(name, event)| timed_before(trial, name, event).is_none())
        .collect();
    // What is called most says most.
    untimed.sort_by_key(|(_, event)| Reverse(event.calls));
    let rejections = trial.new.calls() > 0 && common(trial).is_none();
    let rejections = rejections.then(|| "in rejections".to_owned());
    let times = named(&untimed).map(|events| format!("in the time of {events}"));
    let open: Vec<_> = rejections.into_iter().chain(times).collect();
    (!open.is_empty()).then(|| {
        let (name, before) = (trial.name(), &old.version);
        format!("{name} with {before} {}", open.join(" and "))
    })
}

/// The first few by name, and how many others there are.
fn named(events: &[(&String, &EventCounts)]) -> Option<String> {
    let first = events.iter().take(NAMED_EVENTS_MAX);
    let first: Vec<_> = first.map(|(name, _)| name.as_str()).collect();
    let more = match events.len() - first.len() {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    (!first.is_empty()).then(|| first.join(", ") + &more)
}

/// What is wrong with a new version, in a sentence.
fn breach(trial: &Trial) -> Option<String> {
    let found = ill(trial)
        .or_else(|| faulty(trial))
        .or_else(|| lossy(trial))
        .or_else(|| refusing(trial))
        .or_else(|| slow(trial))?;
    Some(format!("{}: {found}", trial.name()))
}

fn ill(trial: &Trial) -> Option<String> {
    let is_ill = trial.health.ill_looks >= ILL_LOOKS_MAX;
    is_ill.then(|| format!("it says that it is not well: {}", trial.health.said))
}

/// Faults, of all calls, or of one event that fails again and again.
fn faulty(trial: &Trial) -> Option<String> {
    let worst = trial
        .new
        .events
        .iter()
        .max_by_key(|(_, event)| event.faults);
    let (name, worst) = worst.filter(|(_, event)| event.faults > 0)?;
    let faults = |counts: &Counts| sum(counts, |event| event.faults);
    let all = Rate {
        count: faults(&trial.new),
        calls: trial.new.calls(),
        least: trial.limits.min_calls,
    };
    let before = trial.before(|old| (faults(old), old.calls()));
    let allowed = all.allowed(trial.limits.max_fault_rate, before);
    if all.rate() > allowed {
        return Some(faults_said(name, worst, allowed));
    }
    // What is seldom asked for is lost in the rate of all. One fault alone may be one bad
    // message; the same again is not.
    let again = trial
        .new
        .events
        .iter()
        .filter(|(_, event)| event.faults > 1);
    let mut failing = again.filter_map(|(name, event)| {
        let own = Rate {
            count: event.faults,
            calls: event.calls,
            least: trial.limits.min_calls,
        };
        let before = trial.before(|old| {
            let old = old.events.get(name);
            old.map_or((0, 0), |old| (old.faults, old.calls))
        });
        let allowed = own.allowed(trial.limits.max_fault_rate, before);
        (own.rate() > allowed).then(|| faults_said(name, event, allowed))
    });
    failing.next()
}

fn faults_said(name: &str, event: &EventCounts, allowed: f64) -> String {
    let last = event.last_fault.as_deref().unwrap_or("nothing");
    format!(
        "{} of {} calls of {name} faulted ({}), at most {} are allowed; the last said: {last}",
        event.faults,
        event.calls,
        percent(event.faults as f64 / event.calls.max(1) as f64),
        percent(allowed)
    )
}

/// Messages that came to nothing without a fault: nobody is there to hear of them.
fn lossy(trial: &Trial) -> Option<String> {
    let letters = |counts: &Counts| sum(counts, |event| event.dead_letters);
    let rate = Rate {
        count: letters(&trial.new),
        calls: trial.new.calls(),
        least: trial.limits.min_calls,
    };
    let before = trial.before(|old| (letters(old), old.calls()));
    let allowed = rate.allowed(trial.limits.max_fault_rate, before);
    (rate.rate() > allowed).then(|| {
        format!(
            "{} of {} messages came to nothing and became dead letters ({}), at most {} are allowed; see `host dead-letters list`",
            rate.count,
            rate.calls,
            percent(rate.rate()),
            percent(allowed)
        )
    })
}

/// Calls, and of them rejections by their reason.
type Rejections = (u64, BTreeMap<String, u64>);

/// The rejections of the new version and of the old one, over the events that both know: none
/// where either has had too few calls of those.
fn common(trial: &Trial) -> Option<[Rejections; 2]> {
    let old = &trial.old.as_ref()?.counts;
    let of = |counts: &Counts, other: &Counts| -> Rejections {
        let (mut calls, mut reasons) = (0, BTreeMap::new());
        for (name, event) in &counts.events {
            if other.events.contains_key(name) {
                calls += event.calls;
                for (reason, count) in &event.rejections {
                    *reasons.entry(reason.clone()).or_default() += count;
                }
            }
        }
        (calls, reasons)
    };
    let both = [of(&trial.new, old), of(old, &trial.new)];
    let is_enough = |(calls, _): &Rejections| *calls >= trial.limits.min_calls;
    both.iter().all(is_enough).then_some(both)
}

/// Rejections for a reason that was rare and is frequent.
fn refusing(trial: &Trial) -> Option<String> {
    let old = trial.old.as_ref()?;
    let [(calls, reasons), (calls_before, reasons_before)] = common(trial)?;
    // What is frequent may have been so before, and hides nothing behind it.
    let breaches = reasons.into_iter().filter_map(|(reason, count)| {
        let rate = count as f64 / calls as f64;
        let count_before = reasons_before.get(&reason).copied().unwrap_or(0);
        let before = count_before as f64 / calls_before as f64;
        let is_breach =
            rate > trial.limits.max_rejection_rate && rate > before * REJECTION_RISE_MIN;
        is_breach.then_some((reason, count, before))
    });
    let (reason, count, before) = breaches.max_by_key(|(_, count, _)| *count)?;
    Some(format!(
        "{count} of {calls} calls were rejected as {reason} ({}), {} of those to {}; at most {} are allowed of what was rare",
        percent(count as f64 / calls as f64),
        percent(before),
        old.version,
        percent(trial.limits.max_rejection_rate)
    ))
}

/// What the time of an event is held against: nothing, where too few runs were timed of it now
/// or before.
fn timed_before<'a>(trial: &'a Trial, name: &str, now: &EventCounts) -> Option<&'a Histogram> {
    let before = &trial.old.as_ref()?.counts.events.get(name)?.took_ns;
    let is_enough = |times: &Histogram| times.count() >= trial.limits.min_calls;
    (is_enough(&now.took_ns) && is_enough(before)).then_some(before)
}

/// An event whose handler takes much longer than before.
fn slow(trial: &Trial) -> Option<String> {
    let old = trial.old.as_ref()?;
    let mut slow = trial.new.events.iter().filter_map(|(name, event)| {
        let before = timed_before(trial, name, event)?;
        let now = &event.took_ns;
        let bound_ns = slow_bound_ns(before, trial.limits.max_p99_ratio);
        let (above, runs) = (now.above(bound_ns), now.count());
        let may = runs as f64 * 0.01;
        (above as f64 > may + SIGMAS * may.sqrt()).then(|| {
            format!(
                "{above} of {runs} runs of {name} took longer than {} ({}), and at most 1 % may: the p99 of {} was {}, that of {} is {}",
                time(bound_ns),
                percent(above as f64 / runs as f64),
                old.version,
                time(before.quantile(0.99)),
                trial.version,
                time(now.quantile(0.99))
            )
        })
    });
    slow.next()
}

/// A run that takes longer is slow.
fn slow_bound_ns(before: &Histogram, ratio: f64) -> u64 {
    let floor = u64::try_from(SLOW_RUN_MIN.as_nanos()).unwrap_or(u64::MAX);
    let bound = before.quantile(0.99) as f64 * ratio;
    floor.max(bound as u64)
}

impl Trial {
    fn name(&self) -> String {
        format!("{} {}", self.plugin, self.version)
    }

    /// A count of the old version and the calls that it is of, where there was one.
    fn before(&self, pick: impl FnOnce(&Counts) -> (u64, u64)) -> Option<(u64, u64)> {
        self.old.as_ref().map(|old| pick(&old.counts))
    }
}

fn sum(counts: &Counts, pick: fn(&EventCounts) -> u64) -> u64 {
    counts.events.values().map(pick).sum()
}

/// So many of so many calls.
struct Rate {
    count: u64,
    calls: u64,
    least: u64,
}

impl Rate {
    fn rate(&self) -> f64 {
        self.count as f64 / self.calls.max(self.least).max(1) as f64
    }

    /// What it may be: `most`, or as much as the old version's rate and chance explain.
    fn allowed(&self, most: f64, before: Option<(u64, u64)>) -> f64 {
        let (count, calls) = before.unwrap_or((0, 0));
        if count == 0 || calls == 0 {
            return most;
        }
        let rate = count as f64 / calls as f64;
        let seen = self.calls.max(self.least).max(1) as f64;
        most.max(rate + SIGMAS * (rate / seen).sqrt())
    }
}

/// `2.5 %`, `0.1 %`, `15 %`.
fn percent(rate: f64) -> String {
    let rounded = format!("{:.2}", rate * 100.0);
    format!("{} %", rounded.trim_end_matches('0').trim_end_matches('.'))
}

/// `20 ms`, `850 µs`.
fn time(ns: u64) -> String {
    let took = Duration::from_nanos(ns);
    match took.as_millis() {
        0 => format!("{} µs", took.as_micros()),
        ms => format!("{ms} ms"),
    }
}

#[cfg(test)]
mod tests;
