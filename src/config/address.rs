//! Addresses, networks and service URLs as they are written in the configuration.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use ipnet::IpNet;

use super::Endpoint;
use super::mistakes::quoted;
use crate::route::metadata::is_metadata;

/// The path of a Unix socket is shorter, in bytes (`sun_path` of unix(7), which has a NUL at its end).
const SUN_PATH: usize = 108;

/// An entry of `listen`: `IP:port`, or `unix:` and an absolute path.
pub(super) fn endpoint(text: &str) -> Result<Endpoint, String> {
    let Some(path) = text.strip_prefix("unix:") else { return listen(text).map(Endpoint::Tcp) };
    if !path.starts_with('/') || path.ends_with('/') {
        return Err(format!("{} needs an absolute path such as unix:/run/veilwarden.sock", quoted(text)));
    }
    if path.len() >= SUN_PATH || path.contains('\0') {
        return Err(format!("{}: the path of a Unix socket is shorter than {SUN_PATH} bytes", quoted(text)));
    }
    Ok(Endpoint::Unix(PathBuf::from(path)))
}

/// A TCP address to listen on: `IP:port`; port 0 lets the system choose. Around an IPv4 address there may be brackets too: a
/// manifest writes `[$(POD_IP)]:8089` and does not know what the cluster puts in.
pub(super) fn listen(text: &str) -> Result<SocketAddr, String> {
    if text.starts_with("unix:") {
        return Err("only listen takes a Unix socket; give an IP address and port".to_owned());
    }
    let bracketed = text.strip_prefix('[').and_then(|text| text.split_once("]:"));
    let v4 = bracketed.and_then(|(ip, port)| format!("{ip}:{port}").parse().map(SocketAddr::V4).ok());
    text.parse().ok().or(v4).ok_or_else(|| {
        let example = match text.rsplit_once(':') {
            Some(("localhost", port)) if port.parse::<u16>().is_ok() => format!("127.0.0.1:{port}"),
            Some(("" | "*", port)) if port.parse::<u16>().is_ok() => format!("0.0.0.0:{port}"),
            _ => return format!("{} is not an IP address and port such as 127.0.0.1:8088", quoted(text)),
        };
        format!("{} is not an IP address and port; did you mean \"{example}\"?", quoted(text))
    })
}

/// `upstream_address`: an address that is dialled instead of resolving the name.
pub(super) fn upstream(text: &str) -> Result<SocketAddr, String> {
    let address: SocketAddr =
        text.parse().map_err(|_| format!("{} is not an IP address and port such as 10.0.0.7:8443", quoted(text)))?;
    if is_metadata(address.ip()) {
        return Err("a metadata address is never dialled".to_owned());
    }
    if address.port() == 0 || address.ip().is_unspecified() || address.ip().is_multicast() {
        return Err(format!("{} cannot be dialled", quoted(text)));
    }
    Ok(address)
}

/// A network in CIDR notation.
pub(super) fn network(text: &str) -> Result<IpNet, String> {
    text.parse().map_err(|_| match text.parse::<IpAddr>() {
        Ok(ip) => {
            let whole = if ip.is_ipv4() { 32 } else { 128 };
            format!("{} is not a network; did you mean \"{ip}/{whole}\"?", quoted(text))
        }
        Err(_) => format!("{} is not a network such as 10.0.0.0/8", quoted(text)),
    })
}

/// Whether a host name or literal (an IPv6 one in brackets or not) can only mean this machine.
pub(super) fn is_loopback_host(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let named = host.eq_ignore_ascii_case("localhost") || host.to_ascii_lowercase().ends_with(".localhost");
    named || bare.parse::<IpAddr>().is_ok_and(|ip| ip.to_canonical().is_loopback())
}

/// The base URL of a service that is given credentials: https, or http on loopback. Comes back without a trailing slash.
pub(super) fn service_url(text: &str) -> Result<String, String> {
    let not_a_url = || format!("{} is not a URL such as https://service.example.com", quoted(text));
    // Checked on the text, because the parser drops a fragment silently.
    if text.contains(['?', '#', '@']) {
        return Err("a URL here has no user, query or fragment".to_owned());
    }
    let url: http::Uri = text.parse().map_err(|_| not_a_url())?;
    let (scheme, host) = url.scheme_str().zip(url.host()).ok_or_else(not_a_url)?;
    match scheme {
        "https" => {}
        "http" if is_loopback_host(host) => {}
        "http" => return Err("plain http is only for loopback; use https".to_owned()),
        _ => return Err(not_a_url()),
    }
    Ok(text.trim_end_matches('/').to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listen_address_is_an_ip_and_a_port() {
        assert_eq!(listen("127.0.0.1:0"), Ok(SocketAddr::from(([127, 0, 0, 1], 0))));
        assert_eq!(listen("[::1]:8088"), Ok("[::1]:8088".parse().expect("an address")));
        assert_eq!(listen("[10.0.0.7]:8089"), listen("10.0.0.7:8089"));
        for (text, message) in [
            ("localhost:8088", "\"localhost:8088\" is not an IP address and port; did you mean \"127.0.0.1:8088\"?"),
            (":8088", "\":8088\" is not an IP address and port; did you mean \"0.0.0.0:8088\"?"),
            ("8088", "\"8088\" is not an IP address and port such as 127.0.0.1:8088"),
            ("unix:/run/v.sock", "only listen takes a Unix socket; give an IP address and port"),
            ("fd00::1:8089", "\"fd00::1:8089\" is not an IP address and port such as 127.0.0.1:8088"),
            ("[localhost]:1", "\"[localhost]:1\" is not an IP address and port such as 127.0.0.1:8088"),
            ("[127.0.0.1:1]:2", "\"[127.0.0.1:1]:2\" is not an IP address and port such as 127.0.0.1:8088"),
            ("127.0.0.1:99999", "\"127.0.0.1:99999\" is not an IP address and port such as 127.0.0.1:8088"),
        ] {
            assert_eq!(listen(text).unwrap_err(), message);
        }
    }

    #[test]
    fn a_unix_socket_has_an_absolute_path() {
        assert_eq!(endpoint("unix:/run/v.sock"), Ok(Endpoint::Unix(PathBuf::from("/run/v.sock"))));
        assert_eq!(endpoint("unix:/run/v.sock").unwrap().to_string(), "unix:/run/v.sock");
        assert_eq!(endpoint("[::1]:1").unwrap().to_string(), "[::1]:1");
        let longest = format!("unix:/{}", "a".repeat(SUN_PATH - 2));
        assert!(endpoint(&longest).is_ok());
        for text in ["unix:", "unix:v.sock", "unix:./v.sock", "unix:/run/", "unix:/", &format!("{longest}a")] {
            assert!(endpoint(text).unwrap_err().contains("path"), "{text}");
        }
    }

    #[test]
    fn m02_a_metadata_address_is_never_named_in_any_spelling() {
        for text in [
            "169.254.169.254:80",
            "[::ffff:169.254.169.254]:80",
            "[fd00:ec2::254]:80",
            "169.254.170.2:80",
            "169.254.170.23:80",
            "100.100.100.200:80",
        ] {
            assert_eq!(upstream(text).unwrap_err(), "a metadata address is never dialled", "{text}");
        }
        for text in ["0.0.0.0:80", "[::]:80", "10.0.0.1:0", "224.0.0.1:80"] {
            assert!(upstream(text).unwrap_err().contains("cannot be dialled"), "{text}");
        }
        assert!(upstream("127.0.0.1:9000").is_ok() && upstream("api.test:443").is_err());
    }

    #[test]
    fn a_service_is_spoken_to_over_tls_or_loopback() {
        assert_eq!(service_url("https://api.doppler.com/"), Ok("https://api.doppler.com".to_owned()));
        for text in ["http://127.0.0.1:9/v", "http://localhost:1", "http://[::1]:1", "HTTPS://a.test"] {
            assert!(service_url(text).is_ok(), "{text}");
        }
        for text in [
            "http://api.doppler.com",
            "api.doppler.com",
            "ftp://a",
            "https://u:p@a",
            "https://a/?x",
            "https://a/#x",
            "https://",
            "",
            "http://127.0.0.1.evil.test",
        ] {
            assert!(service_url(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_bare_address_is_not_a_network() {
        assert_eq!(network("10.0.0.1").unwrap_err(), "\"10.0.0.1\" is not a network; did you mean \"10.0.0.1/32\"?");
        assert!(network("10.0.0.0/33").is_err() && network("x").is_err() && network("fd00::/8").is_ok());
    }
}
