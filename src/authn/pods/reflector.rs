//! Lists the objects of one kind, follows what becomes of them, and begins again whenever that ends.

use std::sync::Arc;
use std::time::Duration;

use http::Uri;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

use super::Known;
use super::backoff::{Backoff, lot};
use super::failure::Failure;
use super::index::{Health, Index};
use super::lines::{Event, Lines};
use super::list;
use super::object::Kind;
use crate::authn::api_server::ApiServer;

/// A whole list, or the head of a watch's answer.
const ANSWER_LIMIT: Duration = Duration::from_secs(30);
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
            heard: Instant::now(),
            told: None,
        };
        (reflector, known)
    }

    /// Lists and watches until dropped.
    pub async fn run(mut self) {
        loop {
            let failure = self.round().await.err();
            let first = self.backoff.is_fresh();
            let rest = self.backoff.rest(failure.as_ref().and_then(Failure::asked_rest));
            if let Some(failure) = failure {
                self.fail(&failure, first);
            }
            tokio::time::sleep(rest).await;
        }
    }

    /// A list if one is needed, and a watch to its end.
    async fn round(&mut self) -> Result<(), Failure> {
        let version = match self.version.take() {
            Some(version) => version,
            None => timeout(ANSWER_LIMIT, self.list()).await.unwrap_or(Err(Failure::Silent(ANSWER_LIMIT)))?,
        };
        self.version = Some(version);
        let begun = Instant::now();
        let ended = self.watch().await;
        let at_once = begun.elapsed() < AT_ONCE;
        if !at_once {
            self.backoff.reset();
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

    /// Takes in events until the API server ends the watch; returns how many there were.
    async fn watch(&mut self) -> Result<usize, Failure> {
        let version = self.version.clone().unwrap_or_default();
        let seconds = (WATCH_SECONDS * (0.5 + 0.5 * lot())) as u32;
        let query = format!("watch=true&allowWatchBookmarks=true&timeoutSeconds={seconds}&resourceVersion={version}");
        let opened = timeout(ANSWER_LIMIT, self.api_server.open(self.uri(&query)?)).await;
        let answer = opened.map_err(|_| Failure::Silent(ANSWER_LIMIT))??;
        self.recover();
        let mut lines = Lines::of(answer.into_body());
        for events in 0.. {
            let line = timeout(SILENCE_LIMIT, lines.next()).await.map_err(|_| Failure::Silent(SILENCE_LIMIT))??;
            let Some(line) = line else { return Ok(events) };
            let event = Event::read(&line)?;
            self.backoff.reset();
            self.heard = Instant::now();
            if !event.version().is_empty() {
                self.version = Some(event.version().to_owned());
            }
            self.take(event);
        }
        Ok(0)
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

    /// All is well (again).
    fn recover(&mut self) {
        self.heard = Instant::now();
        self.index.send_if_modified(|index| std::mem::replace(&mut index.health, Health::Live) != Health::Live);
        if self.told.take().is_some() {
            tracing::info!("{} can be watched again", T::NOUN);
        }
    }

    /// What is known stays in use for a while. Logs the beginning and the changes of an outage, not every try in it.
    /// `first`: nothing went wrong before it.
    fn fail(&mut self, failure: &Failure, first: bool) {
        if failure.asks_for_a_list() {
            (self.version, self.exact) = (None, true);
        }
        let error = failure.describe::<T>();
        if first && failure.is_usual() && self.index.borrow().health == Health::Live {
            tracing::debug!(error, "the watch of {} is begun anew", T::NOUN);
            return;
        }
        self.index.send_modify(|index| index.health = Health::Failing(error.as_str().into()));
        if self.heard.elapsed() >= MAX_STALE && self.index.borrow().len() > 0 {
            self.version = None;
            self.index.send_modify(Index::forget);
            tracing::error!("the {} known so far are forgotten: none was confirmed for {MAX_STALE:?}", T::NOUN);
        }
        if self.told.as_ref() != Some(&error) {
            tracing::error!(error, "{} cannot be watched", T::NOUN);
            self.told = Some(error);
        }
    }
}
