//! Sessions of people at the console: a cookie in place of a key, for the same calls and the same roles.
//!
//! A session is found by the SHA-256 of its token, which only the browser has. It ends when nobody has used it for
//! [`SessionBounds::idle_ms`], when it is [`SessionBounds::max_ms`] old, or when its person signs out. The file of a data directory
//! keeps what is needed to know sessions again after a restart, and no token.
//!
//! A browser sends cookies by itself, so a call that changes something must also bear the token that only the page knows, in
//! [`CSRF_HEADER`].

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::Arc,
};

use axum::http::{HeaderMap, Method, StatusCode, header};
use parking_lot::Mutex;
use sha2::Digest as _;
use stockade_model::hash::hex;

use crate::{Principal, Problem, clock};

/// What the names of the cookies begin with; the port follows, for cookies are shared by all ports of a host.
pub const COOKIE: &str = "stockade_session_";
/// The header that calls which change something must bear.
pub const CSRF_HEADER: &str = "stockade-csrf";
/// Sessions kept at once; the one that was used longest ago makes room.
const SESSIONS_MAX: usize = 1_000;
/// Longest token of a cookie or a page that is looked at, in bytes; those made here have 64.
const TOKEN_BYTES_MAX: usize = 128;
/// How often the use of a session is written to the file, in milliseconds: a restart forgets at most that much of it.
const NOTE_USE_MS: i64 = 60_000;
/// How often it is looked whether a command has signed somebody out, in milliseconds.
const LOOK_MS: i64 = 2_000;

/// How long a session lasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionBounds {
    /// Without use, in milliseconds.
    pub idle_ms: i64,
    /// However much it is used, in milliseconds.
    pub max_ms: i64,
}

impl Default for SessionBounds {
    fn default() -> Self {
        Self { idle_ms: 2 * 3_600_000, max_ms: 12 * 3_600_000 }
    }
}

#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
struct Kept {
    sha256: String,
    principal: Principal,
    begun_ms: i64,
    used_ms: i64,
}

/// A session as its page sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// Who it is.
    pub principal: Principal,
    /// What [`CSRF_HEADER`] must hold.
    pub csrf: String,
    /// When it ends however much it is used, in milliseconds since 1970.
    pub ends_ms: i64,
    /// When it ends if it is not used, in milliseconds since 1970.
    pub idle_ends_ms: i64,
}

/// What the fingerprints of people derive from, in a line of its own among the sessions; a build that does not know it passes it over.
#[derive(serde::Serialize, serde::Deserialize)]
struct Secret {
    fingerprints: String,
}

/// A person who was signed out by a command.
#[derive(serde::Serialize, serde::Deserialize)]
struct SignedOut {
    name: String,
    at_ms: i64,
}

#[derive(Default)]
struct Data {
    by_hash: HashMap<String, Kept>,
    /// What the fingerprints of people derive from, hex: made with the file, and kept with it.
    secret: String,
    written_ms: i64,
    /// When it was looked whether somebody was signed out.
    looked_ms: i64,
    /// Counts what the file is to hear of.
    changes: u64,
}

struct Inner {
    data: Mutex<Data>,
    /// How many changes the file has heard of. Held while it is written, and taken before `data`: whoever looks for a session does not
    /// wait for the disk.
    written: Mutex<u64>,
    file: Option<PathBuf>,
    bounds: SessionBounds,
}

/// The sessions of a process. Cheap to clone; put it into the router's extensions beside the keys.
#[derive(Clone)]
pub struct Sessions(Arc<Inner>);

fn hash(text: &str) -> String {
    hex(&sha2::Sha256::digest(text.as_bytes()))
}

/// 256 random bits, hex.
pub fn secret() -> Result<String, String> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(|error| format!("the system gave no random numbers: {error}"))?;
    Ok(hex(&bytes))
}

/// What the page must send in [`CSRF_HEADER`] with this token's cookie.
fn csrf(token: &str) -> String {
    hash(&format!("csrf:{token}"))
}

/// The name of the cookie for the port that was asked: cookies are shared by all ports of a host.
pub fn cookie_name(headers: &HeaderMap) -> String {
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let port = host.rsplit_once(':').map(|(_, port)| port).filter(|port| port.parse::<u16>().is_ok());
    format!("{COOKIE}{}", port.unwrap_or("0"))
}

/// The tokens of a request's cookies, of this port only: a browser may hold many of other servers on the same host.
pub fn tokens(headers: &HeaderMap) -> Vec<&str> {
    let own = cookie_name(headers);
    let lines = headers.get_all(header::COOKIE).iter().filter_map(|line| line.to_str().ok());
    let pairs = lines.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
    // What is longer is no token, and not worth its hash.
    let is_own = |(name, token): &(&str, &str)| *name == own && token.len() <= TOKEN_BYTES_MAX;
    pairs.filter(is_own).map(|(_, token)| token).take(8).collect()
}

/// The text of a file of lines, empty where there is none. What is not UTF-8 is damage to its own line only.
pub fn read_lines(path: &Path) -> std::io::Result<String> {
    match std::fs::read(path) {
        Ok(bytes) => Ok(String::from_utf8_lossy(&bytes).into_owned()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(String::new()),
        Err(error) => Err(error),
    }
}

/// Puts a text in the place of a file, so that whoever reads finds the former one or this, after a loss of power as well.
pub fn replace(path: &Path, text: &str) -> std::io::Result<()> {
    use std::io::Write as _;
    let new = path.with_extension("new");
    let mut file = std::fs::File::create(&new)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    std::fs::rename(&new, path)
}

/// What stands for a person where a key has its own hash: the same in each of her sessions, so that what she repeats after signing in
/// again is known, and nothing that others could work out from her name.
fn fingerprint(secret: &str, of: &Principal) -> String {
    let supplier = match &of.role {
        crate::Role::Supplier { supplier } => supplier.as_str(),
        _ => "",
    };
    // Names hold no zero bytes, so no two people run together.
    hash(&format!("{secret}\0{}\0{}\0{supplier}", of.id, of.role.name())).chars().take(32).collect()
}

fn ended() -> Problem {
    let detail = "this session has ended; make a new link with `stockade console link` and open it";
    Problem::new(StatusCode::UNAUTHORIZED, "session_ended", detail)
        .with_header(header::WWW_AUTHENTICATE, "Bearer")
}

impl Sessions {
    /// Sessions that outlive the process where `file` says where to keep them.
    pub fn open(file: Option<&Path>, bounds: SessionBounds) -> Result<Self, String> {
        let mut data = Data::default();
        if let Some(path) = file {
            let text =
                read_lines(path).map_err(|error| format!("sessions in {}: {error}", path.display()))?;
            // A line that cannot be read is a session that has ended.
            let kept = text.lines().filter_map(|line| serde_json::from_str::<Kept>(line).ok());
            data.by_hash = kept.map(|kept| (kept.sha256.clone(), kept)).collect();
            let kept = text.lines().find_map(|line| serde_json::from_str::<Secret>(line).ok());
            data.secret = kept.map(|kept| kept.fingerprints).unwrap_or_default();
        }
        if data.secret.is_empty() {
            data.secret = secret()?;
        }
        let (data, written) = (Mutex::new(data), Mutex::new(0));
        Ok(Self(Arc::new(Inner { data, written, file: file.map(Path::to_owned), bounds })))
    }

    /// Begins a session; the answer is its token, which is told only now.
    pub fn begin(&self, principal: Principal) -> Result<String, String> {
        self.begin_at(principal, clock::now_ms())
    }

    fn begin_at(&self, principal: Principal, now_ms: i64) -> Result<String, String> {
        let token = secret()?;
        let sha256 = hash(&token);
        let kept = Kept { sha256: sha256.clone(), principal, begun_ms: now_ms, used_ms: now_ms };
        let mut data = self.0.data.lock();
        data.by_hash.retain(|_, kept| self.0.bounds.lasts(kept, now_ms));
        if data.by_hash.len() >= SESSIONS_MAX {
            let oldest =
                data.by_hash.values().min_by_key(|kept| kept.used_ms).map(|kept| kept.sha256.clone());
            oldest.and_then(|sha256| data.by_hash.remove(&sha256));
        }
        data.by_hash.insert(sha256.clone(), kept);
        let change = data.change();
        drop(data);
        if let Err(why) = self.write(change, now_ms) {
            self.0.data.lock().by_hash.remove(&sha256);
            return Err(why);
        }
        Ok(token)
    }

    /// The session of a token, if it lasts. Looking does not prolong it.
    pub fn peek(&self, token: &str) -> Option<Session> {
        self.find(token, clock::now_ms(), false)
    }

    /// The same, as somebody uses it.
    pub fn using(&self, token: &str) -> Option<Session> {
        self.find(token, clock::now_ms(), true)
    }

    fn find(&self, token: &str, now_ms: i64, is_used: bool) -> Option<Session> {
        // Found by its hash, so the time it takes says nothing about the token.
        let mut data = self.0.data.lock();
        let bounds = self.0.bounds;
        self.sign_out_those_named(&mut data, now_ms);
        let secret = data.secret.clone();
        let kept = data.by_hash.get_mut(&hash(token)).filter(|kept| bounds.lasts(kept, now_ms))?;
        if is_used {
            kept.used_ms = now_ms;
        }
        let fingerprint = fingerprint(&secret, &kept.principal);
        let session = Session {
            principal: Principal { fingerprint, ..kept.principal.clone() },
            csrf: csrf(token),
            ends_ms: kept.begun_ms + bounds.max_ms,
            idle_ends_ms: (kept.used_ms + bounds.idle_ms).min(kept.begun_ms + bounds.max_ms),
        };
        if is_used && now_ms - data.written_ms >= NOTE_USE_MS {
            data.written_ms = now_ms;
            let change = data.change();
            drop(data);
            self.note_use(change, now_ms);
        }
        Some(session)
    }

    /// Writes when sessions were used, beside the calls where there is a runtime for it: nobody needs to wait for that.
    fn note_use(&self, change: u64, now_ms: i64) {
        let sessions = self.clone();
        let note = move || {
            if let Err(why) = sessions.write(change, now_ms) {
                tracing::warn!(why, "the use of sessions could not be noted; it is tried again in a minute");
            }
        };
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) if self.0.file.is_some() => drop(runtime.spawn_blocking(note)),
            _ => note(),
        }
    }

    /// Ends the session of a token. It waits for the disk where there was one, and for nothing where there was none.
    pub fn end(&self, token: &str) -> Result<(), String> {
        let mut data = self.0.data.lock();
        if data.by_hash.remove(&hash(token)).is_none() {
            return Ok(());
        }
        let change = data.change();
        drop(data);
        self.write(change, clock::now_ms())
    }

    /// Ends the sessions of people whom a command has signed out since it was looked last: their names stand in a file beside
    /// that of the sessions, each with the moment.
    fn sign_out_those_named(&self, data: &mut Data, now_ms: i64) {
        let Some(path) = &self.0.file else { return };
        if now_ms - data.looked_ms < LOOK_MS {
            return;
        }
        data.looked_ms = now_ms;
        let Ok(text) = read_lines(&path.with_extension("ended")) else { return };
        let named = text.lines().filter_map(|line| serde_json::from_str::<SignedOut>(line).ok());
        let mut until: HashMap<String, i64> = HashMap::new();
        named.for_each(|SignedOut { name, at_ms }| {
            let last = until.entry(name).or_insert(at_ms);
            *last = at_ms.max(*last);
        });
        let ended = |kept: &Kept| until.get(&kept.principal.id).is_some_and(|at_ms| kept.begun_ms <= *at_ms);
        data.by_hash.retain(|_, kept| !ended(kept));
    }

    /// Ends all sessions of a person, in a server that runs within seconds; `file` is that of the sessions.
    pub fn sign_out(file: &Path, name: &str) -> std::io::Result<()> {
        use std::io::Write as _;
        let line = SignedOut { name: name.to_owned(), at_ms: clock::now_ms() };
        let mut text = serde_json::to_string(&line)?;
        text.push('\n');
        let path = file.with_extension("ended");
        let mut ended = std::fs::File::options().create(true).append(true).open(path)?;
        ended.write_all(text.as_bytes())?;
        ended.sync_all()
    }

    /// Who calls by a cookie: `None` without one, a problem where its session has ended or the page's token is missing.
    pub fn caller(&self, method: &Method, headers: &HeaderMap) -> Option<Result<Principal, Problem>> {
        let tokens = tokens(headers);
        if tokens.is_empty() {
            return None;
        }
        let Some((token, session)) = tokens.iter().find_map(|token| Some((token, self.using(token)?))) else {
            return Some(Err(ended()));
        };
        let is_safe = matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS);
        let sent = headers.get(CSRF_HEADER).and_then(|value| value.to_str().ok());
        let sent = sent.filter(|sent| sent.len() <= TOKEN_BYTES_MAX);
        // Both are hashes of what nobody else knows, so comparing them in place gives nothing away.
        if !is_safe && sent.map(hash) != Some(hash(&csrf(token))) {
            let detail = format!(
                "a change from a page needs the header {CSRF_HEADER} with the token of its session; load the page again"
            );
            return Some(Err(Problem::new(StatusCode::FORBIDDEN, "csrf_token_needed", detail)));
        }
        Some(Ok(session.principal))
    }

    /// Has the file hear of a change, unless it has heard of it with a later one: who waited here meanwhile are written together.
    fn write(&self, change: u64, now_ms: i64) -> Result<(), String> {
        let Some(path) = &self.0.file else { return Ok(()) };
        let mut written = self.0.written.lock();
        if *written >= change {
            return Ok(());
        }
        let data = self.0.data.lock();
        let (lines, changes) = (self.lines(&data, now_ms)?, data.changes);
        drop(data);
        replace(path, &lines).map_err(|error| format!("sessions in {}: {error}", path.display()))?;
        *written = changes;
        // Uses before it are in the file as well.
        self.0.data.lock().written_ms = now_ms;
        Ok(())
    }

    fn lines(&self, data: &Data, now_ms: i64) -> Result<String, String> {
        let mut lines = serde_json::to_string(&Secret { fingerprints: data.secret.clone() })
            .map_err(|error| error.to_string())?;
        lines.push('\n');
        for kept in data.by_hash.values().filter(|kept| self.0.bounds.lasts(kept, now_ms)) {
            lines.push_str(&serde_json::to_string(kept).map_err(|error| error.to_string())?);
            lines.push('\n');
        }
        Ok(lines)
    }
}

impl Data {
    /// Counts one change more; the answer is its number.
    fn change(&mut self) -> u64 {
        self.changes += 1;
        self.changes
    }
}

impl SessionBounds {
    fn lasts(&self, kept: &Kept, now_ms: i64) -> bool {
        now_ms < kept.used_ms + self.idle_ms && now_ms < kept.begun_ms + self.max_ms
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Role;

    fn ada() -> Principal {
        Principal { id: "ada".to_owned(), role: Role::Analyst, fingerprint: String::new() }
    }

    fn sessions(file: Option<&Path>) -> Sessions {
        Sessions::open(file, SessionBounds { idle_ms: 1_000, max_ms: 3_000 }).unwrap()
    }

    #[test]
    fn a_person_has_one_fingerprint_in_all_sessions_and_after_a_restart_and_nobody_else_has_it() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("sessions.jsonl");
        let fingerprint = |sessions: &Sessions, who: &Principal| {
            let token = sessions.begin_at(who.clone(), 0).unwrap();
            sessions.find(&token, 1, true).unwrap().principal.fingerprint
        };
        let first = sessions(Some(&file));
        let own = fingerprint(&first, &ada());
        assert_eq!((own.len(), fingerprint(&first, &ada())), (32, own.clone()), "signed in once more");
        assert_eq!(fingerprint(&sessions(Some(&file)), &ada()), own, "another start over the same file");
        let buyer = Principal { role: Role::Buyer, ..ada() };
        let bob = Principal { id: "bob".to_owned(), ..ada() };
        assert!([buyer, bob].iter().all(|other| fingerprint(&first, other) != own));
        assert_ne!(fingerprint(&sessions(None), &ada()), own, "another installation");
    }

    #[test]
    fn a_session_ends_without_use_and_at_its_age_and_by_signing_out() {
        let sessions = sessions(None);
        let token = sessions.begin_at(ada(), 0).unwrap();
        assert!(sessions.find(&token, 999, true).is_some());
        assert!(sessions.find(&token, 1_998, false).is_some());
        assert!(sessions.find(&token, 1_999, true).is_none(), "nobody used it");
        let token = sessions.begin_at(ada(), 0).unwrap();
        for now_ms in (500..3_000).step_by(500) {
            assert!(sessions.find(&token, now_ms, true).is_some());
        }
        assert!(sessions.find(&token, 3_000, true).is_none(), "it is too old");
        let token = sessions.begin(ada()).unwrap();
        sessions.end(&token).unwrap();
        assert!(sessions.peek(&token).is_none());
    }

    #[test]
    fn ending_what_is_no_session_writes_nothing_and_ending_one_is_written() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("console-sessions.jsonl");
        let running = sessions(Some(&file));
        let token = running.begin(ada()).unwrap();
        std::fs::write(&file, "as it was").unwrap();
        for made_up in ["", "0", "x"] {
            running.end(made_up).unwrap();
        }
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "as it was");
        running.end(&token).unwrap();
        let written = std::fs::read_to_string(&file).unwrap();
        assert!(written.contains("fingerprints") && !written.contains("principal"), "{written}");
        std::fs::write(&file, "as it was").unwrap();
        running.end(&token).unwrap();
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "as it was", "it has ended already");
    }

    #[test]
    fn whoever_looks_for_a_session_does_not_wait_for_the_disk() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("console-sessions.jsonl");
        let running = Sessions::open(Some(&file), SessionBounds::default()).unwrap();
        let token = running.begin(ada()).unwrap();
        // As while another is being written.
        let writing = running.0.written.lock();
        assert!(running.peek(&token).is_some());
        running.end("made up").unwrap();
        drop(writing);
    }

    #[test]
    fn what_many_begin_and_end_at_the_same_time_is_what_a_restart_knows() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("console-sessions.jsonl");
        let running = Sessions::open(Some(&file), SessionBounds::default()).unwrap();
        let kept: Vec<String> = std::thread::scope(|scope| {
            let one = || {
                let (kept, ended) = (running.begin(ada()).unwrap(), running.begin(ada()).unwrap());
                running.end(&ended).unwrap();
                kept
            };
            let all: Vec<_> = (0..8).map(|_| scope.spawn(one)).collect();
            all.into_iter().map(|it| it.join().unwrap()).collect()
        });
        let restarted = Sessions::open(Some(&file), SessionBounds::default()).unwrap();
        assert!(kept.iter().all(|token| restarted.peek(token).is_some()));
        assert_eq!(restarted.0.data.lock().by_hash.len(), kept.len(), "those that ended have ended");
    }

    #[test]
    fn a_restart_knows_the_sessions_and_the_file_holds_no_token() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("console-sessions.jsonl");
        let token = sessions(Some(&file)).begin(ada()).unwrap();
        assert_eq!(sessions(Some(&file)).peek(&token).unwrap().principal.id, "ada");
        assert!(!std::fs::read_to_string(&file).unwrap().contains(&token));
    }

    #[test]
    fn whoever_is_signed_out_by_a_command_is_out_and_damage_to_the_file_is_damage_to_its_line_only() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("console-sessions.jsonl");
        let bob = Principal { id: "bob".to_owned(), ..ada() };
        let running = sessions(Some(&file));
        let (of_ada, of_bob) = (running.begin(ada()).unwrap(), running.begin(bob).unwrap());
        Sessions::sign_out(&file, "ada").unwrap();
        assert!(running.peek(&of_ada).is_none());
        assert!(running.peek(&of_bob).is_some());
        let text = std::fs::read(&file).unwrap();
        std::fs::write(&file, [b"\xff\xfe{\n", text.as_slice()].concat()).unwrap();
        let restarted = sessions(Some(&file));
        assert!(restarted.peek(&of_bob).is_some());
        assert!(restarted.peek(&of_ada).is_none(), "a restart does not bring it back");
    }

    #[test]
    fn a_change_needs_the_token_of_the_page_and_reading_does_not() {
        let sessions = Sessions::open(None, SessionBounds::default()).unwrap();
        let token = sessions.begin(ada()).unwrap();
        let mut headers = HeaderMap::new();
        assert!(sessions.caller(&Method::GET, &headers).is_none());
        headers.insert(header::HOST, "localhost:7400".parse().unwrap());
        // Of other servers on the same host a browser may have many, the oldest first.
        let others: String = (1..20).map(|port| format!("{COOKIE}{port}=other; ")).collect();
        headers.insert(header::COOKIE, format!("a=b; {others}{COOKIE}7400={token}").parse().unwrap());
        assert_eq!(sessions.caller(&Method::GET, &headers).unwrap().unwrap().id, "ada");
        let refused = sessions.caller(&Method::POST, &headers).unwrap().unwrap_err();
        assert_eq!(refused.code, "csrf_token_needed");
        headers.insert(CSRF_HEADER, "0".parse().unwrap());
        assert_eq!(sessions.caller(&Method::PUT, &headers).unwrap().unwrap_err().code, "csrf_token_needed");
        headers.insert(CSRF_HEADER, csrf(&token).parse().unwrap());
        assert_eq!(sessions.caller(&Method::DELETE, &headers).unwrap().unwrap().id, "ada");
        sessions.end(&token).unwrap();
        assert_eq!(sessions.caller(&Method::GET, &headers).unwrap().unwrap_err().code, "session_ended");
    }
}
