//! API keys: 256 random bits each, only their SHA-256 is kept, each bound to one role.
//!
//! [`KeyRing`] is the seam for fuller identity work: handlers see a [`Principal`] and nothing of how it was found.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use axum::{
    extract::{FromRequestParts, OptionalFromRequestParts},
    http::{StatusCode, header, request::Parts},
};
use dashmap::DashMap;
use sha2::Digest as _;
use stockade_model::{SupplierId, hash::hex};

use crate::Problem;

/// What a key may do.
#[derive(Clone, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(tag = "role", rename_all = "snake_case")]
pub enum Role {
    /// Submits its own inventory.
    Supplier {
        /// Its own id; every other supplier's path is refused.
        supplier: SupplierId,
    },
    /// Asks for availability and reserves.
    Buyer,
    /// Reports order outcomes.
    OrderSystem,
    /// Tunes rules, reviews and releases.
    Analyst,
    /// May do what an analyst may, and approve what analysts wrote.
    Approver,
    /// Registers suppliers and runs the platform.
    Operator,
}

/// Who is calling.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Principal {
    /// Name of the key, not secret.
    pub id: String,
    /// What it may do.
    #[serde(flatten)]
    pub role: Role,
}

/// A key as it is kept.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
struct KeptKey {
    #[serde(flatten)]
    principal: Principal,
    sha256: String,
}

type Hash = [u8; 32];

/// Finds the principal of a key. Cheap to clone.
#[derive(Clone, Default)]
pub struct KeyRing {
    keys: Arc<DashMap<Hash, Principal>>,
    file: Option<Arc<PathBuf>>,
}

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

impl KeyRing {
    /// Opens the key file, one JSON object a line; an absent one is an empty ring.
    pub fn open(path: &Path) -> std::io::Result<Self> {
        let ring = Self { keys: Arc::default(), file: Some(Arc::new(path.to_owned())) };
        ring.reload()?;
        Ok(ring)
    }

    /// Reads the file again, so that keys created or removed while serving count.
    pub fn reload(&self) -> std::io::Result<()> {
        let Some(path) = &self.file else { return Ok(()) };
        let text = match std::fs::read_to_string(path.as_path()) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error),
        };
        let mut found = std::collections::BTreeMap::new();
        for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
            let bad = |what: String| {
                let at = format!("{} line {}: {what}", path.display(), number + 1);
                std::io::Error::new(std::io::ErrorKind::InvalidData, at)
            };
            let kept: KeptKey = serde_json::from_str(line).map_err(|e| bad(e.to_string()))?;
            let hash = unhex(&kept.sha256).ok_or_else(|| bad("sha256 is not 64 hex digits".to_owned()))?;
            found.insert(hash, kept.principal);
        }
        self.keys.retain(|hash, _| found.contains_key(hash));
        found.into_iter().for_each(|(hash, principal)| drop(self.keys.insert(hash, principal)));
        Ok(())
    }

    /// Makes a key; the answer is the only time it is seen in full. Kept in the file, if there is one.
    pub fn create(&self, id: &str, role: Role) -> std::io::Result<String> {
        let mut secret = [0; 32];
        getrandom::fill(&mut secret).map_err(|e| std::io::Error::other(e.to_string()))?;
        let key = format!("sk_{}", hex(&secret));
        let principal = Principal { id: id.to_owned(), role };
        if let Some(path) = &self.file {
            use std::io::Write as _;
            let kept = KeptKey { principal: principal.clone(), sha256: hex(&hash(&key)) };
            let mut line = serde_json::to_vec(&kept)?;
            line.push(b'\n');
            std::fs::OpenOptions::new().create(true).append(true).open(path.as_path())?.write_all(&line)?;
        }
        self.keys.insert(hash(&key), principal);
        Ok(key)
    }

    /// The principal of a key.
    pub fn find(&self, key: &str) -> Option<Principal> {
        // Looked up by hash, so the time it takes says nothing about the key.
        self.keys.get(&hash(key)).map(|principal| principal.clone())
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

/// The authenticated caller. Put the [`KeyRing`] into the router's extensions.
#[derive(Clone, Debug)]
pub struct Caller(pub Principal);

impl Role {
    /// Whether it may do what analysts do.
    pub fn is_staff(&self) -> bool {
        matches!(self, Role::Analyst | Role::Approver | Role::Operator)
    }
    /// Whether it may approve what somebody else changes.
    pub fn may_approve(&self) -> bool {
        matches!(self, Role::Approver | Role::Operator)
    }
}

impl Caller {
    /// Refuses everyone but the supplier itself.
    pub fn must_be_supplier(&self, supplier: &SupplierId) -> Result<(), Problem> {
        match &self.0.role {
            Role::Supplier { supplier: own } if own == supplier => Ok(()),
            Role::Supplier { .. } => Err(Problem::new(
                StatusCode::FORBIDDEN,
                "not_your_supplier",
                "this key is bound to another supplier; use that supplier's own key",
            )),
            _ => Err(self.wrong("supplier")),
        }
    }
    /// Refuses everyone for whom `allowed` is false; `needed` names the role in words.
    pub fn must(&self, needed: &'static str, allowed: impl Fn(&Role) -> bool) -> Result<(), Problem> {
        if allowed(&self.0.role) { Ok(()) } else { Err(self.wrong(needed)) }
    }
    fn wrong(&self, needed: &str) -> Problem {
        let detail =
            format!("this call needs a key with the role {needed}; `stockade keys create` makes one");
        Problem::new(StatusCode::FORBIDDEN, "wrong_role", detail)
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = Problem;
    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let refuse = |code, detail: &str| {
            Problem::new(StatusCode::UNAUTHORIZED, code, detail)
                .with_header(header::WWW_AUTHENTICATE, "Bearer")
        };
        let given = crate::http::single(&parts.headers, &header::AUTHORIZATION)?;
        // The scheme is case-insensitive (RFC 9110, section 11.1).
        let bearer = given.and_then(|value| value.split_once(' '));
        let bearer = bearer.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
        let Some((_, key)) = bearer else {
            return Err(refuse(
                "missing_key",
                "send `Authorization: Bearer KEY`; `stockade keys create` makes one",
            ));
        };
        let ring = parts.extensions.get::<KeyRing>();
        let principal = ring.and_then(|ring| ring.find(key.trim()));
        principal.map(Caller).ok_or_else(|| refuse("unknown_key", "this key is not known or was removed"))
    }
}

impl<S: Send + Sync> OptionalFromRequestParts<S> for Caller {
    type Rejection = Problem;
    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Option<Self>, Problem> {
        if parts.headers.contains_key(header::AUTHORIZATION) {
            <Self as FromRequestParts<S>>::from_request_parts(parts, state).await.map(Some)
        } else {
            Ok(None)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scheme_may_be_written_in_any_case_and_two_keys_are_refused() {
        let ring = KeyRing::default();
        let key = ring.create("b", Role::Buyer).unwrap();
        let ask = |values: &[String]| {
            let mut request = axum::http::Request::builder();
            for value in values {
                request = request.header("authorization", value);
            }
            let (mut parts, ()) = request.body(()).unwrap().into_parts();
            parts.extensions.insert(ring.clone());
            let mut asked =
                std::pin::pin!(<Caller as FromRequestParts<()>>::from_request_parts(&mut parts, &()));
            let mut context = std::task::Context::from_waker(std::task::Waker::noop());
            match asked.as_mut().poll(&mut context) {
                std::task::Poll::Ready(caller) => {
                    caller.map(|caller| caller.0.id).map_err(|problem| problem.code)
                }
                std::task::Poll::Pending => panic!("nothing to wait for"),
            }
        };
        for scheme in ["Bearer", "bearer", "BEARER"] {
            assert_eq!(ask(&[format!("{scheme} {key}")]), Ok("b".to_owned()), "{scheme}");
        }
        assert_eq!(ask(&[format!("Basic {key}")]), Err("missing_key"));
        assert_eq!(ask(&["Bearer".to_owned()]), Err("missing_key"));
        let right = format!("Bearer {key}");
        assert_eq!(ask(&[right.clone(), "Bearer sk_0".to_owned()]), Err("repeated_header"));
        assert_eq!(ask(&[right.clone(), right]), Err("repeated_header"));
    }

    #[test]
    fn keys_survive_in_the_file_as_hashes_only_and_go_when_their_line_goes() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("keys.jsonl");
        let ring = KeyRing::open(&path).unwrap();
        let supplier = SupplierId::new("acme").unwrap();
        let key = ring.create("acme-1", Role::Supplier { supplier: supplier.clone() }).unwrap();
        ring.create("ops", Role::Operator).unwrap();
        assert_eq!(key.len(), 3 + 64);
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(!text.contains(&key[3..]), "the key itself is never kept");

        let again = KeyRing::open(&path).unwrap();
        let caller = Caller(again.find(&key).unwrap());
        assert!(caller.must_be_supplier(&supplier).is_ok());
        let other = SupplierId::new("other").unwrap();
        assert_eq!(caller.must_be_supplier(&other).unwrap_err().code, "not_your_supplier");
        assert!(again.find("sk_0").is_none());

        std::fs::write(&path, text.lines().nth(1).unwrap()).unwrap();
        again.reload().unwrap();
        assert!(again.find(&key).is_none() && again.len() == 1);
    }
}
