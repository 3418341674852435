//! What has to be done now and then: keys are read again, retention is applied, quiet callers are forgotten.
//!
//! | name | labels | what it says |
//! |---|---|---|
//! | `stockade_log_records_expired_total` | | records that went because their topic keeps them no longer |

use std::time::Duration;

use anyhow::Result;
use stockade_log::{Clock, SharedLog};
use stockade_runtime::{KeyRing, Limits, Shutdown};

/// How often retention is applied and quiet callers are forgotten.
const HOUSEKEEPING: Duration = Duration::from_secs(30);
/// How often the key file is looked at.
const KEY_RELOAD: Duration = Duration::from_secs(2);

/// Does it until `shutdown`.
pub(super) async fn housekeeping(
    log: SharedLog,
    clock: Clock,
    limits: Limits,
    keys: KeyRing,
    shutdown: Shutdown,
) -> Result<()> {
    let (mut keys_at, mut rest_at) = (tokio::time::interval(KEY_RELOAD), tokio::time::interval(HOUSEKEEPING));
    let end = shutdown.wait();
    tokio::pin!(end);
    loop {
        tokio::select! {
            () = &mut end => return Ok(()),
            _ = keys_at.tick() => if let Err(error) = keys.reload() {
                tracing::warn!(%error, "the key file cannot be read; the keys known so far stay valid");
            },
            _ = rest_at.tick() => {
                limits.evict();
                let (log, now_ms) = (log.clone(), clock());
                let trimmed = tokio::task::spawn_blocking(move || log.trim(now_ms)).await?;
                metrics::counter!("stockade_log_records_expired_total").increment(trimmed?);
            }
        }
    }
}
