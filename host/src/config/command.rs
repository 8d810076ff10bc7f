//! `host config check` and `host config show`.

use host_cli::args::Config as Command;
use host_cli::{Failure, Output, Table};
use serde_json::json;

use super::{Environment, Store, clients, defaults, environment as environment_of, resolved};
use crate::checks;
use crate::launcher::Found;
use crate::settings::KEYS;

pub(crate) fn run(command: Command, found: &Found, out: &mut Output<'_>) -> Result<u8, Failure> {
    match command {
        Command::Check { .. } => return check(found, out),
        Command::Show => show(found, out)?,
        Command::Resolve { release } => return resolved::resolve(found, &release, out),
    }
    for warning in found.settings.warnings() {
        out.warn(&warning);
    }
    Ok(0)
}

fn check(found: &Found, out: &mut Output<'_>) -> Result<u8, Failure> {
    let config = checks::checked(found)?;
    for warning in &config.warnings {
        out.warn(warning);
    }
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
    Ok(0)
}

fn show(found: &Found, out: &mut Output<'_>) -> Result<(), Failure> {
    // What cannot be read is told by `check`.
    let environment = found.settings.get("HOST_ENV");
    let environment = environment.and_then(|setting| environment_of(setting.value));
    let environment = environment.unwrap_or(Environment::Prod);
    let row = |&key: &&str| match found.settings.get(key) {
        Some(setting) => {
            let value = resolved::shown(key, setting.value);
            json!({ "key": key, "value": value, "from": setting.from })
        }
        None => match clients::derived(key, &found.settings, environment) {
            Some(value) => json!({ "key": key, "value": value, "from": "derived" }),
            None => {
                let value = defaults::default(key, environment, &found.home);
                json!({ "key": key, "value": value, "from": "default" })
            }
        },
    };
    let of_plugins = found.settings.declared().iter().map(|(key, declared)| {
        let default = || declared.setting.default.as_deref();
        let (value, from) = match found.settings.get(key) {
            Some(_) if declared.setting.secret => (Some(resolved::SECRET), None),
            Some(setting) => (Some(setting.value), None),
            None => (default(), Some("default")),
        };
        let from = from.or_else(|| found.settings.get(key).map(|setting| setting.from));
        json!({ "key": key, "value": value, "from": from })
    });
    let rows: Vec<_> = KEYS.iter().map(row).chain(of_plugins).collect();
    out.document(&rows, |rows| {
        let mut table = Table::new(&["setting", "value", "from"]);
        for row in rows {
            let cell = |key: &str| row[key].as_str().unwrap_or("-").to_owned();
            table.row([cell("key"), cell("value"), cell("from")]);
        }
        table.text()
    })?;
    Ok(())
}
