//! What tests need of a Markdown file: its fenced blocks, tables, links and code spans.

use std::fs;
use std::path::{Path, PathBuf};

/// One document of the project.
pub struct Document {
    /// Relative to the project's directory.
    pub path: PathBuf,
    text: String,
}

/// A fenced block. What stands behind its language says what the tests do with it: `test=NAME`, `file=PATH`.
#[derive(Debug)]
pub struct Block {
    pub language: String,
    attributes: Vec<(String, String)>,
    pub text: String,
    /// Of its fence, counted from 1.
    pub line: usize,
}

/// The project's directory.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}

/// Every Markdown file of the project, wherever it lies.
pub fn all() -> Vec<Document> {
    let mut paths = Vec::new();
    markdown_below(&root(), &mut paths);
    paths.sort();
    paths.iter().map(Document::read).collect()
}

fn markdown_below(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy();
        if path.is_dir() && !name.starts_with('.') && name != "target" {
            markdown_below(&path, found);
        } else if name.ends_with(".md") {
            found.push(path.strip_prefix(root()).unwrap().to_owned());
        }
    }
}

impl Block {
    fn open(info: &str, line: usize) -> Block {
        let mut words = info.split_whitespace();
        let language = words.next().unwrap_or_default().to_owned();
        let pair = |word: &str| word.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned()));
        Block { language, attributes: words.filter_map(pair).collect(), text: String::new(), line }
    }

    /// The value of `name=value` behind the language.
    pub fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// What a test does with it: the value of `test=`.
    pub fn test(&self) -> Option<&str> {
        self.attribute("test")
    }
}

impl Document {
    pub fn read(path: impl AsRef<Path>) -> Document {
        let text =
            fs::read_to_string(root().join(&path)).unwrap_or_else(|e| panic!("{}: {e}", path.as_ref().display()));
        Document { path: path.as_ref().to_owned(), text }
    }

    /// For messages: `README.md:12`.
    pub fn at(&self, line: usize) -> String {
        format!("{}:{line}", self.path.display())
    }

    pub fn blocks(&self) -> Vec<Block> {
        let mut blocks = Vec::new();
        let mut open: Option<Block> = None;
        for (line, text) in (1..).zip(self.text.lines()) {
            match (&mut open, text.strip_prefix("```")) {
                (None, Some(info)) => open = Some(Block::open(info, line)),
                (Some(_), Some(_)) => blocks.extend(open.take()),
                (Some(block), None) => {
                    block.text.push_str(text);
                    block.text.push('\n');
                }
                (None, None) => {}
            }
        }
        assert!(open.is_none(), "{}: a block is not closed", self.path.display());
        blocks
    }

    /// Lines outside fenced blocks, with their numbers.
    pub fn prose(&self) -> Vec<(usize, &str)> {
        let mut fenced = false;
        let mut lines = Vec::new();
        for (number, line) in (1..).zip(self.text.lines()) {
            if line.starts_with("```") {
                fenced = !fenced;
            } else if !fenced {
                lines.push((number, line));
            }
        }
        lines
    }

    /// The rows of the one table with this head.
    pub fn table(&self, head: &str) -> Vec<Vec<String>> {
        let mut tables = self.tables(head);
        assert_eq!(tables.len(), 1, "{}: tables {head:?}", self.path.display());
        tables.remove(0)
    }

    /// The rows of every table with this head, without head and rule; cells trimmed.
    pub fn tables(&self, head: &str) -> Vec<Vec<Vec<String>>> {
        let prose = self.prose();
        let cells = |line: &str| line.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect();
        let rows = |start: usize| {
            let lines = prose[start..].iter().map(|(_, line)| line).skip(2);
            lines.take_while(|line| line.starts_with('|')).map(|line| cells(line)).collect()
        };
        (0..prose.len()).filter(|start| prose[*start].1 == head).map(rows).collect()
    }

    /// Where links lead, with their lines.
    pub fn links(&self) -> Vec<(usize, &str)> {
        let mut links = Vec::new();
        for (number, line) in self.prose() {
            for (at, _) in line.match_indices("](") {
                let target = &line[at + 2..];
                links.push((number, &target[..target.find(')').unwrap_or(target.len())]));
            }
        }
        links
    }

    /// The anchors of its headings, as GitHub makes them.
    pub fn anchors(&self) -> Vec<String> {
        let headings = self.prose().into_iter().filter(|(_, line)| line.starts_with('#'));
        let anchor = |heading: &str| {
            let kept = |c: &char| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_');
            heading.trim_start_matches('#').trim().to_lowercase().chars().filter(kept).collect::<String>()
        };
        headings.map(|(_, line)| anchor(line).replace(' ', "-")).collect()
    }

    /// What stands between backticks, with its line.
    pub fn code_spans(&self) -> Vec<(usize, &str)> {
        let spans = |(number, line)| codes(line).into_iter().map(move |span| (number, span));
        self.prose().into_iter().flat_map(spans).collect()
    }
}

/// The code spans of a line or a table's cell.
pub fn codes(cell: &str) -> Vec<&str> {
    cell.split('`').skip(1).step_by(2).collect()
}
