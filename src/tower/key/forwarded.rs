//! The hops that proxies report, from the one nearest to this service outward.
//!
//! Each proxy appends at the right end. What it appends is well formed. What is to its left, a client may
//! have sent. So everything here reads **from the right**, and reads no byte before all hops to its right
//! were valid. An unbalanced quote, a stray comma or a byte that is not text cannot change what a proxy
//! wrote after it.

use std::net::{IpAddr, Ipv6Addr};

use http::{HeaderMap, HeaderName};

/// How hops are written in a header.
#[derive(Clone, Copy, Debug)]
pub(super) enum Syntax {
    /// Addresses between commas, as in `X-Forwarded-For`.
    Addresses,
    /// The elements of RFC 7239.
    Forwarded,
}

impl Syntax {
    /// Returns every hop in all lines of a header, from the right: its address in canonical form, or
    /// `None` if it is not an address.
    ///
    /// An empty element or line is a hop without an address. RFC 9110 (section 5.6.1.2) skips them. Here
    /// what is to the left of one may have been written by the client.
    pub(super) fn hops<'r>(
        self,
        headers: &'r HeaderMap,
        name: &HeaderName,
    ) -> impl Iterator<Item = Option<IpAddr>> + 'r {
        let lines = headers.get_all(name).iter().rev();
        lines.flat_map(move |line| {
            let mut rest = Some(line.as_bytes());
            std::iter::from_fn(move || {
                let line = rest?;
                let comma = match self {
                    Syntax::Addresses => line.iter().rposition(|byte| *byte == b','),
                    Syntax::Forwarded => last_outside_quotes(line, b','),
                };
                let (before, element) = split_at(line, comma);
                rest = before;
                let node = match self {
                    Syntax::Addresses => Some(element),
                    Syntax::Forwarded => forwarded_for(element),
                };
                Some(node.and_then(address))
            })
        })
    }
}

/// Splits at `at`, if there is one, into what is before it and what is after it.
fn split_at(text: &[u8], at: Option<usize>) -> (Option<&[u8]>, &[u8]) {
    match at {
        Some(at) => (Some(&text[..at]), &text[at + 1..]),
        None => (None, text),
    }
}

/// The last place of `separator` that is in no quoted string, read from the right.
fn last_outside_quotes(text: &[u8], separator: u8) -> Option<usize> {
    let mut is_quoted = false;
    for (at, byte) in text.iter().enumerate().rev() {
        if *byte == b'"' {
            // Within a quoted string a quote is written with a backslash, and that with another.
            let before = text[..at].iter().rev();
            let backslashes = before.take_while(|byte| **byte == b'\\').count();
            if !is_quoted || backslashes % 2 == 0 {
                is_quoted = !is_quoted;
            }
        } else if *byte == separator && !is_quoted {
            return Some(at);
        }
    }
    None
}

/// The node that an element of `Forwarded` is `for`, without its quotes. It must be there once.
///
/// Only the node need be text: a proxy may tell, as the `host`, what bytes its client sent for one.
fn forwarded_for(element: &[u8]) -> Option<&[u8]> {
    let mut node = None;
    let mut rest = Some(element);
    while let Some(pairs) = rest {
        let (before, pair) = split_at(pairs, last_outside_quotes(pairs, b';'));
        rest = before;
        if trim(pair).is_empty() {
            continue;
        }
        let equals = pair.iter().position(|byte| *byte == b'=')?;
        let (name, value) = (&pair[..equals], &pair[equals + 1..]);
        if trim(name).eq_ignore_ascii_case(b"for") && node.replace(trim(value)).is_some() {
            return None;
        }
    }
    let node = node?;
    match node.strip_prefix(b"\"") {
        // No address needs a backslash; with one, or with a quote, what is left is no address.
        Some(quoted) => quoted.strip_suffix(b"\""),
        None => Some(node),
    }
}

/// The address in `203.0.113.7`, `203.0.113.7:4711`, `2001:db8::1`, `[2001:db8::1]` or
/// `[2001:db8::1]:4711`.
fn address(node: &[u8]) -> Option<IpAddr> {
    let node = std::str::from_utf8(trim(node)).ok()?;
    let address = if let Some(rest) = node.strip_prefix('[') {
        let (address, port) = rest.split_once(']')?;
        let is_port = |port: &str| port.strip_prefix(':').is_some_and(is_port);
        if !port.is_empty() && !is_port(port) {
            return None;
        }
        IpAddr::V6(address.parse::<Ipv6Addr>().ok()?)
    } else {
        match node.split_once(':') {
            Some((address, port)) if is_port(port) && !address.is_empty() => {
                IpAddr::V4(address.parse().ok()?)
            }
            _ => node.parse().ok()?,
        }
    };
    Some(address.to_canonical())
}

/// Whether this is a port, or what RFC 7239 lets a proxy write in its place (`_` and a word).
fn is_port(text: &str) -> bool {
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    match text.strip_prefix('_') {
        Some(word) => !word.is_empty() && word.bytes().all(is_word),
        None => (1..=5).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit()),
    }
}

/// Without the spaces and tabs that HTTP allows around elements.
fn trim(text: &[u8]) -> &[u8] {
    let is_text = |byte: &u8| !matches!(byte, b' ' | b'\t');
    let start = text.iter().position(is_text).unwrap_or(text.len());
    let end = text
        .iter()
        .rposition(is_text)
        .map_or(start, |last| last + 1);
    &text[start..end]
}
