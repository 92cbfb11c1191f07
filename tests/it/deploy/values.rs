//! The chart's values: `values.schema.json` has the configuration's own schema in it.

use std::fs;

use serde_json::Value;

use super::{deploy, yaml};

const SCHEMA: &str = "helm/veilwarden/values.schema.json";

#[test]
fn the_charts_schema_is_current() {
    let path = deploy().join(SCHEMA);
    let written = fs::read_to_string(&path).unwrap();
    let mut schema: Value = serde_json::from_str(&written).unwrap();
    let mut config = veilwarden::config::schema();
    let object = config.as_object_mut().unwrap();
    // The whole file has a `$schema` of its own: the newest draft that every Helm 3 reads, and we use nothing newer.
    object.remove("$schema");
    object.insert("description".to_owned(), "veilwarden's configuration; docs/configuration.md.".into());
    schema["properties"]["config"] = config;
    let current = format!("{}\n", serde_json::to_string_pretty(&schema).unwrap());
    if std::env::var_os("UPDATE").is_some() {
        fs::write(&path, &current).unwrap();
    } else {
        assert!(written == current, "deploy/{SCHEMA} is old: UPDATE=1 cargo test --test it deploy::values");
    }
}

#[test]
fn the_schema_knows_every_value_and_no_other() {
    let schema: Value = serde_json::from_str(&super::text(SCHEMA)).unwrap();
    assert_eq!(schema["$schema"], "http://json-schema.org/draft-07/schema#");
    assert_eq!(schema["additionalProperties"], false);
    let values = yaml("helm/veilwarden/values.yaml");
    let mut known: Vec<&String> = schema["properties"].as_object().unwrap().keys().collect();
    known.retain(|name| *name != "global"); // Helm's own
    let mut given: Vec<&String> = values.as_object().unwrap().keys().collect();
    known.sort();
    given.sort();
    assert_eq!(known, given);
}
