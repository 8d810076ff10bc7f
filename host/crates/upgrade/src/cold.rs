//! What a start needs that boots another release than the permanent one.

use std::sync::Arc;

use host_model::Version;
use host_model::control::{Extent, Progress};
use host_model::flight::Asker;
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;

use crate::book::{Book, BookError, Past};
use crate::engine::{Asks, Upgrader};
use crate::plan::plan_at_start;
use crate::refused::RefusedUpgrade;
use crate::run::Wish;
use crate::state::State;
use crate::wishes::Asked;

impl Upgrader {
    /// Waits until no upgrade is under way. The way back of one that is stuck is tried once
    /// more: whoever starts the host may have mended what it is stuck in.
    ///
    /// # Errors
    ///
    /// It is stuck, or the host ends: why, in a sentence.
    pub async fn rest(&self) -> Result<(), String> {
        let Some(running) = self.running() else {
            return Ok(());
        };
        let mut progress = running.listen();
        let (mut is_asked, mut is_tried) = (false, false);
        loop {
            match running.state() {
                State::Stuck { reason } if is_tried => {
                    return Err(format!("an upgrade is stuck: {}", reason.text));
                }
                State::Stuck { .. } if !is_asked => {
                    let asked = running.ask(Asked::RollBack, &Asker::default());
                    // What was said before is not heard again.
                    progress = asked.map_err(|refused| refused.to_string())?;
                    is_asked = true;
                }
                state if state.is_over() => return Ok(()),
                _ => {}
            }
            match progress.recv().await {
                Ok(Progress::State { state, .. }) if is_asked => {
                    is_tried |= state == "rolling_back"
                }
                Ok(Progress::Ended(_)) | Err(RecvError::Lagged(_)) => is_tried |= is_asked,
                Ok(_) => {}
                Err(RecvError::Closed) => {
                    return Err("an upgrade ended without a report".to_owned());
                }
            }
        }
    }

    /// Takes everyone to the release `to` before clients are served: an upgrade without
    /// probation, for nobody could be watched. `back_because`: back from a release that does
    /// not come up, for this reason, so who cannot come is set aside, and that release is
    /// failed once it is left. Blocking.
    ///
    /// # Errors
    ///
    /// [`RefusedUpgrade`]
    pub fn cold(
        self: &Arc<Self>,
        to: &Version,
        back_because: Option<&str>,
    ) -> Result<broadcast::Receiver<Progress>, RefusedUpgrade> {
        self.refuse_if_busy()?;
        self.refuse_if_failed(to)?;
        let has_run = self.has_run();
        let plan = self.plan_by(to, &|from, to, appups| {
            plan_at_start(from, to, appups, &has_run)
        })?;
        self.begin(
            plan,
            Wish {
                asks: Asks {
                    probation_s: Some(0),
                    rehearsal: match back_because {
                        Some(_) => Err("a way back is not delayed"),
                        None => Ok(Extent::default()),
                    },
                    ..Asks::default()
                },
                rollback: back_because.is_some(),
                failed_before: back_because.map(str::to_owned),
                ..Wish::default()
            },
        )
    }

    /// Whether a version of a plugin may have run here, as of now.
    pub(crate) fn has_run(&self) -> impl Fn(&str, &Version) -> bool + use<> {
        let booked = self.booked.lock().clone();
        move |plugin, version| booked.has_run(plugin, version)
    }

    /// Whether an upgrade to this release was rolled back for what it did, or it did not come
    /// up.
    #[must_use]
    pub fn has_failed(&self, version: &Version) -> bool {
        self.refuse_if_failed(version).is_err()
    }

    /// Whether an upgrade goes back.
    #[must_use]
    pub fn is_going_back(&self) -> bool {
        let running = self.running();
        running.is_some_and(|it| matches!(it.state(), State::RollingBack { .. }))
    }

    /// Marks a release that does not come up, so that it is not tried again by accident.
    ///
    /// # Errors
    ///
    /// The store would not have it.
    pub async fn mark_failed(&self, version: &Version, reason: &str) -> Result<(), BookError> {
        let book = Book::new().failed(version, reason);
        book.write(&self.actors).await?;
        let reason = reason.to_owned();
        let mut booked = self.booked.lock();
        booked
            .statuses
            .insert(version.clone(), Past::Failed { reason });
        Ok(())
    }
}
