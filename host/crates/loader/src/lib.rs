//! Opens plugin libraries, and calls them safely.
//!
//! The way of a library: its digest is compared, it is copied to a path that was
//! never used before, a child process opens the copy and checks it in full
//! ([`inspect`]), and only then does this process open it.
//!
//! # Invariants
//!
//! - A digest is opened once and serves for ever: there is no unload. Thread
//!   locals, statics and code of a library stay where they are until the process
//!   ends, and no one needs to prove that nothing points into it.
//! - The path that is opened is never written to or opened again: `dlopen` would
//!   give back the old library for it, and a truncated mapping is a SIGBUS.
//! - What is not a plugin, or not one of this ABI, is refused before any of its
//!   functions but `manifest` and `init` (in the child) has run.
//! - Above this crate there is no `unsafe`: [`Plugin`] and [`State`] keep the
//!   promises that the table asks for.
//!
//! This crate must not know what a message means, where it came from, or what is
//! done with the answer.

mod child;
mod crossing;
mod digest;
mod fault;
pub mod files;
mod inspect;
mod output;
mod plugin;
mod shapes;
mod stage;
mod state;
mod sys;
mod violation;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use host_model::manifest::PluginManifest;
use parking_lot::Mutex;
use thiserror::Error;

pub use child::{Said, said};
pub use crossing::{CrossError, Crossed, beside, cross};
pub use digest::{Digest, Hasher, InvalidDigest};
pub use fault::{Fault, FaultKind};
pub use host_abi::Caller;
pub use inspect::{InspectError, Inspector, inspect_main};
pub use plugin::Plugin;
pub use shapes::{Shape, ShapeStep, convert};
pub use stage::StageError;
pub use state::{Accepted, Call, Down, Sample, State, Verdict};
pub use sys::OpenError;
pub use violation::Violation;

/// Opens libraries for one process. Shared by reference.
#[derive(Debug)]
pub struct Loader {
    images: PathBuf,
    /// None: this process is the child.
    inspector: Option<Inspector>,
    opened: Mutex<HashMap<Digest, Arc<Plugin>>>,
    /// Held while one is opened, which may take as long as an inspection may; whoever
    /// only looks at what is open does not wait for it.
    opening: Mutex<()>,
}

/// Why a library was not loaded. The plugin's author or the operator is to blame,
/// never a client.
#[derive(Debug, Error)]
pub enum LoadError {
    /// The library could not be read or copied.
    #[error(transparent)]
    Stage(#[from] StageError),
    /// The file is not the one that the manifest names.
    #[error("{} has the digest {found}, and its manifest says {expected}: the file was changed or cut short; install the release again", path.display())]
    Digest {
        /// The file.
        path: PathBuf,
        /// What it has.
        found: Digest,
        /// What it should have.
        expected: Digest,
    },
    /// The child process refused it, or did not survive it.
    #[error(transparent)]
    Inspect(#[from] InspectError),
    /// This process could not open it although the child could.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// It loaded, and its `init` failed here.
    #[error("a plugin failed to start")]
    Init(#[from] Box<Fault>),
}

impl Loader {
    /// A loader that keeps its copies in `images`. Copies that an earlier process
    /// left there are removed.
    ///
    /// # Errors
    ///
    /// [`StageError`] if the folder cannot be made, or does not allow exec.
    pub fn new(images: &Path, inspector: Inspector) -> Result<Self, StageError> {
        Self::over(images, Some(inspector))
    }

    /// A loader for a process that was started to be lost: what another asks a child,
    /// it finds out itself, and a library that is broken may end it.
    ///
    /// # Errors
    ///
    /// As [`Loader::new`].
    pub fn in_a_child(images: &Path) -> Result<Self, StageError> {
        Self::over(images, None)
    }

    fn over(images: &Path, inspector: Option<Inspector>) -> Result<Self, StageError> {
        stage::prepare(images)?;
        Ok(Self {
            images: images.to_owned(),
            inspector,
            opened: Mutex::default(),
            opening: Mutex::default(),
        })
    }

    /// The plugin in the library at `path`, opened now or before. One that is expected
    /// to have a digest that is open already is that plugin; its file is not read again.
    ///
    /// Takes a few milliseconds the first time; blocking.
    ///
    /// # Errors
    ///
    /// [`LoadError`]; the process is as it was, but for a copy in `images` of what
    /// only this process could not open.
    pub fn load(&self, path: &Path, expected: Option<Digest>) -> Result<Arc<Plugin>, LoadError> {
        if let Some(expected) = expected
            && let Some(plugin) = self.opened.lock().get(&expected)
        {
            return Ok(Arc::clone(plugin));
        }
        let (library, found) = read(path, expected)?;
        // Held to the end, so that no digest is ever opened twice.
        let _opening = self.opening.lock();
        if let Some(plugin) = self.opened.lock().get(&found) {
            return Ok(Arc::clone(plugin));
        }
        let image = stage::copy(&self.images, path, &library, found)?;
        if let Some(inspector) = &self.inspector
            && let Err(refused) = inspector.inspect(&image, path, None)
        {
            // This process never had it open.
            stage::remove(&image);
            return Err(refused.into());
        }
        let table = sys::open(&image)?;
        if self.inspector.is_none() {
            sys::check_layouts(&image, &table)?;
        }
        let bytes = stage::mapped_bytes(&image).unwrap_or(library.len());
        let plugin = Arc::new(Plugin::start(table, found, bytes)?);
        self.opened.lock().insert(found, Arc::clone(&plugin));
        Ok(plugin)
    }

    /// Every library that this process has opened, in no order.
    pub fn resident(&self) -> Vec<Arc<Plugin>> {
        self.opened.lock().values().cloned().collect()
    }

    /// What `host inspect` finds in the library at `path`, which must have the digest
    /// `expected` where one is known, without opening it here, but for a loader
    /// [`in_a_child`](Self::in_a_child). It must take `config`, where one is given.
    ///
    /// # Errors
    ///
    /// As [`Loader::load`], but for what only opening can find.
    pub fn inspect(
        &self,
        path: &Path,
        expected: Option<Digest>,
        config: Option<&[u8]>,
    ) -> Result<PluginManifest, LoadError> {
        let Some(inspector) = &self.inspector else {
            return Ok(self.load(path, expected)?.manifest().clone());
        };
        let (library, digest) = read(path, expected)?;
        let image = stage::copy(&self.images, path, &library, digest)?;
        let manifest = inspector.inspect(&image, path, config);
        stage::remove(&image);
        Ok(manifest?)
    }
}

/// The library at `path`, with its digest, where it is the one that is expected and whole.
fn read(path: &Path, expected: Option<Digest>) -> Result<(Vec<u8>, Digest), LoadError> {
    let library = stage::read(path)?;
    let found = Digest::of(&library);
    if let Some(expected) = expected
        && expected != found
    {
        return Err(LoadError::Digest {
            path: path.to_owned(),
            found,
            expected,
        });
    }
    stage::check_end(path, &library)?;
    Ok((library, found))
}
