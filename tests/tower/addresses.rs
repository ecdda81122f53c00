//! The address of the client as a key, also behind proxies.

use super::keys::{found, key, with_header};
use crate::common::http::request;
use http::{HeaderName, Request};
use proptest::prelude::*;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use tollgate::tower::key::ClientAddress;

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// By the peer that lies in the extensions.
fn from_peer() -> ClientAddress {
    ClientAddress::from_peer(|request| Some(request.extensions.get::<SocketAddr>()?.ip()))
}

/// Behind proxies in two networks.
fn behind_proxies() -> ClientAddress {
    from_peer().x_forwarded_for(PROXIES).unwrap()
}

const PROXIES: [&str; 2] = ["10.0.0.0/8", "2001:db8:ffff::/48"];

/// A request from `peer` with these lines of a header.
fn request_from_peer(peer: &str, header: &str, lines: &[&str]) -> Request<String> {
    let lines: Vec<&[u8]> = lines.iter().map(|line| line.as_bytes()).collect();
    let mut request = with_header(header, &lines);
    request
        .extensions_mut()
        .insert(SocketAddr::new(ip(peer), 4711));
    request
}

#[track_caller]
fn client(address: &ClientAddress, peer: &str, header: &str, lines: &[&str]) -> String {
    let client = key(address, &request_from_peer(peer, header, lines));
    client.expect("there is a peer").to_string()
}

#[test]
fn without_a_peer_there_is_no_key() {
    let forwarded = with_header("x-forwarded-for", &[b"203.0.113.7"]);
    assert_eq!(key(&from_peer(), &forwarded), None);
    assert_eq!(key(&behind_proxies(), &forwarded), None);
}

/// Case 39. tower_governor takes the leftmost address, whatever client sent it.
#[test]
fn an_untrusted_peer_is_the_client_whatever_it_says() {
    for lines in [
        &["198.51.100.1"][..],
        &["10.0.0.1", "198.51.100.1, 10.0.0.2"],
        &["garbage"],
    ] {
        let said = |header| client(&behind_proxies(), "203.0.113.7", header, lines);
        assert_eq!(said("x-forwarded-for"), "203.0.113.7");
        assert_eq!(said("forwarded"), "203.0.113.7");
        // Without proxies no peer is trusted.
        assert_eq!(
            client(&from_peer(), "10.0.0.1", "x-forwarded-for", lines),
            "10.0.0.1"
        );
    }
}

/// Case 39.
#[test]
fn trusted_hops_are_walked_from_the_right_over_all_lines() {
    let client = |lines: &[&str]| client(&behind_proxies(), "10.0.0.1", "x-forwarded-for", lines);
    assert_eq!(client(&[]), "10.0.0.1");
    assert_eq!(client(&["203.0.113.7"]), "203.0.113.7");
    assert_eq!(client(&["198.51.100.1, 203.0.113.7"]), "203.0.113.7");
    assert_eq!(client(&["198.51.100.1", "203.0.113.7"]), "203.0.113.7");
    assert_eq!(
        client(&["198.51.100.1, 203.0.113.7, 10.0.0.2"]),
        "203.0.113.7"
    );
    assert_eq!(
        client(&["198.51.100.1", "203.0.113.7,10.0.0.2", "10.9.9.9"]),
        "203.0.113.7"
    );
    assert_eq!(client(&["198.51.100.1\t,\t 203.0.113.7 "]), "203.0.113.7");
    // All of them proxies: the outermost one is the client.
    assert_eq!(client(&["10.0.0.3, 10.0.0.2"]), "10.0.0.3");
    assert_eq!(
        client(&["203.0.113.7, 2001:db8:ffff::1, 10.0.0.2"]),
        "203.0.113.7"
    );
    // Another header is not the one that the proxies write.
    let forwarded = request_from_peer("10.0.0.1", "forwarded", &["for=203.0.113.7"]);
    assert_eq!(key(&behind_proxies(), &forwarded), Some(ip("10.0.0.1")));
}

/// Case 39. axum-governor skips what it cannot read, and so comes to what the client wrote.
#[test]
fn a_hop_that_is_no_address_ends_the_walk_where_it_stands() {
    for hop in [
        "unknown",
        "_hidden",
        "",
        " ",
        "203.0.113",
        "203.0.113.256",
        "203.0.113.7:",
        "1.2.3.4:999999",
        "203.0.113.7:x",
        "203.0.113.7 203.0.113.8",
        "[2001:db8::1",
        "2001:db8::1]",
        "[203.0.113.7]",
        "[2001:db8::1]4711",
        "[2001:db8::1]:",
        "2001:db8::1%eth0",
        "010.0.0.1",
        "203.0.113.7/32",
        "\"203.0.113.7\"",
        "for=203.0.113.7",
        ":4711",
        "é",
    ] {
        let client =
            |lines: &[&str]| client(&behind_proxies(), "10.0.0.1", "x-forwarded-for", lines);
        assert_eq!(client(&[hop]), "10.0.0.1", "{hop:?}");
        assert_eq!(
            client(&[&format!("198.51.100.1, {hop}")]),
            "10.0.0.1",
            "{hop:?}"
        );
        assert_eq!(client(&["198.51.100.1", hop]), "10.0.0.1", "{hop:?}");
        assert_eq!(
            client(&[&format!("198.51.100.1,{hop},10.0.0.2")]),
            "10.0.0.2",
            "{hop:?}"
        );
        // The walk reads nothing to the left of the client.
        assert_eq!(
            client(&[&format!("{hop}, 203.0.113.7")]),
            "203.0.113.7",
            "{hop:?}"
        );
    }
    // Bytes that are no text spoil their own hop alone.
    let mut request = with_header("x-forwarded-for", &[b"\xff\xfe, 203.0.113.7, 10.0.0.2"]);
    request
        .extensions_mut()
        .insert(SocketAddr::new(ip("10.0.0.1"), 4711));
    assert_eq!(key(&behind_proxies(), &request), Some(ip("203.0.113.7")));
}

#[test]
fn addresses_may_have_ports() {
    for (hop, expected) in [
        ("203.0.113.7:4711", "203.0.113.7"),
        ("203.0.113.7:_port", "203.0.113.7"),
        ("[2001:db8:1:2:3::4]", "2001:db8:1:2::"),
        ("[2001:db8:1:2:3::4]:4711", "2001:db8:1:2::"),
        ("2001:db8:1:2:3::4", "2001:db8:1:2::"),
        ("::1", "::"),
    ] {
        assert_eq!(
            client(&behind_proxies(), "10.0.0.1", "x-forwarded-for", &[hop]),
            expected
        );
    }
}

/// A proxy tells in `host` what its client sent for one: were that to end the walk, a client could
/// be charged as the proxy whenever it likes.
#[test]
fn what_is_no_text_beside_the_node_hides_nobody() {
    let address = from_peer().forwarded(PROXIES).unwrap();
    for line in [
        &b"for=203.0.113.7;host=\"\xe9\""[..],
        b"host=\"\xff\xfe\";for=203.0.113.7",
        b"for=\xff, for=203.0.113.7;host=\"a\xe9,b\", for=10.0.0.2;host=\"\xe9\"",
    ] {
        let mut request = with_header("forwarded", &[line]);
        request
            .extensions_mut()
            .insert(SocketAddr::new(ip("10.0.0.1"), 4711));
        assert_eq!(found(&address, &request), Ok(ip("203.0.113.7")));
    }
    let mut request = with_header("forwarded", &[b"for=203.0.113.7, for=\xe9"]);
    request
        .extensions_mut()
        .insert(SocketAddr::new(ip("10.0.0.1"), 4711));
    assert_eq!(found(&address, &request), Ok(ip("10.0.0.1")));
}

/// Case 39, for RFC 7239.
#[test]
fn forwarded_is_walked_alike() {
    let address = from_peer().forwarded(PROXIES).unwrap();
    let client = |lines: &[&str]| client(&address, "10.0.0.1", "forwarded", lines);
    for (line, expected) in [
        ("for=203.0.113.7", "203.0.113.7"),
        ("For=203.0.113.7", "203.0.113.7"),
        ("for=\"203.0.113.7:4711\"", "203.0.113.7"),
        ("for=\"[2001:db8:1:2:3::4]:4711\"", "2001:db8:1:2::"),
        ("proto=https;for=203.0.113.7;by=10.0.0.1", "203.0.113.7"),
        ("for=203.0.113.7;;host=a;", "203.0.113.7"),
        (" for = 203.0.113.7 ; proto = https ", "203.0.113.7"),
        ("for=198.51.100.1, for=203.0.113.7", "203.0.113.7"),
        (
            "for=198.51.100.1,for=203.0.113.7, for=10.0.0.2",
            "203.0.113.7",
        ),
        // Separators within a string are none.
        (
            "for=198.51.100.1, host=\"a,for=6.6.6.6;b\";for=203.0.113.7",
            "203.0.113.7",
        ),
        (r#"for=203.0.113.7;host="a\",for=6.6.6.6""#, "203.0.113.7"),
        (
            r#"for=203.0.113.7;host="a\\", for=10.0.0.2;host="\\""#,
            "203.0.113.7",
        ),
        // What a client left open swallows nothing of what proxies wrote after it.
        ("for=\"198.51.100.1, for=203.0.113.7", "203.0.113.7"),
        (r#"host="\", for=203.0.113.7;host="a""#, "203.0.113.7"),
        // Hops that name no address.
        ("for=198.51.100.1, for=unknown", "10.0.0.1"),
        ("for=198.51.100.1, for=_hidden", "10.0.0.1"),
        ("for=198.51.100.1, for=\"_hidden:_port\"", "10.0.0.1"),
        ("for=198.51.100.1, proto=https", "10.0.0.1"),
        (
            "for=198.51.100.1, for=203.0.113.7;for=203.0.113.8",
            "10.0.0.1",
        ),
        ("for=198.51.100.1, 203.0.113.7", "10.0.0.1"),
        ("for=198.51.100.1, for=\"203.0.113.7", "10.0.0.1"),
        (r#"for=198.51.100.1, for="203.0.113.\7""#, "10.0.0.1"),
        ("for=198.51.100.1,", "10.0.0.1"),
        ("", "10.0.0.1"),
    ] {
        assert_eq!(client(&[line]), expected, "{line}");
    }
    assert_eq!(
        client(&["for=198.51.100.1", "for=203.0.113.7", "for=10.0.0.2"]),
        "203.0.113.7"
    );
    let listed = request_from_peer("10.0.0.1", "x-forwarded-for", &["203.0.113.7"]);
    assert_eq!(key(&address, &listed), Some(ip("10.0.0.1")));
}

#[test]
fn a_cdn_may_write_a_header_of_its_own() {
    let header = HeaderName::from_static("cf-connecting-ip");
    let address = from_peer().from_header(header, PROXIES).unwrap();
    let said = |peer| client(&address, peer, "cf-connecting-ip", &["203.0.113.7"]);
    assert_eq!(said("10.0.0.1"), "203.0.113.7");
    assert_eq!(said("198.51.100.1"), "198.51.100.1");
}

/// Case 40. actix-governor and axum-governor put all IPv4 clients of a dual-stack socket in one
/// bucket.
#[test]
fn an_ipv4_address_written_as_ipv6_is_the_ipv4_address() {
    let address = behind_proxies();
    let from = |peer| client(&address, peer, "x-forwarded-for", &["::ffff:203.0.113.7"]);
    assert_eq!(from("::ffff:198.51.100.1"), "198.51.100.1");
    // A trusted proxy that way is trusted, and so is its hop read.
    assert_eq!(from("::ffff:10.0.0.1"), "203.0.113.7");
    assert_eq!(from("10.0.0.1"), "203.0.113.7");
    // A network of them is the network of the IPv4 addresses.
    for network in ["::ffff:10.0.0.0/104", "::ffff:10.0.0.1"] {
        let address = from_peer().x_forwarded_for([network]).unwrap();
        let from = |peer| client(&address, peer, "x-forwarded-for", &["203.0.113.7"]);
        assert_eq!(from("10.0.0.1"), "203.0.113.7");
        assert_eq!(from("::ffff:10.0.0.1"), "203.0.113.7");
        assert_eq!(from("11.0.0.1"), "11.0.0.1");
    }
}

/// Case 41.
#[test]
fn ipv6_clients_are_grouped_by_prefix_and_ipv4_ones_are_not() {
    let grouped = |address: ClientAddress, peer| client(&address, peer, "x", &[]);
    let peer = "2001:db8:1234:5678:9abc:def0:1234:5678";
    assert_eq!(grouped(from_peer(), peer), "2001:db8:1234:5678::");
    for (bits, network) in [
        (128, peer),
        (65, "2001:db8:1234:5678:8000::"),
        (56, "2001:db8:1234:5600::"),
        (48, "2001:db8:1234::"),
        (1, "::"),
        (0, "::"),
    ] {
        assert_eq!(
            grouped(from_peer().ipv6_prefix(bits).unwrap(), peer),
            network
        );
        // Of the other family nothing changes.
        assert_eq!(
            grouped(from_peer().ipv6_prefix(bits).unwrap(), "203.0.113.7"),
            "203.0.113.7"
        );
    }
    for (bits, network) in [(32, "203.0.113.7"), (24, "203.0.113.0"), (0, "0.0.0.0")] {
        assert_eq!(
            grouped(from_peer().ipv4_prefix(bits).unwrap(), "203.0.113.7"),
            network
        );
        assert_eq!(
            grouped(from_peer().ipv4_prefix(bits).unwrap(), peer),
            "2001:db8:1234:5678::"
        );
    }
    // Grouping comes after trust: a proxy is known by its whole address.
    let address = from_peer().x_forwarded_for(["2001:db8::1"]).unwrap();
    let from = |peer| client(&address, peer, "x-forwarded-for", &["203.0.113.7"]);
    assert_eq!(from("2001:db8::1"), "203.0.113.7");
    assert_eq!(from("2001:db8::2"), "2001:db8::");
}

#[test]
fn an_invalid_network_or_prefix_is_an_error_with_value_and_bound() {
    let rejected = |network: &str| {
        from_peer()
            .x_forwarded_for([network])
            .unwrap_err()
            .to_string()
    };
    let expected = "as a trusted network, expected an address, alone or with a prefix: \
                    203.0.113.7, 10.0.0.0/24, 2001:db8::/32";
    for network in [
        "",
        "localhost",
        "10.0.0.0/33",
        "10.0.0.0/-1",
        "10/8",
        "::/129",
        " 10.0.0.0/8",
    ] {
        assert_eq!(rejected(network), format!("found {network:?} {expected}"));
    }
    assert_eq!(
        rejected("2001:db8::1/32"),
        "found \"2001:db8::1/32\" as a trusted network, \
         expected no bits set beyond the prefix: 2001:db8::/32"
    );
    let rejected = from_peer()
        .forwarded(["10.0.0.0/8", "10.0.0.1/8"])
        .unwrap_err()
        .to_string();
    assert!(rejected.contains("\"10.0.0.1/8\""), "{rejected}");
    assert_eq!(
        from_peer().ipv6_prefix(129).unwrap_err().to_string(),
        "found \"129\" as an IPv6 prefix, expected at most 128 bits"
    );
    assert_eq!(
        from_peer().ipv4_prefix(33).unwrap_err().to_string(),
        "found \"33\" as an IPv4 prefix, expected at most 32 bits"
    );
    // A caller may trust all peers, or none.
    let all = from_peer().x_forwarded_for(["0.0.0.0/0", "::/0"]).unwrap();
    assert_eq!(
        client(&all, "203.0.113.7", "x-forwarded-for", &["6.6.6.6"]),
        "6.6.6.6"
    );
    let no_proxy = from_peer().x_forwarded_for([""; 0]).unwrap();
    assert_eq!(
        client(&no_proxy, "10.0.0.1", "x-forwarded-for", &["6.6.6.6"]),
        "10.0.0.1"
    );
}

proptest! {
    /// Case 39. Whatever an untrusted client sends, in lines of its own or before what the proxies
    /// add, it is known by the address that the outermost proxy saw.
    #[test]
    fn nothing_that_a_client_sends_changes_who_it_is(
        own in client_address(),
        sent in prop::collection::vec("[ -~]{0,40}", 0..4),
        proxies in prop::collection::vec((any::<u8>(), any::<bool>()), 1..4),
        is_forwarded in any::<bool>(),
    ) {
        let name = if is_forwarded { "forwarded" } else { "x-forwarded-for" };
        let name = HeaderName::from_static(name);
        let mut lines = sent;
        let mut seen = own;
        for (proxy, appends) in proxies {
            let hop = match (is_forwarded, seen) {
                (false, seen) => seen.to_string(),
                (true, IpAddr::V4(seen)) => format!("for={seen};proto=https"),
                (true, IpAddr::V6(seen)) => format!("host=\"a,b\";for=\"[{seen}]:80\""),
            };
            match lines.last_mut() {
                Some(last) if appends => *last = format!("{last}, {hop}"),
                _ => lines.push(hop),
            }
            seen = IpAddr::from([10, 1, 2, proxy]);
        }
        let mut request = request("/");
        for line in lines {
            request.headers_mut().append(&name, line.parse().unwrap());
        }
        request.extensions_mut().insert(SocketAddr::new(seen, 4711));
        let address = if is_forwarded {
            from_peer().forwarded(PROXIES)
        } else {
            from_peer().x_forwarded_for(PROXIES)
        };
        prop_assert_eq!(key(&address.unwrap().ipv6_prefix(128).unwrap(), &request), Some(own));
    }
}

/// Any address but a proxy's.
fn client_address() -> impl Strategy<Value = IpAddr> {
    prop_oneof![
        any::<u32>().prop_map(|bits| IpAddr::from(Ipv4Addr::from_bits(bits))),
        any::<u128>().prop_map(|bits| IpAddr::from(Ipv6Addr::from_bits(bits)).to_canonical()),
    ]
    .prop_filter("a proxy", |address| match address {
        IpAddr::V4(ipv4) => ipv4.octets()[0] != 10,
        IpAddr::V6(ipv6) => ipv6.segments()[..3] != [0x2001, 0xdb8, 0xffff],
    })
}
