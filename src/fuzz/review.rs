//! An answer to a TokenReview makes somebody a workload only when it says so in so many words.

use crate::authn::api_server::review;
use crate::authn::service_account;
use crate::authn::token::Claims;
use crate::authn::token_review::answer::{Question, identify};

/// The body of the API server's answer.
pub fn review(data: &[u8]) {
    let Ok(status) = review::status(data) else { return };
    let claims = Claims { audiences: vec!["api".to_owned()], ..Claims::default() };
    for question in [Question::Ours("veilwarden"), Question::ApiServers] {
        let Ok(workload) = identify(status.clone(), question, &claims) else { continue };
        assert_eq!(status.authenticated, Some(true));
        let audience = question.audience().unwrap_or("api");
        assert!(status.audiences.iter().flatten().any(|listed| listed == audience), "{status:?}");
        let named = service_account::parse(&workload.username);
        assert_eq!(named, Some((&*workload.namespace, &*workload.service_account)));
        let weight: usize = workload.groups.iter().chain(&workload.audiences).map(String::len).sum();
        assert!(weight <= 16 << 10, "{weight} bytes are kept");
    }
}
