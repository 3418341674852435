//! What answers buyers while the log cannot be reached: the last picture, in the place of a platform.

use std::{convert::Infallible, sync::Arc, time::Duration};

use anyhow::Result;
use axum::{Router, extract::Request, response::Response};
use metrics_exporter_prometheus::PrometheusHandle;
use parking_lot::RwLock;
use stockade_fold::{Board, Tailed, tail};
use stockade_inventory::{
    app::App,
    picture::{Picture, shown},
};
use stockade_log::{Memory, MemoryDisk, SharedLog};
use stockade_model::{Payload, Topic};
use stockade_quarantine::Entry;
use stockade_runtime::{Brownout, Cors, KeyRing, Limits, LimitsConfig, Shutdown, clock, http};
use tower::ServiceExt as _;

use super::{Edge, EdgeParts, ensure_topics, housekeeping::housekeeping};

/// How often it is said in the log that a picture is shown.
const SAY: Duration = Duration::from_secs(60);

/// What a stand-in is made of.
pub struct StandinParts {
    /// What buyers are shown.
    pub picture: Picture,
    /// How old it may be, in milliseconds.
    pub age_max_ms: i64,
    /// Partitions of supplier-keyed topics.
    pub partitions: u32,
    /// Who may call.
    pub keys: KeyRing,
    /// How often.
    pub limits: LimitsConfig,
    /// Largest request body.
    pub body_bytes_max: usize,
    /// How the edge is set up.
    pub edge: EdgeParts,
    /// Which pages may call.
    pub cors: Cors,
    /// How long a buyer waits for a position that cannot come.
    pub answer_deadline: Duration,
    /// Differs from start to start.
    pub instance: String,
}

/// A process that shows a picture.
pub struct Standin {
    app: Arc<App>,
    keys: KeyRing,
    /// The API, as far as it is in the picture.
    pub router: Router,
}

impl Standin {
    /// Shows a picture.
    pub fn new(parts: StandinParts) -> Result<Self> {
        // Empty, in the place of the one that cannot be reached: nothing is read from it, and what would be written is refused before.
        let log: SharedLog = Arc::new(Memory::open(MemoryDisk::default(), clock::system_clock())?);
        ensure_topics(&log, parts.partitions)?;
        let app = App::new(
            log,
            clock::system_clock(),
            Board::default(),
            Limits::new(&parts.limits),
            parts.partitions,
            parts.instance,
            parts.answer_deadline,
        )?;
        let app = Arc::new(app.showing(parts.picture, parts.age_max_ms));
        let api = shown::router(app.clone()).merge(crate::openapi::router()?).fallback(shown::elsewhere);
        let edge = Edge {
            body_bytes_max: parts.body_bytes_max,
            bodies_bytes_max: parts.edge.config.bodies_bytes_max,
            brownout: Brownout::new(&parts.edge.config.brownout, parts.partitions),
            keys: parts.keys.clone(),
        };
        let api = edge.in_front_of(api);
        let api = match parts.cors.layer() {
            Some(cors) => api.layer(cors),
            None => api,
        };
        let standin = Self { router: api, app, keys: parts.keys };
        Ok(Self { router: standin.router.clone().merge(standin.probes()), ..standin })
    }

    fn probes(&self) -> Router {
        let app = self.app.clone();
        http::probes_of(Arc::new(move || app.shows())).router()
    }

    /// Probes and `/metrics`.
    pub fn admin(&self, handle: PrometheusHandle) -> Router {
        let app = self.app.clone();
        let refresh = move || stockade_inventory::metrics::refresh(&app);
        self.probes().merge(http::metrics_route(handle, refresh).router())
    }

    /// The limits in force, which may be replaced while it runs.
    pub fn limits(&self) -> Limits {
        self.app.limits.clone()
    }

    /// Says in the log, now and then, what buyers are shown.
    pub async fn say(&self) {
        loop {
            match self.app.shows() {
                Ok(how) => tracing::warn!(offers = self.app.index.listings(), "{how}"),
                Err(why) => tracing::error!("{why}"),
            }
            tokio::time::sleep(SAY).await;
        }
    }

    /// Takes what was decided since the picture into it, without end: the log can be read again, and what it withholds is withheld
    /// here while the platform is still reading.
    pub fn follow_decisions(&self, log: SharedLog) -> impl Future<Output = Result<()>> + Send + use<> {
        let app = self.app.clone();
        let each = move |batch: Vec<Tailed>| {
            for Tailed { offset, payload, .. } in batch {
                if let Ok(Payload::Decision(decision)) = payload {
                    app.overlay.apply(&Entry::of(decision, offset), app.now().ms());
                }
            }
            std::future::ready(())
        };
        async move { Ok(tail(log, "standin", Topic::LockoutDecisions, 0, each, std::future::pending()).await?) }
    }

    /// Heeds keys that are made and revoked meanwhile, and forgets callers who have their whole allowance again, without end.
    pub async fn keep_house(&self) -> Result<()> {
        let (limits, keys) = (self.app.limits.clone(), self.keys.clone());
        // Whoever waits for this ends it by waiting no more.
        housekeeping(self.app.log.clone(), clock::system_clock(), limits, keys, Shutdown::default()).await
    }
}

/// A router that can be exchanged while it serves: who is being answered is answered by the one before.
#[derive(Clone)]
pub struct Exchange(Arc<RwLock<Router>>);

impl Exchange {
    /// Begins with this one.
    pub fn new(first: Router) -> Self {
        Self(Arc::new(RwLock::new(first)))
    }

    /// Puts another in its place.
    pub fn put(&self, next: Router) {
        *self.0.write() = next;
    }

    /// What serves whichever is in place.
    pub fn router(&self) -> Router {
        let place = self.0.clone();
        Router::new().fallback(move |request: Request| {
            let now = place.read().clone();
            async move {
                let answered: Result<Response, Infallible> = now.oneshot(request).await;
                answered.unwrap_or_else(|never| match never {})
            }
        })
    }
}
