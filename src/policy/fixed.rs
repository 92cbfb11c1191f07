//! The engines that look at nothing: one configured answer, or none asked.

use super::{Decision, Error, Input, PolicyEngine};
use crate::BoxFuture;

/// `engine: config`: every call that has a route gets the same answer.
#[derive(Debug, Clone, Copy)]
pub struct Fixed {
    default_allow: bool,
}

impl Fixed {
    /// `default_allow` is the configured answer; the configuration's own default is `false`.
    pub fn new(default_allow: bool) -> Self {
        Self { default_allow }
    }
}

impl PolicyEngine for Fixed {
    fn decide<'a>(&'a self, _input: Input<'a>) -> BoxFuture<'a, Result<Decision, Error>> {
        let reason = if self.default_allow { "allowed by default policy" } else { "denied by default policy" };
        answer(self.default_allow, reason)
    }

    fn name(&self) -> &'static str {
        "config"
    }
}

/// Policy switched off: whatever has a route is allowed, and every record says that nobody was asked.
#[derive(Debug, Clone, Copy)]
pub struct Off;

impl PolicyEngine for Off {
    fn decide<'a>(&'a self, _input: Input<'a>) -> BoxFuture<'a, Result<Decision, Error>> {
        answer(true, "policy enforcement disabled")
    }

    fn name(&self) -> &'static str {
        "config"
    }
}

fn answer<'a>(allowed: bool, reason: &str) -> BoxFuture<'a, Result<Decision, Error>> {
    Box::pin(std::future::ready(Ok(Decision { allowed, reason: reason.to_owned() })))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::input::sample::Call;

    #[tokio::test]
    async fn r95_the_config_engine_answers_what_is_configured_and_says_so() {
        let engines: [(&dyn PolicyEngine, bool, &str); 3] = [
            (&Fixed::new(true), true, "allowed by default policy"),
            (&Fixed::new(false), false, "denied by default policy"),
            (&Off, true, "policy enforcement disabled"),
        ];
        for (engine, allowed, reason) in engines {
            let call = Call::kubernetes();
            let decision = engine.decide(call.input()).await.expect("a fixed engine cannot fail");
            assert_eq!(decision, Decision { allowed, reason: reason.to_owned() });
            assert_eq!(engine.name(), "config");
        }
    }
}
