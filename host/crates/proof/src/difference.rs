//! Where two states differ first.

use std::fmt;

use crate::value::{Value, decode};

/// The first field in which two states differ.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// The way to it, such as `campaign.ledger[3].amount`; empty: the state as a whole.
    pub field: String,
    /// What the one has there.
    pub one: String,
    /// What the other has there.
    pub other: String,
}

impl Difference {
    /// Compares two states. None: their bytes are the same.
    #[must_use]
    pub fn of(one: &[u8], other: &[u8]) -> Option<Self> {
        if one == other {
            return None;
        }
        let found = match (decode(one), decode(other)) {
            (Some(one), Some(other)) => first("", &one, &other),
            _ => None,
        };
        // Not values, or the same ones written in two ways.
        Some(found.unwrap_or_else(|| bytes(one, other)))
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { field, one, other } = self;
        let field = if field.is_empty() { "the state" } else { field };
        write!(f, "{field} is {one} and then {other}")
    }
}

fn first(field: &str, one: &Value<'_>, other: &Value<'_>) -> Option<Difference> {
    if one == other {
        return None;
    }
    match (one, other) {
        (Value::Map(one), Value::Map(other)) => first_entry(field, one, other),
        (Value::List(one), Value::List(other)) => {
            let pairs = one.iter().zip(other).enumerate();
            let found = pairs
                .filter_map(|(at, (one, other))| first(&format!("{field}[{at}]"), one, other))
                .next();
            let count = |list: &[Value<'_>]| format!("{} items", list.len());
            found.or_else(|| of(field, count(one), count(other)))
        }
        _ => of(field, one.to_string(), other.to_string()),
    }
}

type Entries<'a> = [(Value<'a>, Value<'a>)];

fn first_entry(field: &str, one: &Entries<'_>, other: &Entries<'_>) -> Option<Difference> {
    for ((key, one_value), (other_key, other_value)) in one.iter().zip(other) {
        if key != other_key {
            let named = |key: &Value<'_>| format!("{key} next in its order");
            return of(field, named(key), named(other_key));
        }
        let name = match key {
            Value::Text(name) if field.is_empty() => name.clone().into_owned(),
            Value::Text(name) => format!("{field}.{name}"),
            key => format!("{field}[{key}]"),
        };
        if let Some(found) = first(&name, one_value, other_value) {
            return Some(found);
        }
    }
    let count = |entries: &Entries<'_>| format!("{} entries", entries.len());
    match one.len() == other.len() {
        // Floats that are no numbers are not even equal to themselves.
        true => None,
        false => of(field, count(one), count(other)),
    }
}

fn of(field: &str, one: String, other: String) -> Option<Difference> {
    Some(Difference {
        field: field.to_owned(),
        one,
        other,
    })
}

fn bytes(one: &[u8], other: &[u8]) -> Difference {
    let same = one.iter().zip(other).take_while(|(a, b)| a == b).count();
    let shown = |bytes: &[u8]| match bytes.get(same) {
        Some(byte) => format!("{} bytes with {byte:#04x} at {same}", bytes.len()),
        None => format!("{same} bytes"),
    };
    Difference {
        field: String::new(),
        one: shown(one),
        other: shown(other),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde::Serialize;

    use super::*;

    #[derive(Serialize)]
    struct State {
        title: &'static str,
        gifts: Vec<BTreeMap<&'static str, u32>>,
        by_fund: Vec<(&'static str, u32)>,
    }

    fn state(amount: u32) -> State {
        State {
            title: "T",
            gifts: vec![BTreeMap::new(), BTreeMap::from([("amount", amount)])],
            by_fund: Vec::new(),
        }
    }

    fn written(state: &impl Serialize) -> Vec<u8> {
        rmp_serde::to_vec_named(state).unwrap()
    }

    fn differ(one: &impl Serialize, other: &impl Serialize) -> String {
        Difference::of(&written(one), &written(other))
            .unwrap()
            .to_string()
    }

    #[test]
    fn the_first_field_is_named() {
        assert_eq!(
            Difference::of(&written(&state(1)), &written(&state(1))),
            None
        );
        assert_eq!(
            differ(&state(1), &state(2)),
            "gifts[1].amount is 1 and then 2"
        );
        let longer = State {
            by_fund: vec![("waqf", 3)],
            ..state(1)
        };
        assert_eq!(
            differ(&state(1), &longer),
            "by_fund is 0 items and then 1 items"
        );
        assert_eq!(
            differ(&BTreeMap::from([(1, true)]), &BTreeMap::from([(1, false)])),
            "[1] is true and then false"
        );
        assert_eq!(
            differ(
                &BTreeMap::from([("a", Some(1))]),
                &BTreeMap::from([("a", None::<u8>)])
            ),
            "a is 1 and then null"
        );
    }

    #[test]
    fn the_same_entries_in_another_order_differ() {
        // {"a": 1, "b": 2} and {"b": 2, "a": 1}
        let one = [0x82, 0xa1, b'a', 1, 0xa1, b'b', 2];
        let other = [0x82, 0xa1, b'b', 2, 0xa1, b'a', 1];
        let found = Difference::of(&one, &other).unwrap().to_string();
        assert_eq!(
            found,
            "the state is \"a\" next in its order and then \"b\" next in its order"
        );
    }

    #[test]
    fn bytes_that_are_no_values_or_the_same_ones_are_told_apart_all_the_same() {
        // 1 as one byte, and as two.
        let found = Difference::of(&[1], &[0xcc, 1]).unwrap().to_string();
        assert_eq!(
            found,
            "the state is 1 bytes with 0x01 at 0 and then 2 bytes with 0xcc at 0"
        );
        assert!(Difference::of(&[0xc1], &[]).is_some());
    }
}
