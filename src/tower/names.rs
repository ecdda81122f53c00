//! What each quota of a policy is called towards clients.

use std::fmt;

use crate::policy::Policy;
use crate::tower::error::InvalidSetting;

/// A name that a structured field can carry as a string: printable ASCII, and some of it.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Name(sfv::String);

impl Name {
    fn new(name: String) -> Result<Name, String> {
        if name.is_empty() {
            return Err(name);
        }
        sfv::String::from_string(name)
            .map(Name)
            .map_err(|(_, name)| name)
    }

    pub(super) fn as_str(&self) -> &str {
        self.0.as_str()
    }

    pub(super) fn as_structured(&self) -> &sfv::StringRef {
        &self.0
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

/// Each quota's own name, in the order of the policy.
pub(super) type Names<const N: usize> = [Name; N];

/// The names of quotas that nobody has named: their periods, or as much of their text as tells
/// them apart.
pub(super) fn of_policy<const N: usize>(policy: &Policy<N>) -> Names<N> {
    let quotas = policy.quotas();
    let is_alone = |name: &str, text: &dyn Fn(usize) -> String| {
        (0..N).filter(|other| text(*other) == name).count() == 1
    };
    let by_period = |index: usize| quotas[index].period_name().to_string();
    let by_text = |index: usize| quotas[index].to_string();
    std::array::from_fn(|index| {
        let mut name = by_period(index);
        if !is_alone(&name, &by_period) {
            name = by_text(index);
            if !is_alone(&name, &by_text) {
                name = format!("{name}, {}", index + 1);
            }
        }
        // Quotas are written in ASCII letters, digits, spaces and slashes.
        Name::new(name).unwrap_or_else(|_| Name(sfv::StringRef::constant("quota").to_owned()))
    })
}

/// The names that a user chose.
pub(super) fn chosen<const N: usize>(names: [String; N]) -> Result<Names<N>, InvalidSetting> {
    let rejected =
        |name: &str, expected| InvalidSetting::new(name, "the name of a quota", expected);
    let mut chosen = Vec::with_capacity(N);
    for name in names {
        let name = Name::new(name)
            .map_err(|name| rejected(&name, "one or more characters of printable ASCII"))?;
        if chosen.contains(&name) {
            let expected = "a name that no other quota of the policy has";
            return Err(rejected(name.as_str(), expected));
        }
        chosen.push(name);
    }
    // As many as there were, so this cannot be rejected.
    chosen
        .try_into()
        .map_err(|_| rejected("", "a name for each quota"))
}
