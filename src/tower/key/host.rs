//! The host that a request is sent to, in one spelling.

use std::{
    borrow::Cow,
    net::{IpAddr, Ipv6Addr},
};

use http::header;

use super::{KeyError, RequestKey};
use crate::tower::head::Head;

/// Limits by the name of the host that a request is sent to, in one spelling.
///
/// The name is that of the target (`:authority` in HTTP/2), or of the `Host` header if the target
/// has none. It is in lower case, and without port and last dot. An IPv6 address is in its canonical
/// form, in brackets.
///
/// The key is malformed if:
///
/// - target and header name different hosts, or the header is sent more than once;
/// - it has user information, percent-encoding, an empty label, a port that is no number, or any
///   character but ASCII letters, digits, `-`, `_` and `.`;
/// - it is empty.
///
/// A name of more than 253 bytes, the longest of DNS, is [too long](KeyError::TooLong).
///
/// # Caveats
///
/// A client can name any host, and a made-up one has a full bucket. Look the name up among the hosts
/// that the service serves, and reject all others: see the example of [`RequestKey`].
///
/// A client can leave the host out in HTTP/1, where the key is then absent. Under
/// [`OnMissingKey::Allow`](crate::tower::OnMissingKey) it is not limited: reject it with 400.
///
/// A proxy may send another host than its client did: nginx sends the name of the upstream by
/// default. All hosts are then one key, unless the proxy passes the host on (`proxy_set_header Host
/// $host`).
///
/// All clients of a host share its bucket, so that one of them can exhaust it. A layer by
/// [`ClientAddress`](super::ClientAddress) in front of this one bounds what each can take.
///
/// # Examples
///
/// ```
/// use tollgate::tower::{Head, key::{HostName, KeyError, RequestKey}};
///
/// let host = HostName::new();
/// for target in ["https://acme.example.com/", "https://ACME.example.com.:443/"] {
///     let request = http::Request::get(target).body(()).unwrap();
///     assert_eq!(host.key(&Head::from(&request)).unwrap(), "acme.example.com");
/// }
/// let request = http::Request::get("/").header("host", "me@acme.example.com").body(()).unwrap();
/// assert_eq!(host.key(&Head::from(&request)), Err(KeyError::Malformed));
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct HostName(());

/// The longest name in DNS, as text without the last dot.
const MAX_LEN: usize = 253;

impl HostName {
    /// Creates the key that is the host's name.
    #[must_use]
    pub const fn new() -> HostName {
        HostName(())
    }
}

impl RequestKey for HostName {
    type Key = str;

    fn key<'r>(&self, request: &Head<'r>) -> Result<Cow<'r, str>, KeyError> {
        let mut lines = request.headers.get_all(header::HOST).iter();
        let line = lines.next();
        if lines.next().is_some() {
            return Err(KeyError::Malformed);
        }
        let line = line.map(|line| normalised(line.as_bytes())).transpose()?;
        let target = request.uri.authority();
        let target = target.map(|target| normalised(target.as_str().as_bytes()));
        match (target.transpose()?, line) {
            // The service behind might go by either.
            (Some(target), Some(line)) if target != line => Err(KeyError::Malformed),
            (Some(host), _) | (None, Some(host)) => Ok(host),
            (None, None) => Err(KeyError::Missing),
        }
    }

    fn name(&self) -> Option<&str> {
        Some("host")
    }
}

/// Returns the one spelling of a host that may have a port. It is copied only if it changes.
fn normalised(text: &[u8]) -> Result<Cow<'_, str>, KeyError> {
    let text = std::str::from_utf8(text).map_err(|_| KeyError::Malformed)?;
    // HTTP/1 servers cut these off, and those of HTTP/2 need not.
    let text = text.trim_matches([' ', '\t']);
    if let Some(rest) = text.strip_prefix('[') {
        let (address, port) = rest.split_once(']').ok_or(KeyError::Malformed)?;
        let address = address.parse::<Ipv6Addr>();
        let address = address.map_err(|_| KeyError::Malformed)?.to_canonical();
        if !port.is_empty() && !port.strip_prefix(':').is_some_and(is_port) {
            return Err(KeyError::Malformed);
        }
        return Ok(Cow::Owned(match address {
            IpAddr::V4(ipv4) => ipv4.to_string(),
            IpAddr::V6(ipv6) => format!("[{ipv6}]"),
        }));
    }
    let (name, port) = text.split_once(':').unwrap_or((text, ""));
    let name = name.strip_suffix('.').unwrap_or(name);
    if name.len() > MAX_LEN {
        return Err(KeyError::TooLong { max_len: MAX_LEN });
    }
    if !is_port(port) || !name.split('.').all(is_label) {
        return Err(KeyError::Malformed);
    }
    Ok(if name.bytes().any(|byte| byte.is_ascii_uppercase()) {
        Cow::Owned(name.to_ascii_lowercase())
    } else {
        Cow::Borrowed(name)
    })
}

/// Whether this is a port, which may be empty (RFC 3986, 3.2.3).
fn is_port(text: &str) -> bool {
    text.len() <= 5 && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn is_label(text: &str) -> bool {
    let is_of_names = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    !text.is_empty() && text.bytes().all(is_of_names)
}
