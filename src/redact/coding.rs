//! Answers that come compressed although they were not asked for so (RFC 9110 section 8.4).

use std::io::{self, Write};
use std::task::{Context, Poll};

use bytes::{Buf, Bytes};
use flate2::write::{DeflateDecoder, MultiGzDecoder, ZlibDecoder};
use http::HeaderValue;
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, ETAG, HeaderMap, HeaderName};

/// Taken at once. What these become is bounded too: deflate makes at most 1032 bytes of one.
const BITE: usize = 64;
/// As soon as so much is decoded, it is passed on before more is.
const PIECE: usize = 16 << 10;

/// Once so much has been taken, others have their turn. What becomes nothing would keep a thread for as long as it comes.
pub(super) const TURN: usize = 16 << 10;

/// So much of a coding that cannot be read is logged, in bytes.
const SHOWN: usize = 32;

/// What is said of the coded form and not of what is in it.
const OF_THE_CODED_FORM: [HeaderName; 6] = [
    CONTENT_ENCODING,
    CONTENT_LENGTH,
    HeaderName::from_static("content-md5"),
    HeaderName::from_static("digest"),
    HeaderName::from_static("content-digest"),
    HeaderName::from_static("repr-digest"),
];

/// A coding in which nothing can be found, because we cannot read it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}, although it was asked for as identity")]
pub struct Unreadable(String);

impl Unreadable {
    pub(super) fn new(what: &str) -> Unreadable {
        Unreadable(what.to_owned())
    }
}

/// A coding that can be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Coding {
    Gzip,
    Deflate,
}

impl Coding {
    /// The coding of an answer. `Ok(None)`: there is none.
    pub(super) fn of(headers: &HeaderMap) -> Result<Option<Coding>, Unreadable> {
        let lines = headers.get_all(CONTENT_ENCODING).iter();
        let words = lines.flat_map(|line| line.as_bytes().split(|byte| *byte == b',').map(<[u8]>::trim_ascii));
        let mut words = words.filter(|word| !word.is_empty() && !word.eq_ignore_ascii_case(b"identity"));
        let Some(word) = words.next() else { return Ok(None) };
        match (word.to_ascii_lowercase().as_slice(), words.next()) {
            (b"gzip" | b"x-gzip", None) => Ok(Some(Coding::Gzip)),
            (b"deflate", None) => Ok(Some(Coding::Deflate)),
            _ => Err(Unreadable(format!("Content-Encoding {}", word[..word.len().min(SHOWN)].escape_ascii()))),
        }
    }
}

/// Makes a head that of the decoded form: that has another length and other bytes, so a strong `ETag` would lie.
pub(super) fn describe_decoded(headers: &mut HeaderMap) {
    for name in &OF_THE_CODED_FORM {
        headers.remove(name);
    }
    if let Some(tag) = headers.get(ETAG).filter(|tag| tag.as_bytes().starts_with(b"\"")) {
        match HeaderValue::from_bytes(&[b"W/", tag.as_bytes()].concat()) {
            Ok(weak) => headers.insert(ETAG, weak),
            Err(_) => headers.remove(ETAG),
        };
    }
}

/// Decodes a body while it comes, a little at a time, so that a small body that becomes a huge one does so no faster than
/// it is taken.
#[derive(Debug)]
pub(super) struct Decoder {
    state: State,
    coded: Bytes,
    /// So much has been taken in this turn.
    taken: usize,
}

#[derive(Debug)]
enum State {
    /// Nothing has come yet. An empty body is one in any coding.
    New(Coding),
    Gzip(Box<MultiGzDecoder<Vec<u8>>>),
    Zlib(Box<ZlibDecoder<Vec<u8>>>),
    /// What `deflate` should not mean, and some servers mean by it.
    Deflate(Box<DeflateDecoder<Vec<u8>>>),
}

impl State {
    /// `first`: the first byte.
    fn begin(coding: Coding, first: u8) -> State {
        let out = Vec::new();
        match coding {
            Coding::Gzip => State::Gzip(Box::new(MultiGzDecoder::new(out))),
            // RFC 1950 section 2.2: method 8 in the lower half, a window of at most 32 KiB in the upper.
            Coding::Deflate if first & 0x8f == 8 => State::Zlib(Box::new(ZlibDecoder::new(out))),
            Coding::Deflate => State::Deflate(Box::new(DeflateDecoder::new(out))),
        }
    }
}

impl Decoder {
    pub(super) fn new(coding: Coding) -> Decoder {
        Decoder { state: State::New(coding), coded: Bytes::new(), taken: 0 }
    }

    /// Takes the next piece, once `poll_decode` has used up the last one.
    pub(super) fn feed(&mut self, coded: Bytes) {
        if let (State::New(coding), Some(first)) = (&self.state, coded.first()) {
            self.state = State::begin(*coding, *first);
        }
        self.coded = coded;
    }

    /// The next piece of decoded text. `Ok(None)`: all that was fed is used up. Pending: the turn is over; the task is woken
    /// at once.
    pub(super) fn poll_decode(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Option<Bytes>>> {
        while !self.coded.is_empty() {
            if self.taken >= TURN {
                self.taken = 0;
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            let before = self.coded.len();
            let (coded, most) = (&mut self.coded, TURN - self.taken);
            let decoded = match &mut self.state {
                State::New(_) => return Poll::Ready(Ok(None)),
                State::Gzip(decoder) => bite(coded, most, decoder, |decoder| decoder.get_mut()),
                State::Zlib(decoder) => bite(coded, most, decoder, |decoder| decoder.get_mut()),
                State::Deflate(decoder) => bite(coded, most, decoder, |decoder| decoder.get_mut()),
            }?;
            self.taken += before - self.coded.len();
            if !decoded.is_empty() {
                return Poll::Ready(Ok(Some(decoded)));
            }
        }
        Poll::Ready(Ok(None))
    }

    /// Whether the coded form has ended where the body has. Nothing is fed or decoded any more.
    pub(super) fn finish(&mut self) -> io::Result<()> {
        match &mut self.state {
            State::New(_) => Ok(()),
            State::Gzip(decoder) => decoder.try_finish(),
            State::Zlib(decoder) => decoder.try_finish(),
            State::Deflate(decoder) => decoder.try_finish(),
        }
    }
}

/// Decodes `most` bytes, or fewer when they become a piece.
fn bite<D: Write>(
    coded: &mut Bytes,
    most: usize,
    decoder: &mut D,
    out: fn(&mut D) -> &mut Vec<u8>,
) -> io::Result<Bytes> {
    let rest = coded.len().saturating_sub(most);
    while coded.len() > rest && out(decoder).len() < PIECE {
        let taken = decoder.write(&coded[..BITE.min(coded.len() - rest)])?;
        if taken == 0 {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "bytes behind the end"));
        }
        coded.advance(taken);
        decoder.flush()?;
    }
    Ok(std::mem::take(out(decoder)).into())
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use flate2::Compression;
    use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};

    use super::*;

    fn headers(fields: &[(&'static str, &'static str)]) -> HeaderMap {
        fields.iter().map(|(n, v)| (HeaderName::from_static(n), HeaderValue::from_static(v))).collect()
    }

    fn encoded(text: &[u8]) -> [(Coding, Vec<u8>); 3] {
        let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
        let mut zlib = ZlibEncoder::new(Vec::new(), Compression::default());
        let mut deflate = DeflateEncoder::new(Vec::new(), Compression::default());
        gzip.write_all(text).unwrap();
        zlib.write_all(text).unwrap();
        deflate.write_all(text).unwrap();
        [
            (Coding::Gzip, gzip.finish().unwrap()),
            (Coding::Deflate, zlib.finish().unwrap()),
            (Coding::Deflate, deflate.finish().unwrap()),
        ]
    }

    /// All of a body that comes in such pieces, and the longest piece of what it becomes.
    fn decoded(coding: Coding, coded: &[u8], pieces: usize) -> io::Result<(Vec<u8>, usize)> {
        let (mut decoder, mut text, mut longest) = (Decoder::new(coding), Vec::new(), 0);
        for piece in coded.chunks(pieces) {
            decoder.feed(Bytes::copy_from_slice(piece));
            loop {
                match decoder.poll_decode(&mut Context::from_waker(Waker::noop())) {
                    Poll::Pending => {}
                    Poll::Ready(Ok(None)) => break,
                    Poll::Ready(piece) => {
                        let piece = piece?.unwrap_or_default();
                        longest = longest.max(piece.len());
                        text.extend_from_slice(&piece);
                    }
                }
            }
        }
        decoder.finish().map(|()| (text, longest))
    }

    #[test]
    fn f28_what_was_coded_is_decoded_in_pieces_of_any_size() {
        let text: Vec<u8> = (0..100_000_u32).flat_map(|n| (n % 977).to_string().into_bytes()).collect();
        for (coding, coded) in encoded(&text) {
            for pieces in [1, 7, 1000, usize::MAX] {
                assert_eq!(decoded(coding, &coded, pieces).unwrap().0, text, "{coding:?} {pieces}");
            }
            assert!(decoded(coding, &coded[..coded.len() - 1], 100).is_err(), "{coding:?}: cut short");
            assert!(decoded(coding, &[&coded[..], b"tail"].concat(), 100).is_err(), "{coding:?}: with a tail");
            assert!(decoded(coding, b"x is nothing of the kind", 100).is_err(), "{coding:?}: noise");
            assert_eq!(decoded(coding, b"", 1).unwrap().0, b"", "{coding:?}: an empty body");
        }
        let [(_, one), ..] = encoded(b"one, ");
        let [(_, two), ..] = encoded(b"two");
        assert_eq!(decoded(Coding::Gzip, &[one, two].concat(), 3).unwrap().0, b"one, two");
    }

    #[test]
    fn f28_a_bomb_goes_off_slowly() {
        for (coding, coded) in encoded(&vec![0; 20 << 20]) {
            let (text, longest) = decoded(coding, &coded, usize::MAX).unwrap();
            assert_eq!(text.len(), 20 << 20);
            assert!(longest <= PIECE + BITE * 1032 + (32 << 10), "{coding:?}: {longest} bytes at once");
        }
    }

    #[test]
    fn f28_only_a_coding_that_can_be_read_is() {
        for (lines, coding) in [
            (&[][..], None),
            (&[("content-encoding", "identity")], None),
            (&[("content-encoding", "")], None),
            (&[("content-encoding", "GZip")], Some(Coding::Gzip)),
            (&[("content-encoding", "x-gzip, identity")], Some(Coding::Gzip)),
            (&[("content-encoding", "deflate")], Some(Coding::Deflate)),
        ] {
            assert_eq!(Coding::of(&headers(lines)), Ok(coding), "{lines:?}");
        }
        for value in ["br", "zstd", "gzip, gzip", "gzip, br", "aes128gcm", "gzip;q=1"] {
            assert!(Coding::of(&headers(&[("content-encoding", value)])).is_err(), "{value}");
        }
    }

    #[test]
    fn f28_a_long_coding_is_shown_in_part_and_as_it_came() {
        let long = HeaderMap::from_iter([(CONTENT_ENCODING, HeaderValue::from_bytes(&[0xff; 60_000]).unwrap())]);
        let shown = format!("Content-Encoding {}, although it was asked for as identity", "\\xff".repeat(SHOWN));
        assert_eq!(Coding::of(&long).unwrap_err().to_string(), shown);
        let odd = Coding::of(&headers(&[("content-encoding", "Br-X")])).unwrap_err();
        assert!(odd.to_string().starts_with("Content-Encoding Br-X, "), "{odd}");
    }

    #[test]
    fn f28_a_decoded_answer_says_nothing_of_its_coded_form() {
        let mut map =
            headers(&[("content-encoding", "gzip"), ("content-length", "9"), ("etag", "\"a\""), ("age", "1")]);
        describe_decoded(&mut map);
        assert_eq!(map, headers(&[("etag", "W/\"a\""), ("age", "1")]));
        describe_decoded(&mut map);
        assert_eq!(map["etag"], "W/\"a\"");
    }
}
