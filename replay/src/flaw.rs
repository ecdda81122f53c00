//! Why a line is malformed.

use std::fmt;

/// The most bytes of a line, without the line feed.
pub(crate) const MAX_LINE: usize = 64 * 1024;

/// The first rule of its format that a malformed line breaks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Flaw {
    TooLong,
    NoClient,
    NoValue,
    NoAddress,
    TwoAddresses,
    UntrustedList,
    AddressAsText,
    KeyNotText,
    LineAsKey,
    NoStamp,
    Time,
    Request,
    Status,
    /// What the library of patterns says.
    Pattern(String),
    /// What the library of JSON says.
    Json(String),
    NoField(String),
}

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Flaw::TooLong => write!(f, "longer than {MAX_LINE} bytes"),
            Flaw::NoClient => f.write_str("no client before a space"),
            Flaw::NoValue => f.write_str("no value where the address of the client should be"),
            Flaw::NoAddress => f.write_str(
                "no address of a client (a --format that says where the client is, such as combined, \
                 reads host names with --key-type text)",
            ),
            Flaw::TwoAddresses => f.write_str(
                "two addresses before the time stamp: --format says which is the client, with the \
                 server's log format",
            ),
            Flaw::UntrustedList => {
                f.write_str("a list of addresses: --trust says which proxies may report a client")
            }
            Flaw::AddressAsText => f.write_str(
                "an address in a field that is taken as text: give --key-type address or text",
            ),
            Flaw::KeyNotText => f.write_str("a key that is not UTF-8"),
            Flaw::LineAsKey => f.write_str("a whole line of an access log in the field of the key"),
            Flaw::NoStamp => f.write_str("no time stamp before a request"),
            Flaw::Time => f.write_str("no such time between 1970 and 2069"),
            Flaw::Request => f.write_str("no end of the request"),
            Flaw::Status => f.write_str("no status and size"),
            Flaw::Pattern(error) => f.write_str(error),
            Flaw::Json(error) => write!(f, "no object in JSON: {error}"),
            Flaw::NoField(field) => write!(f, "no text or number in the field {field:?}"),
        }
    }
}
