//! Threads of buyers and threads of suppliers: a runtime for each, beside the one on which the platform itself runs and people are
//! answered. What one of them is busy with holds up none of the others but by the cores they share, and there suppliers stand back,
//! and the folds behind them.
//!
//! Nothing that a buyer waits for runs elsewhere but the log and the folds, which have threads of their own: a reservation is
//! appended and its outcome told to the task that waits; timers, streams and what they look at belong to the runtime that polls them.

use anyhow::Result;
use stockade_runtime::{Lane, Lanes};
use tokio::runtime::{Builder, Handle, Runtime};

/// The runtimes beside the one that this process began with. They end with this, without waiting for what still runs.
pub(crate) struct Threads {
    buyers: Option<Runtime>,
    suppliers: Option<Runtime>,
    lanes: Lanes,
}

impl Threads {
    /// Starts them; `nice` is how much those of suppliers stand back. Call it on the runtime of the platform.
    pub(crate) fn start(nice: i32) -> Result<Self> {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let runtime = |name: &str, nice: i32| {
            Builder::new_multi_thread()
                // As many as there are cores: each may have all of them while the others want none.
                .worker_threads(cores)
                .thread_name(name)
                .on_thread_start(move || stand_back(nice))
                .enable_all()
                .build()
        };
        let (buyers, suppliers) = (runtime("buyers", 0)?, runtime("suppliers", nice)?);
        let lanes = Lanes {
            buyers: buyers.handle().clone(),
            suppliers: suppliers.handle().clone(),
            people: Handle::current(),
            of: lane_of,
        };
        Ok(Self { buyers: Some(buyers), suppliers: Some(suppliers), lanes })
    }

    /// Where each kind of call runs.
    pub(crate) fn lanes(&self) -> Lanes {
        self.lanes.clone()
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        for runtime in [self.buyers.take(), self.suppliers.take()].into_iter().flatten() {
            runtime.shutdown_background();
        }
    }
}

/// Lets this thread stand back for others by so much. Linux counts it by thread; where a system refuses, nothing is lost but that.
pub(crate) fn stand_back(nice: i32) {
    if nice > 0
        && let Err(error) = rustix::process::setpriority_process(None, nice)
    {
        tracing::debug!(%error, "a thread keeps its usual priority");
    }
}

/// How much the thread of a fold stands back where those of suppliers do by `nice`. What the inventory says buyers and suppliers wait
/// for, and what the arbiter decides is little and ends with somebody fenced. What the others do has to be done, but nobody waits
/// at the edge. As much as suppliers and no more: with twice as much writes gained nothing that could be measured, and what fences goes
/// through these folds too.
pub(crate) fn nice_of_fold(name: &str, nice: i32) -> i32 {
    match name {
        "inventory" | "arbiter" | "decisions" => 0,
        _ => nice,
    }
}

/// What follows the id of a supplier in the paths of calls that are answered beside those who decide: what is told of decisions, and
/// appeals. By all others it, or its systems, send what they have.
const TOLD: [&str; 6] = ["standing", "decisions", "appeals", "risk", "impact", "evidence"];
/// What follows `/v1/` in the paths of other calls of people.
const PEOPLE: [&str; 12] = [
    "backtests",
    "decisions",
    "drafts",
    "features",
    "models",
    "ops",
    "overrides",
    "reviews",
    "rules",
    "sandbox",
    "suppliers",
    "webhooks",
];
/// The first part of paths that are people's outside of `/v1`.
const PAGES: [&str; 5] = ["", "console", "docs", "metrics", "openapi.json"];

/// Whose calls those of a path are. Those of nobody are answered by the threads that stand back: whoever asks for what is not there
/// needs no key, and none of the threads of people, on which the platform itself runs.
pub(crate) fn lane_of(path: &str) -> Option<Lane> {
    let Some(path) = path.strip_prefix('/') else { return Some(Lane::Suppliers) };
    let mut parts = path.split('/');
    let lane = match (parts.next()?, parts.next()) {
        ("livez" | "readyz" | "startupz", None) => return None,
        ("v1", Some(second)) => match second.split(':').next().unwrap_or_default() {
            "availability" | "reservations" | "baskets" => Lane::Buyers,
            "events" => Lane::Suppliers,
            "suppliers" => match parts.nth(1) {
                None => Lane::People,
                Some(of) if TOLD.contains(&of) => Lane::People,
                Some(_) => Lane::Suppliers,
            },
            other if PEOPLE.contains(&other) => Lane::People,
            _ => Lane::Suppliers,
        },
        (first, _) if PAGES.contains(&first) => Lane::People,
        _ => Lane::Suppliers,
    };
    Some(lane)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_call_of_the_api_has_its_lane() {
        for operation in crate::openapi::operations() {
            let path = operation.path.replace(['{', '}'], "");
            let lane = lane_of(&path);
            let expected = match operation.path.as_str() {
                "/livez" | "/readyz" | "/startupz" => None,
                path if ["/v1/availability", "/v1/reservations", "/v1/baskets"]
                    .iter()
                    .any(|prefix| path.starts_with(prefix)) =>
                {
                    Some(Lane::Buyers)
                }
                path if path.starts_with("/v1/events") => Some(Lane::Suppliers),
                path if path.starts_with("/v1/suppliers/{supplier}/") => {
                    // What is told of decisions, and by whom they are appealed against, is answered beside those who decide.
                    let people = TOLD.iter().any(|part| path.contains(&format!("}}/{part}")));
                    Some(if people { Lane::People } else { Lane::Suppliers })
                }
                _ => Some(Lane::People),
            };
            assert_eq!(lane, expected, "{}", operation.path);
        }
        for page in
            ["/", "/console", "/console/", "/console/api/stream", "/console/assets/x.js", "/v1/suppliers/x"]
        {
            assert_eq!(lane_of(page), Some(Lane::People), "{page}");
        }
        for nobodys in
            ["", "*", "v1/availability", "/v1", "/v1/", "/v1/x", "/x", "/.env", "/v1/suppliers/x/y"]
        {
            assert_eq!(lane_of(nobodys), Some(Lane::Suppliers), "{nobodys}");
        }
        assert_eq!(lane_of("/v1/availability:query"), Some(Lane::Buyers));
    }

    #[test]
    fn folds_stand_back_but_for_the_one_whose_answers_are_waited_for() {
        let spec = stockade_inventory::inventory_spec(1);
        assert_eq!(nice_of_fold(spec.name, 5), 0);
        assert_eq!(nice_of_fold("arbiter", 5), 0);
        assert_eq!(nice_of_fold("intake", 5), 5);
    }

    #[tokio::test]
    async fn threads_of_suppliers_stand_back_and_those_of_buyers_do_not() {
        let threads = Threads::start(7).unwrap();
        let lanes = threads.lanes();
        let nice = || async { rustix::process::getpriority_process(None) };
        assert_eq!(lanes.suppliers.spawn(nice()).await.unwrap(), Ok(7));
        assert_eq!(lanes.buyers.spawn(nice()).await.unwrap(), rustix::process::getpriority_process(None));
    }
}
