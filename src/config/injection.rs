//! `inject_header` and `header_value_template`.

use http::HeaderName;

use super::mistakes::quoted;
use super::spelling;

/// Checks the name of the header to set (RFC 9110 section 5.1) and that a secret may stand in it.
pub(super) fn header(name: &str) -> Result<(), String> {
    let parsed =
        HeaderName::from_bytes(name.as_bytes()).map_err(|_| format!("{} is not a header name", quoted(name)))?;
    if is_protected(parsed.as_str()) {
        return Err(format!("{} is not a header that can be injected", quoted(name)));
    }
    Ok(())
}

/// Headers that frame the message, belong to one connection, or carry what veilwarden itself says. `name` in lower case.
fn is_protected(name: &str) -> bool {
    const PROTECTED: [&str; 20] = [
        "connection",
        "content-length",
        "expect",
        "host",
        "http2-settings",
        "keep-alive",
        "max-forwards",
        "proxy-authenticate",
        "proxy-authentication-info",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "via",
        "x-agent-id",
        "x-request-id",
        "x-session-secret",
        "x-upstream-host",
    ];
    name.starts_with("x-veilwarden-") || PROTECTED.contains(&name)
}

/// Checks that a template is a header value with `{{secret}}` in it and no other placeholder.
pub(super) fn template(text: &str) -> Result<(), String> {
    let mut rest = text;
    let mut found = false;
    while let Some((before, after)) = rest.split_once("{{") {
        literal(before)?;
        let (name, after) = after.split_once("}}").ok_or("\"{{\" is not closed by \"}}\"")?;
        placeholder(name)?;
        (found, rest) = (true, after);
    }
    literal(rest)?;
    if found { Ok(()) } else { Err("must contain {{secret}}".to_owned()) }
}

fn placeholder(name: &str) -> Result<(), String> {
    if name == "secret" {
        return Ok(());
    }
    let written = quoted(&format!("{{{{{name}}}}}"));
    let bare = name.trim();
    if bare.starts_with("secret|") || bare.starts_with("secret |") || bare.starts_with("basic ") {
        return Err(format!("{written} is not supported yet"));
    }
    match spelling::nearest(bare, ["secret"].into_iter()) {
        Some(_) => Err(format!("unknown placeholder {written}; did you mean \"{{{{secret}}}}\"?")),
        None => Err(format!("unknown placeholder {written}; use {{{{secret}}}}")),
    }
}

fn literal(text: &str) -> Result<(), String> {
    if text.contains("}}") {
        return Err("\"}}\" without a \"{{\" before it".to_owned());
    }
    match text.chars().find(|c| !matches!(c, '\t' | ' '..='~')) {
        Some(c) => Err(format!("{c:?} cannot stand in a header value")),
        None => Ok(()),
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
