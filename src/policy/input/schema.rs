//! The document as a JSON Schema, for editors and for people.

use serde_json::{Value, json};

use super::{DOCUMENT, Property, Shape};

/// JSON Schema (draft 2020-12) of the input document.
pub fn input_schema() -> Value {
    let mut schema = object(DOCUMENT.iter().map(|field| &field.property));
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema".into();
    schema["title"] = "veilwarden policy input".into();
    schema
}

fn object(properties: impl Iterator<Item = &'static Property>) -> Value {
    let mut named = serde_json::Map::new();
    let mut required = Vec::new();
    for property in properties {
        let mut schema = of(&property.shape);
        schema["description"] = property.about.into();
        named.insert(property.name.to_owned(), schema);
        if property.always {
            required.push(property.name);
        }
    }
    json!({"type": "object", "additionalProperties": false, "properties": named, "required": required})
}

fn of(shape: &Shape) -> Value {
    match shape {
        Shape::Text => json!({"type": "string"}),
        Shape::Timestamp => json!({"type": "string", "format": "date-time"}),
        Shape::OneOf(values) => json!({"type": "string", "enum": values}),
        Shape::Flag => json!({"type": "boolean"}),
        Shape::Number => json!({"type": "integer", "minimum": 0}),
        Shape::List(item) => json!({"type": "array", "items": of(item)}),
        Shape::LowerCaseMap(value) => {
            json!({"type": "object", "propertyNames": {"pattern": "^[^A-Z]*$"}, "additionalProperties": of(value)})
        }
        Shape::Map(value) => json!({"type": "object", "additionalProperties": of(value)}),
        Shape::Object(properties) => object(properties.iter()),
    }
}
