//! `host config check` and `host config show`.

use std::collections::BTreeMap;

use host_cli::args::Config as Command;
use host_cli::{Client, Failure, Output, Table};
use host_model::Version;
use host_model::control::Status;
use serde_json::{Value, json};

use super::{Environment, Store, clients, defaults, environment as environment_of, resolved};
use crate::checks;
use crate::keep::is_running;
use crate::launcher::Found;
use crate::on_runtime;
use crate::settings::{KEYS, Settings};

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
    let Some((rules, permanent)) = rules_for_now(found, out) else {
        let rows = rows(found, &found.settings);
        out.document(&rows, |rows| table(rows, None))?;
        return Ok(());
    };
    let release = found.home.releases().read(&rules);
    let release = release.map_err(|e| Failure::refused("not_installed", e.to_string()))?;
    let rows = beside(
        &rules,
        rows(found, &found.settings_of(&release, false)),
        rows(found, &found.settings),
    );
    out.document(&rows, |rows| table(rows, Some((&rules, &permanent))))?;
    Ok(())
}

/// The release that rules and the permanent one, where a host runs that is not sure of the
/// former yet.
fn rules_for_now(found: &Found, out: &Output<'_>) -> Option<(Version, Version)> {
    if !is_running(found) {
        return None;
    }
    let client = Client::new(&found.home.socket());
    match on_runtime(async move { client.get::<Status>("/v1/status").await }) {
        Ok(status) if status.version == status.permanent => None,
        Ok(status) => Some((status.version, status.permanent)),
        Err(failure) => {
            out.warn(&format!(
                "these are the settings of the release that a start boots; which one rules is not known: {failure}"
            ));
            None
        }
    }
}

/// All settings, by their names.
type Rows = Vec<Value>;

fn rows(found: &Found, settings: &Settings) -> Rows {
    // What cannot be read is told by `check`.
    let environment = settings.get("HOST_ENV");
    let environment = environment.and_then(|setting| environment_of(setting.value));
    let environment = environment.unwrap_or(Environment::Prod);
    let row = |&key: &&str| match settings.get(key) {
        Some(setting) => {
            let value = resolved::shown(key, setting.value);
            json!({ "key": key, "value": value, "from": setting.from })
        }
        None => match clients::derived(key, settings, environment) {
            Some(value) => json!({ "key": key, "value": value, "from": "derived" }),
            None => {
                let value = defaults::default(key, environment, &found.home);
                json!({ "key": key, "value": value, "from": "default" })
            }
        },
    };
    let of_plugins = settings.declared().iter().map(|(key, declared)| {
        let default = || declared.setting.default.as_deref();
        let (value, from) = match settings.get(key) {
            Some(_) if declared.setting.secret => (Some(resolved::SECRET), None),
            Some(setting) => (Some(setting.value), None),
            None => (default(), Some("default")),
        };
        let from = from.or_else(|| settings.get(key).map(|setting| setting.from));
        json!({ "key": key, "value": value, "from": from })
    });
    KEYS.iter().map(row).chain(of_plugins).collect()
}

/// The settings of the release that rules, each with what the permanent one has in its place
/// where that is another; what only one of the two knows, the other has not.
fn beside(rules: &Version, ruling: Rows, permanent: Rows) -> Rows {
    let mut permanent: BTreeMap<String, Value> = permanent
        .into_iter()
        .map(|row| (row["key"].to_string(), row))
        .collect();
    let mut rows = Vec::new();
    for mut row in ruling {
        let other = permanent.remove(&row["key"].to_string());
        let mut other = other.unwrap_or_else(|| json!({ "value": null, "from": null }));
        row["release"] = json!(rules);
        // What is secret to one of the two is shown of neither; then only where it is from can
        // be told.
        let is_secret = [&row, &other]
            .iter()
            .any(|it| it["value"] == resolved::SECRET);
        for one in [&mut row, &mut other] {
            if is_secret && !one["value"].is_null() {
                one["value"] = json!(resolved::SECRET);
            }
        }
        if row["value"] != other["value"] || is_secret && row["from"] != other["from"] {
            row["permanent"] = json!({ "value": other["value"], "from": other["from"] });
        }
        rows.push(row);
    }
    rows.extend(permanent.into_values().map(|row| {
        let permanent = json!({ "value": row["value"], "from": row["from"] });
        json!({
            "key": row["key"], "value": null, "from": null, "release": rules, "permanent": permanent
        })
    }));
    rows
}

/// `releases`: the one that rules, and the permanent one where that is another.
fn table(rows: &Rows, releases: Option<(&Version, &Version)>) -> String {
    let cell = |row: &Value, key: &str| row[key].as_str().unwrap_or("-").to_owned();
    let own = |row: &Value| [cell(row, "key"), cell(row, "value"), cell(row, "from")];
    let Some((rules, permanent)) = releases else {
        let mut table = Table::new(&["setting", "value", "from"]);
        rows.iter().for_each(|row| table.row(own(row)));
        return table.text();
    };
    let beside = format!("permanent {permanent}");
    let mut table = Table::new(&["setting", "value", "from", &beside]);
    for row in rows {
        let [key, value, from] = own(row);
        let other = row.get("permanent");
        let other = other.map(|it| format!("{} ({})", cell(it, "value"), cell(it, "from")));
        table.row([key, value, from, other.unwrap_or_default()]);
    }
    format!(
        "release {rules} rules, and {permanent} is permanent: that has the settings in the last column, where they are others\n\n{}",
        table.text()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_permanent_release_has_otherwise_stands_beside_what_rules() {
        let row = |key: &str, value: &str, from: &str| json!({ "key": key, "value": value, "from": from });
        let (rules, permanent) = (Version::new(0, 2, 0), Version::new(0, 1, 0));
        let rows = beside(
            &rules,
            vec![
                row("A", "1", "x"),
                row("B", "2", "x"),
                row("C", "4", "x"),
                row("KEY", "<secret>", "x"),
                row("NEW", "3", "x"),
            ],
            vec![
                row("A", "1", "x"),
                row("B", "7", "y"),
                row("C", "4", "y"),
                row("KEY", "plain", "y"),
                row("OLD", "9", "y"),
            ],
        );
        assert_eq!(
            table(&rows, Some((&rules, &permanent))),
            "\
release 0.2.0 rules, and 0.1.0 is permanent: that has the settings in the last column, where they are others

SETTING  VALUE     FROM  PERMANENT 0.1.0
A        1         x
B        2         x     7 (y)
C        4         x
KEY      <secret>  x     <secret> (y)
NEW      3         x     - (-)
OLD      -         -     9 (y)
"
        );
    }
}
