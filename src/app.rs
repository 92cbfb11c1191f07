//! The only place that names concrete backends: a configuration in, a running program out.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::audit::{Trail, Writer};
use crate::authn::session::{Session, SessionSecret};
use crate::authn::{Authn, KubernetesSettings};
use crate::ca::Authority;
use crate::client::tls_config;
use crate::config::{Config, Endpoint};
use crate::limits::{Calls, Connections, Rate, Shares};
use crate::metrics::Metrics;
use crate::pipeline::Pipeline;
use crate::policy::{self, PolicyEngine, Rego};
use crate::request::RequestId;
use crate::route::Routes;
use crate::secrets::Secrets;
use crate::server::admin::Admin;
use crate::server::connection::Http;
use crate::server::door::Door;
use crate::server::forward::Forward;
use crate::server::reverse::Reverse;
use crate::server::tls::Tls;
use crate::server::{Drain, DrainStarter, WithoutRoom, accept};
use crate::stages::Rules;
use crate::upstream::{Own, Upstreams};

mod error;
mod forward;
mod kubernetes;
mod listeners;
mod pods;

pub use error::{Error, Errors};
use kubernetes::Kubernetes;
use listeners::{Bound, bind};

/// How often tunnels ask the authenticator again when it remembers nothing for a time of its own.
const RECHECK: Duration = Duration::from_secs(30);
/// More often they do not ask, whatever it remembers.
const LEAST_RECHECK: Duration = Duration::from_secs(1);
/// Connections to the admin listener: a few probes and scrapes, and one peer cannot keep the others out.
const ADMIN_CONNECTIONS: usize = 256;
const ADMIN_CONNECTIONS_PER_PEER: usize = 64;
/// How long the end waits for the last audit records to be written.
const LAST_RECORDS: Duration = Duration::from_secs(2);

/// Everything that a start needs, built and checked, with no socket open yet. `check` stops here.
pub struct App {
    /// Its trail is opened at the start: `check` must not leave a file behind.
    pipeline: Pipeline,
    own: Own,
    /// The CA, unless it is still to be made.
    authority: Option<Authority>,
    tls: Option<Arc<Tls>>,
    config: Config,
    cluster: Option<String>,
    watches: pods::Watches,
}

/// A program that accepts calls.
pub struct Running {
    /// The bound addresses, with the ports that were chosen for port 0.
    pub listen: Vec<Endpoint>,
    pub admin_listen: Option<SocketAddr>,
    drain: DrainStarter,
    drain_delay: Duration,
    proxies: JoinSet<()>,
    /// Ends the admin listener when it is dropped, which is last: it tells that we are draining.
    _admin: JoinSet<()>,
    writer: Writer,
    /// Ends the watches when it is dropped: calls under way still need them.
    _watches: JoinSet<()>,
}

impl App {
    /// Builds everything from a configuration. Nothing outside this machine is asked: an API server, a store or
    /// an upstream that is down does not stop the start.
    pub async fn build(config: Config) -> Result<App, Errors> {
        let metrics = Arc::new(Metrics::default());
        let mut wrong = Vec::new();
        let mut keep = |error| wrong.push(error);
        let routes = Routes::compile(config.routes.clone()).map_err(Error::Routes).map_err(&mut keep).ok();
        let policy = policy_engine(&config).map_err(&mut keep).ok();
        let secrets = Secrets::new(config.secrets.clone(), config.doppler.clone(), config.cache, metrics.clone());
        let secrets = secrets.map_err(Error::Secrets).map_err(&mut keep).ok();
        let session = session(&config).map_err(&mut keep).ok();
        let kubernetes = match &config.kubernetes {
            Some(settings) => kubernetes::build(settings, &metrics).await,
            None => Ok(Kubernetes::default()),
        };
        let kubernetes = kubernetes.map_err(|errors| errors.into_iter().for_each(&mut keep)).ok();
        let own = Own::default();
        let upstreams = routes.as_ref().and_then(|routes| upstreams(routes, &own).map_err(&mut keep).ok());
        let audit = Trail::check(&config.audit).map_err(|cause| audit_error(&config, cause));
        let audit = audit.map_err(&mut keep).ok();
        let authority = forward::read(&config.forward).map_err(Error::Ca).map_err(&mut keep).ok();
        let tls = config.listen_tls.as_ref().map(Tls::load).transpose().map_err(Error::ListenTls);
        let tls = tls.map_err(&mut keep).ok();
        let (
            Some(routes),
            Some(policy),
            Some(secrets),
            Some(session),
            Some(kubernetes),
            Some(upstreams),
            Some(()),
            Some(authority),
            Some(tls),
        ) = (routes, policy, secrets, session, kubernetes, upstreams, audit, authority, tls)
        else {
            return Err(Errors(wrong));
        };
        let Kubernetes { authenticator, description: cluster, watches } = kubernetes;
        let pipeline = Pipeline {
            kubernetes: authenticator.is_some(),
            authn: Authn::new(session, authenticator),
            calls: Calls::new(config.limits.max_concurrent_requests),
            shares: config.limits.max_concurrent_requests_per_identity.map(Shares::new),
            rate: config.limits.requests_per_second.map(Rate::new),
            rules: Rules { routes, policy },
            secrets: Box::new(secrets),
            upstreams,
            metrics,
            trail: Trail::closed(),
            ca: false,
            recheck: config.kubernetes.as_ref().map_or(RECHECK, |settings| settings.cache_ttl.max(LEAST_RECHECK)),
        };
        Ok(App { pipeline, own, authority, tls: tls.map(Arc::new), config, cluster, watches })
    }

    /// Which cluster judges tokens, for the log; `None` without Kubernetes authentication.
    pub fn cluster(&self) -> Option<&str> {
        self.cluster.as_deref()
    }

    /// Binds the listeners and begins to accept. Either all of them are bound or none.
    pub async fn start(mut self) -> Result<Running, Errors> {
        let mut listeners = Vec::new();
        for endpoint in &self.config.listen {
            listeners.push(Bound::to(endpoint).await?);
        }
        let admin = match self.config.admin_listen {
            Some(address) => Some(bind(address).await?),
            None => None,
        };
        let listen: Vec<Endpoint> = listeners.iter().filter_map(Bound::endpoint).collect();
        let admin_listen = admin.as_ref().and_then(|listener| listener.local_addr().ok());
        self.own.set(listen.iter().filter_map(Endpoint::address).chain(admin_listen).collect());
        let opened = Trail::open(&self.config.audit).map_err(|cause| Errors(vec![audit_error(&self.config, cause)]));
        let (trail, writer) = opened?;
        self.pipeline.trail = trail;
        let ca = forward::ready(&self.config.forward, self.authority.take());
        self.pipeline.ca = ca.is_some();
        let pipeline = Arc::new(self.pipeline);
        pipeline.authn.begin();
        let (starter, drain) = Drain::new();
        let admin = serve_admin(&pipeline, admin, &drain);
        let mut watches: JoinSet<()> = self.watches.into_iter().collect();
        if let Some(tls) = &self.tls {
            watches.spawn(Arc::clone(tls).watch(Arc::clone(&pipeline.metrics)));
        }
        if let Some(renewal) = forward::renewal(&self.config.forward, ca.as_ref(), &pipeline.metrics) {
            watches.spawn(renewal.watch());
        }
        let proxies = serve_proxies(&pipeline, &self.config, Forward { ca }, self.tls, listeners, &drain);
        // The first random number of a process takes tens of milliseconds: the first call had better not wait for it.
        tokio::task::spawn_blocking(RequestId::generate);
        let drain_delay = self.config.limits.drain_delay;
        Ok(Running {
            listen,
            admin_listen,
            drain: starter,
            drain_delay,
            proxies,
            _admin: admin,
            writer,
            _watches: watches,
        })
    }
}

fn serve_admin(pipeline: &Arc<Pipeline>, listener: Option<TcpListener>, drain: &Drain) -> JoinSet<()> {
    let mut tasks = JoinSet::new();
    if let Some(listener) = listener {
        let admin = Arc::new(Admin { pipeline: Arc::clone(pipeline), drain: drain.clone() });
        let connections = Connections::new(ADMIN_CONNECTIONS, ADMIN_CONNECTIONS_PER_PEER);
        tasks.spawn(accept(listener, None, WithoutRoom::Serve, move |stream, peer| {
            let seat = connections.enter(peer).ok()?;
            let serving = admin.clone().serve(stream);
            Some(async move {
                serving.await;
                drop(seat);
            })
        }));
    }
    tasks
}

fn serve_proxies(
    pipeline: &Arc<Pipeline>,
    config: &Config,
    forward: Forward,
    tls: Option<Arc<Tls>>,
    listeners: Vec<Bound>,
    drain: &Drain,
) -> JoinSet<()> {
    let limits = config.limits;
    let http = Http { pipeline: Arc::clone(pipeline), limits: limits.gate, forward: config.forward.enabled };
    let door = Door::new(Connections::new(limits.max_connections, limits.max_connections_per_peer));
    let reverse = Reverse { http: Arc::new(http), door, forward, allow_peers: config.allow_peers.clone(), tls };
    let reverse = Arc::new(reverse);
    let mut tasks = JoinSet::new();
    let end = Some((drain.clone(), limits.drain_timeout));
    for listener in listeners {
        let (reverse, drain, end) = (reverse.clone(), drain.clone(), end.clone());
        match listener {
            Bound::Tcp(tcp) => {
                tasks.spawn(accept(tcp, end, WithoutRoom::Close, move |stream, peer| {
                    reverse.serve(stream, peer, drain.clone())
                }));
            }
            Bound::Unix(unix) => {
                tasks.spawn(accept(unix, end, WithoutRoom::Close, move |stream, peer| {
                    reverse.serve_unix(stream, peer, drain.clone())
                }));
            }
        }
    }
    tasks
}

impl Running {
    /// Turns readiness off, goes on for `limits.drain_delay`, stops accepting, lets open calls finish within
    /// `limits.drain_timeout`, and writes the last audit records.
    pub async fn stop(mut self) {
        self.drain.announce();
        tokio::time::sleep(self.drain_delay).await;
        self.drain.begin();
        while self.proxies.join_next().await.is_some() {}
        drop(self._admin);
        // The last records are few; a writer that hangs on its disk must not keep us from ending.
        let lost = self.writer.finish(LAST_RECORDS).await;
        if lost > 0 {
            tracing::error!(lost, "audit records were not written before the end");
        }
    }
}

fn audit_error(config: &Config, cause: io::Error) -> Error {
    Error::Audit { output: config.audit.output.clone(), cause }
}

fn session(config: &Config) -> Result<Option<Session>, Error> {
    let secret = config.session_secret.as_ref().map(SessionSecret::new).transpose()?;
    Ok(secret.map(|secret| Session::new(secret, config.user.clone())))
}

fn upstreams(routes: &Routes, own: &Own) -> Result<Upstreams, Error> {
    Upstreams::new(routes.iter(), own, |entry| {
        let tls = tls_config(entry.ca_file.as_deref());
        tls.map_err(|cause| Error::Tls { route: entry.label().to_owned(), cause })
    })
}

fn policy_engine(config: &Config) -> Result<Box<dyn PolicyEngine>, Error> {
    let without_metadata = config.kubernetes.as_ref().is_some_and(KubernetesSettings::is_without_metadata);
    Ok(match &config.policy {
        policy::Settings::Off => Box::new(policy::Off),
        policy::Settings::Fixed { default_allow } => Box::new(policy::Fixed::new(*default_allow)),
        policy::Settings::Rego { policy_path, decision_path, timeout } => {
            let rego = Rego::load(policy_path, decision_path, *timeout).map_err(Error::Policy)?;
            match rego.mistake_without_metadata().filter(|_| without_metadata) {
                Some(mistake) => return Err(Error::Policy(mistake.clone().into())),
                None => Box::new(rego),
            }
        }
    })
}

#[cfg(test)]
mod tests;
