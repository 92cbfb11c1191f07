//! Answers that are read as they come: lists and watches.

use http::header::ACCEPT;
use http::{Request, Response, Uri};
use kube::client::Body;

use super::{ApiServer, JSON};
use crate::authn::Unavailable;

impl ApiServer {
    /// `GET` with our own credentials. The answer's head is good; its body is left to the caller, deadlines and bounds
    /// included.
    pub async fn open(&self, uri: Uri) -> Result<Response<Body>, Unavailable> {
        let mut request = Request::new(Body::empty());
        *request.uri_mut() = uri;
        request.headers_mut().insert(ACCEPT, JSON);
        self.begin(request).await
    }
}
