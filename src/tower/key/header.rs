//! A header as it was sent.

use std::borrow::Cow;

use http::HeaderName;

use super::{KeyError, RequestKey};
use crate::tower::head::Head;

/// Limits by the value of a header, as it was sent.
///
/// The key is malformed if the header is sent more than once (the service might use another line),
/// is empty, or is not UTF-8. A value longer than [`max_len`](HeaderKey::max_len) is
/// [too long](KeyError::TooLong), so that clients cannot fill memory with long keys. Spaces and tabs
/// around the value are not part of it.
///
/// # Caveats
///
/// A client can send any value, and a made-up one has a full bucket: see
/// [above](super#what-a-client-chooses). This key holds behind a proxy that sets the header and
/// replaces what was sent, or behind a layer that rejects unknown values.
///
/// Two spellings are two keys. If the check of the header is laxer, one client has several buckets:
/// `Authorization: Bearer t` and `bearer  t` are the same credentials. Use [`ExtensionKey`] with what
/// the check has found.
///
/// [`ExtensionKey`]: super::ExtensionKey
///
/// ```
/// use tollgate::tower::{Head, key::{HeaderKey, KeyError, RequestKey}};
///
/// // The gateway in front of this service sets it, and removes what clients send.
/// let client = HeaderKey::from_static("x-gateway-client").max_len(36);
///
/// let request = http::Request::builder().header("X-Gateway-Client", "alice").body(()).unwrap();
/// assert_eq!(client.key(&Head::from(&request)).unwrap(), "alice");
/// let long = http::Request::builder().header("X-Gateway-Client", "a".repeat(37)).body(()).unwrap();
/// assert_eq!(client.key(&Head::from(&long)), Err(KeyError::TooLong { max_len: 36 }));
/// ```
#[derive(Clone, Debug)]
pub struct HeaderKey {
    name: HeaderName,
    max_len: usize,
}

/// The default of [`HeaderKey::max_len`].
const MAX_LEN: usize = 256;

impl HeaderKey {
    /// Creates the key that is the header of this name, which is in lower case.
    ///
    /// # Panics
    ///
    /// If `name` is not the name of a header in lower case, as `HeaderName::from_static` does.
    #[must_use]
    pub const fn from_static(name: &'static str) -> HeaderKey {
        HeaderKey {
            name: HeaderName::from_static(name),
            max_len: MAX_LEN,
        }
    }

    /// Sets the longest value that is a key, in bytes. Default: 256.
    ///
    /// API keys and names are seldom longer. Signed tokens are.
    #[must_use]
    pub fn max_len(self, max_len: usize) -> HeaderKey {
        HeaderKey { max_len, ..self }
    }
}

impl From<HeaderName> for HeaderKey {
    fn from(name: HeaderName) -> HeaderKey {
        HeaderKey {
            name,
            max_len: MAX_LEN,
        }
    }
}

impl RequestKey for HeaderKey {
    type Key = str;

    fn key<'r>(&self, request: &Head<'r>) -> Result<Cow<'r, str>, KeyError> {
        let mut lines = request.headers.get_all(&self.name).iter();
        let line = lines.next().ok_or(KeyError::Missing)?;
        let value = std::str::from_utf8(line.as_bytes()).map_err(|_| KeyError::Malformed)?;
        // HTTP/1 servers cut these off, and those of HTTP/2 need not.
        let value = value.trim_matches([' ', '\t']);
        if lines.next().is_some() || value.is_empty() {
            return Err(KeyError::Malformed);
        }
        if value.len() > self.max_len {
            let max_len = self.max_len;
            return Err(KeyError::TooLong { max_len });
        }
        Ok(Cow::Borrowed(value))
    }

    fn name(&self) -> Option<&str> {
        Some(self.name.as_str())
    }
}
