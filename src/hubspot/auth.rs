use reqwest::header::{HeaderValue, InvalidHeaderValue};
use secrecy::{ExposeSecret, SecretString};

use super::transport::{Failure, Reply, Request, Transport};

/// Puts the token on every request.
pub(super) struct Authorized {
    authorization: HeaderValue,
    next: Box<dyn Transport>,
}

impl Authorized {
    /// # Errors
    /// When the token holds characters that no header can carry.
    pub(super) fn new(
        token: &SecretString,
        next: Box<dyn Transport>,
    ) -> Result<Self, InvalidHeaderValue> {
        let mut authorization =
            HeaderValue::from_str(&format!("Bearer {}", token.expose_secret()))?;
        // Keeps the token out of every `Debug` of headers and out of HTTP/2's
        // shared header table.
        authorization.set_sensitive(true);
        Ok(Self { authorization, next })
    }

    pub(super) async fn send(&self, mut request: Request) -> Result<Reply, Failure> {
        request.authorization = Some(self.authorization.clone());
        self.next.send(request).await
    }
}
