//! The API server goes away under load and comes back.

use crate::control_plane::ControlPlane;
use crate::signing_key::SigningKey;
use crate::until::until;
use crate::upstream::Upstream;
use crate::veilwarden::{Answer, Caller, Setup};
use crate::workload::{Team, reviewer};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::task::JoinHandle;

/// An API server that is ready again must be used again within this time.
const RECOVERY: Duration = Duration::from_secs(5);

pub async fn an_outage_costs_new_callers_only_and_is_over_within_five_seconds(cluster: &mut ControlPlane) {
    let team = Team::new(cluster, "outage").await;
    team.service_account("api").await;
    let token = team.token("api", Some("veilwarden"), None).await;
    let upstream = Upstream::start().await;
    let veilwarden = Setup::new(reviewer(cluster, "outage-reviewer").await, &upstream, "allow := true")
        .kubernetes("cache_ttl: 10m, max_reviews_per_second: 10000")
        .start()
        .await;
    veilwarden.call_with_token(&token).await.came_from_upstream();

    let caller = veilwarden.caller();
    let cached = Load::start(caller, {
        let token = token.clone();
        move |_| token.clone()
    });
    let fresh = Load::start(caller, unseen_tokens(cluster.signing_key(), &token));
    let forged = Load::start(caller, unseen_tokens(Arc::new(SigningKey::new()), &token));
    let new_callers_get = async |status: u16, within: Duration| {
        let from = Instant::now();
        let what = format!("ten new callers get {status}");
        until(&what, within, async || (fresh.count(from, status) >= 10).then_some(())).await;
    };

    new_callers_get(200, Duration::from_secs(10)).await;
    let stopping = Instant::now();
    cluster.stop_api_server();
    let down = Instant::now();
    new_callers_get(503, Duration::from_secs(20)).await;
    let still_down = Instant::now();
    cluster.start_api_server().await;
    until("new callers are let in again", RECOVERY, async || (fresh.count(still_down, 200) > 0).then_some(())).await;
    let recovered = Instant::now();
    new_callers_get(200, Duration::from_secs(10)).await;

    for call in cached.stop().await {
        call.answer.came_from_upstream();
    }
    for call in fresh.stop().await {
        if call.sent > down && call.answered < still_down {
            call.answer.was_refused(503, "AUTH_UNAVAILABLE");
        } else if call.answered < stopping || call.sent > recovered {
            call.answer.came_from_upstream();
        }
        if call.answer.status != 200 {
            call.was_a_patient_refusal();
        }
    }
    for call in forged.stop().await {
        if call.answer.status != 401 {
            call.was_a_patient_refusal();
        }
    }
}

/// Tokens that veilwarden has not seen before, made without the API server. All but their ids is `token`'s.
fn unseen_tokens(key: Arc<SigningKey>, token: &str) -> impl Fn(usize) -> String + Send + 'static {
    let token = token.to_owned();
    move |number| key.sign_again(&token, |claims| drop(claims.insert("jti".into(), format!("unseen-{number}").into())))
}

struct Call {
    sent: Instant,
    answered: Instant,
    answer: Answer,
}

impl Call {
    /// "I cannot tell now, ask again later", said in time.
    fn was_a_patient_refusal(&self) {
        self.answer.was_refused(503, "AUTH_UNAVAILABLE");
        let later: Option<u64> =
            self.answer.fields.get("retry-after").and_then(|value| value.to_str().ok()?.parse().ok());
        assert!(later.is_some_and(|seconds| seconds > 0), "Retry-After: {:?}", self.answer);
        // Two seconds are allowed to the review; the rest is for a busy machine.
        let took = self.answered - self.sent;
        assert!(took < Duration::from_secs(4), "refused after {took:?}");
    }
}

/// Calls one after the other, twenty a second at most, until stopped.
struct Load {
    calls: Arc<Mutex<Vec<Call>>>,
    calling: JoinHandle<()>,
}

impl Load {
    fn start(caller: Caller, token: impl Fn(usize) -> String + Send + 'static) -> Self {
        let calls: Arc<Mutex<Vec<Call>>> = Arc::default();
        let recorded = Arc::clone(&calls);
        let calling = tokio::spawn(async move {
            let mut pace = tokio::time::interval(Duration::from_millis(50));
            pace.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            for number in 0.. {
                pace.tick().await;
                let token = token(number);
                let sent = Instant::now();
                let answer = caller.call_with_token(&token).await;
                let call = Call { sent, answered: Instant::now(), answer };
                recorded.lock().expect("no panic while locked").push(call);
            }
        });
        Self { calls, calling }
    }

    /// How many calls that were sent after `from` have been answered with `status`.
    fn count(&self, from: Instant, status: u16) -> usize {
        let calls = self.calls.lock().expect("no panic while locked");
        calls.iter().filter(|call| call.sent >= from && call.answer.status == status).count()
    }

    /// All calls. Panics if the load ended early because a call got no answer at all.
    async fn stop(mut self) -> Vec<Call> {
        self.calling.abort();
        if let Err(error) = (&mut self.calling).await
            && error.is_panic()
        {
            panic!("a call was not answered: {error}");
        }
        let calls = std::mem::take(&mut *self.calls.lock().expect("no panic while locked"));
        assert!(!calls.is_empty());
        calls
    }
}

/// A failed assertion ends the load too.
impl Drop for Load {
    fn drop(&mut self) {
        self.calling.abort();
    }
}
