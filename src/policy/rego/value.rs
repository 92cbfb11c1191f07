//! The document as the interpreter's values.

use regorus::Value;

use crate::policy::input::{Field, Node};
use crate::policy::{Error, Input};

/// The fields a policy reads, with their names made once.
#[derive(Debug)]
pub(super) struct Document {
    fields: Vec<(Value, &'static Field)>,
}

impl Document {
    pub fn of(fields: &[&'static Field]) -> Self {
        Self { fields: fields.iter().map(|field| (Value::from(field.property.name), *field)).collect() }
    }

    /// What the policy reads of one call, and nothing else: a value for each field, or that the name is absent.
    pub fn read<'a>(&self, input: &Input<'a>) -> Result<Vec<Option<Node<'a>>>, Error> {
        self.fields.iter().map(|(_, field)| (field.value)(input)).collect()
    }

    /// The document of values that were [`read`](Self::read).
    pub fn build(&self, values: Vec<Option<Node<'_>>>) -> Value {
        let mut document = regorus::value::Object::new();
        for ((name, _), value) in self.fields.iter().zip(values) {
            if let Some(value) = value {
                document.insert(name.clone(), Value::from(value));
            }
        }
        document.into_value()
    }
}

impl From<Node<'_>> for Value {
    fn from(node: Node<'_>) -> Self {
        match node {
            Node::Text(text) => Value::from(&*text),
            Node::Flag(flag) => Value::from(flag),
            Node::Number(number) => Value::from(number),
            Node::List(items) => Value::from(items.into_iter().map(Value::from).collect::<Vec<_>>()),
            Node::Object(members) => {
                let members = members.into_iter().map(|(name, value)| (Value::from(&*name), Value::from(value)));
                members.collect::<regorus::value::Object>().into_value()
            }
        }
    }
}
