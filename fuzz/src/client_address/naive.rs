//! A second, simple parser of the same lines, from left to right.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::Reads;

/// Returns the hops in well-formed lines, the outermost first. A hop without an address is `None`.
pub(super) fn hops(reads: Reads, lines: &[&[u8]]) -> Option<Vec<Option<IpAddr>>> {
    let mut hops = Vec::new();
    for line in lines {
        match reads {
            Reads::XForwardedFor | Reads::Other => {
                hops.extend(line.split(|byte| *byte == b',').map(node));
            }
            Reads::Forwarded => hops.extend(elements(line)?),
        }
    }
    Some(hops)
}

/// Returns the client: the first hop, from the service outward, that is not trusted. If that hop
/// has no address, the client is the hop before it. If all hops are trusted, it is the outermost
/// one.
pub(super) fn client(
    hops: &[Option<IpAddr>],
    peer: IpAddr,
    is_trusted: impl Fn(IpAddr) -> bool,
) -> IpAddr {
    let chain = [hops, &[Some(peer)]].concat();
    let end = chain
        .iter()
        .rposition(|hop| !hop.is_some_and(&is_trusted))
        .unwrap_or(0);
    // If a hop without an address ends the walk, the proxy that left it out.
    chain[end..]
        .iter()
        .flatten()
        .next()
        .copied()
        .expect("the peer has an address")
}

/// Returns every address in the line, by itself or before a port.
pub(super) fn addresses_in(line: &[u8]) -> impl Iterator<Item = IpAddr> {
    let is_part = |byte: &u8| byte.is_ascii_hexdigit() || matches!(*byte, b':' | b'.');
    line.split(move |byte| !is_part(byte)).flat_map(|word| {
        let word = str::from_utf8(word).expect("digits");
        let before_port = word.rsplit_once(':').map(|(address, _)| address);
        [Some(word), before_port]
            .into_iter()
            .flatten()
            .filter_map(|text| {
                text.parse()
                    .ok()
                    .map(|address: IpAddr| address.to_canonical())
            })
    })
}

/// Parses an address in one of the accepted spellings, between spaces or tabs.
fn node(text: &[u8]) -> Option<IpAddr> {
    let text = str::from_utf8(text).ok()?.trim_matches([' ', '\t']);
    let split = (0..=text.len()).filter(|at| text.is_char_boundary(*at));
    let mut meanings = split.filter_map(|at| {
        let (host, port) = text.split_at(at);
        let is_port = port.is_empty() || port.strip_prefix(':').is_some_and(is_port);
        let bracketed = host
            .strip_prefix('[')
            .and_then(|host| host.strip_suffix(']'));
        let ipv4 = host.parse::<Ipv4Addr>().ok().map(IpAddr::V4);
        let bare = host
            .parse::<Ipv6Addr>()
            .ok()
            .filter(|_| port.is_empty())
            .map(IpAddr::V6);
        let bracketed = bracketed
            .and_then(|host| host.parse::<Ipv6Addr>().ok())
            .map(IpAddr::V6);
        ipv4.or(bare).or(bracketed).filter(|_| is_port)
    });
    meanings.next().map(|address| address.to_canonical())
}

fn is_port(text: &str) -> bool {
    let is_word = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    match text.strip_prefix('_') {
        Some(word) => !word.is_empty() && word.chars().all(is_word),
        None => (1..=5).contains(&text.len()) && text.chars().all(|c| c.is_ascii_digit()),
    }
}

/// Returns the hops of a line of `Forwarded`, or `None` if RFC 7239 does not allow it.
fn elements(line: &[u8]) -> Option<Vec<Option<IpAddr>>> {
    let mut rest = line;
    let mut hops = Vec::new();
    loop {
        skip_spaces(&mut rest);
        hops.push(element(&mut rest)?);
        skip_spaces(&mut rest);
        match take(&mut rest) {
            Some(b',') => {}
            None => return Some(hops),
            Some(_) => return None,
        }
    }
}

/// Parses one element, such as `for=192.0.2.60;proto=http`. The outer `None` is malformed.
fn element(rest: &mut &[u8]) -> Option<Option<IpAddr>> {
    let mut nodes = Vec::new();
    loop {
        let name = token(rest);
        if !name.is_empty() {
            take(rest).filter(|byte| *byte == b'=')?;
            let value = match rest.first() {
                Some(b'"') => quoted(rest)?,
                _ => token(rest),
            };
            // An empty value is malformed.
            if value.is_empty() {
                return None;
            }
            if name.eq_ignore_ascii_case(b"for") {
                nodes.push(value);
            }
        }
        if rest.first() != Some(&b';') {
            break;
        }
        take(rest);
    }
    match nodes[..] {
        [value] => {
            let unquoted = value
                .strip_prefix(b"\"")
                .and_then(|value| value.strip_suffix(b"\""));
            Some(node(unquoted.unwrap_or(value)))
        }
        _ => Some(None),
    }
}

fn token<'a>(rest: &mut &'a [u8]) -> &'a [u8] {
    let is_token = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
    let end = rest.iter().position(|byte| !is_token(byte));
    let (token, behind) = rest.split_at(end.unwrap_or(rest.len()));
    *rest = behind;
    token
}

/// Returns a quoted string as it stands, with its quotes and backslashes.
fn quoted<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let all = *rest;
    take(rest);
    loop {
        match take(rest)? {
            b'"' => return Some(&all[..all.len() - rest.len()]),
            b'\\' => _ = take(rest)?,
            _ => {}
        }
    }
}

fn take(rest: &mut &[u8]) -> Option<u8> {
    let (first, behind) = rest.split_first()?;
    *rest = behind;
    Some(*first)
}

fn skip_spaces(rest: &mut &[u8]) {
    while let Some(b' ' | b'\t') = rest.first() {
        take(rest);
    }
}
