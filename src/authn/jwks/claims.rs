//! The claims of a token whose signature is good, turned into the identity that a TokenReview would give.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::Deserialize;

use crate::authn::token::{self, has_passed};
use crate::authn::{Error, Workload, service_account};

/// A ServiceAccount token's payload (Kubernetes `pkg/serviceaccount/claims.go`). Each of these is in every bound token.
#[derive(Deserialize)]
struct Payload {
    sub: String,
    #[serde(rename = "aud")]
    _aud: Vec<String>,
    exp: u64,
    iat: u64,
    #[serde(rename = "kubernetes.io")]
    kubernetes: Binding,
}

#[derive(Deserialize)]
struct Binding {
    namespace: String,
    serviceaccount: Object,
    pod: Option<Object>,
    node: Option<Object>,
}

#[derive(Deserialize)]
struct Object {
    name: String,
    #[serde(default)]
    uid: String,
}

/// The workload that a verified payload names. `audiences` are those of it that count. It ends with `exp`, or with
/// `max_age` after `iat` if that is sooner.
pub fn workload(json: &[u8], audiences: Vec<String>, max_age: Duration, now: SystemTime) -> Result<Workload, Error> {
    let payload: Payload = token::object(json)
        .map_err(|_| Error::Malformed("its claims are not those of a bound ServiceAccount token"))?;
    let oldest = payload.iat.saturating_add(max_age.as_secs());
    let now = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    if has_passed(Some(oldest), now) {
        return Err(Error::TooOld { limit: max_age });
    }
    let Binding { namespace, serviceaccount, pod, node } = payload.kubernetes;
    if service_account::parse(&payload.sub) != Some((&namespace, &serviceaccount.name)) {
        return Err(Error::Refused("its `sub` is not the ServiceAccount that it is bound to".into()));
    }
    let (pod_name, pod_uid) = pod.map(Object::known).unwrap_or_default();
    let (node_name, _) = node.map(Object::known).unwrap_or_default();
    let (service_account, service_account_uid) = serviceaccount.known();
    Ok(Workload {
        groups: groups(&namespace),
        service_account: service_account.unwrap_or_default(),
        namespace,
        username: payload.sub,
        service_account_uid,
        pod_name,
        pod_uid,
        node_name,
        audiences,
        expires_at: Some(payload.exp.min(oldest)),
        cluster: None,
        metadata: Default::default(),
    })
}

/// The groups of a ServiceAccount (Kubernetes `serviceaccount.MakeGroupNames`, and that of everybody authenticated).
fn groups(namespace: &str) -> Vec<String> {
    vec![
        "system:serviceaccounts".to_owned(),
        format!("system:serviceaccounts:{namespace}"),
        "system:authenticated".to_owned(),
    ]
}

impl Object {
    /// Name and uid, where they are not empty.
    fn known(self) -> (Option<String>, Option<String>) {
        let known = |text: String| Some(text).filter(|text| !text.is_empty());
        (known(self.name), known(self.uid))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    const NOW: u64 = 1_800_000_000;
    const DAY: Duration = Duration::from_secs(24 * 3600);

    fn claims() -> Value {
        json!({
            "aud": ["veilwarden"], "exp": NOW + 3600, "iat": NOW - 10, "nbf": NOW - 10, "iss": "i", "jti": "j",
            "kubernetes.io": {
                "namespace": "prod", "serviceaccount": {"name": "api", "uid": "sa-uid"},
                "pod": {"name": "api-0", "uid": "pod-uid"}, "node": {"name": "n1", "uid": "node-uid"},
                "warnafter": NOW + 3597,
            },
            "sub": "system:serviceaccount:prod:api",
        })
    }

    fn judge(claims: &Value, max_age: Duration) -> Result<Workload, Error> {
        let now = UNIX_EPOCH + Duration::from_secs(NOW);
        workload(claims.to_string().as_bytes(), vec!["veilwarden".into()], max_age, now)
    }

    fn with(pointer: &str, value: Value) -> Value {
        let mut claims = claims();
        *claims.pointer_mut(pointer).expect(pointer) = value;
        claims
    }

    fn without(parent: &str, name: &str) -> Value {
        let mut claims = claims();
        claims.pointer_mut(parent).and_then(Value::as_object_mut).expect(parent).remove(name).expect(name);
        claims
    }

    #[test]
    fn a_payload_gives_the_identity_that_a_token_review_gives() {
        let expected = Workload {
            namespace: "prod".into(),
            service_account: "api".into(),
            username: "system:serviceaccount:prod:api".into(),
            service_account_uid: Some("sa-uid".into()),
            pod_name: Some("api-0".into()),
            pod_uid: Some("pod-uid".into()),
            node_name: Some("n1".into()),
            groups: vec![
                "system:serviceaccounts".into(),
                "system:serviceaccounts:prod".into(),
                "system:authenticated".into(),
            ],
            audiences: vec!["veilwarden".into()],
            expires_at: Some(NOW + 3600),
            cluster: None,
            metadata: Default::default(),
        };
        assert_eq!(judge(&claims(), DAY).expect("good"), expected);
        let unbound = judge(&without("/kubernetes.io", "pod"), DAY).expect("a token that is bound to no pod");
        assert_eq!((unbound.pod_name, unbound.pod_uid), (None, None));
    }

    #[test]
    fn h26_a_token_ends_at_its_maximum_age_whatever_its_exp() {
        let year = with("/exp", json!(NOW + 31_536_000));
        let minute = Duration::from_secs(60);
        assert_eq!(judge(&year, minute).expect("young").expires_at, Some(NOW - 10 + 60));
        assert_eq!(judge(&claims(), DAY).expect("young").expires_at, Some(NOW + 3600));
        for seconds in [0, 1, 10] {
            let limit = Duration::from_secs(seconds);
            assert!(matches!(judge(&year, limit), Err(Error::TooOld { .. })), "{seconds}");
        }
        assert!(judge(&year, Duration::from_secs(11)).is_ok());
        assert!(judge(&year, Duration::MAX).is_ok(), "no overflow");
    }

    #[test]
    fn h32_a_subject_that_is_not_the_bound_service_account_is_refused() {
        for (pointer, value) in [
            ("/kubernetes.io/namespace", json!("other")),
            ("/kubernetes.io/namespace", json!("")),
            ("/kubernetes.io/serviceaccount/name", json!("other")),
            ("/sub", json!("system:serviceaccount:prod:other")),
            ("/sub", json!("system:serviceaccount:prod:api:x")),
            ("/sub", json!("system:node:prod")),
            ("/sub", json!("api")),
        ] {
            assert!(matches!(judge(&with(pointer, value.clone()), DAY), Err(Error::Refused(_))), "{pointer} {value}");
        }
    }

    #[test]
    fn h31_h32_what_a_bound_token_has_may_not_be_missing_or_of_another_type() {
        for name in ["sub", "aud", "exp", "iat", "kubernetes.io"] {
            assert!(matches!(judge(&without("", name), DAY), Err(Error::Malformed(_))), "{name}");
        }
        for name in ["namespace", "serviceaccount"] {
            assert!(matches!(judge(&without("/kubernetes.io", name), DAY), Err(Error::Malformed(_))), "{name}");
        }
        for (pointer, value) in [
            ("/aud", json!("veilwarden")),
            ("/exp", json!("1900000000")),
            ("/exp", json!(1.5)),
            ("/sub", json!(7)),
            ("/kubernetes.io", json!("prod")),
            ("/kubernetes.io/serviceaccount", json!("api")),
            ("/kubernetes.io/pod", json!("api-0")),
        ] {
            assert!(matches!(judge(&with(pointer, value.clone()), DAY), Err(Error::Malformed(_))), "{pointer} {value}");
        }
    }
}
