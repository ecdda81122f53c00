//! What `tracing` is told of rejections.

use tracing::{Level, debug, enabled};

use crate::tower::rejection::Rejection;

const TARGET: &str = "tollgate";

/// Tells of a rejection, with the `key` if that is to be said. At the level of debugging: a flood is
/// made of rejected requests, and a line for each would be what it floods.
pub(super) fn rejection<const N: usize>(
    rejection: &Rejection<'_, N>,
    key: impl FnOnce() -> Option<String>,
) {
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
