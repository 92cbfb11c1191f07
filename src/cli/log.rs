//! The program's own log, on stderr.

use std::fmt;
use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use tracing::{Event, Subscriber};
use tracing_appender::non_blocking::{NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use crate::audit::visible;
use crate::config::{LogFormat, LogSettings};

/// The target of what is said at every start, whatever the level: where we listen, and warnings.
pub const START: &str = "veilwarden::start";

/// Lines that may wait for stderr.
const LINES: usize = 8192;

/// Starts logging. Only our own modules log below `warn`: libraries may print what they send and receive. The
/// Kubernetes client says nothing: it has a line for every failed call, we have one for an outage.
///
/// A reader of stderr that does not keep up loses lines, counted by nobody, but holds up no call. What is waiting is
/// written when the guard is dropped.
pub fn init(settings: LogSettings) -> WorkerGuard {
    init_writer(settings, std::io::stderr())
}

/// The same into a file, which is made for its owner only or grows.
///
/// # Errors
/// It cannot be written.
pub fn init_file(settings: LogSettings, path: &Path) -> io::Result<WorkerGuard> {
    let file = OpenOptions::new().create(true).append(true).mode(0o600).open(path)?;
    Ok(init_writer(settings, file))
}

fn init_writer(settings: LogSettings, writer: impl io::Write + Send + 'static) -> WorkerGuard {
    let (writer, guard) = NonBlockingBuilder::default().buffered_lines_limit(LINES).finish(writer);
    let level = settings.level.as_str().to_ascii_lowercase();
    let filter = EnvFilter::new(format!("warn,kube_client=off,veilwarden={level},{START}=info"));
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(writer).with_target(false);
    // A second start in one process keeps the first one's log.
    let _ = match settings.format {
        LogFormat::Json => {
            let builder = builder.json().flatten_event(true).with_current_span(false).with_span_list(false);
            builder.map_event_format(Visible).try_init()
        }
        LogFormat::Text => builder.with_ansi(false).map_event_format(Visible).try_init(),
    };
    guard
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
