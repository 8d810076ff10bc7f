//! Plans, upgrades and releases that tests hold something against.

use std::fs;
use std::path::{Path, PathBuf};

use host_model::Version;
use host_model::plan::Plan;
use host_model::release::{ReleaseManifest, ReleasePlugin, Start};

use crate::releases::Unpacked;
use crate::state::{State, Upgrade};

/// From 0.1.0 to 0.2.0, of no plugin.
pub(crate) fn plan() -> Plan {
    Plan {
        from: Version::new(0, 1, 0),
        to: Version::new(0, 2, 0),
        plugins: Vec::new(),
        steps: Vec::new(),
        back: Vec::new(),
        reversible: true,
        probation_s: 60,
        at_start: false,
    }
}

/// The first one, by that plan.
pub(crate) fn upgrade(state: State) -> Upgrade {
    Upgrade {
        state,
        ..Upgrade::planned(1, plan(), false)
    }
}

/// The release 0.MINOR.0 of one plugin, laid out in `dir` without its library, whose digest
/// is to have the one byte.
pub(crate) fn release(dir: &Path, minor: u64, byte: &str) -> Unpacked {
    let version = Version::new(0, minor, 0);
    let dir = dir.join(version.to_string());
    let manifest = ReleaseManifest {
        name: "test".to_owned(),
        version: version.clone(),
        host: version.clone(),
        host_sha256: String::new(),
        target: String::new(),
        libc: String::new(),
        plugins: vec![ReleasePlugin {
            name: "p".to_owned(),
            version,
            file: PathBuf::from("p.so"),
            sha256: byte.repeat(32),
            start: Start::Permanent,
            settings: Vec::new(),
            shape: None,
        }],
        upgrade_scripts: Vec::new(),
        config: Vec::new(),
        documents: Vec::new(),
    };
    fs::create_dir_all(&dir).unwrap();
    let text = serde_json::to_string(&manifest).unwrap();
    fs::write(dir.join("manifest.json"), text).unwrap();
    Unpacked { dir, manifest }
}
