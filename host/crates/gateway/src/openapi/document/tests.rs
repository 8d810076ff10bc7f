//! The document of plugins that say much, little or nothing of themselves. Whether it is one
//! of OpenAPI is held from outside, by a validator of others (`tests/js/openapi.mjs`).

use super::*;

fn manifest(name: &str, schemas: Value) -> PluginManifest {
    let schemas = json!({
        "name": name,
        "version": "0.2.0",
        "sdk": "0.1.0",
        "state_schema": 1,
        "commands": ["donate", "touch"],
        "queries": ["assess", "counted"],
        "idempotency": { "donate": "donation_id" },
        "schemas": schemas,
    });
    serde_json::from_value(schemas).unwrap()
}

fn described() -> PluginManifest {
    manifest(
        "donations",
        json!({
            "commands": {
                "donate": {
                    "type": "object",
                    "description": "Takes a gift.\n\nOnce.",
                    "properties": {
                        "donation_id": { "type": "string" },
                        "on": { "$ref": "#/$defs/Day", "description": "When." },
                    },
                    "required": ["donation_id"],
                },
                "touch": { "type": "object" },
            },
            "queries": {
                "assess": {
                    "type": "object",
                    "properties": {
                        "nisab": { "oneOf": [{ "const": "gold" }, { "const": "silver" }] },
                        "prices": { "$ref": "#/$defs/Prices", "description": "Of a gram." },
                        "as_of": { "anyOf": [{ "$ref": "#/$defs/Day" }, { "type": "null" }] },
                        "limit": { "type": ["integer", "null"] },
                    },
                    "required": ["nisab"],
                },
                "counted": {
                    "type": "object",
                    "properties": { "least": { "type": "integer" } },
                    "required": ["least"],
                },
            },
            "definitions": {
                "Day": { "type": "string", "format": "date" },
                "Prices": {
                    "type": "object",
                    "properties": { "gold": { "type": ["string", "null"] } },
                    "additionalProperties": { "type": "string" },
                },
            },
        }),
    )
}

fn document(plugins: &[&PluginManifest]) -> Value {
    of(&Version::new(0, 2, 0), plugins)
}

#[test]
fn a_command_is_a_post_with_its_body_and_its_key() {
    let document = document(&[&described()]);
    assert_eq!(document["info"]["version"], "0.2.0");
    let path = &document["paths"]["/api/v1/donations/{key}/donate"];
    assert!(path.get("get").is_none());
    let post = &path["post"];
    assert_eq!(post["summary"], "Takes a gift");
    assert_eq!(post["x-idempotency-field"], "donation_id");
    let description = post["description"].as_str().unwrap();
    assert!(
        description.starts_with("Takes a gift.\n\nOnce."),
        "{description}"
    );
    let key = json!({ "$ref": "#/components/parameters/idempotency-key" });
    assert!(post["parameters"].as_array().unwrap().contains(&key));
    assert_eq!(post["requestBody"]["required"], true);
    let schema = &post["requestBody"]["content"]["application/json"]["schema"];
    assert_eq!(
        schema["properties"]["on"]["$ref"],
        "#/components/schemas/donations.Day"
    );
    assert_eq!(
        document["components"]["schemas"]["donations.Day"]["format"],
        "date"
    );
    let touch = &document["paths"]["/api/v1/donations/{key}/touch"]["post"];
    assert_eq!(touch["requestBody"]["required"], false);
}

#[test]
fn a_query_is_a_get_of_what_a_query_string_can_say() {
    let document = document(&[&described()]);
    let path = &document["paths"]["/api/v1/donations/{key}/assess"];
    let parameters = path["get"]["parameters"].as_array().unwrap();
    let named = |name: &str| parameters.iter().find(|it| it["name"] == name);
    let nisab = named("nisab").unwrap();
    assert_eq!(
        (&nisab["required"], &nisab["style"]),
        (&json!(true), &json!("form"))
    );
    let prices = named("prices").unwrap();
    assert_eq!(prices["style"], "deepObject");
    assert_eq!(prices["description"], "Of a gram.");
    assert_eq!(
        prices["schema"]["$ref"],
        "#/components/schemas/donations.Prices"
    );
    assert_eq!(named("as_of").unwrap()["style"], "form");
    assert!(named("limit").is_none(), "a query string has no numbers");
    assert!(path["get"].get("requestBody").is_none());
    assert!(path["post"]["requestBody"].is_object());
    assert!(path["get"]["responses"]["304"].is_object());
    let counted = &document["paths"]["/api/v1/donations/{key}/counted"];
    assert!(counted.get("get").is_none(), "it needs a number");
    assert!(counted["post"].is_object());
}

#[test]
fn a_plugin_that_says_nothing_of_its_shapes_takes_any_object() {
    let silent = manifest("old", json!({}));
    let document = document(&[&silent, &described()]);
    let paths = document["paths"].as_object().unwrap();
    assert_eq!(paths.len(), 8);
    let donate = &paths["/api/v1/old/{key}/donate"]["post"];
    let schema = &donate["requestBody"]["content"]["application/json"]["schema"];
    assert_eq!(*schema, json!({ "type": "object" }));
    assert_eq!(donate["summary"], "donate");
    let parameters = paths["/api/v1/old/{key}/assess"]["get"]["parameters"].clone();
    assert!(
        parameters
            .as_array()
            .unwrap()
            .iter()
            .any(|it| it["name"] == "arguments")
    );
}

#[test]
fn every_reference_leads_somewhere() {
    fn references(value: &Value, found: &mut Vec<String>) {
        match value {
            Value::Object(members) => {
                for (name, member) in members {
                    match member.as_str().filter(|_| name == "$ref") {
                        Some(to) => found.push(to.to_owned()),
                        None => references(member, found),
                    }
                }
            }
            Value::Array(items) => items.iter().for_each(|it| references(it, found)),
            _ => {}
        }
    }
    let document = document(&[&described(), &manifest("old", json!({}))]);
    let mut found = Vec::new();
    references(&document, &mut found);
    assert!(found.len() > 20);
    for reference in found {
        let to = document.pointer(reference.strip_prefix('#').unwrap());
        assert!(to.is_some_and(Value::is_object), "{reference}");
    }
}

#[test]
fn a_type_that_contains_itself_ends() {
    let mut manifest = described();
    let circle = json!({ "anyOf": [{ "$ref": "#/$defs/Circle" }] });
    manifest.schemas.definitions.insert("Circle".into(), circle);
    let query = json!({ "type": "object", "properties": { "it": { "$ref": "#/$defs/Circle" } } });
    manifest.schemas.queries.insert("assess".into(), query);
    let document = document(&[&manifest]);
    let get = &document["paths"]["/api/v1/donations/{key}/assess"]["get"];
    assert_eq!(get["parameters"].as_array().unwrap().len(), 2);
}

#[test]
fn an_event_stands_in_a_path_as_a_path_has_it() {
    assert_eq!(segment("cancel_pledge"), "cancel_pledge");
    assert_eq!(segment("a/{b} c"), "a%2F%7Bb%7D%20c");
}
