//! The program's own log, on stderr.

use std::fmt;

use tracing::{Event, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use crate::audit::visible;
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
        LogFormat::Json => {
            let builder = builder.json().flatten_event(true).with_current_span(false).with_span_list(false);
            builder.map_event_format(Visible).try_init()
        }
        LogFormat::Text => builder.with_ansi(false).map_event_format(Visible).try_init(),
    };
}

/// Each event is one line in which everything can be seen, whatever peers have said.
struct Visible<F>(F);

impl<S, N, F> FormatEvent<S, N> for Visible<F>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
    F: FormatEvent<S, N>,
{
    fn format_event(&self, context: &FmtContext<'_, S, N>, mut out: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let mut line = String::new();
        self.0.format_event(context, Writer::new(&mut line), event)?;
        writeln!(out, "{}", visible(line.strip_suffix('\n').unwrap_or(&line)))
    }
}
