//! Links that sign a person in once. Making one needs what making a key needs: the data directory, or the process itself.
//!
//! The token stands behind `#`, which browsers send nowhere: it is in no log, and whatever fetches a link ahead of its reader
//! does not use it up. The page hands it over by `POST`. Only its SHA-256 is kept.

use std::{
    fs::File,
    path::{Path, PathBuf},
    sync::Arc,
};

use axum::http::StatusCode;
use parking_lot::Mutex;
use sha2::Digest as _;
use stockade_model::hash::hex;
use stockade_runtime::{Principal, Problem, Role, clock, session};

/// Minutes for which a link is good when nothing else is said.
pub const LINK_MINUTES: u32 = 10;
/// How long a link that was used or is too old is remembered, so that its second reader is told what happened; in milliseconds.
const REMEMBERED_MS: i64 = 24 * 3_600_000;
/// Links kept at once.
const LINKS_MAX: usize = 1_000;
/// Longest name of a person, in bytes.
const NAME_BYTES_MAX: usize = 64;

/// Why a link was not made.
#[derive(Debug)]
pub enum LinkError {
    /// A name that cannot be one.
    BadName(String),
    /// The file cannot be read or written, or there were no random numbers.
    Failed(String),
}

impl std::fmt::Display for LinkError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::BadName(name) => write!(
                f,
                "{name:?} cannot be a person's name: use 1 to {NAME_BYTES_MAX} letters, digits, dots, hyphens, underscores or @"
            ),
            Self::Failed(why) => f.write_str(why),
        }
    }
}

impl std::error::Error for LinkError {}

#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
struct Kept {
    sha256: String,
    principal: Principal,
    ends_ms: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    used_ms: Option<i64>,
}

/// Links that were made and are not forgotten yet: in a file that commands and a running server share, or in the process.
#[derive(Clone, Default)]
pub struct Links {
    file: Option<PathBuf>,
    kept: Arc<Mutex<Vec<Kept>>>,
}

/// Whether it can be a person's name, as it stands in audits: the same rule as for keys.
pub fn check_name(name: &str) -> Result<(), LinkError> {
    let fits = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'.' | b'-' | b'_' | b'@');
    let is_name = (1..=NAME_BYTES_MAX).contains(&name.len()) && name.bytes().all(fits);
    if is_name { Ok(()) } else { Err(LinkError::BadName(name.to_owned())) }
}

fn hash(token: &str) -> String {
    hex(&sha2::Sha256::digest(token.as_bytes()))
}

impl Links {
    /// Links in the file of a data directory.
    pub fn at(file: &Path) -> Self {
        Self { file: Some(file.to_owned()), kept: Arc::default() }
    }

    /// Makes a link for a person; the answer is its token, which is told only now.
    pub fn make(&self, name: &str, role: Role, minutes: u32) -> Result<String, LinkError> {
        check_name(name)?;
        let token = session::secret().map_err(LinkError::Failed)?;
        let now_ms = clock::now_ms();
        let principal = Principal { id: name.to_owned(), role, fingerprint: String::new() };
        let ends_ms = now_ms + i64::from(minutes) * 60_000;
        let link = Kept { sha256: hash(&token), principal, ends_ms, used_ms: None };
        self.change(now_ms, |kept| (true, kept.push(link))).map_err(LinkError::Failed)?;
        Ok(token)
    }

    /// Uses a link up; the answer is who it signs in.
    pub(crate) fn take(&self, token: &str) -> Result<Principal, Problem> {
        self.take_at(token, clock::now_ms())
    }

    fn take_at(&self, token: &str, now_ms: i64) -> Result<Principal, Problem> {
        let sha256 = hash(token);
        let again = "make a new one with `stockade console link`";
        // Where nothing is changed nothing is written.
        let refuse =
            |status, code, what: &str| (false, Err(Problem::new(status, code, format!("{what}; {again}"))));
        let take = |kept: &mut Vec<Kept>| {
            let Some(link) = kept.iter_mut().find(|link| link.sha256 == sha256) else {
                return refuse(
                    StatusCode::NOT_FOUND,
                    "unknown_link",
                    "this link was not made for this server, or not all of it was copied",
                );
            };
            if link.used_ms.is_some() {
                return refuse(
                    StatusCode::GONE,
                    "link_used",
                    "this link was used already, and signs in once",
                );
            }
            if now_ms >= link.ends_ms {
                return refuse(StatusCode::GONE, "link_expired", "this link is too old");
            }
            link.used_ms = Some(now_ms);
            (true, Ok(link.principal.clone()))
        };
        self.change(now_ms, take).unwrap_or_else(|why| {
            tracing::error!(why, "a link could not be used");
            Err(Problem::unavailable("starting", "links cannot be read at the moment; try again"))
        })
    }

    /// Changes what is kept, under a lock that commands and the server wait for, and writes it if it is kept in a file and `edit` says
    /// that it has changed.
    fn change<T>(&self, now_ms: i64, edit: impl FnOnce(&mut Vec<Kept>) -> (bool, T)) -> Result<T, String> {
        let mut kept = self.kept.lock();
        let Some(path) = &self.file else {
            return Ok(edited(&mut kept, now_ms, edit).1);
        };
        let failed = |error: std::io::Error| format!("links in {}: {error}", path.display());
        let lock = path.with_extension("lock");
        let own = File::options().create(true).truncate(false).write(true).open(&lock);
        // One that another user has made, root perhaps, can be locked as well.
        let lock = own.or_else(|_| File::open(&lock)).map_err(failed)?;
        lock.lock().map_err(failed)?;
        let text = session::read_lines(path).map_err(failed)?;
        *kept = text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
        let (changed, done) = edited(&mut kept, now_ms, edit);
        if !changed {
            return Ok(done);
        }
        let mut lines = String::new();
        for link in kept.iter() {
            lines.push_str(&serde_json::to_string(link).map_err(|error| error.to_string())?);
            lines.push('\n');
        }
        session::replace(path, &lines).map_err(failed)?;
        Ok(done)
    }
}

fn edited<T>(kept: &mut Vec<Kept>, now_ms: i64, edit: impl FnOnce(&mut Vec<Kept>) -> (bool, T)) -> (bool, T) {
    let done = edit(kept);
    kept.retain(|link| now_ms < link.ends_ms + REMEMBERED_MS);
    let too_many = kept.len().saturating_sub(LINKS_MAX);
    kept.drain(..too_many);
    done
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_signs_in_once_and_only_while_it_is_good_and_another_process_knows_it() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("console-links.jsonl");
        for (command, server) in [(Links::at(&file), Links::at(&file)), {
            let one = Links::default();
            (one.clone(), one)
        }] {
            let token = command.make("ada", Role::Analyst, 10).unwrap();
            let code =
                |result: Result<Principal, Problem>| result.map(|who| who.id).map_err(|problem| problem.code);
            assert_eq!(code(server.take(&token)), Ok("ada".to_owned()));
            assert_eq!(code(server.take(&token)), Err("link_used"));
            assert_eq!(code(server.take("abc")), Err("unknown_link"));
            let old = command.make("bob", Role::Buyer, 0).unwrap();
            assert_eq!(code(server.take(&old)), Err("link_expired"));
        }
        assert!(matches!(Links::default().make("a b", Role::Buyer, 1), Err(LinkError::BadName(_))));
    }
}
