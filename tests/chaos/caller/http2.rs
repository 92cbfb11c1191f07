//! A call by HTTP/2.

use std::time::Duration;

use bytes::Bytes;
use h2::client::SendRequest;
use h2::{Reason, RecvStream, SendStream};
use http::Request;

use super::connection::{Connections, Refused};
use super::{Answer, Got, speech};
use crate::cast::Way;
use crate::plan::{Plan, Reading, bytes};
use crate::stage::Stage;

pub async fn call(plan: &Plan, connections: &mut Connections, stage: &Stage) -> Got {
    let mut sender = match connections.stream(plan, stage).await {
        Ok(sender) => sender,
        Err(Refused::Answered(answer)) => return Got::Answer(answer),
        Err(Refused::Broken(why)) => return Got::Silence(format!("no connection: {why}")),
    };
    let got = exchange(plan, &mut sender).await;
    if matches!(got, Got::Answer(_)) {
        connections.keep_stream(plan, sender);
    }
    got
}

fn request(plan: &Plan) -> Request<()> {
    let base = match plan.way {
        Way::H2c => "http://proxy.test".to_owned(),
        _ => format!("https://{}", plan.host()),
    };
    let mut request = Request::builder().method(speech::method(plan)).uri(format!("{base}{}", plan.target()));
    for (name, value) in speech::fields(plan) {
        request = request.header(name, value);
    }
    if let Some(upload) = plan.upload.filter(|upload| !upload.chunked) {
        request = request.header("content-length", upload.length);
    }
    request.body(()).expect("a request")
}

async fn exchange(plan: &Plan, sender: &mut SendRequest<Bytes>) -> Got {
    let (answer, mut stream) = match sender.send_request(request(plan), plan.upload.is_none()) {
        Ok(sent) => sent,
        Err(error) => return Got::Silence(error.to_string()),
    };
    // What was answered early is given up by its reader, not by its writer.
    let (mut answer, mut wrote) = (std::pin::pin!(answer), false);
    let head = loop {
        let left = tokio::select! {
            biased;
            head = &mut answer => break head,
            left = write(plan, &mut stream), if !wrote => left,
        };
        wrote = true;
        if left || plan.reading == Reading::Never {
            stream.send_reset(Reason::CANCEL);
            return Got::Left;
        }
    };
    let (head, mut body) = match head {
        Ok(head) => head.into_parts(),
        Err(error) => return Got::Silence(error.to_string()),
    };
    let mut got = Answer { status: head.status.as_u16(), ..Answer::default() };
    let fields = head.headers.iter();
    got.fields = fields
        .map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned()))
        .collect();
    match read(plan, &mut body, &mut got.body).await {
        Some(complete) => got.complete = complete,
        None => {
            stream.send_reset(Reason::CANCEL);
            return Got::Left;
        }
    }
    if !wrote && plan.upload.is_some() {
        stream.send_reset(Reason::CANCEL);
    }
    Got::Answer(got)
}

/// Sends the body; `true`: only a part of it, and then the caller leaves.
async fn write(plan: &Plan, stream: &mut SendStream<Bytes>) -> bool {
    let Some(upload) = plan.upload else { return false };
    let mut rest = Bytes::from(bytes(plan.number, upload.length));
    if upload.half {
        rest.truncate(upload.length / 2);
    }
    let piece = upload.length.div_ceil(upload.pieces).max(1);
    loop {
        let part = rest.split_to(piece.min(rest.len()));
        let last = rest.is_empty();
        if stream.send_data(part, last && !upload.half).is_err() {
            return false;
        }
        tokio::time::sleep(upload.pause).await;
        if last {
            return upload.half;
        }
    }
}

/// Whether all of it came; `None`: the caller has had enough.
async fn read(plan: &Plan, body: &mut RecvStream, bytes: &mut Vec<u8>) -> Option<bool> {
    while let Some(data) = body.data().await {
        let Ok(data) = data else { return Some(false) };
        bytes.extend_from_slice(&data);
        match plan.reading {
            Reading::Half if bytes.len() > plan.answer.length / 2 => return None,
            Reading::Slow => tokio::time::sleep(Duration::from_millis(2)).await,
            Reading::Whole | Reading::Half | Reading::Never => {}
        }
        let _ = body.flow_control().release_capacity(data.len());
    }
    Some(body.trailers().await.is_ok())
}
