//! A call that is ready to be sent; the only thing that ever is.

use std::sync::Arc;

use http::uri::PathAndQuery;
use http::{HeaderMap, Method};

use super::received::Received;
use super::websocket::WebSocket;
use crate::authn::Identity;
use crate::error::Error;
use crate::redact::Watch;
use crate::request::Trailers;
use crate::route::Route;

/// A call that was authenticated, authorised and given its secret. Made from nothing else than an
/// [`Authorized`](super::Authorized) call; [`upstream`](crate::upstream) sends nothing else.
#[derive(Debug)]
pub struct Prepared<B> {
    call: Box<Received<B>>,
    route: Arc<Route>,
    websocket: Option<Box<WebSocket>>,
    watch: Option<Watch>,
    caller: Arc<Identity>,
}

/// What goes on the wire.
pub struct Outgoing<B> {
    pub method: Method,
    pub target: PathAndQuery,
    pub headers: HeaderMap,
    pub trailers: Trailers,
    pub body: B,
    pub route: Arc<Route>,
    /// What the call asks for, on a connection of its own.
    pub websocket: Option<Box<WebSocket>>,
    /// What the answer is searched for.
    pub watch: Option<Watch>,
    /// Whose connections it may go by.
    pub caller: Arc<Identity>,
}

impl<B> Prepared<B> {
    pub(super) fn new(
        call: Box<Received<B>>,
        route: Arc<Route>,
        websocket: Option<Box<WebSocket>>,
        watch: Option<Watch>,
        caller: Arc<Identity>,
    ) -> Self {
        Prepared { call, route, websocket, watch, caller }
    }

    pub fn route(&self) -> &Arc<Route> {
        &self.route
    }

    /// Whether it is one for a WebSocket.
    pub fn asks_for_websocket(&self) -> bool {
        self.websocket.is_some()
    }

    /// Takes the call apart for sending: path and query are, byte for byte, those that policy saw.
    pub fn into_outgoing(self) -> Result<Outgoing<B>, Error> {
        let Prepared { call, route, websocket, watch, caller } = self;
        let Received { method, path, query, headers, trailers, body, .. } = *call;
        let text = match query {
            Some(query) => format!("{path}?{query}"),
            None => path,
        };
        let target = PathAndQuery::try_from(text).map_err(|_| Error::Internal("a canonical target is no URI"))?;
        Ok(Outgoing { method, target, headers, trailers, body, route, websocket, watch, caller })
    }
}
