//! The sandbox: a second platform in the same process, for integrators to try things on.
//!
//! It is apart by construction. It has a log, folds, an index, an overlay, a store of what is in force, keys and webhooks of its own;
//! nothing of it is given a handle to anything live. Which platform is asked is told by the key alone: one that begins with `sk_test_`
//! is looked for in the sandbox and nowhere else, and any other in the live platform and nowhere else. It runs on threads of its own,
//! whose figures are not counted in metrics. What it shares with the live one is the process: memory, processors, the listener.

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use anyhow::{Context as _, Result};
use axum::{
    Router,
    body::Body,
    extract::{Request, State},
    http::{HeaderName, HeaderValue, header},
    middleware::{self, Next},
    response::{IntoResponse as _, Response},
};
use stockade_lockout::STARTER_RULES;
use stockade_runtime::{KeyRing, Problem, Shutdown, clock, keyring::SANDBOX_KEY, server, telemetry};
use stockade_webhooks::Master;
use tokio::runtime::Runtime;
use tower::ServiceExt as _;

use crate::{
    config::Config,
    connect,
    platform::{EdgeParts, Parts, Platform, Roles, WebhooksHere, ensure_topics, instance_name},
};

/// Marks every answer of the sandbox.
const MARK: HeaderName = HeaderName::from_static("stockade-sandbox");
/// Partitions of its supplier-keyed topics: little is asked of it.
const PARTITIONS: u32 = 1;
/// Threads that answer and follow; each fold has one of its own beside.
const THREADS: usize = 2;
/// How long its end is waited for.
const END: Duration = Duration::from_secs(10);

/// A sandbox that runs.
pub(crate) struct Sandbox {
    runtime: Option<Runtime>,
    router: Arc<OnceLock<Router>>,
    shutdown: Shutdown,
    ended: std::sync::mpsc::Receiver<()>,
}

/// The configuration of the sandbox beside that of the live platform: the same, over places of its own.
pub(crate) fn beside(live: &Config) -> Config {
    let mut config = live.clone();
    config.log.directory = live.log.directory.join("sandbox");
    config.log.partitions = PARTITIONS;
    config.kafka.prefix = format!("{}sandbox.", live.kafka.prefix);
    if !config.kafka.instance.is_empty() {
        config.kafka.instance.push_str("-sandbox");
    }
    config.redis.prefix = format!("{}-sandbox", live.redis.prefix);
    config.keys.file.clone_from(&live.sandbox.keys_file);
    config.imports.directory = live.imports.directory.as_ref().map(|directory| {
        // Beside it: whatever lies inside and is no import is cleared away at a start.
        let mut beside = directory.clone().into_os_string();
        beside.push("-sandbox");
        beside.into()
    });
    config.rules.file = None;
    config
}

/// What the sandbox is made of.
fn parts(live: &Config, roles: Roles) -> Result<Parts> {
    let config = beside(live);
    std::fs::create_dir_all(&config.log.directory)
        .with_context(|| format!("cannot create {}", config.log.directory.display()))?;
    let log = connect::log(&config)?;
    ensure_topics(&log, PARTITIONS)?;
    let webhooks = match live.webhooks_key_file().filter(|_| roles.lockout) {
        // Another key than the live one, from the same file: no secret of the one is a secret of the other.
        Some(file) => {
            Some(WebhooksHere { config: live.webhooks.clone(), master: Master::open(&file)?.sandbox() })
        }
        None => None,
    };
    Ok(Parts {
        roles,
        shared_log: config.kafka.used(),
        log,
        clock: clock::system_clock(),
        partitions: PARTITIONS,
        quarantine: connect::quarantine(&config)?,
        keys: KeyRing::open_sandbox(&config.keys_file())?,
        limits: config.limits.clone(),
        promises: config.promises.clone(),
        replica: config.replica.bounds(),
        imports: config.imports_in_place(),
        webhooks,
        body_bytes_max: config.http.body_bytes_max,
        edge: EdgeParts {
            config: config.edge_in_place(),
            folds_nice: config.http.suppliers_nice,
            ..EdgeParts::default()
        },
        cors: config.http.cors.clone(),
        answer_deadline: Duration::from_millis(config.http.answer_deadline_ms),
        instance: instance_name(clock::now_ms()),
        configuration: serde_json::to_value(&config)?,
        // People sign in to the live platform.
        console: None,
    })
}

impl Sandbox {
    /// Starts one beside the live platform. Should it fail later, that is logged and its callers are told; the live one goes on.
    pub(crate) fn start(live: &Config, roles: Roles) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(THREADS)
            .thread_name("sandbox")
            .on_thread_start(telemetry::leave_uncounted)
            .enable_all()
            .build()?;
        let (router, shutdown) = (Arc::new(OnceLock::new()), Shutdown::default());
        let (serving, end, live) = (router.clone(), shutdown.clone(), live.clone());
        let (told, ended) = std::sync::mpsc::channel();
        runtime.spawn(async move {
            if let Err(error) = run(&live, roles, &serving, &end).await {
                tracing::error!(%error, "the sandbox has stopped; the live platform goes on without it");
            }
            // Whoever waits for it may have gone.
            let _ = told.send(());
        });
        Ok(Self { runtime: Some(runtime), router, shutdown, ended })
    }

    /// `live` with the calls of sandbox keys sent to the sandbox, before anything live sees them.
    pub(crate) fn in_front_of(&self, live: Router) -> Router {
        let handle = self.runtime.as_ref().map(|runtime| runtime.handle().clone());
        let to = To { router: self.router.clone(), handle };
        live.layer(middleware::from_fn_with_state(to, dispatch))
    }

    /// Ends it.
    pub(crate) fn stop(mut self) {
        self.shutdown.begin();
        let _ = self.ended.recv_timeout(END);
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        self.shutdown.begin();
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

async fn run(live: &Config, roles: Roles, router: &OnceLock<Router>, shutdown: &Shutdown) -> Result<()> {
    let parts = parts(live, roles)?;
    let keys = parts.keys.clone();
    let mut platform = Platform::start(parts, shutdown.clone(), Arc::new(|_, _| {})).await?;
    let calls = match &platform.lockout {
        Some(api) => stockade_lockout::http::sandbox_router(api.clone())
            .layer(axum::Extension(keys))
            .layer(axum::Extension(stockade_runtime::BodyBytesMax(live.http.body_bytes_max))),
        None => Router::new(),
    };
    // What is not a call of its own goes to a platform like any other.
    let _ = router.set(calls.fallback_service(platform.router.clone()));
    let setup = async {
        platform.until_ready().await;
        match &platform.lockout {
            Some(lockout) if lockout.rules.current().0.is_empty() => {
                platform.ensure_rules(STARTER_RULES, "stockade sandbox").await
            }
            _ => Ok(()),
        }
    };
    tokio::select! {
        done = setup => done?,
        () = shutdown.wait() => return platform.stop().await,
    }
    tracing::info!("the sandbox is ready");
    tokio::select! {
        failed = platform.until_failed() => failed?,
        () = shutdown.wait() => {}
    }
    platform.stop().await
}

/// Where calls of the sandbox go.
#[derive(Clone)]
struct To {
    router: Arc<OnceLock<Router>>,
    handle: Option<tokio::runtime::Handle>,
}

/// Whether the caller shows a key of the sandbox. Nothing is known yet of whether it is a good one.
fn is_for_sandbox(request: &Request) -> bool {
    let mut shown = request.headers().get_all(header::AUTHORIZATION).iter();
    shown.any(|value| {
        let key = value.to_str().ok().and_then(|text| text.split_once(' ')).map(|(_, key)| key.trim());
        key.is_some_and(|key| key.starts_with(SANDBOX_KEY))
    })
}

async fn dispatch(State(to): State<To>, request: Request, next: Next) -> Response {
    if !is_for_sandbox(&request) {
        return next.run(request).await;
    }
    let starting = || {
        Problem::unavailable("starting", "the sandbox is starting, or has stopped; ask again").into_response()
    };
    let (Some(router), Some(handle)) = (to.router.get().cloned(), to.handle) else { return starting() };
    // What the live router has found out of the request is not the sandbox's; what its connection has to keep to is.
    let (mut head, body) = request.into_parts();
    head.extensions = server::of_connection(&head.extensions);
    let request = Request::from_parts(head, body);
    let answered = handle.spawn(async move { router.oneshot(request).await }).await;
    let mut response = match answered {
        Ok(Ok(response)) => response.map(Body::new),
        Ok(Err(never)) => match never {},
        Err(_) => starting(),
    };
    response.headers_mut().insert(MARK, HeaderValue::from_static("true"));
    response
}
