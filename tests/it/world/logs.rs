//! Everything that is logged, at trace level, by our own modules and by libraries.

use std::io;
use std::sync::{Mutex, Once};

use tracing_subscriber::fmt::MakeWriter;

static LOG: Mutex<Vec<u8>> = Mutex::new(Vec::new());

struct Sink;

impl io::Write for Sink {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        LOG.lock().unwrap().extend_from_slice(buf);
        Ok(buf.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Sink {
    type Writer = Sink;

    fn make_writer(&self) -> Sink {
        Sink
    }
}

/// Starts capturing, once: what `log.level: trace` writes.
pub fn capture() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let filter = tracing_subscriber::EnvFilter::new("warn,veilwarden=trace");
        let builder = tracing_subscriber::fmt().json().flatten_event(true).with_env_filter(filter);
        builder.with_writer(Sink).try_init().expect("the first subscriber");
    });
}

/// What was logged so far, by all tests of this process.
pub fn all() -> String {
    String::from_utf8_lossy(&LOG.lock().unwrap()).into_owned()
}
