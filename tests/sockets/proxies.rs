//! The address of the client, as axum's server sees it and as proxies name it.

use super::exchange::*;
use crate::common::http::{field, limiter};
use crate::common::sockets::{one_connection, over_sockets};
use axum::Router;
use axum::extract::ConnectInfo;
use http::StatusCode;
use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::Arc,
};
use tokio::net::TcpListener;
use tollgate::tower::key::ClientAddress;
use tollgate::tower::{OnMissingKey, RateLimitLayer};
use tollgate::{Quota, RateLimiter};

const LOCALHOST: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// Case 39.
#[test]
fn only_a_trusted_proxy_names_the_client() {
    over_sockets(async {
        for key in [
            peer(),
            peer()
                .x_forwarded_for(["10.0.0.0/8", "2001:db8::/32"])
                .unwrap(),
            peer().forwarded(["10.0.0.0/8", "127.0.0.2"]).unwrap(),
        ] {
            let (limiter, _clock) = limiter(Quota::per_second(1).burst(2));
            let address = serve(Router::new().layer(by_address(&limiter, key))).await;
            let client = http_1();
            let mut statuses = Vec::new();
            for invented in ["198.51.100.1", "198.51.100.2", "10.0.0.1"] {
                let request = client.get(format!("http://{address}/"));
                let request = request.header("x-forwarded-for", invented);
                let request = request.header("forwarded", format!("for={invented}"));
                statuses.push(ask(request).await.status);
            }
            assert_eq!(statuses, [404, 404, 429]);
            assert_eq!(limiter.len(), 1);
            assert_eq!(limiter.peek(&LOCALHOST).remaining(), 0);
        }
    });
}

/// Cases 39 to 41. tower_governor takes the leftmost address.
#[test]
fn a_trusted_proxy_names_the_client_at_the_right_end() {
    let cases: [(&[&str], &str); 12] = [
        (&["203.0.113.7"], "203.0.113.7"),
        (&["198.51.100.1, 203.0.113.7"], "203.0.113.7"),
        (&["198.51.100.1,203.0.113.7,10.0.0.2"], "203.0.113.7"),
        // Several lines are one list.
        (&["198.51.100.1", "203.0.113.7, 10.0.0.2"], "203.0.113.7"),
        (
            &["198.51.100.1, 203.0.113.7", "10.0.0.2", "10.0.0.3"],
            "203.0.113.7",
        ),
        // What is no address ends the walk at the proxy that wrote it.
        (&["203.0.113.7, unknown"], "127.0.0.1"),
        (&["203.0.113.7, unknown, 10.0.0.2"], "10.0.0.2"),
        (&[], "127.0.0.1"),
        // Case 40.
        (&["::ffff:203.0.113.7"], "203.0.113.7"),
        (&["203.0.113.7, ::ffff:10.0.0.2"], "203.0.113.7"),
        // Case 41.
        (&["2001:db8:1:2:3:4:5:6"], "2001:db8:1:2::"),
        (&["2001:db8:1:2::9, 10.0.0.2"], "2001:db8:1:2::"),
    ];
    over_sockets(async move {
        let (limiter, _clock) = limiter(Quota::per_second(1).burst(2));
        let key = peer().x_forwarded_for(["127.0.0.1", "10.0.0.0/8"]).unwrap();
        let address = serve(Router::new().layer(by_address(&limiter, key))).await;
        let client = http_1();
        for (lines, expected) in cases {
            let mut request = client.get(format!("http://{address}/"));
            for line in lines {
                request = request.header("x-forwarded-for", *line);
            }
            assert_eq!(
                field(&ask(request).await.headers, "x-ratelimit-remaining"),
                "1"
            );
            assert!(limiter.forget(&expected.parse().unwrap()), "{lines:?}");
            assert!(limiter.is_empty(), "{lines:?}");
        }
    });
}

/// All of 127.0.0.0/8 is this machine: to the server, these are two.
#[cfg(target_os = "linux")]
#[test]
fn of_two_peers_the_trusted_one_alone_is_believed() {
    over_sockets(async {
        let (limiter, _clock) = limiter(Quota::per_second(1).burst(2));
        let key = peer().x_forwarded_for(["127.0.0.1"]).unwrap();
        let address = serve(Router::new().layer(by_address(&limiter, key))).await;
        for (from, client) in [
            ([127, 0, 0, 1], [203, 0, 113, 7]),
            ([127, 0, 0, 2], [127, 0, 0, 2]),
        ] {
            let proxy = one_connection().local_address(IpAddr::from(from));
            let request = self::client(proxy).get(format!("http://{address}/"));
            ask(request.header("x-forwarded-for", "203.0.113.7")).await;
            assert!(limiter.forget(&IpAddr::from(client)), "{from:?}");
            assert!(limiter.is_empty(), "{from:?}");
        }
    });
}

/// Case 40. actix-governor and axum-governor have all IPv4 clients of such a socket share a bucket.
#[test]
fn a_peer_that_an_ipv6_socket_reports_as_mapped_is_the_ipv4_peer() {
    over_sockets(async {
        let Ok(listener) = TcpListener::bind("[::ffff:127.0.0.1]:0").await else {
            eprintln!("skipped: without IPv6 there is no such socket");
            return;
        };
        let (limiter, _clock) = limiter(Quota::per_second(1).burst(2));
        let key = peer().x_forwarded_for(["127.0.0.1"]).unwrap();
        let peers = Peers::default();
        let app = peers.watch(Router::new().layer(by_address(&limiter, key)));
        let address = serve_on(listener, app);
        let address = SocketAddr::new(LOCALHOST, address.port());
        let client = http_1();

        ask(client.get(format!("http://{address}/"))).await;
        assert!(peers.addresses().iter().all(SocketAddr::is_ipv6));
        assert!(limiter.forget(&LOCALHOST));
        // And it is the trusted one.
        let request = client.get(format!("http://{address}/"));
        ask(request.header("x-forwarded-for", "203.0.113.7")).await;
        assert!(limiter.forget(&IpAddr::from([203, 0, 113, 7])));
        assert!(limiter.is_empty());
    });
}

/// A request without an address would be a mistake of these tests, and no server's fault.
fn by_address(
    limiter: &Arc<RateLimiter<IpAddr>>,
    key: ClientAddress,
) -> RateLimitLayer<Arc<RateLimiter<IpAddr>>, ClientAddress> {
    let no_key = OnMissingKey::Reject(StatusCode::IM_A_TEAPOT);
    RateLimitLayer::new(Arc::clone(limiter), key, no_key)
}

/// The peer, where axum leaves it.
fn peer() -> ClientAddress {
    ClientAddress::from_peer(|request| {
        let ConnectInfo(peer) = request.extensions.get::<ConnectInfo<SocketAddr>>()?;
        Some(peer.ip())
    })
}
