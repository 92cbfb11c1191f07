//! Looks at callers' pods, when the configuration says so: the watches, and the authenticator that asks them.

use std::sync::Arc;

use crate::BoxFuture;
use crate::authn::api_server::ApiServer;
use crate::authn::cluster::{self, Cluster};
use crate::authn::pods::{Bound, Reflector, Settings};
use crate::authn::{Authenticator, KubernetesSettings};
use crate::metrics::Metrics;

/// What runs as long as calls are taken.
pub type Watches = Vec<BoxFuture<'static, ()>>;

/// `inner`, with a look at the caller's pod behind it. Nothing is sent before the watches are run.
pub async fn bind<A: Authenticator + 'static>(
    inner: A,
    cluster: Cluster,
    settings: &KubernetesSettings,
    pods: &Settings,
    metrics: Arc<Metrics>,
) -> Result<(Box<dyn Authenticator>, Watches), cluster::Error> {
    let api_server = Arc::new(ApiServer::new(cluster, settings.timeout).await?);
    let of_this_node = Some(format!("spec.nodeName={}", pods.node_name));
    let (reflector, known_pods) = Reflector::new(api_server.clone(), of_this_node, pods.metadata);
    let mut watches: Watches = vec![Box::pin(reflector.run())];
    let namespaces = pods.metadata.then(|| {
        let (reflector, known) = Reflector::new(api_server, None, true);
        watches.push(Box::pin(reflector.run()));
        known
    });
    let on_binding = Box::new(move |result| metrics.bound(result));
    Ok((Box::new(Bound::new(inner, pods.clone(), known_pods, namespaces, on_binding)), watches))
}
