//! How a secret is put into a field's value.

use http::HeaderValue;
use zeroize::Zeroizing;

use crate::secrets::Secret;

const PLACEHOLDER: &str = "{{secret}}";

/// What is wrong with a template.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error("the template has no {PLACEHOLDER}")]
    NoPlaceholder,
    #[error("{{{{{0}}}}} is not supported; only {PLACEHOLDER} is")]
    UnknownPlaceholder(String),
    #[error("the template has a character that no header value may have")]
    BadCharacter,
}

/// Text around one or more places for the secret. Parsed once, so a secret that looks like a placeholder is
/// never expanded again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    /// The secret stands between each two of these.
    literals: Vec<String>,
}

impl Template {
    pub fn parse(text: &str) -> Result<Template, Error> {
        if HeaderValue::from_str(text).is_err() {
            return Err(Error::BadCharacter);
        }
        let literals: Vec<String> = text.split(PLACEHOLDER).map(str::to_owned).collect();
        for literal in &literals {
            if let Some((_, rest)) = literal.split_once("{{") {
                let name = rest.split("}}").next().unwrap_or(rest);
                return Err(Error::UnknownPlaceholder(name.to_owned()));
            }
        }
        if literals.len() < 2 {
            return Err(Error::NoPlaceholder);
        }
        Ok(Template { literals })
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
        assert_eq!(Template::parse("{{secret}}\r\nX: y"), Err(Error::BadCharacter));
    }
}
