//! The file as a tree that remembers where everything stood.

use std::collections::HashMap;

use serde_saphyr::granit_parser::{self as yaml, Event, Parser, ScalarStyle, StrInput};
use zeroize::Zeroizing;

use super::mistakes::{Mistake, Report};
use super::place::{Place, Position, Step};

/// Lists and mappings inside each other, aliases followed. Ours need six.
const MAX_DEPTH: usize = 32;
/// What aliases may blow a file up to: nodes plus bytes of text.
const MAX_WEIGHT: usize = 4 << 20;

/// A value of the file and where it began.
#[derive(Debug, Clone)]
pub(super) struct Node {
    pub at: Position,
    pub value: Value,
}

/// What a node holds. Plain scalars are read by the core schema of YAML 1.2: `no` and `off` are strings.
#[derive(Debug, Clone)]
pub(super) enum Value {
    Null,
    Bool(bool),
    Integer(i64),
    Float,
    /// Wiped on drop: it may be a secret.
    Text(Zeroizing<String>),
    List(Vec<Node>),
    Map(Vec<Entry>),
    /// Reported and not to be used.
    Broken,
}

/// One key of a mapping.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub key: String,
    pub at: Position,
    pub node: Node,
}

impl Node {
    /// Where `place` stands: the value itself, or the key of the nearest thing around it that exists. `None` when
    /// not even its first key is there.
    pub fn locate(&self, place: &Place) -> Option<Position> {
        let (mut node, mut nearest) = (self, None);
        for step in place.steps() {
            let found = match (step, &node.value) {
                (Step::Key(key), Value::Map(entries)) => {
                    entries.iter().find(|entry| entry.key == *key).map(|entry| (&entry.node, entry.at))
                }
                (Step::Index(index), Value::List(nodes)) => nodes.get(*index).map(|node| (node, node.at)),
                _ => None,
            };
            let Some((below, at)) = found else { return nearest };
            (node, nearest) = (below, Some(at));
        }
        match node.value {
            Value::Map(_) | Value::List(_) => nearest,
            _ => Some(node.at),
        }
    }
}

/// Reads one YAML document. Duplicate keys are reported and the first kept; what cannot be read at all is the one
/// mistake in `Err`.
pub(super) fn parse(text: &str, report: &mut Report) -> Result<Node, Mistake> {
    let options = yaml::options! {
        emit_comments: false,
        disallow_directives: true,
        flow_nesting_limit: MAX_DEPTH,
        block_nesting_limit: MAX_DEPTH,
    };
    let mut loader =
        Loader { events: Parser::new_from_str_with_options(text, options), anchors: HashMap::new(), weight: 0, report };
    loader.document()
}

fn not_yaml(why: &str) -> String {
    // `*.example.com`, which is meant as a text.
    let hint = if why.contains("unknown anchor") { "; a text that begins with * stands in quotes" } else { "" };
    format!("not valid YAML: {why}{hint}")
}

/// An anchored node, with what a copy of it costs.
struct Anchored {
    node: Node,
    weight: usize,
    depth: usize,
}

struct Loader<'t, 'r> {
    events: Parser<'t, StrInput<'t>>,
    anchors: HashMap<usize, Anchored>,
    weight: usize,
    report: &'r mut Report,
}

impl<'t> Loader<'t, '_> {
    fn document(&mut self) -> Result<Node, Mistake> {
        let mut root = None;
        loop {
            let (event, at) = self.next()?;
            match event {
                Event::StreamStart | Event::DocumentEnd => {}
                Event::DocumentStart(..) if root.is_some() => {
                    return Err(stop(at, "a second YAML document; the configuration is one document"));
                }
                Event::DocumentStart(..) => {
                    let (event, at) = self.next()?;
                    root = Some(self.node(event, at, &Place::root())?.0);
                }
                Event::StreamEnd => break,
                _ => return Err(stop(at, "not a YAML document")),
            }
        }
        Ok(root.unwrap_or(Node { at: Position { line: 1, column: 1 }, value: Value::Null }))
    }

    fn next(&mut self) -> Result<(Event<'t>, Position), Mistake> {
        match self.events.next_event() {
            Some(Ok((event, span))) => Ok((event, position(&span.start))),
            Some(Err(error)) => Err(stop(position(error.marker()), not_yaml(&error.info()))),
            // The parser ends with `StreamEnd`; asked again it has nothing.
            None => Ok((Event::StreamEnd, Position { line: 1, column: 1 })),
        }
    }

    /// The node that starts with `event`, and its depth.
    fn node(&mut self, event: Event<'t>, at: Position, place: &Place) -> Result<(Node, usize), Mistake> {
        let before = self.weight;
        let (value, depth, anchor) = match event {
            Event::Alias(id) => return self.alias(id, at, place),
            Event::Scalar(text, style, anchor, tag) => {
                self.spend(1 + text.len(), at)?;
                (scalar(&text, style, tag.as_deref(), at)?, 1, anchor)
            }
            Event::SequenceStart(_, anchor, tag) => {
                collection_tag(tag.as_deref(), "seq", at)?;
                let (nodes, depth) = self.list(at, place)?;
                (Value::List(nodes), depth, anchor)
            }
            Event::MappingStart(_, anchor, tag) => {
                collection_tag(tag.as_deref(), "map", at)?;
                let (entries, depth) = self.map(at, place)?;
                (Value::Map(entries), depth, anchor)
            }
            _ => return Err(stop(at, "not valid YAML: a value is missing")),
        };
        let node = Node { at, value };
        if anchor != 0 {
            let weight = self.weight - before;
            // Kept beside the tree, so the copy counts as well.
            self.spend(weight, at)?;
            self.anchors.insert(anchor, Anchored { node: node.clone(), weight, depth });
        }
        Ok((node, depth))
    }

    fn list(&mut self, at: Position, place: &Place) -> Result<(Vec<Node>, usize), Mistake> {
        self.spend(1, at)?;
        let (mut nodes, mut deepest) = (Vec::new(), 0);
        loop {
            let (event, at) = self.next()?;
            if event == Event::SequenceEnd {
                return Ok((nodes, deepest + 1));
            }
            let (node, depth) = self.node(event, at, &place.index(nodes.len()))?;
            nodes.push(node);
            deepest = deepest.max(depth);
        }
    }

    fn map(&mut self, at: Position, place: &Place) -> Result<(Vec<Entry>, usize), Mistake> {
        self.spend(1, at)?;
        let (mut entries, mut first, mut deepest) = (Vec::new(), HashMap::new(), 0);
        loop {
            let (event, at) = self.next()?;
            let key = match event {
                Event::MappingEnd => return Ok((entries, deepest + 1)),
                Event::Scalar(text, ..) => text.into_owned(),
                _ => return Err(stop(at, "a key must be a plain name")),
            };
            self.spend(1 + key.len(), at)?;
            let here = place.key(&key);
            let (event, value_at) = self.next()?;
            let (node, depth) = self.node(event, value_at, &here)?;
            deepest = deepest.max(depth);
            if let Some(line) = first.get(&key) {
                self.report.at(at, &here, format!("duplicate key; it already stands in line {line}"));
                continue;
            }
            first.insert(key.clone(), at.line);
            entries.push(Entry { key, at, node });
        }
    }

    fn alias(&mut self, id: usize, at: Position, place: &Place) -> Result<(Node, usize), Mistake> {
        let Some(anchored) = self.anchors.get(&id) else {
            return Err(stop(at, "an alias inside the value that it names"));
        };
        let (node, weight, depth) = (Node { at, ..anchored.node.clone() }, anchored.weight, anchored.depth);
        if place.steps().len() + depth > MAX_DEPTH {
            return Err(stop(at, "aliases nest too deeply"));
        }
        self.spend(weight, at)?;
        Ok((node, depth))
    }

    fn spend(&mut self, weight: usize, at: Position) -> Result<(), Mistake> {
        self.weight += weight;
        if self.weight > MAX_WEIGHT { Err(stop(at, "aliases make this file too large")) } else { Ok(()) }
    }
}

/// A scalar's value by its tag, its quotes, or the core schema.
fn scalar(text: &str, style: ScalarStyle, tag: Option<&yaml::Tag>, at: Position) -> Result<Value, Mistake> {
    let core = tag.map(|tag| tag.core_suffix());
    match core {
        None if style == ScalarStyle::Plain => Ok(plain(text)),
        Some(Some("null" | "bool" | "int" | "float")) => Ok(plain(text)),
        None | Some(Some("str")) => Ok(Value::Text(Zeroizing::new(text.to_owned()))),
        Some(_) => Err(stop(at, "YAML tags are not used in this file")),
    }
}

fn plain(text: &str) -> Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Value::Null,
        "true" | "True" | "TRUE" => return Value::Bool(true),
        "false" | "False" | "FALSE" => return Value::Bool(false),
        _ => {}
    }
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    let radix =
        |prefix: &str, radix| text.strip_prefix(prefix).and_then(|digits| i64::from_str_radix(digits, radix).ok());
    if let Some(number) = text.parse().ok().or_else(|| radix("0x", 16)).or_else(|| radix("0o", 8)) {
        return Value::Integer(number);
    }
    let numeric = unsigned.starts_with(|c: char| c.is_ascii_digit() || c == '.') && unsigned.parse::<f64>().is_ok();
    if numeric || matches!(unsigned.to_ascii_lowercase().as_str(), ".inf" | ".nan") {
        return Value::Float;
    }
    Value::Text(Zeroizing::new(text.to_owned()))
}

fn collection_tag(tag: Option<&yaml::Tag>, core: &str, at: Position) -> Result<(), Mistake> {
    match tag {
        Some(tag) if tag.core_suffix() != Some(core) => Err(stop(at, "YAML tags are not used in this file")),
        _ => Ok(()),
    }
}

fn position(marker: &yaml::Marker) -> Position {
    Position { line: marker.line().max(1), column: marker.col() + 1 }
}

fn stop(at: Position, message: impl Into<String>) -> Mistake {
    Mistake { at: Some(at), place: Place::root(), message: message.into() }
}
