//! All routes, found by the host that a call names.

use std::collections::HashMap;
use std::sync::Arc;

use super::{Entry, Error, Names, Route, RouteSettings};
use crate::request::Host;

/// One entry of `routes` with the hosts that it is for.
#[derive(Debug)]
pub enum Listed {
    One(Arc<Route>),
    /// The hosts become known with the calls to them.
    Wildcard(Arc<Entry>),
}

/// All routes, found by host and port.
#[derive(Debug, Default)]
pub struct Routes {
    all: Vec<Listed>,
    by_name: HashMap<String, Vec<Arc<Route>>>,
    by_domain: HashMap<String, Vec<Arc<Entry>>>,
    by_local_name: HashMap<String, Arc<Route>>,
    have_caller_slots: bool,
}

impl Routes {
    /// Compiles every route; all mistakes at once, each with its route's position.
    pub fn compile(settings: Vec<RouteSettings>) -> Result<Routes, Vec<(usize, Error)>> {
        let (mut routes, mut mistakes) = (Routes::default(), Vec::new());
        for (index, settings) in settings.into_iter().enumerate() {
            let added = Entry::compile(index, settings).and_then(|(names, entry)| routes.add(names, entry));
            added.unwrap_or_else(|error| mistakes.push((index, error)));
        }
        if mistakes.is_empty() { Ok(routes) } else { Err(mistakes) }
    }

    fn add(&mut self, names: Names, entry: Entry) -> Result<(), Error> {
        self.have_caller_slots |= !entry.caller_slots.is_empty();
        let listed = match names {
            Names::One(host) => Listed::One(self.add_host(host, entry)?),
            Names::Below(domain) => Listed::Wildcard(self.add_wildcard(&domain, entry)?),
        };
        self.all.push(listed);
        Ok(())
    }

    fn add_host(&mut self, host: Host, entry: Entry) -> Result<Arc<Route>, Error> {
        let namesakes = self.by_name.entry(host.name().to_owned()).or_default();
        if namesakes.iter().any(|other| other.is_taken_for(&entry)) {
            return Err(Error::Duplicate(entry.label));
        }
        let route = Arc::new(Route::of(Arc::new(entry), host)?);
        if let Some(name) = &route.local_name
            && self.by_local_name.insert(name.clone(), route.clone()).is_some()
        {
            return Err(Error::DuplicateLocalName(name.clone()));
        }
        namesakes.push(route.clone());
        Ok(route)
    }

    fn add_wildcard(&mut self, domain: &Host, entry: Entry) -> Result<Arc<Entry>, Error> {
        let namesakes = self.by_domain.entry(domain.name().to_owned()).or_default();
        if namesakes.iter().any(|other| other.is_taken_for(&entry)) {
            return Err(Error::Duplicate(entry.label));
        }
        if let Some(name) = entry.local_name {
            return Err(Error::LocalNameOfMany(name));
        }
        let entry = Arc::new(entry);
        namesakes.push(entry.clone());
        Ok(entry)
    }

    /// The route for a caller's host: without a port, the one on its scheme's default port. The one that names the host
    /// goes before the one that names all below a domain.
    pub fn find(&self, host: &Host) -> Option<Arc<Route>> {
        let namesakes = self.by_name.get(host.name()).map_or(&[][..], Vec::as_slice);
        match namesakes.iter().find(|route| route.is_meant_by(host.port())) {
            Some(route) => Some(Arc::clone(route)),
            None => self.find_below(host, namesakes),
        }
    }

    fn find_below(&self, host: &Host, namesakes: &[Arc<Route>]) -> Option<Arc<Route>> {
        let (label, domain) = host.name().split_once('.')?;
        let entry = self.by_domain.get(domain)?.iter().find(|entry| entry.is_meant_by(host.port()))?;
        // Policy and upstream would take the host for the one that has a route of its own.
        let is_hidden = namesakes.iter().any(|route| route.is_taken_for(entry));
        // Some names have an underscore; only a route that names them can say so.
        if is_hidden || label.contains('_') {
            return None;
        }
        Route::of(Arc::clone(entry), host.clone()).ok().map(Arc::new)
    }

    /// The route with this `local_name`.
    pub fn find_local(&self, name: &str) -> Option<&Arc<Route>> {
        self.by_local_name.get(name)
    }

    /// Whether any route has slots of its own; without, nobody has to look for one before the caller is known.
    pub fn have_caller_slots(&self) -> bool {
        self.have_caller_slots
    }

    /// In the order of the configuration.
    pub fn iter(&self) -> impl Iterator<Item = &Listed> {
        self.all.iter()
    }
}

impl Listed {
    pub fn entry(&self) -> &Entry {
        match self {
            Listed::One(route) => route,
            Listed::Wildcard(entry) => entry,
        }
    }
}

#[cfg(test)]
mod tests;
