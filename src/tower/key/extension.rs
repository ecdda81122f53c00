//! A key that a layer before this one has left.

use std::{borrow::Cow, fmt, hash::Hash, marker::PhantomData};

use super::{KeyError, RequestKey};
use crate::tower::head::Head;

/// Limits by a request extension that an authentication layer left. This is the normal case.
///
/// If that layer rejects clients that it does not know, a request without the extension means that
/// the layers are in the wrong order. Reject it with a 5xx status.
///
/// Use a dedicated type, such as `UserId`: another layer may leave a `String` or a `u64` as
/// well. It stands for the client and not for its credentials, as a client may have many of those.
///
/// ```
/// use tollgate::tower::{Head, key::{ExtensionKey, RequestKey}};
///
/// #[derive(Clone, PartialEq, Eq, Hash, Debug)]
/// struct UserId(u64);
///
/// let mut request = http::Request::new(());
/// request.extensions_mut().insert(UserId(7));
/// assert_eq!(*ExtensionKey::<UserId>::new().key(&Head::from(&request)).unwrap(), UserId(7));
/// ```
pub struct ExtensionKey<T>(PhantomData<fn() -> T>);

impl<T> ExtensionKey<T> {
    /// Creates the key that is the extension of type `T`.
    #[must_use]
    pub const fn new() -> ExtensionKey<T> {
        ExtensionKey(PhantomData)
    }
}

impl<T: Hash + Eq + Clone + Send + Sync + 'static> RequestKey for ExtensionKey<T> {
    type Key = T;

    fn key<'r>(&self, request: &Head<'r>) -> Result<Cow<'r, T>, KeyError> {
        let extension = request.extensions.get().ok_or(KeyError::Missing)?;
        Ok(Cow::Borrowed(extension))
    }
}

impl<T> Clone for ExtensionKey<T> {
    fn clone(&self) -> ExtensionKey<T> {
        *self
    }
}

impl<T> Copy for ExtensionKey<T> {}

impl<T> Default for ExtensionKey<T> {
    fn default() -> ExtensionKey<T> {
        ExtensionKey::new()
    }
}

impl<T> fmt::Debug for ExtensionKey<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ExtensionKey<{}>", std::any::type_name::<T>())
    }
}
