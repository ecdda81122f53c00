//! What a request is limited by, and how to choose it.
//!
//! # Choosing a key
//!
//! A limit is worth as much as its key: whoever can choose his key anew for each request has no
//! limit, and whoever can choose another's locks that one out. From the best to the worst:
//!
//! 1. **What authentication has proved**: the user, the tenant, the API key after it was looked up.
//!    Let the authenticating layer run first and leave it as a request extension, and use
//!    [`Extension`]. Requests that it turns away spend nothing.
//! 2. **The client's address**, for what nobody has to sign in to: [`ClientAddress`]. Many people
//!    can stand behind one address (an office, a mobile carrier), so give it a larger quota.
//! 3. **A header as it was sent**: [`Header`]. Only where something in front of this service sets
//!    it, or where a made-up value is turned away before it matters; anybody can send any.
//!
//! A sign-in endpoint wants two limits: one by address, against guessing many names, and one by the
//! name that is tried, against guessing from many addresses. Two layers do that; a key that
//! [combines](RequestKey::and) both does not, as each pair would have a bucket of its own.
//!
//! # Behind proxies
//!
//! Behind a reverse proxy or a load balancer the peer of the connection is the proxy. It tells the
//! address that it saw by adding it at the **right** end of `X-Forwarded-For` or `Forwarded`. What
//! stands to the left of that is what its client sent, who may have made it up:
//!
//! ```text
//! X-Forwarded-For: 198.51.100.1, 203.0.113.7, 10.0.0.2        peer: 10.0.0.1
//!                  \___________/ \_________/  \______/              \______/
//!                   anybody's     the client   proxies: trusted networks
//!                   invention
//! ```
//!
//! So [`ClientAddress`] starts at the peer and walks to the left over trusted proxies, to the first
//! address that is not one of them. Taking the leftmost address, as many do, is taking the client's
//! word for it.
//!
//! - **Name the networks of your proxies, and no more.** Whoever sends from a trusted network can
//!   name any address. Do not trust all private networks if anything but the proxies lives there.
//! - **Name the one header that your proxies write.** A proxy that writes `X-Forwarded-For` passes
//!   on whatever `Forwarded` a client sends, and the other way round. A CDN that reports in a
//!   header of its own is read with [`in_header`](ClientAddress::in_header).
//! - **A proxy must add to the header or replace it.** One that passes it on unchanged, while it is
//!   trusted, hands the choice to the client.
//! - If nobody is in front, trust nobody: headers are then ignored.
//! - A hop that is no address (`unknown`, `_hidden`, garbage, nothing at all) ends the walk at the
//!   proxy that wrote it: clients it will not tell apart share its bucket.
//! - **An IPv6 client owns at least a /64**, and can send each request from another address in it.
//!   Addresses are therefore grouped by their first 64 bits; providers that hand out a /56 or a /48
//!   call for [less](ClientAddress::ipv6_prefix). An IPv4 address that is written as IPv6
//!   (`::ffff:203.0.113.7`, as a dual-stack socket reports it) is the IPv4 address. Two networks of
//!   strangers stay in one group: addresses that a translator makes of IPv4 ones (`64:ff9b::/96`),
//!   and link-local ones (`fe80::/64`). Where those reach a service, say a prefix of 128.
//!
//! # Where the peer's address comes from
//!
//! The server knows it, and each leaves it in a place of its own. For axum, served with
//! `into_make_service_with_connect_info::<SocketAddr>()`:
//!
//! ```
//! use std::net::SocketAddr;
//! use axum::extract::ConnectInfo;
//! use tollgate::tower::key::ClientAddress;
//!
//! let address = ClientAddress::of_peer(|request| {
//!     Some(request.extensions.get::<ConnectInfo<SocketAddr>>()?.0.ip())
//! })
//! .x_forwarded_for(["10.0.0.0/24"])?;
//! # Ok::<(), tollgate::tower::InvalidSetting>(())
//! ```
//!
//! tonic leaves a `TcpConnectInfo`, whose `remote_addr()` it is; with hyper alone, insert the
//! address that `accept` returned into each request's extensions. If it is missing, the request has
//! no key.

mod address;
mod combine;
mod forwarded;

use std::{borrow::Cow, fmt, hash::Hash, marker::PhantomData};

use http::HeaderName;

use crate::tower::head::Head;

pub use address::ClientAddress;
pub use combine::{And, Either, Or};

/// Finds what a request is limited by.
///
/// The ready-made ones are [`Extension`], [`ClientAddress`], [`Header`] and any closure, by
/// [`from_fn`] or [`try_from_fn`]; they [combine](RequestKey::and).
///
/// ```
/// use std::borrow::Cow;
/// use tollgate::tower::{Head, key::{Keyless, RequestKey}};
///
/// /// The first label of the host: tenants have a name each.
/// struct Tenant;
///
/// impl RequestKey for Tenant {
///     type Key = str;
///
///     fn key<'r>(&self, request: &Head<'r>) -> Result<Cow<'r, str>, Keyless> {
///         let host = request.headers.get("host").ok_or(Keyless::Absent)?;
///         let host = host.to_str().map_err(|_| Keyless::Malformed)?;
///         let (tenant, _) = host.split_once('.').ok_or(Keyless::Malformed)?;
///         Ok(Cow::Borrowed(tenant))
///     }
/// }
///
/// let request = http::Request::builder().header("host", "acme.example.com").body(()).unwrap();
/// assert_eq!(Tenant.key(&Head::from(&request)).unwrap(), "acme");
/// ```
pub trait RequestKey {
    /// What the limiter is asked with. It stores the owned form: `str` is stored as `String`, and
    /// what is `Clone` as itself.
    type Key: Hash + Eq + ToOwned<Owned: Hash + Eq + Clone> + ?Sized;

    /// The key of `request`.
    ///
    /// # Errors
    ///
    /// Why it has none. What is sent but cannot be taken for a key is [`Keyless::Malformed`], never
    /// [`Keyless::Absent`], which may be let through.
    fn key<'r>(&self, request: &Head<'r>) -> Result<Cow<'r, Self::Key>, Keyless>;

    /// Limits by this and `other` together: each pair has a bucket of its own. A request that lacks
    /// one of them has no key.
    fn and<T: RequestKey>(self, other: T) -> And<Self, T>
    where
        Self: Sized,
    {
        And::new(self, other)
    }

    /// Limits by this, or by `other` if a request has no key of this kind. One whose key of this
    /// kind is malformed has none of the other either: whoever spoils his key does not get another.
    ///
    /// ```
    /// use tollgate::tower::{Head, key::{Either, Header, RequestKey, from_fn}};
    ///
    /// let client = Header::from_static("x-api-key").or(from_fn(|_| Some("anonymous")));
    /// let request = http::Request::new(());
    /// let key = client.key(&Head::from(&request)).unwrap();
    /// assert_eq!(*key, Either::Second("anonymous"));
    /// ```
    fn or<T: RequestKey>(self, other: T) -> Or<Self, T>
    where
        Self: Sized,
    {
        Or::new(self, other)
    }
}

/// Why a request has no key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Keyless {
    /// There is nothing that could be one: [`NoKey`](super::NoKey) says what comes of the request.
    Absent,
    /// There is something that cannot be taken for one. The request is refused, whatever is to
    /// become of those without a key: it must not be worth anybody's while to spoil his own.
    Malformed,
}

/// A key that is chosen when the service starts.
impl<T: RequestKey + ?Sized> RequestKey for Box<T> {
    type Key = T::Key;

    fn key<'r>(&self, request: &Head<'r>) -> Result<Cow<'r, T::Key>, Keyless> {
        (**self).key(request)
    }
}

/// What a limiter stores for the keys that `K` finds.
pub(super) type Stored<K> = <<K as RequestKey>::Key as ToOwned>::Owned;

/// Limits by a request extension: what an authentication layer left. This is the normal case.
///
/// Where that layer turns away whom it does not know, a request without the extension means that
/// the layers are in the wrong order: refuse it.
///
/// ```
/// use tollgate::tower::{Head, key::{Extension, RequestKey}};
///
/// #[derive(Clone, PartialEq, Eq, Hash, Debug)]
/// struct UserId(u64);
///
/// let mut request = http::Request::new(());
/// request.extensions_mut().insert(UserId(7));
/// assert_eq!(*Extension::<UserId>::new().key(&Head::from(&request)).unwrap(), UserId(7));
/// ```
pub struct Extension<T>(PhantomData<fn() -> T>);

impl<T> Extension<T> {
    /// The extension of type `T`.
    #[must_use]
    pub const fn new() -> Extension<T> {
        Extension(PhantomData)
    }
}

impl<T: Hash + Eq + Clone + Send + Sync + 'static> RequestKey for Extension<T> {
    type Key = T;

    fn key<'r>(&self, request: &Head<'r>) -> Result<Cow<'r, T>, Keyless> {
        let extension = request.extensions.get().ok_or(Keyless::Absent)?;
        Ok(Cow::Borrowed(extension))
    }
}

impl<T> Clone for Extension<T> {
    fn clone(&self) -> Extension<T> {
        *self
    }
}

impl<T> Copy for Extension<T> {}

impl<T> Default for Extension<T> {
    fn default() -> Extension<T> {
        Extension::new()
    }
}

impl<T> fmt::Debug for Extension<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Extension<{}>", std::any::type_name::<T>())
    }
}

/// Limits by the value of a header, as it was sent. Anybody can send any: see
/// [above](self#choosing-a-key).
///
/// The key is malformed if the header is sent more than once (whoever reads it otherwise might read
/// another line), is empty, is not UTF-8, or is longer than [`max_len`](Header::max_len), so that
/// strangers cannot fill memory with long keys. Spaces and tabs around it are none of it.
///
/// Two spellings are two keys. Where whoever checks the header is laxer than that, one client has
/// several buckets: `Authorization: Bearer t` and `bearer  t` are the same credentials. Limit by
/// what the check has found, with [`Extension`].
///
/// ```
/// use tollgate::tower::{Head, key::{Header, RequestKey}};
///
/// let request = http::Request::builder().header("X-API-Key", "alice").body(()).unwrap();
/// assert_eq!(Header::from_static("x-api-key").key(&Head::from(&request)).unwrap(), "alice");
/// ```
#[derive(Clone, Debug)]
pub struct Header {
    name: HeaderName,
    max_len: usize,
}

/// The longest value that is a key, unless set.
const MAX_LEN: usize = 256;

impl Header {
    /// The header of this name, which is in lower case.
    ///
    /// # Panics
    ///
    /// If `name` is not the name of a header in lower case, as `HeaderName::from_static` does.
    #[must_use]
    pub const fn from_static(name: &'static str) -> Header {
        Header {
            name: HeaderName::from_static(name),
            max_len: MAX_LEN,
        }
    }

    /// The longest value that is a key, in bytes: 256 if not said, which API keys and names seldom
    /// reach, and signed tokens do.
    #[must_use]
    pub fn max_len(self, max_len: usize) -> Header {
        Header { max_len, ..self }
    }
}

impl From<HeaderName> for Header {
    fn from(name: HeaderName) -> Header {
        Header {
            name,
            max_len: MAX_LEN,
        }
    }
}

impl RequestKey for Header {
    type Key = str;

    fn key<'r>(&self, request: &Head<'r>) -> Result<Cow<'r, str>, Keyless> {
        let mut lines = request.headers.get_all(&self.name).iter();
        let line = lines.next().ok_or(Keyless::Absent)?;
        let value = std::str::from_utf8(line.as_bytes()).map_err(|_| Keyless::Malformed)?;
        // HTTP/1 servers cut these off, and those of HTTP/2 need not.
        let value = value.trim_matches([' ', '\t']);
        if lines.next().is_some() || value.is_empty() || value.len() > self.max_len {
            return Err(Keyless::Malformed);
        }
        Ok(Cow::Borrowed(value))
    }
}

/// Limits by whatever `find` returns; where it returns `None`, the key is absent.
///
/// Where a client can spoil what `find` reads (a header that is no text), so that nothing is found
/// though something was sent, use [`try_from_fn`]: what is absent may be let through.
///
/// ```
/// use tollgate::tower::{Head, key::{RequestKey, from_fn}};
///
/// // One bucket for each method.
/// let methods = from_fn(|request| Some(request.method.clone()));
/// let request = http::Request::new(());
/// assert_eq!(*methods.key(&Head::from(&request)).unwrap(), http::Method::GET);
/// ```
pub const fn from_fn<F, T>(find: F) -> FromFn<F>
where
    F: Fn(&Head<'_>) -> Option<T>,
    T: Hash + Eq + Clone,
{
    FromFn(find)
}

/// Limits by whatever `find` returns, which also says why there is no key.
///
/// ```
/// use tollgate::tower::{Head, key::{Keyless, RequestKey, try_from_fn}};
///
/// let tenants = try_from_fn(|request| {
///     let header = request.headers.get("x-tenant").ok_or(Keyless::Absent)?;
///     let text = header.to_str().map_err(|_| Keyless::Malformed)?;
///     text.parse::<u64>().map_err(|_| Keyless::Malformed)
/// });
/// let request = http::Request::builder().header("x-tenant", "seven").body(()).unwrap();
/// assert_eq!(tenants.key(&Head::from(&request)), Err(Keyless::Malformed));
/// ```
pub const fn try_from_fn<F, T>(find: F) -> TryFromFn<F>
where
    F: Fn(&Head<'_>) -> Result<T, Keyless>,
    T: Hash + Eq + Clone,
{
    TryFromFn(find)
}

/// Made by [`try_from_fn`].
#[derive(Clone, Copy)]
pub struct TryFromFn<F>(F);

impl<F, T> RequestKey for TryFromFn<F>
where
    F: Fn(&Head<'_>) -> Result<T, Keyless>,
    T: Hash + Eq + Clone + 'static,
{
    type Key = T;

    fn key<'r>(&self, request: &Head<'r>) -> Result<Cow<'r, T>, Keyless> {
        (self.0)(request).map(Cow::Owned)
    }
}

impl<F> fmt::Debug for TryFromFn<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TryFromFn").finish_non_exhaustive()
    }
}

/// Made by [`from_fn`].
#[derive(Clone, Copy)]
pub struct FromFn<F>(F);

impl<F, T> RequestKey for FromFn<F>
where
    F: Fn(&Head<'_>) -> Option<T>,
    T: Hash + Eq + Clone + 'static,
{
    type Key = T;

    fn key<'r>(&self, request: &Head<'r>) -> Result<Cow<'r, T>, Keyless> {
        (self.0)(request).map(Cow::Owned).ok_or(Keyless::Absent)
    }
}

impl<F> fmt::Debug for FromFn<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FromFn").finish_non_exhaustive()
    }
}
