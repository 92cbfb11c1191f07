//! Methods (RFC 9110 section 9, IANA HTTP Method Registry).

/// The registered methods; one that differs from these only in case is a trap, not a method.
const REGISTERED: [&str; 41] = [
    "ACL",
    "BASELINE-CONTROL",
    "BIND",
    "CHECKIN",
    "CHECKOUT",
    "CONNECT",
    "COPY",
    "DELETE",
    "GET",
    "HEAD",
    "LABEL",
    "LINK",
    "LOCK",
    "MERGE",
    "MKACTIVITY",
    "MKCALENDAR",
    "MKCOL",
    "MKREDIRECTREF",
    "MKWORKSPACE",
    "MOVE",
    "OPTIONS",
    "ORDERPATCH",
    "PATCH",
    "POST",
    "PRI",
    "PROPFIND",
    "PROPPATCH",
    "PUT",
    "QUERY",
    "REBIND",
    "REPORT",
    "SEARCH",
    "TRACE",
    "UNBIND",
    "UNCHECKOUT",
    "UNLINK",
    "UNLOCK",
    "UPDATE",
    "UPDATEREDIRECTREF",
    "VERSION-CONTROL",
    "TRACK",
];

/// What is to become of a method.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Policy decides.
    Fine,
    /// It would show the caller what was injected.
    Echoes,
    /// `get` for `GET`.
    WrongCase,
}

/// Judges a method's name. Methods are case-sensitive (RFC 9110 section 9.1).
pub fn judge(method: &str) -> Verdict {
    match method {
        "GET" | "POST" | "PUT" | "PATCH" | "DELETE" | "HEAD" | "OPTIONS" => Verdict::Fine,
        _ if ["TRACE", "TRACK", "DEBUG"].iter().any(|m| m.eq_ignore_ascii_case(method)) => Verdict::Echoes,
        _ if REGISTERED.iter().any(|m| *m != method && m.eq_ignore_ascii_case(method)) => Verdict::WrongCase,
        _ => Verdict::Fine,
    }
}

/// The method as a metric's label: from a closed set.
pub fn label(method: &str) -> &'static str {
    REGISTERED.iter().find(|m| **m == method).copied().unwrap_or("_OTHER")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn methods_that_echo_or_only_look_right_are_told_apart() {
        for method in ["GET", "PURGE", "MKCOL", "purge"] {
            assert_eq!(judge(method), Verdict::Fine, "{method}");
        }
        for method in ["TRACE", "trace", "TRACK", "DEBUG"] {
            assert_eq!(judge(method), Verdict::Echoes, "{method}");
        }
        for method in ["get", "Post", "mkcol"] {
            assert_eq!(judge(method), Verdict::WrongCase, "{method}");
        }
        assert_eq!((label("GET"), label("PURGE")), ("GET", "_OTHER"));
    }
}
