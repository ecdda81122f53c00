//! What clients see as the name of a quota, or of a key.

use std::fmt;

use crate::quota::Quota;
use crate::tower::error::InvalidSetting;

/// A name that a structured field can carry as a string: one or more characters of printable ASCII.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Name(sfv::String);

impl Name {
    /// # Errors
    ///
    /// If the name is empty or has a character that is not printable ASCII. `setting` says what it
    /// names.
    pub(super) fn new(name: String, setting: &'static str) -> Result<Name, InvalidSetting> {
        let error = |name: String| {
            let expected = "one or more characters of printable ASCII";
            InvalidSetting::new(name, setting, expected)
        };
        if name.is_empty() {
            return Err(error(name));
        }
        let name = sfv::String::from_string(name);
        name.map(Name).map_err(|(_, name)| error(name))
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

const OF_QUOTA: &str = "the name of a quota";

/// Returns the default names of quotas: their periods, or as much of their text as is unique.
pub(super) fn from_quotas(quotas: &[Quota]) -> Vec<Name> {
    let is_unique = |name: &str, text: &dyn Fn(usize) -> String| {
        (0..quotas.len())
            .filter(|other| text(*other) == name)
            .count()
            == 1
    };
    let by_period = |index: usize| quotas[index].period_name().to_string();
    let by_text = |index: usize| quotas[index].to_string();
    let name = |index: usize| {
        let mut name = by_period(index);
        if !is_unique(&name, &by_period) {
            name = by_text(index);
            if !is_unique(&name, &by_text) {
                name = format!("{name}, {}", index + 1);
            }
        }
        // Quotas are written in ASCII letters, digits, spaces and slashes.
        Name::new(name, OF_QUOTA)
            .unwrap_or_else(|_| Name(sfv::StringRef::constant("quota").to_owned()))
    };
    (0..quotas.len()).map(name).collect()
}

/// Returns the names that a user chose, one for each of the `quotas`.
pub(super) fn chosen(names: Vec<String>, quotas: usize) -> Result<Vec<Name>, InvalidSetting> {
    if names.len() != quotas {
        let found = format!("{names:?}");
        let expected = format!("{quotas}, one for each quota of the policy");
        return Err(InvalidSetting::new(
            found,
            "the names of the quotas",
            expected,
        ));
    }
    let mut chosen = Vec::with_capacity(quotas);
    for name in names {
        let name = Name::new(name, OF_QUOTA)?;
        if chosen.contains(&name) {
            let expected = "a name that no other quota of the policy has";
            return Err(InvalidSetting::new(name.as_str(), OF_QUOTA, expected));
        }
        chosen.push(name);
    }
    Ok(chosen)
}
