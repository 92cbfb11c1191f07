//! The policy as its files say it: modules and data, read once, bounded.

use std::path::Path;

use super::data::{self, DataFile};
use super::files::{self, Found, Role};
use super::{Place, Problem, Problems};

/// The most columns a policy line may have, the interpreter's own limit.
const MAX_COLUMNS: usize = 1024;
/// The most lines a policy file may have, the interpreter's own limit.
const MAX_LINES: usize = 20_000;

/// One policy file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// The path it was read from, as problems name it.
    pub file: String,
    pub text: String,
}

/// What a policy consists of: modules, and the data they look up.
#[derive(Debug, Clone, PartialEq)]
pub struct Bundle {
    /// What problems that concern no single file are reported under: the path that was read.
    pub(crate) origin: String,
    pub(crate) sources: Vec<Source>,
    /// Always an object.
    pub(crate) data: serde_json::Value,
}

impl Bundle {
    /// Reads `path`, a directory (recursively) or one `.rego` file.
    ///
    /// Of a directory: every `*.rego` except `*_test.rego`, and `data.json`, `data.yaml`, `data.yml`, whose contents
    /// stand in `data` under the names of the directories they lie in, as in an OPA bundle. Entries whose name
    /// begins with `..` are skipped: they are how Kubernetes swaps a mounted ConfigMap.
    pub fn read(path: &Path) -> Result<Self, Problems> {
        let origin = path.display().to_string();
        let mut problems = Vec::new();
        let mut sources = Vec::new();
        let mut documents = Vec::new();
        for Found { file, role, bytes } in files::find(path, &mut problems) {
            match role {
                Role::Module => sources.extend(source(file, bytes).map_err(|problem| problems.push(problem)).ok()),
                Role::Data { below, format } => documents.push(DataFile { file, below, format, bytes }),
            }
        }
        if sources.is_empty() && problems.is_empty() {
            problems.push(Problem::whole(&origin, "no policy found: there is no .rego file (tests do not count)"));
        }
        let data = data::merge(documents, &mut problems);
        Problems::none_in(problems)?;
        Ok(Self { origin, sources, data })
    }

    /// A policy of one module that lies in no file; `name` stands for the file's name in problems.
    pub fn of(name: &str, text: &str) -> Result<Self, Problems> {
        let source = source(name.to_owned(), text.as_bytes().to_vec())?;
        let data = serde_json::Value::Object(serde_json::Map::new());
        Ok(Self { origin: name.to_owned(), sources: vec![source], data })
    }

    /// The same with `data` to look up, which must be an object.
    pub fn with_data(mut self, data: serde_json::Map<String, serde_json::Value>) -> Self {
        self.data = data.into();
        self
    }
}

/// Refuses with a line number what the interpreter would refuse without one.
fn source(file: String, bytes: Vec<u8>) -> Result<Source, Problem> {
    if bytes.starts_with(b"\xef\xbb\xbf") {
        let place = Place { line: 1, column: 1 };
        return Err(Problem::at(file, place, "the file begins with a byte order mark").hint(Some("remove it".into())));
    }
    let text = String::from_utf8(bytes).map_err(|error| {
        let valid = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        Problem::at(&file, end_of(&String::from_utf8_lossy(valid)), "the file is not UTF-8")
    })?;
    for (line, content) in (1..).zip(text.lines()) {
        if line as usize > MAX_LINES {
            return Err(Problem::at(
                file,
                Place { line, column: 1 },
                format!("the file has more than {MAX_LINES} lines"),
            ));
        }
        if content.chars().nth(MAX_COLUMNS).is_some() {
            let place = Place { line, column: MAX_COLUMNS as u32 + 1 };
            return Err(Problem::at(file, place, format!("the line is longer than {MAX_COLUMNS} characters")));
        }
    }
    Ok(Source { file, text })
}

fn end_of(text: &str) -> Place {
    let last = text.rsplit('\n').next().unwrap_or_default();
    let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
    Place { line: count(text.matches('\n').count() + 1), column: count(last.chars().count() + 1) }
}
