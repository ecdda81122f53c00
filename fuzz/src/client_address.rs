//! The target `client_address`: finds the client of a request behind proxies.

mod address;
mod chain;
mod naive;
mod spelling;

use std::net::IpAddr;

use arbitrary::{Arbitrary, Result, Unstructured};
use http::{HeaderName, HeaderValue, Request, header};
use tollgate::tower::{
    Head,
    key::{ClientAddress, RequestKey},
};

use self::address::Network;
use self::chain::Chain;

#[derive(Debug)]
pub enum Input {
    /// All lines of the header that is read, as a trusted peer sends them.
    Lines(Reads, Vec<HeaderValue>),
    Chain(Chain),
}

/// The header that is read.
#[derive(Arbitrary, Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reads {
    XForwardedFor,
    Forwarded,
    Other,
}

impl<'a> Arbitrary<'a> for Input {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Input> {
        let reads = match u.peek_bytes(1) {
            Some(b"x") => Reads::XForwardedFor,
            Some(b"f") => Reads::Forwarded,
            Some(b"c") => Reads::Other,
            _ => return Ok(Input::Chain(u.arbitrary()?)),
        };
        let lines = u.bytes(u.len())?.split(|byte| *byte == b'\n').skip(1);
        Ok(Input::Lines(reads, lines.map(value).collect()))
    }
}

/// Returns a header line of the bytes that a header line can carry.
fn value(bytes: &[u8]) -> HeaderValue {
    let is_carried = |byte: &u8| matches!(*byte, b'\t' | b' '..=b'~' | 0x80..);
    let carried: Vec<u8> = bytes.iter().copied().filter(is_carried).collect();
    HeaderValue::from_bytes(&carried).expect("these bytes are legal in a header line")
}

pub fn run(input: &Input) {
    match input {
        Input::Lines(reads, lines) => {
            let trusted = ["10.0.0.0/8", "::ffff:172.16.0.0/108", "2001:db8:1::/48"];
            let setting = Setting {
                reads: *reads,
                trusted: trusted.map(Network::read).to_vec(),
                ipv4_prefix: 32,
                ipv6_prefix: 64,
            };
            let peer = IpAddr::from([10, 0, 0, 1]);
            let lines = lines.iter().map(|line| (*reads, line.clone()));
            _ = setting.client(peer, &lines.collect::<Vec<_>>());
        }
        Input::Chain(chain) => chain.run(),
    }
}

/// Header lines, in the order in which they arrive.
type Lines = Vec<(Reads, HeaderValue)>;

/// The settings of a key by address.
#[derive(Debug)]
struct Setting {
    reads: Reads,
    trusted: Vec<Network>,
    ipv4_prefix: u8,
    ipv6_prefix: u8,
}

impl Setting {
    /// Returns the client of a request with these header lines, after checking all that is known of
    /// it.
    fn client(&self, peer: IpAddr, lines: &Lines) -> IpAddr {
        let mut request = Request::new(());
        request.extensions_mut().insert(peer);
        for (header, line) in lines {
            request.headers_mut().append(header.name(), line.clone());
        }
        let find = || {
            *self
                .key()
                .key(&Head::from(&request))
                .expect("there is a peer")
        };
        let client = find();
        assert_eq!(client, find());

        let read = lines.iter().filter(|(header, _)| *header == self.reads);
        let read: Vec<&[u8]> = read.map(|(_, line)| line.as_bytes()).collect();
        let peer = peer.to_canonical();
        let known = read
            .iter()
            .flat_map(|line| naive::addresses_in(line))
            .chain([peer]);
        let known: Vec<IpAddr> = known.map(|address| self.grouped(address)).collect();
        assert!(known.contains(&client), "{client} is not among {known:?}");
        if let Some(hops) = naive::hops(self.reads, &read) {
            let expected = naive::client(&hops, peer, |address| self.trusts(address));
            assert_eq!(client, self.grouped(expected), "{hops:?}");
        }
        client
    }

    fn key(&self) -> ClientAddress {
        let peer = ClientAddress::from_peer(|request| request.extensions.get().copied());
        let trusted = self.trusted.iter().map(Network::text);
        let key = match self.reads {
            Reads::XForwardedFor => peer.x_forwarded_for(trusted),
            Reads::Forwarded => peer.forwarded(trusted),
            Reads::Other => peer.from_header(self.reads.name(), trusted),
        };
        key.and_then(|key| key.ipv4_prefix(self.ipv4_prefix))
            .and_then(|key| key.ipv6_prefix(self.ipv6_prefix))
            .expect("networks and prefixes are well formed")
    }

    fn trusts(&self, address: IpAddr) -> bool {
        self.trusted.iter().any(|network| network.contains(address))
    }

    fn grouped(&self, address: IpAddr) -> IpAddr {
        let bits = match address {
            IpAddr::V4(_) => self.ipv4_prefix,
            IpAddr::V6(_) => self.ipv6_prefix,
        };
        address::first_of(address, bits)
    }
}

impl Reads {
    fn name(self) -> HeaderName {
        match self {
            Reads::XForwardedFor => HeaderName::from_static("x-forwarded-for"),
            Reads::Forwarded => header::FORWARDED,
            Reads::Other => HeaderName::from_static("cdn-client-address"),
        }
    }
}
