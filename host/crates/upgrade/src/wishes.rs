//! What operators want of an upgrade that is under way, until it is heeded.
//!
//! Flags, and no queue: what is wanted twice is wanted once, and no wish is lost because
//! others wait.

use parking_lot::Mutex;
use tokio::sync::Notify;

/// What an operator may ask of an upgrade that is under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asked {
    /// Commit as soon as everyone has come over.
    Commit,
    /// Go back.
    RollBack,
    /// It was paused, or goes on.
    Look,
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Wishes {
    wanted: Mutex<Wanted>,
    told: Notify,
}

#[derive(Debug, Default)]
struct Wanted {
    roll_back: bool,
    commit: bool,
    look: bool,
    /// The commit is being written: nothing takes it back any more.
    closed: bool,
}

impl Wishes {
    /// Takes a wish; false: it comes too late.
    pub(crate) fn want(&self, asked: Asked) -> bool {
        {
            let mut wanted = self.wanted.lock();
            match asked {
                Asked::RollBack if wanted.closed => return false,
                Asked::RollBack => wanted.roll_back = true,
                Asked::Commit => wanted.commit = true,
                Asked::Look => wanted.look = true,
            }
        }
        self.told.notify_one();
        true
    }

    /// The wish that weighs most, if there is one.
    pub(crate) fn take(&self) -> Option<Asked> {
        let mut wanted = self.wanted.lock();
        let Wanted {
            roll_back,
            commit,
            look,
            ..
        } = &mut *wanted;
        let mut flags = [
            (roll_back, Asked::RollBack),
            (commit, Asked::Commit),
            (look, Asked::Look),
        ]
        .into_iter();
        flags.find_map(|(flag, asked)| std::mem::take(flag).then_some(asked))
    }

    /// Waits for a wish. One that waits and is dropped takes none with it.
    pub(crate) async fn heard(&self) -> Asked {
        loop {
            if let Some(asked) = self.take() {
                return asked;
            }
            self.told.notified().await;
        }
    }

    /// Forgets what is wanted: what happens makes it moot.
    pub(crate) fn forget(&self) {
        let mut wanted = self.wanted.lock();
        *wanted = Wanted {
            closed: wanted.closed,
            ..Wanted::default()
        };
    }

    /// Takes no wish to go back from now on; false where there is one.
    pub(crate) fn close(&self) -> bool {
        let mut wanted = self.wanted.lock();
        wanted.closed |= !wanted.roll_back;
        wanted.closed
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.wanted.lock().closed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_wish_is_lost_and_the_way_back_weighs_most() {
        let wishes = Wishes::default();
        for _ in 0..100 {
            assert!(wishes.want(Asked::Look));
        }
        assert!(wishes.want(Asked::Commit));
        assert!(wishes.want(Asked::RollBack));
        for asked in [Asked::RollBack, Asked::Commit, Asked::Look] {
            assert_eq!(wishes.take(), Some(asked));
        }
        assert_eq!(wishes.take(), None);
    }

    #[test]
    fn a_rollback_comes_before_the_commit_or_is_refused() {
        let wishes = Wishes::default();
        assert!(wishes.want(Asked::RollBack));
        assert!(!wishes.close(), "it is heeded first");
        assert_eq!(wishes.take(), Some(Asked::RollBack));
        assert!(wishes.close());
        assert!(!wishes.want(Asked::RollBack));
        assert!(wishes.want(Asked::Commit));
    }

    #[tokio::test]
    async fn who_waits_hears_of_a_wish_that_came_before_or_comes_later() {
        let wishes = std::sync::Arc::new(Wishes::default());
        wishes.want(Asked::Look);
        assert_eq!(wishes.heard().await, Asked::Look);
        let waiting = tokio::spawn({
            let wishes = std::sync::Arc::clone(&wishes);
            async move { wishes.heard().await }
        });
        tokio::task::yield_now().await;
        wishes.want(Asked::RollBack);
        assert_eq!(waiting.await.unwrap(), Asked::RollBack);
    }
}
