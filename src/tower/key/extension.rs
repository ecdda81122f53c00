//! A key that a layer before this one has left.

use std::{borrow::Cow, fmt, hash::Hash, marker::PhantomData};

use super::{Keyless, RequestKey};
use crate::tower::head::Head;

/// Limits by a request extension that an authentication layer left. This is the normal case.
///
/// If that layer rejects clients that it does not know, a request without the extension means that
/// the layers are in the wrong order. Refuse it with a status of 5xx.
///
/// The type is one of your own, such as `UserId`: another layer may leave a `String` or a `u64` as
/// well. It stands for the client and not for its credentials, as a client may have many of those.
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
    /// Creates the key that is the extension of type `T`.
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
