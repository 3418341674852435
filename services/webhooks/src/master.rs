//! Secrets and signatures.
//!
//! No secret of an endpoint is kept anywhere. Each derives from one key of the installation, the endpoint's name and how often its
//! secret was renewed; log, changelog, dead letters and backups therefore hold nothing to sign with. The key lies in a file
//! that only the server's user may read.

use std::{
    fs::File,
    io::{Read as _, Write as _},
    path::{Path, PathBuf},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use ring::hmac;
use stockade_model::hash::{hex, of_hex};

/// Bytes of the installation's key, and of every secret.
const KEY_BYTES: usize = 32;
/// Begins a secret as it is shown.
const SECRET_PREFIX: &str = "whsec_";

/// Why the key of the installation cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum MasterError {
    /// The file cannot be read or written.
    #[error("key file of webhooks {}: {error}; give the server's user access, or name another with webhooks.key_file", .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        error: std::io::Error,
    },
    /// The file is not a key.
    #[error("{} is no key for webhooks; it must hold 64 hex digits. Put the right file back: secrets that were handed out derive from it", .0.display())]
    NoKey(PathBuf),
    /// The system gave no random numbers.
    #[error("the system gave no random numbers: {0}")]
    Random(String),
}

/// The key of the installation that secrets derive from. Never shown.
#[derive(Clone)]
pub struct Master(hmac::Key);

impl std::fmt::Debug for Master {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Master(***)")
    }
}

impl Master {
    /// A key of these bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, bytes))
    }

    /// The key in a file, which is made when it is not there.
    pub fn open(path: &Path) -> Result<Self, MasterError> {
        let failed = |error| MasterError::File { path: path.to_owned(), error };
        match File::open(path) {
            Ok(file) => {
                let mut text = String::new();
                file.take(1_024).read_to_string(&mut text).map_err(failed)?;
                let bytes = of_hex(text.trim()).filter(|bytes| bytes.len() == KEY_BYTES);
                bytes.map(|bytes| Self::of(&bytes)).ok_or_else(|| MasterError::NoKey(path.to_owned()))
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                let bytes = random::<KEY_BYTES>()?;
                make(path, &hex(&bytes)).map_err(failed)?;
                // Another process may have made it meanwhile: what lies there is the key.
                Self::open(path)
            }
            Err(error) => Err(failed(error)),
        }
    }

    /// The key of the sandbox beside it: no secret of the one is a secret of the other.
    #[must_use]
    pub fn sandbox(&self) -> Self {
        Self::of(hmac::sign(&self.0, b"sandbox").as_ref())
    }

    /// Which key this is, without saying it.
    pub fn which(&self) -> String {
        hex(hmac::sign(&self.0, b"which").as_ref().split_at(4).0)
    }

    /// A secret of an endpoint.
    fn secret(&self, endpoint: &str, renewed: u32) -> hmac::Tag {
        hmac::sign(&self.0, format!("secret\0{endpoint}\0{renewed}").as_bytes())
    }

    /// A secret of an endpoint as its owner is shown it.
    pub fn shown(&self, endpoint: &str, renewed: u32) -> String {
        format!("{SECRET_PREFIX}{}", STANDARD.encode(self.secret(endpoint, renewed)))
    }

    /// The header `webhook-signature`: a signature with the secret, and one with the secret before it where that still counts.
    pub fn signatures(
        &self,
        endpoint: &str,
        renewed: &[u32],
        id: &str,
        timestamp_s: i64,
        body: &str,
    ) -> String {
        let signed = |renewed: &u32| sign(self.secret(endpoint, *renewed).as_ref(), id, timestamp_s, body);
        renewed.iter().map(signed).collect::<Vec<_>>().join(" ")
    }
}

/// The signature of what is sent: of its id, the moment in seconds and the body, as Standard Webhooks 1.0 has it.
pub fn sign(secret: &[u8], id: &str, timestamp_s: i64, body: &str) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
    let mut signing = hmac::Context::with_key(&key);
    signing.update(format!("{id}.{timestamp_s}.").as_bytes());
    signing.update(body.as_bytes());
    format!("v1,{}", STANDARD.encode(signing.sign()))
}

/// Random bytes.
pub(crate) fn random<const N: usize>() -> Result<[u8; N], MasterError> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|error| MasterError::Random(error.to_string()))?;
    Ok(bytes)
}

/// Makes the file with its whole text at once, for its user alone; leaves one that is there.
fn make(path: &Path, text: &str) -> std::io::Result<()> {
    use std::os::unix::fs::OpenOptionsExt as _;
    if let Some(directory) = path.parent() {
        std::fs::create_dir_all(directory)?;
    }
    let new = path.with_extension(format!("new-{}", std::process::id()));
    let mut file = File::options().create(true).truncate(true).write(true).mode(0o600).open(&new)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    let linked = std::fs::hard_link(&new, path);
    std::fs::remove_file(&new)?;
    match linked {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_that_of_the_published_example() {
        let secret = STANDARD.decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let signed = sign(&secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, r#"{"test": 2432232314}"#);
        assert_eq!(signed, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn the_key_is_made_once_for_its_user_alone_and_a_spoilt_one_is_never_replaced() {
        use std::os::unix::fs::PermissionsExt as _;
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("data/webhooks.key");
        let made = Master::open(&path).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let again = Master::open(&path).unwrap();
        assert_eq!(made.which(), again.which());
        assert_eq!(made.shown("wh_1", 0), again.shown("wh_1", 0));
        assert_ne!(made.shown("wh_1", 0), made.shown("wh_1", 1));
        assert_ne!(made.shown("wh_1", 0), made.shown("wh_2", 0));
        assert!(!format!("{made:?}").contains(&std::fs::read_to_string(&path).unwrap()));
        std::fs::write(&path, "oops").unwrap();
        assert!(matches!(Master::open(&path), Err(MasterError::NoKey(_))));
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "oops");
    }
}
