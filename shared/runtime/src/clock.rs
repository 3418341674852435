//! The one place that asks the machine for the time.

use std::{sync::Arc, time::SystemTime};

/// Milliseconds since the Unix epoch, from the machine.
pub fn system_clock() -> Arc<dyn Fn() -> i64 + Send + Sync> {
    Arc::new(now_ms)
}

/// Milliseconds since the Unix epoch, from the machine.
#[allow(clippy::disallowed_methods, reason = "this is the clock that everyone else takes the time from")]
pub fn now_ms() -> i64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_millis() as i64)
}
