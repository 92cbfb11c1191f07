//! The gate's rules over a request that HTTP/2 brought (RFC 9113 section 8), put into the form that HTTP/1 has.
//!
//! What [`head`](super::head) checks byte by byte, the HTTP/2 library has decoded before anyone sees it; it takes
//! more than we do. After this, both versions look alike: the host in `Host`, the target a path, one `Cookie`.

use http::header::{CONTENT_LENGTH, COOKIE, HOST};
use http::{HeaderMap, HeaderValue, Method, Request, Uri};

use super::head::{MAX_FIELD_LINE, check_method, parse_length};
use super::{Limits, Refusal, target};

/// Checks a request and brings it into the form of HTTP/1. `scheme` is what the connection is: `http` in clear,
/// `https` under TLS. Comes back with what all field lines weigh together, in bytes.
pub fn check<B>(request: &mut Request<B>, scheme: &str, limits: &Limits) -> Result<usize, Refusal> {
    if *request.method() == Method::CONNECT {
        return Err(Refusal::Malformed("CONNECT is taken over HTTP/1.1 only"));
    }
    check_method(request.method().as_str().as_bytes())?;
    let weight = check_fields(request.headers(), limits)?;
    check_uri(request, scheme, limits)?;
    host(request)?;
    join_cookies(request.headers_mut())?;
    let target = request.uri().path_and_query().cloned();
    *request.uri_mut() = target.map(Uri::from).ok_or(Refusal::Target("the request has no path"))?;
    Ok(weight)
}

fn check_uri<B>(request: &Request<B>, scheme: &str, limits: &Limits) -> Result<(), Refusal> {
    let uri = request.uri();
    // Without `:authority` the library keeps no scheme; it is nothing to us then.
    if uri.scheme_str().is_some_and(|claimed| claimed != scheme) {
        return Err(Refusal::Malformed("the scheme is not that of the connection"));
    }
    let path = uri.path_and_query().map_or("", http::uri::PathAndQuery::as_str).as_bytes();
    if path.len() > limits.max_target_bytes {
        return Err(Refusal::TargetTooLong);
    }
    target::check(request.method().as_str().as_bytes(), path, false)
}

fn check_fields(headers: &HeaderMap, limits: &Limits) -> Result<usize, Refusal> {
    if headers.len() > limits.max_headers {
        return Err(Refusal::HeadersTooLarge("there are more header fields than limits.max_headers"));
    }
    let mut together = 0;
    for (name, value) in headers {
        let line = name.as_str().len() + value.len() + 2;
        if line > MAX_FIELD_LINE {
            return Err(Refusal::HeadersTooLarge("a header field is larger than 16384 bytes"));
        }
        together += line + 2;
        // RFC 9113 section 8.2.1. HTTP/1 has no way of saying such a value.
        if value.as_bytes() != value.as_bytes().trim_ascii() {
            return Err(Refusal::Malformed("a header value begins or ends with white space"));
        }
    }
    if together > limits.max_header_bytes {
        return Err(Refusal::HeadersTooLarge("the header fields are larger together than limits.max_header_bytes"));
    }
    let mut lengths = headers.get_all(CONTENT_LENGTH).iter();
    if let Some(length) = lengths.next() {
        parse_length(length.as_bytes())?;
        if lengths.next().is_some() {
            return Err(Refusal::Malformed("Content-Length appears twice"));
        }
    }
    Ok(together)
}

/// `:authority` becomes `Host`; when both are there they say the same (RFC 9113 section 8.3.1). What it says is
/// looked at later, as in HTTP/1.
fn host<B>(request: &mut Request<B>) -> Result<(), Refusal> {
    let Some(authority) = request.uri().authority() else { return Ok(()) };
    let host =
        HeaderValue::from_str(authority.as_str()).map_err(|_| Refusal::Malformed("the authority is not ASCII"))?;
    match request.headers().get(HOST) {
        Some(said) if said.as_bytes().eq_ignore_ascii_case(host.as_bytes()) => Ok(()),
        Some(_) => Err(Refusal::Malformed(":authority and Host differ")),
        None => {
            request.headers_mut().insert(HOST, host);
            Ok(())
        }
    }
}

/// HTTP/2 may cut a cookie field into crumbs; HTTP/1 has one line for all (RFC 9113 section 8.2.3).
fn join_cookies(headers: &mut HeaderMap) -> Result<(), Refusal> {
    if headers.get_all(COOKIE).iter().nth(1).is_none() {
        return Ok(());
    }
    let crumbs: Vec<&[u8]> = headers.get_all(COOKIE).iter().map(HeaderValue::as_bytes).collect();
    let whole = HeaderValue::from_bytes(&crumbs.join(&b"; "[..]));
    let whole = whole.map_err(|_| Refusal::Malformed("the cookies make no field together"))?;
    headers.insert(COOKIE, whole);
    Ok(())
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, Version};

    use super::*;

    fn request(uri: &str, fields: &[(&'static str, &[u8])]) -> Request<()> {
        let mut request = Request::builder().version(Version::HTTP_2).uri(uri).body(()).unwrap();
        for (name, value) in fields {
            request.headers_mut().append(HeaderName::from_static(name), HeaderValue::from_bytes(value).unwrap());
        }
        request
    }

    fn judge(uri: &str, fields: &[(&'static str, &[u8])]) -> Result<Request<()>, Refusal> {
        let mut request = request(uri, fields);
        check(&mut request, "http", &Limits::default()).map(|_| request)
    }

    #[test]
    fn e01_a_good_request_takes_the_form_of_http_1() {
        let request =
            judge("http://proxy.test/x?y=1", &[("cookie", b"a=1"), ("cookie", b"b=2"), ("te", b"trailers")]).unwrap();
        assert_eq!(request.uri(), "/x?y=1");
        assert_eq!(request.headers()["host"], "proxy.test");
        assert_eq!(request.headers().get_all("cookie").iter().collect::<Vec<_>>(), ["a=1; b=2"]);
        assert_eq!(
            judge("http://proxy.test/", &[("host", b"Proxy.Test")]).unwrap().headers().get_all("host").iter().count(),
            1
        );
        assert_eq!(judge("/x", &[("host", b"proxy.test")]).unwrap().uri(), "/x");
    }

    #[test]
    fn e03_e04_e07_e09_what_http_2_lets_pass_is_refused() {
        let long = vec![b'y'; MAX_FIELD_LINE];
        let many = vec![("x", &b"y"[..]); 101];
        let large = vec![("x", &long[..10_000]); 8];
        for (uri, fields) in [
            ("http://proxy.test/", &[("host", &b"other.test"[..])][..]),
            ("https://proxy.test/", &[]),
            ("ftp://proxy.test/", &[]),
            ("*", &[]),
            ("/x", &[("x", b" y")]),
            ("/x", &[("x", b"y\t")]),
            ("/x", &[("content-length", b"+5")]),
            ("/x", &[("content-length", b"05")]),
            ("/x", &[("content-length", b"5"), ("content-length", b"5")]),
            ("/x", &[("x", &long)]),
            ("/x", &many),
            ("/x", &large),
        ] {
            assert!(judge(uri, fields).is_err(), "{uri} {:?}", fields.first());
        }
        let mut tunnel = request("proxy.test:443", &[]);
        *tunnel.method_mut() = Method::CONNECT;
        assert!(check(&mut tunnel, "http", &Limits::default()).is_err());
        let target = |n: usize| judge(&format!("/{}", "a".repeat(n - 1)), &[]);
        assert!(target(8192).is_ok());
        assert_eq!(target(8193).unwrap_err(), Refusal::TargetTooLong);
    }

    #[test]
    fn k15_limits_of_http_2_hold_to_the_byte() {
        let line = |n: usize| vec![b'y'; n - "x: ".len()];
        assert!(judge("/x", &[("x", &line(16384))]).is_ok());
        assert!(matches!(judge("/x", &[("x", &line(16385))]), Err(Refusal::HeadersTooLarge(_))));
        assert!(judge("/x", &vec![("x", &b"y"[..]); 100]).is_ok());
        assert!(matches!(judge("/x", &vec![("x", &b"y"[..]); 101]), Err(Refusal::HeadersTooLarge(_))));
        // As HTTP/1 would write them: each line with its end.
        let (quarter, more) = (line((16 << 10) - 2), line((16 << 10) - 1));
        let mut together = vec![("x", &quarter[..]); 4];
        assert!(judge("/x", &together).is_ok());
        together[0].1 = &more;
        assert!(matches!(judge("/x", &together), Err(Refusal::HeadersTooLarge(_))));
    }
}
