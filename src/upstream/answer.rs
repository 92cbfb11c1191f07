//! What an upstream's answer must be like to be passed on.

use http::header::CONTENT_LENGTH;
use http::{Response, StatusCode};

use crate::error::Fault;

/// Refuses answers that the next parser could read differently, and those that would make the caller send us
/// something it should not.
pub fn check<B>(answer: &Response<B>) -> Result<(), Fault> {
    let status = answer.status();
    if status == StatusCode::SWITCHING_PROTOCOLS {
        return Err(Fault::BadAnswer("101 without having been asked".into()));
    }
    if status == StatusCode::PROXY_AUTHENTICATION_REQUIRED {
        return Err(Fault::BadAnswer("407, which would ask the caller for its credential to us".into()));
    }
    if !(200..600).contains(&status.as_u16()) {
        return Err(Fault::BadAnswer(format!("status {status}")));
    }
    let mut lengths = answer.headers().get_all(CONTENT_LENGTH).iter();
    let plain = lengths.next().is_none_or(|length| length.as_bytes().iter().all(u8::is_ascii_digit));
    if !plain || lengths.next().is_some() {
        return Err(Fault::BadAnswer("a doubtful Content-Length".into()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn answer(status: u16, lengths: &[&'static str]) -> Response<()> {
        let mut answer = Response::new(());
        *answer.status_mut() = StatusCode::from_u16(status).unwrap();
        for length in lengths {
            answer.headers_mut().append(CONTENT_LENGTH, HeaderValue::from_static(length));
        }
        answer
    }

    #[test]
    fn f04_f11_f29_doubtful_answers_are_faults() {
        for (status, lengths) in
            [(101, &[][..]), (407, &[]), (999, &[]), (200, &["2,2"]), (200, &["2", "2"]), (200, &["+2"])]
        {
            assert!(check(&answer(status, lengths)).is_err(), "{status} {lengths:?}");
        }
        for (status, lengths) in [(200, &["2"][..]), (204, &[]), (304, &[]), (401, &[]), (599, &[])] {
            assert!(check(&answer(status, lengths)).is_ok(), "{status} {lengths:?}");
        }
    }
}
