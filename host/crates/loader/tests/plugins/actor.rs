//! One actor without a host: a state, its time and sequence, its carries, and
//! what the journal would hold of it.

use std::collections::BTreeMap;
use std::sync::Arc;

use host_loader::{Accepted, Call, Caller, Fault, Plugin, State, Verdict};
use host_model::Version;
use host_model::effect::Effect;
use serde_json::Value;
use sha2::{Digest, Sha256};

/// 2025-03-01, noon, UTC.
pub(crate) const NOON_MS: i64 = 1_740_830_400_000;

pub(crate) struct Actor {
    key: &'static str,
    pub(crate) state: State,
    pub(crate) now_ms: i64,
    seq: u64,
    /// One upon the other, as the host keeps them.
    carries: Vec<Carry>,
    /// When each comes due, and what with.
    timers: BTreeMap<String, (i64, String)>,
    /// The state after the last change of version, and the events since.
    snapshot: Vec<u8>,
    tail: Vec<Vec<u8>>,
}

/// What a `down` left behind, and the digest of the state that it belongs to.
struct Carry {
    older: Version,
    bytes: Vec<u8>,
    digest: [u8; 32],
}

impl Actor {
    pub(crate) fn new(plugin: &Arc<Plugin>, key: &'static str) -> Self {
        let state = plugin.new_state(key).unwrap();
        Self {
            key,
            snapshot: state.export().unwrap().to_vec(),
            state,
            now_ms: NOON_MS,
            seq: 0,
            carries: Vec::new(),
            timers: BTreeMap::new(),
            tail: Vec::new(),
        }
    }

    /// What the plugin says to a command.
    pub(crate) fn call(&mut self, event: &str, payload: &Value) -> Result<Verdict, Box<Fault>> {
        self.now_ms += 1;
        let payload = payload.to_string();
        let call = self.message(event, payload.as_bytes());
        let verdict = self.state.handle(&call)?;
        self.happen(&verdict);
        Ok(verdict)
    }

    fn happen(&mut self, verdict: &Verdict) {
        let Verdict::Accepted(Accepted {
            event: Some(event),
            effects,
            ..
        }) = verdict
        else {
            return;
        };
        self.seq += 1;
        self.tail.push(event.to_vec());
        for effect in effects {
            match effect {
                Effect::SetTimer {
                    name,
                    at_ms,
                    payload,
                } => {
                    let timer = (*at_ms, payload.get().to_owned());
                    self.timers.insert(name.clone(), timer);
                }
                Effect::CancelTimer { name } => drop(self.timers.remove(name)),
                _ => {}
            }
        }
    }

    /// Time passes, and timers that have come due fire, earliest first. How many did.
    #[track_caller]
    pub(crate) fn wait(&mut self, ms: i64) -> usize {
        self.now_ms += ms;
        let mut fired = 0;
        loop {
            let due = self.timers.iter().filter(|(_, (at, _))| *at <= self.now_ms);
            let Some((name, _)) = due.min_by_key(|(_, (at, _))| *at) else {
                return fired;
            };
            let name = name.clone();
            let (_, payload) = self.timers.remove(&name).unwrap();
            let mut call = self.message(&name, payload.as_bytes());
            call.caller = Caller::TIMER;
            let verdict = self.state.timer(&call).unwrap();
            if let Verdict::Rejected(rejection) = verdict {
                panic!("the timer {name} is refused: {rejection:?}");
            }
            self.happen(&verdict);
            fired += 1;
        }
    }

    /// The reply to a command, or the reason of its refusal.
    ///
    /// # Panics
    ///
    /// If the plugin breaks.
    #[track_caller]
    pub(crate) fn send(&mut self, event: &str, payload: &Value) -> Result<Value, String> {
        match self.call(event, payload) {
            Ok(Verdict::Accepted(accepted)) => Ok(json(&accepted.reply)),
            Ok(Verdict::Rejected(rejection)) => Err(rejection.reason),
            Err(fault) => panic!("{fault}"),
        }
    }

    /// The answer to a query, or the reason of its refusal.
    ///
    /// # Panics
    ///
    /// If the plugin breaks.
    #[track_caller]
    pub(crate) fn ask(&self, event: &str, payload: &Value) -> Result<Value, String> {
        let payload = payload.to_string();
        let call = self.message(event, payload.as_bytes());
        match self.state.query(&call) {
            Ok(Ok(answer)) => Ok(json(&answer)),
            Ok(Err(rejection)) => Err(rejection.reason),
            Err(fault) => panic!("{fault}"),
        }
    }

    /// The answer to `summary`, which every plugin here has.
    #[track_caller]
    pub(crate) fn summary(&self) -> Value {
        self.ask("summary", &Value::Object(Default::default()))
            .unwrap()
    }

    pub(crate) fn message<'a>(&self, event: &'a str, payload: &'a [u8]) -> Call<'a> {
        Call {
            key: self.key,
            event,
            payload,
            claims: b"",
            now_ms: self.now_ms,
            seed: self.seq,
            seq: self.seq,
            caller: Caller::CLIENT,
            hops: 0,
        }
    }

    /// The state's bytes, which are the same after an import.
    #[track_caller]
    pub(crate) fn export(&self) -> Vec<u8> {
        let bytes = self.state.export().unwrap();
        let again = self.state.owner().import(&bytes).unwrap();
        assert_eq!(again.export().unwrap(), bytes, "one state, one encoding");
        bytes.to_vec()
    }

    /// Asks the invariants, and whether a replay gives this state.
    #[track_caller]
    pub(crate) fn check(&self) {
        self.state
            .check()
            .unwrap()
            .expect("the state keeps its invariants");
        let mut replayed = self.state.owner().import(&self.snapshot).unwrap();
        for event in &self.tail {
            replayed.apply(event).unwrap();
        }
        assert_eq!(replayed.export().unwrap(), self.export(), "a replay");
    }

    /// Goes up to `to` as the host does it. Says whether the old state had moved
    /// since the last `down`.
    #[track_caller]
    pub(crate) fn up(&mut self, to: &Arc<Plugin>) -> bool {
        let old = self.export();
        let from = self.state.plugin().version().clone();
        let carry = self.carries.pop_if(|carry| carry.older == from);
        let digest: [u8; 32] = Sha256::digest(&old).into();
        let changed = carry.as_ref().is_some_and(|carry| carry.digest != digest);
        let carry = carry.as_ref().map(|carry| &*carry.bytes);
        let state = to.up(&from, &old, carry, changed).unwrap();
        self.came_over(state);
        changed
    }

    /// Goes down to `to` as the host does it.
    #[track_caller]
    pub(crate) fn down(&mut self, to: &Arc<Plugin>) {
        let down = self.state.down(to.version()).unwrap();
        let older = to.import(&down.state).unwrap();
        let canonical = older.export().unwrap();
        assert_eq!(
            canonical, down.state,
            "the old state is written as the old version writes it"
        );
        self.carries.push(Carry {
            older: to.version().clone(),
            bytes: down.carry.to_vec(),
            digest: Sha256::digest(&canonical).into(),
        });
        self.came_over(older);
    }

    /// Up and down again, beside the actor: the laws of a migration that has
    /// just been done, and of one that is about to be.
    #[track_caller]
    pub(crate) fn up_and_down_changes_nothing(&self, newer: &Arc<Plugin>) {
        let old = self.export();
        let older = self.state.plugin();
        let last = self.carries.last();
        let last = last.filter(|carry| carry.older == *older.version());
        let carry = last.map(|carry| &*carry.bytes);
        let changed =
            last.is_some_and(|carry| carry.digest != <[u8; 32]>::from(Sha256::digest(&old)));
        let up = newer.up(older.version(), &old, carry, changed).unwrap();
        let down = up.down(older.version()).unwrap();
        assert_eq!(down.state, old, "down(up(S)) = S");
    }

    /// Down and up again, beside the actor.
    #[track_caller]
    pub(crate) fn down_and_up_changes_nothing(&self, older: &Arc<Plugin>) {
        let new = self.export();
        let down = self.state.down(older.version()).unwrap();
        let newer = self.state.owner();
        let up = newer
            .up(older.version(), &down.state, Some(&down.carry), false)
            .unwrap();
        assert_eq!(up.export().unwrap(), new, "up(down(N)) = N");
    }

    fn came_over(&mut self, state: State) {
        self.state = state;
        self.snapshot = self.export();
        self.tail.clear();
        self.check();
    }
}

#[track_caller]
pub(crate) fn json(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).unwrap()
}
