//! The loader with real libraries: what it refuses, what it survives, and how
//! states move between two versions that are open at once.
//!
//! The libraries are those of `plugins/`; [`built`] has them built before the
//! first is opened.

#![allow(clippy::unwrap_used, reason = "a test says by panicking what is wrong")]

mod actor;
mod built;
mod effects;
mod faults;
mod hooks;
mod inspected;
mod logs;
mod opened;
mod protocol;
mod refused;
mod staged;
mod versions;

use std::sync::Arc;

use host_loader::{Inspector, LoadError, Loader, Plugin};
use tempfile::TempDir;

/// A loader with a folder of its own for its copies.
struct Bench {
    folder: TempDir,
    loader: Loader,
}

impl Bench {
    fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let loader = Loader::new(&folder.path().join("images"), inspector()).unwrap();
        Self { folder, loader }
    }

    /// Opens the library of a package of this workspace.
    fn open(&self, package: &str) -> Arc<Plugin> {
        self.loader.load(&built::library(package), None).unwrap()
    }

    /// Opens a copy of `raw` that behaves as it is told.
    fn open_raw(&self, behaviour: &str) -> Result<Arc<Plugin>, LoadError> {
        let library = built::raw(self.folder.path(), behaviour);
        self.loader.load(&library, None)
    }

    /// What is said of a copy of `raw` that cannot be opened.
    #[track_caller]
    fn refuse_raw(&self, behaviour: &str) -> String {
        let library = built::raw(self.folder.path(), behaviour);
        let message = self.loader.load(&library, None).unwrap_err().to_string();
        let path = library.display().to_string();
        assert!(message.contains(&path), "{message} does not name {path}");
        assert!(!message.contains("images"), "{message} names the copy");
        assert!(self.loader.resident().is_empty());
        let images = std::fs::read_dir(self.folder.path().join("images")).unwrap();
        assert_eq!(images.count(), 0, "the copy of what was refused is gone");
        message
    }
}

/// The child of these tests.
fn inspector() -> Inspector {
    Inspector {
        program: built::inspector(),
        args: Vec::new(),
    }
}
