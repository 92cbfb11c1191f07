//! The CA of forward mode, read at the start and again while the program runs.

use std::sync::Arc;
use std::time::Duration;

use crate::ca::{Authority, Ca, Error, Source};
use crate::config::Forward;
use crate::metrics::Metrics;

/// How soon changed files are noticed.
const REREAD: Duration = Duration::from_secs(2);

/// The CA that is there already; a bad one stops the start. Makes nothing.
pub fn read(settings: &Forward) -> Result<Option<Authority>, Error> {
    match &settings.ca {
        Some(source) if settings.enabled => source.read(),
        _ => Ok(None),
    }
}

/// The CA to intercept with, made if it is still to be. Without a place to make one, the start goes on: nobody may need
/// it, and whoever does is told.
pub fn ready(settings: &Forward, there: Option<Authority>) -> Option<Arc<Ca>> {
    if !settings.enabled {
        return None;
    }
    let made = match (there, &settings.ca) {
        (Some(authority), _) => Ok(authority),
        (None, Some(source)) => source.read_or_make(),
        (None, None) => {
            tracing::info!("no CA, so CONNECT is refused: set state_dir, or forward.ca_cert_file and ca_key_file");
            return None;
        }
    };
    match made {
        Ok(authority) => Some(Arc::new(Ca::new(authority))),
        Err(error) => {
            tracing::info!(%error, "no CA can be made, so CONNECT is refused: set state_dir, or forward.ca_cert_file and ca_key_file");
            None
        }
    }
}

/// What takes up changed files, if they are to be looked at.
pub fn renewal(settings: &Forward, ca: Option<&Arc<Ca>>, metrics: &Arc<Metrics>) -> Option<Renewal> {
    let (ca, source) = ca.zip(settings.ca.clone().filter(|_| settings.reread))?;
    Some(Renewal { last: Ok(ca.pem()), ca: Arc::clone(ca), source, metrics: Arc::clone(metrics) })
}

/// Looks at the CA's files again and again.
pub struct Renewal {
    ca: Arc<Ca>,
    source: Source,
    metrics: Arc<Metrics>,
    /// The certificate, to which only one key belongs, or what was wrong. No time of the files: a CA
    /// becomes good or bad without a change when its first or last day comes.
    last: Result<String, String>,
}

impl Renewal {
    /// Never ends.
    pub async fn watch(mut self) {
        loop {
            tokio::time::sleep(REREAD).await;
            let source = self.source.clone();
            // A file system may hang as a server does; what is signed goes on meanwhile.
            let Ok(read) = tokio::task::spawn_blocking(move || source.read_again()).await else { continue };
            self.take(read);
        }
    }

    /// A good CA that is another one signs from now on. What is bad is told once and changes nothing.
    fn take(&mut self, read: Result<Authority, Error>) {
        // Nothing was seen of the files; the next turn may.
        if matches!(read, Err(Error::NoOpenFiles { .. })) {
            return;
        }
        let seen = read.as_ref().map(|authority| authority.pem().to_owned()).map_err(ToString::to_string);
        if seen == self.last {
            return;
        }
        self.last = seen;
        self.metrics.forward_ca_reloaded(read.is_ok());
        match read {
            Ok(authority) => {
                self.ca.replace(authority);
                tracing::info!("forward: the changed files of the CA are in use");
            }
            Err(error) => {
                tracing::warn!(%error, "forward: the CA in the files is not good; the last good one stays")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt;
    use std::path::Path;

    use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair};
    use time::OffsetDateTime;

    use super::*;
    use crate::metrics::AuditCounts;

    /// Writes certificate and key where the CA is kept.
    fn put(directory: &Path, (cert, key): (&str, &str)) {
        fs::write(directory.join("ca.crt"), cert).unwrap();
        fs::write(directory.join("ca.key"), key).unwrap();
        fs::set_permissions(directory.join("ca.key"), Permissions::from_mode(0o600)).unwrap();
    }

    fn started(ca: Source, reread: bool) -> Option<Renewal> {
        let settings = Forward { enabled: true, ca: Some(ca), reread };
        let there = read(&settings).unwrap();
        renewal(&settings, ready(&settings, there).as_ref(), &Arc::default())
    }

    fn look(renewal: &mut Renewal) {
        renewal.take(renewal.source.read_again());
    }

    fn metrics(renewal: &Renewal) -> String {
        renewal.metrics.render(AuditCounts { written: 0, dropped: 0 }).unwrap()
    }

    fn failures(renewal: &Renewal) -> usize {
        let text = metrics(renewal);
        let count =
            text.lines().find_map(|line| line.strip_prefix("veilwarden_forward_ca_reloads_total{result=\"failure\"} "));
        count.map_or(0, |count| count.parse().unwrap())
    }

    fn is_failing(renewal: &Renewal) -> bool {
        metrics(renewal).contains("\nveilwarden_forward_ca_reload_failing 1\n")
    }

    #[test]
    fn g28_only_a_good_pair_takes_the_place_of_the_last_good_one() {
        let [first, second] = [(); 2].map(|()| Authority::make().unwrap());
        let home = tempfile::tempdir().unwrap();
        let (cert, key) = (home.path().join("ca.crt"), home.path().join("ca.key"));
        for source in
            [Source::Given { cert: cert.clone(), key: key.clone() }, Source::Made { state_dir: home.path().to_owned() }]
        {
            put(home.path(), (&first.0, &first.1));
            let mut renewal = started(source, true).unwrap();
            let half = second.0.len() / 2;
            for (told, (what, new)) in [
                ("a certificate without its key", (&second.0[..], &first.1[..])),
                ("a key without its certificate", (&first.0, &second.1)),
                ("half a certificate", (&second.0[..half], &second.1)),
                ("no certificate", ("", &second.1)),
                ("half a key", (&second.0, &second.1[..second.1.len() / 2])),
            ]
            .into_iter()
            .enumerate()
            {
                put(home.path(), new);
                look(&mut renewal);
                look(&mut renewal);
                assert_eq!((renewal.ca.pem(), is_failing(&renewal)), (first.0.clone(), true), "{what}");
                assert_eq!(failures(&renewal), told + 1, "{what}: told once");
                put(home.path(), (&first.0, &first.1));
                look(&mut renewal);
                assert!(!is_failing(&renewal), "{what}");
            }
            put(home.path(), (&second.0, &second.1));
            fs::set_permissions(&key, Permissions::from_mode(0o604)).unwrap();
            look(&mut renewal);
            assert_eq!((renewal.ca.pem(), is_failing(&renewal)), (first.0.clone(), true), "g26 a key open to others");
            fs::remove_file(&cert).unwrap();
            look(&mut renewal);
            assert_eq!((renewal.ca.pem(), is_failing(&renewal)), (first.0.clone(), true), "it is gone");
            put(home.path(), (&second.0, &second.1));
            look(&mut renewal);
            assert_eq!((renewal.ca.pem(), is_failing(&renewal)), (second.0.clone(), false));
        }
    }

    #[test]
    fn g28_a_ca_that_expires_is_told_and_heals_when_it_is_replaced() {
        let (home, key, now) = (tempfile::tempdir().unwrap(), KeyPair::generate().unwrap(), OffsetDateTime::now_utc());
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.not_after = now - Duration::from_secs(60);
        let (old, key) = (params.self_signed(&key).unwrap().pem(), key.serialize_pem());
        put(home.path(), (&old, &key));
        let ca = Ca::new(Authority::read(&old, &key, now - Duration::from_secs(3600)).unwrap());
        let source = Source::Made { state_dir: home.path().to_owned() };
        let mut renewal = Renewal { last: Ok(ca.pem()), ca: Arc::new(ca), source, metrics: Arc::default() };
        look(&mut renewal);
        assert_eq!((renewal.ca.pem(), is_failing(&renewal)), (old, true));
        let (cert, key) = Authority::make().unwrap();
        put(home.path(), (&cert, &key));
        look(&mut renewal);
        assert_eq!((renewal.ca.pem(), is_failing(&renewal)), (cert, false));
    }

    #[test]
    fn a_want_of_descriptors_says_nothing_about_the_ca() {
        let home = tempfile::tempdir().unwrap();
        let mut renewal = started(Source::Made { state_dir: home.path().to_owned() }, true).unwrap();
        renewal.take(Err(Error::NoOpenFiles { path: "ca.crt".to_owned() }));
        assert_eq!((failures(&renewal), is_failing(&renewal)), (0, false));
        renewal.take(Err(Error::NotACa));
        renewal.take(Err(Error::NoOpenFiles { path: "ca.crt".to_owned() }));
        assert_eq!((failures(&renewal), is_failing(&renewal)), (1, true), "what was wrong stays so");
    }

    #[test]
    fn g28_a_ca_whose_files_are_deleted_on_purpose_is_not_looked_at_again() {
        let home = tempfile::tempdir().unwrap();
        let source = Source::Made { state_dir: home.path().to_owned() };
        assert!(started(source.clone(), true).is_some());
        assert!(started(source, false).is_none());
    }
}
