//! The brokers as this process reaches them: its clients for questions, what it says when they do not answer, its threads,
//! and whether it may go on at all.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use parking_lot::{Condvar, Mutex, RwLock};
use rdkafka::{
    admin::AdminClient,
    consumer::{BaseConsumer, Consumer as _},
    error::{KafkaError, RDKafkaErrorCode},
};
use stockade_log::LogError;

use crate::{
    client::{PROBE, Watch},
    options::KafkaOptions,
    reach::{Clients, Reaches as _},
};

/// How long a question that cannot be done without is repeated.
const PATIENCE: Duration = Duration::from_secs(120);
/// How often it is looked for clients that know no broker any more.
const LOOK: Duration = Duration::from_secs(5);

pub(crate) struct Broker {
    pub(crate) options: KafkaOptions,
    /// Copies of topics that are made here.
    pub(crate) replication: i32,
    /// How many brokers answered at the start.
    pub(crate) count: usize,
    pub(crate) watch: Watch,
    /// Makes, deletes and describes topics.
    pub(crate) admin: AdminClient<Watch>,
    /// For questions about metadata and offsets; it reads nothing.
    pub(crate) asker: Arc<BaseConsumer<Watch>>,
    /// The same, for ends that count what is not decided yet.
    pub(crate) raw_asker: Arc<BaseConsumer<Watch>>,
    /// All that live long.
    pub(crate) clients: Clients,
    poison: Arc<RwLock<Option<String>>>,
    closing: Mutex<bool>,
    closed: Condvar,
    silent: AtomicBool,
    threads: Mutex<Vec<(String, JoinHandle<()>)>>,
}

impl Broker {
    /// Connects; an answer comes within 10 s, and an error says what to do.
    pub(crate) fn connect(options: KafkaOptions) -> Result<Self, LogError> {
        options.check()?;
        let watch = Watch::default();
        let asker = |decided| -> Result<BaseConsumer<Watch>, LogError> {
            let made = options.admin(decided).create_with_context(watch.clone());
            made.map_err(|error| LogError::Config(format!("kafka settings: {error}")))
        };
        let (asker, raw_asker) = (asker(true)?, asker(false)?);
        let admin = options.admin(true).create_with_context(watch.clone());
        let admin =
            admin.map_err(|error| LogError::Config(format!("no admin client could be made: {error}")))?;
        let mut broker = Self {
            replication: options.replication.unwrap_or(1),
            count: 0,
            admin,
            options,
            watch,
            asker: Arc::new(asker),
            raw_asker: Arc::new(raw_asker),
            clients: Clients::default(),
            poison: Arc::default(),
            closing: Mutex::new(false),
            closed: Condvar::new(),
            silent: AtomicBool::new(false),
            threads: Mutex::default(),
        };
        broker.clients.look_after(&broker.asker);
        broker.clients.look_after(&broker.raw_asker);
        broker.count = broker.find()?;
        if broker.options.replication.is_none() {
            broker.replication = broker.count.clamp(1, 3) as i32;
        }
        Ok(broker)
    }

    /// Asks for the brokers; errors are served meanwhile, so that a refusal can say why.
    fn find(&self) -> Result<usize, LogError> {
        let begun = Instant::now();
        loop {
            match self.asker.fetch_metadata(Some(PROBE), Duration::from_secs(2)) {
                Ok(metadata) => return Ok(metadata.brokers().len()),
                Err(error) => {
                    let _ = self.asker.poll(Duration::from_millis(50));
                    let said = self.unreachable(&error);
                    match said {
                        LogError::Unavailable(why) if begun.elapsed() > Duration::from_secs(6) => {
                            return Err(LogError::Unreachable(why));
                        }
                        LogError::Unavailable(_) => {}
                        said => return Err(said),
                    }
                }
            }
        }
    }

    pub(crate) fn healthy(&self) -> Result<(), LogError> {
        match &*self.poison.read() {
            Some(why) => Err(LogError::Stopped(why.clone())),
            None => Ok(()),
        }
    }

    /// From here on everything is refused.
    pub(crate) fn poison(&self, why: &str) {
        if !self.closing() {
            tracing::error!(why, "the log failed and stops; restart the process to recover");
        }
        self.poison.write().get_or_insert_with(|| why.to_owned());
    }

    pub(crate) fn closing(&self) -> bool {
        *self.closing.lock()
    }

    /// Waits, but not beyond the closing of the log.
    pub(crate) fn pause(&self, pause: Duration) {
        let mut closing = self.closing.lock();
        if !*closing {
            self.closed.wait_for(&mut closing, pause);
        }
    }

    /// Runs something that blocks on a thread that closing waits for.
    pub(crate) fn spawn(&self, name: String, work: impl FnOnce() + Send + 'static) -> Result<(), LogError> {
        let thread = std::thread::Builder::new().name(name.clone()).spawn(work);
        let thread = thread.map_err(|error| LogError::Stopped(format!("no thread {name}: {error}")))?;
        let mut threads = self.threads.lock();
        threads.retain(|(_, thread)| !thread.is_finished());
        threads.push((name, thread));
        Ok(())
    }

    /// What poisons the log, for callbacks that outlive a borrow of it.
    pub(crate) fn poisoner(&self) -> Arc<dyn Fn(&str) + Send + Sync> {
        let poison = self.poison.clone();
        Arc::new(move |why: &str| {
            poison.write().get_or_insert_with(|| why.to_owned());
        })
    }

    /// Begins to close: whoever pauses goes on, and new work is refused.
    pub(crate) fn begin_closing(&self) {
        *self.closing.lock() = true;
        self.closed.notify_all();
    }

    /// Waits for the threads, until `deadline`; from here on everything is refused.
    pub(crate) fn end_threads(&self, deadline: Instant) {
        while Instant::now() < deadline {
            let mut threads = self.threads.lock();
            threads.retain(|(_, thread)| !thread.is_finished());
            if threads.is_empty() {
                break;
            }
            drop(threads);
            std::thread::park_timeout(Duration::from_millis(5));
        }
        let threads = self.threads.lock();
        if !threads.is_empty() {
            let names: Vec<&str> = threads.iter().map(|(name, _)| name.as_str()).collect();
            tracing::warn!(?names, "still busy at the end of closing; they end with the process");
        }
        self.poison.write().get_or_insert_with(|| "it was closed".to_owned());
    }

    pub(crate) fn full_name(&self, name: &str) -> String {
        format!("{}{name}", self.options.prefix)
    }

    /// Why the brokers could not be asked, as one sentence with the remedy.
    pub(crate) fn unreachable(&self, error: &KafkaError) -> LogError {
        let brokers = &self.options.brokers;
        let Some((code, reason)) = self.watch.last_error() else {
            return LogError::Unavailable(format!("Kafka at {brokers} does not answer: {error}"));
        };
        match code {
            RDKafkaErrorCode::Authentication | RDKafkaErrorCode::SaslAuthenticationFailed => {
                LogError::Config(format!(
                    "Kafka at {brokers} refuses these credentials ({reason}); check kafka.security.sasl_mechanism, username and password"
                ))
            }
            RDKafkaErrorCode::SSL => LogError::Config(format!(
                "TLS with Kafka at {brokers} fails ({reason}); check kafka.security.tls and ca_file"
            )),
            _ => LogError::Unavailable(format!(
                "Kafka at {brokers} cannot be reached ({reason}); check kafka.brokers, that the broker runs, and that its advertised listeners can be reached from here"
            )),
        }
    }

    /// Asks again while the brokers do not answer, for a while.
    pub(crate) fn patiently<T>(&self, mut ask: impl FnMut() -> Result<T, LogError>) -> Result<T, LogError> {
        let begun = Instant::now();
        loop {
            match ask() {
                Err(LogError::Unavailable(why)) if begun.elapsed() < PATIENCE && !self.closing() => {
                    tracing::debug!(why, "asking again");
                    self.pause(Duration::from_millis(100));
                }
                other => return other,
            }
        }
    }

    /// Begins to look for clients that know no broker any more, until the log is closed.
    pub(crate) fn begin_to_look(self: &Arc<Self>) -> Result<(), LogError> {
        let looking = self.clone();
        self.spawn("log-reach".to_owned(), move || {
            looking.pause(LOOK);
            while !looking.closing() {
                let told = looking.clients.look(&looking.options.brokers, || looking.answers_the_new());
                if told > 0 {
                    metrics::counter!("stockade_log_clients_told_again_total").increment(told as u64);
                    tracing::warn!(
                        clients = told,
                        "Kafka answers, but not to these clients; they are given its addresses again"
                    );
                }
                looking.pause(LOOK);
            }
        })
    }

    /// Whether a client that is made just now, and so has all the addresses, is answered.
    fn answers_the_new(&self) -> bool {
        let made: Result<BaseConsumer<Watch>, _> =
            self.options.admin(true).create_with_context(self.watch.clone());
        made.is_ok_and(|client| client.is_answered())
    }

    /// Says once that the brokers went silent and once that they are back; librdkafka's own lines are for debugging.
    pub(crate) fn note_silence(&self, silent: bool) {
        if self.silent.swap(silent, Ordering::Relaxed) == silent {
            return;
        }
        let brokers = &self.options.brokers;
        if silent {
            let why = self.watch.last_error().map_or_else(String::new, |(_, reason)| reason);
            tracing::warn!(%brokers, why, "Kafka does not answer; buyers are answered from what is known, writes wait");
        } else {
            tracing::info!(%brokers, "Kafka answers again");
        }
    }
}
