//! A decorator that looks at the caller's pod, for each call anew.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::binding::{self, Found};
use super::index::Answer;
use super::object::{Namespace, Pod};
use super::{Binding, Known, Metadata, Settings};
use crate::BoxFuture;
use crate::authn::{Authenticator, Error, Identity, Source, Unavailable, Workload};
use crate::gate::deadline::timeout_at;
use crate::request::Credential;

/// A new pod can call before the watch has told of it or of its address; so long a call waits for that.
const PATIENCE: Duration = Duration::from_millis(500);

/// Called with the result of each comparison: `match`, a label of [`super::Refusal`], or `unavailable`.
pub type OnBinding = Box<dyn Fn(&'static str) + Send + Sync>;

/// Asks `inner` who calls, then whether the call comes from that workload's pod, and adds what is known of the pod.
///
/// `inner` may remember its answers; nothing here is remembered, because the address is the call's own and labels
/// change. Callers who are no workloads pass: they have no pod.
pub struct Bound {
    inner: Box<dyn Authenticator>,
    settings: Settings,
    pods: Known<Pod>,
    /// There when `metadata` is on.
    namespaces: Option<Known<Namespace>>,
    on_binding: OnBinding,
}

impl Bound {
    /// `namespaces` is given when policies see metadata.
    pub fn new(
        inner: Box<dyn Authenticator>,
        settings: Settings,
        pods: Known<Pod>,
        namespaces: Option<Known<Namespace>>,
        on_binding: OnBinding,
    ) -> Self {
        Self { inner, settings, pods, namespaces, on_binding }
    }

    async fn at(&self, credential: &Credential, peer: Source) -> Result<Arc<Identity>, Error> {
        let identity = self.inner.authenticate(credential, peer).await?;
        let Identity::Kubernetes(workload) = &*identity else { return Ok(identity) };
        let until = Instant::now() + PATIENCE;
        let found = self.find(workload, until).await;
        if self.settings.binding != Binding::Off {
            self.bind(workload, &found, peer)?;
        }
        let Some(namespaces) = &self.namespaces else { return Ok(identity) };
        let metadata = metadata(workload, found, namespaces.clone(), until).await?;
        Ok(Arc::new(Identity::Kubernetes(Workload { metadata, ..workload.clone() })))
    }

    /// The token's pod; waits for it, and for its address where that is needed, until `until`.
    async fn find(&self, workload: &Workload, until: Instant) -> Found {
        let mut pods = self.pods.clone();
        if let Some(uid) = workload.pod_uid.as_deref().filter(|_| !binding::is_elsewhere(workload, &self.settings)) {
            let needs_address = self.settings.binding != Binding::Off;
            let told = pods.wait_for(|index| match index.find(uid) {
                Answer::Known(pod) => !needs_address || !pod.addresses.is_empty() || index.is_failing(),
                Answer::Absent | Answer::Unsure(_) => !index.is_about_to_tell(uid),
            });
            // Told or not, what is known now decides.
            let _ = timeout_at(until, told).await.map(drop);
        }
        let index = pods.borrow();
        binding::find(workload, &self.settings, |uid| index.find(uid))
    }

    fn bind(&self, workload: &Workload, found: &Found, peer: Source) -> Result<(), Error> {
        let compared = match found {
            Found::Pod(pod) if pod.addresses.is_empty() => {
                Err(Unavailable::Pods("the caller's pod has no address yet".into()).into())
            }
            Found::Pod(pod) => binding::compare(pod, peer).map_err(Error::Pod),
            Found::Not(refusal) => Err(Error::Pod(refusal.clone())),
            Found::Unsure(why) => Err(Unavailable::Pods(why.clone()).into()),
        };
        (self.on_binding)(match &compared {
            Ok(()) => "match",
            Err(Error::Pod(refusal)) => refusal.label(),
            Err(_) => "unavailable",
        });
        match compared {
            Err(error) if self.settings.binding == Binding::Warn => {
                let caller = workload.username.as_str();
                tracing::warn!(caller, %peer, cause = %error, "pod binding would refuse this call");
                Ok(())
            }
            compared => compared,
        }
    }
}

/// What policies see. They shall not decide without what they were promised, since a rule that denies by a label would
/// then not fire; so what cannot be told refuses the call, whatever `pod_binding` says.
async fn metadata(
    workload: &Workload,
    found: Found,
    mut namespaces: Known<Namespace>,
    until: Instant,
) -> Result<Metadata, Error> {
    let pod = match found {
        Found::Pod(pod) => Some(pod),
        Found::Not(super::Refusal::NoPod) => None,
        Found::Not(refusal) => return Err(Error::Pod(refusal)),
        Found::Unsure(why) => return Err(Unavailable::Pods(why).into()),
    };
    let name = workload.namespace.as_str();
    let _ = timeout_at(until, namespaces.wait_for(|index| !index.is_about_to_tell(name))).await.map(drop);
    let answer = namespaces.borrow().find(name);
    let namespace = match answer {
        Answer::Known(namespace) => namespace,
        Answer::Absent => return Err(Unavailable::Pods("the caller's namespace is not known".into()).into()),
        Answer::Unsure(why) => return Err(Unavailable::Pods(why).into()),
    };
    Ok(Metadata {
        pod_labels: pod.as_ref().map(|pod| pod.labels.clone()),
        pod_annotations: pod.map(|pod| pod.annotations.clone()),
        namespace_labels: Some(namespace.labels.clone()),
    })
}

impl Authenticator for Bound {
    fn authenticate<'a>(
        &'a self,
        credential: &'a Credential,
        peer: Source,
    ) -> BoxFuture<'a, Result<Arc<Identity>, Error>> {
        Box::pin(self.at(credential, peer))
    }

    fn begin(&self) {
        self.inner.begin();
    }

    fn ready(&self) -> bool {
        self.inner.ready()
    }
}
