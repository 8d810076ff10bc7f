//! A name and a payload, and how they become an author's enum.

use std::iter::{self, Empty};

use serde::de::value::MapDeserializer;
use serde::de::{
    self, DeserializeOwned, DeserializeSeed, Deserializer, EnumAccess, IgnoredAny, VariantAccess,
    Visitor,
};
use serde::{Deserialize, Serialize, forward_to_deserialize_any};

use crate::Rejection;

#[cfg(test)]
mod tests;

/// A command as it travels: its name and its payload.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Message {
    /// Name of the command or timer.
    pub event: String,
    /// A JSON object.
    pub payload: serde_json::Value,
}

impl Message {
    /// A command named `event`.
    ///
    /// # Panics
    ///
    /// If the payload cannot be JSON (a map with keys that are no strings).
    pub fn new(event: impl Into<String>, payload: &impl Serialize) -> Self {
        Self {
            event: event.into(),
            payload: serde_json::to_value(payload).expect("a payload is JSON"),
        }
    }
}

/// Reads an enum whose variant is `event` and whose content is `payload`, in one
/// pass and without a copy. An empty payload counts as `{}`.
pub(crate) fn parse<T: DeserializeOwned>(event: &str, payload: &[u8]) -> Result<T, Rejection> {
    T::deserialize(Named { event, payload }).map_err(|e| rejection(event, e, &[]))
}

/// As [`parse`] reads a command. What is no query of `Q` either comes here too, so that
/// both are named where it is not known.
pub(crate) fn parse_command<C, Q>(event: &str, payload: &[u8]) -> Result<C, Rejection>
where
    C: DeserializeOwned,
    Q: DeserializeOwned,
{
    C::deserialize(Named { event, payload }).map_err(|e| rejection(event, e, names::<Q>()))
}

fn rejection(event: &str, error: ParseError, queries: &[&str]) -> Rejection {
    match error {
        ParseError::UnknownEvent { known } => {
            let known = known.join(", ");
            let mut message = format!("{event:?} is not known here; known are: {known}");
            if !queries.is_empty() {
                message.push_str(&format!("; its queries are: {}", queries.join(", ")));
            }
            Rejection::new("unknown_event", message)
        }
        ParseError::BadPayload(message) => Rejection::new(
            "bad_payload",
            format!("the payload of {event:?}: {message}"),
        ),
    }
}

/// The names of an enum's variants. Empty for a type that is no enum.
pub(crate) fn names<T: DeserializeOwned>() -> &'static [&'static str] {
    match T::deserialize(Named {
        event: "",
        payload: b"",
    }) {
        Err(ParseError::UnknownEvent { known }) => known,
        _ => &[],
    }
}

struct Named<'de> {
    event: &'de str,
    payload: &'de [u8],
}

#[derive(Debug, thiserror::Error)]
enum ParseError {
    #[error("unknown event")]
    UnknownEvent { known: &'static [&'static str] },
    #[error("{0}")]
    BadPayload(String),
}

impl de::Error for ParseError {
    fn custom<T: std::fmt::Display>(message: T) -> Self {
        Self::BadPayload(message.to_string())
    }

    // What is unknown inside a payload is an error of serde_json's, not this one.
    fn unknown_variant(_: &str, known: &'static [&'static str]) -> Self {
        Self::UnknownEvent { known }
    }
}

impl From<serde_json::Error> for ParseError {
    fn from(error: serde_json::Error) -> Self {
        Self::BadPayload(error.to_string())
    }
}

impl<'de> Deserializer<'de> for Named<'de> {
    type Error = ParseError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ParseError> {
        self.deserialize_enum("", &[], visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ParseError> {
        // No event has no name: so `names` asks for those that there are.
        if self.event.is_empty() {
            return Err(ParseError::UnknownEvent { known: variants });
        }
        visitor.visit_enum(self)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string
        bytes byte_buf option unit unit_struct newtype_struct seq tuple
        tuple_struct map struct identifier ignored_any
    }
}

impl<'de> EnumAccess<'de> for Named<'de> {
    type Error = ParseError;
    type Variant = Self;

    fn variant_seed<V: DeserializeSeed<'de>>(
        self,
        seed: V,
    ) -> Result<(V::Value, Self), ParseError> {
        let event = de::value::StrDeserializer::<ParseError>::new(self.event);
        Ok((seed.deserialize(event)?, self))
    }
}

impl<'de> Named<'de> {
    /// The payload through serde_json, to its last byte.
    fn read<T>(
        self,
        read: impl FnOnce(&mut Json<'de>) -> serde_json::Result<T>,
    ) -> Result<T, ParseError> {
        let mut json = serde_json::Deserializer::from_slice(self.payload);
        let value = read(&mut json)?;
        json.end()?;
        Ok(value)
    }
}

type Json<'de> = serde_json::Deserializer<serde_json::de::SliceRead<'de>>;

impl<'de> VariantAccess<'de> for Named<'de> {
    type Error = ParseError;

    fn unit_variant(self) -> Result<(), ParseError> {
        if self.payload.is_empty() {
            return Ok(());
        }
        self.read(|json| IgnoredAny::deserialize(json).map(drop))
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(
        self,
        seed: T,
    ) -> Result<T::Value, ParseError> {
        if self.payload.is_empty() {
            let payload = b"{}";
            return Self { payload, ..self }.newtype_variant_seed(seed);
        }
        // A payload is an object: serde_json would also read a struct from an
        // array, and a client must not come to rely on the order of its fields.
        if self.payload.trim_ascii_start().first() != Some(&b'{') {
            return Err(de::Error::custom("a payload is a JSON object"));
        }
        self.read(|json| seed.deserialize(json))
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, _: V) -> Result<V::Value, ParseError> {
        Err(de::Error::custom(
            "a variant of a command has named fields or holds one struct, it is no tuple",
        ))
    }

    /// Only an object will do: serde_json would also take an array for a struct.
    fn struct_variant<V: Visitor<'de>>(
        self,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ParseError> {
        if self.payload.is_empty() {
            return visitor.visit_map(nothing());
        }
        self.read(|json| json.deserialize_map(visitor))
    }
}

/// A map without entries.
fn nothing<'de>() -> MapDeserializer<'de, Empty<((), ())>, ParseError> {
    MapDeserializer::new(iter::empty())
}
