//! Whether the file has the shape of `raw`'s types: every unknown key, wrong type and impossible value, each with its
//! position. The shape is the JSON Schema of those types, so that what is documented is what is checked.

use std::sync::LazyLock;

use schemars::generate::SchemaSettings;
use serde_json::{Map, Value as Json};

use super::document::{Entry, Node, Value};
use super::duration;
use super::mistakes::{Report, quoted};
use super::place::Place;
use super::{raw, spelling};

static SHAPE: LazyLock<Json> = LazyLock::new(|| {
    let generator = SchemaSettings::draft2020_12().with(|settings| settings.inline_subschemas = true).into_generator();
    let mut shape = generator.into_root_schema_for::<raw::File>().to_value();
    tidy(&mut shape);
    shape
});

/// The shape of the whole file, with the `x-` extensions.
pub(super) fn shape() -> &'static Json {
    &SHAPE
}

/// Takes out what `Option` and the integer types add: in the file an absent key is absent, never null.
fn tidy(shape: &mut Json) {
    let Json::Object(map) = shape else { return };
    if let Some(Json::Array(types)) = map.get_mut("type") {
        types.retain(|name| name != "null");
        if let [one] = types.as_slice() {
            let one = one.clone();
            map.insert("type".to_owned(), one);
        }
    }
    if let Some(Json::Array(values)) = map.get_mut("enum") {
        values.retain(|value| !value.is_null());
    }
    if map.get("default").is_some_and(Json::is_null) {
        map.shift_remove("default");
    }
    map.shift_remove("format");
    let required = map.get("required").cloned().unwrap_or_default();
    if let Some(Json::Object(properties)) = map.get_mut("properties") {
        for (name, property) in properties {
            tidy(property);
            let is_required = required.as_array().is_some_and(|names| names.iter().any(|required| required == name));
            if let (true, Json::Object(property)) = (is_required, property) {
                property.shift_remove("default");
            }
        }
    }
    if let Some(items) = map.get_mut("items") {
        tidy(items);
    }
}

/// Reports everything in `node` that does not fit `shape`, and takes it out, so that the rest can still be read.
pub(super) fn check(node: &mut Node, shape: &Json, place: &Place, report: &mut Report) {
    let refused = if shape["x-later"] == true && !is_default(node, shape) {
        Some("not supported yet".to_owned())
    } else {
        wrong_value(node, shape)
    };
    if let Some(message) = refused {
        report.at(node.at, place, message);
        report.mark_broken(place.clone());
        node.value = Value::Broken;
        return;
    }
    match &mut node.value {
        Value::List(nodes) => {
            let items = alternatives(shape).find_map(|shape| shape.get("items")).unwrap_or(&Json::Null);
            for (index, node) in nodes.iter_mut().enumerate() {
                check(node, items, &place.index(index), report);
            }
        }
        Value::Map(_) => check_map(node, shape, place, report),
        _ => {}
    }
}

fn check_map(node: &mut Node, shape: &Json, place: &Place, report: &mut Report) {
    let (Value::Map(entries), Some(properties)) = (&mut node.value, shape["properties"].as_object()) else { return };
    entries.retain_mut(|Entry { key, at, node }| {
        let here = place.key(key);
        let Some(property) = properties.get(key) else {
            let (message, meant) = unknown(key, place, properties);
            report.at(*at, &here, message);
            // The key that was meant is not missing as well.
            meant.iter().for_each(|meant| report.mark_broken(place.key(meant)));
            return false;
        };
        check(node, property, &here, report);
        true
    });
    for name in shape["required"].as_array().into_iter().flatten().filter_map(Json::as_str) {
        if !entries.iter().any(|entry| entry.key == name) && !report.is_broken(&place.key(name)) {
            report.at(node.at, place, format!("the key \"{name}\" is missing"));
            report.mark_broken(place.key(name));
        }
    }
}

/// What to say about a key that is not known here, and the key that was probably meant.
fn unknown(key: &str, place: &Place, properties: &Map<String, Json>) -> (String, Option<String>) {
    if let Some(hint) = spelling::known_elsewhere(place, key) {
        return (hint.text.to_owned(), hint.key.map(str::to_owned));
    }
    if let Some(near) = spelling::nearest(key, properties.keys().map(String::as_str)) {
        return (format!("unknown key; did you mean \"{near}\"?"), Some(near.to_owned()));
    }
    match belongs(key, shape(), &Place::root()) {
        Some(path) => (format!("unknown key here; did you mean \"{path}\"?"), None),
        None => ("unknown key".to_owned(), None),
    }
}

/// Where in the file a key of this very name belongs. Short names are too common to tell.
fn belongs(key: &str, shape: &Json, place: &Place) -> Option<String> {
    const SHORTEST: usize = 5;
    let properties = shape["properties"].as_object().filter(|_| key.len() >= SHORTEST)?;
    if properties.contains_key(key) {
        return Some(place.key(key).to_string());
    }
    properties.iter().find_map(|(name, below)| {
        let below_list = || below.get("items").and_then(|items| belongs(key, items, &place.key(&format!("{name}[]"))));
        belongs(key, below, &place.key(name)).or_else(below_list)
    })
}

fn alternatives(shape: &Json) -> impl Iterator<Item = &Json> {
    std::iter::once(shape).chain(shape["anyOf"].as_array().into_iter().flatten())
}

/// What is wrong with the value itself, not with what is inside it. An empty section or list is read as one.
fn wrong_value(node: &mut Node, shape: &Json) -> Option<String> {
    if let Some(known) = shape["enum"].as_array() {
        return not_one_of(node, known, &shape["x-later-values"]);
    }
    let types: Vec<&str> = alternatives(shape).filter_map(|shape| shape["type"].as_str()).collect();
    if types.is_empty() {
        return None;
    }
    if let Value::Null = node.value {
        node.value = match types.as_slice() {
            ["object"] => Value::Map(Vec::new()),
            ["array"] => Value::List(Vec::new()),
            _ => return Some("has no value; give it one, or take the key out".to_owned()),
        };
    }
    // `0` needs no unit, nor quotes.
    if let (Value::Integer(number), Some(_)) = (&node.value, shape.get("x-duration")) {
        node.value = Value::Text(number.to_string().into());
    }
    let found = match &node.value {
        Value::Text(text) if types.contains(&"string") => return wrong_text(text, shape),
        Value::Integer(number) if types.contains(&"integer") => return out_of_range(*number, shape),
        Value::Bool(_) if types.contains(&"boolean") => return None,
        Value::List(_) if types.contains(&"array") => return None,
        Value::Map(_) if types.contains(&"object") => return None,
        Value::Text(text) if types == ["boolean"] => return Some(not_a_boolean(text)),
        Value::Null | Value::Broken => return None,
        Value::Bool(_) => "a boolean",
        Value::Integer(_) | Value::Float => "a number",
        Value::Text(_) => "a string",
        Value::List(_) => "a list",
        Value::Map(_) => "a mapping",
    };
    let wanted: Vec<&str> = types.iter().map(|name| named(name)).collect();
    let hint = match (types[0], &node.value) {
        ("string", Value::Bool(_) | Value::Integer(_) | Value::Float) => "; put it in quotes",
        ("array", Value::Map(_)) => "; each entry starts with \"- \"",
        _ => "",
    };
    Some(format!("expected {}, found {found}{hint}", wanted.join(" or ")))
}

fn named(json_type: &str) -> &'static str {
    match json_type {
        "string" => "a string",
        "integer" => "a whole number",
        "boolean" => "true or false",
        "array" => "a list",
        _ => "a mapping",
    }
}

fn not_a_boolean(text: &str) -> String {
    match spelling::boolean(text) {
        Some(meant) => format!("expected true or false, found {}; did you mean {meant}?", quoted(text)),
        None => "expected true or false, found a string".to_owned(),
    }
}

fn wrong_text(text: &str, shape: &Json) -> Option<String> {
    if let Some(kind) = shape["x-duration"].as_str() {
        return match duration::parse(text) {
            Err(message) => Some(message),
            Ok(zero) if zero.is_zero() && kind == "positive" => Some("must be longer than 0s".to_owned()),
            Ok(_) => None,
        };
    }
    (text.is_empty() && shape["minLength"] == 1).then(|| "must not be empty".to_owned())
}

fn out_of_range(number: i64, shape: &Json) -> Option<String> {
    let (least, most) = (shape["minimum"].as_i64(), shape["maximum"].as_i64());
    let fits = least.is_none_or(|least| number >= least) && most.is_none_or(|most| number <= most);
    match (least, most) {
        _ if fits => None,
        (Some(least), Some(most)) => Some(format!("must be between {least} and {most}")),
        (Some(least), None) => Some(format!("must be at least {least}")),
        _ => Some("too large".to_owned()),
    }
}

fn not_one_of(node: &Node, known: &[Json], later: &Json) -> Option<String> {
    let written = match &node.value {
        Value::Text(text) => Json::from(text.as_str()),
        Value::Bool(on) => Json::from(*on),
        Value::Integer(number) => Json::from(*number),
        Value::Null => return Some("has no value; give it one, or take the key out".to_owned()),
        Value::Float => Json::Null,
        Value::List(_) | Value::Map(_) | Value::Broken => return Some(format!("expected {}", one_of(known))),
    };
    if later.as_array().is_some_and(|later| later.contains(&written)) {
        return Some(format!("{written} is not supported yet"));
    }
    if known.contains(&written) {
        return None;
    }
    let Value::Text(text) = &node.value else { return Some(format!("expected {}", one_of(known))) };
    let boolean = spelling::boolean(text).filter(|meant| known.contains(&Json::from(*meant)));
    let near = spelling::nearest(text, known.iter().filter_map(Json::as_str));
    let hint = match (boolean, near) {
        (Some(meant), _) => format!("did you mean {meant}?"),
        (None, Some(near)) => format!("did you mean \"{near}\"?"),
        (None, None) => format!("use {}", one_of(known)),
    };
    Some(format!("unknown value {}; {hint}", quoted(text)))
}

/// `a, b or c`; a boolean's second spelling as text is left out.
fn one_of(known: &[Json]) -> String {
    let mut names: Vec<String> =
        known.iter().map(|value| value.as_str().map_or(value.to_string(), str::to_owned)).collect();
    names.sort();
    names.dedup();
    match names.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, others)) => format!("{} or {last}", others.join(", ")),
        None => String::new(),
    }
}

/// Whether a key of later work says only what it would mean unwritten.
fn is_default(node: &Node, shape: &Json) -> bool {
    let default = &shape["default"];
    match &node.value {
        Value::Null => shape["type"] == "object" || shape["type"] == "array",
        Value::Map(entries) => entries
            .iter()
            .all(|entry| shape["properties"].get(&entry.key).is_some_and(|property| is_default(&entry.node, property))),
        Value::List(nodes) => nodes.is_empty() && default.as_array().is_some_and(Vec::is_empty),
        Value::Text(text) => default.as_str() == Some(text),
        Value::Bool(on) => default.as_bool() == Some(*on),
        Value::Integer(number) => default.as_i64() == Some(*number),
        Value::Float | Value::Broken => false,
    }
}
