//! The key file and the keys known to a process: 256 random bits each, of which only the SHA-256 is kept.
//!
//! A key's name is its identity: limits, idempotency keys, audits and the second person of an approval go by it. So no
//! two keys share one. People's keys are named by whoever makes them; other keys may go without, and then get their role
//! (or supplier) and the beginning of their hash, as in `buyer~1f3a9c2e`. Names that people choose have no `~`.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    fs::File,
    io::Write as _,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError, RwLock},
};

use dashmap::DashMap;
use sha2::Digest as _;
use stockade_model::{SupplierId, Timestamp, hash::hex, time::HOUR_MS};

use crate::{Principal, Role, clock};

/// Longest name of a key, in bytes.
const NAME_BYTES_MAX: usize = 64;
/// Longest key that is looked up, in bytes; those made here have 67 or 72.
const KEY_BYTES_MAX: usize = 256;
/// Hex digits of a key's hash that tell it from others in names and lists.
const FINGERPRINT_DIGITS: usize = 8;
/// Begins every key.
const LIVE_KEY: &str = "sk_";
/// Begins every key of the sandbox, and none of the live platform: behind `sk_` those have hex digits only.
pub const SANDBOX_KEY: &str = "sk_test_";

/// Why a key was not made, found or read.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// A person's key without a name.
    #[error(
        "a key for the role {0} stands for one person and needs that person's own name: give --name, such as --name ada"
    )]
    NameNeeded(&'static str),
    /// A name that cannot be one.
    #[error(
        "{0:?} cannot be the name of a key: use 1 to {NAME_BYTES_MAX} letters, digits, dots, hyphens, underscores or @"
    )]
    BadName(String),
    /// Another key has the name.
    #[error(
        "there is a key named {0} already, and every key has its own name; choose another, or take that one out with `stockade keys revoke {0}`"
    )]
    NameTaken(String),
    /// As many were made within an hour as may be.
    #[error(
        "{made} keys were made in this file within an hour, and no more than {most} are: something may be making them that should not. Look with `stockade keys list`; if it is meant, raise keys.per_hour_max, or wait"
    )]
    TooMany {
        /// Keys made within the hour.
        made: usize,
        /// How many may be.
        most: usize,
    },
    /// No key has the name.
    #[error("no key is named {0}; `stockade keys list` shows those there are")]
    NoSuchKey(String),
    /// The file cannot be read or written.
    #[error("key file {}: {error}", .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        error: std::io::Error,
    },
    /// The file was there and is gone.
    #[error("key file {} is gone; put it back, or revoke keys with `stockade keys revoke`", .0.display())]
    Gone(PathBuf),
    /// A line of the file is not a key.
    #[error("key file {} line {line}: {what}; correct the line or take it out", .path.display())]
    BadLine {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong with it.
        what: String,
    },
    /// The system gave no random numbers.
    #[error("the system gave no random numbers: {0}")]
    Random(String),
}

/// A key as it is kept.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
struct KeptKey {
    #[serde(flatten)]
    principal: Principal,
    sha256: String,
    /// When it was made; absent in files of earlier versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    created: Option<Timestamp>,
}

/// A key as it is listed: everything but the key.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct ListedKey {
    /// Its name and what it may do.
    #[serde(flatten)]
    pub principal: Principal,
    /// The beginning of its SHA-256, in hex.
    pub fingerprint: String,
    /// When it was made, if that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created: Option<Timestamp>,
}

type Hash = [u8; 32];

fn hash(key: &str) -> Hash {
    sha2::Sha256::digest(key.as_bytes()).into()
}

fn unhex(text: &str) -> Option<Hash> {
    let mut out = [0; 32];
    if text.len() != 64 {
        return None;
    }
    for (index, byte) in out.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(2 * index..2 * index + 2)?, 16).ok()?;
    }
    Some(out)
}

fn fingerprint(sha256: &str) -> &str {
    sha256.get(..FINGERPRINT_DIGITS).unwrap_or(sha256)
}

fn check_name(name: &str) -> Result<(), KeyError> {
    let fits = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'.' | b'-' | b'_' | b'@');
    if (1..=NAME_BYTES_MAX).contains(&name.len()) && name.bytes().all(fits) {
        Ok(())
    } else {
        Err(KeyError::BadName(name.to_owned()))
    }
}

/// What a key file holds.
struct Kept {
    keys: Vec<KeptKey>,
    /// Names that several of the keys have in the file.
    shared: BTreeSet<String>,
}

/// The key file: one JSON object a line. Changes are made under a lock and appear at once and whole.
struct KeyFile(PathBuf);

impl KeyFile {
    fn failed(&self) -> impl Fn(std::io::Error) -> KeyError + '_ {
        |error| KeyError::File { path: self.0.clone(), error }
    }

    /// The keys in the file, each under a name of its own; `None` when there is no file. Files of earlier versions may have such names: each key then gets the beginning of its hash
    /// beside the name, so that all go on working and nobody passes for somebody else.
    fn read(&self) -> Result<Option<Kept>, KeyError> {
        let text = match std::fs::read_to_string(&self.0) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(self.failed()(error)),
        };
        let mut keys = Vec::new();
        for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
            let bad = |what: String| KeyError::BadLine { path: self.0.clone(), line: number + 1, what };
            let kept: KeptKey = serde_json::from_str(line).map_err(|e| bad(e.to_string()))?;
            unhex(&kept.sha256).ok_or_else(|| bad("sha256 is not 64 hex digits".to_owned()))?;
            keys.push(kept);
        }
        let mut bearers: BTreeMap<String, usize> = BTreeMap::new();
        keys.iter().for_each(|kept| *bearers.entry(kept.principal.id.clone()).or_default() += 1);
        let shared: BTreeSet<String> =
            bearers.into_iter().filter(|(_, count)| *count > 1).map(|(name, _)| name).collect();
        for kept in keys.iter_mut().filter(|kept| shared.contains(&kept.principal.id)) {
            kept.principal.id = format!("{}~{}", kept.principal.id, fingerprint(&kept.sha256));
        }
        Ok(Some(Kept { keys, shared }))
    }

    /// Changes the file under a lock that other commands wait for; a reader sees the former file or the new one.
    fn change<T>(&self, edit: impl FnOnce(&mut Vec<KeptKey>) -> Result<T, KeyError>) -> Result<T, KeyError> {
        let failed = self.failed();
        // The file itself is replaced, so the lock is on one beside it.
        let lock = self.0.with_extension("lock");
        let lock = File::options().create(true).truncate(false).write(true).open(lock).map_err(&failed)?;
        lock.lock().map_err(&failed)?;
        let mut keys = self.read()?.map(|kept| kept.keys).unwrap_or_default();
        let made = edit(&mut keys)?;
        let mut text = Vec::new();
        for kept in &keys {
            serde_json::to_writer(&mut text, kept).map_err(|e| failed(e.into()))?;
            text.push(b'\n');
        }
        // A link to the file stays a link.
        let path = std::fs::canonicalize(&self.0).unwrap_or_else(|_| self.0.clone());
        let new = path.with_extension("new");
        let written = (|| {
            let mut file = File::create(&new)?;
            if let Ok(former) = std::fs::metadata(&path) {
                use std::os::unix::fs::MetadataExt as _;
                file.set_permissions(former.permissions())?;
                // A server that runs as another user must be able to read what root has changed.
                std::os::unix::fs::chown(&new, Some(former.uid()), Some(former.gid()))?;
            }
            file.write_all(&text)?;
            file.sync_all()?;
            std::fs::rename(&new, &path)
        })();
        written.map_err(failed)?;
        Ok(made)
    }
}

/// What the keys may do, by their names, and which suppliers have any.
#[derive(Default)]
struct Holders {
    by_name: HashMap<String, Role>,
    suppliers: HashSet<SupplierId>,
}

impl Holders {
    fn of<'a>(principals: impl IntoIterator<Item = &'a Principal>) -> Self {
        let mut holders = Self::default();
        principals.into_iter().for_each(|principal| holders.add(principal));
        holders
    }
    fn add(&mut self, Principal { id, role, .. }: &Principal) {
        if let Role::Supplier { supplier } = role {
            self.suppliers.insert(supplier.clone());
        }
        self.by_name.insert(id.clone(), role.clone());
    }
}

/// Finds the principal of a key. Cheap to clone.
#[derive(Clone, Default)]
pub struct KeyRing {
    keys: Arc<DashMap<Hash, Principal>>,
    holders: Arc<RwLock<Holders>>,
    /// Names in use, for keys that are made here.
    names: Arc<Mutex<BTreeSet<String>>>,
    file: Option<Arc<KeyFile>>,
    is_sandbox: bool,
    /// Keys that may be made in the file within an hour, by anybody; any number when absent.
    per_hour_max: Option<usize>,
}

impl KeyRing {
    /// Opens the key file, one JSON object a line; an absent one is an empty ring.
    pub fn open(path: &Path) -> Result<Self, KeyError> {
        let ring = Self { file: Some(Arc::new(KeyFile(path.to_owned()))), ..Self::default() };
        ring.reload()?;
        Ok(ring)
    }

    /// The same for the sandbox: the keys made here begin with [`SANDBOX_KEY`].
    pub fn open_sandbox(path: &Path) -> Result<Self, KeyError> {
        Ok(Self { is_sandbox: true, ..Self::open(path)? })
    }

    /// The same with a bound on the keys that are made in the file within an hour, whoever makes them.
    #[must_use]
    pub fn making_at_most(self, per_hour_max: usize) -> Self {
        Self { per_hour_max: Some(per_hour_max), ..self }
    }

    /// Reads the file again, so that keys made or revoked while serving count. After an error the keys known so far stay.
    pub fn reload(&self) -> Result<(), KeyError> {
        let Some(file) = &self.file else { return Ok(()) };
        let Some(Kept { keys, .. }) = file.read()? else {
            return if self.is_empty() { Ok(()) } else { Err(KeyError::Gone(file.0.clone())) };
        };
        let found: BTreeMap<Hash, Principal> =
            keys.into_iter().filter_map(|kept| Some((unhex(&kept.sha256)?, kept.principal))).collect();
        self.keys.retain(|hash, _| found.contains_key(hash));
        self.holders_are(Holders::of(found.values()));
        found.into_iter().for_each(|(hash, principal)| self.put(hash, principal));
        Ok(())
    }

    /// Names that several keys of the file share, as files of earlier versions may; see [`KeyRing::list`] for what those
    /// keys go by.
    pub fn shared_names(&self) -> Result<BTreeSet<String>, KeyError> {
        let read = self.file.as_ref().map(|file| file.read()).transpose()?;
        Ok(read.flatten().map(|kept| kept.shared).unwrap_or_default())
    }

    /// The keys of the file, in its order.
    pub fn list(&self) -> Result<Vec<ListedKey>, KeyError> {
        let read = self.file.as_ref().map(|file| file.read()).transpose()?.flatten();
        let listed = |kept: KeptKey| ListedKey {
            fingerprint: fingerprint(&kept.sha256).to_owned(),
            principal: kept.principal,
            created: kept.created,
        };
        Ok(read.map(|kept| kept.keys.into_iter().map(listed).collect()).unwrap_or_default())
    }

    /// Makes a key of that name; the answer is the only time it is seen in full. Kept in the file, if there is one.
    pub fn create(&self, name: &str, role: Role) -> Result<String, KeyError> {
        check_name(name)?;
        self.make(Some(name), role)
    }

    /// Makes a key for each of these, in their order, and writes the file once: each change of the file writes all of it.
    ///
    /// # Errors
    /// As for one; then none is made.
    pub fn create_all(&self, of: &[(String, Role)]) -> Result<Vec<String>, KeyError> {
        of.iter().try_for_each(|(name, _)| check_name(name))?;
        let fresh = of.iter().map(|(name, role)| self.fresh(Some(name), role.clone()));
        let made = fresh.collect::<Result<Vec<_>, _>>()?;
        self.keep(&made)?;
        Ok(made.into_iter().map(|(key, _)| key).collect())
    }

    /// Makes a key that gets its name from its role and its hash. Not for people.
    pub fn create_unnamed(&self, role: Role) -> Result<String, KeyError> {
        if role.is_staff() { Err(KeyError::NameNeeded(role.name())) } else { self.make(None, role) }
    }

    fn make(&self, name: Option<&str>, role: Role) -> Result<String, KeyError> {
        let made = [self.fresh(name, role)?];
        self.keep(&made)?;
        let [(key, _)] = made;
        Ok(key)
    }

    /// A key that nobody has yet, and whose it is to be.
    fn fresh(&self, name: Option<&str>, role: Role) -> Result<(String, Principal), KeyError> {
        let mut secret = [0; 32];
        getrandom::fill(&mut secret).map_err(|e| KeyError::Random(e.to_string()))?;
        let begins = if self.is_sandbox { SANDBOX_KEY } else { LIVE_KEY };
        let key = format!("{begins}{}", hex(&secret));
        let id = name.map_or_else(
            || {
                let of = match &role {
                    Role::Supplier { supplier } => supplier.as_str(),
                    other => other.name(),
                };
                format!("{of}~{}", fingerprint(&hex(&hash(&key))))
            },
            str::to_owned,
        );
        Ok((key, Principal { id, role, fingerprint: String::new() }))
    }

    /// Keeps keys whose names nobody has; all or none.
    fn keep(&self, made: &[(String, Principal)]) -> Result<(), KeyError> {
        match &self.file {
            Some(file) => file.change(|keys| {
                let mut names: HashSet<String> = keys.iter().map(|kept| kept.principal.id.clone()).collect();
                let now_ms = clock::now_ms();
                if let Some(most) = self.per_hour_max {
                    let lately = |kept: &&KeptKey| kept.created.is_some_and(|at| now_ms - at.ms() < HOUR_MS);
                    let before = keys.iter().filter(lately).count();
                    if before + made.len() > most {
                        return Err(KeyError::TooMany { made: before, most });
                    }
                }
                let created = Some(Timestamp::from_ms(now_ms));
                for (key, principal) in made {
                    if !names.insert(principal.id.clone()) {
                        return Err(KeyError::NameTaken(principal.id.clone()));
                    }
                    keys.push(KeptKey { principal: principal.clone(), sha256: hex(&hash(key)), created });
                }
                Ok(())
            })?,
            None => {
                let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
                for (at, (_, principal)) in made.iter().enumerate() {
                    if !names.insert(principal.id.clone()) {
                        for (_, before) in made.iter().take(at) {
                            names.remove(&before.id);
                        }
                        return Err(KeyError::NameTaken(principal.id.clone()));
                    }
                }
            }
        }
        for (key, principal) in made {
            self.insert(hash(key), principal.clone());
        }
        Ok(())
    }

    /// Takes a key that is known already, beside those of the file: for plays that have to be the same every time.
    pub fn add(&self, key: &str, name: &str, role: Role) {
        self.insert(hash(key), Principal { id: name.to_owned(), role, fingerprint: String::new() });
    }

    fn insert(&self, hash: Hash, principal: Principal) {
        self.holders.write().unwrap_or_else(PoisonError::into_inner).add(&principal);
        self.put(hash, principal);
    }

    fn put(&self, hash: Hash, principal: Principal) {
        let fingerprint = hex(hash.split_at(16).0);
        self.keys.insert(hash, Principal { fingerprint, ..principal });
    }

    fn holders_are(&self, holders: Holders) {
        *self.holders.write().unwrap_or_else(PoisonError::into_inner) = holders;
    }

    /// Takes the key of that name out of the file.
    pub fn revoke(&self, name: &str) -> Result<(), KeyError> {
        let unknown = || KeyError::NoSuchKey(name.to_owned());
        let file = self.file.as_ref().ok_or_else(unknown)?;
        file.change(|keys| {
            let before = keys.len();
            keys.retain(|kept| kept.principal.id != name);
            if keys.len() < before { Ok(()) } else { Err(unknown()) }
        })?;
        self.keys.retain(|_, principal| principal.id != name);
        let left: Vec<Principal> = self.keys.iter().map(|principal| principal.clone()).collect();
        self.holders_are(Holders::of(&left));
        Ok(())
    }

    /// The principal of a key.
    pub fn find(&self, key: &str) -> Option<Principal> {
        if key.len() > KEY_BYTES_MAX {
            // No key is that long, and a hash of a whole head is work.
            return None;
        }
        // Looked up by hash, so the time it takes says nothing about the key.
        self.keys.get(&hash(key)).map(|principal| principal.clone())
    }

    /// What the key of that name may do, if there is one.
    pub fn role_of(&self, name: &str) -> Option<Role> {
        self.holders.read().unwrap_or_else(PoisonError::into_inner).by_name.get(name).cloned()
    }

    /// Whether a supplier has any key.
    pub fn has_key_of(&self, supplier: &SupplierId) -> bool {
        self.holders.read().unwrap_or_else(PoisonError::into_inner).suppliers.contains(supplier)
    }

    /// How many keys there are.
    pub fn len(&self) -> usize {
        self.keys.len()
    }
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }
}

#[cfg(test)]
mod tests;
