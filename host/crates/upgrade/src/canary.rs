//! A canary: a share of the actors goes first, is watched, and grows step by step.

use std::collections::VecDeque;
use std::sync::Arc;

use host_actors::Canary;
use host_model::Share;
use host_model::control::UpgradeRequest;
use host_model::limits::RAMP_STEPS_MAX;

use crate::run::Run;
use crate::state::{Event, State};
use crate::trial::Baseline;
use crate::watch::Step;

/// The shares that go first, in order; all of them is no step but the switch.
///
/// # Errors
///
/// What is wrong with them, and what would be right.
pub(crate) fn ramp(request: &UpgradeRequest) -> Result<VecDeque<Share>, String> {
    let Some(first) = request.canary else {
        return match request.ramp.is_empty() {
            true => Ok(VecDeque::new()),
            false => Err("a ramp begins with a canary; say --canary 5% as well".to_owned()),
        };
    };
    let mut shares: VecDeque<Share> = [first].into_iter().chain(request.ramp.clone()).collect();
    if shares.len() > RAMP_STEPS_MAX {
        return Err(format!(
            "it has {} steps, and may have {RAMP_STEPS_MAX}",
            shares.len()
        ));
    }
    let steps = shares.iter().zip(shares.iter().skip(1));
    if let Some((before, after)) = steps.clone().find(|(before, after)| before >= after) {
        return Err(format!(
            "each step is larger than the one before, and {after} comes behind {before}"
        ));
    }
    if first == Share::ALL {
        return Err("a canary of 100% is none; leave it out".to_owned());
    }
    shares.retain(|share| *share != Share::ALL);
    Ok(shares)
}

impl Run {
    /// What comes next on the way up: a larger share, or everyone.
    pub(crate) fn next_step(&mut self) -> Event {
        match self.ramp.pop_front() {
            Some(share) => Event::ShareGrew { share },
            None => Event::SwitchBegan,
        }
    }

    /// Lets a share be ahead, brings it over, and watches it.
    pub(crate) async fn canary(&mut self, share: Share) -> Event {
        if let Err(reason) = self.still_wanted().await {
            return Event::Failed { reason };
        }
        let actors = Arc::clone(&self.upgrader.actors);
        let release = Arc::clone(self.staged.as_ref().expect("a canary follows a stage"));
        let plan = &self.upgrade.plan;
        self.baseline = Some(Baseline::take(plan, &actors.release(), &release, true));
        self.running.say(&format!("{share} of the actors go first"));
        actors.install_canary(Canary { share, release });
        if let Err(reason) = self.sweep(None).await.done() {
            return Event::Failed { reason };
        }
        match self.watch(self.window()).await {
            Step::Failed(reason) => Event::Failed { reason },
            Step::Over => self.next_step(),
            Step::Commit => {
                self.hurry();
                Event::SwitchBegan
            }
        }
    }

    /// An operator wants it to be permanent as soon as everyone has come over.
    pub(crate) fn hurry(&mut self) {
        self.asks.probation_s = Some(0);
        self.ramp.clear();
        // It is the end of a pause, too.
        self.running.resume();
    }
}

impl State {
    /// The share that is ahead, of a canary.
    pub(crate) fn share(&self) -> Option<Share> {
        match self {
            Self::Canary { share, .. } => Some(*share),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use host_model::Version;
    use host_model::control::Extent;

    use super::*;

    fn ramped(canary: Option<&str>, steps: &[&str]) -> Result<Vec<String>, String> {
        let share = |text: &&str| text.parse().unwrap();
        let request = UpgradeRequest {
            to: Version::new(0, 2, 0),
            probation_s: None,
            one_way: false,
            retry_failed: false,
            no_rehearsal: false,
            extent: Extent::default(),
            deadline_s: None,
            canary: canary.as_ref().map(share),
            ramp: steps.iter().map(share).collect(),
        };
        ramp(&request).map(|it| it.iter().map(Share::to_string).collect())
    }

    #[test]
    fn shares_grow_and_end_before_all() {
        assert_eq!(ramped(None, &[]).unwrap(), [""; 0]);
        assert_eq!(ramped(Some("5%"), &[]).unwrap(), ["5%"]);
        assert_eq!(ramped(Some("5%"), &["25%", "100%"]).unwrap(), ["5%", "25%"]);
    }

    #[test]
    fn a_ramp_that_does_not_grow_is_refused() {
        for (canary, steps, word) in [
            (None, vec!["25%"], "--canary"),
            (Some("25%"), vec!["25%"], "larger"),
            (Some("5%"), vec!["50%", "25%"], "25% comes behind 50%"),
            (Some("100%"), vec![], "leave it out"),
            (Some("100%"), vec!["100%"], "larger"),
            (Some("1%"), vec!["2%"; 16], "17 steps"),
        ] {
            let refused = ramped(canary, &steps).unwrap_err();
            assert!(refused.contains(word), "{canary:?} {steps:?}: {refused}");
        }
    }
}
