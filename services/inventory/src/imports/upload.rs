//! Takes uploads to disk as they come, within what their suppliers may have there.

use std::{
    fs::File,
    io::{self, Write as _},
    sync::Arc,
    time::Duration,
};

use axum::http::{StatusCode, header};
use sha2::Digest as _;
use stockade_model::{SupplierId, hash::hex};
use stockade_runtime::{
    Problem,
    body::{Upload, bad_gzip},
    limits::retry_after_s,
};

use super::{
    Imports,
    disk::{PLACE_BYTES, Share},
    store::Spool,
};

/// Bytes gathered before they are written.
const GATHERED_BYTES: usize = 256 << 10;
/// Bytes of an upload that go with one unit of bodies: a file is written as it comes, where a body is parsed.
const UNIT_BYTES: u64 = 64 << 10;
/// How long an upload is not read on before it is refused.
const PAUSE_MAX: Duration = Duration::from_secs(60);
/// What gzip begins with.
const GZIP: [u8; 2] = [0x1f, 0x8b];

/// Where an upload lies that is not complete yet, and what it has on disk; both gone when dropped.
pub(super) struct Place {
    pub(super) spool: Spool,
    pub(super) share: Share,
}

/// What an upload has to be, and what it is for.
#[derive(Clone, Copy)]
pub(super) struct Coming {
    /// Whether it has to be gzip.
    pub(super) packed: bool,
    /// Whether it has to be there after a crash; what is only looked at has not.
    pub(super) durable: bool,
}

/// A complete upload.
pub(super) struct Spooled {
    pub(super) place: Place,
    pub(super) bytes: u64,
    /// Of its bytes, hex.
    pub(super) sha256: String,
}

pub(super) fn storage(error: &io::Error) -> Problem {
    tracing::error!(%error, "the directory of imports cannot be used");
    Problem::unavailable("import_storage", "the upload cannot be kept now; send it again after a pause")
}

pub(super) fn too_large(most: u64) -> Problem {
    let detail = format!("an upload holds at most {most} bytes; pack it (gzip or zip), or split it");
    Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "upload_too_large", detail)
}

fn too_many(uploads: usize) -> Problem {
    let detail = format!("{uploads} uploads of this supplier are under way; send this one behind them");
    Problem::new(StatusCode::TOO_MANY_REQUESTS, "too_many_imports", detail)
        .with_header(header::RETRY_AFTER, "30")
}

fn too_fast(wait: Duration) -> Problem {
    let wait_s = retry_after_s(wait);
    let detail = format!(
        "more was uploaded by you, or by suppliers like you, than is taken at the moment; wait {wait_s} s and send it again"
    );
    Problem::new(StatusCode::TOO_MANY_REQUESTS, "rate_limited", detail)
        .with_header(header::RETRY_AFTER, wait_s.to_string())
}

impl Imports {
    /// Waits until more of what a supplier uploads may be read. Nobody is refused for being fast: what is not read is not sent.
    async fn pace(&self, supplier: &SupplierId) -> Result<(), Problem> {
        let mut waited = Duration::ZERO;
        while let Some(wait) = self.app.wait_for_upload(supplier) {
            waited = waited.saturating_add(wait);
            if waited > PAUSE_MAX {
                return Err(too_fast(wait));
            }
            tokio::time::sleep(wait).await;
        }
        Ok(())
    }

    /// A place for an upload of a supplier, an import or a preview.
    pub(super) fn place(&self, supplier: &SupplierId) -> Result<Place, Problem> {
        let kind = self.app.trust_of(supplier);
        let mut share = self.disk.upload(supplier, kind).map_err(too_many)?;
        self.take_disk(&mut share, PLACE_BYTES).map_err(|full| full.problem())?;
        let spool = self.store.spool(&self.app.fresh_id()).map_err(|error| storage(&error))?;
        Ok(Place { spool, share })
    }

    /// Writes the next part of an upload, where there is room for it; durable when it returns, if it has to be.
    fn write(&self, place: &mut Place, file: &mut File, part: &[u8], durable: bool) -> Result<(), Problem> {
        let room = self.store.room_bytes(self.config.disk_reserve_bytes).map_err(|error| storage(&error))?;
        if room == 0 {
            return Err(Problem::disk_full(
                "the disk under the imports is full; try again when there is room",
            ));
        }
        self.take_disk(&mut place.share, part.len() as u64).map_err(|full| full.problem())?;
        let written = file.write_all(part).and_then(|()| if durable { file.sync_all() } else { Ok(()) });
        written.map_err(|error| match error.kind() {
            io::ErrorKind::StorageFull => Problem::disk_full("the disk under the imports is full"),
            _ => storage(&error),
        })
    }
}

/// Takes a body as it comes into a file. What is held of it in memory is one part; what does not end well leaves nothing on disk.
pub(super) async fn spool(
    imports: &Arc<Imports>,
    supplier: &SupplierId,
    mut place: Place,
    mut body: Upload,
    Coming { packed, durable }: Coming,
) -> Result<Spooled, Problem> {
    let most = imports.config.upload_bytes_max;
    let mut file = File::create(place.spool.upload()).map_err(|error| storage(&error))?;
    let (mut bytes, mut hash, mut gathered) = (0, sha2::Sha256::new(), Vec::with_capacity(GATHERED_BYTES));
    let mut paid = 0;
    let (mut ended, mut begins) = (false, Vec::<u8>::with_capacity(GZIP.len()));
    while !ended {
        let part = body.next().await?;
        ended = part.is_none();
        if let Some(part) = part {
            bytes += part.len() as u64;
            if bytes > most {
                return Err(too_large(most));
            }
            begins.extend(part.iter().take(GZIP.len() - begins.len()));
            // What is not what it says it is need not come whole.
            if packed && !GZIP.starts_with(&begins) {
                drop(place);
                body.let_by().await;
                return Err(bad_gzip());
            }
            let units = bytes.div_ceil(UNIT_BYTES);
            if units > paid {
                imports.pace(supplier).await?;
                imports.app.charge_upload(supplier, usize::try_from(units - paid).unwrap_or(usize::MAX));
                paid = units;
            }
            hash.update(&part);
            gathered.extend_from_slice(&part);
        }
        if ended && bytes == 0 {
            let detail =
                "the body is empty; send the file as the body, such as with curl --data-binary @stock.csv";
            return Err(Problem::new(StatusCode::BAD_REQUEST, "empty_body", detail));
        }
        if ended && packed && begins != GZIP {
            return Err(bad_gzip());
        }
        if ended || gathered.len() >= GATHERED_BYTES {
            let this = imports.clone();
            // The disk is waited for beside those who answer.
            let write = move || {
                this.write(&mut place, &mut file, &gathered, ended && durable)?;
                gathered.clear();
                Ok::<_, Problem>((place, file, gathered))
            };
            let lost = |_| storage(&io::Error::other("a write ended early"));
            (place, file, gathered) = tokio::task::spawn_blocking(write).await.map_err(lost)??;
        }
    }
    Ok(Spooled { place, bytes, sha256: hex(&hash.finalize()) })
}
