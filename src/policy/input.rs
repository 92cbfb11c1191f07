//! The input document: what a policy can look at, under which names.
//!
//! One table, [`DOCUMENT`], says it all: the engine builds values from it, the loader knows from it which names
//! exist, and [`input_schema`] publishes it.

use super::{Error, Input};

mod fields;
mod node;
pub mod sample;
mod schema;
mod shape;

pub use fields::DOCUMENT;
pub use node::Node;
pub use schema::input_schema;
pub use shape::{Property, Shape};

/// One top-level name of the document.
#[derive(Debug)]
pub struct Field {
    pub property: Property,
    /// Builds the value; `None` where the name is absent for this caller.
    pub value: for<'a> fn(&Input<'a>) -> Result<Option<Node<'a>>, Error>,
}

/// The whole document for one call, as JSON, for tools and tests. The engine itself builds only the names that its
/// policy mentions.
pub fn document(input: &Input<'_>) -> Result<serde_json::Value, Error> {
    let mut document = serde_json::Map::new();
    for field in DOCUMENT {
        if let Some(value) = (field.value)(input)? {
            document.insert(field.property.name.to_owned(), value.into());
        }
    }
    Ok(document.into())
}

#[cfg(test)]
mod tests {
    use super::sample::Call;
    use super::*;

    /// The order of keys says nothing here, and depends on a feature of serde_json that any dependency can turn on.
    fn sorted() -> insta::Settings {
        let mut settings = insta::Settings::clone_current();
        settings.set_sort_maps(true);
        settings
    }

    #[test]
    fn the_published_schema_is_current() {
        const FILE: &str = "docs/policy-input.schema.json";
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(FILE);
        if std::env::var_os("UPDATE").is_some() {
            std::fs::write(&path, format!("{:#}\n", input_schema())).expect("written");
        }
        let published = std::fs::read_to_string(&path).unwrap_or_default();
        let is_current =
            serde_json::from_str(&published).is_ok_and(|schema: serde_json::Value| schema == input_schema());
        assert!(is_current, "{FILE} is old: UPDATE=1 cargo test --lib policy::input");
    }

    #[test]
    fn r97_a_workloads_input_has_every_name() {
        sorted().bind(|| insta::assert_json_snapshot!(document(&Call::kubernetes().input()).expect("a valid input")));
    }

    #[test]
    fn r97_a_static_callers_input_has_no_pod_keys() {
        sorted().bind(|| insta::assert_json_snapshot!(document(&Call::user().input()).expect("a valid input")));
    }

    #[test]
    fn every_name_that_is_promised_for_every_caller_is_there() {
        for call in [Call::kubernetes(), Call::user()] {
            let document = document(&call.input()).expect("a valid input");
            let missing: Vec<_> = DOCUMENT
                .iter()
                .filter(|field| field.property.always && document.get(field.property.name).is_none())
                .map(|field| field.property.name)
                .collect();
            assert!(missing.is_empty(), "{missing:?}");
        }
    }
}
