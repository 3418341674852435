//! Goods by SKU, and the offers of each. What a reader holds of a good never changes; a writer puts another in its place.

use std::{
    cmp::Ordering as Order,
    hash::{BuildHasher as _, RandomState},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use hashbrown::HashTable;
use parking_lot::{Mutex, RwLock};
use stockade_model::Region;
use stockade_quarantine::Overlay;

use super::{
    block::{Row, View, encode},
    owners::Owners,
};

/// Goods are spread over so many parts, each with its own locks.
pub(super) const SHARD_BITS: u32 = 8;
/// Offers in one block: enough that skipping pays, few enough that writing one anew is cheap.
pub(super) const BLOCK_MAX: usize = 128;
/// A block with fewer offers is put together with its neighbour.
const BLOCK_MIN: usize = 32;

/// The bit of a region's country in a mask: who serves somebody in a country has its bit. Countries may share one.
pub(super) fn country_bit(region: Region) -> u64 {
    let country =
        region.as_str().bytes().take(2).fold(0_u64, |sum, letter| sum * 26 + u64::from(letter - b'A'));
    1 << (country % 64)
}

/// Suppliers of a block by hash: says for sure that one is not there.
#[derive(Default)]
pub(super) struct Suppliers([u64; 16]);

impl Suppliers {
    fn place(supplier: u32) -> (usize, u64) {
        let hash = supplier.wrapping_mul(0x9e37_79b1) >> 22;
        ((hash / 64) as usize, 1 << (hash % 64))
    }
    fn insert(&mut self, supplier: u32) {
        let (word, bit) = Self::place(supplier);
        self.0[word] |= bit;
    }
    pub(super) fn may_hold(&self, supplier: u32) -> bool {
        let (word, bit) = Self::place(supplier);
        self.0[word] & bit != 0
    }
}

/// What restrictions leave of a block, whoever asks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Shown {
    /// Nobody has looked, or too much has happened since.
    Unknown,
    /// Some of it may be neither dimmed nor withheld.
    Some,
    /// All of it is dimmed or withheld.
    Dimmed,
    /// All of it is withheld.
    Nothing,
}

/// One block of many, and what lets readers pass it by.
pub(super) struct Piece {
    block: Arc<[u8]>,
    /// Currency and price of the first offer and of the last.
    pub(super) first: (u16, i64),
    pub(super) last: (u16, i64),
    pub(super) lead_min: u16,
    /// Most units of an offer that is not withdrawn.
    pub(super) available_max: i64,
    /// Countries served.
    pub(super) countries: u64,
    suppliers: Suppliers,
    /// What somebody found restrictions to leave of it, and how many easings (or, for [`Shown::Some`], changes) there had been
    /// before they looked. Only ever a reason to pass the block by: see [`Piece::shown`].
    found: AtomicU64,
}

impl Piece {
    fn new(sku: &str, rows: &[Row<'_>], countries: &impl Fn(u32) -> u64) -> Arc<Self> {
        let mut suppliers = Suppliers::default();
        rows.iter().for_each(|row| suppliers.insert(row.supplier));
        let ends = |row: Option<&Row<'_>>| row.map_or((0, 0), |row| (row.currency, row.minor));
        let on_sale = rows.iter().filter(|row| !row.withdrawn);
        Arc::new(Self {
            block: encode(sku, rows),
            first: ends(rows.first()),
            last: ends(rows.last()),
            lead_min: rows.iter().map(|row| row.lead_days).min().unwrap_or(0),
            available_max: on_sale.map(|row| row.available).max().unwrap_or(0),
            countries: rows.iter().fold(0, |mask, row| mask | countries(row.regions)),
            suppliers,
            found: AtomicU64::new(0),
        })
    }

    pub(super) fn view(&self) -> View<'_> {
        View::open(&self.block)
    }

    /// What is known of how much restrictions leave of it. Sure at the moment of the call: whatever was found holds until a
    /// restriction on somebody in this block is eased, and easings are counted after they are in force.
    pub(super) fn shown(&self, overlay: &Overlay) -> Shown {
        let found = self.found.load(Ordering::Relaxed);
        let (seen, shown) = (found >> 2, found & 3);
        let shown = match shown {
            0 => return Shown::Unknown,
            // Says only that there is no use in looking again.
            1 => return if overlay.changes() == seen { Shown::Some } else { Shown::Unknown },
            2 => Shown::Dimmed,
            _ => Shown::Nothing,
        };
        let now = overlay.easings();
        if now != seen {
            if overlay.eased_since(seen, |supplier| self.suppliers.may_hold(supplier)) {
                return Shown::Unknown;
            }
            self.note(shown, now);
        }
        shown
    }

    /// Notes what was found after so many easings, or changes, were seen.
    pub(super) fn note(&self, shown: Shown, seen: u64) {
        self.found.store(seen << 2 | shown as u64, Ordering::Relaxed);
    }
}

/// Offers of a good with more than one block.
pub(super) struct Many {
    sku: Box<str>,
    pub(super) pieces: Vec<Arc<Piece>>,
}

/// Offers of a good. Cheap to clone; never changes.
#[derive(Clone)]
pub(super) enum Offers {
    Few(Arc<[u8]>),
    Many(Arc<Many>),
}

/// What became of an offer that was put.
enum Put {
    /// A later version is there.
    Older,
    /// It is new; the good is this now.
    New(Offers),
    /// It took the place of another.
    Changed(Offers, Former),
}

/// What an offer had whose place was taken.
#[derive(Clone, Copy)]
pub(super) struct Former {
    /// Units available.
    pub(super) units: i64,
    pub(super) withdrawn: bool,
}

impl Offers {
    pub(super) fn sku(&self) -> &str {
        match self {
            Offers::Few(block) => View::open(block).sku(),
            Offers::Many(many) => &many.sku,
        }
    }

    /// Its blocks.
    pub(super) fn blocks(&self) -> usize {
        match self {
            Offers::Few(_) => 1,
            Offers::Many(many) => many.pieces.len(),
        }
    }

    /// One of its blocks.
    pub(super) fn view(&self, block: usize) -> Option<View<'_>> {
        match self {
            Offers::Few(only) => (block == 0).then(|| View::open(only)),
            Offers::Many(many) => many.pieces.get(block).map(|piece| piece.view()),
        }
    }

    pub(super) fn views(&self) -> impl Iterator<Item = View<'_>> {
        (0..self.blocks()).filter_map(|block| self.view(block))
    }

    /// Visits the offers of a supplier: block and row.
    pub(super) fn each_of(&self, supplier: u32, mut visit: impl FnMut(&View<'_>, usize)) {
        let may_hold = |block: usize| match self {
            Offers::Few(_) => true,
            Offers::Many(many) => many.pieces[block].suppliers.may_hold(supplier),
        };
        for view in (0..self.blocks()).filter(|block| may_hold(*block)).filter_map(|block| self.view(block)) {
            let rows = (0..view.len()).filter(|row| view.supplier(*row) == supplier);
            rows.for_each(|row| visit(&view, row));
        }
    }

    /// The good with one offer more, or another in place of its former version.
    fn put(
        this: Option<&Self>,
        sku: &str,
        row: Row<'_>,
        owners: &Owners,
        countries: &impl Fn(u32) -> u64,
    ) -> Put {
        match this {
            None => Put::New(Offers::Few(encode(sku, &[row]))),
            Some(Offers::Few(block)) => {
                let mut rows: Vec<Row<'_>> = View::open(block).rows().collect();
                let replaced = match take_out(&mut rows, &row) {
                    Err(Later) => return Put::Older,
                    Ok(replaced) => replaced,
                };
                insert(&mut rows, row, owners);
                let offers = if rows.len() <= BLOCK_MAX {
                    Offers::Few(encode(sku, &rows))
                } else {
                    let pieces = cut(sku, &rows, countries).collect();
                    Offers::Many(Arc::new(Many { sku: sku.into(), pieces }))
                };
                match replaced {
                    Some(former) => Put::Changed(offers, former),
                    None => Put::New(offers),
                }
            }
            Some(Offers::Many(many)) => many.put(row, owners, countries),
        }
    }
}

/// A later version of an offer is there.
struct Later;

/// Takes the former version of an offer out.
fn take_out(rows: &mut Vec<Row<'_>>, new: &Row<'_>) -> Result<Option<Former>, Later> {
    let held = rows.iter().position(|row| row.supplier == new.supplier && row.listing == new.listing);
    let Some(at) = held else { return Ok(None) };
    if rows[at].version > new.version {
        return Err(Later);
    }
    let former = rows.remove(at);
    Ok(Some(Former { units: former.available, withdrawn: former.withdrawn }))
}

fn insert<'r>(rows: &mut Vec<Row<'r>>, row: Row<'r>, owners: &Owners) {
    let at = rows.partition_point(|held| by_price(held, &row, owners) == Order::Less);
    rows.insert(at, row);
}

/// The order of offers in an answer sorted by price.
fn by_price(a: &Row<'_>, b: &Row<'_>, owners: &Owners) -> Order {
    let numbers = |row: &Row<'_>| (row.currency, row.minor, row.lead_days);
    let names = || (owners.name(a.supplier), a.listing).cmp(&(owners.name(b.supplier), b.listing));
    numbers(a).cmp(&numbers(b)).then_with(names)
}

/// Blocks of about equal size, none too large.
fn cut<'a>(
    sku: &'a str,
    rows: &'a [Row<'_>],
    countries: &'a impl Fn(u32) -> u64,
) -> impl Iterator<Item = Arc<Piece>> + 'a {
    let blocks = rows.len().div_ceil(BLOCK_MAX).max(1);
    let size = rows.len().div_ceil(blocks).max(1);
    rows.chunks(size).map(move |rows| Piece::new(sku, rows, countries))
}

impl Many {
    fn put(&self, row: Row<'_>, owners: &Owners, countries: &impl Fn(u32) -> u64) -> Put {
        let held = self.pieces.iter().enumerate().find_map(|(at, piece)| {
            let may = piece.suppliers.may_hold(row.supplier);
            may.then(|| piece.view().find(row.supplier, row.listing)).flatten().map(|found| (at, found))
        });
        let held = held.map(|(at, found)| {
            let view = self.pieces[at].view();
            let (units, withdrawn) = (view.available(found), view.is_withdrawn(found));
            (at, view.version(found), Former { units, withdrawn })
        });
        if held.is_some_and(|(_, version, _)| version > row.version) {
            return Put::Older;
        }
        let after = |piece: &Arc<Piece>| {
            let view = piece.view();
            by_price(&view.row(0), &row, owners) != Order::Greater
        };
        let target = self.pieces.partition_point(after).saturating_sub(1);
        let mut pieces = self.pieces.clone();
        // From the back, so that places before stay what they are.
        let mut touched: Vec<usize> = held.iter().map(|(at, ..)| *at).chain([target]).collect();
        touched.sort_unstable();
        touched.dedup();
        for at in touched.into_iter().rev() {
            let piece = self.pieces[at].clone();
            let mut rows: Vec<Row<'_>> = piece.view().rows().collect();
            if held.is_some_and(|(of, ..)| of == at) {
                rows.retain(|held| held.supplier != row.supplier || held.listing != row.listing);
            }
            if at == target {
                insert(&mut rows, row, owners);
            }
            self.replace(&mut pieces, at, &rows, countries);
        }
        let offers = Offers::Many(Arc::new(Many { sku: self.sku.clone(), pieces }));
        match held {
            Some((.., former)) => Put::Changed(offers, former),
            None => Put::New(offers),
        }
    }

    /// Puts blocks of `rows` in the place of one; a small one is put together with the one behind it.
    fn replace(
        &self,
        pieces: &mut Vec<Arc<Piece>>,
        at: usize,
        rows: &[Row<'_>],
        countries: &impl Fn(u32) -> u64,
    ) {
        let next = pieces.get(at + 1).filter(|_| rows.len() < BLOCK_MIN).cloned();
        let Some(next) = next else {
            pieces.splice(at..=at, cut(&self.sku, rows, countries).filter(|_| !rows.is_empty()));
            return;
        };
        let view = next.view();
        let both: Vec<Row<'_>> = rows.iter().copied().chain(view.rows()).collect();
        pieces.splice(at..at + 2, cut(&self.sku, &both, countries));
    }
}

/// Goods by SKU and by number.
pub(super) struct Goods {
    shards: Box<[Shard]>,
    hasher: RandomState,
}

#[derive(Default)]
struct Shard {
    /// Held by whoever changes a good of this part, for as long as that takes. Readers never ask for it.
    writing: Mutex<()>,
    /// Locked to look up, or to put one pointer in.
    held: RwLock<Held>,
}

#[derive(Default)]
struct Held {
    numbers: HashTable<u32>,
    goods: Vec<Offers>,
}

impl Default for Goods {
    fn default() -> Self {
        Self { shards: (0..1 << SHARD_BITS).map(|_| Shard::default()).collect(), hasher: RandomState::new() }
    }
}

impl Held {
    fn find(&self, hash: u64, sku: &str) -> Option<u32> {
        self.numbers.find(hash, |at| self.goods[*at as usize].sku() == sku).copied()
    }
}

impl Goods {
    fn shard(&self, hash: u64) -> (u32, &Shard) {
        // Other bits than the table looks at.
        let shard = (hash >> 40) as u32 & ((1 << SHARD_BITS) - 1);
        (shard, &self.shards[shard as usize])
    }

    /// Offers of a good, as they are now.
    pub(super) fn find(&self, sku: &str) -> Option<Offers> {
        let hash = self.hasher.hash_one(sku);
        let held = self.shard(hash).1.held.read();
        held.find(hash, sku).map(|at| held.goods[at as usize].clone())
    }

    /// Number of a good that is or was offered.
    pub(super) fn number(&self, sku: &str) -> Option<u32> {
        let hash = self.hasher.hash_one(sku);
        let (number, shard) = self.shard(hash);
        shard.held.read().find(hash, sku).map(|at| at << SHARD_BITS | number)
    }

    /// Offers of the good with a number, as they are now.
    pub(super) fn get(&self, number: u32) -> Option<Offers> {
        let shard = &self.shards[(number & ((1 << SHARD_BITS) - 1)) as usize];
        shard.held.read().goods.get((number >> SHARD_BITS) as usize).cloned()
    }

    /// Every good, as it is when it is come to; one that comes meanwhile is among them or not. Nobody is kept waiting for longer
    /// than one good takes to look up.
    pub(super) fn all(&self) -> impl Iterator<Item = Offers> + '_ {
        let of = |shard: &'_ Shard, at: usize| shard.held.read().goods.get(at).cloned();
        self.shards.iter().flat_map(move |shard| (0..).map_while(move |at| of(shard, at)))
    }

    /// Puts one offer. Once it is there, `then` is told the good's number and, if the offer took the place of its former version,
    /// what that one had; before anybody else may change that good. An older version does nothing.
    pub(super) fn put(
        &self,
        sku: &str,
        row: Row<'_>,
        owners: &Owners,
        countries: &impl Fn(u32) -> u64,
        then: impl FnOnce(u32, Option<Former>),
    ) {
        let hash = self.hasher.hash_one(sku);
        let (number, shard) = self.shard(hash);
        let _writing = shard.writing.lock();
        let (at, former) = {
            let held = shard.held.read();
            let at = held.find(hash, sku);
            (at, at.map(|at| held.goods[at as usize].clone()))
        };
        let (offers, replaced) = match Offers::put(former.as_ref(), sku, row, owners, countries) {
            Put::Older => return,
            Put::New(offers) => (offers, None),
            Put::Changed(offers, replaced) => (offers, Some(replaced)),
        };
        let at = {
            let mut held = shard.held.write();
            match at {
                Some(at) => {
                    held.goods[at as usize] = offers;
                    at
                }
                None => self.add(&mut held, hash, offers),
            }
        };
        then(at << SHARD_BITS | number, replaced);
    }

    fn add(&self, held: &mut Held, hash: u64, offers: Offers) -> u32 {
        let at = held.goods.len() as u32;
        if held.goods.len() == held.goods.capacity() {
            // Twice as many would be half of the memory.
            let more = 4 + held.goods.len() / 8;
            held.goods.reserve_exact(more);
        }
        held.goods.push(offers);
        let Held { numbers, goods } = held;
        numbers.insert_unique(hash, at, |at| self.hasher.hash_one(goods[*at as usize].sku()));
        at
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_good_takes_two_words() {
        assert_eq!(size_of::<Offers>(), 16);
        assert_eq!(size_of::<Option<Offers>>(), 24);
    }
}
