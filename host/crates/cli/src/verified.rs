//! What verification says of a release, and a reload of the configuration, for people.

use host_model::control::{ConfigChange, ConfigValue};

use crate::table::Table;

/// What changes in the configuration, what is worth knowing, and what stands in the way;
/// nothing where there is none of it.
pub(crate) fn text(problems: &[String], notes: &[String], config: &[ConfigChange]) -> String {
    let mut text = String::new();
    if !config.is_empty() {
        text += "\nconfiguration\n\n";
        text += &changes(config);
    }
    if !notes.is_empty() {
        text += "\nnotes\n\n";
        for note in notes {
            text += &format!("  - {note}\n");
        }
    }
    if !problems.is_empty() {
        text += "\nIT WOULD BE REFUSED:\n";
        for problem in problems {
            text += &format!("  - {problem}\n");
        }
    }
    text
}

/// What a reload has changed, and what waits.
pub(crate) fn reloaded(config: &[ConfigChange]) -> String {
    match config {
        [] => "nothing has changed".to_owned(),
        config => changes(config),
    }
}

fn changes(config: &[ConfigChange]) -> String {
    let shown = |value: &Option<ConfigValue>| match value {
        Some(value) => format!("{} ({})", value.value, value.from),
        None => "-".to_owned(),
    };
    let mut table = Table::new(&["setting", "now", "then", "takes effect"]);
    for change in config {
        table.row([
            change.key.clone(),
            shown(&change.before),
            shown(&change.after),
            change.applies.name().to_owned(),
        ]);
    }
    table.text()
}

#[cfg(test)]
mod tests {
    use host_model::control::Applies;

    use super::*;

    #[test]
    fn a_diff_and_problems() {
        assert_eq!(text(&[], &[], &[]), "");
        assert_eq!(reloaded(&[]), "nothing has changed");
        let value = |value: &str, from: &str| {
            Some(ConfigValue {
                value: value.to_owned(),
                from: from.to_owned(),
            })
        };
        let config = [
            ConfigChange {
                key: "RUST_LOG".to_owned(),
                before: None,
                after: value("debug", "releases/0.2.0/env"),
                applies: Applies::AtTheSwitch,
            },
            ConfigChange {
                key: "RUNTIME_THREADS".to_owned(),
                before: value("2", "a"),
                after: value("4", "b"),
                applies: Applies::AfterARestart,
            },
        ];
        let shown = text(
            &["it is not signed".to_owned()],
            &["release 0.1.0 has another".to_owned()],
            &config,
        );
        assert_eq!(
            shown,
            "
configuration

SETTING          NOW    THEN                        TAKES EFFECT
RUST_LOG         -      debug (releases/0.2.0/env)  at the switch
RUNTIME_THREADS  2 (a)  4 (b)                       after a restart

notes

  - release 0.1.0 has another

IT WOULD BE REFUSED:
  - it is not signed
"
        );
    }
}
