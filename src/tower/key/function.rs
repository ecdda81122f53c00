//! Keys that closures find.

use std::{borrow::Cow, fmt, hash::Hash};

use super::{KeyError, RequestKey};
use crate::tower::head::Head;

/// Limits by what `find` returns. If it returns `None`, the key is absent.
///
/// If a client can spoil what `find` reads (a header that is not text), use [`try_from_fn`]: what is
/// absent may be let through.
///
/// # Caveats
///
/// A client has as many buckets as it can make up values. Methods, paths and queries have no bound:
/// any token is a method. Map them to a few values.
///
/// ```
/// use tollgate::tower::{Head, key::{RequestKey, from_fn}};
///
/// // One bucket for reading, and one for everything else, for all clients together.
/// let is_reading = from_fn(|request| Some(request.method.is_safe()));
///
/// let request = http::Request::get("/").body(()).unwrap();
/// assert!(*is_reading.key(&Head::from(&request)).unwrap());
/// for method in ["POST", "MADE-UP", "MADE-UP-AGAIN"] {
///     let request = http::Request::builder().method(method).body(()).unwrap();
///     assert!(!*is_reading.key(&Head::from(&request)).unwrap());
/// }
/// ```
pub const fn from_fn<F, T>(find: F) -> FromFn<F>
where
    F: Fn(&Head<'_>) -> Option<T>,
    T: Hash + Eq + Clone,
{
    FromFn(find)
}

/// Limits by what `find` returns, which also says why there is no key.
///
/// Each client is known by the owner of its API key here, and by its address if the key is missing
/// or unknown. A made-up key is worth as much as none.
///
/// ```
/// use std::{collections::HashMap, net::{IpAddr, SocketAddr}};
/// use tollgate::tower::{Head, key::{ClientAddress, HeaderKey, KeyError, RequestKey, try_from_fn}};
///
/// #[derive(Clone, PartialEq, Eq, Hash, Debug)]
/// enum Client {
///     Owner(&'static str),
///     Anonymous(IpAddr),
/// }
///
/// let owners = HashMap::from([("key-of-alice", "alice"), ("second-key-of-alice", "alice")]);
/// let api_key = HeaderKey::from_static("x-api-key");
/// let address = ClientAddress::from_peer(|request| {
///     Some(request.extensions.get::<SocketAddr>()?.ip())
/// });
/// let client = try_from_fn(move |request| {
///     let owner = match api_key.key(request) {
///         Ok(sent) => owners.get(&*sent),
///         Err(KeyError::Missing) => None,
///         Err(why) => return Err(why),
///     };
///     match owner {
///         Some(owner) => Ok(Client::Owner(owner)),
///         None => address.key(request).map(|address| Client::Anonymous(*address)),
///     }
/// });
///
/// let mut request = http::Request::builder().header("x-api-key", "made up").body(()).unwrap();
/// request.extensions_mut().insert(SocketAddr::from(([203, 0, 113, 7], 4711)));
/// let anonymous = Client::Anonymous(IpAddr::from([203, 0, 113, 7]));
/// assert_eq!(*client.key(&Head::from(&request)).unwrap(), anonymous);
/// ```
pub const fn try_from_fn<F, T>(find: F) -> TryFromFn<F>
where
    F: Fn(&Head<'_>) -> Result<T, KeyError>,
    T: Hash + Eq + Clone,
{
    TryFromFn(find)
}

/// Made by [`try_from_fn`].
#[derive(Clone, Copy)]
pub struct TryFromFn<F>(F);

impl<F, T> RequestKey for TryFromFn<F>
where
    F: Fn(&Head<'_>) -> Result<T, KeyError>,
    T: Hash + Eq + Clone + 'static,
{
    type Key = T;

    fn key<'r>(&self, request: &Head<'r>) -> Result<Cow<'r, T>, KeyError> {
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

    fn key<'r>(&self, request: &Head<'r>) -> Result<Cow<'r, T>, KeyError> {
        (self.0)(request).map(Cow::Owned).ok_or(KeyError::Missing)
    }
}

impl<F> fmt::Debug for FromFn<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FromFn").finish_non_exhaustive()
    }
}
