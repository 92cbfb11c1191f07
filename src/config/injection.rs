//! `inject_header` and `header_value_template`.

use http::HeaderName;

use super::mistakes::quoted;
use super::spelling;
use crate::request::fields::is_protected;
use crate::route::{Template, template};

/// Checks the name of the header to set (RFC 9110 section 5.1) and that a secret may stand in it.
pub(super) fn header(name: &str) -> Result<(), String> {
    let parsed =
        HeaderName::from_bytes(name.as_bytes()).map_err(|_| format!("{} is not a header name", quoted(name)))?;
    if is_protected(&parsed) {
        return Err(format!("{} is not a header that can be injected", quoted(name)));
    }
    Ok(())
}

/// Checks the name of a header that carries the caller's credential on one route.
pub(super) fn slot(name: &str) -> Result<(), String> {
    let parsed =
        HeaderName::from_bytes(name.as_bytes()).map_err(|_| format!("{} is not a header name", quoted(name)))?;
    match parsed.as_str() {
        "proxy-authorization" | "x-veilwarden-token" | "x-session-secret" => {
            Err(format!("{} carries the caller's credential on every route", quoted(name)))
        }
        _ if is_protected(&parsed) => Err(format!("{} is not a header that can carry a credential", quoted(name))),
        _ => Ok(()),
    }
}

/// Checks that a template is a header value with `{{secret}}` in it and no other placeholder.
pub(super) fn template(text: &str) -> Result<(), String> {
    match Template::parse(text) {
        Ok(_) => Ok(()),
        Err(template::Error::UnknownPlaceholder(name)) => Err(unknown(&name)),
        Err(error) => Err(error.to_string()),
    }
}

fn unknown(name: &str) -> String {
    let written = quoted(&format!("{{{{{name}}}}}"));
    let bare = name.trim();
    if bare.starts_with("secret|") || bare.starts_with("secret |") || bare.starts_with("basic ") {
        return format!("{written} is not supported yet");
    }
    match spelling::nearest(bare, ["secret"].into_iter()) {
        Some(_) => format!("unknown placeholder {written}; did you mean \"{{{{secret}}}}\"?"),
        None => format!("unknown placeholder {written}; use {{{{secret}}}}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r27_a_secret_goes_into_a_header_of_the_application_only() {
        for name in ["Authorization", "x-api-key", "Cookie", "X-Custom_Header"] {
            assert_eq!(header(name), Ok(()), "{name}");
        }
        for name in
            ["Host", "Content-Length", "TRANSFER-ENCODING", "te", "Upgrade", "X-Veilwarden-Token", "X-Request-Id"]
        {
            assert_eq!(header(name).unwrap_err(), format!("{name:?} is not a header that can be injected"));
        }
        for name in ["", "a b", "a:", ":path", "é", "a\n"] {
            assert!(header(name).unwrap_err().ends_with("is not a header name"), "{name:?}");
        }
    }

    #[test]
    fn a_slot_is_a_header_that_means_nothing_else() {
        for name in ["x-api-key", "Authorization", "api-key", "PRIVATE-TOKEN"] {
            assert_eq!(slot(name), Ok(()), "{name}");
        }
        for name in ["Host", "content-length", "Transfer-Encoding", "Connection", "X-Upstream-Host", "x-veilwarden-x"] {
            assert_eq!(slot(name).unwrap_err(), format!("{name:?} is not a header that can carry a credential"));
        }
        for name in ["Proxy-Authorization", "X-Veilwarden-Token", "x-session-secret"] {
            assert_eq!(slot(name).unwrap_err(), format!("{name:?} carries the caller's credential on every route"));
        }
        for name in ["", "a b", "x-api-key:"] {
            assert!(slot(name).unwrap_err().ends_with("is not a header name"), "{name:?}");
        }
    }

    #[test]
    fn r28_a_template_holds_the_secret_and_nothing_unknown() {
        for text in ["{{secret}}", "token {{secret}}", "a{{secret}}b{{secret}}c", "{ {{secret}} }"] {
            assert_eq!(template(text), Ok(()), "{text}");
        }
        for (text, message) in [
            ("", "must contain {{secret}}"),
            ("Bearer secret", "must contain {{secret}}"),
            ("Bearer {secret}", "must contain {{secret}}"),
            ("{{ secret }}", "unknown placeholder \"{{ secret }}\"; did you mean \"{{secret}}\"?"),
            ("{{secert}}", "unknown placeholder \"{{secert}}\"; did you mean \"{{secret}}\"?"),
            ("{{secret}} {{user}}", "unknown placeholder \"{{user}}\"; use {{secret}}"),
            ("{{secret|base64}}", "\"{{secret|base64}}\" is not supported yet"),
            ("{{basic user secret}}", "\"{{basic user secret}}\" is not supported yet"),
            ("Bearer {{secret", "\"{{\" is not closed by \"}}\""),
            ("Bearer {{secret}} }}", "\"}}\" without a \"{{\" before it"),
            ("a\r\nX: {{secret}}", "'\\r' cannot stand in a header value"),
            ("é {{secret}}", "'é' cannot stand in a header value"),
        ] {
            assert_eq!(template(text).unwrap_err(), message, "{text:?}");
        }
    }
}
