//! What an upstream's answer must be like to be passed on.

use http::header::{CONTENT_LENGTH, HeaderMap, TRANSFER_ENCODING};
use http::{Response, StatusCode};
use hyper::ext::ReasonPhrase;

use crate::error::Fault;
use crate::request::fields;

/// All field lines of an answer together, in bytes. Four times what common servers send at most.
pub const MAX_HEAD: usize = 64 << 10;

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
    check_framing(answer.headers())?;
    let line = |(name, value): (&http::HeaderName, &http::HeaderValue)| name.as_str().len() + value.len() + 4;
    if answer.headers().iter().map(line).sum::<usize>() > MAX_HEAD {
        return Err(Fault::BadAnswer(format!("a head of more than {} KiB", MAX_HEAD >> 10)));
    }
    Ok(())
}

/// Removes what is between the upstream and us, and the reason phrase: nobody may rely on it (RFC 9112 section 4), HTTP/2 has
/// none, and it is text that could hold anything.
pub fn strip<B>(answer: &mut Response<B>) {
    fields::strip_response(answer.headers_mut());
    answer.extensions_mut().remove::<ReasonPhrase>();
}

/// One length in digits, or `chunked` alone, or neither. Both together are how answers are smuggled (RFC 9112
/// section 6.3), and another coding would pass without the field that names it.
fn check_framing(headers: &HeaderMap) -> Result<(), Fault> {
    let mut lengths = headers.get_all(CONTENT_LENGTH).iter();
    let length = lengths.next();
    let plain = length.is_none_or(|length| !length.is_empty() && length.as_bytes().iter().all(u8::is_ascii_digit));
    if !plain || lengths.next().is_some() {
        return Err(Fault::BadAnswer("a doubtful Content-Length".into()));
    }
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    let Some(coding) = codings.next() else { return Ok(()) };
    if length.is_some() {
        return Err(Fault::BadAnswer("Content-Length and Transfer-Encoding".into()));
    }
    if !coding.as_bytes().eq_ignore_ascii_case(b"chunked") || codings.next().is_some() {
        return Err(Fault::BadAnswer("a Transfer-Encoding other than chunked".into()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn answer(status: u16, fields: &[(&'static str, &str)]) -> Response<()> {
        let mut answer = Response::new(());
        *answer.status_mut() = StatusCode::from_u16(status).unwrap();
        for (name, value) in fields {
            answer.headers_mut().append(*name, HeaderValue::from_str(value).unwrap());
        }
        answer
    }

    #[test]
    fn f03_f04_f11_f12_f29_doubtful_answers_are_faults() {
        const LENGTH: &str = "content-length";
        const CODING: &str = "transfer-encoding";
        let long = "a".repeat(MAX_HEAD);
        for (status, fields) in [
            (101, &[][..]),
            (407, &[]),
            (999, &[]),
            (200, &[(LENGTH, "2,2")]),
            (200, &[(LENGTH, "2"), (LENGTH, "2")]),
            (200, &[(LENGTH, "+2")]),
            (200, &[(LENGTH, "")]),
            (200, &[(LENGTH, "2"), (CODING, "chunked")]),
            (200, &[(CODING, "gzip, chunked")]),
            (200, &[(CODING, "chunked"), (CODING, "chunked")]),
            (200, &[(CODING, "identity")]),
            (200, &[("x-long", &long)]),
        ] {
            assert!(check(&answer(status, fields)).is_err(), "{status} {fields:?}");
        }
        for (status, fields) in
            [(200, &[(LENGTH, "2")][..]), (200, &[(CODING, "Chunked")]), (204, &[]), (304, &[]), (401, &[]), (599, &[])]
        {
            assert!(check(&answer(status, fields)).is_ok(), "{status} {fields:?}");
        }
    }
}
