//! An actor's state, and what can be asked of it.

#![allow(
    unsafe_code,
    reason = "calls through a plugin's table; what each needs is said at the call"
)]

use std::mem::ManuallyDrop;
use std::ptr::{self, NonNull};
use std::sync::Arc;

use bytes::Bytes;
use host_abi::{Bytes as Borrowed, Caller, Part, Status};
use host_model::Version;
use host_model::effect::{Effect, Rejection};
use host_model::limits::EFFECTS_MAX;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::output::Output;
use crate::plugin::Plugin;
use crate::{Fault, Violation};

/// One message, as a handler sees it. See the fields of [`host_abi::Call`].
#[derive(Debug, Clone, Copy)]
#[allow(missing_docs, reason = "each field is that of host_abi::Call")]
pub struct Call<'a> {
    pub key: &'a str,
    pub event: &'a str,
    pub payload: &'a [u8],
    pub claims: &'a [u8],
    pub now_ms: i64,
    pub seed: u64,
    pub seq: u64,
    pub caller: Caller,
    pub hops: u32,
}

/// What a handler says to a command.
#[derive(Debug)]
pub enum Verdict {
    /// It happens.
    Accepted(Accepted),
    /// It does not, and nothing has changed.
    Rejected(Rejection),
}

/// An accepted command.
#[derive(Debug)]
pub struct Accepted {
    /// What happened, JSON. None: it had happened before, there is only the reply.
    pub event: Option<Bytes>,
    /// What follows from it beyond the actor.
    pub effects: Vec<Effect>,
    /// The same as the plugin wrote it, a JSON array; empty where nothing follows.
    pub effects_json: Bytes,
    /// For the caller.
    pub reply: Bytes,
}

/// What `down` gives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Down {
    /// The older version's state.
    pub state: Bytes,
    /// What it cannot hold.
    pub carry: Bytes,
}

/// A command that a plugin makes up for a rehearsal.
#[derive(Debug, Deserialize)]
pub struct Sample {
    /// Name of the command.
    pub event: String,
    /// Its payload, JSON.
    payload: Box<RawValue>,
}

impl Sample {
    /// Its payload, JSON.
    #[must_use]
    pub fn payload(&self) -> &[u8] {
        self.payload.get().as_bytes()
    }
}

/// An actor's state, made and freed by one plugin version.
///
/// It keeps that version by one reference, to whatever its holder keeps for a
/// version: a million states are not to pay for two.
#[derive(Debug)]
pub struct State<O: AsRef<Plugin> = Plugin> {
    ptr: NonNull<host_abi::State>,
    owner: Arc<O>,
}

// SAFETY: the ABI lets a state be used from any thread, one at a time; `State`
// is not `Sync`, so safe code cannot do otherwise.
unsafe impl<O: AsRef<Plugin> + Send + Sync> Send for State<O> {}

impl State {
    /// What `plugin` has just made.
    pub(crate) fn new(ptr: NonNull<host_abi::State>, plugin: Arc<Plugin>) -> Self {
        Self { ptr, owner: plugin }
    }

    /// The same state, kept by another reference to the same plugin.
    ///
    /// # Panics
    ///
    /// If `owner` is another plugin's.
    pub fn owned_by<O: AsRef<Plugin>>(self, owner: Arc<O>) -> State<O> {
        assert!(
            ptr::eq((*owner).as_ref(), self.plugin()),
            "a state stays with the plugin version that made it"
        );
        let mut old = ManuallyDrop::new(self);
        // SAFETY: `old` is not dropped and not used again; its pointer moves on.
        unsafe { ptr::drop_in_place(&raw mut old.owner) };
        State {
            ptr: old.ptr,
            owner,
        }
    }
}

impl<O: AsRef<Plugin>> State<O> {
    /// Who keeps the plugin version open for it.
    #[must_use]
    pub fn owner(&self) -> &Arc<O> {
        &self.owner
    }

    /// The plugin version that owns it.
    #[must_use]
    #[inline]
    pub fn plugin(&self) -> &Plugin {
        (*self.owner).as_ref()
    }

    /// Decides a command and applies its event.
    ///
    /// # Errors
    ///
    /// The plugin's [`Fault`]; the state is then not to be used again.
    pub fn handle(&mut self, call: &Call<'_>) -> Result<Verdict, Box<Fault>> {
        self.decide(self.plugin().table.handle, "handle", call)
    }

    /// As [`State::handle`], for a timer that is due.
    ///
    /// # Errors
    ///
    /// As [`State::handle`].
    pub fn timer(&mut self, call: &Call<'_>) -> Result<Verdict, Box<Fault>> {
        self.decide(self.plugin().table.timer, "timer", call)
    }

    fn decide(
        &mut self,
        function: unsafe extern "C" fn(
            *mut host_abi::State,
            *const host_abi::Call,
            *const host_abi::Sink,
        ) -> Status,
        name: &'static str,
        call: &Call<'_>,
    ) -> Result<Verdict, Box<Fault>> {
        let mut out = Output::new();
        let call = call.borrowed();
        // SAFETY: `&mut self`: no one else uses the state; the rest is borrowed.
        let status =
            out.collect(|sink| unsafe { function(self.ptr.as_ptr(), &raw const call, sink) });
        let plugin = self.plugin();
        if let Err(rejection) = plugin.said(status, &mut out, name)? {
            return Ok(Verdict::Rejected(rejection));
        }
        let count = out.effects().count();
        if count > EFFECTS_MAX {
            let message = format!("{count} effects of one event, and {EFFECTS_MAX} may be");
            return Err(plugin.fault(name, message));
        }
        let effects = out
            .effects()
            .map(|effect| plugin.json(Some(effect), name, "an effect"))
            .collect::<Result<_, _>>()?;
        let reply = out
            .take(Part::REPLY)
            .ok_or_else(|| plugin.fault(name, "it gave no reply".to_owned()))?;
        Ok(Verdict::Accepted(Accepted {
            event: out.take(Part::EVENT).map(Bytes::from),
            effects,
            effects_json: out.effects_json().into(),
            reply: reply.into(),
        }))
    }

    /// Applies an event of the journal.
    ///
    /// # Errors
    ///
    /// The plugin's [`Fault`]; the state is then not to be used again.
    pub fn apply(&mut self, event: &[u8]) -> Result<(), Box<Fault>> {
        let mut out = Output::new();
        // SAFETY: as in `decide`.
        let status = out.collect(|sink| unsafe {
            (self.plugin().table.apply)(self.ptr.as_ptr(), Borrowed::new(event), sink)
        });
        self.plugin().ended(status, &mut out, "apply")
    }

    /// Answers a query.
    ///
    /// # Errors
    ///
    /// The plugin's [`Fault`]; inside, its [`Rejection`].
    #[inline]
    pub fn query(&self, call: &Call<'_>) -> Result<Result<Bytes, Rejection>, Box<Fault>> {
        let mut out = Output::new();
        let call = call.borrowed();
        // SAFETY: a query changes nothing, and `State` is used by one thread at a time.
        let status = out.collect(|sink| unsafe {
            (self.plugin().table.query)(self.ptr.as_ptr(), &raw const call, sink)
        });
        if let Err(rejection) = self.plugin().said(status, &mut out, "query")? {
            return Ok(Err(rejection));
        }
        let reply = out
            .take(Part::REPLY)
            .ok_or_else(|| self.plugin().fault("query", "it gave no reply".to_owned()))?;
        Ok(Ok(reply.into()))
    }

    /// The state's bytes, canonical.
    ///
    /// # Errors
    ///
    /// The plugin's [`Fault`].
    pub fn export(&self) -> Result<Bytes, Box<Fault>> {
        let mut out = Output::new();
        // SAFETY: as in `query`.
        let status =
            out.collect(|sink| unsafe { (self.plugin().table.export)(self.ptr.as_ptr(), sink) });
        self.plugin().ended(status, &mut out, "export")?;
        out.take(Part::STATE).map(Bytes::from).ok_or_else(|| {
            self.plugin()
                .fault("export", "it exported nothing".to_owned())
        })
    }

    /// The state in the shape of the older version `other`, and what that cannot hold.
    ///
    /// # Errors
    ///
    /// The plugin's [`Fault`].
    pub fn down(&self, other: &Version) -> Result<Down, Box<Fault>> {
        let mut out = Output::new();
        let other = other.to_string();
        // SAFETY: as in `query`.
        let status = out.collect(|sink| unsafe {
            (self.plugin().table.down)(self.ptr.as_ptr(), Borrowed::new(other.as_bytes()), sink)
        });
        self.plugin().ended(status, &mut out, "down")?;
        match (out.take(Part::STATE), out.take(Part::CARRY)) {
            (Some(state), Some(carry)) => Ok(Down {
                state: state.into(),
                carry: carry.into(),
            }),
            _ => Err(self
                .plugin()
                .fault("down", "it gave no state or no carry".to_owned())),
        }
    }

    /// About `count` commands that only this version knows, acceptable in this state:
    /// names and payloads. None: it has no migrations, and so none of these.
    ///
    /// # Errors
    ///
    /// The plugin's [`Fault`].
    pub fn samples(&self, seed: u64, count: u32) -> Result<Option<Vec<Sample>>, Box<Fault>> {
        let mut out = Output::new();
        // SAFETY: as in `query`.
        let status = out.collect(|sink| unsafe {
            (self.plugin().table.samples)(self.ptr.as_ptr(), seed, count, sink)
        });
        if status == Status::ABSENT {
            return Ok(None);
        }
        let plugin = self.plugin();
        plugin.ended(status, &mut out, "samples")?;
        let document = out.take(Part::DOCUMENT);
        let samples = plugin.json(document.as_deref(), "samples", "its samples")?;
        Ok(Some(samples))
    }

    /// The invariants: what is broken, if anything is.
    ///
    /// # Errors
    ///
    /// The plugin's [`Fault`]; inside, the violation as it describes it.
    #[inline]
    pub fn check(&self) -> Result<Result<(), Violation>, Box<Fault>> {
        let mut out = Output::new();
        // SAFETY: as in `query`.
        let status =
            out.collect(|sink| unsafe { (self.plugin().table.check)(self.ptr.as_ptr(), sink) });
        if status == Status::REJECTED {
            let document = out.take(Part::DOCUMENT).unwrap_or_default();
            return Ok(Err(Violation::read(&document)));
        }
        self.plugin().ended(status, &mut out, "check")?;
        Ok(Ok(()))
    }
}

impl<O: AsRef<Plugin>> Drop for State<O> {
    fn drop(&mut self) {
        // SAFETY: made by this plugin version, and given back once.
        unsafe { (self.plugin().table.drop)(self.ptr.as_ptr()) }
    }
}

impl Call<'_> {
    /// A call of nothing.
    pub(crate) const EMPTY: Self = Self {
        key: "",
        event: "",
        payload: b"",
        claims: b"",
        now_ms: 0,
        seed: 0,
        seq: 0,
        caller: Caller::CLIENT,
        hops: 0,
    };

    pub(crate) fn borrowed(&self) -> host_abi::Call {
        host_abi::Call {
            key: Borrowed::new(self.key.as_bytes()),
            event: Borrowed::new(self.event.as_bytes()),
            payload: Borrowed::new(self.payload),
            claims: Borrowed::new(self.claims),
            now_ms: self.now_ms,
            seed: self.seed,
            seq: self.seq,
            caller: self.caller,
            hops: self.hops,
        }
    }
}
