//! Takes back what would be no fault: a plan must say how its request ends.

use super::{Ending, Fault, Flaw, Framing, Plan, Reading};
use crate::cast::Kind;

impl Plan {
    pub(super) fn make_sense(&mut self) {
        self.limit_form();
        self.limit_fault();
        if self.flaw.is_some() {
            self.fault = None;
            self.reading = Reading::Whole;
            self.upload = self.upload.filter(|_| !matches!(self.flaw, Some(Flaw::TwoFramings | Flaw::EchoingMethod)));
            // What has no form has no method either, and is answered with a body.
            if self.method == "HEAD" && matches!(self.flaw, Some(Flaw::TwoFramings | Flaw::Garbage)) {
                self.method = "GET";
            }
        }
        if let Some(upload) = &mut self.upload {
            upload.half &= upload.length > 1 && self.flaw.is_none();
            upload.trailers &= !upload.half;
            upload.pieces = upload.pieces.min(upload.length.max(1));
        }
        // HTTP/1 has trailers behind chunks only.
        let chunked = self.kind == Kind::H2 || self.answer.framing == Framing::Chunked;
        self.answer.trailers &= chunked && self.method != "HEAD" && !self.opens();
        let certain = self.flaw.is_none() && self.ending() != Ending::Refused && self.ending() != Ending::Any;
        if let Some(socket) = &mut self.socket {
            socket.hasty &= socket.opens && certain;
        }
    }

    fn limit_form(&mut self) {
        if self.socket.is_some() {
            self.method = "GET";
            self.upload = None;
        }
        // Who leaves a pipeline leaves all of it.
        if self.pipeline.is_some() {
            self.reading = if self.reading == Reading::Slow { Reading::Slow } else { Reading::Whole };
            if let Some(upload) = &mut self.upload {
                upload.half = false;
            }
        }
    }

    fn limit_fault(&mut self) {
        if self.opens() {
            return;
        }
        // What was announced has passed, whole, before more of it can be seen to come; in HTTP/1 it is another message.
        if self.kind == Kind::H2 && self.fault == Some(Fault::Longer) {
            self.fault = Some(Fault::Contradiction);
        }
        let half = matches!(self.fault, Some(Fault::HalfBody | Fault::HalfBodyReset | Fault::HangInBody));
        let lengthy = self.fault == Some(Fault::Contradiction) && self.kind == Kind::H2;
        if (half || lengthy) && (self.method == "HEAD" || self.answer.length < 2) {
            self.fault = None;
        }
        // Where the end of the connection is the end of the body, nobody can tell half of it from the whole.
        if self.answer.framing == Framing::Close && self.kind == Kind::Clear && self.fault == Some(Fault::HalfBody) {
            self.fault = Some(Fault::HalfBodyReset);
        }
        if self.answer.framing == Framing::Close && self.fault == Some(Fault::Longer) {
            self.fault = None;
        }
    }
}
