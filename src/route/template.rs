//! How a secret is put into a field's value.

use http::HeaderValue;
use zeroize::Zeroizing;

use crate::secrets::Secret;

/// What is wrong with a template.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error("must contain {{{{secret}}}}")]
    NoPlaceholder,
    #[error("unknown placeholder {{{{{0}}}}}")]
    UnknownPlaceholder(String),
    #[error("\"{{{{\" is not closed by \"}}}}\"")]
    Unclosed,
    #[error("\"}}}}\" without a \"{{{{\" before it")]
    Unopened,
    #[error("{0:?} cannot stand in a header value")]
    BadCharacter(char),
}

/// Text around one or more places for the secret. Parsed once, so a secret that looks like a placeholder is
/// never expanded again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    /// The secret stands between each two of these.
    literals: Vec<String>,
}

impl Template {
    /// Reads `text {{secret}} text`, with one or more placeholders.
    pub fn parse(text: &str) -> Result<Template, Error> {
        let mut literals = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("{{") {
            literals.push(literal(before)?);
            let (name, after) = after.split_once("}}").ok_or(Error::Unclosed)?;
            if name != "secret" {
                return Err(Error::UnknownPlaceholder(name.to_owned()));
            }
            rest = after;
        }
        literals.push(literal(rest)?);
        if literals.len() < 2 { Err(Error::NoPlaceholder) } else { Ok(Template { literals }) }
    }

    /// The field's value, marked sensitive so that it is masked in `Debug`. `None` cannot happen for a checked
    /// secret and is a failed call, not a panic, if it ever does.
    pub fn render(&self, secret: &Secret) -> Option<HeaderValue> {
        let text = Zeroizing::new(self.literals.join(secret.expose_secret()));
        let mut value = HeaderValue::from_str(&text).ok()?;
        value.set_sensitive(true);
        Some(value)
    }
}

/// Visible ASCII and blanks; what HTTP lets a field value hold (RFC 9110 section 5.5).
fn literal(text: &str) -> Result<String, Error> {
    if text.contains("}}") {
        return Err(Error::Unopened);
    }
    match text.chars().find(|c| !matches!(c, '\t' | ' '..='~')) {
        Some(c) => Err(Error::BadCharacter(c)),
        None => Ok(text.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rendered(template: &str, secret: &str) -> Option<String> {
        let secret = Secret::new(secret.to_owned()).ok()?;
        let value = Template::parse(template).ok()?.render(&secret)?;
        assert!(value.is_sensitive());
        Some(value.to_str().ok()?.to_owned())
    }

    #[test]
    fn d19_every_placeholder_is_replaced_once() {
        assert_eq!(rendered("token {{secret}}", "abc").as_deref(), Some("token abc"));
        assert_eq!(rendered("{{secret}}:{{secret}}", "abc").as_deref(), Some("abc:abc"));
        assert_eq!(rendered("Bearer {{secret}}", "{{secret}}").as_deref(), Some("Bearer {{secret}}"));
    }

    #[test]
    fn templates_that_cannot_work_are_refused() {
        assert_eq!(Template::parse("token"), Err(Error::NoPlaceholder));
        assert_eq!(Template::parse("{{secret|base64}}"), Err(Error::UnknownPlaceholder("secret|base64".into())));
        assert_eq!(Template::parse("{{secret}}\r\nX: y"), Err(Error::BadCharacter('\r')));
    }
}
