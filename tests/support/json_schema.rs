//! Checks JSON against a schema of the subset that `schemas/` uses, and notes which declared
//! properties were met.
#![allow(
    unreachable_pub,
    clippy::allow_attributes,
    clippy::unwrap_used,
    reason = "test support"
)]

use std::collections::BTreeSet;

use etcd_doctor::clock::Timestamp;
use serde_json::{Map, Value};

/// Keywords that are checked or say nothing to check; any other is an error of the schema.
const KEYWORDS: &[&str] = &[
    "$schema",
    "$id",
    "$defs",
    "$ref",
    "title",
    "description",
    "type",
    "properties",
    "required",
    "additionalProperties",
    "items",
    "prefixItems",
    "enum",
    "const",
    "oneOf",
    "minimum",
    "maximum",
    "format",
];

/// A schema and what was learnt while checking with it.
pub struct Checker {
    root: Value,
    /// Pointers of the properties that a valid document had.
    pub met: BTreeSet<String>,
}

impl Checker {
    /// From a document.
    pub fn new(text: &str) -> Self {
        Checker {
            root: serde_json::from_str(text).unwrap(),
            met: BTreeSet::new(),
        }
    }

    /// What is wrong with a document; empty when it is valid and wholly described.
    pub fn check(&mut self, value: &Value) -> Vec<String> {
        let root = self.root.clone();
        let mut found = Found::default();
        check(&root, &root, "#", value, "$", &mut found);
        self.met.append(&mut found.met);
        found.errors
    }

    /// Pointers of every declared property.
    pub fn declared(&self) -> BTreeSet<String> {
        let mut all = BTreeSet::new();
        walk(&self.root, "#", &mut |at, schema| {
            for name in properties(schema).keys() {
                all.insert(format!("{at}/properties/{name}"));
            }
        });
        all
    }

    /// What is wrong with the schema itself.
    pub fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        walk(&self.root, "#", &mut |at, schema| {
            let Some(object) = schema.as_object() else {
                faults.push(format!("{at} is no object"));
                return;
            };
            for key in object.keys().filter(|k| !KEYWORDS.contains(&k.as_str())) {
                faults.push(format!("{at}: the checker does not know `{key}`"));
            }
            for name in required(schema) {
                if !properties(schema).contains_key(name) {
                    faults.push(format!("{at}: requires `{name}` and does not describe it"));
                }
            }
            for (name, property) in properties(schema) {
                // A `$ref` brings the description of what it points to.
                let described = property["description"].is_string()
                    || property["$ref"].is_string()
                    || at.contains("/oneOf/");
                if !described {
                    faults.push(format!("{at}: `{name}` has no description"));
                }
            }
            if let Some(to) = schema["$ref"].as_str()
                && resolve(&self.root, to).is_none()
            {
                faults.push(format!("{at}: `{to}` points nowhere"));
            }
        });
        faults
    }
}

#[derive(Default)]
struct Found {
    errors: Vec<String>,
    met: BTreeSet<String>,
}

fn properties(schema: &Value) -> Map<String, Value> {
    schema["properties"]
        .as_object()
        .cloned()
        .unwrap_or_default()
}

fn required(schema: &Value) -> Vec<&str> {
    let list = schema["required"].as_array();
    list.into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect()
}

fn resolve<'a>(root: &'a Value, to: &str) -> Option<&'a Value> {
    root.pointer(to.strip_prefix('#')?)
}

/// Visits every schema in a document.
fn walk(schema: &Value, at: &str, visit: &mut impl FnMut(&str, &Value)) {
    visit(at, schema);
    for place in ["properties", "$defs"] {
        for (name, inner) in schema[place].as_object().into_iter().flatten() {
            walk(inner, &format!("{at}/{place}/{name}"), visit);
        }
    }
    for place in ["oneOf", "prefixItems"] {
        for (number, inner) in schema[place].as_array().into_iter().flatten().enumerate() {
            walk(inner, &format!("{at}/{place}/{number}"), visit);
        }
    }
    for place in ["items", "additionalProperties"] {
        if schema[place].is_object() {
            walk(&schema[place], &format!("{at}/{place}"), visit);
        }
    }
}

fn has_type(value: &Value, name: &str) -> bool {
    match name {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        "number" => value.is_number(),
        "integer" => value.is_i64() || value.is_u64(),
        _ => false,
    }
}

fn check(root: &Value, schema: &Value, at: &str, value: &Value, path: &str, found: &mut Found) {
    if let Some(to) = schema["$ref"].as_str() {
        match resolve(root, to) {
            Some(target) => check(root, target, to, value, path, found),
            None => found.errors.push(format!("{path}: `{to}` points nowhere")),
        }
    }
    let fits = match &schema["type"] {
        Value::String(name) => has_type(value, name),
        Value::Array(names) => names
            .iter()
            .filter_map(Value::as_str)
            .any(|name| has_type(value, name)),
        _ => true,
    };
    if !fits {
        found
            .errors
            .push(format!("{path}: {value} is no {}", schema["type"]));
        return;
    }
    if let Some(allowed) = schema["enum"].as_array()
        && !allowed.contains(value)
    {
        found
            .errors
            .push(format!("{path}: {value} is none of {}", schema["enum"]));
    }
    if let Some(only) = schema.get("const")
        && only != value
    {
        found.errors.push(format!("{path}: {value} is not {only}"));
    }
    if let (Some(least), Some(number)) = (schema["minimum"].as_f64(), value.as_f64())
        && number < least
    {
        found
            .errors
            .push(format!("{path}: {number} is below {least}"));
    }
    if let (Some(most), Some(number)) = (schema["maximum"].as_f64(), value.as_f64())
        && number > most
    {
        found
            .errors
            .push(format!("{path}: {number} is above {most}"));
    }
    if schema["format"] == "date-time"
        && let Some(text) = value.as_str()
        && !(text.ends_with('Z') && Timestamp::parse(text).is_some())
    {
        found
            .errors
            .push(format!("{path}: `{text}` is no time in UTC"));
    }
    if let Some(choices) = schema["oneOf"].as_array() {
        one_of(root, choices, at, value, path, found);
    }
    if let Some(items) = value.as_array() {
        let first = schema["prefixItems"]
            .as_array()
            .map_or(&[][..], Vec::as_slice);
        for (number, item) in items.iter().enumerate() {
            let path = format!("{path}[{number}]");
            match first.get(number) {
                Some(schema) => {
                    let at = format!("{at}/prefixItems/{number}");
                    check(root, schema, &at, item, &path, found);
                }
                None if schema["items"].is_object() => {
                    let at = format!("{at}/items");
                    check(root, &schema["items"], &at, item, &path, found);
                }
                None => found.errors.push(format!("{path}: not described")),
            }
        }
    }
    if let Some(object) = value.as_object() {
        check_object(root, schema, at, object, path, found);
    }
}

fn one_of(root: &Value, choices: &[Value], at: &str, value: &Value, path: &str, found: &mut Found) {
    let mut fitting = 0;
    let mut errors = Vec::new();
    for (number, choice) in choices.iter().enumerate() {
        let mut inner = Found::default();
        let at = format!("{at}/oneOf/{number}");
        check(root, choice, &at, value, path, &mut inner);
        if inner.errors.is_empty() {
            fitting += 1;
            found.met.append(&mut inner.met);
        }
        errors.append(&mut inner.errors);
    }
    if fitting != 1 {
        found.errors.push(format!(
            "{path}: fits {fitting} of the choices: {}",
            errors.join("; ")
        ));
    }
}

fn check_object(
    root: &Value,
    schema: &Value,
    at: &str,
    object: &Map<String, Value>,
    path: &str,
    found: &mut Found,
) {
    for name in required(schema) {
        if !object.contains_key(name) {
            found.errors.push(format!("{path}: `{name}` is absent"));
        }
    }
    let known = &schema["properties"];
    // A schema that is a mere choice or reference leaves the properties to its parts.
    if !known.is_object() && schema.get("additionalProperties").is_none() {
        return;
    }
    for (name, value) in object {
        let path = format!("{path}.{name}");
        if let Some(property) = known.get(name) {
            let at = format!("{at}/properties/{name}");
            found.met.insert(at.clone());
            check(root, property, &at, value, &path, found);
        } else if schema["additionalProperties"].is_object() {
            let at = format!("{at}/additionalProperties");
            let inner = &schema["additionalProperties"];
            check(root, inner, &at, value, &path, found);
        } else {
            // Also where more is allowed: a reader may ignore it, the schema may not.
            found.errors.push(format!("{path}: not described"));
        }
    }
}
