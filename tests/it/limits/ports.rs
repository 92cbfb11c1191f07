//! Row K08: no port is left for another connection to an upstream, in a network of the test's own. `make test-ssrf` runs it.

use std::path::Path;
use std::sync::Arc;

use tokio::io::AsyncWriteExt;
use tokio::net::UnixStream;
use tokio::sync::Semaphore;

use crate::world::namespace::{inside, own};
use crate::world::raw::{self, Answer};
use crate::world::recorder::{OK, Step};
use crate::world::{Started, World, until};

/// So many connections to one address there can be.
const PORTS: usize = 16;

/// Callers come by the socket, which takes no port.
async fn asked(world: &Started, host: &str) -> UnixStream {
    let mut stream = UnixStream::connect(socket(world.directory.path())).await.unwrap();
    stream.write_all(world.request_to(host, "GET", "/x", "").as_bytes()).await.unwrap();
    stream
}

fn socket(directory: &Path) -> String {
    directory.join("v.sock").display().to_string()
}

async fn call(world: &Started, host: &str) -> Answer {
    raw::read_answer(&mut asked(world, host).await).await
}

#[test]
#[ignore = "in a network of its own: make test-ssrf"]
fn k08_without_a_free_port_calls_are_502_and_nothing_is_left_of_them() {
    inside("limits::ports::k08_without_a_free_port_calls_are_502_and_nothing_is_left_of_them", async {
        let _directory = own(&[], "test");
        let world = World::new().await;
        let sockets = format!("[127.0.0.1:0, \"unix:{}\"]", socket(world.directory.path()));
        let (world, process) = world.listen(&sockets).spawn().await;
        // Whoever listens has a port already.
        std::fs::write("/proc/sys/net/ipv4/ip_local_port_range", format!("20000 {}", 20000 + PORTS - 1)).unwrap();
        let go = Arc::new(Semaphore::new(0));
        let held = go.clone();
        world.a.script(move |_| vec![Step::Wait(held.clone()), Step::Send(OK.to_vec())]);
        let mut open = Vec::new();
        for n in 1..=PORTS {
            open.push(asked(&world, "a.test").await);
            until("the call at its upstream", || world.a.open() == n).await;
        }
        // The other upstream's connections have ports of their own.
        assert_eq!(call(&world, "b.test").await.status, 200);
        let descriptors = open_descriptors(&process);
        for _ in 0..50 {
            let answer = call(&world, "a.test").await;
            world.assert_refused(&answer, 502, "UPSTREAM_ERROR", "no port").await;
        }
        assert!(process.stderr().contains("Cannot assign requested address"), "{}", process.stderr());
        assert_eq!(call(&world, "b.test").await.status, 200);
        until("their descriptors to be closed", || open_descriptors(&process) <= descriptors).await;
        assert_eq!((world.a.seen().len(), world.a.connections()), (PORTS, PORTS), "a refused call was sent");

        go.add_permits(PORTS);
        for stream in &mut open {
            assert_eq!(raw::read_answer(stream).await.status, 200);
        }
        // Over those connections, and over new ones that take their ports.
        world.a.script(|_| {
            let closing = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok";
            vec![Step::Send(closing.to_vec()), Step::Close]
        });
        for _ in 0..3 * PORTS {
            let answer = call(&world, "a.test").await;
            assert_eq!(answer.status, 200, "{answer:?}");
        }
        assert!(world.a.connections() > PORTS, "{}", world.a.connections());
    });
}

/// Counted from outside: asking for metrics over TCP would take a port.
fn open_descriptors(process: &crate::world::process::Process) -> usize {
    std::fs::read_dir(format!("/proc/{}/fd", process.pid())).expect("root may look").count()
}
