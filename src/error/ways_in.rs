//! What a caller without a good credential is told to send.

/// How this veilwarden takes credentials, and how the call came. Says nothing about the credential of the call: a missing one
/// and a wrong one have to look the same.
#[derive(Debug, Clone, Copy, Default)]
pub struct WaysIn {
    /// ServiceAccount tokens are taken: Kubernetes authentication is on.
    pub token: bool,
    /// There is a session secret.
    pub session: bool,
    /// The caller takes us for a proxy, whose credential is in a field of its own.
    pub forward: bool,
}

impl WaysIn {
    /// What to send, and in which field.
    pub(super) fn hint(self) -> Option<String> {
        let (token, secret) = ("a Kubernetes ServiceAccount token", "the session secret");
        Some(match (self.forward, self.token, self.session) {
            (_, false, false) => return None,
            (false, true, true) => format!("send {}, or {}", in_authorization(token), in_its_own_field(secret)),
            (false, true, false) => format!("send {}", in_authorization(token)),
            (false, false, true) => format!("send {}", in_its_own_field(secret)),
            (true, true, true) => for_a_proxy(&format!("{token} or {secret}")),
            (true, true, false) => for_a_proxy(token),
            (true, false, true) => for_a_proxy(secret),
        })
    }
}

fn in_authorization(token: &str) -> String {
    format!("{token} as \"Authorization: Bearer TOKEN\"")
}

fn in_its_own_field(secret: &str) -> String {
    format!("{secret} as \"X-Session-Secret: SECRET\"")
}

fn for_a_proxy(credential: &str) -> String {
    format!(
        "send {credential} as \"Proxy-Authorization: Bearer CREDENTIAL\", or as the password in the proxy's URL, \
         \"http://x:CREDENTIAL@HOST:PORT\""
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_would_help_is_recommended() {
        for (token, session, forward) in [true, false]
            .into_iter()
            .flat_map(|a| [(a, true, true), (a, true, false), (a, false, true), (a, false, false)])
        {
            let ways = WaysIn { token, session, forward };
            let hint = ways.hint().unwrap_or_default();
            assert_eq!(hint.contains("ServiceAccount"), token, "{ways:?}: {hint}");
            assert_eq!(hint.contains("session secret"), session, "{ways:?}: {hint}");
            assert_eq!(hint.contains("Proxy-Authorization"), forward && (token || session), "{ways:?}: {hint}");
            assert_eq!(hint.contains("\"Authorization"), !forward && token, "{ways:?}: {hint}");
            assert_eq!(hint.contains("X-Session-Secret"), !forward && session, "{ways:?}: {hint}");
        }
    }
}
