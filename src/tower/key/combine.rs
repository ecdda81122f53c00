//! Keys made of keys.

use std::borrow::Cow;

use super::{KeyError, RequestKey, Stored};
use crate::tower::head::Head;

/// Made by [`RequestKey::and`].
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
    Stored<A>: 'static,
    Stored<B>: 'static,
{
    type Key = (Stored<A>, Stored<B>);

    fn key<'r>(&self, request: &Head<'r>) -> Result<Cow<'r, Self::Key>, KeyError> {
        let (first, second) = match (self.first.key(request), self.second.key(request)) {
            (Ok(first), Ok(second)) => (first.into_owned(), second.into_owned()),
            // What was spoilt counts for more than what is absent, which may be let through.
            (Err(KeyError::Missing), Err(why)) | (Err(why), _) | (Ok(_), Err(why)) => {
                return Err(why);
            }
        };
        Ok(Cow::Owned((first, second)))
    }
}

/// Made by [`RequestKey::or`].
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
    /// What was asked for first.
    First(A),
    /// What stands in for it.
    Second(B),
}

impl<A: RequestKey, B: RequestKey> RequestKey for Or<A, B>
where
    Stored<A>: 'static,
    Stored<B>: 'static,
{
    type Key = Either<Stored<A>, Stored<B>>;

    fn key<'r>(&self, request: &Head<'r>) -> Result<Cow<'r, Self::Key>, KeyError> {
        let key = match self.first.key(request) {
            Ok(first) => Either::First(first.into_owned()),
            Err(KeyError::Missing) => Either::Second(self.second.key(request)?.into_owned()),
            Err(why) => return Err(why),
        };
        Ok(Cow::Owned(key))
    }
}
