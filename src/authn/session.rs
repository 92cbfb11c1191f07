//! The session secret: one shared secret, one configured user.

use std::sync::Arc;

use secrecy::{ExposeSecret, SecretString};
use subtle::ConstantTimeEq;

use super::{Authenticator, Error, Identity, Sha256, Source, User, sha256};
use crate::BoxFuture;
use crate::request::Credential;

/// The least length of a session secret in bytes: 128 bits if every byte is random.
pub const MIN_BYTES: usize = 16;

/// The configured session secret, kept only as its SHA-256.
pub struct SessionSecret {
    digest: Sha256,
}

/// A session secret that is not worth the name.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum TooShort {
    #[error("the session secret is empty; make one with `openssl rand -hex 32`, or leave it out altogether")]
    Empty,
    #[error("the session secret has {0} bytes, at least {MIN_BYTES} are needed; make one with `openssl rand -hex 32`")]
    Short(usize),
}

impl SessionSecret {
    /// Fails if the secret is empty or under [`MIN_BYTES`].
    pub fn new(secret: &SecretString) -> Result<Self, TooShort> {
        match secret.expose_secret().len() {
            0 => Err(TooShort::Empty),
            short if short < MIN_BYTES => Err(TooShort::Short(short)),
            _ => Ok(Self { digest: sha256(secret.expose_secret()) }),
        }
    }

    /// Whether this is the secret. Takes the same time wherever the two differ: digests are compared, all bytes of them.
    pub fn matches(&self, presented: &str) -> bool {
        self.digest.ct_eq(&sha256(presented)).into()
    }
}

/// Whoever knows the session secret is the configured user.
pub struct Session {
    secret: SessionSecret,
    identity: Arc<Identity>,
}

impl Session {
    pub fn new(secret: SessionSecret, user: User) -> Self {
        Self { secret, identity: Arc::new(Identity::Static(user)) }
    }
}

impl Authenticator for Session {
    fn authenticate<'a>(
        &'a self,
        credential: &'a Credential,
        _: Source,
    ) -> BoxFuture<'a, Result<Arc<Identity>, Error>> {
        let outcome = match credential {
            Credential::SessionSecret(presented) if self.secret.matches(presented.expose_secret()) => {
                Ok(self.identity.clone())
            }
            Credential::SessionSecret(_) => Err(Error::WrongSessionSecret),
            Credential::Token(_) => Err(Error::KubernetesDisabled),
        };
        Box::pin(std::future::ready(outcome))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(text: &str) -> SecretString {
        SecretString::from(text)
    }

    #[test]
    fn h38_an_empty_or_short_session_secret_is_refused() {
        assert_eq!(SessionSecret::new(&secret("")).err(), Some(TooShort::Empty));
        assert_eq!(SessionSecret::new(&secret("8 bytes!")).err(), Some(TooShort::Short(8)));
        assert_eq!(SessionSecret::new(&secret("fifteen bytes..")).err(), Some(TooShort::Short(15)));
        assert!(SessionSecret::new(&secret("sixteen bytes...")).is_ok());
    }

    #[test]
    fn only_the_whole_secret_matches() {
        let configured = SessionSecret::new(&secret("correct horse battery")).unwrap();
        assert!(configured.matches("correct horse battery"));
        for wrong in
            ["", "correct horse batter", "correct horse battery ", "Correct horse battery", "xorrect horse battery"]
        {
            assert!(!configured.matches(wrong), "{wrong:?}");
        }
    }

    #[tokio::test]
    async fn the_secret_yields_the_configured_user() {
        let user = User { id: "alice".into(), email: "alice@example.com".into(), org: "engineering".into() };
        let session = Session::new(SessionSecret::new(&secret("correct horse battery")).unwrap(), user.clone());
        let peer = std::net::IpAddr::from([127, 0, 0, 1]).into();

        let good = Credential::SessionSecret(secret("correct horse battery"));
        assert_eq!(*session.authenticate(&good, peer).await.unwrap(), Identity::Static(user));

        let bad = Credential::SessionSecret(secret("correct horse batterx"));
        assert!(matches!(session.authenticate(&bad, peer).await, Err(Error::WrongSessionSecret)));

        let token = Credential::Token(secret("a.b.c"));
        assert!(matches!(session.authenticate(&token, peer).await, Err(Error::KubernetesDisabled)));
    }
}
