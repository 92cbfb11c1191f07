//! A WebSocket, from its call to its end. Both sides' bytes follow from the plan, so nobody has to read a frame.

use proptest::prelude::RngExt;
use proptest::test_runner::TestRng;

use super::{Fault, Plan, marked, masked, pick};

/// The key of RFC 6455 section 1.3, and what accepts it.
pub const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
pub const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

const BINARY: u8 = 0x82;
const CLOSE: u8 = 0x88;
/// A frame that says it is compressed, which nobody has agreed upon.
const UNREADABLE: [u8; 4] = [0xc2, 2, 0x4b, 0x04];

/// What is called for and what comes of it.
#[derive(Debug, Clone, Copy)]
pub struct Socket {
    /// The upstream opens it; else it gives an ordinary answer.
    pub opens: bool,
    /// The caller says so much, and gets each back.
    pub messages: usize,
    pub length: usize,
    /// The caller's first message comes right behind its call.
    pub hasty: bool,
    /// The upstream's greeting has the secret in it.
    pub reflects: bool,
}

impl Socket {
    pub fn throw(dice: &mut TestRng) -> Socket {
        let most = pick(dice, &[(10, 126), (10, 2_000), (2, 70_000)]);
        Socket {
            opens: dice.random_ratio(5, 6),
            messages: dice.random_range(1..6),
            length: dice.random_range(1..most),
            hasty: dice.random_ratio(1, 4),
            reflects: dice.random_ratio(1, 4),
        }
    }

    /// What the caller says, frame by frame: its messages, and that it closes.
    pub fn up(&self, number: u64) -> Vec<Vec<u8>> {
        let mask = (number as u32).to_be_bytes();
        let messages = (0..self.messages).map(|at| frame(BINARY, &self.message(number, at), Some(mask)));
        messages.chain([frame(CLOSE, &1000_u16.to_be_bytes(), Some(mask))]).collect()
    }

    /// What the upstream says: a greeting, and a frame for each of the caller's. To the caller the secret is masked.
    pub fn down(&self, plan: &Plan, secret: &str) -> Vec<Vec<u8>> {
        let reflected = if self.reflects { secret } else { "" };
        let greeting = frame(BINARY, format!("{reflected} {}", plan.number).as_bytes(), None);
        let back = (0..self.messages).map(|at| frame(BINARY, &self.message(plan.number, at), None));
        let last = match plan.fault {
            Some(Fault::CloseAfter) => Vec::new(),
            Some(Fault::Longer) => UNREADABLE.to_vec(),
            _ => frame(CLOSE, &1000_u16.to_be_bytes(), None),
        };
        [greeting].into_iter().chain(back).chain([last]).collect()
    }

    /// All that the caller hears.
    pub fn heard(&self, plan: &Plan) -> Vec<u8> {
        self.down(plan, &masked(&plan.secret())).concat()
    }

    fn message(&self, number: u64, at: usize) -> Vec<u8> {
        marked(&format!("{number:08}.{at}|"), self.length)
    }
}

/// RFC 6455 section 5.2, a whole message in one frame.
fn frame(kind: u8, payload: &[u8], mask: Option<[u8; 4]>) -> Vec<u8> {
    let mut frame = vec![kind];
    let bit = if mask.is_some() { 0x80 } else { 0 };
    match payload.len() {
        length @ 0..126 => frame.push(bit | length as u8),
        length @ 126..65536 => {
            frame.push(bit | 126);
            frame.extend_from_slice(&(length as u16).to_be_bytes());
        }
        length => {
            frame.push(bit | 127);
            frame.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
    frame.extend_from_slice(mask.as_ref().map_or(&[], |mask| &mask[..]));
    let mask = mask.unwrap_or_default();
    frame.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    frame
}
