//! All fields in which two values differ, be they MessagePack or JSON.

use std::collections::{HashMap, HashSet};

use crate::difference::Difference;
use crate::value::Value;

/// The fields in which `other` differs from `one`: of each subtree that differs, the
/// places furthest down. `field` stands before each of them. At most `max`, and at
/// least one where the two differ.
pub(crate) fn differing(field: &str, one: &Value, other: &Value, max: usize) -> Vec<Difference> {
    let mut found = Found {
        list: Vec::new(),
        max,
    };
    compare(field, one, other, &mut found);
    found.list
}

/// A field without the places in lists: `ledger[].amount` for `ledger[3].amount`.
#[must_use]
pub fn without_places(field: &str) -> String {
    let mut kept = String::with_capacity(field.len());
    let mut rest = field;
    while let Some((before, behind)) = rest.split_once('[') {
        let digits = behind.bytes().take_while(u8::is_ascii_digit).count();
        kept.push_str(before);
        kept.push('[');
        let is_place = digits > 0 && behind[digits..].starts_with(']');
        rest = if is_place { &behind[digits..] } else { behind };
    }
    kept.push_str(rest);
    kept
}

/// Whether `field` is one of `named`, or lies below one.
pub(crate) fn is_below(field: &str, named: &[String]) -> bool {
    let plain = without_places(field);
    let below = |named: &String, field: &str| {
        field
            .strip_prefix(named.as_str())
            .is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
    };
    named.iter().any(|it| below(it, field) || below(it, &plain))
}

/// How a side is told that has nothing there; a text has quotes.
pub(crate) const NOTHING: &str = "nothing";

struct Found {
    list: Vec<Difference>,
    max: usize,
}

impl Found {
    fn add(&mut self, field: &str, one: String, other: String) {
        if self.list.len() < self.max {
            self.list.push(Difference {
                field: field.to_owned(),
                one,
                other,
            });
        }
    }
}

fn compare(field: &str, one: &Value, other: &Value, found: &mut Found) {
    if found.list.len() >= found.max || one == other {
        return;
    }
    match (one, other) {
        (Value::Map(ones), Value::Map(others)) => {
            let before = found.list.len();
            entries(field, ones, others, found);
            if found.list.len() == before {
                // The same entries in another order, or numbers that are none.
                found.add(field, one.to_string(), other.to_string());
            }
        }
        (Value::List(ones), Value::List(others)) => {
            for (at, (one, other)) in ones.iter().zip(others).enumerate() {
                compare(&format!("{field}[{at}]"), one, other, found);
            }
            let shared = ones.len().min(others.len());
            let more = ones[shared..].iter().map(|it| (Some(it), None));
            let more = more.chain(others[shared..].iter().map(|it| (None, Some(it))));
            for (at, (one, other)) in more.enumerate() {
                told(&format!("{field}[{}]", shared + at), one, other, found);
            }
        }
        _ => found.add(field, one.to_string(), other.to_string()),
    }
}

type Entries = [(Value, Value)];

fn entries(field: &str, ones: &Entries, others: &Entries, found: &mut Found) {
    let in_line =
        ones.len() == others.len() && ones.iter().zip(others).all(|(one, other)| one.0 == other.0);
    if in_line {
        for ((key, one), (_, other)) in ones.iter().zip(others) {
            compare(&below(field, key), one, other, found);
        }
        return;
    }
    // Not in step: by key. Maps here are small, or differ by little.
    let index: HashMap<String, &Value> = others
        .iter()
        .map(|(key, value)| (key.to_string(), value))
        .collect();
    let mut seen = HashSet::new();
    for (key, one) in ones {
        let named = key.to_string();
        match index.get(&named) {
            Some(other) => compare(&below(field, key), one, other, found),
            None => told(&below(field, key), Some(one), None, found),
        }
        seen.insert(named);
    }
    for (key, other) in others {
        if !seen.contains(&key.to_string()) {
            told(&below(field, key), None, Some(other), found);
        }
    }
}

fn below(field: &str, key: &Value) -> String {
    match key {
        Value::Text(name) if field.is_empty() => name.clone(),
        Value::Text(name) => format!("{field}.{name}"),
        key => format!("{field}[{key}]"),
    }
}

fn told(field: &str, one: Option<&Value>, other: Option<&Value>, found: &mut Found) {
    let text = |value: Option<&Value>| value.map_or_else(|| NOTHING.to_owned(), Value::to_string);
    found.add(field, text(one), text(other));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(json: &str) -> Value {
        serde_json::from_str(json).unwrap()
    }

    fn fields(one: &str, other: &str) -> Vec<String> {
        let found = differing("", &value(one), &value(other), 32);
        found.into_iter().map(|it| it.field).collect()
    }

    #[test]
    fn each_place_that_differs_is_named() {
        assert_eq!(
            fields(r#"{"a":1,"b":[1,2]}"#, r#"{"a":1,"b":[1,2]}"#),
            [""; 0]
        );
        let found = fields(
            r#"{"a":1,"b":[1,{"x":2}],"gone":0}"#,
            r#"{"a":2,"b":[1,{"x":3},4],"new":0}"#,
        );
        assert_eq!(found, ["a", "b[1].x", "b[2]", "gone", "new"]);
        assert_eq!(fields("1", "2"), [""]);
        // The order of entries is part of a canonical state.
        assert_eq!(fields(r#"{"a":1,"b":2}"#, r#"{"b":2,"a":1}"#), [""]);
    }

    #[test]
    fn a_field_that_is_named_covers_what_lies_below_it() {
        let named = ["summary.funds".to_owned(), "state.ledger[].fund".to_owned()];
        for (field, covered) in [
            ("summary.funds", true),
            ("summary.funds.zakat.USD", true),
            ("summary.funds[2]", true),
            ("summary.fundsx", false),
            ("summary", false),
            ("state.ledger[7].fund", true),
            ("state.ledger[7].amount", false),
        ] {
            assert_eq!(is_below(field, &named), covered, "{field}");
        }
        assert_eq!(without_places("a[3].b[12][x]"), "a[].b[][x]");
    }

    #[test]
    fn no_more_than_a_bound_is_told() {
        let many: Vec<u32> = (0..1_000).collect();
        let more: Vec<u32> = (1..1_001).collect();
        let text = |list: &Vec<u32>| serde_json::to_string(list).unwrap();
        assert_eq!(fields(&text(&many), &text(&more)).len(), 32);
    }
}
