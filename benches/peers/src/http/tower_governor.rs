//! tower_governor with `use_headers`. Without it, it writes only when to retry.

use std::time::Duration;

use http::Request;
use tower::Layer;
use tower_governor::key_extractor::{KeyExtractor, SmartIpKeyExtractor};
use tower_governor::{GovernorError, GovernorLayer, governor::GovernorConfigBuilder};

use super::{API_KEY, Contender, Limited, service};
use crate::Quota;

pub struct TowerGovernor;

impl Contender for TowerGovernor {
    const NAME: &'static str = "tower_governor";

    fn by_header(quota: Quota) -> impl Limited {
        limited(quota, ApiKey)
    }

    fn by_address(quota: Quota) -> impl Limited {
        limited(quota, SmartIpKeyExtractor)
    }
}

/// A key in a header. tower_governor has none, so its users write this.
#[derive(Clone)]
struct ApiKey;

impl KeyExtractor for ApiKey {
    type Key = String;

    fn extract<T>(&self, request: &Request<T>) -> Result<String, GovernorError> {
        let value = request.headers().get(API_KEY);
        let value = value.and_then(|value| value.to_str().ok());
        Ok(value.ok_or(GovernorError::UnableToExtractKey)?.to_owned())
    }
}

fn limited<K>(quota: Quota, key: K) -> impl Limited
where
    K: KeyExtractor + 'static,
{
    let config = GovernorConfigBuilder::default()
        .period(Duration::from_nanos(quota.nanos))
        .burst_size(quota.burst)
        .key_extractor(key)
        .use_headers()
        .finish()
        .expect("a quota");
    GovernorLayer::new(config).layer(service())
}
