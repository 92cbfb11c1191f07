//! The API server and the store: right, or wrong in every way that a server can be.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::cast::{CREDENTIAL, EVERYBODY, Kind, STORE_TOKEN, Who};
use crate::plan::{Phase, ServiceFault};
use crate::site::Site;
use crate::stage::Stage;
use crate::wire::{Framing, Head, Wire};

/// So many faults in a row and no more, so that what is put off after failures comes back soon.
const MOST_IN_A_ROW: u64 = 2;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Service {
    ApiServer,
    Store,
}

/// One of them, and how it has been doing.
pub struct Played {
    pub service: Service,
    pub site: Arc<Site>,
    calls: AtomicU64,
    in_a_row: AtomicU64,
}

impl Played {
    pub fn new(service: Service) -> Played {
        Played { service, site: Site::new(), calls: AtomicU64::new(0), in_a_row: AtomicU64::new(0) }
    }

    pub fn calls(&self) -> u64 {
        self.calls.load(Ordering::Relaxed)
    }

    fn fault(&self, stage: &Stage) -> Option<ServiceFault> {
        let call = self.calls.fetch_add(1, Ordering::Relaxed);
        let (domain, own) = match self.service {
            Service::ApiServer => (b'k', Phase::ApiServer),
            Service::Store => (b's', Phase::Store),
        };
        let phase = stage.phase();
        let fault = stage.script.service_fault(domain, call).filter(|_| phase == Phase::All || phase == own);
        match fault {
            None | Some(ServiceFault::Slow(_)) => self.in_a_row.store(0, Ordering::Relaxed),
            Some(_) if self.in_a_row.fetch_add(1, Ordering::Relaxed) >= MOST_IN_A_ROW => {
                self.in_a_row.store(0, Ordering::Relaxed);
                return None;
            }
            Some(_) => self.site.breaks(),
        }
        fault
    }

    fn answer(&self, head: &Head, body: &[u8], stage: &Stage) -> Vec<u8> {
        match self.service {
            Service::ApiServer => http(201, &review(body).to_string()),
            Service::Store => {
                if head.text.contains(CREDENTIAL) {
                    stage.ledger.violation("I4: a caller's credential went to the store".to_owned());
                }
                if !head.text.contains(STORE_TOKEN) {
                    stage.ledger.violation("the store was asked without its token".to_owned());
                }
                secret(&head.line)
            }
        }
    }
}

/// Serves one connection.
pub async fn serve(stream: TcpStream, played: Arc<Played>, stage: Arc<Stage>) {
    let mut wire = Wire::new(stream);
    while let Ok(head) = wire.head().await {
        let body = wire.body(head.framing().unwrap_or(Framing::Length(0)), usize::MAX).await;
        if !body.whole {
            return;
        }
        let mut answer = played.answer(&head, &body.bytes, &stage);
        match played.fault(&stage) {
            None => {}
            Some(ServiceFault::Slow(time)) => tokio::time::sleep(time).await,
            Some(ServiceFault::Close) => return,
            Some(ServiceFault::Reset) => return drop(wire.stream.set_zero_linger()),
            Some(ServiceFault::Garbage) => answer = b"\x15\x03\x03\0\x02\x02\x50 no HTTP\r\n\r\n".to_vec(),
            Some(ServiceFault::HalfBody) => {
                answer.truncate(answer.len() - 7);
                return drop(wire.stream.write_all(&answer).await);
            }
            Some(ServiceFault::Status(429)) => answer = http(429, "{}"),
            Some(ServiceFault::Status(status)) => {
                answer = http(status, r#"{"message":"played","messages":["played"]}"#)
            }
            Some(ServiceFault::NoMeaning) => answer = http(200, "[{\"no\": \"meaning\"}]"),
            Some(ServiceFault::Hang) => return tokio::time::sleep(Duration::from_secs(20)).await,
            Some(ServiceFault::Restart) => {
                played.site.restart();
                return std::future::pending().await;
            }
        }
        if wire.stream.write_all(&answer).await.is_err() {
            return;
        }
    }
}

fn http(status: u16, body: &str) -> Vec<u8> {
    let more = if status == 429 { "Retry-After: 1\r\n" } else { "" };
    let length = body.len();
    format!("HTTP/1.1 {status} X\r\nContent-Type: application/json\r\n{more}Content-Length: {length}\r\n\r\n{body}")
        .into_bytes()
}

fn review(asked: &[u8]) -> Value {
    let asked: Value = serde_json::from_slice(asked).unwrap_or_default();
    let token = asked["spec"]["token"].as_str().unwrap_or_default();
    let known = EVERYBODY.into_iter().find(|who| who.has_token() && who.credential() == token);
    let status = match known {
        Some(who) => accepted(who),
        None => json!({"authenticated": false, "error": "[invalid bearer token]"}),
    };
    json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "metadata": {}, "spec": {}, "status": status})
}

fn accepted(who: Who) -> Value {
    json!({"authenticated": true, "audiences": ["veilwarden"], "user": {
        "username": format!("system:serviceaccount:prod:{}", who.name()), "uid": format!("uid-{}", who.name()),
        "groups": ["system:serviceaccounts", "system:serviceaccounts:prod"]}})
}

fn secret(line: &str) -> Vec<u8> {
    let asked = |id: &str| line.contains(&format!("name={id}&")) || line.contains(&format!("name={id} "));
    match EVERYBODY.into_iter().find(|who| asked(&Kind::Tls.secret_id(*who))) {
        Some(who) => {
            let (id, value) = (Kind::Tls.secret_id(who), Kind::Tls.secret(who));
            http(200, &json!({"name": id, "value": {"raw": value, "computed": value}, "success": true}).to_string())
        }
        None => http(404, r#"{"messages":["Could not find requested secret"],"success":false}"#),
    }
}
