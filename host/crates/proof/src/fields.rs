//! All fields in which two values differ, be they MessagePack or JSON.

use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::fmt;

use crate::difference::Difference;
use crate::value::Value;

/// The fields in which `other` differs from `one`: of each subtree that differs, the
/// places furthest down. `field` stands before each of them. At most `max`, and at
/// least one where the two differ.
pub(crate) fn differing(
    field: &str,
    one: &Value<'_>,
    other: &Value<'_>,
    max: usize,
) -> Vec<Difference> {
    undeclared(field, one, other, max, &mut Declared::default())
}

/// All places in `one` that `other` has otherwise or not at all, furthest down: where
/// `other` has nothing like a subtree, each place of that.
pub(crate) fn gone(field: &str, one: &Value<'_>, other: &Value<'_>) -> Vec<Difference> {
    let mut declared = Declared::default();
    let mut found = Found {
        list: Vec::new(),
        max: usize::MAX,
        declared: &mut declared,
    };
    if one != other {
        leaves(field, one, Some(other), &mut found);
    }
    found.list
}

/// Of two that differ.
fn leaves(field: &str, one: &Value<'_>, other: Option<&Value<'_>>, found: &mut Found<'_, '_>) {
    match one {
        Value::Map(ones) if !ones.is_empty() => {
            let others: &Entries<'_> = match other {
                Some(Value::Map(others)) => others,
                _ => &[],
            };
            if are_in_line(ones, others) {
                for ((key, one), (_, other)) in ones.iter().zip(others) {
                    if one != other {
                        leaves(&below(field, key), one, Some(other), found);
                    }
                }
                return;
            }
            let index: HashMap<_, _> = others.iter().map(|(key, it)| (named(key), it)).collect();
            for (key, one) in ones {
                let other = index.get(&named(key)).copied();
                if other != Some(one) {
                    leaves(&below(field, key), one, other, found);
                }
            }
        }
        Value::List(ones) if !ones.is_empty() => {
            let others = match other {
                Some(Value::List(others)) => others.as_slice(),
                _ => &[],
            };
            for (at, one) in ones.iter().enumerate() {
                if others.get(at) != Some(one) {
                    leaves(&format!("{field}[{at}]"), one, others.get(at), found);
                }
            }
        }
        _ => told(field, Some(one), other, found),
    }
}

/// As [`differing`], without the fields that may differ: of these, `declared` takes the
/// names. What they have on either side is not put into words.
pub(crate) fn undeclared(
    field: &str,
    one: &Value<'_>,
    other: &Value<'_>,
    max: usize,
    declared: &mut Declared<'_>,
) -> Vec<Difference> {
    let mut found = Found {
        list: Vec::new(),
        max,
        declared,
    };
    if one != other {
        compare(field, one, other, &mut found);
    }
    found.list
}

/// Fields that may differ, and do.
#[derive(Debug, Default)]
pub(crate) struct Declared<'a> {
    /// Which may; those below them, too.
    pub(crate) may: &'a [String],
    /// Which do, each once.
    pub(crate) found: Vec<String>,
}

impl Declared<'_> {
    /// Whether it may differ. That it does is taken down, for about `max` fields.
    pub(crate) fn takes(&mut self, field: &str, max: usize) -> bool {
        let takes = is_below(field, self.may);
        if takes && self.found.len() < max && !self.found.iter().any(|it| it == field) {
            self.found.push(field.to_owned());
        }
        takes
    }
}

/// What those entries of two values are called that differ. An item of a list has no name of
/// its own, so all texts in it may be that.
pub(crate) fn changed_names(one: &Value<'_>, other: &Value<'_>) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    changed(one, other, &mut found);
    found
}

fn changed(one: &Value<'_>, other: &Value<'_>, found: &mut BTreeSet<String>) {
    match (one, other) {
        (Value::Map(ones), Value::Map(others)) => {
            let index: HashMap<_, _> = ones.iter().map(|(key, it)| (named(key), it)).collect();
            let mut seen = HashSet::new();
            for (key, other) in others {
                let key = named(key);
                let one = index.get(&key).copied();
                if one.is_none_or(|one| one != other) {
                    found.insert(key.1.clone().into_owned());
                }
                if let Some(one) = one.filter(|one| *one != other) {
                    changed(one, other, found);
                }
                seen.insert(key);
            }
            let gone = index.keys().filter(|key| !seen.contains(*key));
            found.extend(gone.map(|(_, name)| name.clone().into_owned()));
        }
        (Value::List(ones), Value::List(others)) => {
            let shared = ones.len().min(others.len());
            let pairs = ones.iter().zip(others).filter(|(one, other)| one != other);
            let items = pairs.flat_map(|(one, other)| [one, other]);
            let more = ones[shared..].iter().chain(&others[shared..]);
            items.chain(more).for_each(|item| texts(item, found));
        }
        _ => {}
    }
}

/// All texts in a value, but for the names of its fields.
pub(crate) fn texts(value: &Value<'_>, found: &mut BTreeSet<String>) {
    match value {
        Value::Text(text) => {
            found.insert(text.clone().into_owned());
        }
        Value::List(items) => items.iter().for_each(|item| texts(item, found)),
        Value::Map(entries) => entries.iter().for_each(|(_, value)| texts(value, found)),
        _ => {}
    }
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

struct Found<'a, 'd> {
    list: Vec<Difference>,
    max: usize,
    declared: &'a mut Declared<'d>,
}

impl Found<'_, '_> {
    fn is_full(&self) -> bool {
        self.list.len() >= self.max
    }

    fn add(&mut self, field: &str, one: &dyn fmt::Display, other: &dyn fmt::Display) {
        if !self.is_full() && !self.declared.takes(field, self.max) {
            self.list.push(Difference {
                field: field.to_owned(),
                one: one.to_string(),
                other: other.to_string(),
            });
        }
    }
}

/// Names the places in which two values differ that do.
fn compare(field: &str, one: &Value<'_>, other: &Value<'_>, found: &mut Found<'_, '_>) {
    if found.is_full() {
        return;
    }
    match (one, other) {
        (Value::Map(ones), Value::Map(others)) => {
            if !entries(field, ones, others, found) {
                // The same entries in another order.
                found.add(field, one, other);
            }
        }
        (Value::List(ones), Value::List(others)) => {
            for (at, (one, other)) in ones.iter().zip(others).enumerate() {
                if one != other {
                    compare(&format!("{field}[{at}]"), one, other, found);
                }
            }
            let shared = ones.len().min(others.len());
            let more = ones[shared..].iter().map(|it| (Some(it), None));
            let more = more.chain(others[shared..].iter().map(|it| (None, Some(it))));
            for (at, (one, other)) in more.enumerate() {
                told(&format!("{field}[{}]", shared + at), one, other, found);
            }
        }
        _ => found.add(field, one, other),
    }
}

type Entries<'a> = [(Value<'a>, Value<'a>)];

/// Whether two maps have the same keys in the same order.
fn are_in_line(ones: &Entries<'_>, others: &Entries<'_>) -> bool {
    ones.len() == others.len() && ones.iter().zip(others).all(|(one, other)| one.0 == other.0)
}

/// Gives whether an entry differs.
fn entries(
    field: &str,
    ones: &Entries<'_>,
    others: &Entries<'_>,
    found: &mut Found<'_, '_>,
) -> bool {
    let mut differs = false;
    if are_in_line(ones, others) {
        for ((key, one), (_, other)) in ones.iter().zip(others) {
            if one != other {
                differs = true;
                compare(&below(field, key), one, other, found);
            }
        }
        return differs;
    }
    // Not in step: by key. Maps here are small, or differ by little.
    let index: HashMap<_, _> = others.iter().map(|(key, it)| (named(key), it)).collect();
    let mut seen = HashSet::new();
    for (key, one) in ones {
        let other = index.get(&named(key)).copied();
        if other.is_none_or(|other| one != other) {
            differs = true;
            match other {
                Some(other) => compare(&below(field, key), one, other, found),
                None => told(&below(field, key), Some(one), None, found),
            }
        }
        seen.insert(named(key));
    }
    for (key, other) in others {
        if !seen.contains(&named(key)) {
            differs = true;
            told(&below(field, key), None, Some(other), found);
        }
    }
    differs
}

/// What a key is found again by: whether it is a text, for `1` is not `"1"`, and what it
/// says.
fn named<'a>(key: &'a Value<'_>) -> (bool, Cow<'a, str>) {
    match key {
        Value::Text(text) => (true, Cow::Borrowed(text)),
        key => (false, Cow::Owned(key.to_string())),
    }
}

fn below(field: &str, key: &Value<'_>) -> String {
    match key {
        Value::Text(name) if field.is_empty() => name.clone().into_owned(),
        Value::Text(name) => format!("{field}.{name}"),
        key => format!("{field}[{key}]"),
    }
}

fn told(
    field: &str,
    one: Option<&Value<'_>>,
    other: Option<&Value<'_>>,
    found: &mut Found<'_, '_>,
) {
    found.add(field, &Side(one), &Side(other));
}

/// What one of two has, or has not.
struct Side<'a>(Option<&'a Value<'a>>);

impl fmt::Display for Side<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(value) => value.fmt(f),
            None => f.write_str(NOTHING),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(json: &str) -> Value<'_> {
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
    fn what_has_changed_is_called_by_its_name() {
        let names = |one, other| {
            let found = changed_names(&value(one), &value(other));
            found.into_iter().collect::<Vec<_>>()
        };
        let one = r#"{"gifts":{"d1":{"of":"a","in":"USD"},"d2":1},"sums":{"USD":1}}"#;
        let other = r#"{"gifts":{"d1":{"of":"b","in":"USD"},"d3":1},"sums":{"USD":1}}"#;
        assert_eq!(names(one, other), ["d1", "d2", "d3", "gifts", "of"]);
        assert_eq!(names(one, one), [""; 0]);
        // In a list it is any of the texts.
        assert_eq!(
            names(
                r#"[{"id":"d1","n":1}]"#,
                r#"[{"id":"d1","n":2},{"id":"d2"}]"#
            ),
            ["d1", "d2"]
        );
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
