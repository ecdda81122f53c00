//! Keys, and where they lie in the store.

use std::{
    borrow::Cow,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    rc::Rc,
    sync::Arc,
};

use percent_encoding::{AsciiSet, CONTROLS, percent_encode};
use sha2::{Digest, Sha256};
#[cfg(feature = "tower")]
use tollgate::tower::key::Either;

/// A key that several nodes share: a value with the same bytes on each of them.
///
/// Two keys that differ must have different bytes. Text and bytes are taken as they are, numbers as their
/// decimal digits, and addresses as their usual text. A pair is the length of its first key, a colon, and both
/// keys.
///
/// The feature `tower` has it for `tollgate::tower::key::Either` too.
///
/// ```
/// use std::borrow::Cow;
/// use tollgate_redis::SharedKey;
///
/// struct Seat {
///     account: u64,
///     number: u16,
/// }
///
/// impl SharedKey for Seat {
///     fn key_bytes(&self) -> Cow<'_, [u8]> {
///         Cow::Owned(format!("{}/{}", self.account, self.number).into_bytes())
///     }
/// }
///
/// let seat = Seat { account: 7, number: 12 };
/// assert_eq!(&*seat.key_bytes(), b"7/12");
/// ```
///
/// A type around another key has its bytes:
///
/// ```
/// use std::borrow::Cow;
/// use tollgate_redis::SharedKey;
///
/// #[derive(Clone, PartialEq, Eq, Hash)]
/// struct UserId(u64);
///
/// impl SharedKey for UserId {
///     fn key_bytes(&self) -> Cow<'_, [u8]> {
///         self.0.key_bytes()
///     }
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no key that several nodes share",
    label = "expected a `SharedKey`",
    note = "implement `tollgate_redis::SharedKey`, for example with `self.0.key_bytes()`"
)]
pub trait SharedKey {
    /// Returns the bytes of the key.
    fn key_bytes(&self) -> Cow<'_, [u8]>;
}

macro_rules! by_bytes {
    ($($type:ty),*) => {$(
        impl SharedKey for $type {
            fn key_bytes(&self) -> Cow<'_, [u8]> {
                Cow::Borrowed(self.as_ref())
            }
        }
    )*};
}

by_bytes!(str, String, [u8], Vec<u8>);

impl<const LENGTH: usize> SharedKey for [u8; LENGTH] {
    fn key_bytes(&self) -> Cow<'_, [u8]> {
        Cow::Borrowed(self)
    }
}

/// One limit for all.
impl SharedKey for () {
    fn key_bytes(&self) -> Cow<'_, [u8]> {
        Cow::Borrowed(b"")
    }
}

macro_rules! by_text {
    ($($type:ty),*) => {$(
        impl SharedKey for $type {
            fn key_bytes(&self) -> Cow<'_, [u8]> {
                Cow::Owned(self.to_string().into_bytes())
            }
        }
    )*};
}

by_text!(
    u8, u16, u32, u64, u128, usize, i8, i16, i32, i64, i128, isize
);
by_text!(IpAddr, Ipv4Addr, Ipv6Addr);
by_text!(bool, char);

/// What `tollgate::tower::key::RequestKey::and` makes.
impl<A: SharedKey, B: SharedKey> SharedKey for (A, B) {
    fn key_bytes(&self) -> Cow<'_, [u8]> {
        let (first, second) = (self.0.key_bytes(), self.1.key_bytes());
        // The length says where the first key ends, whatever the keys contain.
        let mut bytes = format!("{}:", first.len()).into_bytes();
        bytes.extend_from_slice(&first);
        bytes.extend_from_slice(&second);
        Cow::Owned(bytes)
    }
}

/// What `tollgate::tower::key::RequestKey::or` makes.
#[cfg(feature = "tower")]
impl<A: SharedKey, B: SharedKey> SharedKey for Either<A, B> {
    fn key_bytes(&self) -> Cow<'_, [u8]> {
        let (mut bytes, key) = match self {
            Either::First(key) => (b"1:".to_vec(), key.key_bytes()),
            Either::Second(key) => (b"2:".to_vec(), key.key_bytes()),
        };
        bytes.extend_from_slice(&key);
        Cow::Owned(bytes)
    }
}

macro_rules! by_target {
    ($($type:ty),*) => {$(
        impl<T: SharedKey + ?Sized> SharedKey for $type {
            fn key_bytes(&self) -> Cow<'_, [u8]> {
                (**self).key_bytes()
            }
        }
    )*};
}

by_target!(&T, Box<T>, Rc<T>, Arc<T>);

impl<T: SharedKey + ToOwned + ?Sized> SharedKey for Cow<'_, T> {
    fn key_bytes(&self) -> Cow<'_, [u8]> {
        (**self).key_bytes()
    }
}

/// Keys of more bytes are hashed.
const LONGEST: usize = 64;

/// What is not itself in the name of a key. A brace would choose the slot of a cluster, and `#` marks a hash.
const ESCAPED: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'#')
    .add(b'%')
    .add(b'{')
    .add(b'}');

/// Where the keys of a limiter lie: `{prefix}:{mark}:{key in braces}`.
///
/// The key is in braces, so that its bytes alone choose the slot of a cluster.
#[derive(Clone, Debug)]
pub(crate) struct Names {
    head: String,
    are_hashed: bool,
}

impl Names {
    pub(crate) fn new(prefix: &str, mark: &str, are_hashed: bool) -> Names {
        let head = format!("{prefix}:{mark}:{{");
        Names { head, are_hashed }
    }

    /// Returns where a key lies in the store.
    pub(crate) fn name(&self, key: &[u8]) -> Vec<u8> {
        let mut name = String::with_capacity(self.head.len() + LONGEST + 1);
        name.push_str(&self.head);
        if self.are_hashed || key.len() > LONGEST {
            name.push('#');
            // 128 bits: two keys with one hash are not found by trying.
            for byte in &Sha256::digest(key)[..16] {
                name.extend(
                    [byte >> 4, byte & 15]
                        .map(|digit| char::from(b"0123456789abcdef"[usize::from(digit)])),
                );
            }
        } else {
            name.extend(percent_encode(key, ESCAPED));
        }
        name.push('}');
        name.into_bytes()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn name(key: impl SharedKey) -> String {
        let names = Names::new("turns", "1/6*10", false);
        String::from_utf8(names.name(&key.key_bytes())).unwrap()
    }

    #[test]
    fn a_key_lies_behind_prefix_and_mark_in_braces() {
        assert_eq!(name("alice"), "turns:1/6*10:{alice}");
        assert_eq!(name(7_u64), "turns:1/6*10:{7}");
        assert_eq!(
            name(IpAddr::from([192, 0, 2, 1])),
            "turns:1/6*10:{192.0.2.1}"
        );
        assert_eq!(name("::1".parse::<IpAddr>().unwrap()), "turns:1/6*10:{::1}");
        assert_eq!(name(""), "turns:1/6*10:{}");
        assert_eq!(name(()), "turns:1/6*10:{}");
        assert_eq!(name(*b"key"), "turns:1/6*10:{key}");
    }

    /// A client that chooses its key chooses neither another key nor the slot.
    #[test]
    fn keys_are_escaped_and_stay_apart() {
        let long = "k".repeat(65);
        let hash = name(long.as_str());
        let inner = &hash["turns:1/6*10:{".len()..hash.len() - 1];
        let keys = [
            "a}b",
            "{a}b",
            "a%7Db",
            "a b",
            "a\nb",
            "a#b",
            "é",
            "a\u{0}",
            inner,
            &long,
            &"k".repeat(66),
            &"k".repeat(64),
        ];
        let names: Vec<String> = keys.iter().map(name).collect();
        for (index, one) in names.iter().enumerate() {
            let inner = &one["turns:1/6*10:{".len()..one.len() - 1];
            assert!(inner.bytes().all(|byte| byte.is_ascii_graphic()), "{one}");
            assert!(!inner.contains(['{', '}']), "{one}");
            assert!(!names[..index].contains(one), "{one}");
        }
        assert_eq!(inner.len(), 33);
    }

    /// Each text of up to three of these characters.
    fn texts() -> Vec<String> {
        let mut texts = vec![String::new()];
        let mut start = 0;
        for _ in 0..3 {
            let end = texts.len();
            for index in start..end {
                for character in ["0", "1", "2", ":", "a"] {
                    texts.push(format!("{}{character}", texts[index]));
                }
            }
            start = end;
        }
        texts
    }

    /// Checks that keys which differ have different bytes.
    #[track_caller]
    fn are_apart<K: SharedKey>(keys: &[K]) {
        let bytes: HashSet<_> = keys.iter().map(SharedKey::key_bytes).collect();
        assert_eq!(bytes.len(), keys.len());
    }

    /// Also if a client chooses both keys, with colons and digits in them.
    #[test]
    fn pairs_that_differ_have_different_bytes() {
        let texts = texts();
        assert_eq!(texts.len(), 1 + 5 + 25 + 125);
        let pairs = texts
            .iter()
            .flat_map(|first| texts.iter().map(move |second| (first, second)));
        are_apart(&pairs.collect::<Vec<_>>());
        let short = &texts[..6];
        let mut nested = Vec::new();
        for first in short {
            for second in short {
                nested.extend(short.iter().map(|third| ((first, second), third)));
            }
        }
        are_apart(&nested);
        assert_eq!(&*("alice", true).key_bytes(), b"5:alicetrue");
        assert_eq!(name((("a", 'é'), 7)), "turns:1/6*10:{5:1:a%C3%A97}");
    }

    #[cfg(feature = "tower")]
    #[test]
    fn keys_of_one_kind_and_of_the_other_have_different_bytes() {
        let texts = texts();
        let mut keys: Vec<Either<&String, &String>> = texts.iter().map(Either::First).collect();
        keys.extend(texts.iter().map(Either::Second));
        are_apart(&keys);
        let nested = [
            Either::First(Either::First("2:a")),
            Either::First(Either::Second("a")),
        ];
        are_apart(&nested.map(|key: Either<Either<&str, &str>, &str>| key));
        let address = Either::<&str, _>::Second(IpAddr::from([192, 0, 2, 1]));
        assert_eq!(&*address.key_bytes(), b"2:192.0.2.1");
    }

    #[test]
    fn a_secret_key_is_hashed() {
        let names = Names::new("api", "m", true);
        let name = String::from_utf8(names.name(b"secret")).unwrap();
        // The first half of the SHA-256 of "secret".
        assert_eq!(name, "api:m:{#2bb80d537b1da3e38bd30361aa855686}");
    }
}
