//! Where one frame ends and the next begins (RFC 9113 section 4.1).

/// What a connection begins with, from the client (RFC 9113 section 3.4).
const PREFACE: u32 = 24;
pub const HEADER: usize = 9;
/// What a header ends with.
const STREAM: usize = 4;

/// What a frame is, as far as its cost goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Data,
    Headers,
    Priority,
    Reset,
    Settings,
    PushPromise,
    Ping,
    GoAway,
    WindowUpdate,
    Continuation,
    /// Those that nobody knows.
    Other,
}

/// A frame's header, without the stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    pub kind: Kind,
    pub flags: u8,
    pub length: u32,
}

impl Head {
    pub fn acknowledges(self) -> bool {
        self.flags & 0x1 != 0
    }

    pub fn ends_stream(self) -> bool {
        self.flags & 0x1 != 0
    }

    pub fn ends_headers(self) -> bool {
        self.flags & 0x4 != 0
    }

    /// A piece of a body that has nothing and does not end it.
    pub fn is_empty_piece(self) -> bool {
        self.kind == Kind::Data && self.length == 0 && !self.ends_stream()
    }

    pub fn padded(self) -> bool {
        self.flags & 0x8 != 0
    }

    pub fn has_priority(self) -> bool {
        self.flags & 0x20 != 0
    }

    fn read(bytes: [u8; HEADER]) -> Head {
        let kind = match bytes[3] {
            0 => Kind::Data,
            1 => Kind::Headers,
            2 => Kind::Priority,
            3 => Kind::Reset,
            4 => Kind::Settings,
            5 => Kind::PushPromise,
            6 => Kind::Ping,
            7 => Kind::GoAway,
            8 => Kind::WindowUpdate,
            9 => Kind::Continuation,
            _ => Kind::Other,
        };
        Head { kind, flags: bytes[4], length: u32::from_be_bytes([0, bytes[0], bytes[1], bytes[2]]) }
    }
}

/// What comes next in a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part<'a> {
    Head(Head),
    /// More of the frame whose header was the last one, or of the preface.
    Payload(&'a [u8]),
}

/// Follows one direction of a connection and looks at the nine bytes before each payload, never into it.
#[derive(Debug)]
pub struct Outline {
    /// Bytes of the preface or of a payload still to come.
    skip: u32,
    header: [u8; HEADER],
    have: usize,
    within_data: bool,
}

impl Outline {
    /// What a client sends.
    pub fn of_client() -> Outline {
        Outline { skip: PREFACE, header: [0; HEADER], have: 0, within_data: false }
    }

    /// What a server sends.
    pub fn of_server() -> Outline {
        Outline { skip: 0, header: [0; HEADER], have: 0, within_data: false }
    }

    /// The next header that is complete, or payload; takes what it read off `bytes`, and `None` when nothing is left.
    pub fn next<'a>(&mut self, bytes: &mut &'a [u8]) -> Option<Part<'a>> {
        if self.skip > 0 && !bytes.is_empty() {
            let (payload, rest) = bytes.split_at(bytes.len().min(self.skip as usize));
            self.skip -= payload.len() as u32;
            *bytes = rest;
            return Some(Part::Payload(payload));
        }
        let taken = bytes.len().min(HEADER - self.have);
        self.header[self.have..self.have + taken].copy_from_slice(&bytes[..taken]);
        self.have += taken;
        *bytes = &bytes[taken..];
        if self.have < HEADER {
            return None;
        }
        self.have = 0;
        let head = Head::read(self.header);
        self.skip = head.length;
        self.within_data = head.kind == Kind::Data;
        Some(Part::Head(head))
    }

    /// A header that has begun and is known but for its stream, and how many of its bytes are there.
    pub fn begun(&self) -> Option<(Head, usize)> {
        (self.have >= HEADER - STREAM).then(|| (Head::read(self.header), self.have))
    }

    /// Whether the bytes so far end where a peer may rest: between two frames, or within a body.
    pub fn at_rest(&self) -> bool {
        self.have == 0 && (self.skip == 0 || self.within_data)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn heads(outline: &mut Outline, bytes: &[u8], size: usize) -> Vec<Head> {
        let mut found = Vec::new();
        for mut piece in bytes.chunks(size.max(1)) {
            while let Some(part) = outline.next(&mut piece) {
                if let Part::Head(head) = part {
                    found.push(head);
                }
            }
        }
        found
    }

    #[test]
    fn a_split_stream_has_the_same_frames() {
        let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
        bytes.extend_from_slice(&[0, 0, 0, 4, 0, 0, 0, 0, 0]);
        bytes.extend_from_slice(&[0, 0, 2, 1, 5, 0, 0, 0, 1, 0x82, 0x84]);
        bytes.extend_from_slice(&[0, 0, 8, 6, 1, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8]);
        for size in 1..bytes.len() {
            let mut outline = Outline::of_client();
            let found = heads(&mut outline, &bytes, size);
            let kinds: Vec<_> = found.iter().map(|head| (head.kind, head.flags, head.length)).collect();
            assert_eq!(kinds, [(Kind::Settings, 0, 0), (Kind::Headers, 5, 2), (Kind::Ping, 1, 8)], "pieces of {size}");
            assert!(outline.at_rest());
        }
    }

    #[test]
    fn a_header_says_kind_flags_and_length() {
        for (byte, kind) in [
            (0, Kind::Data),
            (1, Kind::Headers),
            (2, Kind::Priority),
            (3, Kind::Reset),
            (4, Kind::Settings),
            (5, Kind::PushPromise),
            (6, Kind::Ping),
            (7, Kind::GoAway),
            (8, Kind::WindowUpdate),
            (9, Kind::Continuation),
            (10, Kind::Other),
        ] {
            assert_eq!(Head::read([1, 2, 3, byte, 4, 0, 0, 0, 1]), Head { kind, flags: 4, length: 0x01_02_03 });
        }
        for flags in 0..=255_u8 {
            let head = Head { kind: Kind::Other, flags, length: 0 };
            let bits = [1, 1, 4, 8, 0x20].map(|bit| flags / bit % 2 == 1);
            let said =
                [head.acknowledges(), head.ends_stream(), head.ends_headers(), head.padded(), head.has_priority()];
            assert_eq!(said, bits, "{flags:08b}");
        }
    }

    #[test]
    fn rest_is_between_frames_or_within_a_body() {
        for (kind, taken, rests) in
            [(0, 9, true), (0, 12, true), (0, 4, false), (1, 9, false), (1, 12, false), (1, 14, true)]
        {
            let mut outline = Outline::of_server();
            let frame = [0, 0, 5, kind, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0];
            heads(&mut outline, &frame[..taken], taken);
            assert_eq!(outline.at_rest(), rests, "{taken} bytes of {kind}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_in_any_pieces_have_the_same_frames(bytes in proptest::collection::vec(any::<u8>(), 0..400), size in 1usize..40) {
            let whole = heads(&mut Outline::of_client(), &bytes, bytes.len());
            prop_assert_eq!(heads(&mut Outline::of_client(), &bytes, size), whole);
            heads(&mut Outline::of_server(), &bytes, size);
        }
    }
}
