//! Who is counted as one.

use crate::authn::Identity;

/// Whose calls are counted together. All pods of a ServiceAccount are one: otherwise who may make pods could make calls.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Who {
    Workload { cluster: Option<String>, username: String },
    User(String),
}

impl Who {
    pub fn of(identity: &Identity) -> Who {
        match identity {
            Identity::Kubernetes(workload) => {
                Who::Workload { cluster: workload.cluster.clone(), username: workload.username.clone() }
            }
            Identity::Static(user) => Who::User(user.id.clone()),
        }
    }
}
