//! The last picture: what was offered and what was withheld, on the disk of a process that serves buyers, for when it starts while
//! the log cannot be reached.
//!
//! Two files, each in pieces with checksums and moved into place whole. `offers` is what buyers might be shown and is written
//! now and then, for it is large. `withheld` is what restrictions say and is written as soon as they change, for a supplier that was
//! locked out a moment before the end has to stay so. What is offered is shown only together with what is withheld, and only
//! if the latter is not older than the former knew it: a withheld offer is never shown for want of a file.
//!
//! * [`frames`] is the form of the files, [`Pictures`] the place where they lie.
//! * [`keeper`] writes them, on a thread of its own that stands back for everything else.
//! * [`shown`] answers buyers from one.

use std::{
    fs::{self, File},
    io::{self, BufReader, BufWriter, Write as _},
    path::{Path, PathBuf},
    time::Duration,
};

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use stockade_model::{Currency, Gtin, ListingId, LocationId, Money, Region, Sku, SupplierId, Timestamp};
use stockade_quarantine::{Kept, Overlay};

use crate::domain::{Index, Offer};

mod frames;
pub mod keeper;
pub mod shown;
#[cfg(test)]
mod tests;

use frames::{Reader, Unread, VERSION, Writer};

const OFFERS: &str = "offers";
const WITHHELD: &str = "withheld";
/// Offers, or suppliers, in one piece.
const PIECE_ROWS: usize = 512;

/// Which log a picture was made of. A picture of another one says nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// What the names of its topics begin with.
    pub prefix: String,
    /// How often its topics were made anew.
    pub generation: u32,
    /// Partitions of supplier-keyed topics.
    pub partitions: u32,
}

/// How pictures are kept and for how long they are shown.
#[derive(Clone, Debug)]
pub struct PictureBounds {
    /// Pause between two pictures of what is offered; longer where writing one takes long.
    pub every: Duration,
    /// How old what is offered may be when it is shown, in milliseconds.
    pub age_max_ms: i64,
    /// How large the file of what is offered may get, in bytes.
    pub bytes_max: u64,
}

/// What a file begins with.
#[derive(Serialize, Deserialize)]
struct Head {
    origin: Origin,
    /// Up to when everything is in it, in milliseconds since the epoch.
    as_of_ms: i64,
    /// When what is withheld was written; in the file of offers, that of what was there before them.
    withheld_ms: i64,
}

/// An offer as it is kept, by position.
#[derive(Serialize, Deserialize)]
struct Row {
    supplier: SupplierId,
    listing: ListingId,
    sku: Sku,
    /// Digits plus one, 0 for none.
    gtin: u64,
    minor: i64,
    currency: Currency,
    available: i64,
    on_hand: i64,
    own_regions: bool,
    regions: Vec<Region>,
    location: LocationId,
    lead_days: u16,
    latitude: f64,
    longitude: f64,
    version: u64,
    updated_ms: i64,
}

impl From<Offer> for Row {
    fn from(offer: Offer) -> Self {
        Self {
            supplier: offer.supplier,
            listing: offer.listing,
            sku: offer.sku,
            gtin: offer.gtin.map_or(0, |gtin| gtin.digits() + 1),
            minor: offer.price.minor,
            currency: offer.price.currency,
            available: offer.available,
            on_hand: offer.on_hand,
            own_regions: offer.own_regions,
            regions: offer.regions.into(),
            location: offer.location,
            lead_days: offer.lead_days,
            latitude: offer.latitude,
            longitude: offer.longitude,
            version: offer.version,
            updated_ms: offer.updated.ms(),
        }
    }
}

impl From<Row> for Offer {
    fn from(row: Row) -> Self {
        Self {
            supplier: row.supplier,
            listing: row.listing,
            sku: row.sku,
            gtin: row.gtin.checked_sub(1).map(Gtin::of_digits),
            price: Money { minor: row.minor, currency: row.currency },
            available: row.available,
            on_hand: row.on_hand,
            withdrawn: false,
            regions: row.regions.into(),
            own_regions: row.own_regions,
            location: row.location,
            lead_days: row.lead_days,
            latitude: row.latitude,
            longitude: row.longitude,
            version: row.version,
            updated: Timestamp::from_ms(row.updated_ms),
            number: 0,
        }
    }
}

/// A piece of the file of offers.
#[derive(Serialize, Deserialize)]
enum Piece {
    Offers(Vec<Row>),
    /// Units that can be had of capped suppliers.
    Allowances(Vec<(SupplierId, i64)>),
}

/// Why there is no picture to be shown. Each says what to do.
#[derive(Debug, thiserror::Error)]
pub enum Unusable {
    /// None was made.
    #[error("there is no picture in {0} yet; one is kept as soon as this process has been ready once")]
    Missing(String),
    /// It is not what was written.
    #[error(
        "{file} is damaged ({what}) and was thrown away with what belongs to it; the next good run makes another picture"
    )]
    Damaged {
        /// The file.
        file: String,
        /// What is wrong with it.
        what: String,
    },
    /// Another build wrote it.
    #[error(
        "{file} is of version {found} and this build reads version {VERSION}; the picture was thrown away, and the next good run of this build makes another"
    )]
    Version {
        /// The file.
        file: String,
        /// Its version.
        found: u32,
    },
    /// It is of another log.
    #[error(
        "the picture is of the log with prefix {:?}, generation {} and {} partitions; set kafka.prefix, kafka.generation and log.partitions so, or let the next good run make another",
        .0.prefix, .0.generation, .0.partitions
    )]
    OtherLog(Origin),
    /// It is too old to be shown.
    #[error(
        "the picture is {age_s} s old and none older than {age_max_s} s is shown; picture.age_max_s says how old it may be"
    )]
    TooOld {
        /// Its age in seconds.
        age_s: i64,
        /// How old it may be.
        age_max_s: i64,
    },
    /// What is withheld is older than what is offered.
    #[error(
        "what is withheld, in {0}, is older than what is offered, so that a withheld offer might be shown; the picture was thrown away, and the next good run makes another"
    )]
    WithheldOlder(String),
    /// The disk failed.
    #[error("{file} cannot be read: {error}; check the disk and who may read it")]
    Disk {
        /// The file.
        file: String,
        /// What the disk said.
        error: io::Error,
    },
}

impl Unusable {
    /// Whether it is of no use to anybody any more.
    fn is_waste(&self) -> bool {
        matches!(self, Self::Damaged { .. } | Self::Version { .. } | Self::WithheldOlder(_))
    }
}

/// A picture that was read.
pub struct Picture {
    /// What was offered.
    pub index: Index,
    /// What was withheld.
    pub overlay: Overlay,
    /// Up to when all that was offered is in it, in milliseconds since the epoch.
    pub as_of_ms: i64,
}

/// Where the last picture lies.
#[derive(Clone, Debug)]
pub struct Pictures {
    directory: PathBuf,
    origin: Origin,
    bounds: PictureBounds,
}

/// Written as field names, for what has variants inside.
fn named<T: Serialize>(value: &T) -> io::Result<Vec<u8>> {
    rmp_serde::to_vec_named(value).map_err(io::Error::other)
}

/// A piece as it was meant. What has the right checksum and cannot be read was written by another build of this version.
fn said<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Unread> {
    rmp_serde::from_slice(bytes).map_err(|_| Unread::Damaged("a piece of it says something else".to_owned()))
}

impl Pictures {
    /// Pictures in `directory` of the log `origin`.
    pub fn new(directory: PathBuf, origin: Origin, bounds: PictureBounds) -> Self {
        Self { directory, origin, bounds }
    }

    /// What holds for them.
    pub fn bounds(&self) -> &PictureBounds {
        &self.bounds
    }

    fn file(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// Reads the last picture, `now_ms` being the time. One that is damaged or of another build is removed.
    pub fn load(&self, now_ms: i64) -> Result<Picture, Unusable> {
        let read = self.read(now_ms);
        if read.as_ref().is_err_and(Unusable::is_waste) {
            // Both, for neither is of use without the other; what cannot be removed is refused again.
            for name in [OFFERS, WITHHELD] {
                let _ = fs::remove_file(self.file(name));
            }
        }
        read
    }

    /// Up to when all that was offered is in the last picture, which is read through, kept nowhere, and not removed whatever is wrong.
    pub fn look(&self, now_ms: i64) -> Result<i64, Unusable> {
        self.go_through(now_ms, |_| (), |_| ())
    }

    fn read(&self, now_ms: i64) -> Result<Picture, Unusable> {
        let (index, overlay) = (Index::default(), Overlay::default());
        let offered = |piece| match piece {
            Piece::Offers(rows) => rows.into_iter().for_each(|row: Row| index.put(&row.into(), &overlay)),
            Piece::Allowances(of) => {
                of.iter().for_each(|(supplier, units)| index.allow(overlay.number(supplier), Some(*units)));
            }
        };
        let as_of_ms = self.go_through(now_ms, |kept| overlay.bring_back(kept), offered)?;
        Ok(Picture { index, overlay, as_of_ms })
    }

    /// Reads what is withheld, then what is offered; up to when that is in the picture.
    fn go_through(
        &self,
        now_ms: i64,
        withheld_is: impl Fn(&Kept),
        offered: impl Fn(Piece),
    ) -> Result<i64, Unusable> {
        let mut withheld = self.open(WITHHELD)?;
        let known: Head = withheld.head(&self.origin)?;
        while let Some(piece) = withheld.piece::<Vec<Kept>>()? {
            piece.iter().for_each(&withheld_is);
        }
        let mut offers = self.open(OFFERS)?;
        let head = offers.head(&self.origin)?;
        if known.withheld_ms < head.withheld_ms {
            return Err(Unusable::WithheldOlder(withheld.file));
        }
        self.is_recent(head.as_of_ms, now_ms)?;
        while let Some(piece) = offers.piece::<Piece>()? {
            offered(piece);
        }
        Ok(head.as_of_ms)
    }

    /// Whether what was so at `as_of_ms` may still be shown at `now_ms`.
    fn is_recent(&self, as_of_ms: i64, now_ms: i64) -> Result<(), Unusable> {
        let age_ms = now_ms.saturating_sub(as_of_ms);
        if age_ms <= self.bounds.age_max_ms {
            return Ok(());
        }
        Err(Unusable::TooOld { age_s: age_ms / 1_000, age_max_s: self.bounds.age_max_ms / 1_000 })
    }

    fn open(&self, name: &'static str) -> Result<Opened, Unusable> {
        let path = self.file(name);
        let file = path.display().to_string();
        match File::open(&path) {
            Ok(opened) => match Reader::begin(BufReader::new(opened), name) {
                Ok(reader) => Ok(Opened { reader, file }),
                Err(unread) => Err(unusable(unread, &file)),
            },
            // One without the other is none.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Err(Unusable::Missing(self.directory.display().to_string()))
            }
            Err(error) => Err(Unusable::Disk { file, error }),
        }
    }

    /// Keeps what is withheld; durable when it returns. Up to `as_of_ms` every decision is in `overlay`.
    fn keep_withheld(&self, overlay: &Overlay, as_of_ms: i64, now_ms: i64) -> io::Result<()> {
        let head = Head { origin: self.origin.clone(), as_of_ms, withheld_ms: now_ms };
        self.keep(WITHHELD, &head, |writer| {
            overlay.kept().chunks(PIECE_ROWS).try_for_each(|part| writer.piece(&named(&part)?))
        })
    }

    /// Keeps what is offered; durable when it returns. `pause` is asked after each piece of offers, the last included, and may take its time; an error of it ends
    /// the attempt. The picture before stays until this one is whole.
    fn keep_offers(
        &self,
        index: &Index,
        (as_of_ms, withheld_ms): (i64, i64),
        mut pause: impl FnMut() -> io::Result<()>,
    ) -> io::Result<()> {
        let head = Head { origin: self.origin.clone(), as_of_ms, withheld_ms };
        let bytes_max = self.bounds.bytes_max;
        self.keep(OFFERS, &head, |writer| {
            let mut write = |rows: Vec<Row>| {
                writer.piece(&rmp_serde::to_vec(&Piece::Offers(rows)).map_err(io::Error::other)?)?;
                if writer.bytes() > bytes_max {
                    let detail = format!("it would be larger than picture.bytes_max ({bytes_max})");
                    return Err(io::Error::other(detail));
                }
                pause()
            };
            let mut rows = Vec::new();
            // What nobody can have is not kept.
            for offer in index.all().filter(|offer| !offer.withdrawn && offer.available > 0) {
                rows.push(offer.into());
                if rows.len() >= PIECE_ROWS {
                    write(std::mem::take(&mut rows))?;
                }
            }
            write(rows)?;
            for part in index.allowances().chunks(PIECE_ROWS) {
                let piece = Piece::Allowances(part.to_vec());
                writer.piece(&rmp_serde::to_vec(&piece).map_err(io::Error::other)?)?;
            }
            Ok(())
        })
    }

    /// Writes beside and moves into place, so that a reader finds the old or the new.
    fn keep(
        &self,
        name: &str,
        head: &Head,
        body: impl FnOnce(&mut Writer<BufWriter<File>>) -> io::Result<()>,
    ) -> io::Result<()> {
        fs::create_dir_all(&self.directory)?;
        let beside = self.file(&format!("{name}.new"));
        let written = write(&beside, name, head, body);
        if written.is_err() {
            // What is half is of no use, and takes room.
            let _ = fs::remove_file(&beside);
            return written;
        }
        fs::rename(&beside, self.file(name))?;
        File::open(&self.directory)?.sync_all()
    }
}

fn write(
    place: &Path,
    name: &str,
    head: &Head,
    body: impl FnOnce(&mut Writer<BufWriter<File>>) -> io::Result<()>,
) -> io::Result<()> {
    let mut writer = Writer::begin(BufWriter::new(File::create(place)?), name)?;
    writer.piece(&named(head)?)?;
    body(&mut writer)?;
    let mut file = writer.end()?;
    file.flush()?;
    file.get_ref().sync_all()
}

/// A file that is being read.
struct Opened {
    reader: Reader<BufReader<File>>,
    file: String,
}

fn unusable(unread: Unread, file: &str) -> Unusable {
    let file = file.to_owned();
    match unread {
        Unread::Damaged(what) => Unusable::Damaged { file, what },
        Unread::Version(found) => Unusable::Version { file, found },
        Unread::Disk(error) => Unusable::Disk { file, error },
    }
}

impl Opened {
    fn head(&mut self, origin: &Origin) -> Result<Head, Unusable> {
        let missing = || Unusable::Damaged { file: self.file.clone(), what: "it has no head".to_owned() };
        let bytes = self.reader.next().map_err(|unread| unusable(unread, &self.file))?.ok_or_else(missing)?;
        let head: Head = said(&bytes).map_err(|unread| unusable(unread, &self.file))?;
        if head.origin == *origin { Ok(head) } else { Err(Unusable::OtherLog(head.origin)) }
    }

    fn piece<T: DeserializeOwned>(&mut self) -> Result<Option<T>, Unusable> {
        let bytes = self.reader.next().map_err(|unread| unusable(unread, &self.file))?;
        bytes.map(|bytes| said(&bytes)).transpose().map_err(|unread| unusable(unread, &self.file))
    }
}
