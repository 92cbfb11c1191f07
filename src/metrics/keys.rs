//! The keys that sign tokens: how fetching them goes. Clusters' names come from the configuration.

use std::time::{SystemTime, UNIX_EPOCH};

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

/// The families, one row a cluster.
#[derive(Debug, Default)]
pub(super) struct Keys {
    fetches: Family<FetchLabels, Counter>,
    failing: Family<ClusterLabels, Gauge>,
    number: Family<ClusterLabels, Gauge>,
    last_success: Family<ClusterLabels, Gauge>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct FetchLabels {
    cluster: String,
    result: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ClusterLabels {
    cluster: String,
}

impl Keys {
    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register("jwks_fetches", "Fetches of the keys that sign tokens", self.fetches.clone());
        registry.register("jwks_failing", "1 while the last fetch of the keys failed", self.failing.clone());
        registry.register("jwks_keys", "Keys that tokens are verified with", self.number.clone());
        registry.register_with_unit(
            "jwks_last_success_timestamp",
            "When the keys were last fetched, since the epoch",
            Unit::Seconds,
            self.last_success.clone(),
        );
    }

    pub(super) fn fetched(&self, cluster: &str, outcome: Result<usize, &'static str>) {
        let labels = ClusterLabels { cluster: cluster.to_owned() };
        let result = outcome.err().unwrap_or("ok");
        self.fetches.get_or_create(&FetchLabels { cluster: cluster.to_owned(), result }).inc();
        self.failing.get_or_create(&labels).set(outcome.is_err().into());
        if let Ok(number) = outcome {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
            self.number.get_or_create(&labels).set(i64::try_from(number).unwrap_or(i64::MAX));
            self.last_success.get_or_create(&labels).set(i64::try_from(now).unwrap_or(i64::MAX));
        }
    }
}
