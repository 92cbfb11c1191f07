//! What the API server answered, believed only where it fits the question.

use std::sync::Arc;

use k8s_openapi::api::authentication::v1::{TokenReviewStatus, UserInfo};

use crate::authn::token::Claims;
use crate::authn::{Error, Unavailable, Workload, service_account};

/// What one identity may keep of an answer, in bytes. Real ones need a few hundred; memory is ours to bound.
const MAX_IDENTITY_BYTES: usize = 16 * 1024;
/// What of `status.error` goes into our own error.
const MAX_DETAIL_CHARS: usize = 200;

/// Which review is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Question<'a> {
    /// `spec.audiences: [ours]`
    Ours(&'a str),
    /// No audience named: the API server judges the token by its own.
    ApiServers,
}

impl<'a> Question<'a> {
    /// For `spec.audiences`.
    pub fn audience(self) -> Option<&'a str> {
        match self {
            Question::Ours(audience) => Some(audience),
            Question::ApiServers => None,
        }
    }

    /// Whether `status.audiences` answers this question. Without any, the server may not know of audiences at all.
    fn is_answered_by(self, audiences: &[String], claims: &Claims) -> bool {
        match self {
            Question::Ours(ours) => lists(audiences, ours),
            Question::ApiServers => {
                let own = &claims.audiences;
                !audiences.is_empty() && (own.is_empty() || own.iter().any(|audience| lists(audiences, audience)))
            }
        }
    }
}

pub fn lists(audiences: &[String], audience: &str) -> bool {
    audiences.iter().any(|listed| listed == audience)
}

/// The identity in an answer, if it is one to the question. `claims` are those of the token that was asked about.
pub fn identify(status: TokenReviewStatus, question: Question<'_>, claims: &Claims) -> Result<Workload, Error> {
    if status.authenticated != Some(true) {
        return Err(Error::Refused(detail(status.error.as_deref().unwrap_or("not authenticated"))));
    }
    let audiences = status.audiences.unwrap_or_default();
    if !question.is_answered_by(&audiences, claims) {
        return Err(Error::Refused("the answer is for another audience than was asked about".into()));
    }
    let workload = workload(status.user.unwrap_or_default(), audiences, claims)?;
    if size(&workload) > MAX_IDENTITY_BYTES {
        return Err(Unavailable::Unreadable(format!("an identity of over {MAX_IDENTITY_BYTES} bytes").into()).into());
    }
    Ok(workload)
}

fn workload(user: UserInfo, audiences: Vec<String>, claims: &Claims) -> Result<Workload, Error> {
    let username = user.username.unwrap_or_default();
    let Some((namespace, service_account)) = service_account::parse(&username) else {
        return Err(Error::Refused("it does not belong to a ServiceAccount".into()));
    };
    let (namespace, service_account) = (namespace.to_owned(), service_account.to_owned());
    let mut extra = user.extra.unwrap_or_default();
    let mut bound_to = |name: &str| {
        let values = extra.remove(&format!("authentication.kubernetes.io/{name}"))?;
        values.into_iter().next().filter(|value| !value.is_empty())
    };
    Ok(Workload {
        namespace,
        service_account,
        pod_name: bound_to("pod-name"),
        pod_uid: bound_to("pod-uid"),
        node_name: bound_to("node-name"),
        username,
        service_account_uid: user.uid.filter(|uid| !uid.is_empty()),
        groups: user.groups.unwrap_or_default(),
        audiences,
        expires_at: claims.expires_at,
    })
}

fn size(workload: &Workload) -> usize {
    let optional = [&workload.service_account_uid, &workload.pod_name, &workload.pod_uid, &workload.node_name];
    let lists = workload.groups.iter().chain(&workload.audiences);
    optional.into_iter().flatten().chain(lists).map(|text| text.len() + size_of::<String>()).sum()
}

/// `status.error` for the log: short, and in one line.
fn detail(error: &str) -> Arc<str> {
    error.chars().map(|c| if c.is_control() { ' ' } else { c }).take(MAX_DETAIL_CHARS).collect::<String>().into()
}
