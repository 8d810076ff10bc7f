//! MessagePack as JSON, for people: leniently, for whatever a plugin's author writes
//! must be shown.
//!
//! | MessagePack | JSON |
//! |---|---|
//! | a key that is no string | its JSON as text: `{"7": ...}`, `{"[1,2]": ...}` |
//! | bytes, and with them integers of 128 bits | a list of numbers |
//! | an extension | a list of its type and its bytes |
//! | a float that is not finite | its text: `"NaN"`, `"inf"` |

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// The state, carry or snapshot in `bytes`.
///
/// # Errors
///
/// That it is no MessagePack.
pub(crate) fn shown(bytes: &[u8]) -> Result<Value, rmp_serde::decode::Error> {
    rmp_serde::from_slice(bytes).map(|Shown(value)| value)
}

/// A value as it is shown.
struct Shown(Value);

impl<'de> Deserialize<'de> for Shown {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Lenient).map(Self)
    }
}

/// Takes whatever comes.
struct Lenient;

impl<'de> Visitor<'de> for Lenient {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        let finite = Number::from_f64(value).map(Value::Number);
        Ok(finite.unwrap_or_else(|| value.to_string().into()))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_bytes<E: Error>(self, value: &[u8]) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_none<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, inner: D) -> Result<Value, D::Error> {
        inner.deserialize_any(self)
    }

    /// An extension comes as one: its type, then its bytes.
    fn visit_newtype_struct<D: Deserializer<'de>>(self, inner: D) -> Result<Value, D::Error> {
        inner.deserialize_any(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(Shown(item)) = items.next_element()? {
            list.push(item);
        }
        Ok(list.into())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some((Shown(key), Shown(value))) = entries.next_entry()? {
            let key = match key {
                Value::String(text) => text,
                other => other.to_string(),
            };
            map.insert(key, value);
        }
        Ok(map.into())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde::Serialize;
    use serde_json::json;

    use super::*;

    #[test]
    fn whatever_a_state_holds_is_shown() {
        #[derive(Serialize)]
        struct State {
            years: BTreeMap<u16, &'static str>,
            cells: BTreeMap<(i8, bool), Option<f64>>,
            large: i128,
            nothing: (),
            part: f64,
        }
        let state = State {
            years: [(1447, "paid")].into(),
            cells: [((-1, true), None)].into(),
            large: 258,
            nothing: (),
            part: f64::NAN,
        };
        let bytes = rmp_serde::to_vec_named(&state).unwrap();
        let large = [[0; 14].as_slice(), &[1, 2]].concat();
        assert_eq!(
            shown(&bytes).unwrap(),
            json!({
                "years": { "1447": "paid" },
                "cells": { "[-1,true]": null },
                "large": large,
                "nothing": null,
                "part": "NaN",
            })
        );
    }

    #[test]
    fn bytes_and_extensions_are_lists_of_numbers() {
        // {1: bin 07 ff, "e": fixext1 of type 5 with 09}
        let bytes = [0x82, 0x01, 0xc4, 2, 7, 255, 0xa1, b'e', 0xd4, 5, 9];
        let value = shown(&bytes).unwrap();
        assert_eq!(value, json!({ "1": [7, 255], "e": [5, [9]] }));
    }

    #[test]
    fn what_is_cut_off_is_no_state() {
        assert!(shown(&[0x82, 0x01]).is_err());
    }
}
