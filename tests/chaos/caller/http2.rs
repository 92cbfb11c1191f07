//! A call by HTTP/2.

use std::time::Duration;

use bytes::Bytes;
use h2::client::SendRequest;
use h2::{Reason, RecvStream, SendStream};
use http::Request;

use super::connection::{self, Refused};
use super::{Answer, Got, speech};
use crate::cast::Way;
use crate::plan::{Plan, Reading, bytes};
use crate::stage::Stage;
use crate::wire::{fields, map};

pub async fn call(plan: &Plan, stage: &Stage) -> Got {
    match connection::stream(plan, stage).await {
        Ok(mut sender) => exchange(plan, &mut sender, stage).await,
        Err(Refused::Answered(answer)) => Got::Answer(answer),
        Err(Refused::Broken(why)) => Got::Silence(format!("no connection: {why}")),
    }
}

fn request(plan: &Plan, stage: &Stage) -> Request<()> {
    let base = match plan.way {
        Way::H2c => "http://proxy.test".to_owned(),
        _ => format!("https://{}", plan.host()),
    };
    let mut request = Request::builder().method(speech::method(plan)).uri(format!("{base}{}", plan.target()));
    for (name, value) in speech::fields(plan, stage) {
        request = request.header(name, value);
    }
    if let Some(upload) = plan.upload.filter(|upload| !upload.chunked) {
        request = request.header("content-length", upload.length);
    }
    request.body(()).expect("a request")
}

async fn exchange(plan: &Plan, sender: &mut SendRequest<Bytes>, stage: &Stage) -> Got {
    let (answer, mut stream) = match sender.send_request(request(plan, stage), plan.upload.is_none()) {
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
    got.fields = fields(&head.headers);
    if !read(plan, &mut body, &mut got).await {
        stream.send_reset(Reason::CANCEL);
        return Got::Left;
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
    loop {
        let part = rest.split_to(speech::piece(upload).min(rest.len()));
        let last = rest.is_empty();
        if stream.send_data(part, last && !upload.half && !upload.trailers).is_err() {
            return false;
        }
        tokio::time::sleep(upload.pause).await;
        if last {
            if upload.trailers {
                let _ = stream.send_trailers(map(&speech::trailers(plan)));
            }
            return upload.half;
        }
    }
}

/// Takes the body and what is behind it; `false`: the caller has had enough.
async fn read(plan: &Plan, body: &mut RecvStream, got: &mut Answer) -> bool {
    while let Some(data) = body.data().await {
        let Ok(data) = data else { return true };
        got.body.extend_from_slice(&data);
        match plan.reading {
            Reading::Half if got.body.len() > plan.answer.length / 2 => return false,
            Reading::Slow => tokio::time::sleep(Duration::from_millis(2)).await,
            Reading::Whole | Reading::Half | Reading::Never => {}
        }
        let _ = body.flow_control().release_capacity(data.len());
    }
    if let Ok(trailers) = body.trailers().await {
        got.trailers = trailers.as_ref().map(fields).unwrap_or_default();
        got.complete = true;
    }
    true
}
