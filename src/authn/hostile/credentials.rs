//! Which of the two credentials counts, and what is said when neither does.

use super::*;

// The ten unit tests of the design; those on identities are in `identity`.

#[tokio::test]
async fn kubernetes_authenticator_disabled() {
    let authn = Authn::new(Some(session()), None);
    let error = authn.authenticate(Some(&bearer("fake-token")), PEER).await.unwrap_err();
    assert!(error.to_string().contains("disabled"), "{error}");
    assert_eq!(error.blame(), Blame::Rejected);
}

#[tokio::test]
async fn kubernetes_client_validate_token() {
    let world = World::new(Play::Honest).await;
    let workload = world.workload(&mint_for("default", "test-sa")).await;
    assert_eq!(workload.namespace, "default");
    assert_eq!(workload.service_account, "test-sa");
    assert_eq!(workload.pod_name.as_deref(), Some("test-pod"));
    assert_eq!(workload.expires_at, Some(in_an_hour()));
}

#[tokio::test]
async fn kubernetes_client_validate_token_failed() {
    let world = World::new(refused("token expired")).await;
    let error = world.ask(&token(1)).await.unwrap_err();
    assert!(error.to_string().contains("expired"), "{error}");
    assert_eq!(error.blame(), Blame::Rejected);
}

#[tokio::test]
async fn proxy_authenticates_by_kubernetes() {
    let world = World::new(Play::Honest).await;
    let workload = world.workload(&mint_for("default", "test-sa")).await;
    assert_eq!((workload.namespace.as_str(), workload.service_account.as_str()), ("default", "test-sa"));
}

#[tokio::test]
async fn proxy_authenticates_by_session_secret() {
    let authn = Authn::new(Some(session()), None);
    let identity = authn.authenticate(Some(&secret(SECRET)), PEER).await.unwrap();
    let Identity::Static(user) = &*identity else { panic!("{identity:?}") };
    assert_eq!(user.id, "alice");
}

#[tokio::test]
async fn proxy_authenticates_by_priority() {
    // Which slot goes first is decided in `request`; here: the credential that decided is judged as what it is.
    let world = World::new(Play::Honest).await;
    let identity = world.authn.authenticate(Some(&bearer(&mint_for("prod", "api"))), PEER).await.unwrap();
    assert_eq!(identity.kind(), "kubernetes");
    // A bearer is never rescued by a session secret, even if it is that secret.
    let error = world.authn.authenticate(Some(&bearer(SECRET)), PEER).await.unwrap_err();
    assert!(matches!(error, Error::Malformed(_)), "{error}");
    let error = world.authn.authenticate(Some(&secret(&mint_for("prod", "api"))), PEER).await.unwrap_err();
    assert!(matches!(error, Error::WrongSessionSecret), "{error}");
}

#[tokio::test]
async fn h36_our_own_identity_is_refused_as_a_caller() {
    let world = World::new(Play::Honest).await;
    let error = world.ask(&mint_for("veilwarden", "veilwarden")).await.unwrap_err();
    assert!(matches!(error, Error::OwnIdentity), "{error}");
    assert_eq!(error.blame(), Blame::Rejected);
    assert!(world.ask(&mint_for("veilwarden", "other")).await.is_ok());
}

#[tokio::test]
async fn h37_no_credential_is_missing_authentication_whatever_is_configured() {
    let world = World::new(Play::Honest).await;
    let only_session = Authn::new(Some(session()), None);
    for authn in [&*world.authn, &only_session] {
        let error = authn.authenticate(None, PEER).await.unwrap_err();
        assert!(error.to_string().contains("missing authentication"), "{error}");
        assert_eq!(error.blame(), Blame::Missing);
        let error = authn.authenticate(Some(&secret("a wrong session secret")), PEER).await.unwrap_err();
        assert!(error.to_string().contains("invalid session secret"), "{error}");
    }
    assert_eq!(world.server.calls(), 0);
}

#[tokio::test]
async fn h38_without_a_session_secret_that_way_is_off() {
    let authn = Authn::new(None, None);
    for text in ["", SECRET] {
        let error = authn.authenticate(Some(&secret(text)), PEER).await.unwrap_err();
        assert_eq!(error.blame(), Blame::Rejected);
        assert!(error.to_string().contains("disabled"), "{error}");
    }
}
