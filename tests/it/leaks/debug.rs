//! Row N03: what types show of themselves, and what is said of a broken configuration.

use std::sync::Arc;

use http::Request;
use veilwarden::BoxFuture;
use veilwarden::audit::{Record, Trail};
use veilwarden::authn::session::{Session, SessionSecret};
use veilwarden::authn::{Authn, Source, User};
use veilwarden::config::{AuditOutput, AuditSettings, Config, Overrides, WhenFull};
use veilwarden::metrics::Metrics;
use veilwarden::policy::Off;
use veilwarden::route::Routes;
use veilwarden::secrets::{self, Secret, SecretStore};
use veilwarden::stages::{Arrival, Connection, Received, Rules};

use super::stage::{Stage, stage};
use crate::world::canary::{Canary, assert_absent};

/// A store with one secret.
struct Fixed(String);

impl SecretStore for Fixed {
    fn fetch<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Result<Secret, secrets::Error>> {
        Box::pin(std::future::ready(Secret::new(self.0.clone())))
    }
}

#[tokio::test]
async fn n03_no_type_shows_a_secret_in_its_debug_output() {
    let Stage { world, canaries, .. } = stage("debug", "json").await;
    let config: Config = world.parsed();
    let overrides = Overrides {
        session_secret: Some(world.session_secret().into()),
        doppler_token: Some(world.doppler.as_ref().unwrap().token.clone().into()),
        ..Overrides::default()
    };
    let mut shown = vec![format!("{config:?} {config:#?}"), format!("{overrides:?}")];
    let secret = Secret::new(world.canary_a()).unwrap();
    shown.push(format!("{secret:?} {:?}", canaries.good.parse::<http::HeaderValue>().is_ok()));

    let metrics = Arc::new(Metrics::default());
    let off = AuditSettings { output: AuditOutput::Off, when_full: WhenFull::Drop };
    let (trail, _writer) = Trail::open(&off).unwrap();
    let place = trail.reserve().unwrap();
    let peer = Source::from(std::net::IpAddr::from([127, 0, 0, 1]));
    let mut record = Record::new(trail, place, metrics.clone(), peer);
    let rules = Rules { routes: Routes::compile(config.routes.clone()).unwrap(), policy: Box::new(Off) };
    let session = SessionSecret::new(config.session_secret.as_ref().unwrap()).unwrap();
    let authn = Authn::new(Some(Session::new(session, User::default())), None);
    let request = Request::get("/allowed?a=b")
        .header("host", "p")
        .header("x-upstream-host", "a.test")
        .header("x-session-secret", world.session_secret())
        .header("x-veilwarden-other", &canaries.good)
        .header("cookie", format!("t={}", world.session_secret()))
        .header("x-agent-id", world.session_secret());
    let (parts, body) = request.body(()).unwrap().into_parts();
    let connection = Connection::from(peer);
    let arrival = Arrival { connection: &connection, kubernetes: false, routes: &rules.routes };
    let received = Received::parse(parts, body, arrival, &mut record).unwrap();
    shown.push(format!("{received:?}"));
    let authenticated = received.authenticate(&authn, &metrics, &mut record).await.unwrap();
    shown.push(format!("{authenticated:?}"));
    let authorized = authenticated.authorize(&rules, &metrics, &mut record).await.unwrap();
    shown.push(format!("{authorized:?}"));
    let prepared = authorized.prepare(&Fixed(world.canary_a())).await.unwrap();
    shown.push(format!("{prepared:?}"));
    shown.push(format!("{record:?}"));
    for text in &shown {
        assert!(text.len() > 10, "{text}");
        assert_absent(&canaries.all(), text, "a Debug output");
    }
}

#[test]
fn n03_a_broken_configuration_is_told_about_without_its_secrets() {
    let secret = "canary-in-the-file-5d1e";
    let canary = [Canary::new("a secret in the file", secret)];
    let rest = "routes: [{upstream_host: a.test}]\npolicy: {default_allow: true}\n";
    let environment =
        |name: &str| (name == "VEILWARDEN_SESSION_SECRET").then(|| "a-session-secret-for-tests".to_owned());
    for secrets in [
        format!("secrets: [{{id: KEY, value: \"{secret}\\n\\nx\"}}]"),
        format!("secrets: [{{id: KEY, value: \"{secret}\\0\"}}]"),
        format!("secrets: [{{id: KEY, value: [{secret}]}}]"),
        format!("secrets: [{{id: KEY, value: {{a: {secret}}}}}]"),
        format!("secrets: [{{id: KEY, value: {secret}, value: {secret}}}]"),
        format!("secrets: [{{id: KEY, value: {secret}, env: {secret}}}]"),
        format!("secrets: [{{id: KEY, valeu: {secret}}}]"),
        format!("secrets: {secret}"),
        format!("secrets: [{secret}]"),
        format!("secrets: {{KEY: {secret}}}"),
        format!("secrets: [{{id: KEY, value: {secret}"),
        format!("secrets: [{{id: KEY, value: \"{secret}}}]"),
        format!("secrets:\n  - id: KEY\n    value: {secret}: {secret}"),
        format!("secrets:\n  - id: KEY\n    value: *{secret}"),
        format!("secrets:\n  - id: KEY\n  value: {secret}\n - x"),
        format!("session_secret: {secret}"),
    ] {
        let text = format!("{secrets}\n{rest}");
        let said = Config::parse(&text, "v.yaml".as_ref(), &Overrides::default(), &environment).expect_err(&secrets);
        assert_absent(&canary, format!("{said} {said:?}"), &format!("what is said about\n{secrets}\n"));
    }
}
