//! Every configured store side by side, behind one id.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use secrecy::ExposeSecret;

use super::cached::{self, Cached};
use super::doppler::{self, Doppler};
use super::file::{self, Files};
use super::fixed::Fixed;
use super::{
    CacheSettings, DopplerSettings, Error, Observer, SHORTEST_TOLD_APART, Secret, SecretStore, Source, env, told_apart,
};
use crate::BoxFuture;

/// Ids remembered by one store's cache. Ids come from the configuration, so only a mistake gets near it.
const ENTRIES: usize = 10_000;
/// The longest distance between two attempts at a remote store that fails.
const MAX_BACKOFF: Duration = Duration::from_secs(30);
/// Fetches under way at one store.
const IN_FLIGHT: usize = 64;

/// The secrets of one configuration. Dropping it drops and zeroises what it cached.
pub struct Secrets {
    entries: HashMap<String, Place>,
    fixed: Fixed,
    files: Cached<Files>,
    doppler: Option<Cached<Doppler>>,
    /// Project and config of ids that no entry names.
    default_place: Option<(String, String)>,
}

enum Place {
    Here,
    /// Its path.
    File(String),
    /// Its locator.
    Doppler(String),
}

/// One thing wrong with the configured secrets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// The entry; `None` when a store as a whole is meant.
    pub id: Option<String>,
    pub error: Error,
}

impl std::fmt::Display for Mistake {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.id {
            Some(id) => write!(f, "secret {id}: {}", self.error),
            None => write!(f, "{}", self.error),
        }
    }
}

impl Secrets {
    /// Checks every entry and store, and reads values and variables. Files and Doppler are asked at the first call,
    /// so that a store that is down does not stop the start. All mistakes come at once.
    pub fn new(
        entries: Vec<(String, Source)>,
        doppler: Option<DopplerSettings>,
        cache: CacheSettings,
        observer: Arc<dyn Observer>,
    ) -> Result<Secrets, Vec<Mistake>> {
        let mut mistakes = Vec::new();
        let mut fixed = Fixed::default();
        let mut places = HashMap::new();
        for (id, source) in entries {
            let place = match id.as_str() {
                "" => Err(Error::Misconfigured("its id is empty".to_owned())),
                _ if places.contains_key(&id) => Err(Error::Misconfigured("its id is given twice".to_owned())),
                _ => locate(&id, source, doppler.as_ref(), &mut fixed),
            };
            match place {
                Ok(place) => drop(places.insert(id, place)),
                Err(error) => mistakes.push(Mistake { id: Some(id), error }),
            }
        }
        let mut secrets = Secrets {
            entries: places,
            fixed,
            files: Cached::new(Files::default(), file_cache(cache), observer.clone()),
            doppler: None,
            default_place: None,
        };
        if let Some(settings) = doppler
            && let Err(error) = secrets.add_doppler(&settings, cache, observer)
        {
            mistakes.push(Mistake { id: None, error });
        }
        if mistakes.is_empty() { Ok(secrets) } else { Err(mistakes) }
    }

    fn add_doppler(
        &mut self,
        settings: &DopplerSettings,
        cache: CacheSettings,
        observer: Arc<dyn Observer>,
    ) -> Result<(), Error> {
        let is_used = self.entries.values().any(|place| matches!(place, Place::Doppler(_)));
        self.default_place = default_place(settings, is_used)?;
        let store = Doppler::new(settings)?;
        self.doppler = Some(Cached::new(store, doppler_cache(settings.timeout, cache), observer));
        Ok(())
    }

    async fn ask_doppler(&self, locator: &str) -> Result<Secret, Error> {
        self.doppler.as_ref().ok_or(Error::Unknown)?.fetch(locator).await
    }

    async fn by_name(&self, name: &str) -> Result<Secret, Error> {
        let (project, config) = self.default_place.as_ref().filter(|_| !name.is_empty()).ok_or(Error::Unknown)?;
        self.ask_doppler(&doppler::locator(project, config, name)).await
    }
}

impl SecretStore for Secrets {
    /// An entry's secret; for an id without an entry the Doppler secret of that name, where there is a token.
    fn fetch<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<Secret, Error>> {
        match self.entries.get(id) {
            Some(Place::Here) => self.fixed.fetch(id),
            Some(Place::File(path)) => self.files.fetch(path),
            Some(Place::Doppler(locator)) => Box::pin(self.ask_doppler(locator)),
            None => Box::pin(self.by_name(id)),
        }
    }
}

/// Where one entry's secret is, with everything checked that can be checked without asking anyone.
fn locate(id: &str, source: Source, doppler: Option<&DopplerSettings>, fixed: &mut Fixed) -> Result<Place, Error> {
    match source {
        Source::Value(value) => {
            let value = Secret::new(value.expose_secret().to_owned());
            fixed.insert(id.to_owned(), value.map_err(|error| Error::Misconfigured(error.to_string()))?);
            Ok(Place::Here)
        }
        Source::Env(name) => {
            let value = env::read(&name)?;
            if told_apart(value.expose_secret().as_bytes()).is_none() {
                tracing::warn!(
                    secret_id = id,
                    "a secret of fewer than {SHORTEST_TOLD_APART} bytes: answers are not searched for it"
                );
            }
            fixed.insert(id.to_owned(), value);
            Ok(Place::Here)
        }
        Source::File(path) => match path.to_str() {
            Some(path) => Ok(Place::File(path.to_owned())),
            None => Err(Error::Misconfigured(format!("the path {} is not UTF-8", path.display()))),
        },
        Source::Doppler { project, config, name } => {
            let settings = doppler.ok_or_else(|| Error::Misconfigured("it needs a Doppler token".to_owned()))?;
            let project = named("project", project, &settings.project)?;
            let config = named("config", config, &settings.config)?;
            let name = named("name", Some(name), &None)?;
            Ok(Place::Doppler(doppler::locator(&project, &config, &name)))
        }
    }
}

fn named(what: &str, own: Option<String>, default: &Option<String>) -> Result<String, Error> {
    let chosen = own.or_else(|| default.clone()).filter(|name| !name.trim().is_empty());
    chosen.ok_or_else(|| Error::Misconfigured(format!("it needs a Doppler {what}")))
}

/// A token without project and config serves only entries that say both themselves.
fn default_place(settings: &DopplerSettings, is_used: bool) -> Result<Option<(String, String)>, Error> {
    match (&settings.project, &settings.config) {
        (Some(project), Some(config)) => Ok(Some((project.clone(), config.clone()))),
        _ if is_used => Ok(None),
        _ => Err(Error::Misconfigured("a Doppler token needs a Doppler project and a Doppler config".to_owned())),
    }
}

fn doppler_cache(timeout: Duration, cache: CacheSettings) -> cached::Settings {
    let CacheSettings { ttl, max_stale } = cache;
    cached::Settings {
        store: doppler::STORE,
        ttl,
        max_stale,
        timeout,
        max_backoff: MAX_BACKOFF,
        entries: ENTRIES,
        in_flight: IN_FLIGHT,
    }
}

/// A file is near: it is read again after seconds, and a TTL longer than that would only hide a rotation.
fn file_cache(cache: CacheSettings) -> cached::Settings {
    cached::Settings {
        store: file::STORE,
        ttl: cache.ttl.min(file::REREAD),
        max_stale: cache.max_stale,
        timeout: file::TIMEOUT,
        max_backoff: file::REREAD,
        entries: ENTRIES,
        in_flight: IN_FLIGHT,
    }
}

#[cfg(test)]
mod tests;
