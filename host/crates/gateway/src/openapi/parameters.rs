//! The parameters of requests.

use host_model::limits::{IDEMPOTENCY_KEY_BYTES_MAX, KEY_BYTES_MAX};
use host_model::manifest::PluginManifest;
use serde_json::{Map, Value, json};

use super::schema::{Said, moved, required, resolved, said};
use crate::limits::REQUEST_ID_BYTES_MAX;

/// Those that many requests have, by their names among the components.
pub(super) fn shared() -> Value {
    json!({
        "key": {
            "name": "key",
            "in": "path",
            "required": true,
            "description": "Which actor of its kind. An actor is there as soon as it is spoken to.",
            "schema": { "type": "string", "minLength": 1, "maxLength": KEY_BYTES_MAX },
        },
        "idempotency-key": {
            "name": "Idempotency-Key",
            "in": "header",
            "description": "Of the caller's own making. The same key again, with the same body, \
                            is answered with the first answer, for at least 24 hours; with \
                            another body it is a `conflict`.",
            "schema": {
                "type": "string",
                "minLength": 1,
                "maxLength": IDEMPOTENCY_KEY_BYTES_MAX,
                "pattern": "^[!-~]+$",
            },
        },
        "if-none-match": {
            "name": "If-None-Match",
            "in": "header",
            "description": "The `ETag` of an answer that the caller has: it is told where that \
                            is still the answer.",
            "schema": { "type": "string" },
        },
        "x-request-id": {
            "name": "X-Request-Id",
            "in": "header",
            "description": "The caller's name for this request, given back with the answer; one \
                            is made where there is none, or one of another form.",
            "schema": {
                "type": "string",
                "pattern": format!("^[A-Za-z0-9._:/+=@-]{{1,{REQUEST_ID_BYTES_MAX}}}$"),
            },
        },
    })
}

/// A shared one.
pub(super) fn shared_as(name: &str) -> Value {
    json!({ "$ref": format!("#/components/parameters/{name}") })
}

/// The query string's, of a query with this schema; none where a query string cannot say
/// what the query needs. A query without a schema takes what it likes.
pub(super) fn of_query(plugin: &PluginManifest, schema: Option<&Value>) -> Option<Vec<Value>> {
    let Some(schema) = schema.map(|it| resolved(plugin, it)) else {
        return Some(vec![anything()]);
    };
    let none = Map::new();
    let members = schema.get("properties").and_then(Value::as_object);
    let required: Vec<&str> = required(schema).collect();
    let mut parameters = Vec::new();
    for (name, member) in members.unwrap_or(&none) {
        let is_required = required.contains(&name.as_str());
        let style = match said(plugin, member) {
            Said::Text => "form",
            Said::Object => "deepObject",
            Said::Never if is_required => return None,
            Said::Never => continue,
        };
        let mut schema = moved(plugin, member);
        let description = schema
            .as_object_mut()
            .and_then(|it| it.remove("description"));
        let mut parameter = json!({
            "name": name,
            "in": "query",
            "required": is_required,
            "style": style,
            "explode": true,
            "schema": schema,
        });
        if let Some(description) = description {
            parameter["description"] = description;
        }
        parameters.push(parameter);
    }
    let more = ["allOf", "anyOf", "oneOf", "additionalProperties"];
    if more
        .iter()
        .any(|it| schema.get(*it).is_some_and(|it| *it != Value::Bool(false)))
    {
        parameters.push(anything());
    }
    Some(parameters)
}

/// Any arguments: what the schema does not name one by one.
fn anything() -> Value {
    json!({
        "name": "arguments",
        "in": "query",
        "style": "form",
        "explode": true,
        "description": "Any arguments, each by its own name: `a=1&b[c]=2`.",
        "schema": { "type": "object", "additionalProperties": { "type": "string" } },
    })
}
