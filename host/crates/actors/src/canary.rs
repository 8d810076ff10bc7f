//! Which release rules, and for whom: during a canary a share of the actors is ahead of
//! it, in a newer one.
//!
//! Who is ahead is decided by the actor's key alone, so that it is the same at every
//! message and after every restart, and a wider share has all of a narrower one.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use host_journal::CastId;
use host_model::{ActorId, Share, Version};
use sha2::{Digest, Sha256};

use crate::Actors;
use crate::decide::Command;
use crate::live::Live;
use crate::message::CallError;
use crate::release::Release;
use crate::slots::Claim;
use crate::topics::Versions;

/// Places that a key may have: as many as a share has millionths.
const PLACES: u64 = 1_000_000;

/// The release that rules, and the one that a share of the actors is ahead in. Changes
/// by one atomic store.
#[derive(Debug)]
pub(crate) struct Reign {
    /// Rises with each: see [`At::generation`](crate::slots::At::generation).
    pub(crate) generation: u32,
    release: Arc<Release>,
    canary: Option<Canary>,
    /// Which versions ruled before, and for whom; none before the first.
    pub(crate) before: Versions,
}

/// A share of the actors, and the release that it belongs to.
#[derive(Debug, Clone)]
pub struct Canary {
    /// Which actors.
    pub share: Share,
    /// Their release.
    pub release: Arc<Release>,
}

impl Reign {
    /// The first.
    pub(crate) fn of(release: Arc<Release>) -> Self {
        Self {
            generation: Self::FIRST,
            release,
            canary: None,
            before: Versions::default(),
        }
    }

    /// Generation of the first.
    pub(crate) const FIRST: u32 = 1;

    /// Whether an actor comes over to the newest release that there is.
    pub(crate) fn is_called(&self, id: &ActorId) -> bool {
        let canary = self.canary.as_ref();
        canary.is_none_or(|canary| is_within(canary.share, id))
    }

    /// The release that an actor belongs to.
    pub(crate) fn release_of(&self, id: &ActorId) -> &Arc<Release> {
        match &self.canary {
            Some(canary) if is_within(canary.share, id) => &canary.release,
            _ => &self.release,
        }
    }

    fn versions(&self) -> Versions {
        let ahead = self.canary.as_ref();
        Versions::new(&self.release, ahead.map(|it| (it.share, &*it.release)))
    }

    /// The newest release that there is.
    pub(crate) fn newest(&self) -> &Arc<Release> {
        let canary = self.canary.as_ref();
        canary.map_or(&self.release, |canary| &canary.release)
    }

    /// The release that rules, and the one that a share is ahead in, the newest first.
    pub(crate) fn releases(&self) -> impl Iterator<Item = &Arc<Release>> {
        let ahead = self.canary.iter().map(|canary| &canary.release);
        ahead.chain([&self.release])
    }
}

impl Actors {
    /// The release that rules.
    #[must_use]
    pub fn release(&self) -> Arc<Release> {
        Arc::clone(&self.reign.load().release)
    }

    /// The release that an actor belongs to: the one that rules, or during a canary the
    /// one that it is ahead in.
    #[must_use]
    pub fn release_of(&self, id: &ActorId) -> Arc<Release> {
        Arc::clone(self.reign.load().release_of(id))
    }

    /// The share that is ahead of the release that rules, while there is one.
    #[must_use]
    pub fn canary(&self) -> Option<Canary> {
        self.reign.load().canary.clone()
    }

    /// Lets another release rule from now on, for everyone: an actor comes over to it
    /// before its next message, and the rest when a [`Actors::sweep`] reaches them.
    pub fn install(&self, release: impl Into<Arc<Release>>) {
        self.reign(release.into(), None);
    }

    /// Lets a share of the actors be ahead of the release that rules, in another one.
    /// They come over as after [`Actors::install`]; the others stay as they are. An
    /// actor that is ahead stays so while shares only grow.
    pub fn install_canary(&self, canary: Canary) {
        self.reign(self.release(), Some(canary));
    }

    fn reign(&self, release: Arc<Release>, canary: Option<Canary>) {
        let before = self.reign.load();
        let generation = before.generation + 1;
        let before = before.versions();
        self.reign.store(Arc::new(Reign {
            generation,
            release,
            canary,
            before,
        }));
        self.generation.store(generation, Ordering::SeqCst);
        // Whoever did not know a cast may know it now.
        self.casts.let_go();
    }

    /// Whether a cast to the claimed actor stays a row for now: it is in a newer shape than
    /// the actor's, which does not know it yet and will when the canary is over. Or another
    /// release has been installed since the actor came over: it may be called by now.
    pub(crate) fn waits_for_its_target(
        &self,
        claim: &Claim,
        id: CastId,
        command: &Command,
    ) -> bool {
        let (Some(live), Some(shape)) = (&claim.live, &command.shape) else {
            return false;
        };
        let own = live.code();
        if shape <= own.version() {
            return false;
        }
        let reign = self.reign.load();
        let (generation, is_called) = (reign.generation, reign.is_called(&claim.slot.id));
        drop(reign);
        let waits = match claim.at.generation == generation {
            true => !is_called && self.is_unknown_to(live, shape, command),
            false => true,
        };
        if waits {
            self.let_wait(id, claim.at.generation);
        }
        waits
    }

    fn is_unknown_to(&self, live: &Live, shape: &Version, command: &Command) -> bool {
        let own = live.code();
        let commands = &own.plugin().manifest().commands;
        match self.convert(live, shape, &command.event, &command.payload) {
            Ok(Some((event, _))) => !commands.contains(&event),
            Ok(None) => !commands.contains(&command.event),
            Err(error) => matches!(error, CallError::Rejected(_)),
        }
    }

    /// Leaves a cast a row until another release is installed than the one of
    /// `generation`, under which its target did not know it.
    fn let_wait(&self, id: CastId, generation: u32) {
        self.casts.wait(id);
        if self.generation() != generation {
            self.casts.let_go();
        }
    }

    /// Whether a cast stays a row whose target's plugin was not there: the release that a
    /// share is ahead in has it, or one that was installed meanwhile.
    pub(crate) fn waits_for_a_plugin(&self, id: CastId, to: &ActorId) -> bool {
        let reign = self.reign.load();
        let waits = reign
            .releases()
            .any(|release| release.plugins.contains_key(to.plugin()));
        let is_there = reign.release_of(to).plugins.contains_key(to.plugin());
        let generation = reign.generation;
        drop(reign);
        match (waits, is_there) {
            (_, true) => self.casts.put_off(id),
            (true, false) => self.let_wait(id, generation),
            (false, false) => {}
        }
        waits
    }

    /// Name of the event whose counters live at this address, and the version that
    /// handles it.
    pub(crate) fn event_at(&self, addr: usize) -> Option<(String, Version)> {
        let reign = self.reign.load();
        reign.releases().find_map(|it| it.event_at(addr))
    }
}

/// Whether an actor is of the share.
pub(crate) fn is_within(share: Share, id: &ActorId) -> bool {
    place(id.key()) < u64::from(share.millionths())
}

/// Where a key stands among all: a digest, so that neighbours stand far apart, and that
/// anyone can work out beforehand who will be first.
fn place(key: &str) -> u64 {
    let digest = Sha256::digest(key);
    let first = digest.first_chunk().expect("a digest has 32 bytes");
    u64::from_be_bytes(*first) % PLACES
}

#[cfg(test)]
mod tests {
    use super::*;

    fn share(text: &str) -> Share {
        text.parse().unwrap()
    }

    fn ids() -> Vec<ActorId> {
        let id = |n| ActorId::new("donations", &format!("campaign-{n}")).unwrap();
        (0..20_000).map(id).collect()
    }

    #[test]
    fn a_share_is_about_as_large_as_it_says() {
        let ids = ids();
        for (text, least, most) in [
            ("1%", 150, 250),
            ("10%", 1_850, 2_150),
            ("50%", 9_700, 10_300),
        ] {
            let within = ids.iter().filter(|id| is_within(share(text), id)).count();
            assert!((least..=most).contains(&within), "{text}: {within}");
        }
        assert!(ids.iter().all(|id| is_within(Share::ALL, id)));
    }

    #[test]
    fn a_wider_share_has_all_of_a_narrower_one() {
        let shares = ["0.5%", "5%", "25%", "99.9%", "100%"].map(share);
        for id in ids() {
            let within = shares.map(|share| is_within(share, &id));
            assert!(within.is_sorted(), "{id}: {within:?}");
        }
    }

    #[test]
    fn a_place_is_the_same_for_ever_and_of_the_key_alone() {
        // The first eight bytes of `printf %s ramadan-2026 | sha256sum`, modulo a million.
        assert_eq!(place("ramadan-2026"), PLACE_OF_RAMADAN_2026);
        let (gift, payer) = ("donations:a".parse().unwrap(), "zakat:a".parse().unwrap());
        assert_eq!(
            is_within(share("50%"), &gift),
            is_within(share("50%"), &payer)
        );
    }

    const PLACE_OF_RAMADAN_2026: u64 = 672357;
}
