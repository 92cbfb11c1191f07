use super::*;
use crate::client::played::{Played, Reply};

const TOKEN: &str = "dp.st.canary-token";

pub(crate) fn settings(base_url: &str) -> DopplerSettings {
    DopplerSettings {
        base_url: base_url.to_owned(),
        token: TOKEN.to_owned().into(),
        project: Some("web".to_owned()),
        config: Some("prd".to_owned()),
        timeout: Duration::from_millis(500),
    }
}

pub(crate) fn holding(value: &str) -> Reply {
    Reply::json(&serde_json::json!({"value": {"raw": "r", "computed": value}, "success": true}).to_string())
}

async fn fetch(played: &Played) -> Result<Secret, Error> {
    Doppler::new(&settings(&played.url)).unwrap().fetch(&locator("web", "prd", "KEY")).await
}

async fn error_of(reply: impl Fn() -> Reply + Send + Sync + 'static) -> Error {
    let played = Played::http(move |_| reply()).await;
    let error = fetch(&played).await.unwrap_err();
    let words = format!("{error} {error:?}");
    assert!(!words.contains("canary"), "{words}");
    error
}

#[tokio::test]
async fn r103_the_call_is_the_one_doppler_documents() {
    let played = Played::http(|_| holding("s3cr3t\n")).await;
    let doppler = Doppler::new(&settings(&format!("{}/base/", played.url))).unwrap();
    let secret = doppler.fetch(&locator("we b", "prd&x=1", "KEY/ö")).await.unwrap();
    assert_eq!(secret.expose_secret(), "s3cr3t");
    let head = &played.heads()[0];
    let line = "GET /base/v3/configs/config/secret?project=we%20b&config=prd%26x%3D1&name=KEY%2F%C3%B6 HTTP/1.1\r\n";
    assert!(head.starts_with(line), "{head}");
    assert!(head.contains(&format!("authorization: Bearer {TOKEN}\r\n")), "{head}");
    assert!(head.contains("accept: application/json\r\n"), "{head}");
}

#[tokio::test]
async fn j01_a_store_that_fails_is_unavailable_within_its_timeout() {
    let begun = std::time::Instant::now();
    let hang = error_of(|| Reply::Hang(Vec::new())).await;
    assert_eq!((hang.label(), begun.elapsed() < Duration::from_secs(2)), ("unavailable", true));
    for line in ["500 Internal Server Error", "503 Service Unavailable", "204 No Content", "400 Bad Request"] {
        let error = error_of(move || Reply::status(line, "", "")).await;
        assert_eq!(error.label(), "unavailable", "{line}");
        assert!(error.to_string().contains(&line[..3]), "{error}");
    }
}

#[tokio::test]
async fn r103_a_refusal_carries_status_and_the_first_words() {
    for line in ["401 Unauthorized", "403 Forbidden", "404 Not Found"] {
        let said = format!(r#"{{"messages":["{TOKEN} is bad\n{}"],"success":false}}"#, "x".repeat(1000));
        let error = error_of(move || Reply::status(line, "", &said)).await;
        let Error::Rejected { status, message, .. } = &error else { panic!("{error:?}") };
        assert_eq!(status.to_string(), line[..3]);
        assert!(message.starts_with("*** is bad x"), "{message}");
        assert_eq!(message.chars().count(), MAX_WORDS);
    }
}

#[tokio::test]
async fn j05_retry_after_comes_with_the_error() {
    let error = error_of(|| Reply::status("429 Too Many Requests", "retry-after: 7\r\n", "")).await;
    assert!(matches!(error, Error::Unavailable { retry_after: Some(wait), .. } if wait.as_secs() == 7), "{error:?}");
}

#[tokio::test]
async fn j08_j10_a_value_that_no_header_can_carry_is_refused() {
    for value in ["canary\r\nX: y", "canary\0", "canary\x7f", "canaré", "", "  ", &"c".repeat(65536)] {
        let value = value.to_owned();
        assert_eq!(error_of(move || holding(&value)).await.label(), "invalid_value");
    }
}

#[tokio::test]
async fn j12_garbage_and_bodies_over_1_mib_are_refused() {
    let ten_megabytes = format!(r#"{{"value":{{"computed":"canary"}},"more":"{}"}}"#, "x".repeat(10_000_000));
    for body in ["canary", r#"{"value":"canary"}"#, r#"{"value":null}"#, &ten_megabytes] {
        let body = body.to_owned();
        assert_eq!(error_of(move || Reply::json(&body)).await.label(), "unavailable");
    }
    let half = b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{\"value\":{\"computed\":\"canary\"}}".to_vec();
    assert_eq!(error_of(move || Reply::Raw(half.clone())).await.label(), "unavailable");
}

#[tokio::test]
async fn j13_a_redirect_is_not_followed_and_the_token_stays() {
    let other = Played::http(|_| holding("elsewhere")).await;
    for line in ["301 Moved Permanently", "302 Found", "307 Temporary Redirect", "308 Permanent Redirect"] {
        let location = format!("location: {}/v3\r\n", other.url);
        assert_eq!(error_of(move || Reply::status(line, &location, "")).await.label(), "unavailable");
    }
    assert_eq!(other.heads(), Vec::<String>::new());
}

#[tokio::test]
async fn j14_no_token_is_sent_to_a_server_with_another_name() {
    for (name, good) in [("127.0.0.1", true), ("api.doppler.test", false)] {
        let played = Played::https(name, |_| holding("s3cr3t")).await;
        let client = Client::new(Some(&played.ca_file())).unwrap();
        let doppler = Doppler::with_client(&settings(&played.url), client).unwrap();
        let result = doppler.fetch(&locator("web", "prd", "KEY")).await;
        assert_eq!(result.is_ok(), good, "{result:?}");
        assert_eq!(played.calls(), usize::from(good));
    }
}

#[test]
fn settings_that_would_send_the_token_astray_are_refused() {
    for base_url in [
        "http://api.doppler.com",
        "ftp://api.doppler.com",
        "api.doppler.com",
        "https://user@api.doppler.com",
        "https://api.doppler.com/?a=b",
        "https://",
    ] {
        let error = Doppler::new(&settings(base_url)).err().expect(base_url);
        assert!(error.to_string().contains(base_url), "{error}");
    }
    let blank = DopplerSettings { token: "two\nlines".to_owned().into(), ..settings("https://api.doppler.com") };
    assert_eq!(Doppler::new(&blank).err().unwrap().label(), "misconfigured");
}

#[test]
fn j15_locators_of_different_secrets_differ() {
    let all = [("a", "b", "c"), ("a&config=b", "b", "c"), ("a", "b&name=c", "c"), ("a", "b", "c%20"), ("a", "b", "c ")];
    let locators: std::collections::HashSet<_> = all.iter().map(|(p, c, n)| locator(p, c, n)).collect();
    assert_eq!(locators.len(), all.len());
}
