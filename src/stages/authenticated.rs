//! A call whose caller is known.

use std::sync::Arc;
use std::time::Instant;

use http::Method;

use super::authorized::{Authorized, Rules};
use super::received::Received;
use super::tunnel::{Opened, Relay, Tunnel};
use super::websocket::WebSocket;
use crate::audit::{Outcome, Record};
use crate::authn::Identity;
use crate::error::Error;
use crate::metrics::Metrics;
use crate::policy::{self, Decision};
use crate::request::{self, Credential, Host, path};
use crate::route::Route;

const NO_CREDENTIAL: Error = Error::Internal("an identity without a credential");

/// A call whose caller is known, but not whether it may be made.
#[derive(Debug)]
pub struct Authenticated<B> {
    call: Box<Received<B>>,
    identity: Arc<Identity>,
    /// Kept by what outlives the call: a tunnel, a WebSocket.
    credential: Option<Credential>,
}

impl<B> Authenticated<B> {
    pub(super) fn new(call: Box<Received<B>>, identity: Arc<Identity>, credential: Option<Credential>) -> Self {
        Authenticated { call, identity, credential }
    }

    /// Finds the route and asks the policy, both from the same [`Rules`]. Nothing is fetched or sent.
    pub async fn authorize(self, rules: &Rules, metrics: &Metrics, record: &mut Record) -> Result<Authorized<B>, Error>
    where
        B: Sync,
    {
        if self.call.method == Method::CONNECT {
            return Err(Error::Internal("CONNECT opens a tunnel and is not sent"));
        }
        let (host, route) = self.route(rules, record)?;
        if self.call.encoded_slash && !route.allow_encoded_slash {
            return Err(request::Error::Path(path::NotCanonical("the path has an encoded slash")).into());
        }
        self.ask_policy(rules, &route, metrics, record).await?;
        let mut call = self.call;
        let websocket = match call.handshake.take().filter(|_| route.websocket) {
            Some(handshake) => {
                let credential = self.credential.clone().ok_or(NO_CREDENTIAL)?;
                let tunnel = Tunnel::new(credential, host, Arc::clone(&route));
                Some(Box::new(WebSocket::new(handshake, tunnel)))
            }
            None => None,
        };
        call.trailers.forbid(self.credential);
        Ok(Authorized::new(call, route, websocket, self.identity))
    }

    /// What CONNECT asks for. Its host and port have to be a route's. Policy judges it only when the route passes the
    /// bytes on untouched; otherwise it judges the requests inside. `ca`: whether there is one to intercept with.
    pub async fn open(self, rules: &Rules, ca: bool, metrics: &Metrics, record: &mut Record) -> Result<Opened, Error>
    where
        B: Sync,
    {
        let (host, route) = self.route(rules, record)?;
        if route.relay {
            self.ask_policy(rules, &route, metrics, record).await?;
        } else if !ca {
            return Err(Error::NoCa);
        }
        let credential = self.credential.ok_or(NO_CREDENTIAL)?;
        let tunnel = Tunnel::new(credential, host, Arc::clone(&route));
        Ok(if route.relay { Opened::Relayed(Relay::new(tunnel)) } else { Opened::Intercepted(Arc::new(tunnel)) })
    }

    fn route(&self, rules: &Rules, record: &mut Record) -> Result<(Host, Arc<Route>), Error> {
        let (host, route) = self.call.addressee.route(&rules.routes, &mut record.upstream_host)?;
        route.name().clone_into(&mut record.upstream_host);
        record.route = Some(Arc::clone(&route));
        Ok((host, route))
    }

    async fn ask_policy(
        &self,
        rules: &Rules,
        route: &Route,
        metrics: &Metrics,
        record: &mut Record,
    ) -> Result<(), Error>
    where
        B: Sync,
    {
        let asked = Instant::now();
        let decided = rules.policy.decide(self.input(route, record)).await;
        record.decision = match &decided {
            Ok(Decision { allowed: true, .. }) => Outcome::Allow,
            Ok(_) => Outcome::Deny,
            Err(_) => Outcome::Error,
        };
        metrics.decided(record.decision.as_str(), asked.elapsed());
        let decision = decided?;
        record.reason.clone_from(&decision.reason);
        if decision.allowed { Ok(()) } else { Err(Error::Denied(decision.reason)) }
    }

    fn input<'a>(&'a self, route: &'a Route, record: &Record) -> policy::Input<'a> {
        let call = &self.call;
        policy::Input {
            method: call.method.as_str(),
            path: &call.path,
            query: call.query.as_deref().unwrap_or_default(),
            upstream_host: route.name(),
            secret_id: route.secret_id(),
            request_id: call.request_id.as_str(),
            timestamp: record.timestamp(),
            identity: &self.identity,
            headers: &call.headers,
            agent_id: &call.agent_id,
            source: call.peer,
            certificate: call.certificate.as_deref(),
            intercepted: call.addressee.is_in_tunnel(),
        }
    }
}
