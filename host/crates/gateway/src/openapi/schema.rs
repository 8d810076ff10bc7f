//! A plugin's schemas in the document: where they lie, and what a query string can hold of
//! them.

use host_model::manifest::PluginManifest;
use serde_json::{Map, Value, json};

/// How schemas refer to a plugin's definitions.
const DEFINITION: &str = "#/$defs/";

/// References that lead to one another before it is given up: a type may contain itself.
const DEPTH_MAX: usize = 16;

/// What a query string can say: texts, and objects of texts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Said {
    /// As `a=text`.
    Text,
    /// As `a[b]=text`.
    Object,
    /// Not at all.
    Never,
}

/// The name of a plugin's definition among the components, which all plugins share.
pub(super) fn component(plugin: &str, definition: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
    let name: String = definition
        .chars()
        .map(|c| if plain(c) { c } else { '_' })
        .collect();
    format!("{plugin}.{name}")
}

/// The schema, with references that lead to the components.
pub(super) fn moved(plugin: &PluginManifest, schema: &Value) -> Value {
    let of_member = |(name, member): (&String, &Value)| {
        let definition = member.as_str().filter(|_| name == "$ref");
        let definition = definition.and_then(|it| it.strip_prefix(DEFINITION));
        let member = match definition {
            Some(it) => json!(format!(
                "#/components/schemas/{}",
                component(&plugin.name, it)
            )),
            None => moved(plugin, member),
        };
        (name.clone(), member)
    };
    match schema {
        Value::Object(members) => members.iter().map(of_member).collect::<Map<_, _>>().into(),
        Value::Array(items) => items.iter().map(|it| moved(plugin, it)).collect(),
        other => other.clone(),
    }
}

/// The schema that it refers to at its top, or itself.
pub(super) fn resolved<'a>(plugin: &'a PluginManifest, mut schema: &'a Value) -> &'a Value {
    for _ in 0..DEPTH_MAX {
        let definition = schema.get("$ref").and_then(Value::as_str);
        let definition = definition.and_then(|it| it.strip_prefix(DEFINITION));
        match definition.and_then(|it| plugin.schemas.definitions.get(it)) {
            Some(definition) => schema = definition,
            None => break,
        }
    }
    schema
}

/// Names of the members that must be there.
pub(super) fn required(schema: &Value) -> impl Iterator<Item = &str> {
    let names = schema.get("required").and_then(Value::as_array);
    names.into_iter().flatten().filter_map(Value::as_str)
}

/// Whether a query string can say it. Each value of one is a text.
pub(super) fn said(plugin: &PluginManifest, schema: &Value) -> Said {
    said_at(plugin, schema, 0)
}

fn said_at(plugin: &PluginManifest, schema: &Value, depth: usize) -> Said {
    if depth > DEPTH_MAX {
        return Said::Never;
    }
    let schema = resolved(plugin, schema);
    let said = |schema: &Value| said_at(plugin, schema, depth + 1);
    let any = ["anyOf", "oneOf"]
        .iter()
        .find_map(|it| schema.get(*it)?.as_array());
    if let Some(alternatives) = any {
        let mut found = alternatives
            .iter()
            .map(said)
            .filter(|it| *it != Said::Never);
        return found.next().unwrap_or(Said::Never);
    }
    if let Some([only]) = schema
        .get("allOf")
        .and_then(Value::as_array)
        .map(Vec::as_slice)
    {
        return said(only);
    }
    let types: Vec<&str> = match schema.get("type") {
        Some(Value::String(name)) => vec![name.as_str()],
        Some(Value::Array(names)) => names.iter().filter_map(Value::as_str).collect(),
        // Anything is also a text, and so may be what has words of its own.
        _ if schema.get("$ref").is_none() => vec!["string"],
        _ => Vec::new(),
    };
    if types.contains(&"string") {
        return Said::Text;
    }
    if !types.contains(&"object") {
        return Said::Never;
    }
    let members = schema.get("properties").and_then(Value::as_object);
    let is_said = |name: &str| {
        let member = members.and_then(|members| members.get(name));
        member.is_none_or(|member| said(member) != Said::Never)
    };
    let others = schema.get("additionalProperties");
    let others_are_said =
        others.is_none_or(|it| *it == Value::Bool(false) || said(it) != Said::Never);
    match required(schema).all(is_said) && others_are_said {
        true => Said::Object,
        false => Said::Never,
    }
}
