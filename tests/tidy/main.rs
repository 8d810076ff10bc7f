//! What the project promises of its own shape, held as ordinary tests: which
//! crate may know which, what stands on which library, and how files read.
//!
//! In the manner of TigerBeetle's `tidy.zig`. Documents and code cannot drift:
//! the tables of `ARCHITECTURE.md` and the lists of `deny.toml` are read, not
//! repeated here.

mod dependencies;
mod documents;
mod edges;
mod licences;
mod limits;
mod manifests;
mod markdown;
mod plugin_lints;
mod sources;
mod texts;
mod tree;
mod unsafe_rooms;

/// Fails with all findings at once: one run of the test, one round of repairs.
#[track_caller]
fn none(findings: &[String], what_to_do: &str) {
    assert!(
        findings.is_empty(),
        "{} finding(s); {what_to_do}\n  - {}",
        findings.len(),
        findings.join("\n  - ")
    );
}
