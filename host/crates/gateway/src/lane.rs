//! The calls of one connection to one topic: taken up in the order in which they
//! came, and away from the connection's own task, so that a slow actor holds up
//! neither heartbeats nor other topics.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Waker};

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use hashbrown::HashMap;
use hashbrown::hash_map::Entry;
use host_actors::{Actors, Place};
use host_model::ActorId;
use parking_lot::Mutex;
use tokio_util::task::TaskTracker;

use crate::limits::PIPELINED_MAX;
use crate::outbound::{Delivery, Outbound};
use crate::session::{Answered, Call};

/// A connection's lanes: one for each topic with calls under way, none otherwise.
#[derive(Debug, Default)]
pub(crate) struct Lanes(HashMap<ActorId, Open, foldhash::fast::RandomState>);

/// A lane that is in use.
#[derive(Debug, Default)]
struct Open {
    lane: Arc<Lane>,
    /// Its calls whose end the connection has not seen.
    calls: usize,
}

/// The calls to one topic, and whether a task works on them.
#[derive(Debug, Default)]
struct Lane {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    waiting: VecDeque<(Box<Call>, Place)>,
    running: bool,
    waker: Option<Waker>,
}

impl Lanes {
    /// Adds a call behind those to the same topic, or answers it at once where the host has
    /// no place for it. To be called on the data runtime; the tasks are the tracker's.
    pub(crate) fn add(
        &mut self,
        call: Box<Call>,
        actors: &Arc<Actors>,
        outbound: &Arc<Outbound>,
        tasks: &TaskTracker,
    ) {
        let lane = self.begin(&call.request.actor);
        let place = match actors.admit(call.request.payload.len()) {
            Ok(place) => place,
            Err(busy) => {
                let (ticket, result) = (call.ticket, Err(busy));
                return outbound.push(Delivery::Answered(Box::new(Answered { ticket, result })));
            }
        };
        if lane.add((call, place)) {
            let lane = Arc::clone(lane);
            tasks.spawn(lane.run(Arc::clone(actors), Arc::clone(outbound)));
        }
    }

    /// Whether a call to `topic` would be the only one.
    pub(crate) fn has_none(&self, topic: &ActorId) -> bool {
        !self.0.contains_key(topic)
    }

    /// Counts a call to `topic`, and gives its lane.
    fn begin(&mut self, topic: &ActorId) -> &Arc<Lane> {
        let open = self.0.entry(topic.clone()).or_default();
        open.calls += 1;
        &open.lane
    }

    /// Takes the end of a call to `topic`. A lane goes with the last one, and all memory
    /// with the last lane: a connection may always have calls under way, and visit ever
    /// more topics.
    pub(crate) fn answered(&mut self, topic: &ActorId) {
        if let Entry::Occupied(mut entry) = self.0.entry(topic.clone()) {
            entry.get_mut().calls -= 1;
            if entry.get().calls == 0 {
                entry.remove();
            }
        }
        if self.0.is_empty() {
            self.0 = HashMap::default();
        }
    }
}

impl Lane {
    /// Queues the call; true if a task must be started for it.
    fn add(&self, call: (Box<Call>, Place)) -> bool {
        let mut inner = self.inner.lock();
        inner.waiting.push_back(call);
        let waker = inner.waker.take();
        let start = !std::mem::replace(&mut inner.running, true);
        drop(inner);
        if let Some(waker) = waker {
            waker.wake();
        }
        start
    }

    /// Runs calls until none is left. A call takes its place with the actor when
    /// it is polled first, and they are polled first in their order: so they
    /// reach the actor in order, and still share group commits.
    async fn run(self: Arc<Self>, actors: Arc<Actors>, outbound: Arc<Outbound>) {
        let unfinished = Unfinished(&outbound);
        let mut under_way = FuturesUnordered::new();
        let mut next = |cx: &mut Context<'_>| {
            while under_way.len() < PIPELINED_MAX
                && let Some(call) = self.next(cx, under_way.is_empty())
            {
                under_way.push(perform(&actors, call));
            }
            under_way.poll_next_unpin(cx)
        };
        while let Some(answered) = poll_fn(&mut next).await {
            outbound.push(Delivery::Answered(answered));
        }
        std::mem::forget(unfinished);
    }

    /// The next call. Without one, the lane ends if nothing is under way, and
    /// remembers whom to wake otherwise.
    fn next(&self, cx: &Context<'_>, last: bool) -> Option<(Box<Call>, Place)> {
        let mut inner = self.inner.lock();
        let call = inner.waiting.pop_front();
        if call.is_none() {
            inner.running = !last;
            inner.waker = (!last).then(|| cx.waker().clone());
        }
        call
    }
}

async fn perform(actors: &Arc<Actors>, (call, _place): (Box<Call>, Place)) -> Box<Answered> {
    let Call { request, ticket } = *call;
    let result = actors.call(request).await;
    Box::new(Answered { ticket, result })
}

/// Ends the connection if the lane ends before its calls: by a panic, which is a
/// defect of the host, and which the client would otherwise wait out.
struct Unfinished<'a>(&'a Outbound);

impl Drop for Unfinished<'_> {
    fn drop(&mut self) {
        self.0.signal(|signals| signals.broken = true);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A client that is never without a call under way, over ever more topics.
    #[test]
    fn a_lane_goes_with_its_last_call() {
        let mut lanes = Lanes::default();
        let topic = |number: u32| -> ActorId { format!("donations:{number}").parse().unwrap() };
        lanes.begin(&topic(0));
        lanes.begin(&topic(0));
        lanes.answered(&topic(0));
        assert_eq!(lanes.0.len(), 1, "one call to it is under way still");
        for number in 1..1_000 {
            lanes.begin(&topic(number));
            lanes.answered(&topic(number - 1));
        }
        assert_eq!(lanes.0.len(), 1);
        lanes.answered(&topic(999));
        assert_eq!(lanes.0.capacity(), 0, "nothing under way costs nothing");
    }
}
