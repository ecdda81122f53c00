//! What of a request decides how it is limited.

use http::{Extensions, HeaderMap, Method, Request, Uri, Version};

/// A request without its body: what its key, its cost and its exemption are taken from.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Head<'r> {
    /// The method.
    pub method: &'r Method,
    /// The target. Within a nested router it may lack what the outer one matched.
    pub uri: &'r Uri,
    /// The version of HTTP.
    pub version: Version,
    /// The header lines.
    pub headers: &'r HeaderMap,
    /// What the server and the layers before this one have added.
    pub extensions: &'r Extensions,
}

impl<'r> Head<'r> {
    /// The path of the target, as it was sent: neither decoded nor normalised.
    #[must_use]
    pub fn path(&self) -> &'r str {
        self.uri.path()
    }
}

impl<'r, B> From<&'r Request<B>> for Head<'r> {
    fn from(request: &'r Request<B>) -> Head<'r> {
        Head {
            method: request.method(),
            uri: request.uri(),
            version: request.version(),
            headers: request.headers(),
            extensions: request.extensions(),
        }
    }
}
