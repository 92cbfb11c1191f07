//! Why a list or a watch ended.

use std::time::Duration;

use super::object::Kind;
use crate::authn::Unavailable;

/// Why objects are not known, or not followed at the moment.
#[derive(Debug)]
pub enum Failure {
    Api(Unavailable),
    /// The version to go on from is too old for the API server (410, `Expired`): everything is listed anew.
    Gone,
    /// Not JSON, or not what was asked for; the next list tells what was missed.
    Unreadable(String),
    /// The API server sent an error in place of an event.
    Status {
        code: u16,
        message: String,
    },
    /// The connection broke.
    Broken(String),
    /// The watch ended as soon as it had begun.
    Closed,
    /// Nothing came for this long.
    Silent(Duration),
}

impl Failure {
    /// Whether the version to go on from is lost.
    pub fn asks_for_a_list(&self) -> bool {
        matches!(self, Failure::Gone | Failure::Unreadable(_))
    }

    /// Whether a healthy API server ends a watch like this now and then.
    pub fn is_usual(&self) -> bool {
        matches!(self, Failure::Gone | Failure::Broken(_) | Failure::Silent(_))
    }

    pub fn asked_rest(&self) -> Option<Duration> {
        match self {
            Failure::Api(Unavailable::Busy { retry_after }) => *retry_after,
            _ => None,
        }
    }

    /// For log and errors: what is wrong, and what to do about it.
    pub fn describe<T: Kind>(&self) -> String {
        match self {
            Failure::Api(Unavailable::Rbac) | Failure::Status { code: 403, .. } => format!(
                "RBAC: the API server forbids us to list and watch {}; bind the ClusterRole `{}` to the proxy's \
                 ServiceAccount: add deploy/kubernetes/components/{} to the kustomization",
                T::NOUN,
                T::ROLE,
                T::COMPONENT
            ),
            Failure::Api(unavailable) => unavailable.to_string(),
            Failure::Gone => "the API server has forgotten what came since (410)".to_owned(),
            Failure::Unreadable(why) => format!("unreadable answer from the API server: {why}"),
            Failure::Status { code, message } => format!("the API server ended the watch with {code}: {message}"),
            Failure::Broken(why) => format!("the API server broke off: {why}"),
            Failure::Closed => "the API server ends every watch at once".to_owned(),
            Failure::Silent(limit) => format!("nothing came from the API server for {limit:?}"),
        }
    }
}

impl From<Unavailable> for Failure {
    fn from(unavailable: Unavailable) -> Self {
        match unavailable {
            Unavailable::Status(410) => Failure::Gone,
            other => Failure::Api(other),
        }
    }
}
