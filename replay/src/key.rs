//! Makes keys of what log lines say of the client.
//!
//! An address becomes the key that the HTTP layer would use: the layer's own code finds the client
//! among forwarded addresses, and groups it by network.

use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

use http::{HeaderName, HeaderValue, Request};
use tollgate::tower::key::{ClientAddress, RequestKey};
use tollgate::tower::{Head, InvalidSetting};

use crate::flaw::Flaw;
use crate::form::is_digits;

/// What is limited: a client of the log.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Key {
    /// The first address of the client's network.
    Address(IpAddr),
    /// Shared, as each limiter stores it.
    Text(Arc<str>),
}

impl Key {
    /// Whether this is an address that no client on the internet has: private, of a carrier's own
    /// network, of this link or of this machine.
    pub(crate) fn is_internal(&self) -> bool {
        match self {
            Key::Address(IpAddr::V4(address)) => {
                let is_shared = address.octets()[0] == 100 && address.octets()[1] & 0xc0 == 64;
                address.is_private()
                    || address.is_loopback()
                    || address.is_link_local()
                    || is_shared
            }
            // The loopback address is `::`, as its network is the key.
            Key::Address(IpAddr::V6(address)) => {
                address.is_unspecified()
                    || address.is_loopback()
                    || address.is_unique_local()
                    || address.is_unicast_link_local()
            }
            Key::Text(_) => false,
        }
    }
}

/// How a value becomes a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum KeyType {
    /// The client's network, as the HTTP layer finds it.
    Address,
    /// The value as it stands.
    Text,
}

/// Makes addresses into keys.
pub(crate) struct Addresses {
    layer: ClientAddress,
    /// The proxies that may report clients.
    trusted: Vec<String>,
    /// The request that the layer is shown: the address as its peer, and a list as its header.
    request: Request<()>,
    ipv4_prefix: u8,
    ipv6_prefix: u8,
}

/// The peer of [`Addresses::request`].
#[derive(Clone, Copy)]
struct Peer(IpAddr);

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

impl Addresses {
    /// Groups addresses by prefixes of this many bits, and trusts these proxies to report clients.
    ///
    /// # Errors
    ///
    /// If a prefix is too long or a network of `trusted` is invalid.
    pub(crate) fn new(
        ipv4_prefix: u8,
        ipv6_prefix: u8,
        trusted: &[String],
    ) -> Result<Addresses, InvalidSetting> {
        let peer = |request: &Head<'_>| request.extensions.get::<Peer>().map(|peer| peer.0);
        let layer = ClientAddress::from_peer(peer)
            .ipv4_prefix(ipv4_prefix)?
            .ipv6_prefix(ipv6_prefix)?
            .x_forwarded_for(trusted)?;
        let mut request = Request::new(());
        request
            .extensions_mut()
            .insert(Peer(Ipv6Addr::UNSPECIFIED.into()));
        Ok(Addresses {
            layer,
            trusted: trusted.to_vec(),
            request,
            ipv4_prefix,
            ipv6_prefix,
        })
    }

    /// Returns the key of an address, or of a list of addresses with commas between them.
    pub(crate) fn key(&mut self, value: &[u8]) -> Result<Key, Flaw> {
        let last = last_address(value).ok_or_else(|| match value.trim_ascii() {
            text if is_value(text) => Flaw::NoAddress,
            _ => Flaw::NoValue,
        })?;
        self.key_of(value, last)
    }

    /// Does what [`key`](Addresses::key) does, for a value whose [`last_address`] is known.
    pub(crate) fn key_of(&mut self, value: &[u8], last: IpAddr) -> Result<Key, Flaw> {
        let comma = value.iter().rposition(|byte| *byte == b',');
        if let Some(comma) = comma {
            if self.trusted.is_empty() {
                return Err(Flaw::UntrustedList);
            }
            // What no header can hold is no address, either.
            let is_control = |byte: &u8| byte.is_ascii_control() && *byte != b'\t';
            let visible = |byte: &u8| if is_control(byte) { b'?' } else { *byte };
            let before: Vec<u8> = value[..comma].iter().map(visible).collect();
            let before = HeaderValue::from_bytes(&before).map_err(|_| Flaw::NoAddress)?;
            self.request.headers_mut().insert(X_FORWARDED_FOR, before);
        } else if !self.trusted.is_empty() {
            self.request.headers_mut().clear();
        }
        // Replaced in place, as an insertion allocates.
        if let Some(peer) = self.request.extensions_mut().get_mut::<Peer>() {
            *peer = Peer(last);
        }
        let key = self.layer.key(&Head::from(&self.request));
        Ok(Key::Address(*key.map_err(|_| Flaw::NoAddress)?))
    }

    /// Says how addresses become keys.
    pub(crate) fn rule(&self) -> String {
        let Addresses {
            ipv4_prefix,
            ipv6_prefix,
            ..
        } = self;
        let trusted = if self.trusted.is_empty() {
            "no proxy".to_owned()
        } else {
            self.trusted.join(", ")
        };
        format!("address, IPv4 /{ipv4_prefix}, IPv6 /{ipv6_prefix}, trusting {trusted}")
    }

    /// Returns the text of a key for reports: a network has its prefix.
    pub(crate) fn text(&self, key: &Key) -> String {
        match key {
            Key::Address(address @ IpAddr::V4(_)) if self.ipv4_prefix == 32 => address.to_string(),
            Key::Address(address @ IpAddr::V6(_)) if self.ipv6_prefix == 128 => address.to_string(),
            Key::Address(address @ IpAddr::V4(_)) => format!("{address}/{}", self.ipv4_prefix),
            Key::Address(address @ IpAddr::V6(_)) => format!("{address}/{}", self.ipv6_prefix),
            Key::Text(text) => text.to_string(),
        }
    }
}

/// Returns the last address of a list, or the only one.
pub(crate) fn last_address(value: &[u8]) -> Option<IpAddr> {
    let element = value.rsplit(|byte| *byte == b',').next()?;
    address(element.trim_ascii())
}

/// Reads an address: alone, with a port, or with a zone. The layer makes it canonical.
fn address(text: &[u8]) -> Option<IpAddr> {
    // Most words that are no addresses end here.
    let is_possible = |byte: &u8| byte.is_ascii_hexdigit() || matches!(byte, b':' | b'[');
    if !text.first().is_some_and(is_possible) {
        return None;
    }
    let text = str::from_utf8(text).ok()?;
    if let Ok(address) = text.parse::<IpAddr>() {
        return Some(address);
    }
    let (address, after) = match text.strip_prefix('[') {
        Some(bracketed) => bracketed.split_once(']')?,
        None => match text.split_once(':') {
            Some((ipv4, port)) if is_port(port) => {
                return ipv4.parse().ok().map(IpAddr::V4);
            }
            _ => (text, ""),
        },
    };
    let is_end = after.is_empty() || after.strip_prefix(':').is_some_and(is_port);
    let address = match address.split_once('%') {
        Some((address, zone)) if is_zone(zone) => address,
        Some(_) => return None,
        None => address,
    };
    let address = address.parse::<Ipv6Addr>().ok().filter(|_| is_end)?;
    Some(IpAddr::V6(address))
}

fn is_port(text: &str) -> bool {
    text.len() <= 5 && is_digits(text.as_bytes())
}

fn is_zone(text: &str) -> bool {
    let is_part = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'%' | b'[' | b']');
    !text.is_empty() && text.bytes().all(is_part)
}

/// Returns the key that a text is, or `None` if it is no value.
///
/// A text is no value if it is empty, `-` or `""`, which servers write for it.
pub(crate) fn text_key(value: &[u8]) -> Result<Option<Key>, Flaw> {
    let text = str::from_utf8(value).map_err(|_| Flaw::KeyNotText)?;
    let text = text.trim_matches([' ', '\t']);
    Ok(is_value(text.as_bytes()).then(|| Key::Text(text.into())))
}

/// Whether this is not what servers write where there is no value.
pub(crate) fn is_value(text: &[u8]) -> bool {
    !matches!(text, b"" | b"-" | b"\"\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address_of(text: &str) -> Option<String> {
        last_address(text.as_bytes()).map(|address| address.to_string())
    }

    fn key_of(trusted: &[&str], value: &str) -> Result<String, Flaw> {
        let trusted: Vec<_> = trusted.iter().copied().map(String::from).collect();
        let mut addresses = Addresses::new(32, 64, &trusted).unwrap();
        let key = addresses.key(value.as_bytes())?;
        Ok(addresses.text(&key))
    }

    #[test]
    fn an_address_may_have_a_port_brackets_or_a_zone() {
        for text in ["203.0.113.7", "203.0.113.7:4711", " 203.0.113.7\t"] {
            assert_eq!(address_of(text).as_deref(), Some("203.0.113.7"), "{text}");
        }
        for text in [
            "2001:db8::1",
            "2001:DB8:0::1",
            "[2001:db8::1]",
            "[2001:db8::1]:4711",
            "2001:db8::1%eth0",
            "[2001:db8::1%eth0]:1",
        ] {
            assert_eq!(address_of(text).as_deref(), Some("2001:db8::1"), "{text}");
        }
    }

    #[test]
    fn what_is_no_address_is_none() {
        for text in [
            "",
            "-",
            "unknown",
            "face",
            "www.example",
            "www.example:80",
            "203.0.113",
            "203.0.113.7:",
            "203.0.113.7:123456",
            "203.0.113.07",
            "203.0.113.7/24",
            "203.0.113.7%eth0",
            "[203.0.113.7]",
            "[2001:db8::1",
            "[2001:db8::1]4711",
            "2001:db8::1%",
            "2001:db8::1%a%b",
            "2001:db8::1]",
            "203.0.113.7,",
            "203.0.113.7, unknown",
        ] {
            assert_eq!(address_of(text), None, "{text}");
        }
    }

    #[test]
    fn addresses_are_keyed_as_the_layer_keys_them() {
        let key = |value| key_of(&[], value);
        assert_eq!(key("2001:db8::1"), Ok("2001:db8::/64".into()));
        assert_eq!(key("2001:db8::2"), Ok("2001:db8::/64".into()));
        assert_eq!(key("::ffff:203.0.113.7"), Ok("203.0.113.7".into()));
        assert_eq!(key("203.0.113.7"), Ok("203.0.113.7".into()));

        let mut wide = Addresses::new(24, 48, &[]).unwrap();
        let key = wide.key(b"203.0.113.7").unwrap();
        assert_eq!(wide.text(&key), "203.0.113.0/24");
        let key = wide.key(b"2001:db8:1:2::3").unwrap();
        assert_eq!(wide.text(&key), "2001:db8:1::/48");
        let mut alone = Addresses::new(32, 128, &[]).unwrap();
        let key = alone.key(b"2001:db8::1").unwrap();
        assert_eq!(alone.text(&key), "2001:db8::1");
    }

    #[test]
    fn the_client_of_a_list_is_the_last_that_is_not_trusted() {
        let key = |value| key_of(&["10.0.0.0/8", "2001:db8::/32"], value);
        assert_eq!(key("198.51.100.1, 203.0.113.7"), Ok("203.0.113.7".into()));
        assert_eq!(key("203.0.113.7, 10.0.0.1"), Ok("203.0.113.7".into()));
        assert_eq!(
            key("1.2.3.4,203.0.113.7:80,10.0.0.1,[2001:db8::1]:80"),
            Ok("203.0.113.7".into())
        );
        assert_eq!(key("10.0.0.2, 10.0.0.1"), Ok("10.0.0.2".into()));
        assert_eq!(key("203.0.113.7, unknown, 10.0.0.1"), Ok("10.0.0.1".into()));
        assert_eq!(key("10.0.0.1"), Ok("10.0.0.1".into()));
        assert_eq!(
            key("\u{1}, 203.0.113.7, 10.0.0.1"),
            Ok("203.0.113.7".into())
        );
        assert_eq!(key("203.0.113.7, \u{7f}, 10.0.0.1"), Ok("10.0.0.1".into()));
    }

    #[test]
    fn a_list_does_not_linger_in_the_next_line() {
        let mut addresses = Addresses::new(32, 64, &["10.0.0.0/8".to_owned()]).unwrap();
        addresses.key(b"203.0.113.7, 10.0.0.1").unwrap();
        let key = addresses.key(b"10.0.0.1").unwrap();
        assert_eq!(addresses.text(&key), "10.0.0.1");
    }

    #[test]
    fn a_list_is_malformed_without_trust() {
        assert_eq!(
            key_of(&[], "198.51.100.1, 203.0.113.7"),
            Err(Flaw::UntrustedList)
        );
    }

    #[test]
    fn internal_addresses_are_those_that_are_not_on_the_internet() {
        let is_internal = |text: &str| {
            let mut addresses = Addresses::new(32, 64, &[]).unwrap();
            addresses.key(text.as_bytes()).unwrap().is_internal()
        };
        for address in [
            "10.0.0.1",
            "172.16.0.1",
            "192.168.0.1",
            "127.0.0.1",
            "169.254.0.1",
            "100.64.0.1",
            "::ffff:10.0.0.1",
            "::1",
            "fd00::1",
            "fe80::1%eth0",
        ] {
            assert!(is_internal(address), "{address}");
        }
        for address in ["100.128.0.1", "172.32.0.1", "203.0.113.7", "2001:db8::1"] {
            assert!(!is_internal(address), "{address}");
        }
    }

    #[test]
    fn texts_are_keys_as_they_stand() {
        let text = |value: &str| text_key(value.as_bytes());
        assert_eq!(text(" Alice Of "), Ok(Some(Key::Text("Alice Of".into()))));
        for nothing in ["", "-", "\"\"", " - "] {
            assert_eq!(text(nothing), Ok(None), "{nothing}");
        }
        assert_eq!(text_key(b"\xff"), Err(Flaw::KeyNotText));
    }
}
