//! The hosts of a wildcard that were called of late, each with what there is for it alone.

use std::sync::Arc;

use super::Upstream;
use super::dial::Means;
use super::pool::Seats;
use super::recent::Recent;
use crate::route::Route;

/// What there is for each host, found by its name.
#[derive(Debug)]
pub struct Hosts {
    means: Means,
    seats: Seats,
    kept: Recent<String, Upstream>,
}

impl Hosts {
    pub fn new(means: Means) -> Hosts {
        Hosts { means, seats: Seats::default(), kept: Recent::default() }
    }

    /// What there is for the route's host, which is made unless that was called of late.
    pub fn of(&self, route: &Route) -> Arc<Upstream> {
        self.kept.of(route.host.name(), || Upstream::new(route, &self.means, self.seats.clone()))
    }
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

    #[tokio::test]
    async fn each_host_has_what_is_its_own_however_it_is_written() {
        let routes = routes();
        let hosts = hosts(&routes);
        let one = of(&hosts, &routes, "one.a.test");
        assert!(Arc::ptr_eq(&one, &of(&hosts, &routes, "ONE.a.test.:443")));
        assert!(!Arc::ptr_eq(&one, &of(&hosts, &routes, "two.a.test")));
    }
}
