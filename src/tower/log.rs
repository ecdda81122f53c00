//! What `tracing` is told of refusals.

use tracing::{Level, debug, enabled};

use crate::tower::refusal::Refusal;

const TARGET: &str = "tollgate";

/// Tells of a refusal, with the `key` if that is to be said. At the level of debugging: a flood is
/// made of refused requests, and a line for each would be what it floods.
pub(super) fn refusal<const N: usize>(
    refusal: &Refusal<'_, N>,
    key: impl FnOnce() -> Option<String>,
) {
    if !enabled!(target: TARGET, Level::DEBUG) {
        return;
    }
    let quotas: Vec<&str> = refusal.violated().collect();
    debug!(
        target: TARGET,
        status = refusal.status().as_u16(),
        cost = refusal.cost(),
        quotas = ?quotas,
        retry_after_seconds = refusal.retry_after_seconds(),
        key = key().map(tracing::field::display),
        "{refusal}"
    );
}
