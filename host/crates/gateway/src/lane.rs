//! The calls of one connection to one topic: taken up in the order in which they
//! came, and away from the connection's own task, so that a slow actor holds up
//! neither heartbeats nor other topics.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Waker};

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use host_actors::Actors;
use host_model::ActorId;
use parking_lot::Mutex;
use tokio_util::task::TaskTracker;

use crate::limits::PIPELINED_MAX;
use crate::outbound::{Delivery, Outbound};
use crate::session::{Answered, Call};

/// A connection's lanes: one for each topic with calls under way, none otherwise.
#[derive(Debug, Default)]
pub(crate) struct Lanes(Vec<(ActorId, Arc<Lane>)>);

/// The calls to one topic, and whether a task works on them.
#[derive(Debug, Default)]
struct Lane {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    waiting: VecDeque<Box<Call>>,
    running: bool,
    waker: Option<Waker>,
}

impl Lanes {
    /// Adds a call behind those to the same topic. To be called on the data
    /// runtime; the tasks are the tracker's.
    pub(crate) fn add(
        &mut self,
        call: Box<Call>,
        actors: &Arc<Actors>,
        outbound: &Arc<Outbound>,
        tasks: &TaskTracker,
    ) {
        let topic = &call.request.actor;
        let index = self.0.iter().position(|(of, _)| of == topic);
        let index = index.unwrap_or_else(|| {
            self.0.push((topic.clone(), Arc::default()));
            self.0.len() - 1
        });
        let lane = &self.0[index].1;
        if lane.add(call) {
            let lane = Arc::clone(lane);
            tasks.spawn(lane.run(Arc::clone(actors), Arc::clone(outbound)));
        }
    }

    /// Frees the lanes, when every call has been answered.
    pub(crate) fn clear(&mut self) {
        self.0 = Vec::new();
    }
}

impl Lane {
    /// Queues the call; true if a task must be started for it.
    fn add(&self, call: Box<Call>) -> bool {
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
    fn next(&self, cx: &Context<'_>, last: bool) -> Option<Box<Call>> {
        let mut inner = self.inner.lock();
        let call = inner.waiting.pop_front();
        if call.is_none() {
            inner.running = !last;
            inner.waker = (!last).then(|| cx.waker().clone());
        }
        call
    }
}

async fn perform(actors: &Arc<Actors>, call: Box<Call>) -> Box<Answered> {
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
