//! The events that `tracing` gets.

use std::fmt::Display;

use tracing::{Level, debug, enabled, warn};

use crate::tower::rejection::Rejection;

const TARGET: &str = "tollgate";

/// Sends a rejection, with the `key` if it is to be logged. At level `DEBUG`: a flood consists of
/// rejected requests, and would flood the log.
pub(super) fn rejection(rejection: &Rejection<'_>, key: impl FnOnce() -> Option<String>) {
    if !enabled!(target: TARGET, Level::DEBUG) {
        return;
    }
    let quotas: Vec<&str> = rejection.violated_quotas().collect();
    debug!(
        target: TARGET,
        status = rejection.status().as_u16(),
        cost = rejection.cost(),
        quotas = ?quotas,
        retry_after_seconds = rejection.retry_after_seconds(),
        key = key().map(tracing::field::display),
        "{rejection}"
    );
}

/// Sends a failure of the store of a limiter.
pub(super) fn store_error(error: &impl Display) {
    warn!(target: TARGET, %error, "rate limit store unavailable");
}
