//! Every legal way in which a proxy writes the address that it saw.

use std::net::IpAddr;

use arbitrary::{Arbitrary, Result, Unstructured};

use super::Reads;

/// How a hop is written.
#[derive(Arbitrary, Debug)]
pub(super) struct Spelling {
    #[arbitrary(with = seldom)]
    hidden: Option<Hidden>,
    /// Whether an IPv4 address is written as a dual-stack socket reports it.
    is_mapped: bool,
    digits: Digits,
    is_bracketed: bool,
    port: Option<Port>,
    is_quoted: bool,
    #[arbitrary(with = |u: &mut Unstructured| u.choose(&["for", "For", "FOR"]).copied())]
    name: &'static str,
    #[arbitrary(with = few)]
    before: Vec<Pair>,
    #[arbitrary(with = few)]
    after: Vec<Pair>,
}

/// What a proxy writes to hide the address.
#[derive(Arbitrary, Clone, Copy, Debug)]
enum Hidden {
    Unknown,
    Word,
    Nothing,
}

/// The digits of an IPv6 address.
#[derive(Arbitrary, Clone, Copy, Debug)]
enum Digits {
    /// `2001:db8::1`
    Fewest,
    /// `2001:db8:0:0:0:0:0:1`
    EachGroup,
    /// `2001:0DB8:0000:0000:0000:0000:0000:0001`
    All,
}

#[derive(Arbitrary, Clone, Copy, Debug)]
enum Port {
    Number(u16),
    /// An obfuscated port, which only `Forwarded` has.
    Word,
}

/// Another parameter of an element of `Forwarded`.
#[derive(Arbitrary, Debug)]
struct Pair {
    #[arbitrary(with = |u: &mut Unstructured| {
        u.choose(&["by", "host", "proto", "forx", "xfor", "x-for"]).copied()
    })]
    name: &'static str,
    #[arbitrary(with = few)]
    value: Vec<Piece>,
}

/// A piece of a value. A value of `Word`s only is a token, and any other a quoted string.
#[derive(Arbitrary, Debug)]
enum Piece {
    Word,
    /// A text that would have a meaning outside of quotes.
    Bait(#[arbitrary(with = |u: &mut Unstructured| u.choose(&BAIT).copied())] &'static str),
    /// Any byte, with a backslash if it needs one or `escaped`.
    Byte {
        byte: u8,
        escaped: bool,
    },
}

const BAIT: [&str; 7] = [
    ",",
    ";",
    "=",
    "for=",
    "for=192.0.2.66",
    ", for=192.0.2.66, ",
    ";for=_x;",
];

/// Returns a value seldom, so that many chains end at the client.
fn seldom<'a, T: Arbitrary<'a>>(u: &mut Unstructured<'a>) -> Result<Option<T>> {
    u.ratio(1, 8)?.then(|| u.arbitrary()).transpose()
}

/// Returns at most 3 values, so that an input has bytes left for the rest of the chain.
fn few<'a, T: Arbitrary<'a>>(u: &mut Unstructured<'a>) -> Result<Vec<T>> {
    let count = u.int_in_range(0..=3)?;
    u.arbitrary_iter()?.take(count).collect()
}

impl Spelling {
    pub(super) fn hides(&self) -> bool {
        self.hidden.is_some()
    }

    /// Returns the element that names `address`.
    pub(super) fn element(&self, address: IpAddr, reads: Reads) -> Vec<u8> {
        match reads {
            Reads::XForwardedFor | Reads::Other => self.plain(address).into_bytes(),
            Reads::Forwarded => self.parameters(address),
        }
    }

    fn plain(&self, address: IpAddr) -> String {
        let port = match self.port {
            Some(Port::Number(port)) => format!(":{port}"),
            Some(Port::Word) | None => String::new(),
        };
        match self.hidden {
            Some(Hidden::Unknown) => "unknown".into(),
            Some(Hidden::Word) => "_hidden".into(),
            Some(Hidden::Nothing) => String::new(),
            None => match self.written(address) {
                // Without brackets it could not be told from a group.
                ipv6 if ipv6.contains(':') && (self.is_bracketed || !port.is_empty()) => {
                    format!("[{ipv6}]{port}")
                }
                ipv6 if ipv6.contains(':') => ipv6,
                ipv4 => ipv4 + &port,
            },
        }
    }

    fn parameters(&self, address: IpAddr) -> Vec<u8> {
        let name = match self.hidden {
            Some(Hidden::Unknown) => Some("unknown".into()),
            Some(Hidden::Word) => Some("_hidden".into()),
            Some(Hidden::Nothing) => None,
            None => Some(match self.written(address) {
                ipv6 if ipv6.contains(':') => format!("[{ipv6}]"),
                ipv4 => ipv4,
            }),
        };
        let port = match self.port {
            Some(Port::Number(port)) => format!(":{port}"),
            Some(Port::Word) => ":_port".into(),
            None => String::new(),
        };
        let node = name.map(|name| {
            let node = name + &port;
            // A token has no colon and no bracket.
            match self.is_quoted || node.contains(':') {
                true => format!("{}=\"{node}\"", self.name),
                false => format!("{}={node}", self.name),
            }
        });
        let pairs = self.before.iter().map(Pair::text);
        let pairs = pairs.chain(node.map(String::into_bytes));
        let pairs: Vec<_> = pairs.chain(self.after.iter().map(Pair::text)).collect();
        pairs.join(&b';')
    }

    fn written(&self, address: IpAddr) -> String {
        let ipv6 = match address {
            IpAddr::V4(ipv4) if self.is_mapped => ipv4.to_ipv6_mapped(),
            IpAddr::V4(ipv4) => return ipv4.to_string(),
            IpAddr::V6(ipv6) => ipv6,
        };
        let groups = ipv6.segments();
        match self.digits {
            Digits::Fewest => ipv6.to_string(),
            Digits::EachGroup => groups.map(|group| format!("{group:x}")).join(":"),
            Digits::All => groups.map(|group| format!("{group:04X}")).join(":"),
        }
    }
}

impl Pair {
    fn text(&self) -> Vec<u8> {
        let mut value = Vec::new();
        for piece in &self.value {
            match piece {
                Piece::Word => value.extend(b"word"),
                Piece::Bait(text) => value.extend(text.bytes()),
                Piece::Byte { byte, escaped } => {
                    if *escaped || matches!(byte, b'"' | b'\\') {
                        value.push(b'\\');
                    }
                    // HTTP allows no other control character.
                    value.push(if byte.is_ascii_control() {
                        b'\t'
                    } else {
                        *byte
                    });
                }
            }
        }
        let is_word = |piece: &Piece| matches!(piece, Piece::Word);
        let mut text = format!("{}=", self.name).into_bytes();
        if !value.is_empty() && self.value.iter().all(is_word) {
            text.extend(value);
        } else {
            text.push(b'"');
            text.extend(value);
            text.push(b'"');
        }
        text
    }
}
