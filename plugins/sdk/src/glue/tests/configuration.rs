//! What a plugin declares, and what it is given.

use host_abi::{Bytes, Part, PluginVt, Status};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Counter, with_sink};
use crate::glue::{Configured, Plain, table};
use crate::{Configure, Setting};

#[derive(Debug, PartialEq, Deserialize)]
#[allow(
    unreachable_pub,
    reason = "the type of a public trait is as public as that"
)]
pub struct Config {
    most: u8,
    word: Option<String>,
    strict: bool,
}

impl Configure for Counter {
    type Config = Config;
    const SETTINGS: &'static [Setting] = &[
        Setting::integer("most", 1, 200)
            .required()
            .about("how much"),
        Setting::choice("word", &["a", "b"]).secret(),
        Setting::boolean("strict").default("no"),
    ];
}

fn configure(table: &PluginVt, config: &str) -> (Status, super::Answer) {
    // SAFETY: the text outlives the call; the sink is this call's.
    with_sink(|sink| unsafe { (table.configure)(Bytes::new(config.as_bytes()), sink) })
}

#[test]
fn a_plugin_without_settings_has_none() {
    let table = table::<Plain<Counter>>();
    // SAFETY: the sink is this call's.
    let (status, _) = with_sink(|sink| unsafe { (table.config)(sink) });
    assert_eq!(status, Status::ABSENT);
    assert_eq!(configure(&table, "{}").0, Status::ABSENT);
}

#[test]
fn settings_are_declared_and_given_typed_and_what_does_not_fit_changes_nothing() {
    let table = table::<Configured<Plain<Counter>>>();
    // SAFETY: the sink is this call's.
    let (status, answer) = with_sink(|sink| unsafe { (table.config)(sink) });
    assert_eq!(status, Status::OK);
    let declared: Value = answer.one(Part::DOCUMENT);
    let row = |name: &str, kind: Value, required: bool, secret: bool, about: &str| {
        let mut row = kind;
        row["name"] = name.into();
        row["required"] = required.into();
        row["secret"] = secret.into();
        row["about"] = about.into();
        row
    };
    let integer = json!({"kind": "integer", "min": 1, "max": 200});
    let choice = json!({"kind": "choice", "of": ["a", "b"]});
    let boolean = json!({"kind": "boolean", "default": "no"});
    assert_eq!(
        declared,
        json!([
            row("most", integer, true, false, "how much"),
            row("word", choice, false, true, ""),
            row("strict", boolean, false, false, ""),
        ])
    );
    // Nobody has given it anything yet: whoever asks breaks its own call.
    assert!(std::panic::catch_unwind(Counter::config).is_err());
    let (status, _) = configure(&table, r#"{"most":7,"strict":true}"#);
    assert_eq!(status, Status::OK);
    let first = Counter::config();
    assert_eq!((first.most, first.strict), (7, true));
    let (status, answer) = configure(&table, r#"{"most":700,"strict":true}"#);
    assert_eq!(status, Status::REJECTED);
    let refused: Value = answer.one(Part::REJECTION);
    assert_eq!(refused["reason"], "bad_config");
    assert_eq!(Counter::config(), first);
    let (status, _) = configure(&table, r#"{"most":8,"word":"a","strict":false}"#);
    assert_eq!(status, Status::OK);
    // Who has asked before keeps what there was.
    assert_eq!((first.most, Counter::config().most), (7, 8));
}
