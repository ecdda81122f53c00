//! tollgate, with the headers that it writes by default.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use axum::extract::ConnectInfo;
use http::{HeaderName, StatusCode};
use tollgate::RateLimiter;
use tollgate::tower::key::{ClientAddress, HeaderKey};
use tollgate::tower::{OnMissingKey, RateLimitLayer};
use tower::Layer;

use super::{API_KEY, Contender, Limited, service};
use crate::Quota;

pub struct Tollgate;

impl Contender for Tollgate {
    const NAME: &'static str = "tollgate";

    fn by_header(quota: Quota) -> impl Limited {
        let key = HeaderKey::from(HeaderName::from_static(API_KEY));
        let limiter = Arc::new(RateLimiter::new(own(quota)));
        RateLimitLayer::new(limiter, key, OnMissingKey::Reject(StatusCode::UNAUTHORIZED))
            .layer(service())
    }

    fn by_address(quota: Quota) -> impl Limited {
        let key = ClientAddress::from_peer(|request| {
            let peer = request.extensions.get::<ConnectInfo<SocketAddr>>()?;
            Some(peer.0.ip())
        });
        let key = key.x_forwarded_for(["10.0.0.0/24"]).expect("a network");
        let limiter = Arc::new(RateLimiter::new(own(quota)));
        RateLimitLayer::new(limiter, key, OnMissingKey::Reject(StatusCode::UNAUTHORIZED))
            .layer(service())
    }
}

fn own(quota: Quota) -> tollgate::Quota {
    let period = Duration::from_nanos(quota.nanos);
    tollgate::Quota::new(1, period, u64::from(quota.burst)).expect("a quota")
}
