//! The reference page and the JSON Schema, from the types that read the file.

use std::fmt::Write;

use serde_json::{Value as Json, json};

use super::place::Place;
use super::shape::shape;

/// The JSON Schema (draft 2020-12) of the configuration file.
pub fn schema() -> Json {
    let mut schema = shape().clone();
    publish(&mut schema);
    schema
}

/// Takes out our own extensions; what they say goes into the descriptions.
fn publish(schema: &mut Json) {
    let Json::Object(map) = schema else { return };
    if map.get("x-later") == Some(&Json::Bool(true)) {
        let described = map.get("description").and_then(Json::as_str).unwrap_or_default();
        let text = format!("{described} Not supported yet.");
        map.insert("description".to_owned(), text.trim().into());
    }
    if map.get("x-duration").is_some_and(|kind| kind == "any") {
        // `0` needs no unit, nor quotes. A pattern is about strings only, and these two are about numbers only.
        map.insert("type".to_owned(), json!(["string", "integer"]));
        map.insert("minimum".to_owned(), 0.into());
        map.insert("maximum".to_owned(), 0.into());
    }
    map.retain(|key, _| !key.starts_with("x-"));
    for (key, value) in map {
        match value {
            Json::Object(properties) if key == "properties" => properties.values_mut().for_each(publish),
            Json::Object(_) if key == "items" => publish(value),
            _ => {}
        }
    }
}

/// The reference page, `docs/configuration.md`.
pub fn reference() -> String {
    let shape = shape();
    let mut page = format!(
        "# Configuration\n\n<!-- Generated from src/config/raw.rs: `UPDATE=1 cargo test --lib config::reference`. -->\n\n{}\n\n\
         `veilwarden check --config FILE` prints every mistake of a file, and when there is none, of what it names; `veilwarden config schema` prints its JSON Schema, \
         for completion in an editor. Keys marked *later* are known and refused when they say anything but their default.\n\n\
         Every flag of `serve` and `check` has a variable: `--k8s-enabled` is `VEILWARDEN_K8S_ENABLED`. A blank variable counts as unset.\n",
        text(shape)
    );
    page += "\n## Top level\n\n";
    table(&mut page, shape, false);
    sections(&mut page, shape, &Place::root(), false);
    page
}

fn properties(shape: &Json) -> impl Iterator<Item = (&String, &Json)> {
    shape["properties"].as_object().into_iter().flatten()
}

fn has_keys(shape: &Json) -> bool {
    properties(shape).next().is_some()
}

/// A heading and a table for everything below `shape` that has keys of its own. What is below a key of later work is
/// later too.
fn sections(page: &mut String, shape: &Json, place: &Place, later: bool) {
    for (name, below) in properties(shape) {
        let later = later || is_later(below);
        let (below, here) = match below.get("items") {
            Some(items) => (items, place.key(&format!("{name}[]"))),
            None => (below, place.key(name)),
        };
        if has_keys(below) {
            let _ = write!(page, "\n## {here}\n\n");
            if below.get("description").is_some() {
                let _ = write!(page, "{}\n\n", text(below));
            }
            table(page, below, later);
            sections(page, below, &here, later);
        }
    }
}

fn is_later(shape: &Json) -> bool {
    shape["x-later"] == true
}

fn table(page: &mut String, shape: &Json, later: bool) {
    *page += "| key | value | default | meaning |\n|---|---|---|---|\n";
    for (name, key) in properties(shape) {
        let later = if later || is_later(key) { "*later.* " } else { "" };
        let default = key.get("default").map(|default| format!("`{default}`")).unwrap_or_default();
        let _ = writeln!(page, "| `{name}` | {} | {default} | {later}{} |", kind(key), text(key).replace('|', "\\|"));
    }
}

/// The values a key takes, in words.
fn kind(key: &Json) -> String {
    if let Some(values) = key["enum"].as_array() {
        let mut names: Vec<String> = Vec::new();
        for value in values {
            let name = value.as_str().map_or(format!("`{value}`"), |name| format!("`{name}`"));
            if !names.contains(&name) {
                names.push(name);
            }
        }
        return names.join(", ");
    }
    if let Some(choices) = key["anyOf"].as_array() {
        return choices.iter().map(kind).collect::<Vec<_>>().join(" or ");
    }
    let name = match key["type"].as_str().unwrap_or_default() {
        "string" if key.get("x-duration").is_some() => "duration",
        "string" => "string",
        "integer" => "number",
        "boolean" => "`true`, `false`",
        "array" => return format!("list of {}", plural(&key["items"])),
        _ => "section",
    };
    match (key["minimum"].as_i64(), key["maximum"].as_i64()) {
        (Some(least), Some(most)) => format!("{name}, {least} to {most}"),
        _ => name.to_owned(),
    }
}

fn plural(items: &Json) -> &'static str {
    if items["type"] == "string" { "strings" } else { "sections" }
}

/// A description on one line.
fn text(shape: &Json) -> String {
    shape["description"].as_str().unwrap_or_default().split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every shape that has keys of its own.
    fn each_section<'s>(shape: &'s Json, found: &mut Vec<&'s Json>) {
        if has_keys(shape) {
            found.push(shape);
        }
        for below in properties(shape).map(|(_, below)| below).chain(shape.get("items")) {
            each_section(below, found);
        }
    }

    #[test]
    fn every_key_is_described_and_no_section_takes_others() {
        let schema = schema();
        let mut sections = Vec::new();
        each_section(&schema, &mut sections);
        assert!(sections.len() > 15, "{}", sections.len());
        for section in sections {
            assert_eq!(section["additionalProperties"], false, "{section}");
            for (name, key) in properties(section) {
                assert!(!text(key).is_empty(), "{name} has no description");
            }
        }
        assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
        assert!(!schema.to_string().contains("\"x-"));
    }

    #[test]
    fn the_number_0_is_a_duration_where_the_reader_takes_one() {
        let schema = schema();
        let (any, positive) =
            (&schema["properties"]["limits"]["properties"]["drain_delay"], &schema["properties"]["policy"]);
        assert_eq!(
            (&any["type"], &any["minimum"], &any["maximum"]),
            (&json!(["string", "integer"]), &json!(0), &json!(0))
        );
        assert_eq!(positive["properties"]["timeout"]["type"], "string");
    }

    #[test]
    fn the_reference_page_is_current() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/configuration.md");
        if std::env::var_os("UPDATE").is_some() {
            std::fs::create_dir_all(concat!(env!("CARGO_MANIFEST_DIR"), "/docs")).expect("a directory");
            std::fs::write(path, reference()).expect("written");
        }
        let page = std::fs::read_to_string(path).unwrap_or_default();
        assert!(page == reference(), "docs/configuration.md is old: UPDATE=1 cargo test --lib config::reference");
    }
}
