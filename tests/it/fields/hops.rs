//! Fields between two neighbours only (RFC 9110 section 7.6.1), in either direction.

use super::{to_b, with_tokens};
use crate::world::World;
use crate::world::way::{ALL, IN_HTTP1};

#[tokio::test]
async fn d01_d04_nominations_take_the_callers_fields_and_never_the_injected_one() {
    let (plain, tokens) = (World::new().await.forward().start().await, with_tokens().await);
    for (mut world, ways) in [(plain, &IN_HTTP1[..]), (tokens, &IN_HTTP1[..1])] {
        let nominations = ["close, Authorization", "authorization", "close, X-Api-Key, Foo", "X-Session-Secret, Host"];
        for (nomination, way) in nominations.into_iter().flat_map(|named| ways.iter().map(move |way| (named, *way))) {
            world.way = way;
            let fields = format!("Connection: {nomination}\r\nX-Api-Key: mine\r\nFoo: 1\r\nBar: 2\r\n");
            let seen = world.forwards(world.ok(&fields), nomination).await;
            assert_eq!(seen.headers("authorization"), [format!("Bearer {}", world.canary_a())], "{nomination}");
            assert_eq!(seen.headers("host"), ["a.test"], "{nomination}");
            assert_eq!(seen.header("foo").is_none(), nomination.contains("Foo"), "{nomination}");
            assert_eq!(seen.headers("bar"), ["2"], "{nomination}");
            assert_eq!(seen.header("connection"), None, "{nomination}");
            assert_eq!(world.send(to_b(&world, &fields)).await.status, 200, "{nomination}");
            assert_eq!(world.b.last().headers("x-api-key"), [world.canary_b()], "{nomination}");
        }
    }
}

#[tokio::test]
async fn d05_odd_connection_fields() {
    let mut world = World::new().await.forward().start().await;
    let many = (0..1000).map(|n| format!("t{n}")).collect::<Vec<_>>().join(", ");
    for fields in [
        "Connection: Foo\r\nConnection: Bar\r\n",
        "Connection: ,, Foo, ,Bar,\r\n",
        "Connection:\r\nConnection: foo,bar\r\n",
        "connection: FOO\r\nCONNECTION: bAr\r\n",
        &format!("Connection: {many}, Foo, Bar\r\n"),
    ] {
        for way in IN_HTTP1 {
            world.way = way;
            let seen = world.forwards(world.ok(&format!("{fields}Foo: 1\r\nBar: 2\r\nBaz: 3\r\n")), fields).await;
            let left = (seen.header("foo"), seen.header("bar"), seen.header("baz"));
            assert_eq!(left, (None, None, Some("3")), "{way:?} {fields}");
            assert_eq!(seen.header("connection"), None, "{way:?} {fields}");
        }
    }
    for fields in ["Connection: \"x\"\r\n", "Connection: a b\r\n", "Connection: Foo\r\nConnection: x;y\r\n"] {
        for way in IN_HTTP1 {
            world.way = way;
            world.refuses(world.ok(fields), (400, "BAD_REQUEST"), &format!("d05 {way:?} {fields}")).await;
        }
    }
}

#[tokio::test]
async fn d06_d08_no_hop_by_hop_field_leaves() {
    let mut world = World::new().await.forward().route_options("redact: off").start().await;
    for fields in [
        "Keep-Alive: timeout=5, max=1000\r\n",
        "Proxy-Connection: keep-alive\r\n",
        "TE: gzip, trailers\r\n",
        "TE: trailers\r\nConnection: TE\r\n",
        "Trailer: X-Sum\r\n",
        "Upgrade: h2c\r\n",
        "Connection: Upgrade\r\nUpgrade: websocket\r\n",
        "Proxy-Authenticate: Basic realm=x\r\n",
        "Proxy-Authentication-Info: x\r\n",
        "Connection: keep-alive\r\n",
        "Proxy_Connection: close\r\n",
        "Keep_Alive: 5\r\n",
    ] {
        for way in IN_HTTP1 {
            world.way = way;
            let seen = world.forwards(world.ok(fields), fields).await;
            assert_eq!(seen.head.lines().count(), 3, "{way:?}: {fields} left in\n{}", seen.head);
            for line in fields.lines() {
                let name = line.split(':').next().unwrap();
                assert_eq!(seen.header(name), None, "{way:?}: {name} left");
            }
        }
    }
}

#[tokio::test]
async fn d07_no_hop_by_hop_field_comes_back() {
    let mut world = World::new().await.forward().start().await;
    world.a.answer(
        "HTTP/1.1 200 OK\r\nConnection: X-Foo, X-Bar\r\nConnection: X-Baz\r\nX-Foo: 1\r\nX-Bar: 2\r\nX-Baz: 3\r\n\
         Keep-Alive: timeout=5\r\nProxy-Authenticate: Basic realm=x\r\nProxy-Connection: close\r\nUpgrade: h2c\r\n\
         Trailer: X-Sum\r\nTE: gzip\r\nX-Kept: yes\r\nContent-Length: 2\r\n\r\nok",
    );
    for way in ALL {
        world.way = way;
        let answer = world.send(world.ok("")).await;
        assert_eq!((answer.status, answer.header("x-kept")), (200, Some("yes")), "{way:?}");
        for gone in [
            "x-foo",
            "x-bar",
            "x-baz",
            "keep-alive",
            "proxy-authenticate",
            "proxy-connection",
            "upgrade",
            "trailer",
            "te",
            "connection",
        ] {
            assert_eq!(answer.header(gone), None, "{way:?}: {gone} came back");
        }
    }
}

#[tokio::test]
async fn d29_fields_of_another_leg_do_not_leave() {
    let mut world = World::new().await.forward().start().await;
    for name in ["Early-Data", "Alt-Used", "HTTP2-Settings", "http2_settings", "Early_Data", "Max-Forwards", "Via"] {
        for way in ALL {
            world.way = way;
            let seen = world.forwards(world.ok(&format!("{name}: 1\r\n")), name).await;
            assert_eq!(seen.header(name), None, "{way:?}: {name}");
        }
    }
}
