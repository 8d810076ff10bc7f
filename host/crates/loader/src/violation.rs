//! A broken invariant, as a plugin's `check` describes it.

use std::fmt;

use serde_json::{Map, Value};

/// Characters that are shown of each of its parts: it stands in reasons, which are kept.
const SHOWN_CHARS_MAX: usize = 1_000;

/// A broken invariant, told in half a sentence: `the invariant "total >= 0": -2`.
///
/// What the SDK writes is an object of two texts, `invariant` and `found`. What else a
/// plugin says beside them or in their place is shown as well, each field by its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    invariant: Option<String>,
    found: Option<String>,
    /// Whatever else it says.
    more: Vec<String>,
}

impl Violation {
    /// What `document` says, which should be JSON.
    pub(crate) fn read(document: &[u8]) -> Self {
        let mut fields = match serde_json::from_slice(document) {
            Ok(Value::Object(fields)) => fields,
            Ok(other) => return Self::said(&shown(&other)),
            Err(_) => return Self::said(&String::from_utf8_lossy(document)),
        };
        Self {
            invariant: take(&mut fields, "invariant"),
            found: take(&mut fields, "found"),
            more: fields
                .iter()
                .map(|(name, value)| format!("{name}: {}", shown(value)))
                .collect(),
        }
    }

    /// In words of its own.
    fn said(words: &str) -> Self {
        Self {
            invariant: None,
            found: Some(words.to_owned()).filter(|words| !words.trim().is_empty()),
            more: Vec::new(),
        }
    }
}

fn take(fields: &mut Map<String, Value>, name: &str) -> Option<String> {
    fields.remove(name).map(|value| shown(&value))
}

/// A text as it is, anything else as JSON.
fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// On one line, and no more of it than a reader has use for; nothing in it moves a cursor.
fn short(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let line = line.replace(char::is_control, "\u{fffd}");
    match line.char_indices().nth(SHOWN_CHARS_MAX) {
        None => line,
        Some((end, _)) => format!("{}…", &line[..end]),
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.invariant {
            Some(invariant) => write!(f, "the invariant \"{}\"", short(invariant))?,
            None => f.write_str("an invariant")?,
        }
        let found = self.found.iter().cloned();
        let found: Vec<_> = found.chain(self.more.iter().cloned()).collect();
        match found.is_empty() {
            true => Ok(()),
            false => write!(f, ": {}", short(&found.join(", "))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(document: &str) -> String {
        Violation::read(document.as_bytes()).to_string()
    }

    #[test]
    fn it_is_told_in_words_with_all_that_the_plugin_says() {
        for (document, words) in [
            (
                r#"{"invariant":"a sum fits","found":"3 + 4 does not"}"#,
                r#"the invariant "a sum fits": 3 + 4 does not"#,
            ),
            (
                r#"{"invariant":"total >= 0","found":-2,"fund":"zakat"}"#,
                r#"the invariant "total >= 0": -2, fund: zakat"#,
            ),
            (
                r#"{"invariant":"total >= 0"}"#,
                r#"the invariant "total >= 0""#,
            ),
            (r#"{"total":-2}"#, "an invariant: total: -2"),
            (r#""it is negative""#, "an invariant: it is negative"),
            ("it is\n  negative", "an invariant: it is negative"),
            (
                r#"{"found":"\u001b]0;all is well\u0007"}"#,
                "an invariant: \u{fffd}]0;all is well\u{fffd}",
            ),
            ("", "an invariant"),
        ] {
            assert_eq!(told(document), words, "{document}");
        }
    }

    #[test]
    fn a_reason_has_room_for_it() {
        let long = told(&"é".repeat(3 * SHOWN_CHARS_MAX));
        assert_eq!(
            long.chars().count(),
            "an invariant: ".len() + SHOWN_CHARS_MAX + 1
        );
    }
}
