//! A call that policy allowed.

use std::sync::Arc;

use http::HeaderMap;
use http::header::HOST;

use super::prepared::Prepared;
use super::received::Received;
use super::websocket::WebSocket;
use crate::error::Error;
use crate::policy::PolicyEngine;
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
    call: Received<B>,
    route: Arc<Route>,
    websocket: Option<Box<WebSocket>>,
}

impl<B> Authorized<B> {
    pub(super) fn new(call: Received<B>, route: Arc<Route>, websocket: Option<Box<WebSocket>>) -> Self {
        Authorized { call, route, websocket }
    }

    /// Fetches the secret and puts it in, last of all, after the caller's own copies of the field are gone.
    pub async fn prepare(mut self, secrets: &dyn SecretStore) -> Result<Prepared<B>, Error> {
        if let Some(injection) = &self.route.injection {
            inject(&mut self.call.headers, injection, secrets).await?;
        }
        self.call.headers.insert(HOST, self.route.host_header());
        if let Some(websocket) = &self.websocket {
            websocket.handshake().ask(&mut self.call.headers);
        }
        Ok(Prepared::new(self.call, self.route, self.websocket))
    }
}

async fn inject(headers: &mut HeaderMap, injection: &Injection, secrets: &dyn SecretStore) -> Result<(), Error> {
    let secret = secrets.fetch(&injection.secret_id).await?;
    let value = injection.template.render(&secret).ok_or(Error::Internal("a checked secret made no header value"))?;
    fields::remove_spellings(headers, &injection.header);
    headers.insert(&injection.header, value);
    Ok(())
}
