//! Data files: JSON or YAML objects, merged into the one document a policy reads as `data`.

use serde_json::{Map, Value};

use super::files::Format;
use super::unique::Unique;
use super::{Place, Problem};

/// A data file as found.
pub(super) struct DataFile {
    pub file: String,
    /// Where its contents stand in the document.
    pub below: Vec<String>,
    pub format: Format,
    pub bytes: Vec<u8>,
}

/// One document out of all files. A name that two files set is a problem, as in OPA.
pub(super) fn merge(files: Vec<DataFile>, problems: &mut Vec<Problem>) -> Value {
    let mut document = Map::new();
    for DataFile { file, below, format, bytes } in files {
        let placed = parse(&file, format, &bytes).map(|content| {
            below.into_iter().rev().fold(content, |content, name| Map::from_iter([(name, Value::Object(content))]))
        });
        let merged = placed.and_then(|content| {
            add(&mut document, content, "data").map_err(|path| {
                Problem::whole(&file, format!("sets `{path}`, which another data file has already set"))
            })
        });
        problems.extend(merged.err());
    }
    Value::Object(document)
}

fn parse(file: &str, format: Format, bytes: &[u8]) -> Result<Map<String, Value>, Problem> {
    let Unique(content) = match format {
        Format::Json => serde_json::from_slice(bytes).map_err(|error| {
            let place = place(error.line() as u64, error.column() as u64);
            Problem::at(file, place, format!("not valid JSON: {error}"))
        })?,
        Format::Yaml => serde_saphyr::from_slice(bytes).map_err(|error| {
            let place = error.location().map_or(Place { line: 1, column: 1 }, |at| place(at.line(), at.column()));
            Problem::at(file, place, format!("not valid YAML: {}", error.without_snippet()))
        })?,
    };
    match content {
        Value::Object(content) => Ok(content),
        _ => Err(Problem::at(file, Place { line: 1, column: 1 }, "a data file must hold an object")),
    }
}

fn place(line: u64, column: u64) -> Place {
    let count = |number: u64| u32::try_from(number.max(1)).unwrap_or(u32::MAX);
    Place { line: count(line), column: count(column) }
}

/// Merges objects; the error is the path that both have.
fn add(document: &mut Map<String, Value>, content: Map<String, Value>, path: &str) -> Result<(), String> {
    for (name, value) in content {
        match (document.get_mut(&name), value) {
            (None, value) => {
                document.insert(name, value);
            }
            (Some(Value::Object(inner)), Value::Object(value)) => add(inner, value, &format!("{path}.{name}"))?,
            (Some(_), _) => return Err(format!("{path}.{name}")),
        }
    }
    Ok(())
}
