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

    /// What the policy reads of one call, and nothing else.
    pub fn build(&self, input: &Input<'_>) -> Result<Value, Error> {
        let mut document = regorus::value::Object::new();
        for (name, field) in &self.fields {
            if let Some(value) = (field.value)(input)? {
                document.insert(name.clone(), Value::from(value));
            }
        }
        Ok(document.into_value())
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
