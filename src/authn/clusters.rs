//! Several clusters: a token is judged by the one that its issuer names, and by no other.

use std::sync::Arc;
use std::time::SystemTime;

use super::token::Claims;
use super::{Authenticator, Error, Identity, Source};
use crate::BoxFuture;
use crate::request::Credential;

/// The default cluster and further ones.
///
/// A token's `iss` is not verified yet when it picks the cluster; whoever lies about it is judged, and refused, by the
/// cluster that it names. Each cluster has a cache of its own, so that no answer of one is taken for another's.
pub struct Clusters {
    default: Box<dyn Authenticator>,
    /// `None`: whatever no other cluster issued may be the default cluster's.
    issuer: Option<String>,
    others: Vec<Member>,
}

/// A further cluster.
pub struct Member {
    /// Exactly as tokens have it in `iss`; no two are equal.
    pub issuer: String,
    pub authenticator: Box<dyn Authenticator>,
}

impl Clusters {
    /// `issuer` is that of the default cluster, if it is configured.
    pub fn new(default: Box<dyn Authenticator>, issuer: Option<String>, others: Vec<Member>) -> Clusters {
        Clusters { default, issuer, others }
    }

    fn of(&self, issuer: Option<&str>) -> Result<&dyn Authenticator, Error> {
        if let Some(member) = self.others.iter().find(|member| Some(member.issuer.as_str()) == issuer) {
            return Ok(&*member.authenticator);
        }
        match &self.issuer {
            Some(known) if Some(known.as_str()) != issuer => {
                Err(Error::Refused("its issuer is none of the configured clusters'".into()))
            }
            Some(_) | None => Ok(&*self.default),
        }
    }

    async fn judge(&self, credential: &Credential, peer: Source) -> Result<Arc<Identity>, Error> {
        let issuer = match credential {
            Credential::Token(_) => Claims::read(credential.expose(), SystemTime::now())?.issuer,
            Credential::SessionSecret(_) => return Err(Error::SessionDisabled),
        };
        self.of(issuer.as_deref())?.authenticate(credential, peer).await
    }
}

impl Authenticator for Clusters {
    fn authenticate<'a>(
        &'a self,
        credential: &'a Credential,
        peer: Source,
    ) -> BoxFuture<'a, Result<Arc<Identity>, Error>> {
        Box::pin(self.judge(credential, peer))
    }

    fn begin(&self) {
        self.default.begin();
        self.others.iter().for_each(|member| member.authenticator.begin());
    }

    /// Goes by the default cluster alone: a far one that is down must not keep the workloads of this one waiting.
    fn ready(&self) -> bool {
        self.default.ready()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::authn::played::{PEER, in_an_hour, mint};
    use crate::authn::{User, error::Blame};
    use secrecy::SecretString;
    use serde_json::json;

    /// Knows everybody by its own name.
    struct Named(&'static str);

    impl Authenticator for Named {
        fn authenticate<'a>(&'a self, _: &'a Credential, _: Source) -> BoxFuture<'a, Result<Arc<Identity>, Error>> {
            let user = User { id: self.0.to_owned(), ..User::default() };
            Box::pin(std::future::ready(Ok(Arc::new(Identity::Static(user)))))
        }

        fn ready(&self) -> bool {
            self.0 == "home"
        }
    }

    fn clusters(issuer: Option<&str>) -> Clusters {
        let member = |name: &'static str| Member {
            issuer: format!("https://{name}.test"),
            authenticator: Box::new(Named(name)),
        };
        Clusters::new(Box::new(Named("home")), issuer.map(str::to_owned), vec![member("east"), member("west")])
    }

    async fn judge(clusters: &Clusters, token: String) -> Result<String, Error> {
        let credential = Credential::Token(SecretString::from(token));
        match &*clusters.authenticate(&credential, PEER).await? {
            Identity::Static(user) => Ok(user.id.clone()),
            Identity::Kubernetes(workload) => panic!("{workload:?}"),
        }
    }

    #[tokio::test]
    async fn the_issuer_picks_the_one_cluster_that_judges() {
        let home = Some("https://home.test");
        for (default, issuer, judge_is) in [
            (home, Some("https://east.test"), Some("east")),
            (home, Some("https://west.test"), Some("west")),
            (home, Some("https://home.test"), Some("home")),
            (home, Some("https://east.test/"), None),
            (home, Some("https://EAST.test"), None),
            (home, Some("https://elsewhere.test"), None),
            (home, None, None),
            (None, Some("https://east.test"), Some("east")),
            (None, Some("https://elsewhere.test"), Some("home")),
            (None, None, Some("home")),
        ] {
            let outcome =
                judge(&clusters(default), mint(&json!({"iss": issuer.unwrap_or("x"), "exp": in_an_hour()}))).await;
            let outcome = match issuer {
                Some(_) => outcome,
                None => judge(&clusters(default), mint(&json!({"exp": in_an_hour()}))).await,
            };
            match judge_is {
                Some(name) => assert_eq!(outcome.unwrap(), name, "{default:?} {issuer:?}"),
                None => assert!(matches!(outcome, Err(Error::Refused(_))), "{default:?} {issuer:?}"),
            }
        }
    }

    #[tokio::test]
    async fn what_no_cluster_could_accept_is_refused_before_one_is_picked() {
        let expired = mint(&json!({"iss": "https://east.test", "exp": 1}));
        assert!(matches!(judge(&clusters(None), expired).await, Err(Error::Expired)));
        assert!(matches!(judge(&clusters(None), "garbage".into()).await, Err(Error::Malformed(_))));
        let secret = Credential::SessionSecret(SecretString::from("x"));
        let error = clusters(None).authenticate(&secret, PEER).await.unwrap_err();
        assert_eq!(error.blame(), Blame::Rejected);
    }

    #[test]
    fn readiness_goes_by_the_default_cluster() {
        assert!(clusters(None).ready());
        let far = Clusters::new(Box::new(Named("far")), None, Vec::new());
        assert!(!far.ready());
    }
}
