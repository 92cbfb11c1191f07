//! What follows from a plan: how its request ends, and what each side says.

use super::{Ending, Fault, Flaw, Plan, Reading, bytes, masked};
use crate::cast::Kind;

impl Plan {
    /// A WebSocket that the upstream opens.
    pub fn opens(&self) -> bool {
        self.socket.is_some_and(|socket| socket.opens)
    }

    pub fn status(&self) -> u16 {
        if self.opens() { 101 } else { self.answer.status }
    }

    pub fn ending(&self) -> Ending {
        use Fault::*;
        match (self.fault, self.kind) {
            (Some(Longer), _) if self.opens() => Ending::Broken,
            (None | Some(CloseAfter | Early | Longer), _) => Ending::Whole,
            (Some(Close | Reset | Garbage | HalfHead | Hang), _) => Ending::Refused,
            (Some(Contradiction), Kind::Clear | Kind::Tls | Kind::Socket) => Ending::Refused,
            (Some(HalfBody | HalfBodyReset | HangInBody | Contradiction), _) => Ending::Broken,
            (Some(Restart), _) => Ending::Any,
        }
    }

    /// The request target as upstream and policy see it.
    pub fn target(&self) -> String {
        let number = self.number;
        match self.flaw {
            Some(Flaw::DeniedPath) => format!("/no/{number}?q=a%20b"),
            Some(Flaw::DotPath) => format!("/ok/../no/{number}?q=a%20b"),
            _ => format!("/ok/{number}?q=a%20b"),
        }
    }

    pub fn host(&self) -> String {
        match self.flaw {
            Some(Flaw::OthersHost) => self.kind.host(self.who.other()),
            Some(Flaw::UnknownHost) => "nobody.test".to_owned(),
            _ => self.kind.host(self.who),
        }
    }

    pub fn secret(&self) -> String {
        self.kind.secret(self.who)
    }

    /// The caller leaves before everything is said.
    pub fn hangs_up(&self) -> bool {
        self.flaw == Some(Flaw::HalfHead)
            || matches!(self.reading, Reading::Never | Reading::Half)
            || self.upload.is_some_and(|upload| upload.half)
    }

    /// The answer's body as the upstream sends it.
    pub fn body(&self) -> Vec<u8> {
        self.body_with(&self.secret())
    }

    /// All that the caller gets behind the answer's head.
    pub fn heard(&self) -> Vec<u8> {
        match self.socket.filter(|socket| socket.opens) {
            Some(socket) => socket.heard(self),
            None => self.body_with(&masked(&self.secret())),
        }
    }

    fn body_with(&self, secret: &str) -> Vec<u8> {
        if self.method == "HEAD" {
            return Vec::new();
        }
        let mut body = bytes(self.number, self.answer.length);
        // Half of it has all of the secret in it, or nobody could say what becomes of a part.
        if self.answer.reflects && body.len() > 2 * secret.len() {
            body[..secret.len()].copy_from_slice(secret.as_bytes());
        }
        body
    }

    /// What the upstream sends back of the secret.
    pub fn reflects(&self) -> bool {
        self.answer.reflects || self.socket.is_some_and(|socket| socket.opens && socket.reflects)
    }

    /// Good trailers, of a request or an answer. They pass together or not at all.
    pub fn trailers(&self) -> Vec<(String, String)> {
        let number = self.number;
        [("x-sum", number.to_string()), ("x-part", format!("{number}/{}", self.who.name()))]
            .map(|(name, value)| (name.to_owned(), value))
            .to_vec()
    }
}
