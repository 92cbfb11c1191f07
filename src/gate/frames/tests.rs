//! HTTP/2 under its watch, with a clock that stands still until it is moved.

use tokio::io::{AsyncReadExt, AsyncWriteExt, BufWriter, DuplexStream, duplex};

use super::super::tests::writing::Plain;
use super::*;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const SETTINGS: [u8; 9] = [0, 0, 0, 4, 0, 0, 0, 0, 0];
const LIMIT: Duration = Duration::from_secs(10);

fn frames() -> (DuplexStream, Frames<DuplexStream>) {
    let (peer, io) = duplex(1 << 20);
    (peer, Frames::new(io, Limits::default()))
}

/// A frame of zeros.
fn frame(kind: u8, flags: u8, length: usize) -> Vec<u8> {
    let [_, high, middle, low] = u32::try_from(length).unwrap().to_be_bytes();
    [&[high, middle, low, kind, flags, 0, 0, 0, 1][..], &vec![0; length]].concat()
}

/// Reads until nothing more comes: how many bytes, and how long after the last of them it ended for the silence.
async fn silence(frames: &mut Frames<DuplexStream>) -> (usize, Option<Duration>) {
    let (mut read, mut last, mut buffer) = (0, Instant::now(), vec![0; 4096]);
    loop {
        match tokio::time::timeout(LIMIT * 100, frames.read(&mut buffer)).await {
            Ok(Ok(n)) => (read, last) = (read + n, Instant::now()),
            Ok(Err(error)) => {
                assert_eq!(error.kind(), io::ErrorKind::TimedOut);
                return (read, Some(last.elapsed()));
            }
            Err(_) => return (read, None),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn k01_a_peer_that_does_not_finish_what_it_began_is_given_up() {
    let greeting = [PREFACE, &SETTINGS].concat();
    for (bytes, ends) in [
        (vec![], true),
        (PREFACE.to_vec(), true),
        (greeting.clone(), false),
        (greeting[..30].to_vec(), true),
        ([&greeting[..], &frame(6, 0, 8)[..5]].concat(), true),
        ([&greeting[..], &frame(6, 0, 8)[..12]].concat(), true),
        ([&greeting[..], &frame(6, 0, 8)].concat(), false),
        // The body's reader has a limit of its own.
        ([&greeting[..], &frame(0, 0, 100)[..50]].concat(), false),
        ([&greeting[..], &frame(1, 4, 20)].concat(), false),
        ([&greeting[..], &frame(1, 0, 20)].concat(), true),
        ([&greeting[..], &frame(1, 0, 20), &frame(9, 0, 20)].concat(), true),
        ([&greeting[..], &frame(1, 0, 20), &frame(9, 4, 20)].concat(), false),
        ([&greeting[..], &frame(9, 0, 20)].concat(), false),
    ] {
        let (mut peer, mut frames) = frames();
        peer.write_all(&bytes).await.unwrap();
        assert_eq!(silence(&mut frames).await, (bytes.len(), ends.then_some(LIMIT)), "{bytes:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn k01_bytes_that_trickle_in_do_not_move_the_limit() {
    let begun = [PREFACE, &SETTINGS, &frame(1, 0, 20)].concat();
    let within = [PREFACE, &SETTINGS, &frame(7, 0, 100)[..20]].concat();
    for (first, more) in [(begun, frame(9, 0, 1)), (PREFACE.to_vec(), vec![0]), (within, vec![0])] {
        let (mut peer, mut frames) = frames();
        peer.write_all(&first).await.unwrap();
        let began = Instant::now();
        let trickle = tokio::spawn(async move {
            for _ in 0..8 {
                tokio::time::sleep(LIMIT / 8).await;
                peer.write_all(&more).await.unwrap();
            }
            std::future::pending::<()>().await;
        });
        silence(&mut frames).await;
        assert_eq!(began.elapsed(), LIMIT, "{first:?}");
        trickle.abort();
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_begun_later_has_the_whole_limit() {
    let (mut peer, mut frames) = frames();
    peer.write_all(&[PREFACE, &SETTINGS, &frame(6, 0, 8)[..5]].concat()).await.unwrap();
    let patient = tokio::time::timeout(LIMIT / 2, silence(&mut frames)).await;
    assert!(patient.is_err(), "{patient:?}");
    peer.write_all(&[&frame(6, 0, 8)[5..], &frame(6, 0, 8)[..5]].concat()).await.unwrap();
    assert_eq!(silence(&mut frames).await, (17, Some(LIMIT)));
}

#[tokio::test(start_paused = true)]
async fn bytes_read_before_come_first_whatever_the_readers_size() {
    let bytes = [PREFACE, &SETTINGS, &frame(6, 0, 8)].concat();
    for size in [1, 7, 4096] {
        let (mut peer, io) = duplex(1 << 10);
        peer.write_all(&bytes[20..]).await.unwrap();
        let mut frames = Frames::begun(io, BytesMut::from(&bytes[..20]), Limits::default());
        let mut read = Vec::new();
        while read.len() < bytes.len() {
            let mut piece = vec![0; size];
            let n = frames.read(&mut piece).await.unwrap();
            read.extend_from_slice(&piece[..n]);
        }
        assert_eq!(read, bytes);
        assert_eq!(silence(&mut frames).await, (0, None), "they were followed");
    }
}

#[tokio::test(start_paused = true)]
async fn e18_a_flood_ends_the_connection_and_what_has_gone_out_pays_for_frames() {
    let answers = frame(1, 4, 20).repeat(10);
    for vectored in [false, true] {
        let (mut peer, io) = duplex(answers.len() / 2);
        let mut frames = Frames::new(io, Limits::default());
        peer.write_all(PREFACE).await.unwrap();
        frames.read_exact(&mut [0; PREFACE.len()]).await.unwrap();
        for _ in 0..500 {
            peer.write_all(&frame(6, 0, 8).repeat(8)).await.unwrap();
            frames.read_exact(&mut [0; 8 * 17]).await.unwrap();
        }
        let n = if vectored {
            let (first, second) = answers.split_at(answers.len() / 3);
            frames.write_vectored(&[io::IoSlice::new(first), io::IoSlice::new(second)]).await.unwrap()
        } else {
            frames.write(&answers).await.unwrap()
        };
        assert_eq!(n, answers.len() / 2);
        // Five answers have gone out; each pays for four.
        for ping in 0..20 {
            peer.write_all(&frame(6, 0, 8)).await.unwrap();
            assert!(frames.read_exact(&mut [0; 17]).await.is_ok(), "{ping} {vectored}");
        }
        peer.write_all(&frame(6, 0, 8)).await.unwrap();
        assert!(frames.read_exact(&mut [0; 17]).await.is_err(), "{vectored}");
    }
}

#[tokio::test(start_paused = true)]
async fn e16_a_head_with_twice_the_fields_passes_and_one_more_is_not_decoded() {
    let limits = Limits::default();
    let most = PSEUDO_FIELDS + 2 * limits.max_headers;
    for (fields, passes) in [(most, true), (most + 1, false)] {
        let (first, rest) = (frame(1, 0, 0), [0x82].repeat(fields));
        let heads = rest.chunks(100).fold(first, |bytes, piece| {
            let mut continuation = frame(9, 0, piece.len());
            let header = continuation.len() - piece.len();
            continuation.splice(header.., piece.iter().copied());
            [bytes, continuation].concat()
        });
        let (mut peer, mut frames) = frames();
        // Each block counts anew.
        peer.write_all(&[PREFACE, &SETTINGS, &frame(1, 4, most), &heads].concat()).await.unwrap();
        let mut all = vec![0; PREFACE.len() + SETTINGS.len() + 9 + most + heads.len()];
        assert_eq!(frames.read_exact(&mut all).await.is_ok(), passes, "{fields}");
    }
}

#[tokio::test(start_paused = true)]
async fn e19_behind_a_call_that_waits_nothing_is_handed_on_until_there_is_room() {
    let calls = [PREFACE, &SETTINGS, &frame(1, 4, 20).repeat(20), &frame(6, 0, 8)].concat();
    for size in [1, 40, 4096] {
        let (mut peer, mut frames) = frames();
        let handle = frames.handle();
        peer.write_all(&calls).await.unwrap();
        let (mut read, mut going) = (0, Vec::new());
        let mut reads = async |frames: &mut Frames<DuplexStream>| {
            let mut piece = vec![0; size];
            // Sooner than calls that are let in have to begin.
            while let Ok(n) = tokio::time::timeout(LIMIT / 1000, frames.read(&mut piece)).await {
                let n = n.unwrap();
                assert_eq!(piece[..n], calls[read..read + n]);
                read += n;
            }
            read
        };
        for _ in 0..8 {
            going.push(handle.busy());
        }
        // The ninth waits behind its header.
        let (call, before) = (9 + 20, PREFACE.len() + SETTINGS.len());
        assert_eq!(reads(&mut frames).await, before + 9, "{size}");
        going.truncate(6);
        assert_eq!(reads(&mut frames).await, before + 2 * call + 9, "{size}");
        handle.vouch();
        assert_eq!(reads(&mut frames).await, calls.len(), "{size}");
    }
}

#[tokio::test(start_paused = true)]
async fn k03_a_peer_that_takes_nothing_is_given_up() {
    let (_peer, io) = duplex(16);
    let mut frames = Frames::new(io, Limits::default());
    let start = Instant::now();
    let error = frames.write_all(&[0; 64]).await.unwrap_err();
    assert_eq!((error.kind(), start.elapsed()), (io::ErrorKind::TimedOut, Limits::default().idle_timeout));
}

#[tokio::test(start_paused = true)]
async fn writes_reach_the_connection_as_they_are() {
    let (mut peer, io) = duplex(64);
    let mut frames = Frames::new(BufWriter::new(io), Limits::default());
    assert!(frames.is_write_vectored());
    frames.write_all(&SETTINGS).await.unwrap();
    frames.flush().await.unwrap();
    let mut sent = [0; SETTINGS.len()];
    tokio::time::timeout(LIMIT, peer.read_exact(&mut sent)).await.unwrap().unwrap();
    assert_eq!(sent, SETTINGS);
    frames.shutdown().await.unwrap();
    assert_eq!(tokio::time::timeout(LIMIT, peer.read(&mut sent)).await.unwrap().unwrap(), 0);
    assert!(!Frames::new(Plain(peer), Limits::default()).is_write_vectored());
}
