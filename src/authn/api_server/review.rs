//! One TokenReview: the question and what its answer says.

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE};
use http::{Method, Request, Uri};
use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec, TokenReviewStatus};
use kube::client::Body;

use super::{ApiServer, JSON};
use crate::authn::Unavailable;
use crate::gate::deadline::timeout;

impl ApiServer {
    /// Asks about a token: `POST /apis/authentication.k8s.io/v1/tokenreviews` with `spec.token` and `spec.audiences`.
    pub async fn review(&self, token: &str, audience: Option<&str>) -> Result<TokenReviewStatus, Unavailable> {
        let exchange = self.exchange(token, audience);
        timeout(self.timeout, exchange).await.unwrap_or(Err(Unavailable::Timeout(self.timeout)))
    }

    async fn exchange(&self, token: &str, audience: Option<&str>) -> Result<TokenReviewStatus, Unavailable> {
        let body = self.send(question(token, audience)?).await?;
        status(&body)
    }
}

/// What the body of an answer to a TokenReview says about the token.
pub(crate) fn status(body: &[u8]) -> Result<TokenReviewStatus, Unavailable> {
    let review: TokenReview = serde_json::from_slice(body)
        .map_err(|e| Unavailable::Unreadable(format!("not a TokenReview: {:?}", e.classify()).into()))?;
    review.status.ok_or_else(|| Unavailable::Unreadable("a TokenReview without a status".into()))
}

fn question(token: &str, audience: Option<&str>) -> Result<Request<Body>, Unavailable> {
    let review = TokenReview {
        spec: TokenReviewSpec {
            token: Some(token.to_owned()),
            audiences: audience.map(|audience| vec![audience.to_owned()]),
        },
        ..TokenReview::default()
    };
    let json = serde_json::to_vec(&review).map_err(|e| Unavailable::Unreadable(e.to_string().into()))?;
    let mut request = Request::new(Body::from(Bytes::from(json)));
    *request.method_mut() = Method::POST;
    *request.uri_mut() = Uri::from_static("/apis/authentication.k8s.io/v1/tokenreviews");
    request.headers_mut().insert(CONTENT_TYPE, JSON);
    request.headers_mut().insert(ACCEPT, JSON);
    Ok(request)
}
