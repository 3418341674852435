//! Places where a test may let the process die. Only builds with debug assertions have them.
//!
//! `STOCKADE_TEST_FAILPOINT=NAME:DETAIL@N` ends the process at the Nth time the place NAME is passed with DETAIL, without
//! unwinding or flushing anything, as `kill -9` would. The places: `before-produce` and `after-produce` (a fold's outputs;
//! DETAIL is the fold), `changelog-flush` (rows are in the transaction, the offsets not yet; DETAIL is the group),
//! `commit` (all is in the transaction, its end is not asked for yet), `redis-write` (before a write to the quarantine
//! store; DETAIL is `before`, or `after` it).

/// Ends the process if this is the place and the time.
pub fn hit(name: &str, detail: &str) {
    #[cfg(debug_assertions)]
    armed::hit(name, detail);
    #[cfg(not(debug_assertions))]
    let _ = (name, detail);
}

#[cfg(debug_assertions)]
mod armed {
    use std::sync::{
        OnceLock,
        atomic::{AtomicU64, Ordering},
    };

    struct Armed {
        place: String,
        left: AtomicU64,
    }

    fn armed() -> Option<&'static Armed> {
        // Process-wide on purpose: it is about the end of the process.
        static ARMED: OnceLock<Option<Armed>> = OnceLock::new();
        let read = || {
            let text = std::env::var("STOCKADE_TEST_FAILPOINT").ok()?;
            let (place, count) = text.split_once('@')?;
            Some(Armed { place: place.to_owned(), left: AtomicU64::new(count.parse().ok()?) })
        };
        ARMED.get_or_init(read).as_ref()
    }

    pub(super) fn hit(name: &str, detail: &str) {
        let Some(armed) = armed() else { return };
        let here = armed.place.split_once(':').is_some_and(|(place, of)| place == name && of == detail);
        if here && armed.left.fetch_sub(1, Ordering::SeqCst) == 1 {
            eprintln!("failpoint {name}:{detail} ends the process");
            std::process::abort();
        }
    }
}
