//! The proxy on loopback that a child is given: it adds the caller's credential to each call and hands all of it on.
//!
//! A proxy variable with the token in it would die when the token is renewed, and everybody who can see the child's
//! environment could spend the token anywhere. What the child gets is a password that is good here only and ends with
//! the relay; other users of the machine, who can reach the port, do not have it.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Result;
use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_TYPE, HeaderValue, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION};
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::{Either, Full};
use hyper::body::{Body as _, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use secrecy::SecretString;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::credential::CredentialFile;
use super::lingering::Lingering;
use super::password::Password;
use super::via::{Stream, Via};
use crate::authn::session::SessionSecret;
use crate::error::Code;
use crate::pipeline::answer::error_body;
use crate::request::{RequestId, credential, fields};

/// Connections of the child, tunnels included; more wait for one of them to end.
const CONNECTIONS: usize = 512;
/// A head: veilwarden has limits of its own, smaller ones.
const HEAD: usize = 256 << 10;
const HEAD_TIMEOUT: Duration = Duration::from_secs(60);
const ACCEPT_REST: Duration = Duration::from_millis(50);

type Body = Either<Incoming, Full<Bytes>>;

/// A relay that is bound and not yet serving.
pub struct Relay {
    listener: TcpListener,
    address: SocketAddr,
    password: Password,
    /// The password's digest, for a comparison in constant time.
    secret: SessionSecret,
    via: Via,
    credential: CredentialFile,
    room: Arc<Semaphore>,
}

impl Relay {
    /// Binds a free port on loopback and makes a password.
    ///
    /// # Errors
    /// There is no port, or no randomness.
    pub async fn start(via: Via, credential: CredentialFile) -> Result<Relay> {
        let listener = TcpListener::bind((std::net::Ipv4Addr::LOCALHOST, 0)).await?;
        let password = Password::generate()?;
        let secret = SessionSecret::new(&SecretString::from(password.expose()))?;
        let room = Arc::new(Semaphore::new(CONNECTIONS));
        Ok(Relay { address: listener.local_addr()?, listener, password, secret, via, credential, room })
    }

    /// What the child's proxy variables say.
    pub fn url(&self) -> String {
        self.password.proxy_url(self.address)
    }

    /// Serves until it is dropped.
    pub async fn serve(self: Arc<Self>) {
        loop {
            let Ok(permit) = Arc::clone(&self.room).acquire_owned().await else { return };
            match self.listener.accept().await {
                Ok((stream, _)) => drop(tokio::spawn(Arc::clone(&self).connection(stream, Arc::new(permit)))),
                Err(_) => tokio::time::sleep(ACCEPT_REST).await,
            }
        }
    }

    async fn connection(self: Arc<Self>, stream: TcpStream, permit: Arc<OwnedSemaphorePermit>) {
        let _ = stream.set_nodelay(true);
        let left_http = Arc::new(AtomicBool::new(false));
        let stream = Lingering::new(stream, Arc::clone(&left_http));
        let service = service_fn(|request: Request<Incoming>| {
            let (relay, permit, left_http) = (Arc::clone(&self), Arc::clone(&permit), Arc::clone(&left_http));
            async move {
                let unread = !request.body().is_end_stream();
                let mut answer = relay.answer(request, permit, &left_http).await;
                // One of the relay's own, in the place of reading the body: the connection ends with it.
                if unread && matches!(answer.body(), Either::Right(_)) {
                    answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
                }
                Ok::<_, Infallible>(answer)
            }
        });
        let mut builder = http1::Builder::new();
        builder.timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT).max_buf_size(HEAD);
        // How a connection ends is the child's affair.
        let _ = builder.serve_connection(TokioIo::new(stream), service).with_upgrades().await;
    }

    async fn answer(
        &self,
        mut request: Request<Incoming>,
        permit: Arc<OwnedSemaphorePermit>,
        left_http: &AtomicBool,
    ) -> Response<Body> {
        let claimed = request.headers().get(fields::REQUEST_ID).and_then(RequestId::accept);
        let id = claimed.unwrap_or_else(RequestId::generate);
        if !self.is_the_child(request.headers_mut()) {
            let mut answer =
                own_answer(Code::Unauthorized, &id, "the proxy variables of the command hold the password");
            *answer.status_mut() = StatusCode::PROXY_AUTHENTICATION_REQUIRED;
            let challenge = HeaderValue::from_static("Basic realm=\"veilwarden exec\"");
            answer.headers_mut().insert(PROXY_AUTHENTICATE, challenge);
            return answer;
        }
        if request.method() != Method::CONNECT && request.uri().authority().is_none() {
            return own_answer(Code::BadRequest, &id, "this is a proxy: send a whole URL, or CONNECT");
        }
        request.headers_mut().insert(PROXY_AUTHORIZATION, self.credential.current().await);
        request.headers_mut().remove("proxy-connection");
        match self.via.connect().await {
            Ok(stream) => hand_on(request, stream, permit, left_http).await.unwrap_or_else(|_| {
                own_answer(Code::UpstreamError, &id, "the connection to veilwarden broke off: try again")
            }),
            Err(_) => own_answer(Code::UpstreamError, &id, "veilwarden cannot be reached: see --via"),
        }
    }

    /// Takes the password out, and looks whether it is ours.
    fn is_the_child(&self, headers: &mut HeaderMap) -> bool {
        let one = headers.get_all(PROXY_AUTHORIZATION).iter().count() == 1;
        let taken = credential::take(headers, false, &[]);
        one && matches!(taken, Ok(Some(password)) if self.secret.matches(password.expose()))
    }
}

/// Sends the call on a connection of its own and returns the answer. When both sides then leave HTTP, their bytes are
/// copied, untouched, until both have ended.
async fn hand_on(
    mut request: Request<Incoming>,
    stream: Box<dyn Stream>,
    permit: Arc<OwnedSemaphorePermit>,
    left_http: &AtomicBool,
) -> hyper::Result<Response<Body>> {
    let is_connect = request.method() == Method::CONNECT;
    let child = hyper::upgrade::on(&mut request);
    let (mut sender, connection) =
        hyper::client::conn::http1::Builder::new().max_buf_size(HEAD).handshake(TokioIo::new(stream)).await?;
    let held = Arc::clone(&permit);
    tokio::spawn(async move {
        let _ = connection.with_upgrades().await;
        drop(held);
    });
    let mut answer = sender.send_request(request).await?;
    if answer.status() == StatusCode::SWITCHING_PROTOCOLS || (is_connect && answer.status().is_success()) {
        left_http.store(true, Ordering::Relaxed);
        let veilwarden = hyper::upgrade::on(&mut answer);
        tokio::spawn(async move {
            if let (Ok(child), Ok(veilwarden)) = tokio::join!(child, veilwarden) {
                let (mut child, mut veilwarden) = (TokioIo::new(child), TokioIo::new(veilwarden));
                let _ = tokio::io::copy_bidirectional(&mut child, &mut veilwarden).await;
            }
            drop(permit);
        });
    }
    Ok(answer.map(Either::Left))
}

/// An answer of the relay's own, in the form of veilwarden's. Which of the two it comes from is in the hint.
fn own_answer(code: Code, id: &RequestId, hint: &str) -> Response<Body> {
    let mut answer = Response::new(Either::Right(Full::from(error_body(code, id.as_str(), Some(hint)))));
    *answer.status_mut() = code.status();
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(fields::ERROR, HeaderValue::from_static(code.as_str()));
    headers.insert(fields::REQUEST_ID, id.header_value());
    answer
}
