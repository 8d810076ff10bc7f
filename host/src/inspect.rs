//! `host inspect`: what a plugin library says of itself.

use std::io;
use std::path::{Path, PathBuf};

use host_cli::{Failure, Output, Table};
use host_loader::{Inspector, Loader, inspect_main};
use host_model::manifest::PluginManifest;
use host_proof::rehearsal::{Rehearser, rehearsal_main};

use crate::home::Home;

/// How the loader starts its child: this program, as [`child`].
pub(crate) fn inspector() -> io::Result<Inspector> {
    Ok(inspector_by(std::env::current_exe()?))
}

fn inspector_by(program: PathBuf) -> Inspector {
    Inspector {
        program,
        args: vec!["inspect".to_owned(), "--in-process".to_owned()],
    }
}

/// How a rehearsal's child is started: this program, as [`rehearsal`].
pub(crate) fn rehearser(home: &Home) -> io::Result<Rehearser> {
    Ok(Rehearser {
        program: std::env::current_exe()?,
        args: vec!["rehearsal".to_owned()],
        images: home.images(),
    })
}

/// `host rehearsal`: the child of a rehearsal, which hears on standard input what to
/// rehearse.
pub(crate) fn rehearsal(images: &Path) -> u8 {
    u8::from(rehearsal_main(images) != 0)
}

/// `host inspect --in-process`: opens the library in this process, and prints the
/// loader's report.
pub(crate) fn child(file: &Path) -> u8 {
    u8::from(inspect_main(file) != 0)
}

/// Shows a library's manifest. It is opened in a child, so that one which crashes or
/// exits is refused with a message.
pub(crate) fn inspect(file: &Path, out: &mut Output<'_>) -> Result<u8, Failure> {
    let manifest = manifest(file)?;
    out.document(&manifest, text)?;
    Ok(0)
}

/// The manifest of the library at `file`, asked for in a child.
fn manifest(file: &Path) -> Result<PluginManifest, Failure> {
    let program = std::env::current_exe();
    let program =
        program.map_err(|e| Failure::refused("bad_plugin", format!("find this program: {e}")))?;
    manifest_by(&program, file)
}

/// As [`manifest`], in a child that is this host.
pub(crate) fn manifest_by(program: &Path, file: &Path) -> Result<PluginManifest, Failure> {
    let failed = |e: anyhow::Error| {
        Failure::refused("bad_plugin", format!("inspect {}: {e:#}", file.display()))
    };
    let images = tempfile::tempdir().map_err(|e| failed(e.into()))?;
    let loader = Loader::new(images.path(), inspector_by(program.to_owned()))
        .map_err(|e| failed(e.into()))?;
    loader
        .inspect(file, None, None)
        .map_err(|e| failed(e.into()))
}

/// `host replay`: the child of a proof, which says on standard input what to replay.
pub(crate) fn replay() -> Result<u8, Failure> {
    let inspector = inspector()
        .map_err(|e| Failure::refused("io", format!("find this program for a replay: {e}")))?;
    Ok(u8::from(host_proof::replay_main(inspector) != 0))
}

fn text(manifest: &PluginManifest) -> String {
    let list = |names: &[String]| match names {
        [] => "none".to_owned(),
        names => names.join(", "),
    };
    let keys: Vec<_> = manifest
        .idempotency
        .iter()
        .map(|(command, field)| format!("{command}.{field}"))
        .collect();
    let from = manifest.migrates_from.as_ref();
    let mut table = Table::facts();
    table.fact("plugin", format!("{} {}", manifest.name, manifest.version));
    table.fact("sdk", manifest.sdk.to_string());
    table.fact("state schema", manifest.state_schema.to_string());
    table.fact(
        "migrates from",
        from.map_or("nothing".to_owned(), ToString::to_string),
    );
    table.fact("commands", list(&manifest.commands));
    table.fact("queries", list(&manifest.queries));
    table.fact("idempotency keys", list(&keys));
    let settings = manifest.settings.iter();
    let settings = settings.map(|setting| {
        let default = match (&setting.default, setting.required) {
            (Some(default), _) => format!("={default}"),
            (None, true) => " (required)".to_owned(),
            (None, false) => String::new(),
        };
        format!("{}{default}", setting.key(&manifest.name))
    });
    table.fact("settings", list(&settings.collect::<Vec<_>>()));
    table.text()
}

#[cfg(test)]
mod tests {
    use host_model::Version;
    use host_model::setting::{PluginSetting, SettingKind};

    use super::*;

    #[test]
    fn a_manifest_for_people() {
        let manifest = PluginManifest {
            name: "donations".to_owned(),
            version: Version::new(0, 2, 0),
            sdk: Version::new(0, 1, 0),
            state_schema: 2,
            commands: vec!["open".to_owned(), "donate".to_owned()],
            queries: Vec::new(),
            idempotency: [("donate".to_owned(), "donation_id".to_owned())].into(),
            migrates_from: Some("~0.1".parse().unwrap()),
            settings: vec![PluginSetting {
                name: "largest_gift".to_owned(),
                kind: SettingKind::Decimal,
                default: Some("1000000".to_owned()),
                required: false,
                secret: false,
                about: "beyond it a gift is refused".to_owned(),
            }],
            schemas: Default::default(),
        };
        assert_eq!(
            text(&manifest),
            "\
plugin            donations 0.2.0
sdk               0.1.0
state schema      2
migrates from     ~0.1
commands          open, donate
queries           none
idempotency keys  donate.donation_id
settings          DONATIONS_LARGEST_GIFT=1000000
"
        );
    }
}
