//! G23: what old versions of TLS had and broke by, asked for at the endpoint that veilwarden shows in tunnels.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::world::World;
use crate::world::within;

/// What a ClientHello asks for.
struct Hello {
    version: [u8; 2],
    suites: &'static [u8],
    compression: &'static [u8],
}

const GOOD: Hello = Hello { version: [3, 3], suites: &[0xc0, 0x2b, 0xc0, 0x2f], compression: &[0] };
const HEARTBEAT: u16 = 15;

impl Hello {
    /// A record with it, for `a.test`, with a heartbeat offered and secure renegotiation known.
    fn bytes(&self) -> Vec<u8> {
        let extension = |kind: u16, data: &[u8]| [&kind.to_be_bytes(), &length16(data)[..]].concat();
        let extensions = [
            extension(0, &length16(&[&[0][..], &length16(b"a.test")].concat())),
            extension(10, &length16(&[0, 23])),
            extension(11, &[1, 0]),
            extension(13, &length16(&[4, 3, 8, 4, 2, 3])),
            extension(HEARTBEAT, &[1]),
            extension(0xff01, &[0]),
        ]
        .concat();
        let compression = [&[self.compression.len() as u8], self.compression].concat();
        let body =
            [&self.version[..], &[9; 32], &[0], &length16(self.suites), &compression, &length16(&extensions)].concat();
        let message = [&[1, 0][..], &length16(&body)].concat();
        [&[22, 3, 1][..], &length16(&message)].concat()
    }
}

/// With its length in two bytes before it.
fn length16(bytes: &[u8]) -> Vec<u8> {
    [&u16::try_from(bytes.len()).unwrap().to_be_bytes(), bytes].concat()
}

/// The first record that comes back: its type and content.
async fn first_record(stream: &mut TcpStream) -> (u8, Vec<u8>) {
    let mut head = [0; 5];
    within("a record", stream.read_exact(&mut head)).await.unwrap();
    let mut content = vec![0; u16::from_be_bytes([head[3], head[4]]).into()];
    within("its content", stream.read_exact(&mut content)).await.unwrap();
    (head[0], content)
}

#[tokio::test]
async fn g23_no_compression_no_heartbeat_and_nothing_old() {
    let world = World::new().await.forward().start().await;
    // Compression is offered, and not taken.
    let mut stream = world.opened("a.test:80").await;
    stream.write_all(&Hello { compression: &[1, 0], ..GOOD }.bytes()).await.unwrap();
    let (kind, content) = first_record(&mut stream).await;
    assert_eq!((kind, content[0]), (22, 2), "a ServerHello: {content:?}");
    let end = 4 + usize::from(content[3]) + (usize::from(content[2]) << 8);
    let session = 38 + 1 + usize::from(content[38]);
    assert_eq!(content[4..6], [3, 3], "the version");
    assert_eq!(content[session + 2], 0, "the compression method");
    let mut extensions = &content[session + 5..end];
    while let [a, b, high, low, rest @ ..] = extensions {
        assert_ne!(u16::from_be_bytes([*a, *b]), HEARTBEAT);
        extensions = &rest[usize::from(u16::from_be_bytes([*high, *low]))..];
    }
    // A heartbeat that claims to be longer than it is (CVE-2014-0160) is no message at all.
    stream.write_all(&[24, 3, 3, 0, 3, 1, 0x40, 0]).await.unwrap();
    let mut rest = Vec::new();
    let _ = within("the end", stream.read_to_end(&mut rest)).await;
    assert!(rest.windows(3).all(|bytes| bytes != [24, 3, 3]), "a heartbeat was answered");

    for (hello, what) in [
        (Hello { version: [3, 2], ..GOOD }, "g23 TLS 1.1"),
        (Hello { version: [3, 1], ..GOOD }, "g23 TLS 1.0"),
        (Hello { version: [3, 0], ..GOOD }, "g23 SSL 3.0"),
        (Hello { compression: &[1], ..GOOD }, "g23 compression alone"),
        (Hello { suites: &[0x00, 0x05, 0xc0, 0x11], ..GOOD }, "g23 RC4"),
        (Hello { suites: &[0xc0, 0x09, 0xc0, 0x0a, 0x00, 0x2f], ..GOOD }, "g23 CBC"),
        (Hello { suites: &[0x00, 0x03, 0x00, 0x08], ..GOOD }, "g23 export ciphers"),
        (Hello { suites: &[0x00, 0x3a, 0x00, 0x1b, 0xc0, 0x18], ..GOOD }, "g23 no authentication"),
    ] {
        let mut stream = world.opened("a.test:80").await;
        stream.write_all(&hello.bytes()).await.unwrap();
        let (kind, content) = first_record(&mut stream).await;
        assert_eq!((kind, content[0]), (21, 2), "{what}: a fatal alert: {content:?}");
    }
    world.assert_nothing_sent("g23");
}
