//! The disk under the data directory: told in metrics all the time, and in the log when it changes for the worse or better.
//!
//! | name | labels | what it says |
//! |---|---|---|
//! | `stockade_disk_free_bytes` | | what an ordinary user may still write |
//! | `stockade_disk_warn_bytes` | | alert when less than this is free; `log.disk_warn_bytes` |
//! | `stockade_disk_reserve_bytes` | | with less than this free, an embedded log takes no more writes; `log.disk_reserve_bytes` |

use std::time::Duration;

use metrics::gauge;
use stockade_log::embedded::free_bytes;
use stockade_runtime::Shutdown;

use crate::config::Config;

/// How often it is looked at.
const LOOK: Duration = Duration::from_secs(5);

/// How full a disk is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fill {
    Roomy,
    Low,
    Full,
}

fn fill(free_bytes: u64, warn_bytes: u64, reserve_bytes: u64) -> Fill {
    if free_bytes < reserve_bytes {
        Fill::Full
    } else if free_bytes < warn_bytes {
        Fill::Low
    } else {
        Fill::Roomy
    }
}

/// Watches until `shutdown`.
pub(crate) async fn watch(config: Config, shutdown: Shutdown) {
    // On Kafka the log lies elsewhere; the directory then holds little, and nothing is kept back for it.
    let reserve_bytes = if config.kafka.used() { 0 } else { config.log.disk_reserve_bytes };
    let (directory, warn_bytes) = (config.log.directory, config.log.disk_warn_bytes);
    gauge!("stockade_disk_warn_bytes").set(warn_bytes as f64);
    gauge!("stockade_disk_reserve_bytes").set(reserve_bytes as f64);
    let (mut looks, mut before) = (tokio::time::interval(LOOK), Fill::Roomy);
    let end = shutdown.wait();
    tokio::pin!(end);
    loop {
        tokio::select! {
            () = &mut end => return,
            _ = looks.tick() => {}
        }
        let Ok(free) = free_bytes(&directory) else { continue };
        gauge!("stockade_disk_free_bytes").set(free as f64);
        let now = fill(free, warn_bytes, reserve_bytes);
        if now == before {
            continue;
        }
        before = now;
        let (path, free_mib) = (directory.display(), free >> 20);
        match now {
            Fill::Roomy => tracing::info!(%path, free_mib, "the disk has room again"),
            Fill::Low => {
                tracing::warn!(%path, free_mib, "the disk is getting full; make room before writes are refused")
            }
            Fill::Full => tracing::error!(
                %path,
                free_mib,
                "the disk is full: writes are answered 507 disk_full until there is room; buyers are answered on"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_is_low_before_it_is_full() {
        let of = |free| fill(free, 400, 100);
        assert_eq!(
            [400, 399, 100, 99, 0].map(of),
            [Fill::Roomy, Fill::Low, Fill::Low, Fill::Full, Fill::Full]
        );
    }
}
