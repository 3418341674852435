//! The quarantine store on Redis. The only crate that uses redis.
//!
//! Per supplier a hash with the whole set in force; an index by version; a hint on a channel with every change. All keys
//! carry one hash tag, so that a cluster keeps them in one slot and one script can change them together: the set is small,
//! a few kilobytes for each supplier that was ever restricted.
//!
//! | key | holds |
//! |---|---|
//! | `{P}:supplier:ID` | hash: `order`, `version`, `offset`, `in_force` (JSON) |
//! | `{P}:index` | sorted set, all with score 0: `order\|ID`, so that lexical order is version order |
//! | `{P}:changes` | channel: the `order` of each change; a hint to look, no more |
//!
//! `P` is the configured prefix; `order` is generation, offset and output index of the version in fixed width.

mod address;

use std::time::Duration;

use address::{Address, Kind};
use redis::{
    AsyncConnectionConfig, Client, Cmd, RedisError, Script, Value,
    aio::{ConnectionLike, MultiplexedConnection},
    cluster::ClusterClientBuilder,
    cluster_async::ClusterConnection,
    sentinel::{SentinelClient, SentinelNodeConnectionInfo, SentinelServerType},
};
use stockade_model::{Position, SupplierId};
use stockade_quarantine::{Answer, Entry, Put, QuarantineStore, StoreError, Summary};
use tokio::sync::{Mutex, mpsc};

/// Entries read in one go.
const PAGE: usize = 500;

/// Puts an entry unless a later one is there. KEYS: supplier, index. ARGV: order, id, version, offset, in_force, channel.
const PUT: &str = r"
local stored = redis.call('HGET', KEYS[1], 'order')
if stored and stored >= ARGV[1] then return 0 end
if stored then redis.call('ZREM', KEYS[2], stored .. '|' .. ARGV[2]) end
redis.call('HSET', KEYS[1], 'order', ARGV[1], 'version', ARGV[3], 'offset', ARGV[4], 'in_force', ARGV[5])
redis.call('ZADD', KEYS[2], 0, ARGV[1] .. '|' .. ARGV[2])
redis.call('PUBLISH', ARGV[6], ARGV[1])
return 1";

/// Removes an index member, and the entry if it still has that version. KEYS: supplier, index. ARGV: order, id, channel.
const FORGET: &str = r"
redis.call('ZREM', KEYS[2], ARGV[1] .. '|' .. ARGV[2])
if redis.call('HGET', KEYS[1], 'order') == ARGV[1] then
  redis.call('DEL', KEYS[1])
  redis.call('PUBLISH', ARGV[3], ARGV[1])
end
return 1";

#[derive(Clone)]
enum Connection {
    One(MultiplexedConnection),
    Cluster(ClusterConnection),
}

impl ConnectionLike for Connection {
    fn req_packed_command<'a>(&'a mut self, cmd: &'a Cmd) -> redis::RedisFuture<'a, Value> {
        match self {
            Connection::One(connection) => connection.req_packed_command(cmd),
            Connection::Cluster(connection) => connection.req_packed_command(cmd),
        }
    }
    fn req_packed_commands<'a>(
        &'a mut self,
        cmd: &'a redis::Pipeline,
        offset: usize,
        count: usize,
    ) -> redis::RedisFuture<'a, Vec<Value>> {
        match self {
            Connection::One(connection) => connection.req_packed_commands(cmd, offset, count),
            Connection::Cluster(connection) => connection.req_packed_commands(cmd, offset, count),
        }
    }
    fn get_db(&self) -> i64 {
        match self {
            Connection::One(connection) => connection.get_db(),
            Connection::Cluster(connection) => connection.get_db(),
        }
    }
}

/// A store on Redis. Connects when first used and again after any failure of the connection.
pub struct RedisStore {
    address: Address,
    prefix: String,
    timeout: Duration,
    connection: Mutex<Option<Connection>>,
    put: Script,
    forget: Script,
}

fn order(version: &Position) -> String {
    let (generation, offset, index) = version.order();
    format!("{generation:010}{offset:020}{index:010}")
}

impl RedisStore {
    /// A store at `url`; every call, connecting included, takes at most `timeout`.
    ///
    /// # Errors
    /// When the address cannot be understood. Whether anything answers there is seen at the first call.
    pub fn new(url: &str, prefix: &str, timeout: Duration) -> Result<Self, StoreError> {
        Ok(Self {
            address: Address::parse(url)?.built(cfg!(feature = "tls"))?,
            prefix: prefix.to_owned(),
            timeout,
            connection: Mutex::new(None),
            put: Script::new(PUT),
            forget: Script::new(FORGET),
        })
    }

    fn supplier_key(&self, supplier: &str) -> String {
        format!("{{{}}}:supplier:{supplier}", self.prefix)
    }
    fn index_key(&self) -> String {
        format!("{{{}}}:index", self.prefix)
    }
    fn channel(&self) -> String {
        format!("{{{}}}:changes", self.prefix)
    }

    async fn client(&self) -> Result<Client, RedisError> {
        let urls = self.address.urls();
        match &self.address.kind {
            Kind::Sentinel { master } => {
                let mut info = SentinelNodeConnectionInfo::default();
                let mut login = redis::RedisConnectionInfo::default();
                if let Some(user) = &self.address.user {
                    login = login.set_username(user);
                }
                if let Some(password) = &self.address.password {
                    login = login.set_password(password);
                }
                info = info.set_redis_connection_info(login);
                if self.address.tls {
                    info = info.set_tls_mode(redis::TlsMode::Secure);
                }
                // The password is that of the servers; sentinels are asked without one.
                let bare: Vec<String> = Address { user: None, password: None, ..self.address.clone() }.urls();
                let mut sentinels =
                    SentinelClient::build(bare, master.clone(), Some(info), SentinelServerType::Master)?;
                sentinels.async_get_client().await
            }
            _ => Client::open(urls.first().cloned().unwrap_or_default()),
        }
    }

    async fn connect(&self) -> Result<Connection, RedisError> {
        if self.address.kind == Kind::Cluster {
            let client = ClusterClientBuilder::new(self.address.urls())
                .connection_timeout(self.timeout)
                .response_timeout(self.timeout)
                .build()?;
            return Ok(Connection::Cluster(client.get_async_connection().await?));
        }
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(self.timeout))
            .set_response_timeout(Some(self.timeout));
        let client = self.client().await?;
        Ok(Connection::One(client.get_multiplexed_async_connection_with_config(&config).await?))
    }

    /// Runs `call` on the connection, within the time-out. A connection that failed is not used again: after a failover
    /// it may lead to a server that is no longer the master.
    async fn with<T>(
        &self,
        call: impl AsyncFnOnce(&mut Connection) -> Result<T, RedisError>,
    ) -> Result<T, StoreError> {
        let shown = self.address.shown();
        let failed = |why: String| StoreError(format!("Redis at {shown}: {why}"));
        let work = async {
            let mut connection = {
                let mut held = self.connection.lock().await;
                match &*held {
                    Some(connection) => connection.clone(),
                    None => held.insert(self.connect().await?).clone(),
                }
            };
            call(&mut connection).await
        };
        match tokio::time::timeout(self.timeout, work).await {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) => {
                self.connection.lock().await.take();
                Err(failed(error.to_string()))
            }
            Err(_) => {
                // A write that timed out may have happened; compare-and-set makes repeating it harmless.
                self.connection.lock().await.take();
                Err(failed(format!("no answer within {:?}", self.timeout)))
            }
        }
    }

    async fn put_entry(&self, entry: Entry) -> Result<Put, StoreError> {
        let in_force = serde_json::to_string(&entry.in_force).map_err(|e| StoreError(e.to_string()))?;
        let id = entry.supplier.as_str();
        let applied: i64 = self
            .with(async |connection| {
                let mut call = self.put.key(self.supplier_key(id));
                call.key(self.index_key())
                    .arg(order(&entry.version))
                    .arg(id)
                    .arg(entry.version.to_string())
                    .arg(entry.offset)
                    .arg(&in_force)
                    .arg(self.channel());
                call.invoke_async(connection).await
            })
            .await?;
        Ok(if applied == 1 { Put::Applied } else { Put::Stale })
    }

    /// Entries of these index members; what does not fit its hash any more is left out and taken from the index.
    async fn entries(&self, members: &[String]) -> Result<Vec<Entry>, StoreError> {
        let parts: Vec<(&str, &str)> = members.iter().filter_map(|member| member.split_once('|')).collect();
        if parts.is_empty() {
            return Ok(Vec::new());
        }
        let mut pipe = redis::pipe();
        for (_, id) in &parts {
            pipe.cmd("HMGET")
                .arg(self.supplier_key(id))
                .arg("order")
                .arg("version")
                .arg("offset")
                .arg("in_force");
        }
        let rows: Vec<Row> = self.with(async |connection| pipe.query_async(connection).await).await?;
        let mut entries = Vec::with_capacity(rows.len());
        for ((wanted, id), row) in parts.into_iter().zip(rows) {
            match row.0.as_deref() == Some(wanted) {
                true => entries.extend(open(id, row)?),
                false => self.drop_member(wanted, id).await?,
            }
        }
        Ok(entries)
    }

    async fn drop_member(&self, order: &str, id: &str) -> Result<(), StoreError> {
        self.with(async |connection| {
            let mut call = self.forget.key(self.supplier_key(id));
            call.key(self.index_key()).arg(order).arg(id).arg(self.channel());
            call.invoke_async::<()>(connection).await
        })
        .await
    }

    async fn all_since(&self, version: Option<Position>) -> Result<Vec<Entry>, StoreError> {
        // '~' comes after '|' and after every character of an id, so this is past every member of that version.
        let mut from = version.map_or("-".to_owned(), |version| format!("({}~", order(&version)));
        let mut entries = Vec::new();
        loop {
            let page: Vec<String> = self
                .with(async |connection| {
                    let mut range = redis::cmd("ZRANGEBYLEX");
                    range.arg(self.index_key()).arg(&from).arg("+").arg("LIMIT").arg(0).arg(PAGE);
                    range.query_async(connection).await
                })
                .await?;
            let Some(last) = page.last() else { return Ok(entries) };
            from = format!("({last}");
            entries.extend(self.entries(&page).await?);
        }
    }

    async fn one(&self, supplier: &SupplierId) -> Result<Option<Entry>, StoreError> {
        let row: Row = self
            .with(async |connection| {
                let mut get = redis::cmd("HMGET");
                get.arg(self.supplier_key(supplier.as_str()));
                get.arg("order").arg("version").arg("offset").arg("in_force").query_async(connection).await
            })
            .await?;
        if row.0.is_none() { Ok(None) } else { open(supplier.as_str(), row) }
    }

    async fn look(&self) -> Result<Summary, StoreError> {
        let (count, last): (usize, Vec<String>) = self
            .with(async |connection| {
                let mut pipe = redis::pipe();
                pipe.cmd("ZCARD").arg(self.index_key());
                pipe.cmd("ZREVRANGEBYLEX").arg(self.index_key()).arg("+").arg("-").arg("LIMIT").arg(0).arg(1);
                pipe.query_async(connection).await
            })
            .await?;
        let last = self.entries(&last).await?.pop().map(|entry| entry.version);
        Ok(Summary { entries: count, last })
    }

    /// The eviction policy, if it is one that may take entries away.
    pub async fn durability(&self) -> Result<Option<String>, StoreError> {
        let found: Vec<String> = self
            .with(async |connection| {
                redis::cmd("CONFIG").arg("GET").arg("maxmemory-policy").query_async(connection).await
            })
            .await?;
        // Those that begin with volatile only take keys with an expiry, and ours have none.
        Ok(found.into_iter().nth(1).filter(|policy| policy.starts_with("allkeys")))
    }

    /// The server's clock, in milliseconds.
    pub async fn time_ms(&self) -> Result<i64, StoreError> {
        let (seconds, micros): (i64, i64) =
            self.with(async |connection| redis::cmd("TIME").query_async(connection).await).await?;
        Ok(seconds * 1_000 + micros / 1_000)
    }

    /// A hint for every change, for as long as the receiver lives and the connection holds; when it closes, look with
    /// `since` and ask again. Not for clusters, where any node may be asked to subscribe by other means.
    pub async fn hints(&self) -> Result<mpsc::Receiver<()>, StoreError> {
        let shown = self.address.shown();
        let failed = |error: RedisError| StoreError(format!("Redis at {shown}: {error}"));
        let connect = async {
            let client = self.client().await?;
            let mut channel = client.get_async_pubsub().await?;
            channel.subscribe(self.channel()).await?;
            Ok(channel)
        };
        let limited = tokio::time::timeout(self.timeout, connect).await;
        let mut channel = limited
            .map_err(|_| StoreError(format!("Redis at {shown}: no answer within {:?}", self.timeout)))?
            .map_err(failed)?;
        // One is as good as many.
        let (sender, receiver) = mpsc::channel(1);
        tokio::spawn(async move {
            let mut messages = channel.on_message();
            let messages = std::pin::Pin::new(&mut messages);
            forward(messages, sender).await;
        });
        Ok(receiver)
    }
}

async fn forward(
    mut messages: std::pin::Pin<&mut (impl futures_core::Stream<Item = redis::Msg> + ?Sized)>,
    sender: mpsc::Sender<()>,
) {
    loop {
        let next = std::future::poll_fn(|context| messages.as_mut().poll_next(context));
        tokio::select! {
            message = next => if message.is_none() { return },
            () = sender.closed() => return,
        }
        // Full means that one is waiting already.
        let _ = sender.try_send(());
    }
}

/// `order`, `version`, `offset` and `in_force` of a hash.
type Row = (Option<String>, Option<String>, Option<u64>, Option<String>);

fn open(id: &str, (_, version, offset, in_force): Row) -> Result<Option<Entry>, StoreError> {
    let unreadable = || StoreError(format!("the entry of {id} cannot be read by this build"));
    let supplier = SupplierId::new(id).map_err(|_| unreadable())?;
    let version = version.and_then(|text| Position::parse(&text).ok()).ok_or_else(unreadable)?;
    let in_force = in_force.and_then(|text| serde_json::from_str(&text).ok()).ok_or_else(unreadable)?;
    Ok(Some(Entry { supplier, version, offset: offset.ok_or_else(unreadable)?, in_force }))
}

impl QuarantineStore for RedisStore {
    fn put(&self, entry: Entry) -> Answer<'_, Put> {
        Box::pin(self.put_entry(entry))
    }
    fn get<'a>(&'a self, supplier: &'a SupplierId) -> Answer<'a, Option<Entry>> {
        Box::pin(self.one(supplier))
    }
    fn since(&self, version: Option<Position>) -> Answer<'_, Vec<Entry>> {
        Box::pin(self.all_since(version))
    }
    fn summary(&self) -> Answer<'_, Summary> {
        Box::pin(self.look())
    }
    fn forget<'a>(&'a self, supplier: &'a SupplierId, version: &'a Position) -> Answer<'a, ()> {
        Box::pin(async move { self.drop_member(&order(version), supplier.as_str()).await })
    }
}
