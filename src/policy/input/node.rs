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
