use super::played::{Played, Reply};
use super::*;

const LONG: Duration = Duration::from_secs(5);
const SHORT: Duration = Duration::from_millis(150);

async fn get(played: &Played, deadline: Duration, max_bytes: usize) -> Result<Answer, Error> {
    let ca_file = played.url.starts_with("https").then(|| played.ca_file());
    let client = Client::new(ca_file.as_deref()).unwrap();
    client.get(format!("{}/x", played.url).parse().unwrap(), HeaderMap::new(), deadline, max_bytes).await
}

#[test]
fn plain_http_is_for_loopback_only() {
    for (url, allowed) in [
        ("https://api.doppler.com", true),
        ("http://127.0.0.1:8080", true),
        ("http://127.9.9.9", true),
        ("http://[::1]:80/base", true),
        ("http://localhost", true),
        ("http://store.LOCALHOST:1", true),
        ("http://api.doppler.com", false),
        ("http://10.0.0.1", false),
        ("http://localhost.example.com", false),
        ("http://127.0.0.1.example.com", false),
        ("http://127.0.0.1@example.com", false),
        ("https://user:pass@example.com", false),
        ("ftp://localhost", false),
        ("/v3/configs", false),
    ] {
        assert_eq!(check_url(&url.parse().unwrap()).is_ok(), allowed, "{url}");
    }
}

#[tokio::test]
async fn an_answer_comes_with_status_fields_and_body() {
    let played = Played::http(|_| Reply::status("200 OK", "x-a: b\r\n", "hello")).await;
    let answer = get(&played, LONG, 5).await.unwrap();
    assert_eq!((answer.status, answer.body.as_slice()), (StatusCode::OK, b"hello".as_slice()));
    assert_eq!(answer.headers["x-a"], "b");
    assert!(played.heads()[0].contains("user-agent: veilwarden/"));
    assert!(!format!("{answer:?}").contains("hello"));
}

#[tokio::test]
async fn tls_is_checked_against_the_ca_file_and_the_name() {
    let good = Played::https("127.0.0.1", |_| Reply::status("200 OK", "", "under TLS")).await;
    assert_eq!(get(&good, LONG, 100).await.unwrap().body.as_slice(), b"under TLS");
    let stranger = Client::new(None).unwrap();
    let refused = stranger.get(good.url.parse().unwrap(), HeaderMap::new(), LONG, 100).await;
    assert!(matches!(refused, Err(Error::Tls(_))), "{refused:?}");

    let wrong_name = Played::https("other.test", |_| Reply::status("200 OK", "", "")).await;
    let refused = get(&wrong_name, LONG, 100).await;
    assert!(matches!(refused, Err(Error::Tls(_))), "{refused:?}");
    assert_eq!(wrong_name.calls(), 0);
}

#[tokio::test]
async fn every_way_of_answering_badly_is_a_typed_error_in_time() {
    let over = "x".repeat(11);
    let hanging = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nab".to_vec();
    for (name, reply, expected) in [
        ("silence", Reply::Hang(Vec::new()), "Timeout"),
        ("a body that stops", Reply::Hang(hanging.clone()), "Timeout"),
        ("half a body", Reply::Raw(hanging), "Protocol"),
        ("no HTTP", Reply::Raw(b"SSH-2.0-OpenSSH_9\r\n\r\n".to_vec()), "Protocol"),
        ("nothing", Reply::Raw(Vec::new()), "Protocol"),
        ("too long", Reply::status("200 OK", "", &over), "TooLarge"),
        ("a long head", Reply::status("200 OK", &format!("x: {}\r\n", "y".repeat(4 * MAX_HEAD)), ""), "Protocol"),
    ] {
        let reply = std::sync::Mutex::new(Some(reply));
        let played = Played::http(move |_| reply.lock().unwrap().take().unwrap_or(Reply::Raw(Vec::new()))).await;
        let before = Instant::now();
        let error = get(&played, SHORT, 10).await.expect_err(name);
        assert!(format!("{error:?}").starts_with(expected), "{name}: {error:?}");
        assert!(before.elapsed() < Duration::from_secs(3), "{name} took {:?}", before.elapsed());
    }
}

#[tokio::test]
async fn nobody_listening_is_a_connect_error() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let client = Client::new(None).unwrap();
    let refused = client.get(format!("http://{free}/").parse().unwrap(), HeaderMap::new(), LONG, 10).await;
    assert!(matches!(refused, Err(Error::Connect(_))), "{refused:?}");
}

#[tokio::test]
async fn a_refusal_stands_whatever_becomes_of_its_body() {
    let hanging = b"HTTP/1.1 403 Forbidden\r\ncontent-length: 99\r\n\r\nno".to_vec();
    let played = Played::http(move |_| Reply::Hang(hanging.clone())).await;
    let answer = get(&played, SHORT, 100).await.unwrap();
    assert_eq!((answer.status, answer.body.as_slice()), (StatusCode::FORBIDDEN, b"no".as_slice()));

    let endless = "x".repeat(10 * MAX_COMPLAINT);
    let played = Played::http(move |_| Reply::status("404 Not Found", "", &endless)).await;
    assert_eq!(get(&played, LONG, 1 << 20).await.unwrap().body.len(), MAX_COMPLAINT);
}

#[tokio::test]
async fn a_redirect_is_an_answer_like_any_other() {
    let other = Played::http(|_| Reply::status("200 OK", "", "elsewhere")).await;
    let location = format!("location: {}\r\n", other.url);
    let played = Played::http(move |_| Reply::status("302 Found", &location, "")).await;
    assert_eq!(get(&played, LONG, 100).await.unwrap().status, StatusCode::FOUND);
    assert_eq!(other.calls(), 0);
}
