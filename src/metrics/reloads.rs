//! Files that are read again when they change.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::ResultLabels;

/// One set of files.
#[derive(Debug, Default)]
pub(super) struct Reloads {
    total: Family<ResultLabels, Counter>,
    failing: Gauge,
}

impl Reloads {
    /// `name` is the beginning of the metrics' names, `whose` says whose files these are.
    pub(super) fn register(&self, registry: &mut Registry, name: &str, whose: &str) {
        registry.register(
            format!("{name}_reloads"),
            format!("Changed files of {whose}, read again"),
            self.total.clone(),
        );
        registry.register(
            format!("{name}_reload_failing"),
            format!("1 while the files of {whose} are not good and the last good ones are in use"),
            self.failing.clone(),
        );
    }

    /// They have changed, and are in use now or not good.
    pub(super) fn reloaded(&self, good: bool) {
        let result = if good { "success" } else { "failure" };
        self.total.get_or_create(&ResultLabels { result }).inc();
        self.failing.set(i64::from(!good));
    }
}
