//! Telling many: a task of the topic, as long as something waits to be told.
//!
//! # Invariants
//!
//! - A topic has one such task at most, and it tells one portion after the other: so
//!   each subscriber hears all in the one order.
//! - Who subscribes meanwhile hears what is told from then on; what was told before is in
//!   the answer to its join.

use std::ops::Bound;
use std::sync::Arc;

use host_model::limits::OUTBOUND_BYTES_MAX;
use host_model::{ActorId, Version};

use super::{Hub, Told, of_news};
use crate::limits::FAN_OUT_PORTION;
use crate::outbound::{ConnectionId, Delivery, Live};

/// What was told while the subscribers are told what came before.
#[derive(Debug)]
pub(super) struct Waiting {
    told: Vec<Told>,
    bytes: usize,
}

impl Waiting {
    pub(super) fn with(told: Told) -> Self {
        let mut waiting = Self {
            told: Vec::new(),
            bytes: 0,
        };
        waiting.push(told);
        waiting
    }

    /// Adds something. What is more than any client may have waiting nobody could take:
    /// then all of them join again instead, and are told what they have missed.
    pub(super) fn push(&mut self, told: Told) {
        self.bytes += told.bytes();
        if self.bytes > OUTBOUND_BYTES_MAX && !self.told.is_empty() {
            let why = "more has happened than could be told in time";
            self.told = vec![Told::Crashed(why.into())];
            self.bytes = 0;
            return;
        }
        self.told.push(told);
    }
}

impl Told {
    fn bytes(&self) -> usize {
        match self {
            Self::News(news) => news.event.len() + news.payload.get().len(),
            Self::Switched { .. } | Self::Crashed(_) => 0,
        }
    }
}

impl Hub {
    /// Tells the subscribers of a topic what waits, until nothing does.
    pub(super) async fn fan_out(self: Arc<Self>, topic: ActorId) {
        while let Some((told, stamps)) = self.take_waiting(&topic) {
            let told = Arc::new(told);
            for stamp in stamps {
                let (hub, told, of) = (Arc::clone(&self), Arc::clone(&told), stamp.clone());
                let id = topic.clone();
                let shape = move || hub.shape(&id, &told, &of);
                // A plugin's code may run, which nobody else must wait for.
                let shaped = tokio::task::spawn_blocking(shape).await;
                let lives = shaped.unwrap_or_else(|_| {
                    vec![Arc::new(Live::Crashed {
                        topic: topic.clone(),
                        reason: "what was told could not be encoded".into(),
                    })]
                });
                let mut behind = Bound::Unbounded;
                while let Some(last) = self.tell_portion(&topic, &stamp, behind, &lives) {
                    behind = Bound::Excluded(last);
                    tokio::task::yield_now().await;
                }
            }
        }
    }

    /// What waits, and the versions of those who are to hear it. None ends the task.
    pub(super) fn take_waiting(&self, id: &ActorId) -> Option<(Vec<Told>, Vec<Version>)> {
        let mut topics = self.shard(id).lock();
        let topic = topics.get_mut(id)?;
        let waiting = topic.waiting.as_mut()?;
        let told = std::mem::take(&mut waiting.told);
        waiting.bytes = 0;
        if told.is_empty() {
            topic.waiting = None;
            if topic.is_over() {
                topics.remove(id);
            }
            return None;
        }
        let stamps = topic.groups.iter().map(|group| group.stamp.clone());
        Some((told, stamps.collect()))
    }

    /// What was told, as clients of a version are told it.
    fn shape(&self, id: &ActorId, told: &[Told], stamp: &Version) -> Vec<Arc<Live>> {
        let actors = self.attached.get().and_then(|it| it.actors.upgrade());
        let one = |told: &Told| match (told, &actors) {
            (Told::News(news), Some(actors)) => match actors.news_for(news, stamp) {
                Ok(shaped) => Some(of_news(&*shaped?)),
                // They join again, under a version that is here.
                Err(unknown) => Some(Live::Crashed {
                    topic: id.clone(),
                    reason: unknown.to_string().into(),
                }),
            },
            _ => Some(told.as_it_is(id)),
        };
        told.iter().filter_map(one).map(Arc::new).collect()
    }

    /// Tells some subscribers; gives the last of them, if there was one.
    fn tell_portion(
        &self,
        id: &ActorId,
        stamp: &Version,
        behind: Bound<ConnectionId>,
        lives: &[Arc<Live>],
    ) -> Option<ConnectionId> {
        let topics = self.shard(id).lock();
        let mut groups = topics.get(id)?.groups.iter();
        let group = groups.find(|group| group.stamp == *stamp)?;
        let portion = group.subscribers.range((behind, Bound::Unbounded));
        let mut last = None;
        for (connection, outbound) in portion.take(FAN_OUT_PORTION) {
            outbound.push_all(lives.iter().cloned().map(Delivery::Live));
            last = Some(*connection);
        }
        last
    }
}
