//! All fields in which two values differ, be they MessagePack or JSON.

use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::fmt;

use host_model::limits::REHEARSAL_NAMES_MAX;

use crate::difference::Difference;
use crate::value::Value;

/// Differences of two values that are looked at, where not all are to be told.
const LOOKED_AT_MAX: usize = 4_096;

/// The fields in which `other` differs from `one`: of each subtree that differs, the
/// places furthest down. `field` stands before each of them. At most `max`, and at
/// least one where the two differ; of places in one list the first, and of one map no more
/// than [`REHEARSAL_NAMES_MAX`] by name.
pub(crate) fn differing(
    field: &str,
    one: &Value<'_>,
    other: &Value<'_>,
    max: usize,
) -> Vec<Difference> {
    undeclared(field, one, other, max, &mut Declared::default())
}

/// The names of all places in which the two differ.
pub(crate) fn all_differing(field: &str, one: &Value<'_>, other: &Value<'_>) -> BTreeSet<String> {
    let mut declared = Declared::default();
    let mut found = Found::all(&mut declared);
    if one != other {
        compare(&Name::of(field), one, other, &mut found);
    }
    found.list.into_iter().map(|it| it.field).collect()
}

/// All places in `one` that `other` has otherwise or not at all, furthest down: where
/// `other` has nothing like a subtree, each place of that.
pub(crate) fn gone(field: &str, one: &Value<'_>, other: &Value<'_>) -> Vec<Difference> {
    let mut declared = Declared::default();
    let mut found = Found::all(&mut declared);
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
        _ => told(&Name::of(field), Some(one), other, found),
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
        told: HashSet::new(),
        looked_at: 0,
        max: Some(max),
        declared,
    };
    if one != other {
        compare(&Name::of(field), one, other, &mut found);
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
        self.takes_as(field, field, max)
    }

    fn takes_as(&mut self, field: &str, told: &str, max: usize) -> bool {
        let takes = is_below(field, self.may);
        if takes && self.found.len() < max && !self.found.iter().any(|it| it == told) {
            self.found.push(told.to_owned());
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
    /// Fields in the list, without places in lists.
    told: HashSet<String>,
    looked_at: usize,
    /// How many are told; none: each place that there is.
    max: Option<usize>,
    declared: &'a mut Declared<'d>,
}

impl<'a, 'd> Found<'a, 'd> {
    fn all(declared: &'a mut Declared<'d>) -> Self {
        Self {
            list: Vec::new(),
            told: HashSet::new(),
            looked_at: 0,
            max: None,
            declared,
        }
    }

    fn is_full(&self) -> bool {
        let is_over = |max| self.list.len() >= max || self.looked_at >= LOOKED_AT_MAX;
        self.max.is_some_and(is_over)
    }

    /// The name of what lies in the entry of a map, the entry being the `nth` that differs.
    fn below(&self, name: &Name, key: &Value<'_>, nth: usize) -> Name {
        let any = Value::Text(Cow::Borrowed("*"));
        let told = match key {
            Value::Text(_) if self.max.is_some() && nth > REHEARSAL_NAMES_MAX => &any,
            key => key,
        };
        Name {
            field: below(&name.field, key),
            told: below(&name.told, told),
        }
    }

    fn add(&mut self, name: &Name, one: &dyn fmt::Display, other: &dyn fmt::Display) {
        if self.is_full() {
            return;
        }
        let Name { field, told } = name;
        let most = self.max.unwrap_or(usize::MAX);
        if self.declared.takes_as(field, told, most) {
            return;
        }
        // What is declared hides nothing that is not.
        self.looked_at += 1;
        if self.max.is_none() || self.told.insert(without_places(told)) {
            self.list.push(Difference {
                field: told.clone(),
                one: one.to_string(),
                other: other.to_string(),
            });
        }
    }
}

/// What a place is called.
struct Name {
    /// The way to it.
    field: String,
    /// The same as it is told.
    told: String,
}

impl Name {
    fn of(field: &str) -> Self {
        Self {
            field: field.to_owned(),
            told: field.to_owned(),
        }
    }

    fn item(&self, at: usize) -> Self {
        Self {
            field: format!("{}[{at}]", self.field),
            told: format!("{}[{at}]", self.told),
        }
    }
}

/// Names the places in which two values differ that do.
fn compare(name: &Name, one: &Value<'_>, other: &Value<'_>, found: &mut Found<'_, '_>) {
    if found.is_full() {
        return;
    }
    match (one, other) {
        (Value::Map(ones), Value::Map(others)) => {
            if !entries(name, ones, others, found) {
                // The same entries in another order.
                found.add(name, one, other);
            }
        }
        (Value::List(ones), Value::List(others)) => {
            for (at, (one, other)) in ones.iter().zip(others).enumerate() {
                if one != other {
                    compare(&name.item(at), one, other, found);
                }
            }
            let shared = ones.len().min(others.len());
            let more = ones[shared..].iter().map(|it| (Some(it), None));
            let more = more.chain(others[shared..].iter().map(|it| (None, Some(it))));
            for (at, (one, other)) in more.enumerate() {
                told(&name.item(shared + at), one, other, found);
            }
        }
        _ => found.add(name, one, other),
    }
}

type Entries<'a> = [(Value<'a>, Value<'a>)];

/// Whether two maps have the same keys in the same order.
fn are_in_line(ones: &Entries<'_>, others: &Entries<'_>) -> bool {
    ones.len() == others.len() && ones.iter().zip(others).all(|(one, other)| one.0 == other.0)
}

/// Gives whether an entry differs.
fn entries(
    name: &Name,
    ones: &Entries<'_>,
    others: &Entries<'_>,
    found: &mut Found<'_, '_>,
) -> bool {
    let mut differing = 0;
    if are_in_line(ones, others) {
        for ((key, one), (_, other)) in ones.iter().zip(others) {
            if one != other {
                differing += 1;
                compare(&found.below(name, key, differing), one, other, found);
            }
        }
        return differing > 0;
    }
    let index: HashMap<_, _> = others.iter().map(|(key, it)| (named(key), it)).collect();
    let mut seen = HashSet::new();
    for (key, one) in ones {
        let other = index.get(&named(key)).copied();
        if other.is_none_or(|other| one != other) {
            differing += 1;
            let name = found.below(name, key, differing);
            match other {
                Some(other) => compare(&name, one, other, found),
                None => told(&name, Some(one), None, found),
            }
        }
        seen.insert(named(key));
    }
    for (key, other) in others {
        if !seen.contains(&named(key)) {
            differing += 1;
            told(&found.below(name, key, differing), None, Some(other), found);
        }
    }
    differing > 0
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
    name: &Name,
    one: Option<&Value<'_>>,
    other: Option<&Value<'_>>,
    found: &mut Found<'_, '_>,
) {
    found.add(name, &Side(one), &Side(other));
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
mod tests;
