//! A client and the proxies between it and the service, with the header lines that each one sends.

use std::net::IpAddr;

use arbitrary::{Arbitrary, Result, Unstructured};
use http::HeaderValue;

use super::address::{Network, any_address};
use super::spelling::Spelling;
use super::{Lines, Reads, Setting, value};

#[derive(Debug)]
pub struct Chain {
    setting: Setting,
    client: IpAddr,
    /// The lines that the client makes up.
    sent: Lines,
    /// In the order from the client to the service.
    proxies: Vec<Proxy>,
    /// Whether the service sees the peer's IPv4 address as a dual-stack socket reports it.
    is_dual_stack: bool,
}

#[derive(Debug)]
struct Proxy {
    address: IpAddr,
    place: Place,
    spelling: Spelling,
}

/// Where a proxy writes the address that it saw.
#[derive(Arbitrary, Clone, Copy, Debug)]
enum Place {
    /// At the end of the last line, after a comma.
    Behind(#[arbitrary(with = comma)] &'static str),
    OwnLine,
    /// In a line that replaces all others.
    Alone,
    /// Nowhere: the proxy drops the header.
    Nowhere,
}

fn comma(u: &mut Unstructured) -> Result<&'static str> {
    u.choose(&[", ", ",", " ,\t", " , "]).copied()
}

impl<'a> Arbitrary<'a> for Chain {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Chain> {
        let mut trusted = vec![Network::arbitrary(u)?];
        while trusted.len() < 3 && u.arbitrary()? {
            trusted.push(u.arbitrary()?);
        }
        let setting = Setting {
            reads: u.arbitrary()?,
            ipv4_prefix: u.int_in_range(0..=32)?,
            ipv6_prefix: u.int_in_range(0..=128)?,
            trusted,
        };
        let client = match u.int_in_range(0..=2)? {
            0 => any_address(u)?,
            1 => u
                .choose(&setting.trusted)?
                .neighbour(u.arbitrary()?, u.arbitrary()?),
            _ => u.choose(&setting.trusted)?.address(u.arbitrary()?),
        };
        let is_dual_stack = u.arbitrary()?;
        let mut proxies = Vec::new();
        while proxies.len() < 4 && u.arbitrary()? {
            proxies.push(Proxy {
                address: u.choose(&setting.trusted)?.address(u.arbitrary()?),
                place: u.arbitrary()?,
                spelling: u.arbitrary()?,
            });
        }
        let mut sent = Vec::new();
        while !u.is_empty() && sent.len() < 8 {
            let header = if u.ratio(1, 4)? {
                u.arbitrary()?
            } else {
                setting.reads
            };
            sent.push((header, line(u, &setting)?));
        }
        Ok(Chain {
            setting,
            client,
            sent,
            proxies,
            is_dual_stack,
        })
    }
}

/// Returns a line of any bytes, with many meaningful pieces.
fn line(u: &mut Unstructured, setting: &Setting) -> Result<HeaderValue> {
    const MEANINGFUL: [&str; 12] = [
        ",",
        ";",
        "\"",
        "\\",
        "for=",
        "[",
        "]",
        "::ffff:",
        ":80",
        "192.0.2.66",
        "unknown",
        " ",
    ];
    let mut line = Vec::new();
    while u.arbitrary()? {
        match u.int_in_range(0..=3)? {
            0 => line.push(u.arbitrary()?),
            1 => line.extend(u.choose(&MEANINGFUL)?.bytes()),
            // An element that no proxy has written.
            2 => {
                let proxy = u.choose(&setting.trusted)?.address(u.arbitrary()?);
                line.extend(Spelling::arbitrary(u)?.element(proxy, setting.reads));
            }
            _ => line.extend(Spelling::arbitrary(u)?.element(any_address(u)?, setting.reads)),
        }
    }
    Ok(value(&line))
}

impl Chain {
    pub(super) fn run(&self) {
        let Chain {
            setting,
            client,
            proxies,
            ..
        } = self;
        let mut lines = self.sent.clone();
        let mut sees = *client;
        let mut expected = *client;
        for proxy in proxies {
            proxy.forward(sees, setting.reads, &mut lines);
            match proxy.place {
                Place::Nowhere => expected = proxy.address,
                _ if proxy.spelling.hides() => expected = proxy.address,
                // The address that it saw is the last one that is known.
                Place::Alone => expected = sees,
                Place::Behind(_) | Place::OwnLine => {}
            }
            sees = proxy.address;
        }
        let peer = match sees {
            IpAddr::V4(ipv4) if self.is_dual_stack => IpAddr::V6(ipv4.to_ipv6_mapped()),
            peer => peer,
        };
        let found = setting.client(peer, &lines);
        // A client in a trusted network may name any address.
        if !setting.trusts(*client) {
            assert_eq!(
                found,
                setting.grouped(expected),
                "with {lines:?} from {peer}"
            );
        }
    }
}

impl Proxy {
    /// Adds the address that this proxy `sees` to the lines that it received.
    fn forward(&self, sees: IpAddr, reads: Reads, lines: &mut Lines) {
        let element = self.spelling.element(sees, reads);
        if let Place::Alone | Place::Nowhere = self.place {
            lines.retain(|(header, _)| *header != reads);
        }
        let last = lines.iter_mut().rfind(|(header, _)| *header == reads);
        match (self.place, last) {
            (Place::Nowhere, _) => {}
            (Place::Behind(comma), Some((_, last))) => {
                *last = value(&[last.as_bytes(), comma.as_bytes(), &element].concat());
            }
            _ => lines.push((reads, value(&element))),
        }
    }
}
