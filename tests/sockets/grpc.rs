//! The layer in front of a gRPC service, called by tonic's client.
//!
//! The service is tonic's own for health checks, served by tonic and by axum.

use crate::common::cases::{DAY, SECOND, nanos, quota};
use crate::common::http::{KEY, field, limiter};
use crate::common::sockets::{listen, numbers, over_sockets};
use axum::Router;
use http::{HeaderMap, StatusCode};
use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tollgate::tower::key::{ClientAddress, HeaderKey};
use tollgate::tower::{GrpcResponse, OnMissingKey, RateLimitLayer};
use tollgate::{Quota, RateLimiter};
use tonic::metadata::MetadataMap;
use tonic::transport::server::{TcpConnectInfo, TcpIncoming};
use tonic::transport::{Channel, Endpoint, Server};
use tonic::{Code, Request};
use tonic_health::ServingStatus;
use tonic_health::pb::health_check_response::ServingStatus::{NotServing, Serving};
use tonic_health::pb::health_client::HealthClient;
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};
use tonic_health::server::{HealthReporter, health_reporter};

type Limits = RateLimitLayer<Arc<RateLimiter<String>>, HeaderKey, GrpcResponse>;
type Serve = fn(TcpListener, Limits) -> Served;

const SERVERS: [Serve; 2] = [by_tonic, by_axum];

#[test]
fn a_rejected_call_is_resource_exhausted_and_says_when_to_retry() {
    over_sockets(async {
        for serve in SERVERS {
            // A unit takes 1.5 s.
            let (limiter, clock) = limiter(quota(2, 3 * SECOND, 2));
            let server = serve(listen().await, by_key(&limiter));
            let mut client = server.client().await;

            for expected in [[2, 1, 2], [2, 0, 3]] {
                let response = client.check(as_alice()).await.unwrap();
                assert_eq!(response.get_ref().status(), Serving);
                let headers = header_of(response.metadata());
                assert_eq!(numbers(&headers), expected);
                assert!(!headers.contains_key("retry-after"));
                assert!(!headers.contains_key("grpc-retry-pushback-ms"));
            }

            for (wait, seconds, pushback, reset) in [
                (0, "2", "1500", 3),
                (SECOND, "1", "500", 2),
                (SECOND / 2 - 1, "1", "1", 2),
            ] {
                clock.advance(nanos(wait));
                let rejected = client.check(as_alice()).await.unwrap_err();
                assert_eq!(rejected.code(), Code::ResourceExhausted);
                assert_eq!(rejected.message(), "rate limit exceeded");
                let headers = header_of(rejected.metadata());
                assert_eq!(field(&headers, "retry-after"), seconds);
                assert_eq!(field(&headers, "grpc-retry-pushback-ms"), pushback);
                assert_eq!(numbers(&headers), [2, 0, reset]);
            }

            // The connection has not suffered.
            clock.advance(nanos(1));
            client.check(as_alice()).await.unwrap();
        }
    });
}

/// Clients of other makes look at the status of HTTP first.
#[test]
fn a_rejected_call_is_http_200_without_body_and_its_status_in_the_header() {
    over_sockets(async {
        for serve in SERVERS {
            let (limiter, _clock) = limiter(Quota::per_second(1).burst(1));
            let server = serve(listen().await, by_key(&limiter));
            assert!(limiter.allow("alice"));
            let settings = reqwest::Client::builder().no_proxy();
            let client = settings.http2_prior_knowledge().build().unwrap();
            let url = format!("http://{}/grpc.health.v1.Health/Check", server.address);
            let call = client.post(url).header("content-type", "application/grpc");
            let response = call.header("x-api-key", "alice").send().await.unwrap();
            assert_eq!(response.status(), 200);
            assert_eq!(
                field(response.headers(), "content-type"),
                "application/grpc"
            );
            assert_eq!(field(response.headers(), "grpc-status"), "8");
            assert_eq!(response.bytes().await.unwrap(), "");
        }
    });
}

#[test]
fn a_call_that_fails_within_carries_the_numbers_too() {
    over_sockets(async {
        for serve in SERVERS {
            let (limiter, _clock) = limiter(Quota::per_second(1).burst(3));
            let server = serve(listen().await, by_key(&limiter));
            let mut unknown = as_alice();
            unknown.get_mut().service = "unknown".to_owned();
            let failed = server.client().await.check(unknown).await.unwrap_err();
            assert_eq!(failed.code(), Code::NotFound);
            let headers = header_of(failed.metadata());
            assert_eq!(numbers(&headers), [3, 2, 1]);
            assert!(!headers.contains_key("retry-after"));
        }
    });
}

#[test]
fn a_call_without_a_key_has_the_status_that_was_set() {
    over_sockets(async {
        for serve in SERVERS {
            for (status, code) in [
                (StatusCode::UNAUTHORIZED, Code::Unauthenticated),
                (StatusCode::FORBIDDEN, Code::PermissionDenied),
                (StatusCode::SERVICE_UNAVAILABLE, Code::Unavailable),
            ] {
                let (limiter, _clock) = limiter(Quota::per_second(1).burst(2));
                let layer = RateLimitLayer::new(limiter.clone(), KEY, OnMissingKey::Reject(status));
                let server = serve(listen().await, layer.respond(GrpcResponse));
                let absent = Request::new(HealthCheckRequest::default());
                let rejected = server.client().await.check(absent).await.unwrap_err();
                assert_eq!(rejected.code(), code);
                let message = r#"missing rate-limit key "x-api-key""#;
                assert_eq!(rejected.message(), message);
                for name in ["retry-after", "grpc-retry-pushback-ms", "x-ratelimit-limit"] {
                    assert!(!rejected.metadata().contains_key(name), "{name}");
                }
                assert!(limiter.is_empty());
            }
        }
    });
}

/// Metadata that two lines contradict, whose sender is not let through for it.
#[test]
fn a_call_whose_key_is_malformed_is_an_invalid_argument() {
    over_sockets(async {
        for serve in SERVERS {
            let (limiter, _clock) = limiter(Quota::per_second(1).burst(2));
            let layer = RateLimitLayer::new(limiter.clone(), KEY, OnMissingKey::Allow);
            let server = serve(listen().await, layer.respond(GrpcResponse));
            let mut request = as_alice();
            let metadata = request.metadata_mut();
            metadata.append("x-api-key", "bob".parse().unwrap());
            let rejected = server.client().await.check(request).await.unwrap_err();
            assert_eq!(rejected.code(), Code::InvalidArgument);
            let message = r#"invalid rate-limit key "x-api-key""#;
            assert_eq!(rejected.message(), message);
            assert!(limiter.is_empty());
        }
    });
}

/// 30 days are more ms than a client reads.
#[test]
fn a_call_that_would_have_to_wait_for_weeks_is_told_not_to_retry_by_itself() {
    over_sockets(async {
        for serve in SERVERS {
            let (limiter, _clock) = limiter(quota(1, 30 * DAY, 1));
            let server = serve(listen().await, by_key(&limiter));
            assert!(limiter.allow("alice"));
            let rejected = server.client().await.check(as_alice()).await.unwrap_err();
            assert_eq!(rejected.code(), Code::ResourceExhausted);
            let headers = header_of(rejected.metadata());
            assert_eq!(field(&headers, "grpc-retry-pushback-ms"), "-1");
            assert_eq!(field(&headers, "retry-after"), "2592000");
        }
    });
}

#[test]
fn a_call_that_costs_more_than_the_burst_is_an_invalid_argument() {
    over_sockets(async {
        for serve in SERVERS {
            let (limiter, _clock) = limiter(Quota::per_second(1).burst(2));
            let layer = by_key(&limiter).cost(|request| match request.path() {
                "/grpc.health.v1.Health/Watch" => 3,
                _ => 1,
            });
            let server = serve(listen().await, layer);
            let mut client = server.client().await;
            let rejected = client.watch(as_alice()).await.unwrap_err();
            assert_eq!(rejected.code(), Code::InvalidArgument);
            let message = "a request that costs 3 exceeds the burst of 2";
            assert_eq!(rejected.message(), message);
            let headers = header_of(rejected.metadata());
            // There is no time after which to retry.
            assert!(!headers.contains_key("grpc-retry-pushback-ms"));
            assert!(!headers.contains_key("retry-after"));
            assert_eq!(numbers(&headers), [2, 2, 0]);
            // It has spent nothing of what cheaper calls live on.
            let response = client.check(as_alice()).await.unwrap();
            assert_eq!(numbers(&header_of(response.metadata())), [2, 1, 1]);
        }
    });
}

#[test]
fn a_streaming_call_is_limited_at_its_start_and_streams_on() {
    over_sockets(async {
        for serve in SERVERS {
            let (limiter, _clock) = limiter(Quota::per_second(1).burst(1));
            let server = serve(listen().await, by_key(&limiter));
            let mut client = server.client().await;

            let response = client.watch(as_alice()).await.unwrap();
            assert_eq!(numbers(&header_of(response.metadata())), [1, 0, 1]);
            let mut messages = response.into_inner();
            let mut next = async || {
                let message: HealthCheckResponse = messages.message().await.unwrap().unwrap();
                message.status()
            };
            assert_eq!(next().await, Serving);

            // Nothing is left, which concerns new calls alone.
            for (reported, expected) in [
                (ServingStatus::NotServing, NotServing),
                (ServingStatus::Serving, Serving),
            ] {
                for rejected in [
                    client.check(as_alice()).await.unwrap_err(),
                    client.watch(as_alice()).await.unwrap_err(),
                ] {
                    assert_eq!(rejected.code(), Code::ResourceExhausted);
                }
                server.reporter.set_service_status("", reported).await;
                assert_eq!(next().await, expected);
            }
            let wait = limiter.peek("alice").retry_after();
            assert_eq!(wait, Some(Duration::from_secs(1)));
        }
    });
}

#[test]
fn simultaneous_calls_on_one_channel_are_admitted_exactly() {
    over_sockets(async {
        for serve in SERVERS {
            let (limiter, clock) = limiter(Quota::per_second(1).burst(30));
            let server = serve(listen().await, by_key(&limiter));
            let client = server.client().await;
            for (wait, units) in [(0, 30), (5, 5)] {
                clock.advance(Duration::from_secs(wait));
                let mut calls = JoinSet::new();
                for _ in 0..100 {
                    let mut client = client.clone();
                    calls.spawn(async move { client.check(as_alice()).await });
                }
                let mut left = Vec::new();
                for outcome in calls.join_all().await {
                    match outcome {
                        Ok(response) => left.push(numbers(&header_of(response.metadata()))[1]),
                        Err(rejected) => assert_eq!(rejected.code(), Code::ResourceExhausted),
                    }
                }
                left.sort_unstable();
                assert_eq!(left, (0..units).collect::<Vec<u64>>());
            }
        }
    });
}

/// As the page on keys says.
#[test]
fn the_peer_is_found_where_tonic_leaves_it() {
    over_sockets(async {
        let (limiter, _clock) = limiter::<IpAddr, 1>(Quota::per_second(1).burst(1));
        let peer = ClientAddress::from_peer(|request| {
            let connection = request.extensions.get::<TcpConnectInfo>()?;
            Some(connection.remote_addr()?.ip())
        });
        let no_key = OnMissingKey::Reject(StatusCode::UNAUTHORIZED);
        let layer = RateLimitLayer::new(limiter.clone(), peer, no_key).respond(GrpcResponse);
        let (reporter, service) = health_reporter();
        let listener = listen().await;
        let address = listener.local_addr().unwrap();
        let server = Server::builder().layer(layer);
        tokio::spawn(server.serve_with_incoming(service, TcpIncoming::from(listener)));

        let server = Served { address, reporter };
        server.client().await.check(as_alice()).await.unwrap();
        // From another port of the same address.
        let rejected = server.client().await.check(as_alice()).await.unwrap_err();
        assert_eq!(rejected.code(), Code::ResourceExhausted);
        assert!(limiter.forget(&IpAddr::V4(Ipv4Addr::LOCALHOST)));
    });
}

/// A server that listens, and what its service reports.
struct Served {
    address: SocketAddr,
    reporter: HealthReporter,
}

impl Served {
    /// A client with a connection of its own.
    async fn client(&self) -> HealthClient<Channel> {
        let endpoint = Endpoint::from_shared(format!("http://{}", self.address)).unwrap();
        HealthClient::new(endpoint.connect().await.unwrap())
    }
}

/// By tonic alone, whose server takes layers.
fn by_tonic(listener: TcpListener, layer: Limits) -> Served {
    let address = listener.local_addr().unwrap();
    let (reporter, service) = health_reporter();
    let server = Server::builder().layer(layer);
    tokio::spawn(server.serve_with_incoming(service, TcpIncoming::from(listener)));
    Served { address, reporter }
}

/// As a route of axum, as tonic's own router does.
fn by_axum(listener: TcpListener, layer: Limits) -> Served {
    let address = listener.local_addr().unwrap();
    let (reporter, service) = health_reporter();
    let app = Router::new().route_service("/grpc.health.v1.Health/{*method}", service);
    tokio::spawn(async { axum::serve(listener, app.layer(layer)).await });
    Served { address, reporter }
}

fn by_key(limiter: &Arc<RateLimiter<String>>) -> Limits {
    let no_key = OnMissingKey::Reject(StatusCode::UNAUTHORIZED);
    RateLimitLayer::new(Arc::clone(limiter), KEY, no_key).respond(GrpcResponse)
}

/// A call with a key, about the server as a whole.
fn as_alice() -> Request<HealthCheckRequest> {
    let mut request = Request::new(HealthCheckRequest::default());
    let metadata = request.metadata_mut();
    metadata.insert("x-api-key", "alice".parse().unwrap());
    request
}

/// tonic's metadata are the header of HTTP.
fn header_of(metadata: &MetadataMap) -> HeaderMap {
    metadata.clone().into_headers()
}
