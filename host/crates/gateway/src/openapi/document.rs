//! The document of a release: a path for each command and each query of its plugins.

use host_model::Version;
use host_model::manifest::PluginManifest;
use serde_json::{Map, Value, json};

use super::parameters::{of_query, shared, shared_as};
use super::schema::{component, moved, required, resolved};
use crate::problem::{FAILURES, Failure};

/// For who reads it.
const DESCRIPTION: &str = "\
Commands and queries of the actors of this release. A command may change an actor, a query \
does not; whatever is answered is durable.

An amount of money is a decimal text beside an ISO 4217 code. Unknown members of a payload are \
ignored. In a query string every value is a text, and `a[b]=c` is a member of an object, also \
where objects lie within one another. Bodies are sent without a `Content-Encoding`; answers \
come packed by gzip or zstd where the caller takes them so.

An error is `application/problem+json` (RFC 9457) with a `reason` for programs.";

/// The document. `plugins` are those that rule.
pub(super) fn of(release: &Version, plugins: &[&PluginManifest]) -> Value {
    let paths: Map<String, Value> = plugins.iter().flat_map(|it| paths(it)).collect();
    let tags = plugins.iter().map(|plugin| {
        json!({ "name": plugin.name, "description": format!("{} {}", plugin.name, plugin.version) })
    });
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Actors",
            "version": release.to_string(),
            "description": DESCRIPTION,
        },
        "servers": [{ "url": "/" }],
        // Whether one is needed is the operator's choice.
        "security": [{}, { "bearer": [] }],
        "tags": tags.collect::<Vec<_>>(),
        "paths": paths,
        "components": {
            "schemas": schemas(plugins),
            "parameters": shared(),
            "headers": headers(),
            "responses": failures(),
            "securitySchemes": {
                "bearer": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "A token that the operator has signed, or had signed.",
                },
            },
        },
    })
}

/// A path for each of a plugin's events. A name that is both is a query.
fn paths(plugin: &PluginManifest) -> Vec<(String, Value)> {
    let commands = plugin.commands.iter().filter(|it| !plugin.has_query(it));
    let commands = commands.map(|event| {
        let operation = operation(plugin, event, Kind::Command);
        (event, json!({ "post": operation }))
    });
    let queries = plugin.queries.iter().map(|event| {
        let schema = plugin.schemas.queries.get(event);
        let mut methods = json!({ "post": operation(plugin, event, Kind::QueryWithBody) });
        if let Some(parameters) = of_query(plugin, schema) {
            methods["get"] = operation(plugin, event, Kind::Query(parameters));
        }
        (event, methods)
    });
    let described = commands.chain(queries).map(|(event, mut methods)| {
        methods["parameters"] = json!([shared_as("key")]);
        let event = segment(event);
        (format!("/api/v1/{}/{{key}}/{event}", plugin.name), methods)
    });
    described.collect()
}

enum Kind {
    Command,
    QueryWithBody,
    /// With what its query string has.
    Query(Vec<Value>),
}

fn operation(plugin: &PluginManifest, event: &str, kind: Kind) -> Value {
    let (schemas, is_query) = match kind {
        Kind::Command => (&plugin.schemas.commands, false),
        _ => (&plugin.schemas.queries, true),
    };
    let schema = schemas.get(event);
    let said = schema.and_then(|it| it.get("description")?.as_str());
    let mut id = format!("{}.{event}", plugin.name);
    if matches!(kind, Kind::QueryWithBody) {
        id.push_str(".post");
    }
    let mut operation = json!({
        "operationId": id,
        "tags": [plugin.name],
        "summary": said.map_or(event, first_line),
        "responses": responses(is_query),
    });
    let mut description = said.unwrap_or_default().to_owned();
    let mut parameters = vec![shared_as("x-request-id")];
    if is_query {
        parameters.push(shared_as("if-none-match"));
    } else {
        parameters.push(shared_as("idempotency-key"));
        if let Some(field) = plugin.idempotency.get(event) {
            operation["x-idempotency-field"] = json!(field);
            description.push_str(&format!(
                "\n\n`{field}` names the command as `Idempotency-Key` does, and for ever."
            ));
        }
    }
    operation["description"] = json!(description.trim());
    match kind {
        Kind::Query(arguments) => parameters.extend(arguments),
        _ => operation["requestBody"] = body(plugin, schema),
    }
    operation["parameters"] = parameters.into();
    operation
}

/// The line that begins a text, as a title has it.
fn first_line(text: &str) -> &str {
    let line = text.lines().next().unwrap_or_default();
    line.strip_suffix('.').unwrap_or(line)
}

fn body(plugin: &PluginManifest, schema: Option<&Value>) -> Value {
    let is_required = schema.is_some_and(|it| required(resolved(plugin, it)).next().is_some());
    let mut schema = match schema {
        Some(schema) => moved(plugin, schema),
        None => json!({ "type": "object" }),
    };
    if let Some(members) = schema.as_object_mut() {
        // It is the operation's.
        members.remove("description");
    }
    json!({ "required": is_required, "content": { "application/json": { "schema": schema } } })
}

fn responses(is_query: bool) -> Value {
    let header = |name: &str| json!({ "$ref": format!("#/components/headers/{name}") });
    let mut headers = json!({ "x-request-id": header("x-request-id") });
    let name = if is_query {
        "etag"
    } else {
        "idempotent-replayed"
    };
    headers[name] = header(name);
    let mut responses = json!({
        "200": {
            "description": "The plugin's reply.",
            "headers": headers,
            "content": { "application/json": { "schema": {} } },
        },
    });
    if is_query {
        responses["304"] = json!({
            "description": "What the caller has is still the answer.",
            "headers": { "etag": header("etag"), "x-request-id": header("x-request-id") },
        });
    }
    for failure in FAILURES {
        let response = format!("#/components/responses/{}", failure.name);
        responses[failure.status.to_string()] = json!({ "$ref": response });
    }
    responses
}

fn headers() -> Value {
    json!({
        "etag": {
            "description": "Tells this answer from every other; for `If-None-Match`.",
            "schema": { "type": "string" },
        },
        "idempotent-replayed": {
            "description": "`true` where it is the first answer under the key, given again.",
            "schema": { "type": "string", "const": "true" },
        },
        "retry-after": {
            "description": "Seconds after which the same may be tried again.",
            "schema": { "type": "integer", "minimum": 0 },
        },
        "x-request-id": {
            "description": "The request's name in the host's log.",
            "schema": { "type": "string" },
        },
    })
}

fn failures() -> Value {
    let failure = |failure: &Failure| {
        let mut headers =
            json!({ "x-request-id": { "$ref": "#/components/headers/x-request-id" } });
        if failure.status == 503 {
            headers["retry-after"] = json!({ "$ref": "#/components/headers/retry-after" });
        }
        let schema = json!({ "$ref": "#/components/schemas/Problem" });
        let response = json!({
            "description": failure.description,
            "headers": headers,
            "content": { "application/problem+json": { "schema": schema } },
            "x-reasons": failure.reasons,
        });
        (failure.name.to_owned(), response)
    };
    FAILURES.iter().map(failure).collect::<Map<_, _>>().into()
}

/// Types of plugins, and what all errors look like.
fn schemas(plugins: &[&PluginManifest]) -> Value {
    let mut schemas = Map::new();
    for plugin in plugins {
        for (name, schema) in &plugin.schemas.definitions {
            schemas.insert(component(&plugin.name, name), moved(plugin, schema));
        }
    }
    let reasons: Vec<_> = FAILURES.iter().flat_map(|it| it.reasons).collect();
    schemas.insert(
        "Problem".to_owned(),
        json!({
            "type": "object",
            "description": "Why there is no reply (RFC 9457).",
            "required": ["type", "title", "status", "detail", "reason", "request_id"],
            "properties": {
                "type": { "type": "string", "format": "uri-reference" },
                "title": { "type": "string" },
                "status": { "type": "integer", "minimum": 400, "maximum": 599 },
                "detail": { "type": "string", "description": "A sentence for people." },
                "reason": {
                    "type": "string",
                    "description": "A word for programs: one of the host's own, or a plugin's.",
                    "examples": reasons,
                },
                "request_id": { "type": "string", "description": "As the header has it." },
                "retry_after_ms": {
                    "type": "integer",
                    "minimum": 0,
                    "description": "When the same may be tried again.",
                },
            },
        }),
    );
    schemas.into()
}

/// An event's name in a path. Most stand there as they are.
fn segment(event: &str) -> String {
    let mut segment = String::new();
    for byte in event.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            segment.push(char::from(byte));
        } else {
            segment.push_str(&format!("%{byte:02X}"));
        }
    }
    segment
}

#[cfg(test)]
mod tests;
