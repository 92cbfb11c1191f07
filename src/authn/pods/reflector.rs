//! Lists the objects of one kind, follows what becomes of them, and begins again whenever that ends.

use std::sync::Arc;
use std::time::Duration;

use http::Uri;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use tokio::sync::watch;
use tokio::time::Instant;

use super::Known;
use super::backoff::{Backoff, lot};
use super::failure::Failure;
use super::index::{Health, Index};
use super::lines::{Event, Lines};
use super::list;
use super::object::Kind;
use crate::authn::Unavailable;
use crate::authn::api_server::ApiServer;
use crate::gate::deadline::timeout;

/// A whole list.
const LIST_LIMIT: Duration = Duration::from_secs(30);
/// The head of a watch's answer, which comes at once when all is well.
const HEAD_LIMIT: Duration = Duration::from_secs(10);
/// The API server sends a bookmark about once a minute, so a watch that is silent for longer hangs on a dead connection.
const SILENCE_LIMIT: Duration = Duration::from_secs(90);
/// How long the API server shall keep a watch open, at most; drawn by lot from the upper half.
const WATCH_SECONDS: f64 = 600.0;
/// A watch that was open for so long has not ended "at once".
const AT_ONCE: Duration = Duration::from_secs(5);
/// What has not been confirmed for so long is forgotten.
const MAX_STALE: Duration = Duration::from_secs(300);

/// Keeps an [`Index`] current for as long as [`Reflector::run`] is polled.
pub struct Reflector<T> {
    api_server: Arc<ApiServer>,
    field_selector: Option<String>,
    index: watch::Sender<Index<T>>,
    /// Goes on from here; `None`: lists first.
    version: Option<String>,
    /// The next list must be current: an older one was of no use.
    exact: bool,
    backoff: Backoff,
    /// A watch has ended as watches do now and then, and nothing has come since.
    excused: bool,
    /// When the API server last said anything that was good.
    heard: Instant,
    /// What the log was told last; `None` while all is well.
    told: Option<String>,
}

impl<T: Kind> Reflector<T> {
    /// Watches what the selector selects (all without one). `metadata`: see [`Index::new`]. Nothing is sent yet.
    pub fn new(api_server: Arc<ApiServer>, field_selector: Option<String>, metadata: bool) -> (Self, Known<T>) {
        let (index, known) = watch::channel(Index::new(metadata));
        let reflector = Reflector {
            api_server,
            field_selector,
            index,
            version: None,
            exact: false,
            backoff: Backoff::default(),
            excused: false,
            heard: Instant::now(),
            told: None,
        };
        (reflector, known)
    }

    /// Lists and watches until dropped.
    pub async fn run(mut self) {
        loop {
            let failure = self.round().await.err();
            let rest = self.backoff.rest(failure.as_ref().and_then(Failure::asked_rest));
            if let Some(failure) = failure {
                self.fail(&failure);
            }
            tokio::time::sleep(rest).await;
        }
    }

    /// A list if one is needed, and a watch to its end.
    async fn round(&mut self) -> Result<(), Failure> {
        let version = match self.version.take() {
            Some(version) => version,
            None => within(LIST_LIMIT, self.list()).await?,
        };
        self.version = Some(version.clone());
        let lines = within(HEAD_LIMIT, self.watch(&version)).await?;
        self.recover();
        let begun = Instant::now();
        let ended = self.follow(lines).await;
        self.index.send_modify(|index| index.health = Health::Starting);
        let at_once = begun.elapsed() < AT_ONCE;
        if !at_once {
            self.prosper();
        }
        if ended? == 0 && at_once { Err(Failure::Closed) } else { Ok(()) }
    }

    /// From the API server's own cache, as the kubelet does it (`resourceVersion=0`), so that many nodes do not make etcd
    /// work; only when that was too old, from etcd.
    async fn list(&mut self) -> Result<String, Failure> {
        let from_cache = if self.exact { "" } else { "resourceVersion=0" };
        let answer = self.api_server.open(self.uri(from_cache)?).await?;
        let empty = self.index.borrow().emptied();
        let list::Listed { index, version, left_out } = list::read(answer.into_body(), empty).await?;
        if left_out > 0 {
            tracing::error!(left_out, "not all {} fit into memory; those left out are unknown", T::NOUN);
        }
        let count = index.len();
        self.index.send_modify(|current| *current = index);
        self.exact = false;
        tracing::debug!(count, version, "{} are listed", T::NOUN);
        self.recover();
        Ok(version)
    }

    /// Begins a watch of what happens after a version.
    async fn watch(&self, version: &str) -> Result<Lines, Failure> {
        let seconds = (WATCH_SECONDS * (0.5 + 0.5 * lot())) as u32;
        let version = utf8_percent_encode(version, NON_ALPHANUMERIC);
        let query = format!("watch=true&allowWatchBookmarks=true&timeoutSeconds={seconds}&resourceVersion={version}");
        let answer = self.api_server.open(self.uri(&query)?).await?;
        Ok(Lines::of(answer.into_body()))
    }

    /// Takes in events until the API server ends the watch; returns how many there were.
    async fn follow(&mut self, mut lines: Lines) -> Result<usize, Failure> {
        let mut events = 0;
        loop {
            let line = timeout(SILENCE_LIMIT, lines.next()).await.map_err(|_| Failure::Silent(SILENCE_LIMIT))??;
            let Some(line) = line else { return Ok(events) };
            let event = Event::read(&line)?;
            self.heard = Instant::now();
            self.prosper();
            if !event.version().is_empty() {
                self.version = Some(event.version().to_owned());
            }
            self.take(event);
            events += 1;
        }
    }

    fn take(&mut self, event: Event) {
        match event {
            Event::Put(object) => {
                let mut fits = true;
                self.index.send_modify(|index| fits = index.put(object));
                if !fits {
                    tracing::error!("not all {} fit into memory; the newest are unknown", T::NOUN);
                }
            }
            Event::Deleted(object) => self.index.send_modify(|index| index.remove(T::key(&object.metadata))),
            Event::Bookmark(_) => {}
        }
    }

    fn uri(&self, query: &str) -> Result<Uri, Failure> {
        let selector = self
            .field_selector
            .as_deref()
            .map(|selector| format!("fieldSelector={}", utf8_percent_encode(selector, NON_ALPHANUMERIC)));
        let query: Vec<&str> = selector.as_deref().into_iter().chain([query]).filter(|part| !part.is_empty()).collect();
        let uri = format!("{}?{}", T::PATH, query.join("&"));
        uri.parse().map_err(|_| Failure::Unreadable("a resourceVersion that is none".into()))
    }

    /// A watch does what it should.
    fn prosper(&mut self) {
        self.excused = false;
        self.backoff.reset();
    }

    /// All is well (again).
    fn recover(&mut self) {
        self.heard = Instant::now();
        self.index.send_if_modified(|index| std::mem::replace(&mut index.health, Health::Live) != Health::Live);
        if self.told.take().is_some() {
            self.excused = false;
            tracing::info!("{} can be watched again", T::NOUN);
        }
    }

    /// What is known stays in use for a while. Logs the beginning and the changes of an outage, not every try in it.
    fn fail(&mut self, failure: &Failure) {
        if failure.asks_for_a_list() {
            (self.version, self.exact) = (None, true);
        }
        let error = failure.describe::<T>();
        if failure.is_usual() && !self.excused && self.told.is_none() {
            self.excused = true;
            tracing::debug!(error, "the watch of {} is begun anew", T::NOUN);
            return;
        }
        self.index.send_modify(|index| index.health = Health::Failing(error.as_str().into()));
        if self.heard.elapsed() >= MAX_STALE {
            // A version that is no good any more would be refused for ever.
            self.version = None;
            self.forget();
        }
        if self.told.as_ref() != Some(&error) {
            tracing::error!(error, "{} cannot be watched", T::NOUN);
            self.told = Some(error);
        }
    }

    fn forget(&self) {
        if self.index.borrow().len() > 0 {
            self.index.send_modify(Index::forget);
            tracing::error!("the {} known so far are forgotten: none was confirmed for {MAX_STALE:?}", T::NOUN);
        }
    }
}

async fn within<R>(limit: Duration, answer: impl Future<Output = Result<R, Failure>>) -> Result<R, Failure> {
    timeout(limit, answer).await.unwrap_or_else(|_| Err(Unavailable::Timeout(limit).into()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::authn::cluster::{Cluster, Environment};
    use crate::authn::played::{self, Play, PlayedApiServer};
    use crate::authn::pods::Pod;
    use crate::authn::pods::index::Answer;
    use serde_json::json;

    /// Nobody polls it: the test plays the API server's part.
    async fn reflector() -> (Reflector<Pod>, Known<Pod>) {
        let server = PlayedApiServer::start(Play::Hang).await;
        let pod = played::Pod::beside(&server);
        let cluster = Cluster::find(&pod.settings, &Environment::default()).await.unwrap();
        let api_server = ApiServer::new(cluster, pod.settings.timeout).await.unwrap();
        let (mut reflector, known) = Reflector::new(Arc::new(api_server), None, false);
        reflector.version = Some("7".into());
        reflector.recover();
        let object = json!({"metadata": {"uid": "a"}});
        reflector.take(Event::Put(serde_json::from_value(object).unwrap()));
        (reflector, known)
    }

    #[tokio::test]
    async fn what_was_not_confirmed_for_too_long_is_forgotten() {
        let (mut reflector, known) = reflector().await;
        tokio::time::pause();
        tokio::time::advance(MAX_STALE - Duration::from_secs(1)).await;
        reflector.fail(&Unavailable::Rbac.into());
        assert!(matches!(known.borrow().find("a"), Answer::Known(_)));
        assert!(matches!(known.borrow().find("b"), Answer::Unsure(_)));
        tokio::time::advance(Duration::from_secs(1)).await;
        reflector.fail(&Unavailable::Rbac.into());
        assert!(matches!(known.borrow().find("a"), Answer::Unsure(why) if why.contains("RBAC")));
        assert_eq!(reflector.version, None, "all is listed anew");
    }

    #[tokio::test]
    async fn a_watch_may_break_off_now_and_then_but_not_in_a_row() {
        let (mut reflector, known) = reflector().await;
        let broken = || Failure::Broken("x".into());
        for _ in 0..2 {
            reflector.fail(&broken());
            assert!(!known.borrow().is_failing());
            reflector.recover();
            reflector.prosper();
        }
        reflector.fail(&broken());
        assert!(!known.borrow().is_failing());
        reflector.recover();
        reflector.fail(&broken());
        assert!(known.borrow().is_failing());
        reflector.recover();
        assert_eq!(known.borrow().health, Health::Live);
    }

    #[tokio::test]
    async fn only_a_lost_version_needs_a_list() {
        for (failure, listed) in [
            (Failure::Gone, true),
            (Failure::Unreadable("x".into()), true),
            (Failure::Broken("x".into()), false),
            (Failure::Closed, false),
            (Failure::Silent(SILENCE_LIMIT), false),
            (Unavailable::Rbac.into(), false),
            (Unavailable::Status(410).into(), true),
            (Unavailable::Status(500).into(), false),
        ] {
            let (mut reflector, _known) = reflector().await;
            reflector.fail(&failure);
            assert_eq!((reflector.version.is_none(), reflector.exact), (listed, listed), "{failure:?}");
        }
    }
}
