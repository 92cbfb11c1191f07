//! What a connection may ask of us without doing anything useful.

use std::time::Duration;

use tokio::time::Instant;

use super::outline::{Head, Kind};

/// At most so much is saved up. A client that opens a connection sends about ten control frames.
const CAPACITY: i64 = 4000;
/// What a second brings.
const PER_SECOND: i64 = 500;
/// A frame that another one undoes, or that makes us change our ways.
const DEAR: i64 = 8;
/// A frame that is only read, or answered with one.
const CHEAP: i64 = 1;
/// What a request or an answer brings: half of what ending it early costs.
const MESSAGE: i64 = 4;

/// Floods of control frames cost little each and are served without end by the HTTP/2 library; so they are paid from
/// a budget that time and useful frames, in either direction, fill up.
#[derive(Debug)]
pub struct Budget {
    left: i64,
    filled: Instant,
}

impl Budget {
    pub fn new(now: Instant) -> Budget {
        Budget { left: CAPACITY, filled: now }
    }

    /// Pays for a frame of the peer's; `false`: it cannot be paid for.
    #[must_use]
    pub fn pay(&mut self, frame: Head, now: Instant) -> bool {
        self.left = (self.left + worth(frame)).min(CAPACITY);
        if self.left < 0 {
            self.fill(now);
        }
        self.left >= 0
    }

    /// A frame of ours: data and answers are why a peer sends window updates and pings.
    pub fn earn(&mut self, frame: Head) {
        if matches!(frame.kind, Kind::Data | Kind::Headers) {
            self.left = (self.left + worth(frame).max(0)).min(CAPACITY);
        }
    }

    fn fill(&mut self, now: Instant) {
        let passed = now.saturating_duration_since(self.filled).min(Duration::from_secs(60));
        self.filled = now;
        let brought = i64::try_from(passed.as_millis()).unwrap_or(0) * PER_SECOND / 1000;
        self.left = (self.left + brought).min(CAPACITY);
    }
}

/// What a frame brings, or costs.
fn worth(frame: Head) -> i64 {
    let length = i64::from(frame.length);
    match frame.kind {
        // All of a padded frame may be padding; the last frame of a body is often empty.
        Kind::Data if frame.length == 0 || frame.padded() => {
            if frame.ends_stream() {
                0
            } else {
                -CHEAP
            }
        }
        // Many small pieces are no more useful than one of their size.
        Kind::Data => (length / 32).min(MESSAGE) + length / 1024,
        Kind::Headers => MESSAGE,
        Kind::Settings if frame.acknowledges() => -CHEAP,
        Kind::Ping | Kind::WindowUpdate | Kind::Priority | Kind::Continuation => -CHEAP,
        Kind::Reset | Kind::Settings | Kind::GoAway => -DEAR,
        Kind::PushPromise | Kind::Other => -CHEAP - length / 1024,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many such frames pass at one moment, of at most 20 000.
    fn passes(frames: &[Head]) -> usize {
        let now = Instant::now();
        let mut budget = Budget::new(now);
        frames.iter().cycle().take(20_000).take_while(|frame| budget.pay(**frame, now)).count()
    }

    fn frame(kind: Kind, flags: u8, length: u32) -> Head {
        Head { kind, flags, length }
    }

    #[test]
    fn e18_floods_end_and_useful_traffic_does_not() {
        for (kind, flags, length) in [
            (Kind::Ping, 0, 8),
            (Kind::Ping, 1, 8),
            (Kind::Settings, 0, 0),
            (Kind::Settings, 1, 0),
            (Kind::Priority, 0, 5),
            (Kind::WindowUpdate, 0, 4),
            (Kind::Reset, 0, 4),
            (Kind::Continuation, 0, 0),
            (Kind::Data, 0, 0),
            (Kind::Data, 8, 200),
            (Kind::GoAway, 0, 8),
            (Kind::Other, 0, 0),
        ] {
            assert!(passes(&[frame(kind, flags, length)]) <= 4001, "{kind:?}");
        }
        let (ping, update) = (frame(Kind::Ping, 0, 8), frame(Kind::WindowUpdate, 0, 4));
        let (request, reset) = (frame(Kind::Headers, 4, 60), frame(Kind::Reset, 0, 4));
        // Rapid reset: a thousand at once, not more.
        assert!(passes(&[request, reset]) <= 2002);
        for useful in [
            &[request][..],
            &[request, request, reset],
            &[frame(Kind::Data, 0, 4096), update, update, ping],
            &[frame(Kind::Data, 1, 0)],
        ] {
            assert_eq!(passes(useful), 20_000, "{useful:?}");
        }
    }

    #[test]
    fn time_and_answers_fill_the_budget() {
        let now = Instant::now();
        let mut budget = Budget::new(now);
        let ping = frame(Kind::Ping, 0, 8);
        assert_eq!((0..9000).take_while(|_| budget.pay(ping, now)).count(), 4000);
        assert_eq!((0..9000).take_while(|_| budget.pay(ping, now + Duration::from_secs(2))).count(), 999);
        for _ in 0..10 {
            budget.earn(frame(Kind::Data, 0, 16384));
            budget.earn(ping);
        }
        assert_eq!((0..9000).take_while(|_| budget.pay(ping, now + Duration::from_secs(2))).count(), 199);
    }

    #[test]
    fn each_frame_has_its_price_and_what_is_useful_pays() {
        let (ends_stream, acknowledges, padded) = (1, 1, 8);
        for (kind, flags, length, expected) in [
            (Kind::Data, 0, 0, -1),
            (Kind::Data, ends_stream, 0, 0),
            (Kind::Data, padded, 2000, -1),
            (Kind::Data, padded | ends_stream, 2000, 0),
            (Kind::Data, 0, 31, 0),
            (Kind::Data, ends_stream, 64, 2),
            (Kind::Data, 0, 1023, 4),
            (Kind::Data, 0, 16384, 20),
            (Kind::Headers, 0, 1 << 14, 4),
            (Kind::Settings, 0, 60, -8),
            (Kind::Settings, acknowledges, 0, -1),
            (Kind::Ping, acknowledges, 8, -1),
            (Kind::WindowUpdate, 0, 4, -1),
            (Kind::Priority, 0, 5, -1),
            (Kind::Continuation, 0, 1 << 14, -1),
            (Kind::Reset, 0, 4, -8),
            (Kind::GoAway, 0, 8, -8),
            (Kind::Other, 0, 1023, -1),
            (Kind::Other, 0, 4096, -5),
        ] {
            assert_eq!(worth(frame(kind, flags, length)), expected, "{kind:?} {flags} {length}");
        }
    }

    #[test]
    fn time_is_counted_when_the_budget_is_overdrawn_and_fills_it_once() {
        let (now, ping) = (Instant::now(), frame(Kind::Ping, 0, 8));
        let mut budget = Budget::new(now);
        assert_eq!((0..3999).take_while(|_| budget.pay(ping, now)).count(), 3999);
        let later = now + Duration::from_secs(3600);
        assert_eq!((0..9000).take_while(|_| budget.pay(ping, later)).count(), 1 + 1 + 4000);
    }
}
