//! Keys that combine two others.

use std::borrow::Cow;

use super::{KeyError, RequestKey};
use crate::tower::head::Head;

/// A key as limiters store it.
type OwnedKey<K> = <<K as RequestKey>::Key as ToOwned>::Owned;

/// A pair of keys, made by [`RequestKey::and`].
#[derive(Clone, Copy, Debug)]
pub struct And<A, B> {
    first: A,
    second: B,
}

impl<A, B> And<A, B> {
    pub(super) fn new(first: A, second: B) -> And<A, B> {
        And { first, second }
    }
}

impl<A: RequestKey, B: RequestKey> RequestKey for And<A, B>
where
    OwnedKey<A>: 'static,
    OwnedKey<B>: 'static,
{
    type Key = (OwnedKey<A>, OwnedKey<B>);

    fn key<'r>(&self, request: &Head<'r>) -> Result<Cow<'r, Self::Key>, KeyError> {
        let (first, second) = match (self.first.key(request), self.second.key(request)) {
            (Ok(first), Ok(second)) => (first.into_owned(), second.into_owned()),
            // An invalid key counts before a missing one, which may be allowed.
            (Err(KeyError::Missing), Err(error)) | (Err(error), _) | (Ok(_), Err(error)) => {
                return Err(error);
            }
        };
        Ok(Cow::Owned((first, second)))
    }
}

/// A key, or another if that is missing. Made by [`RequestKey::or`].
#[derive(Clone, Copy, Debug)]
pub struct Or<A, B> {
    first: A,
    second: B,
}

impl<A, B> Or<A, B> {
    pub(super) fn new(first: A, second: B) -> Or<A, B> {
        Or { first, second }
    }
}

/// A key of one kind or of another. Two that differ in kind are never equal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Either<A, B> {
    /// The key of the first kind.
    First(A),
    /// The key of the second kind, if the first is missing.
    Second(B),
}

impl<A: RequestKey, B: RequestKey> RequestKey for Or<A, B>
where
    OwnedKey<A>: 'static,
    OwnedKey<B>: 'static,
{
    type Key = Either<OwnedKey<A>, OwnedKey<B>>;

    fn key<'r>(&self, request: &Head<'r>) -> Result<Cow<'r, Self::Key>, KeyError> {
        let key = match self.first.key(request) {
            Ok(first) => Either::First(first.into_owned()),
            Err(KeyError::Missing) => Either::Second(self.second.key(request)?.into_owned()),
            Err(error) => return Err(error),
        };
        Ok(Cow::Owned(key))
    }
}
