//! How many fields a head has, counted as it passes (RFC 7541 section 6).
//!
//! The HTTP/2 library puts every field that it decodes into a map first, and anyone can make up names that collide there: each
//! then costs as much as all before it together. To count them, nothing has to be decoded.

use super::outline::{Head, Kind};

/// Before the fields of a HEADERS frame with a priority, and of a PUSH_PROMISE frame (RFC 9113 sections 6.2 and 6.6).
const PRIORITY: usize = 5;
const PROMISED: usize = 4;

/// Follows the header blocks of one direction.
#[derive(Debug)]
pub struct Fields {
    /// Those of the block that began last.
    count: usize,
    at: At,
    /// Bytes of this frame that come before its part of the block, and those of that part.
    before: usize,
    left: usize,
    /// The length of the padding comes next.
    padded: bool,
}

/// Where in a block. `strings`: so many follow before the next field.
#[derive(Debug, Clone, Copy)]
enum At {
    Field,
    Index { strings: u8 },
    Length { strings: u8 },
    LongLength { so_far: usize, shift: u32, strings: u8 },
    Text { left: usize, strings: u8 },
}

impl Fields {
    pub fn new() -> Fields {
        Fields { count: 0, at: At::Field, before: 0, left: 0, padded: false }
    }

    /// A frame begins.
    pub fn begin(&mut self, frame: Head) {
        let before = match frame.kind {
            Kind::Headers if frame.has_priority() => PRIORITY,
            Kind::PushPromise => PROMISED,
            _ => 0,
        };
        match frame.kind {
            Kind::Headers | Kind::PushPromise => *self = Fields { padded: frame.padded(), ..Fields::new() },
            Kind::Continuation => {}
            _ => {
                self.left = 0;
                return;
            }
        }
        self.before = before;
        self.left = (frame.length as usize).saturating_sub(before);
    }

    /// Reads more of the frame's payload. Comes back with how many fields the block has so far.
    pub fn read(&mut self, payload: &[u8]) -> usize {
        let mut block = self.block(payload);
        while let [byte, rest @ ..] = block {
            block = match self.at {
                At::Text { left, strings } => {
                    let n = left.min(block.len());
                    self.at = At::text(left - n, strings);
                    &block[n..]
                }
                at => {
                    self.step(at, *byte);
                    rest
                }
            };
        }
        self.count
    }

    /// The part of a payload that belongs to the block.
    fn block<'a>(&mut self, mut payload: &'a [u8]) -> &'a [u8] {
        if let [padding, rest @ ..] = payload
            && self.padded
        {
            self.padded = false;
            self.left = self.left.saturating_sub(1 + usize::from(*padding));
            payload = rest;
        }
        let before = payload.len().min(self.before);
        self.before -= before;
        let block = &payload[before..];
        let block = &block[..block.len().min(self.left)];
        self.left -= block.len();
        block
    }

    fn step(&mut self, at: At, byte: u8) {
        self.at = match at {
            At::Field => self.representation(byte),
            At::Index { strings } if byte & 0x80 != 0 => At::Index { strings },
            At::Index { strings } => At::strings(strings),
            At::Length { strings } if byte & 0x7f == 0x7f => At::LongLength { so_far: 0x7f, shift: 0, strings },
            At::Length { strings } => At::text(usize::from(byte & 0x7f), strings - 1),
            At::LongLength { so_far, shift, strings } => {
                // The library takes no integer of more than five bytes.
                let more = usize::from(byte & 0x7f).checked_shl(shift).unwrap_or(usize::MAX);
                let so_far = so_far.saturating_add(more);
                if byte & 0x80 != 0 {
                    At::LongLength { so_far, shift: shift.saturating_add(7), strings }
                } else {
                    At::text(so_far, strings - 1)
                }
            }
            At::Text { .. } => at,
        };
    }

    /// What follows the first byte of a field, or of a change of the table's size.
    fn representation(&mut self, byte: u8) -> At {
        let (index, literal) = match byte {
            0x80.. => (0x7f, false),
            0x40.. => (0x3f, true),
            0x20.. => (0x1f, false),
            _ => (0x0f, true),
        };
        self.count += usize::from(!(0x20..0x40).contains(&byte));
        let strings = match byte & index {
            _ if !literal => 0,
            0 => 2,
            _ => 1,
        };
        if byte & index == index { At::Index { strings } } else { At::strings(strings) }
    }
}

impl At {
    fn strings(strings: u8) -> At {
        if strings > 0 { At::Length { strings } } else { At::Field }
    }

    /// `strings`: those behind this one.
    fn text(left: usize, strings: u8) -> At {
        if left > 0 { At::Text { left, strings } } else { At::strings(strings) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn integer(bits: u32, first: u8, n: usize) -> Vec<u8> {
        let most = (1 << bits) - 1;
        if n < most {
            return vec![first | u8::try_from(n).unwrap()];
        }
        let (mut bytes, mut rest) = (vec![first | u8::try_from(most).unwrap()], n - most);
        while rest >= 0x80 {
            bytes.push(u8::try_from(rest % 0x80).unwrap() | 0x80);
            rest /= 0x80;
        }
        bytes.push(u8::try_from(rest).unwrap());
        bytes
    }

    fn text(huffman: bool, length: usize) -> Vec<u8> {
        [integer(7, if huffman { 0x80 } else { 0 }, length), vec![0x82; length]].concat()
    }

    /// One field, or with kind 4 a change of the table's size.
    fn representation(kind: u8, index: usize, name: usize, value: usize) -> Vec<u8> {
        let (bits, first) = [(7, 0x80), (6, 0x40), (4, 0x10), (4, 0), (5, 0x20)][usize::from(kind)];
        let mut bytes = integer(bits, first, index);
        if (1..4).contains(&kind) {
            if index == 0 {
                bytes.extend(text(name % 2 == 1, name));
            }
            bytes.extend(text(value % 2 == 1, value));
        }
        bytes
    }

    fn count(fields: &mut Fields, kind: Kind, flags: u8, payload: &[u8], pieces: usize) -> usize {
        fields.begin(Head { kind, flags, length: u32::try_from(payload.len()).unwrap() });
        payload.chunks(pieces.max(1)).fold(0, |_, piece| fields.read(piece))
    }

    #[test]
    fn e16_neither_padding_nor_what_comes_before_a_block_is_a_field() {
        let block = [0x82; 7];
        for (kind, flags, payload) in [
            (Kind::Headers, 0, block.to_vec()),
            (Kind::Headers, 0x20, [&[0x82; PRIORITY][..], &block].concat()),
            (Kind::Headers, 0x8, [&[3][..], &block, &[0x82; 3]].concat()),
            (Kind::Headers, 0x28, [&[3][..], &[0x82; PRIORITY], &block, &[0x82; 3]].concat()),
            (Kind::PushPromise, 0, [&[0x82; PROMISED][..], &block].concat()),
            (Kind::PushPromise, 0x8, [&[200][..], &[0x82; PROMISED], &block, &[0x82; 200]].concat()),
        ] {
            for pieces in [1, 2, 500] {
                let mut fields = Fields::new();
                assert_eq!(count(&mut fields, kind, flags, &payload, pieces), 7, "{kind:?} {flags}");
                assert_eq!(count(&mut fields, Kind::Continuation, 0x28, &block, pieces), 14, "{kind:?} {flags}");
                assert_eq!(count(&mut fields, Kind::Data, 0, &block, pieces), 14, "the last block's");
                assert_eq!(count(&mut fields, Kind::Headers, 0, &block, pieces), 7, "a new block");
            }
        }
        assert_eq!(Fields::new().read(&block), 0, "no frame has begun");
        assert_eq!(count(&mut Fields::new(), Kind::Headers, 0x8, &[9, 0x82, 0x82], 9), 0, "all of it is padding");
    }

    proptest! {
        #[test]
        fn e16_a_split_block_has_the_same_number_of_fields(
            // A name of its own, with index 0, is what most fields have.
            list in proptest::collection::vec((0u8..5, prop_oneof![Just(0), 0usize..300], 0usize..300, 0usize..300), 0..20),
            cut in any::<prop::sample::Index>(),
            pieces in 1usize..40,
        ) {
            let block: Vec<u8> = list.iter().flat_map(|(kind, index, name, value)| representation(*kind, *index, *name, *value)).collect();
            let expected = list.iter().filter(|field| field.0 < 4).count();
            let (first, second) = block.split_at(cut.index(block.len() + 1));
            let mut fields = Fields::new();
            let whole = count(&mut fields, Kind::Headers, 0, first, pieces).max(count(&mut fields, Kind::Continuation, 4, second, pieces));
            prop_assert_eq!(whole, expected);
        }

        #[test]
        fn e16_any_bytes_are_counted_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400), flags in any::<u8>()) {
            prop_assert!(count(&mut Fields::new(), Kind::Headers, flags, &bytes, 7) <= bytes.len());
        }
    }
}
