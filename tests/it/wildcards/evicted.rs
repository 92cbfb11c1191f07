//! What becomes of a host when others take its place.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use http::{Request, Response};
use hyper::body::{Frame, Incoming};
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use super::world;
use crate::http2::peer::{Body, channel, full};
use crate::http2::upstream::in_clear;
use crate::world::recorder::{OK, Step};
use crate::world::{Started, World, raw, until};

/// So many hosts of a wildcard are kept.
const KEPT: usize = 256;

/// Calls so many hosts, one after the other, that none from before is kept.
async fn call_others(world: &Started, domain: &str) {
    let mut stream = world.connect().await;
    for n in 0..KEPT + 4 {
        stream.write_all(world.request_to(&format!("h{n}.{domain}"), "GET", "/x", "").as_bytes()).await.unwrap();
        assert_eq!(raw::read_answer(&mut stream).await.status, 200);
    }
}

#[tokio::test]
async fn a_host_that_has_to_go_gives_its_connections_back() {
    let world = world().await.start().await;
    call_others(&world, "w.test").await;
    assert_eq!(world.a.connections(), KEPT + 4, "one for each host");
    until("the end of the others' connections", || world.a.open() == KEPT).await;
    // The last ones are still there, the first one comes again on a new connection.
    for (host, connections) in [("h259.w.test", KEPT + 4), ("h0.w.test", KEPT + 5)] {
        assert_eq!((world.get(host).await.status, world.a.connections()), (200, connections), "{host}");
    }
}

#[tokio::test]
async fn a_call_under_way_ends_well_although_its_host_has_gone() {
    let world = world().await.start().await;
    let go = Arc::new(Semaphore::new(0));
    let wait = go.clone();
    world.a.script(move |seen| match seen.target() {
        "/slow" => {
            let begun = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nab".to_vec();
            vec![Step::Send(begun), Step::Wait(wait.clone()), Step::Send(b"cd".to_vec())]
        }
        _ => vec![Step::Send(OK.to_vec())],
    });
    let slow = world.send(world.request_to("slow.w.test", "GET", "/slow", ""));
    let others = async {
        until("the slow call", || !world.a.seen().is_empty()).await;
        call_others(&world, "w.test").await;
        until("the end of the others' connections", || world.a.open() == KEPT + 1).await;
        go.add_permits(1);
    };
    let (answer, ()) = tokio::join!(slow, others);
    assert_eq!((answer.status, &*answer.text(), answer.complete), (200, "abcd", true));
    // Its connection has nowhere to wait.
    until("the end of its connection", || world.a.open() == KEPT).await;
}

/// An upstream of HTTP/2 and how many connections to it are open. What it says at `/slow` ends with a permit.
async fn over_http2(go: Arc<Semaphore>) -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, open) = (listener.local_addr().unwrap(), Arc::new(AtomicUsize::new(0)));
    let counted = open.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (go, counted) = (go.clone(), counted.clone());
            counted.fetch_add(1, Ordering::SeqCst);
            tokio::spawn(async move {
                let answered = service_fn(move |request| {
                    let answer = answer(&request, go.clone());
                    async move { Ok::<_, Infallible>(answer) }
                });
                let _ =
                    http2::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), answered).await;
                counted.fetch_sub(1, Ordering::SeqCst);
            });
        }
    });
    (address, open)
}

fn answer(request: &Request<Incoming>, go: Arc<Semaphore>) -> Response<Body> {
    if request.uri().path() != "/slow" {
        return Response::new(full("ok"));
    }
    let (sender, body) = channel();
    tokio::spawn(async move {
        sender.send(Frame::data("ab".into())).await.unwrap();
        go.acquire().await.unwrap().forget();
        sender.send(Frame::data("cd".into())).await.unwrap();
    });
    Response::new(body)
}

#[tokio::test]
async fn over_http_2_too_a_host_goes_with_its_connection_and_its_calls_end_well() {
    let go = Arc::new(Semaphore::new(0));
    let (address, open) = over_http2(go.clone()).await;
    let world = World::new().await.route(&in_clear("\"*.h.test\"", address)).start().await;
    let slow = world.send(world.request_to("slow.h.test", "GET", "/slow", ""));
    let others = async {
        until("the slow call", || open.load(Ordering::SeqCst) == 1).await;
        call_others(&world, "h.test").await;
        until("the end of the others' connections", || open.load(Ordering::SeqCst) == KEPT + 1).await;
        go.add_permits(1);
    };
    let (answer, ()) = tokio::join!(slow, others);
    assert_eq!((answer.status, &*answer.text(), answer.complete), (200, "abcd", true), "{answer:?}");
    until("the end of its connection", || open.load(Ordering::SeqCst) == KEPT).await;
}
