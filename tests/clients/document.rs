//! What docs/clients.md has for the tests: a configuration, what to type before, and the programs.

use crate::markdown::{Block, Document};

const PAGE: &str = "docs/clients.md";

/// How a program's calls come to veilwarden.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// Variables that name the proxy and its CA.
    Proxy,
    /// Variables that name another base URL.
    BaseUrl,
    /// `veilwarden exec`, which sets those of a proxy of its own.
    Exec,
}

/// A program of the page, and what it prints.
#[derive(Debug)]
pub struct Program {
    pub name: String,
    /// `sh`, `python`, `js` or `go`.
    pub language: String,
    pub text: String,
    pub ways: Vec<Way>,
    pub prints: String,
    /// For messages: where it stands.
    pub at: String,
}

/// The page, taken apart.
pub struct ClientsPage {
    pub configuration: String,
    /// What is typed before the programs of a way.
    before: Vec<(Way, String)>,
    pub programs: Vec<Program>,
}

impl Way {
    const ALL: [Way; 3] = [Way::Proxy, Way::BaseUrl, Way::Exec];

    pub fn name(self) -> &'static str {
        match self {
            Way::Proxy => "proxy",
            Way::BaseUrl => "base-url",
            Way::Exec => "exec",
        }
    }

    fn named(name: &str) -> Way {
        Way::ALL
            .into_iter()
            .find(|way| way.name() == name)
            .unwrap_or_else(|| panic!("{PAGE}: no way in is called {name}"))
    }
}

impl ClientsPage {
    pub fn read() -> ClientsPage {
        let document = Document::read(PAGE);
        let blocks = document.blocks();
        let configuration = blocks.iter().find(|block| block.attribute("file") == Some("veilwarden.yaml"));
        let before = blocks.iter().filter(|block| block.test() == Some("clients"));
        let before = before.filter_map(|block| Some((Way::named(block.attribute("before")?), block.text.clone())));
        let programs = blocks.iter().enumerate().filter_map(|(index, block)| {
            let expected = blocks.get(index + 1).filter(|next| next.language == "text");
            program(block, expected, document.at(block.line))
        });
        ClientsPage {
            configuration: configuration.unwrap_or_else(|| panic!("{PAGE} has a configuration")).text.clone(),
            before: before.collect(),
            programs: programs.collect(),
        }
    }

    /// What a reader types before any program that comes in this way.
    pub fn before(&self, way: Way) -> String {
        self.before.iter().filter(|(of, _)| *of == way).map(|(_, text)| text.as_str()).collect()
    }
}

fn program(block: &Block, expected: Option<&Block>, at: String) -> Option<Program> {
    let name = block.attribute("client").filter(|_| block.test() == Some("clients"))?;
    let ways = block.attribute("by").unwrap_or_else(|| panic!("{at}: by= says how its calls come in"));
    Some(Program {
        name: name.to_owned(),
        language: block.language.clone(),
        text: block.text.clone(),
        ways: ways.split(',').map(Way::named).collect(),
        prints: expected.unwrap_or_else(|| panic!("{at}: what does it print?")).text.clone(),
        at,
    })
}
