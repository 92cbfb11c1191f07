//! Looks at callers' pods, when the configuration says so: the watches, and the authenticator that asks them.

use std::sync::Arc;

use crate::BoxFuture;
use crate::authn::Authenticator;
use crate::authn::api_server::ApiServer;
use crate::authn::pods::{Bound, Reflector, Settings};
use crate::metrics::Metrics;

/// What runs as long as calls are taken.
pub(super) type Watches = Vec<BoxFuture<'static, ()>>;

/// `inner`, with a look at the caller's pod behind it. Nothing is sent before the watches are run.
pub(super) fn bind(
    inner: Box<dyn Authenticator>,
    api_server: Arc<ApiServer>,
    settings: &Settings,
    metrics: &Arc<Metrics>,
) -> (Box<dyn Authenticator>, Watches) {
    let of_this_node = Some(format!("spec.nodeName={}", settings.node_name));
    let (reflector, pods) = Reflector::new(api_server.clone(), of_this_node, settings.metadata);
    let mut watches: Watches = vec![Box::pin(reflector.run())];
    let namespaces = settings.metadata.then(|| {
        let (reflector, known) = Reflector::new(api_server, None, true);
        watches.push(Box::pin(reflector.run()));
        known
    });
    let metrics = Arc::clone(metrics);
    let on_binding = Box::new(move |result| metrics.bound(result));
    (Box::new(Bound::new(inner, settings.clone(), pods, namespaces, on_binding)), watches)
}
