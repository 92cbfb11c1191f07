//! A call that policy allowed.

use std::sync::Arc;

use http::HeaderMap;
use http::header::HOST;

use super::prepared::Prepared;
use super::received::Received;
use super::websocket::WebSocket;
use crate::authn::Identity;
use crate::error::Error;
use crate::policy::PolicyEngine;
use crate::redact::{self, Redaction, Watch};
use crate::request::fields;
use crate::route::{Injection, Route, Routes};
use crate::secrets::SecretStore;

/// Routes and policy of one moment; a call sees both from the same value.
pub struct Rules {
    pub routes: Routes,
    pub policy: Box<dyn PolicyEngine>,
}

/// A call that policy allowed on a route. Only now may a secret be fetched for it.
#[derive(Debug)]
pub struct Authorized<B> {
    call: Box<Received<B>>,
    route: Arc<Route>,
    websocket: Option<Box<WebSocket>>,
    caller: Arc<Identity>,
}

impl<B> Authorized<B> {
    pub(super) fn new(
        call: Box<Received<B>>,
        route: Arc<Route>,
        websocket: Option<Box<WebSocket>>,
        caller: Arc<Identity>,
    ) -> Self {
        Authorized { call, route, websocket, caller }
    }

    /// Fetches the secret and puts it in, last of all, after the caller's own copies of the field are gone.
    pub async fn prepare(mut self, secrets: &dyn SecretStore) -> Result<Prepared<B>, Error> {
        let headers = &mut self.call.headers;
        let searches = self.route.searches();
        if searches {
            redact::head::ask(headers, self.route.allow_range);
        }
        let watch = match &self.route.injection {
            Some(injection) => inject(headers, injection, self.route.redaction, secrets).await?,
            None => None,
        };
        headers.insert(HOST, self.route.host_header());
        if let Some(websocket) = &mut self.websocket {
            if searches {
                websocket.forgo_extensions();
            }
            websocket.handshake().ask(headers);
        }
        Ok(Prepared::new(self.call, self.route, self.websocket, watch, self.caller))
    }
}

/// Comes back with what the answer is to be searched for.
async fn inject(
    headers: &mut HeaderMap,
    injection: &Injection,
    redaction: Redaction,
    secrets: &dyn SecretStore,
) -> Result<Option<Watch>, Error> {
    let secret = secrets.fetch(&injection.secret_id).await?;
    let value = injection.template.render(&secret).ok_or(Error::Internal("a checked secret made no header value"))?;
    let needles = match redaction {
        Redaction::Redact | Redaction::Block => injection.memory.needles(&injection.secret_id, &secret, &value),
        Redaction::Off => None,
    };
    fields::remove_spellings(headers, &injection.header);
    headers.insert(&injection.header, value);
    Ok(needles.map(|needles| Watch { needles, block: redaction == Redaction::Block }))
}
