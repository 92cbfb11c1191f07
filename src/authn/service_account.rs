//! The user name of a ServiceAccount: `system:serviceaccount:NAMESPACE:NAME`, and nothing else.

/// Namespace and name in a user name of the TokenReview API; `None` for users, nodes and whatever only looks alike.
///
/// A namespace is an RFC 1123 label, a ServiceAccount's name an RFC 1123 subdomain, as the API server has it
/// (`metadata.name` validation of `Namespace` and `ServiceAccount`).
pub fn parse(username: &str) -> Option<(&str, &str)> {
    let (namespace, name) = username.strip_prefix("system:serviceaccount:")?.split_once(':')?;
    (is_label(namespace) && is_subdomain(name)).then_some((namespace, name))
}

/// RFC 1123 label: 1 to 63 letters, digits and hyphens.
pub fn is_label(text: &str) -> bool {
    text.len() <= 63 && is_ldh(text)
}

/// RFC 1123 subdomain as Kubernetes has it, which names of nodes are too: labels with dots between, 253 bytes at most,
/// which one label may fill.
pub fn is_subdomain(text: &str) -> bool {
    text.len() <= 253 && text.split('.').all(is_ldh)
}

/// Lower-case letters, digits and hyphens; at least one, and a hyphen neither begins nor ends it.
fn is_ldh(text: &str) -> bool {
    !text.is_empty()
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        && !text.starts_with('-')
        && !text.ends_with('-')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_service_account_is_read() {
        assert_eq!(parse("system:serviceaccount:default:test-sa"), Some(("default", "test-sa")));
        assert_eq!(parse("system:serviceaccount:n1:a.b-c.9"), Some(("n1", "a.b-c.9")));
        let longest = "a".repeat(253);
        assert_eq!(parse(&format!("system:serviceaccount:ns:{longest}")), Some(("ns", longest.as_str())));
    }

    #[test]
    fn h04_every_other_user_name_is_refused() {
        let long = format!("system:serviceaccount:ns:{}", "a".repeat(300));
        let long_namespace = format!("system:serviceaccount:{}:sa", "a".repeat(64));
        let cases = [
            "",
            "system:node:n1",
            "kubernetes-admin",
            "system:anonymous",
            "system:serviceaccount",
            "system:serviceaccount:",
            "system:serviceaccount:ns",
            "system:serviceaccount:ns:",
            "system:serviceaccount::sa",
            "system:serviceaccount:::",
            "system:serviceaccount:ns:sa:x",
            "system:serviceaccount:ns:sa:",
            "System:serviceaccount:ns:sa",
            "system:serviceaccounts:ns:sa",
            " system:serviceaccount:ns:sa",
            "system:serviceaccount:ns:sa ",
            "system:serviceaccount:ns:sa\n",
            "system:serviceaccount:n/s:sa",
            "system:serviceaccount:n.s:sa",
            "system:serviceaccount:Ns:sa",
            "system:serviceaccount:-ns:sa",
            "system:serviceaccount:ns-:sa",
            "system:serviceaccount:ns:-sa",
            "system:serviceaccount:ns:sa-",
            "system:serviceaccount:ns:.sa",
            "system:serviceaccount:ns:s..a",
            "system:serviceaccount:ns:sa.",
            "system:serviceaccount:ns:s/a",
            "system:serviceaccount:ns:s%61",
            "system:serviceaccount:ns:sä",
            "system:serviceaccount:*:*",
            &long,
            &long_namespace,
        ];
        for case in cases {
            assert_eq!(parse(case), None, "{case:.60}");
        }
    }

    proptest! {
        #[test]
        fn what_is_read_spells_the_user_name_again(text in "system:serviceaccount:[a-zA-Z0-9:./-]{0,20}") {
            if let Some((namespace, name)) = parse(&text) {
                prop_assert_eq!(format!("system:serviceaccount:{namespace}:{name}"), text.clone());
                prop_assert!(!namespace.is_empty() && !name.is_empty() && !name.contains(':'));
            }
        }
    }
}
