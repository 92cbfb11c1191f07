//! What is said of a panic: where it happened, and never a text that was made of values.

use std::any::Any;
use std::panic::PanicHookInfo;

use super::{log, standard};

/// A panic hook (see [`std::panic::set_hook`]) that writes one line: into the log, or on standard error before there is one.
///
/// A message may have been made of whatever was at hand, a secret for instance. Only one that stands in the source as it
/// is gets repeated; of others the place has to do.
pub fn note(info: &PanicHookInfo<'_>) {
    let place = info.location().map(ToString::to_string).unwrap_or_default();
    let message = message(info.payload());
    if tracing::dispatcher::has_been_set() {
        tracing::error!(target: log::START, place, message, "panicked");
    } else {
        standard::complain(format_args!("veilwarden panicked at {place}: {message}"));
    }
}

fn message(payload: &(dyn Any + Send)) -> &'static str {
    payload.downcast_ref::<&'static str>().copied().unwrap_or("(withheld: it may hold what is secret)")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn n07_only_a_message_that_is_in_the_source_is_repeated() {
        let secret = "canary-n07";
        assert_eq!(message(&"index out of reach"), "index out of reach");
        assert!(!message(&format!("no such key: {secret}")).contains("canary"));
        assert!(!message(&secret.to_owned().into_bytes()).contains("canary"));
    }
}
