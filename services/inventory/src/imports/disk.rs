//! What imports have on this node's disk: counted by supplier and by how far suppliers are known, and bounded, so that whoever is
//! not known takes none of the room of those who are. An upload under way counts by what has come of it so far.

use std::{collections::HashMap, sync::Arc};

use axum::http::{StatusCode, header};
use parking_lot::Mutex;
use stockade_model::SupplierId;
use stockade_runtime::{Problem, Trust};

use super::{Import, Imports, ImportsConfig};

/// What an import is taken to have beside the bytes of its files: its notes, and its directory.
pub(super) const PLACE_BYTES: u64 = 16 << 10;
/// Of what all new suppliers may have, or all suspect ones, this part is for one of them.
const PART: u64 = 4;
/// How long who finds no room is told to wait, in seconds.
const RETRY_S: &str = "30";

/// Bytes that imports may have; `u64::MAX` where nothing bounds them.
#[derive(Clone, Copy, Debug)]
struct DiskBounds {
    altogether: u64,
    of_kind: [u64; Trust::COUNT],
    of_supplier: [u64; Trust::COUNT],
    uploads_at_once: usize,
}

impl DiskBounds {
    fn of(config: &ImportsConfig) -> Self {
        let altogether = if config.disk_bytes_max == 0 { u64::MAX } else { config.disk_bytes_max };
        let part = if config.disk_bytes_max == 0 { u64::MAX } else { config.disk_bytes_max / PART };
        let of_kind = Trust::ALL.map(|kind| match kind {
            Trust::Trusted => u64::MAX,
            Trust::New => config.new_disk_bytes_max.unwrap_or(part),
            Trust::Suspect => config.suspect_disk_bytes_max.unwrap_or(part),
        });
        let of_one = |of_all: u64| if of_all == u64::MAX { of_all } else { of_all / PART };
        let of_supplier = of_kind.map(|of_all| config.supplier_disk_bytes_max.min(of_one(of_all)));
        Self { altogether, of_kind, of_supplier, uploads_at_once: config.uploads_at_once }
    }
}

/// Why there is no room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Full {
    /// It is by itself more than its supplier may have: so many bytes.
    Alone(u64),
    /// With the supplier's other imports it is.
    Supplier(u64),
    /// With those of all suppliers who are known as little.
    Kind(Trust),
    /// With those of all.
    All,
}

impl Full {
    /// What is said of it in words.
    pub(super) fn detail(self) -> String {
        match self {
            Self::Alone(most) => {
                format!("one import of this supplier may take {most} bytes of disk while it is read; split the file")
            }
            Self::Supplier(most) => format!(
                "the imports of this supplier may take {most} bytes of disk together; wait for those under way, or cancel or confirm those that wait for you, and send the file again"
            ),
            Self::Kind(kind) => format!(
                "the imports of all {} suppliers together take as much of the disk as they may; send the file again when others are done, or send rows as batches",
                kind.as_str()
            ),
            Self::All => "all imports together take as much of the disk as they may; send the file again when others are done".to_owned(),
        }
    }

    /// The code under which a file that is being read fails.
    pub(super) fn code(self) -> &'static str {
        match self {
            Self::Alone(_) => "file_too_large",
            _ => "imports_full",
        }
    }

    /// What the sender of an upload is told.
    pub(super) fn problem(self) -> Problem {
        crate::metrics::imports_full(match self {
            Self::Alone(_) | Self::Supplier(_) => "supplier",
            Self::Kind(kind) => kind.as_str(),
            Self::All => "all",
        });
        if let Self::Alone(_) = self {
            return Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "upload_too_large", self.detail());
        }
        Problem::new(StatusCode::INSUFFICIENT_STORAGE, "imports_full", self.detail())
            .with_header(header::RETRY_AFTER, RETRY_S)
    }
}

#[derive(Default)]
struct OfSupplier {
    bytes: u64,
    uploads: usize,
}

#[derive(Default)]
struct Held {
    bytes: u64,
    of_kind: [u64; Trust::COUNT],
    suppliers: HashMap<SupplierId, OfSupplier>,
}

impl Held {
    fn add(&mut self, supplier: &SupplierId, kind: Trust, bytes: u64) {
        self.bytes += bytes;
        self.of_kind[kind as usize] += bytes;
        self.suppliers.entry(supplier.clone()).or_default().bytes += bytes;
    }

    fn give_back(&mut self, supplier: &SupplierId, kind: Trust, bytes: u64, uploads: usize) {
        self.bytes -= bytes;
        self.of_kind[kind as usize] -= bytes;
        if let Some(of) = self.suppliers.get_mut(supplier) {
            of.bytes -= bytes;
            of.uploads -= uploads;
            if of.bytes == 0 && of.uploads == 0 {
                self.suppliers.remove(supplier);
            }
        }
    }
}

/// Keeps count of what imports have on disk.
pub(super) struct Disk {
    bounds: DiskBounds,
    held: Mutex<Held>,
}

impl Disk {
    pub(super) fn new(config: &ImportsConfig) -> Arc<Self> {
        Arc::new(Self { bounds: DiskBounds::of(config), held: Mutex::default() })
    }

    /// Begins an upload of a supplier; where as many of it as may be are under way, says how many those are.
    pub(super) fn upload(self: &Arc<Self>, supplier: &SupplierId, kind: Trust) -> Result<Share, usize> {
        let mut held = self.held.lock();
        let of = held.suppliers.entry(supplier.clone()).or_default();
        // Whoever has nothing yet is below the bound, so nothing is left behind for it.
        if of.uploads >= self.bounds.uploads_at_once {
            return Err(of.uploads);
        }
        of.uploads += 1;
        Ok(Share { disk: self.clone(), supplier: supplier.clone(), kind, bytes: 0, uploading: true })
    }

    /// What an import has that lies there from before a start; it is never refused.
    pub(super) fn known(self: &Arc<Self>, supplier: &SupplierId, kind: Trust, bytes: u64) -> Share {
        self.held.lock().add(supplier, kind, bytes);
        Share { disk: self.clone(), supplier: supplier.clone(), kind, bytes, uploading: false }
    }

    /// Bytes of all.
    #[cfg(test)]
    pub(super) fn bytes(&self) -> u64 {
        self.held.lock().bytes
    }
}

/// What one import or upload has; given back when this is dropped.
pub(super) struct Share {
    disk: Arc<Disk>,
    supplier: SupplierId,
    /// How far its supplier was known when it began: it counts there to its end.
    pub(super) kind: Trust,
    bytes: u64,
    uploading: bool,
}

impl Share {
    /// Takes so many bytes more, where there is room for them.
    fn grow(&mut self, more: u64) -> Result<(), Full> {
        let (bounds, kind) = (self.disk.bounds, self.kind as usize);
        let mut held = self.disk.held.lock();
        let of_supplier = held.suppliers.get(&self.supplier).map_or(0, |of| of.bytes);
        let beyond = |bytes: u64, most: u64| bytes.saturating_add(more) > most;
        if beyond(self.bytes, bounds.of_supplier[kind]) {
            return Err(Full::Alone(bounds.of_supplier[kind]));
        }
        if beyond(of_supplier, bounds.of_supplier[kind]) {
            return Err(Full::Supplier(bounds.of_supplier[kind]));
        }
        if beyond(held.of_kind[kind], bounds.of_kind[kind]) {
            return Err(Full::Kind(self.kind));
        }
        if beyond(held.bytes, bounds.altogether) {
            return Err(Full::All);
        }
        held.add(&self.supplier, self.kind, more);
        self.bytes += more;
        Ok(())
    }

    /// Says what lies there, which is counted whatever the bounds.
    pub(super) fn set(&mut self, bytes: u64) {
        let mut held = self.disk.held.lock();
        held.add(&self.supplier, self.kind, bytes);
        held.give_back(&self.supplier, self.kind, self.bytes, 0);
        self.bytes = bytes;
    }

    /// The upload is complete, and is an import from here on.
    pub(super) fn taken_on(&mut self) {
        if std::mem::take(&mut self.uploading) {
            self.disk.held.lock().give_back(&self.supplier, self.kind, 0, 1);
        }
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let uploads = usize::from(self.uploading);
        self.disk.held.lock().give_back(&self.supplier, self.kind, self.bytes, uploads);
    }
}

impl Imports {
    /// Takes bytes of the disk; where there are none left, old reports make room.
    pub(super) fn take_disk(&self, share: &mut Share, bytes: u64) -> Result<(), Full> {
        loop {
            let Err(full) = share.grow(bytes) else { return Ok(()) };
            if !self.let_go_of_reports(full, share) {
                return Err(full);
            }
        }
    }

    /// Forgets the older half of the finished imports of whoever has most on disk in them, among those that leave no room; false
    /// where there are none. Nothing of a supplier who is known better goes for it.
    fn let_go_of_reports(&self, full: Full, asks: &Share) -> bool {
        let mut known = self.known.lock();
        let goes = |supplier: &SupplierId, import: &Import| {
            let meta = import.meta.lock();
            let concerns = match full {
                Full::Alone(_) => false,
                Full::Supplier(_) => *supplier == asks.supplier,
                Full::Kind(kind) => meta.kind == kind,
                Full::All => meta.kind >= asks.kind,
            };
            concerns && meta.state.is_finished() && meta.told
        };
        let bytes_of = |(supplier, of): (&SupplierId, &std::collections::BTreeMap<u64, Import>)| {
            let bytes =
                of.values().filter(|import| goes(supplier, import)).map(|import| import.share.lock().bytes);
            (bytes.sum::<u64>(), supplier.clone())
        };
        let most = known.iter().map(bytes_of).max_by_key(|(bytes, _)| *bytes);
        let Some((1.., supplier)) = most else { return false };
        let Some(of) = known.get_mut(&supplier) else { return false };
        let mut numbers: Vec<u64> =
            of.iter().filter(|(_, import)| goes(&supplier, import)).map(|(number, _)| *number).collect();
        numbers.truncate(numbers.len().div_ceil(2));
        for number in numbers {
            if let Some(import) = of.remove(&number) {
                self.store.remove(&import.meta.lock());
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(name: &str) -> SupplierId {
        SupplierId::new(name).unwrap()
    }

    fn disk() -> Arc<Disk> {
        Disk::new(&ImportsConfig {
            disk_bytes_max: 1_600,
            supplier_disk_bytes_max: 1_000,
            ..ImportsConfig::default()
        })
    }

    #[test]
    fn new_and_suspect_suppliers_leave_half_of_the_disk_to_those_who_are_known() {
        let disk = disk();
        let begin = |name: &str, kind| disk.upload(&id(name), kind).unwrap();
        let mut fakes = Vec::new();
        for kind in [Trust::New, Trust::Suspect] {
            for number in 0..4 {
                let mut share = begin(&format!("{}-{number}", kind.as_str()), kind);
                assert_eq!(share.grow(101), Err(Full::Alone(100)), "a quarter of what all of them may");
                share.grow(100).unwrap();
                assert_eq!(share.grow(1), Err(Full::Alone(100)));
                fakes.push(share);
            }
            let mut one_more = begin("more", kind);
            assert_eq!(one_more.grow(1), Err(Full::Kind(kind)));
        }
        let mut honest = begin("honest", Trust::Trusted);
        honest.grow(800).unwrap();
        assert_eq!(honest.grow(1), Err(Full::All));
        assert_eq!(honest.grow(201), Err(Full::Alone(1_000)));
        drop(fakes.pop());
        let mut second = begin("honest", Trust::Trusted);
        second.grow(100).unwrap();
        assert_eq!(second.grow(101), Err(Full::Supplier(1_000)));
        drop((fakes, honest, second));
        let held = disk.held.lock();
        assert_eq!((held.bytes, held.of_kind, held.suppliers.len()), (0, [0; 3], 0), "all is given back");
    }

    #[test]
    fn so_many_uploads_of_a_supplier_are_under_way_and_no_more() {
        let disk = disk();
        let first = disk.upload(&id("a"), Trust::New).unwrap();
        let mut second = disk.upload(&id("a"), Trust::New).unwrap();
        assert_eq!(disk.upload(&id("a"), Trust::New).err(), Some(2));
        assert!(disk.upload(&id("b"), Trust::New).is_ok());
        second.grow(10).unwrap();
        second.taken_on();
        let third = disk.upload(&id("a"), Trust::New).unwrap();
        assert_eq!(disk.upload(&id("a"), Trust::New).err(), Some(2));
        drop((first, third));
        assert_eq!(disk.bytes(), 10, "what was taken on stays");
        second.set(3);
        assert_eq!(disk.bytes(), 3);
        drop(second);
        assert!(disk.held.lock().suppliers.is_empty());
    }

    #[test]
    fn without_a_bound_only_what_one_may_have_counts() {
        let config = ImportsConfig { disk_bytes_max: 0, supplier_disk_bytes_max: 10, ..Default::default() };
        let disk = Disk::new(&config);
        let mut share = disk.upload(&id("a"), Trust::Suspect).unwrap();
        share.grow(10).unwrap();
        assert_eq!(share.grow(1), Err(Full::Alone(10)));
    }
}
