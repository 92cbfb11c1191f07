//! HTTP/2 over TLS. What breaks a connection breaks all that is on it.

use std::future::poll_fn;
use std::sync::Arc;

use bytes::Bytes;
use h2::server::SendResponse;
use h2::{Reason, RecvStream, SendStream};
use http::{Request, Response};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio_rustls::server::TlsStream;

use super::{Arrived, admit, check_body, fields, trailers};
use crate::cast::Kind;
use crate::plan::{Fault, Framing, Plan};
use crate::stage::Stage;
use crate::wire;

/// How a connection ends.
#[derive(Debug, Clone, Copy)]
enum Last {
    /// At once.
    Drop,
    /// With GOAWAY and an error.
    Abrupt,
    /// With GOAWAY, after what is on it.
    Orderly,
}

/// Serves streams until one of them ends the connection.
pub async fn serve(tls: TlsStream<TcpStream>, stage: Arc<Stage>) {
    let Ok(mut connection) = h2::server::handshake(tls).await else { return };
    let (sender, mut ends) = mpsc::channel(16);
    loop {
        tokio::select! {
            biased;
            Some(last) = ends.recv() => {
                stage.upstream(Kind::H2).breaks();
                match last {
                    Last::Drop => return,
                    Last::Abrupt => {
                        connection.abrupt_shutdown(Reason::INTERNAL_ERROR);
                        let _ = poll_fn(|cx| connection.poll_closed(cx)).await;
                        return;
                    }
                    Last::Orderly => connection.graceful_shutdown(),
                }
            }
            accepted = connection.accept() => match accepted {
                Some(Ok((request, respond))) => drop(tokio::spawn(handle(request, respond, sender.clone(), Arc::clone(&stage)))),
                Some(Err(_)) | None => return,
            }
        }
    }
}

fn arrive(request: &Request<RecvStream>, stage: &Stage) -> Option<Plan> {
    let target = request.uri().path_and_query().map_or("", |target| target.as_str());
    let host = request.uri().authority().map_or("", |authority| authority.as_str());
    let fields = request.headers().iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap_or("?"))).collect();
    admit(&Arrived { method: request.method().as_str(), target, host, fields }, Kind::H2, stage)
}

async fn handle(
    mut request: Request<RecvStream>,
    mut respond: SendResponse<Bytes>,
    ends: mpsc::Sender<Last>,
    stage: Arc<Stage>,
) {
    let Some(plan) = arrive(&request, &stage) else { return respond.send_reset(Reason::REFUSED_STREAM) };
    let early = plan.fault == Some(Fault::Early);
    if !early && !receive(request.body_mut(), &plan, &stage).await {
        return;
    }
    if let Some(last) = play(&mut respond, &plan, &stage).await {
        // A connection that ends anyhow takes no more orders.
        let _ = ends.send(last).await;
    }
    if early {
        receive(request.body_mut(), &plan, &stage).await;
    }
}

/// Takes the body; `false`: it broke off.
async fn receive(body: &mut RecvStream, plan: &Plan, stage: &Stage) -> bool {
    let mut bytes = Vec::new();
    while let Some(data) = body.data().await {
        let Ok(data) = data else { return false };
        let _ = body.flow_control().release_capacity(data.len());
        bytes.extend_from_slice(&data);
    }
    let Ok(trailers) = body.trailers().await else { return false };
    check_body(&bytes, &trailers.as_ref().map(wire::fields).unwrap_or_default(), plan, stage);
    true
}

/// Answers as planned, and says how the connection ends if it does.
async fn play(respond: &mut SendResponse<Bytes>, plan: &Plan, stage: &Stage) -> Option<Last> {
    match plan.fault {
        Some(Fault::Close) => return Some(Last::Drop),
        Some(Fault::Garbage) => return Some(Last::Abrupt),
        Some(Fault::Reset | Fault::HalfHead) => {
            respond.send_reset(Reason::INTERNAL_ERROR);
            return None;
        }
        Some(Fault::Restart) => {
            stage.upstream(Kind::H2).restart();
            return None;
        }
        Some(Fault::Hang) => {
            let _ = poll_fn(|cx| respond.poll_reset(cx)).await;
            return None;
        }
        _ => {}
    }
    let body = Bytes::from(plan.body());
    let ended = body.is_empty() && !plan.answer.trailers;
    let mut stream = respond.send_response(head(plan), ended).ok()?;
    if ended {
        return (plan.fault == Some(Fault::CloseAfter)).then_some(Last::Orderly);
    }
    let half = body.slice(..body.len() / 2);
    match plan.fault {
        Some(Fault::HalfBody) => {
            let _ = stream.send_data(half, false);
            wait(plan).await;
            stream.send_reset(Reason::INTERNAL_ERROR);
            None
        }
        Some(Fault::HalfBodyReset) => {
            let _ = stream.send_data(half, false);
            wait(plan).await;
            Some(Last::Drop)
        }
        Some(Fault::HangInBody) => {
            let _ = stream.send_data(half, false);
            let _ = poll_fn(|cx| stream.poll_reset(cx)).await;
            None
        }
        _ => {
            send(&mut stream, body, plan).await;
            (plan.fault == Some(Fault::CloseAfter)).then_some(Last::Orderly)
        }
    }
}

async fn wait(plan: &Plan) {
    tokio::time::sleep(plan.answer.pause).await;
}

fn head(plan: &Plan) -> Response<()> {
    let length = plan.answer.length;
    let said = match plan.fault {
        // And then the stream ends before.
        Some(Fault::Contradiction) => Some(length + 5),
        _ => (plan.answer.framing == Framing::Length).then_some(length),
    };
    let mut head = Response::builder().status(plan.answer.status);
    for (name, value) in fields(plan) {
        head = head.header(name, value);
    }
    if let Some(length) = said {
        head = head.header("content-length", length);
    }
    head.body(()).expect("a head")
}

async fn send(stream: &mut SendStream<Bytes>, mut body: Bytes, plan: &Plan) {
    let piece = body.len().div_ceil(plan.answer.pieces);
    while !body.is_empty() {
        let part = body.split_to(piece.min(body.len()));
        if stream.send_data(part, body.is_empty() && !plan.answer.trailers).is_err() {
            return;
        }
        wait(plan).await;
    }
    if plan.answer.trailers {
        let _ = stream.send_trailers(wire::map(&trailers(plan)));
    }
}
