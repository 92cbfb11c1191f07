//! A value of the document, before it becomes an engine's or JSON's own. Borrows what it can.

use std::borrow::Cow;

/// A value that borrows from the call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Node<'a> {
    Text(Cow<'a, str>),
    Flag(bool),
    Number(u64),
    List(Vec<Node<'a>>),
    Object(Vec<(Cow<'a, str>, Node<'a>)>),
}

impl<'a> Node<'a> {
    /// Borrowed text.
    pub fn text(text: &'a str) -> Self {
        Node::Text(Cow::Borrowed(text))
    }

    /// A list of borrowed texts.
    pub fn texts(texts: &'a [String]) -> Self {
        Node::List(texts.iter().map(|text| Node::text(text)).collect())
    }

    /// Appends the value as bytes, each value as other bytes: kinds are told apart, and what has a length says it first.
    pub fn write(&self, out: &mut Vec<u8>) {
        match self {
            Node::Text(text) => write_text(text, out),
            Node::Flag(flag) => out.extend_from_slice(&[b'f', u8::from(*flag)]),
            Node::Number(number) => {
                out.push(b'n');
                out.extend_from_slice(&number.to_le_bytes());
            }
            Node::List(items) => {
                write_length(b'l', items.len(), out);
                items.iter().for_each(|item| item.write(out));
            }
            Node::Object(members) => {
                write_length(b'o', members.len(), out);
                for (name, value) in members {
                    write_text(name, out);
                    value.write(out);
                }
            }
        }
    }
}

fn write_text(text: &str, out: &mut Vec<u8>) {
    write_length(b't', text.len(), out);
    out.extend_from_slice(text.as_bytes());
}

fn write_length(kind: u8, length: usize, out: &mut Vec<u8>) {
    out.push(kind);
    out.extend_from_slice(&(length as u64).to_le_bytes());
}

impl From<Node<'_>> for serde_json::Value {
    fn from(node: Node<'_>) -> Self {
        match node {
            Node::Text(text) => text.into_owned().into(),
            Node::Flag(flag) => flag.into(),
            Node::Number(number) => number.into(),
            Node::List(items) => items.into_iter().map(Self::from).collect(),
            Node::Object(members) => {
                members.into_iter().map(|(name, value)| (name.into_owned(), Self::from(value))).collect()
            }
        }
    }
}
