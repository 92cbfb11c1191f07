//! A call whose caller is known.

use std::sync::Arc;
use std::time::Instant;

use super::authorized::{Authorized, Rules};
use super::received::Received;
use crate::audit::{Outcome, Record};
use crate::authn::Identity;
use crate::error::Error;
use crate::metrics::Metrics;
use crate::policy::{self, Decision};
use crate::request::{self, path};
use crate::route::Route;

/// A call whose caller is known, but not whether it may be made.
#[derive(Debug)]
pub struct Authenticated<B> {
    call: Received<B>,
    identity: Arc<Identity>,
}

impl<B> Authenticated<B> {
    pub(super) fn new(call: Received<B>, identity: Arc<Identity>) -> Self {
        Authenticated { call, identity }
    }

    /// Finds the route and asks the policy, both from the same [`Rules`]. Nothing is fetched or sent.
    pub async fn authorize(self, rules: &Rules, metrics: &Metrics, record: &mut Record) -> Result<Authorized<B>, Error>
    where
        B: Sync,
    {
        let found = self.call.destination.route(&rules.routes, &mut record.upstream_host);
        let route = Arc::clone(found?);
        route.name().clone_into(&mut record.upstream_host);
        record.route = Some(Arc::clone(&route));
        if self.call.encoded_slash && !route.allow_encoded_slash {
            return Err(request::Error::Path(path::NotCanonical("the path has an encoded slash")).into());
        }
        self.ask_policy(rules, &route, metrics, record).await?;
        Ok(Authorized::new(self.call, route))
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
            source_ip: call.peer,
            intercepted: false,
        }
    }
}
