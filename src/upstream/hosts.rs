//! The hosts of a wildcard that were called of late, each with what there is for it alone.
//!
//! Callers choose the names, so there is room for a few hundred. A host that has gone takes its waiting connections with it;
//! calls under way keep theirs.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::Upstream;
use super::dial::Means;
use super::pool::Seats;
use crate::route::Route;

/// So many hosts of one wildcard are kept; the one that was not called for the longest time goes first.
const MAX_HOSTS: usize = 256;
/// A host that was not called for so long goes when another one comes; its connections have been closed before.
const HOST_IDLE: Duration = Duration::from_secs(10 * 60);

/// What there is for each host, found by its name.
#[derive(Debug)]
pub struct Hosts {
    means: Means,
    seats: Seats,
    kept: Mutex<HashMap<String, Kept>>,
}

#[derive(Debug)]
struct Kept {
    upstream: Arc<Upstream>,
    called: Instant,
}

impl Hosts {
    pub fn new(means: Means) -> Hosts {
        Hosts { means, seats: Seats::default(), kept: Mutex::default() }
    }

    /// What there is for the route's host, which is made unless that was called of late.
    pub fn of(&self, route: &Route) -> Arc<Upstream> {
        let called = Instant::now();
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(host) = kept.get_mut(route.host.name()) {
            host.called = called;
            return Arc::clone(&host.upstream);
        }
        let gone = make_room(&mut kept, called);
        let upstream = Arc::new(Upstream::new(route, &self.means, self.seats.clone()));
        kept.insert(route.host.name().to_owned(), Kept { upstream: Arc::clone(&upstream), called });
        drop(kept);
        // Closing connections takes a while: others need not wait for it.
        drop(gone);
        upstream
    }
}

/// Takes out who has been idle for too long and, if it is still full, who has been for the longest.
fn make_room(kept: &mut HashMap<String, Kept>, now: Instant) -> Vec<Kept> {
    let mut gone: Vec<_> = kept.extract_if(|_, host| now - host.called >= HOST_IDLE).map(|(_, host)| host).collect();
    if kept.len() >= MAX_HOSTS {
        let oldest = kept.iter().min_by_key(|(_, host)| host.called).map(|(name, _)| name.clone());
        gone.extend(oldest.and_then(|name| kept.remove(&name)));
    }
    gone
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::request::Host;
    use crate::route::Routes;
    use crate::upstream::Own;

    fn routes() -> Routes {
        let yaml = "kubernetes: {enabled: false}\nroutes: [{upstream_host: \"*.a.test\", upstream_http2: false}]\n\
            policy: {engine: config}\n";
        let environment = |name: &str| (name == "VEILWARDEN_SESSION_SECRET").then(|| "0123456789abcdef".to_owned());
        let config = Config::parse(yaml, std::path::Path::new("v.yaml"), &Default::default(), &environment);
        Routes::compile(config.unwrap_or_else(|mistakes| panic!("{mistakes}")).routes).unwrap()
    }

    fn hosts(routes: &Routes) -> Hosts {
        let entry = routes.iter().next().unwrap().entry();
        Hosts::new(Means::of(entry, Own::default(), || crate::client::tls_config(None)).unwrap())
    }

    fn of(hosts: &Hosts, routes: &Routes, name: &str) -> Arc<Upstream> {
        hosts.of(&routes.find(&Host::parse(name).unwrap()).unwrap())
    }

    #[tokio::test(start_paused = true)]
    async fn each_host_has_what_is_its_own_for_as_long_as_it_is_called() {
        let routes = routes();
        let hosts = hosts(&routes);
        let one = of(&hosts, &routes, "one.a.test");
        assert!(Arc::ptr_eq(&one, &of(&hosts, &routes, "ONE.a.test.:443")));
        let two = of(&hosts, &routes, "two.a.test");
        assert!(!Arc::ptr_eq(&one, &two));
        tokio::time::advance(HOST_IDLE / 2).await;
        let _ = of(&hosts, &routes, "two.a.test");
        tokio::time::advance(HOST_IDLE / 2).await;
        let _ = of(&hosts, &routes, "three.a.test");
        assert!(!Arc::ptr_eq(&one, &of(&hosts, &routes, "one.a.test")), "idle for too long");
        assert!(Arc::ptr_eq(&two, &of(&hosts, &routes, "two.a.test")));
        assert_eq!(Arc::strong_count(&one), 1, "kept by nobody else");
    }

    #[tokio::test(start_paused = true)]
    async fn g24_of_ten_thousand_hosts_the_last_few_hundred_are_kept() {
        let routes = routes();
        let hosts = hosts(&routes);
        let often = of(&hosts, &routes, "often.a.test");
        let mut made = Vec::new();
        for n in 0..10_000 {
            tokio::time::advance(Duration::from_millis(1)).await;
            made.push(Arc::downgrade(&of(&hosts, &routes, &format!("h{n}.a.test"))));
            assert!(Arc::ptr_eq(&often, &of(&hosts, &routes, "often.a.test")), "{n}");
        }
        assert_eq!(hosts.kept.lock().unwrap().len(), MAX_HOSTS);
        let alive: Vec<_> = made.iter().map(|host| host.strong_count() > 0).collect();
        let (gone, kept) = alive.split_at(10_000 - MAX_HOSTS + 1);
        assert!(gone.iter().all(|alive| !alive) && kept.iter().all(|alive| *alive), "not the last ones");
    }
}
