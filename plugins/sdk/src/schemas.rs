//! What a plugin's commands and queries look like, for those who are to send them.

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema};
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::plugin::Plugin;

/// JSON Schemas, draft 2020-12, as the manifest has them. Those of commands and queries
/// are of the payload; they refer to the definitions as `#/$defs/NAME`.
#[derive(Debug, Serialize)]
pub(crate) struct Schemas {
    /// Command name to its payload's schema.
    commands: Map<String, Value>,
    /// The same of queries.
    queries: Map<String, Value>,
    /// Types that several of them share, or that contain themselves.
    definitions: Map<String, Value>,
}

impl Schemas {
    pub(crate) fn of<P: Plugin>() -> Self {
        let mut generator = SchemaSettings::draft2020_12().into_generator();
        let commands = variants(P::Command::json_schema(&mut generator));
        let queries = variants(P::Query::json_schema(&mut generator));
        Self {
            commands,
            queries,
            definitions: generator.take_definitions(true),
        }
    }
}

/// The variants of an enum by their names, each with the schema of its content. Serde tags
/// a variant from outside: `{"donate": {...}}`, or `"touch"` where it has no content.
fn variants(schema: Schema) -> Map<String, Value> {
    let mut schema = schema.to_value();
    let alternatives = match schema.get_mut("oneOf").map(Value::take) {
        Some(Value::Array(alternatives)) => alternatives,
        _ => vec![schema],
    };
    alternatives.into_iter().flat_map(of_alternative).collect()
}

fn of_alternative(mut alternative: Value) -> Vec<(String, Value)> {
    let description = alternative.get_mut("description").map(Value::take);
    let empty = || json!({ "type": "object" });
    let named = |(name, mut schema): (String, Value)| {
        // One that takes anything is `true`.
        if !schema.is_object() {
            schema = empty();
        }
        if let Some(description) = &description {
            schema["description"] = description.clone();
        }
        (name, schema)
    };
    if let Some(Value::Object(tagged)) = alternative.get_mut("properties").map(Value::take) {
        return tagged.into_iter().map(named).collect();
    }
    let names = match (alternative.get("const"), alternative.get("enum")) {
        (Some(name), _) => std::slice::from_ref(name),
        (None, Some(Value::Array(names))) => names,
        (None, _) => &[],
    };
    let names = names.iter().filter_map(Value::as_str);
    names
        .map(|name| named((name.to_owned(), empty())))
        .collect()
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Deserialize, JsonSchema)]
    struct Gift {
        /// Decimal text.
        #[serde(rename = "amount")]
        _amount: String,
        #[serde(rename = "parts")]
        _parts: Option<Vec<Gift>>,
    }

    #[derive(Deserialize, JsonSchema)]
    #[serde(rename_all = "snake_case")]
    #[expect(dead_code, reason = "only its shape is looked at")]
    enum Command {
        /// Takes a gift.
        ///
        /// Once.
        Give {
            donation_id: String,
            #[serde(flatten)]
            gift: Gift,
        },
        /// Gives it back.
        GiveBack(Gift),
        Touch {},
        Unit,
        Anything(Value),
    }

    #[test]
    fn a_variant_has_the_schema_of_its_payload_and_its_own_words() {
        let mut generator = SchemaSettings::draft2020_12().into_generator();
        let found = variants(Command::json_schema(&mut generator));
        let names: Vec<_> = found.keys().map(String::as_str).collect();
        assert_eq!(names, ["anything", "give", "give_back", "touch", "unit"]);
        let give = &found["give"];
        assert_eq!(give["description"], "Takes a gift.\n\nOnce.");
        assert_eq!(give["type"], "object");
        assert_eq!(give["properties"]["amount"]["description"], "Decimal text.");
        assert_eq!(give["required"], json!(["donation_id", "amount"]));
        assert_eq!(found["give_back"]["$ref"], "#/$defs/Gift");
        assert_eq!(found["give_back"]["description"], "Gives it back.");
        for name in ["touch", "unit", "anything"] {
            assert_ne!(found[name].get("type"), Some(&json!("null")), "{name}");
            assert!(found[name].is_object(), "{name}");
        }
        let definitions = generator.take_definitions(true);
        assert!(definitions["Gift"]["properties"]["parts"].is_object());
    }

    #[test]
    fn an_enum_of_bare_names_and_what_is_no_enum_have_a_place_too() {
        #[derive(Deserialize, JsonSchema)]
        #[serde(rename_all = "snake_case")]
        enum Bare {
            One,
            Two,
        }
        let mut generator = SchemaSettings::draft2020_12().into_generator();
        let found = variants(Bare::json_schema(&mut generator));
        assert_eq!(found["one"], json!({ "type": "object" }));
        assert_eq!(found["two"], json!({ "type": "object" }));
        let none = variants(<()>::json_schema(&mut generator));
        assert_eq!(none, Map::new());
    }
}
