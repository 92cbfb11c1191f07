//! Looks at a token here first, so that garbage never reaches the API server, and then asks the API server.

use std::sync::Arc;
use std::time::Duration;

use secrecy::ExposeSecret;

use super::jwks::Jwks;
use super::token_review::TokenReviewer;
use super::{Authenticator, Error, Identity, Source};
use crate::BoxFuture;
use crate::request::Credential;

/// `validate_method: both`. What the API server answers is the identity; what we found may only refuse.
pub struct Both {
    here: Jwks,
    there: TokenReviewer,
}

impl Both {
    pub fn new(here: Jwks, there: TokenReviewer) -> Both {
        Both { here, there }
    }

    async fn judge(&self, credential: &Credential, peer: Source) -> Result<Arc<Identity>, Error> {
        let Credential::Token(token) = credential else { return Err(Error::SessionDisabled) };
        // Its age says nothing here: the API server knows whether the workload is still there.
        let found = self.here.verify(token.expose_secret(), Duration::MAX).await?;
        let identity = self.there.authenticate(credential, peer).await?;
        match &*identity {
            Identity::Kubernetes(workload) if workload.username == found.username => Ok(identity),
            Identity::Kubernetes(_) | Identity::Static(_) => {
                Err(Error::Refused("the API server names another user than the token".into()))
            }
        }
    }
}

impl Authenticator for Both {
    fn authenticate<'a>(
        &'a self,
        credential: &'a Credential,
        peer: Source,
    ) -> BoxFuture<'a, Result<Arc<Identity>, Error>> {
        Box::pin(self.judge(credential, peer))
    }

    fn begin(&self) {
        self.here.begin();
    }

    fn ready(&self) -> bool {
        self.here.ready()
    }
}
