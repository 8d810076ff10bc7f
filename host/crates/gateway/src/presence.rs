//! Who is on a topic now, for those who asked to be shown and to see.
//!
//! Joins and leaves are gathered for a moment and told together: who was there gets a
//! `presence_diff`, who has come since gets the `presence_state`, each encoded once for
//! all. The client's class `Presence` keeps the list.

mod crowd;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use hashbrown::HashMap;
use host_model::{ActorId, Version};
use parking_lot::Mutex;

use crate::hub::Hub;
use crate::limits::{PRESENCE_EVERY, PRESENT_MAX};
use crate::outbound::{ConnectionId, Delivery, Live, Outbound};
use crate::phoenix;
use crowd::{Crowd, Meta};

/// The crowds of all topics that have one.
#[derive(Debug)]
pub(crate) struct Presences {
    crowds: Mutex<HashMap<ActorId, Crowd, foldhash::fast::RandomState>>,
    /// Of this process: what was named before a restart is named anew after it.
    life: u64,
    last: AtomicU64,
}

impl Default for Presences {
    fn default() -> Self {
        Self {
            crowds: Mutex::default(),
            life: getrandom::u64().unwrap_or_else(|_| now_s()),
            last: AtomicU64::new(0),
        }
    }
}

impl Presences {
    /// Someone is there from now on, under `key`, or a name of the connection's own. False
    /// where there is no room: then nothing is told.
    pub(crate) fn enter(
        &self,
        hub: &Arc<Hub>,
        topic: &ActorId,
        version: Version,
        key: Option<&str>,
        outbound: &Arc<Outbound>,
    ) -> bool {
        let number = self.last.fetch_add(1, Ordering::Relaxed);
        let own = || format!("{:x}-{:x}", self.life, outbound.id);
        let meta = Meta {
            key: key.map_or_else(own, str::to_owned),
            phx_ref: format!("{:x}.{number:x}", self.life),
            online_at: now_s(),
            version,
        };
        let mut crowds = self.crowds.lock();
        let crowd = crowds.entry(topic.clone()).or_default();
        crowd.leave(outbound.id);
        let has_room = crowd.len() < PRESENT_MAX;
        if has_room {
            crowd.enter(meta, outbound);
        }
        tell_soon(hub, topic, crowd);
        has_room
    }

    /// Someone is not there any more. Who was not, leaves nothing behind.
    pub(crate) fn leave(&self, hub: &Arc<Hub>, topic: &ActorId, connection: ConnectionId) {
        let mut crowds = self.crowds.lock();
        if let Some(crowd) = crowds.get_mut(topic)
            && crowd.leave(connection)
        {
            tell_soon(hub, topic, crowd);
        }
    }

    /// What is to be told now: whom, and what. None when nothing has changed.
    fn changes(&self, topic: &ActorId) -> Option<Vec<(Arc<Outbound>, Arc<Live>)>> {
        let mut crowds = self.crowds.lock();
        let crowd = crowds.get_mut(topic)?;
        let Some(changes) = crowd.changes() else {
            if crowd.len() == 0 {
                crowds.remove(topic);
            }
            return None;
        };
        let live = |event, payload: &[u8]| {
            Arc::new(Live::Presence {
                topic: topic.clone(),
                frame: phoenix::to_all(topic.as_str(), event, payload),
            })
        };
        let state = changes.state.map(|state| live("presence_state", &state));
        let diff = changes.diff.map(|diff| live("presence_diff", &diff));
        let new = changes.new.into_iter().zip(std::iter::repeat(state));
        let old = changes.old.into_iter().zip(std::iter::repeat(diff));
        let told = new.chain(old);
        Some(told.filter_map(|(to, live)| Some((to, live?))).collect())
    }
}

fn tell_soon(hub: &Arc<Hub>, topic: &ActorId, crowd: &mut Crowd) {
    if crowd.begin_telling() {
        hub.spawn(tell(Arc::clone(hub), topic.clone()));
    }
}

/// Tells a crowd what changes, not too often, until nothing does.
async fn tell(hub: Arc<Hub>, topic: ActorId) {
    while let Some(told) = hub.presences.changes(&topic) {
        for (outbound, live) in told {
            outbound.push(Delivery::Live(live));
        }
        tokio::select! {
            () = tokio::time::sleep(PRESENCE_EVERY) => {}
            () = hub.stopped() => return,
        }
    }
}

/// Unix seconds, UTC.
fn now_s() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs())
}
