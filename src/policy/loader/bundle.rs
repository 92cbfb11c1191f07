//! The policy as its files say it: modules and data, read once, bounded.

use std::path::Path;

use super::data::{self, DataFile};
use super::files::{self, Found, Role};
use super::{Problem, Problems, text};

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

fn source(file: String, bytes: Vec<u8>) -> Result<Source, Problem> {
    let text = text::check(&file, bytes)?;
    Ok(Source { file, text })
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use serde_json::json;
    use tempfile::TempDir;

    use super::*;

    const ALLOW: &str = "package veilwarden.authz\nallow := true\n";

    fn directory(files: &[(&str, &str)]) -> TempDir {
        let directory = tempfile::tempdir().expect("a directory");
        for (name, content) in files {
            let path = directory.path().join(name);
            fs::create_dir_all(path.parent().expect("a parent")).expect("a directory");
            fs::write(path, content).expect("a file");
        }
        directory
    }

    fn names(bundle: &Bundle) -> Vec<&str> {
        bundle.sources.iter().map(|source| source.file.rsplit('/').next().unwrap_or_default()).collect()
    }

    fn problem(directory: &TempDir) -> String {
        let problems = Bundle::read(directory.path()).expect_err("a problem").to_string();
        problems.replace(&directory.path().display().to_string(), "P")
    }

    #[test]
    fn w28_directories_are_read_whole_and_tests_are_left_out() {
        let directory = directory(&[
            ("a.rego", ALLOW),
            ("team/b.rego", "package b\n"),
            ("team/deeper.rego/c.rego", "package c\n"),
            ("a_test.rego", "this is no rego"),
            ("README.md", "text"),
            ("data.json", r#"{"grants": {"a": [1, -2, 0.5, null]}}"#),
            ("team/data.yaml", "limit: 5\nnested: {a: true, b: [-1, 0.5, ~]}\n"),
            ("team/deeper.rego/data.yml", "x: 1\n"),
            ("team/other.json", "this is no json"),
        ]);
        let bundle = Bundle::read(directory.path()).expect("a bundle");
        assert_eq!(names(&bundle), ["a.rego", "b.rego", "c.rego"]);
        let team = json!({"limit": 5, "nested": {"a": true, "b": [-1, 0.5, null]}, "deeper.rego": {"x": 1}});
        assert_eq!(bundle.data, json!({"grants": {"a": [1, -2, 0.5, null]}, "team": team}));
    }

    #[test]
    fn one_file_can_be_named_instead_of_a_directory() {
        let directory = directory(&[("a.rego", ALLOW), ("b.rego", ALLOW)]);
        let bundle = Bundle::read(&directory.path().join("a.rego")).expect("a bundle");
        assert_eq!(names(&bundle), ["a.rego"]);
    }

    #[test]
    fn a_mounted_config_map_is_read_once() {
        let directory = directory(&[("..2026_01_01/policy.rego", ALLOW), ("..2026_01_01/data.json", r#"{"a": 1}"#)]);
        let link = |to: &str, name: &str| symlink(to, directory.path().join(name)).expect("a link");
        link("..2026_01_01", "..data");
        link("..data/policy.rego", "policy.rego");
        link("..data/data.json", "data.json");
        let bundle = Bundle::read(directory.path()).expect("a bundle");
        assert_eq!((names(&bundle), &bundle.data), (vec!["policy.rego"], &json!({"a": 1})));
    }

    #[test]
    fn i12_directories_that_are_no_policy_are_refused() {
        let empty = directory(&[]);
        assert_eq!(problem(&empty), "P: no policy found: there is no .rego file (tests do not count)");
        let only_tests = directory(&[("a_test.rego", ALLOW), ("data.json", "{}")]);
        assert_eq!(problem(&only_tests), "P: no policy found: there is no .rego file (tests do not count)");
        let gone = Bundle::read(&empty.path().join("gone")).expect_err("a problem").to_string();
        assert!(gone.contains("gone: cannot be read: No such file"), "{gone}");

        let looping = directory(&[("a.rego", ALLOW), ("inner/b.rego", ALLOW)]);
        symlink(looping.path(), looping.path().join("inner/up")).expect("a link");
        assert_eq!(problem(&looping), "P/inner/up: a symbolic link leads back to a directory above it");

        let dangling = directory(&[("a.rego", ALLOW)]);
        symlink("nowhere", dangling.path().join("b.rego")).expect("a link");
        assert!(problem(&dangling).starts_with("P/b.rego: cannot be read: "));

        let pipe = directory(&[("a.rego", ALLOW)]);
        let socket = std::os::unix::net::UnixListener::bind(pipe.path().join("b.rego"));
        assert_eq!(problem(&pipe), "P/b.rego: is not a regular file");
        drop(socket);
    }

    #[test]
    fn i12_a_thousand_files_load() {
        let files: Vec<_> =
            (0..1000).map(|number| (format!("{number:04}.rego"), format!("package p{number}\n"))).collect();
        let files: Vec<_> = files.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
        assert_eq!(Bundle::read(directory(&files).path()).expect("a bundle").sources.len(), 1000);
    }

    #[test]
    fn i17_too_much_data_and_too_large_a_policy_are_refused() {
        let directory = directory(&[("a.rego", ALLOW), ("b/data.json", "{}")]);
        let large = |name: &str, bytes: u64| {
            fs::File::create(directory.path().join(name)).and_then(|file| file.set_len(bytes)).expect("a file");
        };
        large("data.json", 100 << 20);
        large("big.rego", (1 << 20) + 1);
        let expected = "P/big.rego: a policy file may have 1048576 bytes\nP/data.json: data files may have 33554432 bytes together";
        assert_eq!(problem(&directory), expected);
    }

    #[test]
    fn data_files_that_are_wrong_name_their_place() {
        let cases = [
            ("data.json", "{\n\"a\": }", "P/data.json:2:6: not valid JSON: "),
            ("data.json", "[1]", "P/data.json:1:1: a data file must hold an object"),
            ("data.yaml", "a: 1\nb: [", "P/data.yaml:2:"),
            ("data.json", r#"{"a": 1, "a": 1}"#, "P/data.json:1:12: not valid JSON: duplicate key \"a\""),
            (
                "data.json",
                r#"{"b": [{"a": {"c": 1, "\u0063": 2}}]}"#,
                "P/data.json:1:30: not valid JSON: duplicate key \"c\"",
            ),
            ("data.yaml", "a: 1\na: 2\n", "P/data.yaml:2:1: not valid YAML: "),
            ("data.yaml", "b: {c: 1, \"c\": 2}\n", "P/data.yaml:1:11: not valid YAML: "),
            ("data.yaml", "1: a\n\"1\": b\n", "P/data.yaml:1:1: not valid YAML: duplicate key \"1\""),
            ("data.yaml", "a: .inf\n", "P/data.yaml:1:"),
            ("b/data.json", r#"{"x": 1}"#, "P/data.json: sets `data.b.x`, which another data file has already set"),
        ];
        for (name, content, expected) in cases {
            let mut files = vec![("a.rego", ALLOW), (name, content)];
            files.extend((name == "b/data.json").then_some(("data.json", r#"{"b": {"x": 2}}"#)));
            let found = problem(&directory(&files));
            assert!(found.starts_with(expected), "{found}");
            assert!(!found.contains('\n'), "{found}");
        }
    }
}
