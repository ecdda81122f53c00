//! The environment of the example services, as in the table of `examples/README.md`.

use std::{
    collections::BTreeMap,
    ffi::{OsStr, OsString},
};

use super::served::example;

/// A row of the table in `examples/README.md`. Only numbers have bounds.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Row {
    pub variable: String,
    pub service: String,
    pub default: String,
    pub bounds: Option<[u64; 2]>,
}

/// Spellings of a number that are invalid here. `N` stands for a number within the bounds.
const SPELLINGS: [&str; 16] = [
    "+N", "-N", "0N", "0000N", "+0N", " N", "N ", "\tN", "N\n", "N_0", "0xN", "N.0", "Ne0", "N,0",
    "'N'", "Nu64",
];

/// Hosts with no, two or ambiguous addresses, and addresses with other text around them.
const NO_ADDRESSES: [&str; 18] = [
    "localhost",
    "127.0.0.256",
    "127.0.0.1.",
    "127.1",
    "127.0.0.01",
    "0x7f.0.0.1",
    "2130706433",
    " 127.0.0.1",
    "127.0.0.1\n",
    "127.0.0.1:8080",
    "127.0.0.1/8",
    "[::1]",
    "[::1]:8080",
    "::1%1",
    "fe80::1%eth0",
    ":::1",
    "::00001",
    "*",
];

/// Tokens of fewer than 16 and of more than 128 characters, and with one that is not printable ASCII.
const NO_TOKENS: [&str; 6] = [
    "",
    "abcdefghijklmno",
    "abcdefghijklmnop abcdefgh",
    "abcdefghijklmnop\n",
    "abcdefghijklmnop\u{e9}",
    concat!(
        "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
        "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef!",
    ),
];

impl Row {
    /// Returns invalid values: one beyond each bound, and texts that are no such value.
    pub fn invalid(&self) -> Vec<OsString> {
        let no_numbers = ["abc", "", " ", "-1", "1.5", "1e3", "10 ", "\u{661}\u{660}"];
        let mut values = match &*self.variable {
            "ADMIN_TOKEN" => NO_TOKENS.map(OsString::from).to_vec(),
            "TIERS_FILE" => vec![OsString::new()],
            _ => no_numbers.map(OsString::from).to_vec(),
        };
        match (&*self.variable, self.bounds) {
            ("HOST", _) => values.extend(NO_ADDRESSES.map(OsString::from)),
            (_, None) => {}
            (_, Some([from, to])) => {
                let below = from
                    .checked_sub(1)
                    .map_or("-1".to_owned(), |below| below.to_string());
                let above = (to + 1).to_string();
                let beyond_any = "99999999999999999999999".to_owned();
                values.extend([below, above, beyond_any].map(OsString::from));
                // A number within the bounds, in all spellings but the valid one.
                let spellings = SPELLINGS.map(|spelling| spelling.replace('N', &to.to_string()));
                values.extend(spellings.map(OsString::from));
            }
        }
        #[cfg(unix)]
        {
            use std::os::unix::ffi::OsStringExt;
            values.push(OsString::from_vec(b"1\xff0".to_vec()));
        }
        values
    }

    /// Returns the error of the service for an invalid value.
    pub fn error(&self, value: &OsStr) -> String {
        let expected = match (&*self.variable, self.bounds) {
            // The value is a secret.
            ("ADMIN_TOKEN", _) => {
                let expected = "16 to 128 printable ASCII characters, no blanks";
                return format!("ADMIN_TOKEN is invalid; expected {expected}");
            }
            ("TIERS_FILE", _) => "the path of a file, in UTF-8".to_owned(),
            (_, None) => "an IPv4 or IPv6 address".to_owned(),
            (_, Some([from, to])) => format!("a whole number from {from} to {to}"),
        };
        format!("{} is {value:?}; expected {expected}", self.variable)
    }
}

/// Reads the table.
pub fn table() -> Vec<Row> {
    let readme = example("README.md");
    let header = "| variable | service | what | default | from | to |";
    let table = readme.split(header).nth(1).expect("README has the table");
    let rows = table
        .lines()
        .skip(2)
        .take_while(|line| line.starts_with('|'));
    let rows: Vec<Row> = rows.map(row).collect();
    assert!(rows.len() >= 16, "rows are missing: {rows:?}");
    rows
}

fn row(line: &str) -> Row {
    let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
    let [variable, service, what, default, from, to] = cells[..] else {
        panic!("six columns: {line}");
    };
    assert!(!what.is_empty(), "{line}");
    let code = |cell: &str| cell.trim_matches('`').to_owned();
    let bounds = match [from, to] {
        ["–", "–"] => None,
        bounds => Some(bounds.map(|bound| bound.parse().unwrap())),
    };
    Row {
        variable: code(variable),
        service: code(service),
        default: default.to_owned(),
        bounds,
    }
}

pub type Variables = BTreeMap<String, OsString>;

pub const UNSET: Variables = Variables::new();
