//! One call through the proxy, and the audit record it left.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail};
use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode};
use http_body_util::{BodyExt, Empty};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;

use super::scene::Scene;

/// A record is on disk a few milliseconds after its answer.
const PATIENCE: Duration = Duration::from_secs(2);

/// What came back.
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Value,
}

/// Sends a request to the proxy as any HTTP client would.
pub async fn send(scene: &Scene, request: Request<Empty<Bytes>>) -> Result<Answer> {
    let stream = TcpStream::connect(scene.proxy).await.context("the proxy does not answer")?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let connection = tokio::spawn(connection);
    let (parts, body) = sender.send_request(request).await?.into_parts();
    let body = body.collect().await?.to_bytes();
    drop(sender);
    connection.await??;
    let body = serde_json::from_slice(&body).context("the answer is not JSON")?;
    Ok(Answer { status: parts.status, headers: parts.headers, body })
}

/// The audit record of the call with this id.
pub async fn record(file: &Path, request_id: &str) -> Result<Value> {
    let search = async {
        loop {
            let text = tokio::fs::read_to_string(file).await?;
            let mut records = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
            if let Some(found) = records.find(|record| record["request_id"] == request_id) {
                return Ok::<Value, std::io::Error>(found);
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    match tokio::time::timeout(PATIENCE, search).await {
        Ok(found) => found.map_err(|error| anyhow!("the audit file cannot be read: {error}")),
        Err(_) => bail!("the call left no audit record"),
    }
}
