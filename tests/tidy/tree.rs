//! The project's files and packages, as the tests look at them.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use cargo_metadata::{Metadata, MetadataCommand};

/// The target that the host is built for; what only other systems need is left out.
const TARGET: &str = "x86_64-unknown-linux-gnu";

/// What is made, not written: never looked at.
const MADE: [&str; 4] = [".git", "target", "tmp", "node_modules"];

/// A text file of the project.
pub(crate) struct File {
    /// Relative to the project's root, with `/`.
    pub(crate) path: String,
    pub(crate) text: String,
}

impl File {
    pub(crate) fn is_rust(&self) -> bool {
        self.path.ends_with(".rs")
    }

    /// Whether nothing but tests stands in it.
    pub(crate) fn is_test(&self) -> bool {
        self.path.starts_with("tests/")
            || self.path.contains("/tests/")
            || self.path.ends_with("/tests.rs")
    }

    /// The lines before the tests at its end, and those of the tests.
    pub(crate) fn split(&self) -> (Vec<&str>, Vec<&str>) {
        let lines: Vec<&str> = self.text.lines().collect();
        if self.is_test() {
            return (Vec::new(), lines);
        }
        let is_start = |pair: &[&str]| pair[0] == "#[cfg(test)]" && pair[1] == "mod tests {";
        let at = lines.windows(2).position(is_start).unwrap_or(lines.len());
        let (code, tests) = lines.split_at(at);
        (code.to_vec(), tests.to_vec())
    }
}

pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("this package lies in a folder of the project")
}

/// Reads a file of the project.
#[track_caller]
pub(crate) fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|e| panic!("read {path}: {e}"))
}

/// Every text file, in order of path.
pub(crate) fn files() -> &'static [File] {
    static FILES: OnceLock<Vec<File>> = OnceLock::new();
    FILES.get_or_init(|| {
        let mut files = Vec::new();
        walk(root(), &mut files);
        files.sort_by(|a, b| a.path.cmp(&b.path));
        let rust = files.iter().filter(|file| file.is_rust()).count();
        assert!(rust > 50, "the walk found {rust} Rust files only");
        files
    })
}

fn walk(dir: &Path, files: &mut Vec<File>) {
    let entries = fs::read_dir(dir).expect("the project's folders can be read");
    for entry in entries {
        let path: PathBuf = entry.expect("a folder can be read to its end").path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if MADE.contains(&name.as_ref()) || path.is_symlink() {
            continue;
        }
        if path.is_dir() {
            walk(&path, files);
        } else if let Ok(text) = fs::read_to_string(&path) {
            let path = path.strip_prefix(root()).expect("the walk began there");
            let path = path.to_string_lossy().into_owned();
            files.push(File { path, text });
        }
    }
}

/// What cargo knows of the project, as locked.
pub(crate) fn metadata() -> &'static Metadata {
    static METADATA: OnceLock<Metadata> = OnceLock::new();
    METADATA.get_or_init(|| {
        MetadataCommand::new()
            .manifest_path(root().join("Cargo.toml"))
            .other_options(["--locked", "--filter-platform", TARGET].map(str::to_owned))
            .exec()
            .expect("cargo describes the project")
    })
}
