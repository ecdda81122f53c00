//! Addresses and networks as plain bits.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use arbitrary::{Arbitrary, Result, Unstructured};

/// The addresses that share the first `bits` bits of `first`. Its other bits are 0.
#[derive(Clone, Copy, Debug)]
pub(super) struct Network {
    first: IpAddr,
    bits: u8,
    /// Whether an IPv4 network is written as a network of IPv6 addresses.
    is_mapped: bool,
    /// Whether a single address is written without a prefix.
    is_alone: bool,
}

impl Network {
    /// Parses a text with a prefix.
    pub(super) fn read(text: &str) -> Network {
        let (first, bits) = text.split_once('/').expect("a prefix");
        let first: IpAddr = first.parse().expect("an address");
        let bits: u8 = bits.parse().expect("a number");
        let is_mapped = first != first.to_canonical();
        Network {
            first: first.to_canonical(),
            bits: if is_mapped { bits - 96 } else { bits },
            is_mapped,
            is_alone: false,
        }
    }

    pub(super) fn text(&self) -> String {
        let (first, bits) = match self.first {
            IpAddr::V4(first) if self.is_mapped => {
                (IpAddr::V6(first.to_ipv6_mapped()), self.bits + 96)
            }
            first => (first, self.bits),
        };
        match self.is_alone && bits == width(first) {
            true => first.to_string(),
            false => format!("{first}/{bits}"),
        }
    }

    pub(super) fn contains(&self, address: IpAddr) -> bool {
        self.first.is_ipv4() == address.is_ipv4() && self.first == first_of(address, self.bits)
    }

    /// Returns the address in this network whose last bits are those of `host`. If that is an IPv4
    /// address in an IPv6 network, returns the first address of the network.
    pub(super) fn address(&self, host: u128) -> IpAddr {
        let last = host & leading_ones(self.first, width(self.first)) & !self.mask();
        let address = address_of(self.first, bits_of(self.first) | last).to_canonical();
        if self.contains(address) {
            address
        } else {
            self.first
        }
    }

    fn mask(&self) -> u128 {
        leading_ones(self.first, self.bits)
    }

    /// Returns an address that differs in bit `bit` of the prefix, and so is in another network.
    pub(super) fn neighbour(&self, host: u128, bit: u8) -> IpAddr {
        let address = self.address(host);
        let from_left = bit % self.bits.max(1);
        let flipped = 1 << (width(address) - 1 - from_left);
        address_of(address, bits_of(address) ^ flipped).to_canonical()
    }
}

impl<'a> Arbitrary<'a> for Network {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Network> {
        let address = any_address(u)?;
        let bits = u.int_in_range(0..=width(address))?;
        Ok(Network {
            first: first_of(address, bits),
            bits,
            is_mapped: u.arbitrary()?,
            is_alone: u.arbitrary()?,
        })
    }
}

/// Returns any address in its canonical form. Many groups of an IPv6 address are 0.
pub(super) fn any_address(u: &mut Unstructured) -> Result<IpAddr> {
    if u.arbitrary()? {
        return Ok(IpAddr::V4(Ipv4Addr::from(u32::arbitrary(u)?)));
    }
    let mut groups = [0; 8];
    let present: u8 = u.arbitrary()?;
    for (index, group) in groups.iter_mut().enumerate() {
        if present >> index & 1 == 1 {
            *group = u.arbitrary()?;
        }
    }
    Ok(IpAddr::V6(Ipv6Addr::from(groups)).to_canonical())
}

/// Returns the first address that has the same first `bits` bits.
pub(super) fn first_of(address: IpAddr, bits: u8) -> IpAddr {
    address_of(address, bits_of(address) & leading_ones(address, bits))
}

fn leading_ones(like: IpAddr, bits: u8) -> u128 {
    (0..bits).fold(0, |ones, bit| ones | 1 << (width(like) - 1 - bit))
}

fn width(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

fn bits_of(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => u128::from(address.to_bits()),
        IpAddr::V6(address) => address.to_bits(),
    }
}

/// Returns the address of these bits, of the same kind as `like`.
fn address_of(like: IpAddr, bits: u128) -> IpAddr {
    match like {
        IpAddr::V4(_) => Ipv4Addr::from_bits(u32::try_from(bits).expect("32 bits")).into(),
        IpAddr::V6(_) => Ipv6Addr::from_bits(bits).into(),
    }
}
