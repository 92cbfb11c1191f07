//! A secret stands in its field exactly where the template says, whatever either looks like.

use super::text;
use crate::route::Template;
use crate::secrets::Secret;

/// The template, and the secret from the second line on.
pub fn template(data: &[u8]) {
    let given = text(data);
    let (written, value) = given.split_once('\n').unwrap_or((given, "a-secret"));
    let Ok(template) = Template::parse(written) else { return };
    let Ok(secret) = Secret::new(value.to_owned()) else { return };
    let rendered = template.render(&secret).unwrap_or_else(|| panic!("{written:?} with {value:?} makes no field"));
    let value = value.strip_suffix("\r\n").or_else(|| value.strip_suffix('\n')).unwrap_or(value);
    let parts: Vec<&str> = written.split("{{secret}}").collect();
    assert!(parts.len() > 1, "{written:?} has no place for it");
    assert_eq!(rendered.as_bytes(), parts.join(value).as_bytes());
    assert!(rendered.as_bytes().iter().all(|b| *b == b'\t' || (b' '..=b'~').contains(b)), "{rendered:?}");
    assert!(rendered.is_sensitive() && format!("{rendered:?}") == "Sensitive");
}
