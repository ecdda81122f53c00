#![doc = include_str!("key/choosing.md")]

mod address;
mod combine;
mod extension;
mod forwarded;
mod function;
mod header;
mod host;

use std::{borrow::Cow, hash::Hash};

use crate::tower::head::Head;

pub use address::ClientAddress;
pub use combine::{And, Either, Or};
pub use extension::ExtensionKey;
pub use function::{FromFn, TryFromFn, from_fn, try_from_fn};
pub use header::HeaderKey;
pub use host::HostName;

/// Finds the key of a request.
///
/// The ready-made ones are [`ExtensionKey`], [`ClientAddress`], [`HostName`], [`HeaderKey`] and any
/// closure, by [`from_fn`] or [`try_from_fn`]. They [combine](RequestKey::and).
///
/// ```
/// use std::{borrow::Cow, collections::HashMap};
/// use tollgate::tower::{Head, key::{HostName, KeyError, RequestKey}};
///
/// /// The tenants of this service, by their host names.
/// struct Tenants(HashMap<&'static str, u32>);
///
/// impl RequestKey for Tenants {
///     type Key = u32;
///
///     fn key<'r>(&self, request: &Head<'r>) -> Result<Cow<'r, u32>, KeyError> {
///         let host = HostName::new().key(request)?;
///         // A made-up host is rejected. It has no bucket.
///         let tenant = self.0.get(&*host).ok_or(KeyError::Malformed)?;
///         Ok(Cow::Owned(*tenant))
///     }
/// }
///
/// let tenants = Tenants(HashMap::from([("acme.example.com", 7)]));
/// let http1 = http::Request::builder().header("host", "ACME.example.com.:80").body(()).unwrap();
/// assert_eq!(*tenants.key(&Head::from(&http1)).unwrap(), 7);
/// let http2 = http::Request::get("https://acme.example.com/").body(()).unwrap();
/// assert_eq!(*tenants.key(&Head::from(&http2)).unwrap(), 7);
/// let made_up = http::Request::builder().header("host", "acme1.example.com").body(()).unwrap();
/// assert_eq!(tenants.key(&Head::from(&made_up)), Err(KeyError::Malformed));
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not find the key of a request",
    label = "expected a `RequestKey`",
    note = "wrap a closure in `tollgate::tower::key::from_fn`: `from_fn(|request| Some(request.method.is_safe()))`"
)]
pub trait RequestKey {
    /// The key that the limiter checks. It stores the owned form: `String` for `str`, and the type
    /// itself for a type that is `Clone`.
    type Key: Hash + Eq + ToOwned<Owned: Hash + Eq + Clone> + ?Sized;

    /// Returns the key of `request`.
    ///
    /// # Errors
    ///
    /// If the request has no usable key. A value that is present but unusable is [`KeyError::Malformed`] or
    /// [`KeyError::TooLong`], and never [`KeyError::Missing`], which may be let through.
    fn key<'r>(&self, request: &Head<'r>) -> Result<Cow<'r, Self::Key>, KeyError>;

    /// Returns the name that clients know the key by, such as that of a header. Default: none.
    ///
    /// It is part of the response to a request without a usable key, so it must be printable ASCII.
    /// [`RateLimitLayer::key_name`](super::RateLimitLayer::key_name) sets another.
    fn name(&self) -> Option<&str> {
        None
    }

    /// Limits by this and `other` together: each pair has its own bucket. A request that lacks one of
    /// them has no key.
    ///
    /// # Caveats
    ///
    /// A client has as many buckets as it can make up values of either key. Neither is limited
    /// alone. The second key is therefore one of a few values:
    ///
    /// ```
    /// use tollgate::tower::{Head, key::{ExtensionKey, RequestKey, from_fn}};
    ///
    /// #[derive(Clone, PartialEq, Eq, Hash, Debug)]
    /// struct User(u64);
    ///
    /// // Two buckets for each user: for reading, and for everything else.
    /// let is_reading = from_fn(|request| Some(request.method.is_safe()));
    /// let key = ExtensionKey::<User>::new().and(is_reading);
    ///
    /// let mut request = http::Request::get("/").body(()).unwrap();
    /// request.extensions_mut().insert(User(7));
    /// assert_eq!(*key.key(&Head::from(&request)).unwrap(), (User(7), true));
    /// *request.method_mut() = "MADE-UP".parse().unwrap();
    /// assert_eq!(*key.key(&Head::from(&request)).unwrap(), (User(7), false));
    /// ```
    fn and<T: RequestKey>(self, other: T) -> And<Self, T>
    where
        Self: Sized,
    {
        And::new(self, other)
    }

    /// Limits by this, or by `other` if a request has no key of this kind. A request whose key of
    /// this kind is malformed or too long has none of the other kind either.
    ///
    /// # Caveats
    ///
    /// The first key must be verified, or a client that has exhausted the second sends a made-up
    /// first one. [`HeaderKey`] is not verified. What an authentication layer leaves only for keys that
    /// it knows is:
    ///
    /// ```
    /// use std::net::{IpAddr, SocketAddr};
    /// use tollgate::tower::{Head, key::{ClientAddress, Either, ExtensionKey, RequestKey}};
    ///
    /// /// The owner of an API key. Authentication lets requests with unknown keys pass without it.
    /// #[derive(Clone, PartialEq, Eq, Hash, Debug)]
    /// struct Owner(u64);
    ///
    /// let address = ClientAddress::from_peer(|request| {
    ///     Some(request.extensions.get::<SocketAddr>()?.ip())
    /// });
    /// let client = ExtensionKey::<Owner>::new().or(address);
    ///
    /// let mut request = http::Request::builder().header("x-api-key", "made up").body(()).unwrap();
    /// request.extensions_mut().insert(SocketAddr::from(([203, 0, 113, 7], 4711)));
    /// let anonymous = Either::Second(IpAddr::from([203, 0, 113, 7]));
    /// assert_eq!(*client.key(&Head::from(&request)).unwrap(), anonymous);
    /// ```
    ///
    /// [`try_from_fn`] has the same without an authentication layer. A client that leaves its own
    /// key out has the bucket of its address as well.
    fn or<T: RequestKey>(self, other: T) -> Or<Self, T>
    where
        Self: Sized,
    {
        Or::new(self, other)
    }
}

/// Why a request has no key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum KeyError {
    /// The request has nothing that could be a key. [`OnMissingKey`](super::OnMissingKey) says what
    /// happens to it.
    ///
    /// A client can choose to send nothing, unless a layer before this one sets the key.
    Missing,
    /// A key is present but unusable. The request is always rejected, whatever
    /// [`OnMissingKey`](super::OnMissingKey) says, so that a client gains nothing by sending such a key.
    Malformed,
    /// A key is present that is too long. The request is rejected as for
    /// [`Malformed`](KeyError::Malformed).
    TooLong {
        /// The longest key, in bytes.
        max_len: usize,
    },
}

/// A key that is chosen when the service starts.
impl<T: RequestKey + ?Sized> RequestKey for Box<T> {
    type Key = T::Key;

    fn key<'r>(&self, request: &Head<'r>) -> Result<Cow<'r, T::Key>, KeyError> {
        (**self).key(request)
    }

    fn name(&self) -> Option<&str> {
        (**self).name()
    }
}
