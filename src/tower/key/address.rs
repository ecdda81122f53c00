//! The address of the client, behind proxies or not.

use std::{borrow::Cow, fmt, net::IpAddr};

use http::{HeaderName, header};
use ipnet::{IpNet, Ipv4Net};

use super::forwarded::Syntax;
use super::{KeyError, RequestKey};
use crate::sync::Arc;
use crate::tower::error::InvalidSetting;
use crate::tower::head::Head;

/// Limits by the client's address: the peer's, or the one that trusted proxies report.
///
/// The key is the first address of the client's network. Default: the address itself for IPv4, and
/// the first 64 bits for IPv6. [The module](super#behind-proxies) says how the client is found, and
/// what takes the place of the peer on a [Unix socket](super#behind-a-unix-socket).
///
/// ```
/// use std::net::{IpAddr, SocketAddr};
/// use tollgate::tower::{Head, key::{ClientAddress, RequestKey}};
///
/// let address = ClientAddress::from_peer(|request| {
///     Some(request.extensions.get::<SocketAddr>()?.ip())
/// })
/// .x_forwarded_for(["10.0.0.1"])?; // the proxy, and none of its neighbours
///
/// let mut request = http::Request::builder()
///     .header("x-forwarded-for", "198.51.100.1, 203.0.113.7")
///     .body(())
///     .unwrap();
/// request.extensions_mut().insert(SocketAddr::from(([10, 0, 0, 1], 4711)));
/// let client = address.key(&Head::from(&request)).unwrap();
/// assert_eq!(*client, IpAddr::from([203, 0, 113, 7]));
/// # Ok::<(), tollgate::tower::InvalidSetting>(())
/// ```
#[derive(Clone)]
pub struct ClientAddress {
    peer: FindPeer,
    reports: Option<Reports>,
    ipv4_prefix: u8,
    ipv6_prefix: u8,
}

type FindPeer = Arc<dyn Fn(&Head<'_>) -> Option<IpAddr> + Send + Sync>;

/// The proxies that are trusted to report a client's address, and the header that they use.
#[derive(Clone, Debug)]
struct Reports {
    header: HeaderName,
    syntax: Syntax,
    trusted: Arc<[IpNet]>,
}

impl ClientAddress {
    /// Uses the address of the connection's peer, which `find` looks up where the server leaves it.
    ///
    /// A request for which `find` returns `None` has no key. Do not let those through: a service
    /// that leaves no address would have no limit.
    #[must_use]
    pub fn from_peer<F>(find: F) -> ClientAddress
    where
        F: Fn(&Head<'_>) -> Option<IpAddr> + Send + Sync + 'static,
    {
        ClientAddress {
            peer: Arc::new(find),
            reports: None,
            ipv4_prefix: 32,
            ipv6_prefix: 64,
        }
    }

    /// Trusts the entries of `X-Forwarded-For` that proxies in `trusted` appended. `trusted` has
    /// addresses, or networks in CIDR notation. This replaces any header that was set before.
    ///
    /// Each machine in these networks can claim to be any client.
    ///
    /// # Errors
    ///
    /// If a network is invalid (`"10.0.0.0/33"`, `"localhost"`), or has bits set beyond its prefix
    /// (`"10.0.0.1/8"`): such a network is usually wider than intended.
    pub fn x_forwarded_for<I>(self, trusted: I) -> Result<ClientAddress, InvalidSetting>
    where
        I: IntoIterator<Item: AsRef<str>>,
    {
        self.from_header(HeaderName::from_static("x-forwarded-for"), trusted)
    }

    /// Trusts another header in the same way, such as a CDN's own. It has one address, or several
    /// separated by commas.
    ///
    /// # Errors
    ///
    /// As [`x_forwarded_for`](ClientAddress::x_forwarded_for).
    pub fn from_header<I>(
        self,
        header: HeaderName,
        trusted: I,
    ) -> Result<ClientAddress, InvalidSetting>
    where
        I: IntoIterator<Item: AsRef<str>>,
    {
        self.reported(header, Syntax::Addresses, trusted)
    }

    /// Trusts the header `Forwarded` of RFC 7239 in the same way.
    ///
    /// # Errors
    ///
    /// As [`x_forwarded_for`](ClientAddress::x_forwarded_for).
    pub fn forwarded<I>(self, trusted: I) -> Result<ClientAddress, InvalidSetting>
    where
        I: IntoIterator<Item: AsRef<str>>,
    {
        self.reported(header::FORWARDED, Syntax::Forwarded, trusted)
    }

    /// Groups IPv6 clients by this many leading bits. Default: 64.
    ///
    /// # Errors
    ///
    /// If `bits` is above 128.
    pub fn ipv6_prefix(self, bits: u8) -> Result<ClientAddress, InvalidSetting> {
        let ipv6_prefix = prefix(bits, 128, "an IPv6 prefix")?;
        Ok(ClientAddress {
            ipv6_prefix,
            ..self
        })
    }

    /// Groups IPv4 clients by this many leading bits. Default: 32, which is each alone.
    ///
    /// # Errors
    ///
    /// If `bits` is above 32.
    pub fn ipv4_prefix(self, bits: u8) -> Result<ClientAddress, InvalidSetting> {
        let ipv4_prefix = prefix(bits, 32, "an IPv4 prefix")?;
        Ok(ClientAddress {
            ipv4_prefix,
            ..self
        })
    }

    fn reported<I>(
        self,
        header: HeaderName,
        syntax: Syntax,
        trusted: I,
    ) -> Result<ClientAddress, InvalidSetting>
    where
        I: IntoIterator<Item: AsRef<str>>,
    {
        let trusted = trusted.into_iter().map(|text| network(text.as_ref()));
        let reports = Reports {
            header,
            syntax,
            trusted: trusted.collect::<Result<_, _>>()?,
        };
        Ok(ClientAddress {
            reports: Some(reports),
            ..self
        })
    }
}

impl RequestKey for ClientAddress {
    type Key = IpAddr;

    fn key<'r>(&self, request: &Head<'r>) -> Result<Cow<'r, IpAddr>, KeyError> {
        let peer = (self.peer)(request)
            .ok_or(KeyError::Missing)?
            .to_canonical();
        let client = match &self.reports {
            Some(reports) => reports.client(request, peer),
            None => peer,
        };
        Ok(Cow::Owned(self.grouped(client)))
    }
}

impl Reports {
    /// Returns the address nearest to `peer`, itself first, that is no trusted proxy. If the proxies
    /// name no further one, it is the last that they named.
    fn client(&self, request: &Head<'_>, peer: IpAddr) -> IpAddr {
        let mut client = peer;
        let mut hops = self.syntax.hops(request.headers, &self.header);
        while self.trusted.iter().any(|network| network.contains(&client)) {
            match hops.next() {
                Some(Some(hop)) => client = hop,
                // No further hop, or one that names no address: the proxy that wrote it is the last.
                Some(None) | None => break,
            }
        }
        client
    }
}

impl ClientAddress {
    fn grouped(&self, address: IpAddr) -> IpAddr {
        let prefix = match address {
            IpAddr::V4(_) => self.ipv4_prefix,
            IpAddr::V6(_) => self.ipv6_prefix,
        };
        // Checked when it was set: never longer than the address.
        IpNet::new(address, prefix).map_or(address, |network| network.network())
    }
}

impl fmt::Debug for ClientAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientAddress")
            .field("reports", &self.reports)
            .field("ipv4_prefix", &self.ipv4_prefix)
            .field("ipv6_prefix", &self.ipv6_prefix)
            .finish_non_exhaustive()
    }
}

/// The network that `text` is. One of IPv4 addresses written as IPv6 is that of the IPv4 addresses,
/// as every address is compared in its canonical form.
fn network(text: &str) -> Result<IpNet, InvalidSetting> {
    let error = |expected: String| InvalidSetting::new(text, "a trusted network", expected);
    let host = text.parse::<IpAddr>().map(IpNet::from);
    let network = host.or_else(|_| text.parse::<IpNet>()).map_err(|_| {
        error("an address, alone or with a prefix: 203.0.113.7, 10.0.0.0/24, 2001:db8::/32".into())
    })?;
    if network.network() != network.addr() {
        return Err(error(format!(
            "no bits set beyond the prefix: {}",
            network.trunc()
        )));
    }
    let mapped = match network {
        IpNet::V6(ipv6) => ipv6
            .addr()
            .to_ipv4_mapped()
            .zip(ipv6.prefix_len().checked_sub(96)),
        IpNet::V4(_) => None,
    };
    Ok(match mapped {
        Some((address, bits)) => Ipv4Net::new(address, bits).map_or(network, IpNet::V4),
        None => network,
    })
}

fn prefix(bits: u8, most: u8, setting: &'static str) -> Result<u8, InvalidSetting> {
    if bits > most {
        let expected = format!("at most {most} bits");
        return Err(InvalidSetting::new(bits.to_string(), setting, expected));
    }
    Ok(bits)
}
