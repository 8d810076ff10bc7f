//! `host config check` and `host config show`.

use host_cli::args::Config as Command;
use host_cli::{Failure, Output, Table};
use serde_json::json;

use super::{Store, resolved};
use crate::launcher::Found;
use crate::settings::KEYS;

pub(crate) fn run(command: Command, found: &Found, out: &mut Output<'_>) -> Result<u8, Failure> {
    match command {
        Command::Check => check(found, out)?,
        Command::Show => show(found, out)?,
        Command::Resolve { release } => return resolved::resolve(found, &release, out),
    }
    for warning in found.settings.warnings() {
        out.warn(warning);
    }
    Ok(0)
}

fn check(found: &Found, out: &mut Output<'_>) -> Result<(), Failure> {
    let config = found.config()?;
    let default = matches!(config.store, Store::Sqlite { default: true, .. });
    let document = json!({
        "ok": true,
        "embedded_default_store": default,
        "warnings": config.warnings,
    });
    out.document(&document, |_| {
        let store = if default {
            "; the store is the embedded default"
        } else {
            ""
        };
        format!("the configuration is sound{store}")
    })?;
    Ok(())
}

fn show(found: &Found, out: &mut Output<'_>) -> Result<(), Failure> {
    let rows: Vec<_> = KEYS
        .iter()
        .filter_map(|&key| {
            let setting = found.settings.get(key)?;
            let value = resolved::shown(key, setting.value);
            Some(json!({ "key": key, "value": value, "from": setting.from }))
        })
        .collect();
    out.document(&rows, |rows| {
        let mut table = Table::new(&["setting", "value", "from"]);
        for row in rows {
            let cell = |key: &str| row[key].as_str().unwrap_or_default().to_owned();
            table.row([cell("key"), cell("value"), cell("from")]);
        }
        table.text()
    })?;
    Ok(())
}
