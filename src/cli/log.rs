//! The program's own log, on stderr.

use tracing_subscriber::EnvFilter;

use crate::config::{LogFormat, LogSettings};

/// The target of the line that says where we listen; it is written at every level.
pub const READY: &str = "veilwarden::ready";

/// Starts logging. Only our own modules log below `warn`: libraries may print what they send and receive. The
/// Kubernetes client says nothing: it has a line for every failed call, we have one for an outage.
pub fn init(settings: LogSettings) {
    let level = settings.level.as_str().to_ascii_lowercase();
    let filter = EnvFilter::new(format!("warn,kube_client=off,veilwarden={level},{READY}=info"));
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_target(false);
    // A second start in one process keeps the first one's log.
    let _ = match settings.format {
        LogFormat::Json => builder.json().flatten_event(true).with_current_span(false).with_span_list(false).try_init(),
        LogFormat::Text => builder.try_init(),
    };
}
