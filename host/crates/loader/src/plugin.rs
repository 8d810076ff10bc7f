//! A plugin that is open.

#![allow(
    unsafe_code,
    reason = "calls through a plugin's table; what each needs is said at the call"
)]

use std::ptr::NonNull;
use std::sync::Arc;

use bytes::Bytes;
use host_abi::{Bytes as Borrowed, Migration, Part, Status};
use host_model::Version;
use host_model::effect::Rejection;
use host_model::limits::MANIFEST_BYTES_MAX;
use host_model::manifest::PluginManifest;
use host_model::setting::PluginSetting;
use serde::de::DeserializeOwned;

use crate::output::Output;
use crate::state::{Call, State};
use crate::sys::{self, Table};
use crate::{Digest, Fault, FaultKind};

/// Who a plugin is, for what it logs. Lives for ever.
#[derive(Debug)]
pub(crate) struct Identity {
    pub(crate) name: String,
    pub(crate) version: Version,
}

/// An open plugin.
#[derive(Debug)]
pub struct Plugin {
    pub(crate) table: Table,
    manifest: PluginManifest,
    digest: Digest,
    bytes: usize,
}

impl Plugin {
    /// Reads the manifest and calls `init`, once for the life of the process.
    pub(crate) fn start(table: Table, digest: Digest, bytes: usize) -> Result<Self, Box<Fault>> {
        let mut plugin = Self {
            manifest: unknown(),
            table,
            digest,
            bytes,
        };
        let mut out = Output::new();
        // SAFETY: `manifest` may be called before `init`; the sink is valid for the call.
        let status = out.collect(|sink| unsafe { (plugin.table.manifest)(sink) });
        plugin.ended(status, &mut out, "manifest")?;
        let document = out.take(Part::DOCUMENT).unwrap_or_default();
        if document.len() > MANIFEST_BYTES_MAX {
            let why = format!(
                "it has {} bytes, and {MANIFEST_BYTES_MAX} are allowed: describe its commands in fewer words",
                document.len()
            );
            return Err(plugin.fault("manifest", why));
        }
        plugin.manifest = plugin.json(Some(&document), "manifest", "its manifest")?;
        plugin.manifest.settings = plugin.settings()?;
        let identity = Box::leak(Box::new(Identity {
            name: plugin.manifest.name.clone(),
            version: plugin.manifest.version.clone(),
        }));
        let api = sys::host_api(identity);
        let mut out = Output::new();
        let config = Borrowed::new(b"{}");
        // SAFETY: the host's table lives for ever, and this is the one call of `init`.
        let status = out.collect(|sink| unsafe {
            (plugin.table.init)(std::ptr::from_ref(api).cast(), config, sink)
        });
        plugin.ended(status, &mut out, "init")?;
        Ok(plugin)
    }

    /// What it can be configured by, which may be asked before `init`.
    fn settings(&self) -> Result<Vec<PluginSetting>, Box<Fault>> {
        let mut out = Output::new();
        // SAFETY: `config` may be called before `init`; the sink is valid for the call.
        let status = out.collect(|sink| unsafe { (self.table.config)(sink) });
        if status == Status::ABSENT {
            return Ok(Vec::new());
        }
        self.ended(status, &mut out, "config")?;
        let document = out.take(Part::DOCUMENT);
        self.json(document.as_deref(), "config", "its settings")
    }

    /// Gives it what to work with from now on: a JSON object with a member for each setting
    /// that has a value. One that has no settings is not asked.
    ///
    /// # Errors
    ///
    /// The plugin's [`Fault`], also where it declares settings and takes none; inside, its
    /// [`Rejection`], and then it works with what it had before.
    pub fn configure(&self, config: &[u8]) -> Result<Result<(), Rejection>, Box<Fault>> {
        if self.manifest.settings.is_empty() {
            return Ok(Ok(()));
        }
        let mut out = Output::new();
        // SAFETY: the bytes and the sink are valid for the call.
        let status =
            out.collect(|sink| unsafe { (self.table.configure)(Borrowed::new(config), sink) });
        self.said(status, &mut out, "configure")
    }

    /// What it says of itself.
    #[must_use]
    pub fn manifest(&self) -> &PluginManifest {
        &self.manifest
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.manifest.name
    }

    /// Its version.
    #[must_use]
    pub fn version(&self) -> &Version {
        &self.manifest.version
    }

    /// Its library's digest.
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// Bytes that its library keeps mapped; where the kernel does not say, its file's size.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// The state of an actor that has accepted nothing yet.
    ///
    /// # Errors
    ///
    /// The plugin's [`Fault`].
    pub fn new_state(self: &Arc<Self>, key: &str) -> Result<State, Box<Fault>> {
        // SAFETY: the key is borrowed for the call.
        self.make("new", |sink| unsafe {
            (self.table.new)(Borrowed::new(key.as_bytes()), sink)
        })
    }

    /// A state from what [`State::export`] gave in a version of the same schema.
    ///
    /// # Errors
    ///
    /// The plugin's [`Fault`].
    pub fn import(self: &Arc<Self>, state: &[u8]) -> Result<State, Box<Fault>> {
        // SAFETY: the bytes are borrowed for the call.
        self.make("import", |sink| unsafe {
            (self.table.import)(Borrowed::new(state), sink)
        })
    }

    /// A state from the state of the older version `other`, and the carry that a
    /// `down` left behind. `changed`: the older version has moved the state since.
    ///
    /// # Errors
    ///
    /// The plugin's [`Fault`].
    pub fn up(
        self: &Arc<Self>,
        other: &Version,
        state: &[u8],
        carry: Option<&[u8]>,
        changed: bool,
    ) -> Result<State, Box<Fault>> {
        let other = other.to_string();
        let migration = Migration {
            other: Borrowed::new(other.as_bytes()),
            state: Borrowed::new(state),
            carry: carry.map_or(Borrowed::EMPTY, Borrowed::new),
            changed: u32::from(changed),
            reserved: 0,
        };
        // SAFETY: the migration and its bytes are borrowed for the call.
        self.make("up", |sink| unsafe {
            (self.table.up)(&raw const migration, sink)
        })
    }

    /// A message of the older version `other` in this version's shape.
    ///
    /// # Errors
    ///
    /// The plugin's [`Fault`]; inside, its [`Rejection`] where it has nothing like it.
    pub fn upcast(
        &self,
        other: &Version,
        event: &str,
        payload: &[u8],
    ) -> Result<Result<(String, Bytes), Rejection>, Box<Fault>> {
        self.convert(self.table.upcast, "upcast", other, event, payload)
    }

    /// A message of this version in the shape of the older version `other`.
    ///
    /// # Errors
    ///
    /// As [`Plugin::upcast`].
    pub fn downcast(
        &self,
        other: &Version,
        event: &str,
        payload: &[u8],
    ) -> Result<Result<(String, Bytes), Rejection>, Box<Fault>> {
        self.convert(self.table.downcast, "downcast", other, event, payload)
    }

    /// Whether the claims in `call` may do its event.
    ///
    /// # Errors
    ///
    /// The plugin's [`Fault`]; inside, its [`Rejection`].
    pub fn authorize(&self, call: &Call<'_>) -> Result<Result<(), Rejection>, Box<Fault>> {
        let mut out = Output::new();
        let call = call.borrowed();
        // SAFETY: the call and its bytes are borrowed for the call.
        let status = out.collect(|sink| unsafe { (self.table.authorize)(&raw const call, sink) });
        self.said(status, &mut out, "authorize")
    }

    /// Whether the plugin as a whole is well.
    ///
    /// # Errors
    ///
    /// The plugin's [`Fault`]; inside, its [`Rejection`].
    pub fn health(&self) -> Result<Result<(), Rejection>, Box<Fault>> {
        let mut out = Output::new();
        // SAFETY: the sink is valid for the call.
        let status = out.collect(|sink| unsafe { (self.table.health)(sink) });
        self.said(status, &mut out, "health")
    }

    /// Runs the hook that the call's event names. It may block for as long as it likes.
    ///
    /// # Errors
    ///
    /// The plugin's [`Fault`], also where it was built before there were hooks; inside,
    /// its [`Rejection`].
    pub fn run(&self, call: &Call<'_>) -> Result<Result<(), Rejection>, Box<Fault>> {
        let mut out = Output::new();
        let call = call.borrowed();
        // SAFETY: the call and its bytes are borrowed for the call.
        let status = out.collect(|sink| unsafe { (self.table.run)(&raw const call, sink) });
        if status == Status::ABSENT {
            let why = "it was built before there were hooks; build it with an SDK that has them";
            return Err(self.fault("run", why.to_owned()));
        }
        self.said(status, &mut out, "run")
    }

    fn convert(
        &self,
        function: unsafe extern "C" fn(
            Borrowed,
            *const host_abi::Call,
            *const host_abi::Sink,
        ) -> Status,
        name: &'static str,
        other: &Version,
        event: &str,
        payload: &[u8],
    ) -> Result<Result<(String, Bytes), Rejection>, Box<Fault>> {
        let other = other.to_string();
        let call = Call {
            event,
            payload,
            ..Call::EMPTY
        }
        .borrowed();
        let mut out = Output::new();
        // SAFETY: the version, the call and its bytes are borrowed for the call.
        let status = out.collect(|sink| unsafe {
            function(Borrowed::new(other.as_bytes()), &raw const call, sink)
        });
        if status == Status::ABSENT {
            let same = (event.to_owned(), Bytes::copy_from_slice(payload));
            return Ok(Ok(same));
        }
        if let Err(rejection) = self.said(status, &mut out, name)? {
            return Ok(Err(rejection));
        }
        let (Some(event), Some(payload)) = (out.take(Part::NAME), out.take(Part::PAYLOAD)) else {
            return Err(self.fault(name, "it gave no message".to_owned()));
        };
        let event = String::from_utf8(event).map_err(|e| self.fault(name, e.to_string()))?;
        Ok(Ok((event, payload.into())))
    }

    fn make(
        self: &Arc<Self>,
        function: &'static str,
        call: impl FnOnce(*const host_abi::Sink) -> *mut host_abi::State,
    ) -> Result<State, Box<Fault>> {
        let mut out = Output::new();
        let state = out.collect(call);
        NonNull::new(state)
            .map(|ptr| State::new(ptr, Arc::clone(self)))
            .ok_or_else(|| self.broken(&mut out, function))
    }

    /// OK, or the fault.
    #[inline]
    pub(crate) fn ended(
        &self,
        status: Status,
        out: &mut Output,
        function: &'static str,
    ) -> Result<(), Box<Fault>> {
        if status == Status::OK {
            return Ok(());
        }
        Err(self.not_ok(status, out, function))
    }

    #[cold]
    fn not_ok(&self, status: Status, out: &mut Output, function: &'static str) -> Box<Fault> {
        match status {
            Status::REJECTED => self.fault(function, "it may not refuse".to_owned()),
            Status::ABSENT => self.fault(function, "it has no such function".to_owned()),
            _ => self.broken(out, function),
        }
    }

    /// OK, a rejection, or the fault.
    #[inline]
    pub(crate) fn said(
        &self,
        status: Status,
        out: &mut Output,
        function: &'static str,
    ) -> Result<Result<(), Rejection>, Box<Fault>> {
        if status != Status::REJECTED {
            return self.ended(status, out, function).map(Ok);
        }
        self.json(
            out.take(Part::REJECTION).as_deref(),
            function,
            "its rejection",
        )
        .map(Err)
    }

    pub(crate) fn json<T: DeserializeOwned>(
        &self,
        bytes: Option<&[u8]>,
        function: &'static str,
        what: &str,
    ) -> Result<T, Box<Fault>> {
        serde_json::from_slice(bytes.unwrap_or_default())
            .map_err(|e| self.fault(function, format!("{what} is not what the ABI says: {e}")))
    }

    fn broken(&self, out: &mut Output, function: &'static str) -> Box<Fault> {
        let Some(broken) = out.take_fault() else {
            return self.fault(function, "it broke and did not say why".to_owned());
        };
        Box::new(Fault {
            kind: match broken.kind {
                host_abi::FaultKind::PANIC => FaultKind::Panic,
                host_abi::FaultKind::CODEC => FaultKind::Codec,
                _ => FaultKind::Error,
            },
            message: broken.message,
            file: broken.file,
            line: broken.line,
            ..*self.fault(function, String::new())
        })
    }

    pub(crate) fn fault(&self, function: &'static str, message: String) -> Box<Fault> {
        Box::new(Fault {
            plugin: self.manifest.name.clone(),
            version: self.manifest.version.clone(),
            function: function.to_owned(),
            kind: FaultKind::Protocol,
            message,
            file: String::new(),
            line: 0,
        })
    }
}

impl AsRef<Plugin> for Plugin {
    fn as_ref(&self) -> &Plugin {
        self
    }
}

/// A plugin's name before it has said it.
fn unknown() -> PluginManifest {
    PluginManifest {
        name: "?".to_owned(),
        version: Version::new(0, 0, 0),
        sdk: Version::new(0, 0, 0),
        state_schema: 0,
        commands: Vec::new(),
        queries: Vec::new(),
        idempotency: Default::default(),
        migrates_from: None,
        settings: Vec::new(),
        schemas: Default::default(),
    }
}
