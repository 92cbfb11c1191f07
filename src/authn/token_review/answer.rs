//! What the API server answered, believed only where it fits the question.

use std::sync::Arc;

use k8s_openapi::api::authentication::v1::{TokenReviewStatus, UserInfo};

use crate::authn::token::Claims;
use crate::authn::{Error, Unavailable, Workload, service_account};

/// What one identity may keep of an answer, in bytes. Real ones need a few hundred; memory is ours to bound.
const MAX_IDENTITY_BYTES: usize = 16 * 1024;
/// What of `status.error` goes into our own error.
const MAX_DETAIL_BYTES: usize = 300;
const MAX_WORD_BYTES: usize = 100;

/// Which review is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Question<'a> {
    /// `spec.audiences: [ours]`
    Ours(&'a str),
    /// No audience named: the API server judges the token by its own.
    ApiServers,
}

impl<'a> Question<'a> {
    /// For `spec.audiences`.
    pub fn audience(self) -> Option<&'a str> {
        match self {
            Question::Ours(audience) => Some(audience),
            Question::ApiServers => None,
        }
    }

    /// Whether `status.audiences` answers this question. Without any, the server may not know of audiences at all.
    fn is_answered_by(self, audiences: &[String], claims: &Claims) -> bool {
        match self {
            Question::Ours(ours) => lists(audiences, ours),
            Question::ApiServers => {
                let own = &claims.audiences;
                !audiences.is_empty() && (own.is_empty() || own.iter().any(|audience| lists(audiences, audience)))
            }
        }
    }
}

pub fn lists(audiences: &[String], audience: &str) -> bool {
    audiences.iter().any(|listed| listed == audience)
}

/// The identity in an answer, if it is one to the question. `claims` are those of the token that was asked about.
pub fn identify(status: TokenReviewStatus, question: Question<'_>, claims: &Claims) -> Result<Workload, Error> {
    if status.authenticated != Some(true) {
        return Err(Error::Refused(detail(status.error.as_deref().unwrap_or("not authenticated"))));
    }
    let audiences = status.audiences.unwrap_or_default();
    if !question.is_answered_by(&audiences, claims) {
        return Err(Error::Refused("the answer is for another audience than was asked about".into()));
    }
    let workload = workload(status.user.unwrap_or_default(), audiences, claims)?;
    if size(&workload) > MAX_IDENTITY_BYTES {
        return Err(Unavailable::Unreadable(format!("an identity of over {MAX_IDENTITY_BYTES} bytes").into()).into());
    }
    Ok(workload)
}

fn workload(user: UserInfo, audiences: Vec<String>, claims: &Claims) -> Result<Workload, Error> {
    let username = user.username.unwrap_or_default();
    let Some((namespace, service_account)) = service_account::parse(&username) else {
        return Err(Error::Refused("it does not belong to a ServiceAccount".into()));
    };
    let (namespace, service_account) = (namespace.to_owned(), service_account.to_owned());
    let mut extra = user.extra.unwrap_or_default();
    let mut bound_to = |name: &str| {
        let values = extra.remove(&format!("authentication.kubernetes.io/{name}"))?;
        values.into_iter().next().filter(|value| !value.is_empty())
    };
    Ok(Workload {
        namespace,
        service_account,
        pod_name: bound_to("pod-name"),
        pod_uid: bound_to("pod-uid"),
        node_name: bound_to("node-name"),
        username,
        service_account_uid: user.uid.filter(|uid| !uid.is_empty()),
        groups: user.groups.unwrap_or_default(),
        audiences,
        expires_at: claims.expires_at,
        cluster: None,
        metadata: Default::default(),
    })
}

fn size(workload: &Workload) -> usize {
    let optional = [&workload.service_account_uid, &workload.pod_name, &workload.pod_uid, &workload.node_name];
    let lists = workload.groups.iter().chain(&workload.audiences);
    optional.into_iter().flatten().chain(lists).map(|text| text.len() + size_of::<String>()).sum()
}

/// `status.error` for the log: short, in one line, and without words long enough to be a token that it repeats.
fn detail(error: &str) -> Arc<str> {
    let mut text = String::new();
    for word in error.split(|c: char| c.is_whitespace() || c.is_control()).filter(|word| !word.is_empty()) {
        let space = if text.is_empty() { "" } else { " " };
        text.extend([space, if word.len() > MAX_WORD_BYTES { "[...]" } else { word }]);
        if text.len() > MAX_DETAIL_BYTES {
            break;
        }
    }
    text.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::authn::{Blame, played};
    use serde_json::{Value, json};

    fn claims(audiences: &[&str]) -> Claims {
        Claims { audiences: audiences.iter().map(|a| (*a).to_owned()).collect(), ..Claims::default() }
    }

    fn answered(status: Value, question: Question<'_>, claims: &Claims) -> Result<Workload, Error> {
        identify(serde_json::from_value(status).unwrap(), question, claims)
    }

    fn yes(username: &str) -> Value {
        json!({"authenticated": true, "audiences": ["veilwarden"], "user": {"username": username}})
    }

    fn ours(status: Value) -> Result<Workload, Error> {
        answered(status, Question::Ours("veilwarden"), &claims(&["veilwarden"]))
    }

    #[test]
    fn every_attribute_of_the_answer_is_kept() {
        let token = played::mint_for("default", "test-sa");
        let review = json!({"spec": {"token": token, "audiences": ["veilwarden"]}});
        let known = Claims { expires_at: Some(1_900_000_000), ..claims(&["veilwarden"]) };
        let workload = answered(played::honest(&review), Question::Ours("veilwarden"), &known).unwrap();
        let expected = Workload {
            namespace: "default".into(),
            service_account: "test-sa".into(),
            username: "system:serviceaccount:default:test-sa".into(),
            service_account_uid: Some("sa-uid".into()),
            pod_name: Some("test-pod".into()),
            pod_uid: Some("pod-uid".into()),
            node_name: Some("node-1".into()),
            groups: vec!["system:serviceaccounts".into(), "system:authenticated".into()],
            audiences: vec!["veilwarden".into()],
            expires_at: Some(1_900_000_000),
            cluster: None,
            metadata: Default::default(),
        };
        assert_eq!(workload, expected);
    }

    #[test]
    fn what_the_answer_leaves_out_is_absent() {
        let mut status = yes("system:serviceaccount:a:b");
        status["user"]["uid"] = json!("");
        status["user"]["extra"] = json!({
            "authentication.kubernetes.io/pod-name": [],
            "authentication.kubernetes.io/node-name": [""],
        });
        let workload = ours(status).unwrap();
        assert_eq!((workload.pod_name, workload.pod_uid, workload.node_name), (None, None, None));
        assert_eq!((workload.service_account_uid, workload.expires_at), (None, None));
    }

    #[test]
    fn h01_an_answer_without_our_audience_is_refused() {
        for audiences in [
            json!(null),
            json!([]),
            json!(["https://kubernetes.default.svc"]),
            json!(["Veilwarden"]),
            json!(["veilwarden "]),
        ] {
            let mut status = yes("system:serviceaccount:a:b");
            status["audiences"] = audiences;
            assert!(matches!(ours(status.clone()), Err(Error::Refused(_))), "{status}");
        }
    }

    #[test]
    fn h02_a_refusal_with_a_filled_user_is_a_refusal() {
        for authenticated in [json!(false), json!(null)] {
            let mut status = yes("system:serviceaccount:a:b");
            status["authenticated"] = authenticated;
            assert!(matches!(ours(status.clone()), Err(Error::Refused(_))), "{status}");
        }
        assert!(matches!(ours(json!({})), Err(Error::Refused(_))));
    }

    #[test]
    fn h04_an_authenticated_user_who_is_no_service_account_is_refused_without_being_named() {
        let long = format!("system:serviceaccount:ns:{}", "a".repeat(300));
        for username in [
            "",
            "system:node:n1",
            "kubernetes-admin",
            "system:serviceaccount:ns",
            "system:serviceaccount::sa",
            "system:serviceaccount:ns:sa:x",
            "System:serviceaccount:ns:sa",
            "system:serviceaccount:n/s:sa",
            &long,
        ] {
            let error = ours(yes(username)).unwrap_err();
            assert_eq!(error.blame(), Blame::Rejected, "{username}");
            assert!(username.is_empty() || !error.to_string().contains(username), "{error}");
        }
        assert!(ours(json!({"authenticated": true, "audiences": ["veilwarden"]})).is_err(), "no user at all");
    }

    #[test]
    fn an_unnamed_audience_has_to_be_answered_with_one_of_the_tokens_own() {
        let api = "https://kubernetes.default.svc";
        let cases = [
            (json!([api]), claims(&[api, "x"]), true),
            (json!([api]), claims(&[]), true),
            (json!(["veilwarden"]), claims(&[api]), false),
            (json!([api]), claims(&["other"]), false),
            (json!([]), claims(&[api]), false),
            (json!([]), claims(&[]), false),
            (json!(null), claims(&[]), false),
        ];
        for (audiences, claims, good) in cases {
            let mut status = yes("system:serviceaccount:a:b");
            status["audiences"] = audiences;
            let outcome = answered(status.clone(), Question::ApiServers, &claims);
            assert_eq!(outcome.is_ok(), good, "{status} {claims:?}");
        }
    }

    #[test]
    fn an_identity_is_bounded_in_memory() {
        let mut status = yes("system:serviceaccount:a:b");
        status["user"]["groups"] = json!(vec!["g"; 300]);
        assert!(ours(status.clone()).is_ok());
        status["user"]["groups"] = json!(vec!["g"; 3000]);
        assert!(matches!(ours(status), Err(Error::Unavailable(Unavailable::Unreadable(_)))));
    }

    #[test]
    fn the_servers_reason_is_kept_short_in_one_line_and_without_the_token() {
        let error = format!("token expired\n\u{1b}[31m {} {}", played::mint_for("a", "b"), "and so on ".repeat(100));
        let text = ours(json!({"authenticated": false, "error": error})).unwrap_err().to_string();
        assert!(text.contains("token expired [31m [...] and so on"), "{text}");
        assert!(text.len() < 350 && !text.contains(|c: char| c.is_control()), "{text}");
    }
}
