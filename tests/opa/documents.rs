//! The Rego in the documents. Every block fenced as `rego` counts; one that shows what not to write is fenced as `text`.

use std::fs;
use std::path::{Path, PathBuf};

use crate::project;

/// One block, made into a module.
pub struct Snippet {
    file: PathBuf,
    line: usize,
    pub module: String,
}

impl Snippet {
    /// A block without `package` is a fragment: rules to put into a policy that denies by default.
    fn new(file: &Path, line: usize, text: &str) -> Self {
        let is_module = text.lines().any(|line| line.starts_with("package "));
        let head = if is_module { "" } else { "package veilwarden.authz\n" };
        let default = if is_module || text.contains("default allow") { "" } else { "\ndefault allow := false\n" };
        Self { file: file.to_owned(), line, module: format!("{head}{text}{default}") }
    }

    /// The document and the line, so that a problem names them.
    pub fn file_name(&self) -> String {
        format!("{}_{}.rego", self.file.display().to_string().replace('/', "_"), self.line)
    }

    /// `allow` in the block's own package.
    pub fn decision_path(&self) -> String {
        let package = self.module.lines().find_map(|line| line.strip_prefix("package ")).expect("a package");
        format!("{}/allow", package.trim().replace('.', "/"))
    }
}

/// Every block of every document.
pub fn snippets() -> Vec<Snippet> {
    let mut files = vec![PathBuf::from("README.md"), PathBuf::from("policies/README.md")];
    markdown_below(Path::new("docs"), &mut files);
    files.iter().flat_map(|file| blocks(file)).collect()
}

fn markdown_below(directory: &Path, files: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(project("").join(directory)) else { return };
    for entry in entries {
        let path = directory.join(entry.expect("a readable directory").file_name());
        if project("").join(&path).is_dir() {
            markdown_below(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "md") {
            files.push(path);
        }
    }
}

fn blocks(file: &Path) -> Vec<Snippet> {
    let text = fs::read_to_string(project("").join(file)).unwrap_or_default();
    let mut found = Vec::new();
    let mut open: Option<(usize, String)> = None;
    for (line, content) in (1..).zip(text.lines()) {
        match &mut open {
            None if content.split_whitespace().next() == Some("```rego") => open = Some((line, String::new())),
            None => {}
            Some((start, block)) if content.trim() == "```" => {
                found.push(Snippet::new(file, *start, block));
                open = None;
            }
            Some((_, block)) => {
                block.push_str(content);
                block.push('\n');
            }
        }
    }
    assert!(open.is_none(), "{}: a block is not closed", file.display());
    found
}
