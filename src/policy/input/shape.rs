//! The shape of the document: which names stand below which, and what kind of value each has.

/// A named member of an object.
#[derive(Debug)]
pub struct Property {
    pub name: &'static str,
    pub shape: Shape,
    /// Whether the name is there for every caller.
    pub always: bool,
    /// One sentence for the published schema.
    pub about: &'static str,
}

/// What kind of value a name has.
#[derive(Debug)]
pub enum Shape {
    Text,
    /// Text in RFC 3339 form.
    Timestamp,
    /// Text that is one of these.
    OneOf(&'static [&'static str]),
    Flag,
    /// A whole number, never negative.
    Number,
    List(&'static Shape),
    /// An object whose names come from the call, in lower case.
    LowerCaseMap(&'static Shape),
    /// An object whose names come from the cluster, in any case.
    Map(&'static Shape),
    /// An object with exactly these names.
    Object(&'static [Property]),
}

impl Shape {
    /// The property of that name, when this is an object with fixed names.
    pub fn property(&self, name: &str) -> Option<&'static Property> {
        match self {
            Shape::Object(properties) => properties.iter().find(|property| property.name == name),
            _ => None,
        }
    }

    /// A word for messages: `a string`, `a list`, …
    pub fn noun(&self) -> &'static str {
        match self {
            Shape::Text | Shape::Timestamp | Shape::OneOf(_) => "a string",
            Shape::Flag => "a boolean",
            Shape::Number => "a number",
            Shape::List(_) => "a list",
            Shape::LowerCaseMap(_) | Shape::Map(_) | Shape::Object(_) => "an object",
        }
    }
}
