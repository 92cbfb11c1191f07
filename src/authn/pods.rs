//! The pods of this node, as the API server tells of them: whether a call comes from the pod that its token names, and
//! what labels that pod has.
//!
//! `reflector` lists and watches objects into an `index`, of which `object` says what is kept. `binding` compares a
//! workload and an address with the index; [`Bound`] does so for every call, outside of the cache of identities, because
//! the address is the call's and labels change.

mod backoff;
mod binding;
mod bound;
mod failure;
mod index;
mod lines;
mod list;
mod object;
mod reflector;
#[cfg(test)]
mod tests;
mod texts;

pub use binding::Refusal;
pub use bound::{Bound, OnBinding};
pub use object::{Namespace, Pod};
pub use reflector::Reflector;
pub use texts::Texts;

use std::sync::Arc;

use tokio::sync::watch;

/// What to do with a call that does not come from the pod which its token names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Binding {
    /// Nothing is compared.
    Off,
    /// Compared, counted and logged.
    Warn,
    /// Refused.
    Enforce,
}

/// `kubernetes.node_name`, `pod_binding` and `pod_metadata`, when one of the latter is on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The cluster of that node, as identities name it.
    pub cluster: Option<String>,
    /// The node whose pods are watched: our own.
    pub node_name: String,
    pub binding: Binding,
    /// Whether policies see labels and annotations.
    pub metadata: bool,
}

/// What is known about objects of one kind, kept current by a [`Reflector`].
pub type Known<T> = watch::Receiver<index::Index<T>>;

/// Labels and annotations for policies. All absent: `pod_metadata` is off; those of the pod absent: the token names none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Metadata {
    pub pod_labels: Option<Arc<Texts>>,
    pub pod_annotations: Option<Arc<Texts>>,
    pub namespace_labels: Option<Arc<Texts>>,
}
