use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::client::played::{Played, Reply};
use crate::secrets::doppler::tests::{holding, settings};
use crate::secrets::tests::capture_log;

const CACHE: CacheSettings = CacheSettings { ttl: Duration::from_secs(300), max_stale: Duration::from_secs(900) };
const PATIENCE: Duration = Duration::from_secs(10);

fn here(value: &str) -> Source {
    Source::Value(value.to_owned().into())
}

fn at(project: Option<&str>, config: Option<&str>, name: &str) -> Source {
    Source::Doppler { project: project.map(str::to_owned), config: config.map(str::to_owned), name: name.to_owned() }
}

fn build(
    entries: Vec<(&str, Source)>,
    doppler: Option<DopplerSettings>,
    cache: CacheSettings,
) -> Result<Secrets, Vec<Mistake>> {
    let entries = entries.into_iter().map(|(id, source)| (id.to_owned(), source)).collect();
    Secrets::new(entries, doppler, cache, Arc::new(()))
}

async fn value(secrets: &Secrets, id: &str) -> String {
    secrets.fetch(id).await.map_or_else(|error| error.label().to_owned(), |it| it.expose_secret().to_owned())
}

/// Asks until the answer is the expected one.
async fn becomes(secrets: &Secrets, id: &str, expected: &str) {
    let asking = async {
        while value(secrets, id).await != expected {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, asking).await.unwrap_or_else(|_| panic!("{id} never became {expected}"));
}

/// Answers with the query it was asked, so that a mix-up shows.
fn echo_of(head: &str) -> Reply {
    holding(head.split_whitespace().nth(1).and_then(|target| target.split_once('?')).unwrap().1)
}

#[tokio::test]
async fn w48_stores_stand_side_by_side() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("key");
    std::fs::write(&path, "from a file\n").unwrap();
    let played = Played::http(echo_of).await;
    let entries = vec![
        ("A", here("fixed")),
        ("B", Source::Env("PATH".to_owned())),
        ("C", Source::File(path)),
        ("D", at(None, None, "D")),
    ];
    let secrets = build(entries, Some(settings(&played.url)), CACHE).ok().unwrap();
    let path_variable = std::env::var("PATH").unwrap();
    for (id, expected) in [
        ("A", "fixed"),
        ("B", path_variable.as_str()),
        ("C", "from a file"),
        ("D", "project=web&config=prd&name=D"),
        ("E", "project=web&config=prd&name=E"),
        ("", "unknown"),
    ] {
        assert_eq!(value(&secrets, id).await, expected, "{id}");
    }
}

#[tokio::test]
async fn j15_an_id_leads_to_one_store_project_and_config() {
    let played = Played::http(echo_of).await;
    let entries = vec![
        ("KEY", here("mine")),
        ("KEY_DEV", at(Some("web"), Some("dev"), "KEY")),
        ("KEY_API", at(Some("api"), None, "KEY")),
        ("ALIAS", at(None, None, "OTHER")),
    ];
    let secrets = build(entries, Some(settings(&played.url)), CACHE).ok().unwrap();
    for _ in 0..2 {
        for (id, expected) in [
            ("KEY", "mine"),
            ("KEY_DEV", "project=web&config=dev&name=KEY"),
            ("KEY_API", "project=api&config=prd&name=KEY"),
            ("ALIAS", "project=web&config=prd&name=OTHER"),
            ("OTHER", "project=web&config=prd&name=OTHER"),
        ] {
            assert_eq!(value(&secrets, id).await, expected, "{id}");
        }
    }
    assert_eq!(played.calls(), 3, "the same place under two ids is fetched once");
}

#[tokio::test]
async fn r102_without_a_token_an_id_without_an_entry_is_unknown() {
    let secrets = build(vec![("A", here("a"))], None, CACHE).ok().unwrap();
    assert_eq!(value(&secrets, "B").await, "unknown");
}

#[tokio::test]
async fn without_a_default_place_only_entries_lead_to_doppler() {
    let played = Played::http(echo_of).await;
    let bare = DopplerSettings { project: None, config: None, ..settings(&played.url) };
    let secrets = build(vec![("A", at(Some("p"), Some("c"), "A"))], Some(bare), CACHE).ok().unwrap();
    assert_eq!(value(&secrets, "A").await, "project=p&config=c&name=A");
    assert_eq!((value(&secrets, "B").await.as_str(), played.calls()), ("unknown", 1));
}

#[test]
fn all_mistakes_come_at_once_and_name_their_entry_but_no_value() {
    let bare = DopplerSettings { project: None, ..settings("http://store.example") };
    let entries = vec![
        ("GOOD", here("a")),
        ("LINES", here("canary\ncanary")),
        ("BLANK", here(" ")),
        ("ABSENT", Source::Env("VEILWARDEN_TEST_ABSENT".to_owned())),
        ("GOOD", here("b")),
        ("NOWHERE", at(None, None, "X")),
        ("NAMELESS", at(Some("p"), Some("c"), "")),
        ("FINE", at(Some("p"), Some("c"), "X")),
        ("", here("a")),
    ];
    let mistakes = build(entries, Some(bare), CACHE).err().unwrap();
    let words: Vec<String> = mistakes.iter().map(ToString::to_string).collect();
    let expected = [
        "secret LINES: its value holds a line break, a NUL or another control byte",
        "secret BLANK: its value is empty or blank",
        "secret ABSENT: environment variable VEILWARDEN_TEST_ABSENT is not set",
        "secret GOOD: its id is given twice",
        "secret NOWHERE: it needs a Doppler project",
        "secret NAMELESS: it needs a Doppler name",
        "secret : its id is empty",
        "Doppler's base_url http://store.example: the URL is not allowed: plain http is for loopback only, use https",
    ];
    assert_eq!(words, expected);
    let no_token = build(vec![("A", at(None, None, "A"))], None, CACHE).err().unwrap();
    assert_eq!(no_token[0].to_string(), "secret A: it needs a Doppler token");
    let no_place = DopplerSettings { config: None, ..settings("https://api.doppler.com") };
    assert!(build(vec![], Some(no_place), CACHE).err().unwrap()[0].to_string().contains("config"));
}

#[tokio::test]
async fn j02_j03_a_store_that_falls_silent_is_bridged_and_then_not() {
    let up = Arc::new(AtomicUsize::new(1));
    let answering = up.clone();
    let played = Played::http(move |_| match answering.load(Ordering::Relaxed) {
        1 => holding("good"),
        2 => Reply::status("500 Internal Server Error", "", "boom"),
        3 => Reply::Raw(Vec::new()),
        _ => Reply::Hang(Vec::new()),
    })
    .await;
    for failure in 2..5 {
        up.store(1, Ordering::Relaxed);
        let cache = CacheSettings { ttl: Duration::from_millis(20), max_stale: Duration::from_millis(600) };
        let hasty = DopplerSettings { timeout: Duration::from_millis(150), ..settings(&played.url) };
        let secrets = build(vec![], Some(hasty), cache).ok().unwrap();
        assert_eq!(value(&secrets, "K").await, "good");
        let fetched = std::time::Instant::now();
        up.store(failure, Ordering::Relaxed);
        tokio::time::sleep(cache.ttl).await;
        assert_eq!(value(&secrets, "K").await, "good", "{failure}");
        becomes(&secrets, "K", "unavailable").await;
        assert!(fetched.elapsed() >= cache.max_stale, "{failure}");
    }
}

#[tokio::test]
async fn j05_a_store_that_asks_for_patience_is_asked_once() {
    let played = Played::http(|_| Reply::status("429 Too Many Requests", "retry-after: 60\r\n", "")).await;
    let secrets = build(vec![], Some(settings(&played.url)), CACHE).ok().unwrap();
    for _ in 0..20 {
        assert_eq!(value(&secrets, "K").await, "unavailable");
    }
    assert_eq!(played.calls(), 1);
}

#[tokio::test]
async fn j06_a_burst_of_misses_is_one_call_an_id_and_at_most_64_at_a_time() {
    let played = Arc::new(
        Played::http(|head| match echo_of(head) {
            Reply::Raw(bytes) => Reply::Held(bytes),
            other => other,
        })
        .await,
    );
    let patient = DopplerSettings { timeout: PATIENCE, ..settings(&played.url) };
    let secrets = Arc::new(build(vec![], Some(patient), CACHE).ok().unwrap());
    let mut calls = Vec::new();
    for n in 0..400 {
        let (secrets, id) = (secrets.clone(), format!("ID{}", n % 200));
        calls.push(tokio::spawn(async move { (value(&secrets, &id).await, id) }));
    }
    let full = async {
        while played.calls() < IN_FLIGHT {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, full).await.unwrap();
    played.release(200);
    for call in calls {
        let (value, id) = call.await.unwrap();
        assert_eq!(value, format!("project=web&config=prd&name={id}"));
    }
    assert_eq!((played.calls(), played.most_open()), (200, IN_FLIGHT));
}

#[tokio::test]
async fn j19_callers_that_hang_up_leave_one_fetch_for_the_next() {
    let played = Played::http(|_| match holding("v") {
        Reply::Raw(bytes) => Reply::Held(bytes),
        other => other,
    })
    .await;
    let patient = DopplerSettings { timeout: PATIENCE, ..settings(&played.url) };
    let secrets = build(vec![], Some(patient), CACHE).ok().unwrap();
    while played.calls() == 0 {
        let cut = tokio::time::timeout(Duration::from_millis(20), secrets.fetch("K")).await;
        assert!(cut.is_err());
    }
    played.release(1);
    assert_eq!((value(&secrets, "K").await.as_str(), played.calls()), ("v", 1));
}

#[tokio::test]
async fn j14_a_store_nobody_vouches_for_gets_no_token() {
    let played = Played::https("127.0.0.1", |_| holding("v")).await;
    let secrets = build(vec![], Some(settings(&played.url)), CACHE).ok().unwrap();
    assert_eq!((value(&secrets, "K").await.as_str(), played.calls()), ("unavailable", 0));
}

#[tokio::test]
async fn a_changed_file_is_used_within_seconds_and_a_lost_one_until_max_stale() {
    let folder = tempfile::tempdir().unwrap();
    let path: PathBuf = folder.path().join("key");
    let cache = CacheSettings { ttl: Duration::from_millis(50), max_stale: Duration::from_millis(600) };
    let secrets = build(vec![("F", Source::File(path.clone()))], None, cache).ok().unwrap();
    assert_eq!(value(&secrets, "F").await, "unavailable", "not there yet");
    for round in ["one", "two"] {
        let fresh = folder.path().join("fresh");
        std::fs::write(&fresh, format!("{round}\n")).unwrap();
        std::fs::rename(&fresh, &path).unwrap();
        becomes(&secrets, "F", round).await;
    }
    std::fs::remove_file(&path).unwrap();
    tokio::time::sleep(cache.ttl).await;
    assert_eq!(value(&secrets, "F").await, "two");
    becomes(&secrets, "F", "unavailable").await;
}

#[tokio::test]
async fn r107_no_log_line_holds_a_value_or_the_token() {
    let (log, _guard) = capture_log();
    for line in ["200 OK", "403 Forbidden", "500 Internal Server Error"] {
        for value in ["canary", "canary\ninvalid"] {
            let body = serde_json::json!({"value": {"computed": value}, "success": true}).to_string();
            let played = Played::http(move |_| Reply::status(line, "", &body)).await;
            let secrets = build(vec![], Some(settings(&played.url)), CACHE).ok().unwrap();
            let _ = secrets.fetch("NAME").await;
            assert!(played.heads()[0].contains("canary-token"));
        }
    }
    let log = log.text();
    assert_eq!(log.matches("could not be fetched").count(), 5, "{log}");
    assert!(log.contains("NAME") && !log.contains("canary"), "{log}");
}

#[tokio::test]
async fn metrics_hear_of_every_fetch() {
    #[derive(Default)]
    struct Ear(Mutex<Vec<(&'static str, &'static str)>>);
    impl Observer for Ear {
        fn fetch(&self, store: &'static str, result: &'static str, _: Duration) {
            self.0.lock().unwrap().push((store, result));
        }
        fn stale_served(&self, _: &'static str) {}
    }
    let played = Played::http(|head| match head.contains("name=A") {
        true => holding("v"),
        false => Reply::status("404 Not Found", "", ""),
    })
    .await;
    let ear = Arc::new(Ear::default());
    let lost = ("F".to_owned(), Source::File("/nonexistent/key".into()));
    let secrets = Secrets::new(vec![lost], Some(settings(&played.url)), CACHE, ear.clone()).ok().unwrap();
    for id in ["A", "A", "B", "F"] {
        value(&secrets, id).await;
    }
    let heard = ear.0.lock().unwrap().clone();
    assert_eq!(heard, [("doppler", "ok"), ("doppler", "rejected"), ("file", "unavailable")]);
}
