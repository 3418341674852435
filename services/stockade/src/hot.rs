//! What of the configuration changes while the server runs: the limits of callers. The file is looked at like that of the keys, and
//! read again as it was at the start, with the variables and flags that win over it.

use std::{
    path::Path,
    time::{Duration, SystemTime},
};

use stockade_runtime::{Limits, Shutdown};

use crate::config::{Config, Place};

/// How often the file is looked at.
const LOOK: Duration = Duration::from_secs(2);

/// What tells one state of a file from another without reading it.
fn state(file: &Path) -> Option<(SystemTime, u64)> {
    let metadata = std::fs::metadata(file).ok()?;
    Some((metadata.modified().ok()?, metadata.len()))
}

/// Keeps the limits of a running server as its configuration file says, until `shutdown`. A file that is wrong changes nothing.
pub(crate) async fn follow(
    place: Place,
    flags: Vec<(&'static str, Option<String>)>,
    config: Config,
    limits: Limits,
    shutdown: Shutdown,
) {
    let Some(file) = place.config.clone() else { return };
    let (mut known, mut in_force) = (None, config.limits);
    let mut looks = tokio::time::interval(LOOK);
    let end = shutdown.wait();
    tokio::pin!(end);
    loop {
        tokio::select! {
            () = &mut end => return,
            _ = looks.tick() => {}
        }
        let (file, place, flags) = (file.clone(), place.clone(), flags.clone());
        let read = move || {
            let now = state(&file);
            (now != known).then(|| (now, Config::read(&place, &flags)))
        };
        let Ok(Some((now, read))) = tokio::task::spawn_blocking(read).await else { continue };
        known = now;
        match read {
            Ok(config) if config.limits == in_force => {}
            Ok(config) => {
                limits.replace(&config.limits);
                tracing::info!("the limits of the configuration have changed and are in force");
                in_force = config.limits;
            }
            Err(error) => {
                tracing::warn!(%error, "the configuration file cannot be read; the limits stay as they are");
            }
        }
    }
}
