//! What is remembered of suppliers: one event log each with all windows over it, stored in chunks.

use std::{collections::BTreeMap, sync::Arc};

use rustc_hash::{FxHashMap, FxHashSet};
use serde::{Deserialize, Serialize};
use stockade_fold::AnyTable;
use stockade_model::{OrderEventKind, SupplierId};
use stockade_windows::{Entry, Head, Placement, Plan, Windows};

/// Events remembered in one partition, all suppliers together: about half a gigabyte.
const ENTRIES_TOTAL_MAX: usize = 4_000_000;
/// Events that a supplier keeps whatever the others hold.
const ENTRIES_SHARE_MIN: usize = 256;
/// Number of the head among the pieces of a history; chunks have larger ones.
const HEAD: u64 = 0;

/// Kinds of event in the log. Stored: never renumber.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Kind {
    Placed = 0,
    Shipped = 1,
    Delivered = 2,
    Cancelled = 3,
    Disputed = 4,
    FraudConfirmed = 5,
    Refunded = 6,
    Reviewed = 7,
    Complaint = 8,
    Login = 9,
    PayoutChanged = 10,
    NewListing = 11,
    ListingUpdate = 12,
    Stock = 13,
    /// The first that was heard of an order after it was placed.
    Settled = 14,
    /// The first that went wrong with an order.
    Spoiled = 15,
    /// Not handed over by the promised time.
    Overdue = 16,
    /// No delivery was seen by the promised day.
    Undelivered = 17,
}

impl Kind {
    /// What people say of orders, a bit each; what first went wrong may be one of them.
    pub(crate) const CLAIMS: u32 = 1 << Self::Disputed as u32
        | 1 << Self::Refunded as u32
        | 1 << Self::Reviewed as u32
        | 1 << Self::Complaint as u32
        | 1 << Self::Spoiled as u32;
    /// Outcomes of orders that somebody else attests.
    pub(crate) const ATTESTED: u32 = 1 << Self::Shipped as u32
        | 1 << Self::Cancelled as u32
        | 1 << Self::FraudConfirmed as u32
        | 1 << Self::Overdue as u32
        | 1 << Self::Undelivered as u32;

    /// The kind of what an order system says.
    pub(crate) const fn of(event: OrderEventKind) -> Self {
        match event {
            OrderEventKind::Placed => Self::Placed,
            OrderEventKind::Shipped => Self::Shipped,
            OrderEventKind::Delivered => Self::Delivered,
            OrderEventKind::Cancelled => Self::Cancelled,
            OrderEventKind::Disputed => Self::Disputed,
            OrderEventKind::FraudConfirmed => Self::FraudConfirmed,
            OrderEventKind::Refunded => Self::Refunded,
            OrderEventKind::Reviewed => Self::Reviewed,
            OrderEventKind::Complaint => Self::Complaint,
            OrderEventKind::Login => Self::Login,
            OrderEventKind::PayoutChanged => Self::PayoutChanged,
            OrderEventKind::Overdue => Self::Overdue,
            OrderEventKind::Undelivered => Self::Undelivered,
        }
    }

    /// Whether it is something that becomes of an order.
    pub(crate) const fn is_outcome(self) -> bool {
        !matches!(
            self,
            Self::Placed
                | Self::Login
                | Self::PayoutChanged
                | Self::NewListing
                | Self::ListingUpdate
                | Self::Stock
        )
    }
}

/// Properties of an event. Stored: never renumber.
pub(crate) mod flag {
    /// The supplier's own doing.
    pub(crate) const OWN: u16 = 1 << 0;
    /// Priced at two fifths of the market's median or less, with enough other offers to know.
    pub(crate) const LOW_PRICE: u16 = 1 << 1;
    /// Claims far more units than the market's median, with enough other offers to know.
    pub(crate) const IMPLAUSIBLE: u16 = 1 << 2;
    /// A claim by a buyer whose own history makes it credible.
    pub(crate) const CREDIBLE: u16 = 1 << 3;
    /// Missed its promise.
    pub(crate) const LATE: u16 = 1 << 4;
    /// A rating of 1 or 2.
    pub(crate) const LOW_RATING: u16 = 1 << 5;
    /// The market for it was known.
    pub(crate) const MARKET: u16 = 1 << 6;
    /// A fraud that the buyer's own history explains.
    pub(crate) const EXPLAINED: u16 = 1 << 7;
    /// A listing of a good that the supplier offers already.
    pub(crate) const DUPLICATE: u16 = 1 << 8;
    /// A tracking number that was used before.
    pub(crate) const REUSED_TRACKING: u16 = 1 << 9;
    /// The buyer's doing.
    pub(crate) const BUYERS: u16 = 1 << 10;
    /// The carrier's doing.
    pub(crate) const CARRIERS: u16 = 1 << 11;
    /// The buyer's own history is long enough to judge by.
    pub(crate) const PATTERN: u16 = 1 << 13;
    /// The platform's doing.
    pub(crate) const PLATFORMS: u16 = 1 << 12;
    /// A claim that nobody but the claimant vouches for.
    pub(crate) const BARE: u16 = 1 << 14;
    /// A claim on an order whose claim days ago was not answered.
    pub(crate) const AGAIN: u16 = 1 << 15;
}

#[derive(Clone, Debug)]
struct History {
    windows: Windows,
    plan: u32,
}

/// What is stored of a history beside its chunks.
#[derive(Serialize, Deserialize)]
struct HeadRow {
    /// Feature schema whose plan the head was stored under.
    plan: u32,
    head: Head,
}

/// The histories of a partition's suppliers. As a table its rows are the pieces of histories, of which only changed ones
/// are written: the key is the supplier, a zero byte and the number of the piece.
pub(crate) struct Histories {
    name: u8,
    plan: Arc<Plan>,
    plan_id: u32,
    rows: FxHashMap<SupplierId, History>,
    dirty: FxHashSet<SupplierId>,
    /// Pieces that were loaded and wait for [`Histories::assemble`].
    pieces: FxHashMap<SupplierId, BTreeMap<u64, Vec<u8>>>,
    entries: usize,
    entries_max: usize,
}

impl Histories {
    pub(crate) fn new(name: u8, plan: Arc<Plan>, plan_id: u32) -> Self {
        Self {
            name,
            plan,
            plan_id,
            rows: FxHashMap::default(),
            dirty: FxHashSet::default(),
            pieces: FxHashMap::default(),
            entries: 0,
            entries_max: ENTRIES_TOTAL_MAX,
        }
    }

    /// The plan from here on. Each history follows when it is next touched: its measures are counted from the events held.
    pub(crate) fn replan(&mut self, plan: Arc<Plan>, plan_id: u32) {
        (self.plan, self.plan_id) = (plan, plan_id);
    }

    /// The windows of a supplier, if anything was ever added.
    pub(crate) fn get(&self, id: &SupplierId) -> Option<&Windows> {
        self.rows.get(id).map(|history| &history.windows)
    }

    /// The windows of a supplier, moved to `now_ms`.
    pub(crate) fn touch(&mut self, id: &SupplierId, now_ms: i64) -> &mut Windows {
        let (plan, plan_id) = (&self.plan, self.plan_id);
        let make = || History { windows: Windows::new(plan.clone()), plan: plan_id };
        self.dirty.insert(id.clone());
        let history = self.rows.entry(id.clone()).or_insert_with(make);
        if history.plan != plan_id {
            history.windows.replan(plan.clone());
            history.plan = plan_id;
        }
        let before = history.windows.len();
        history.windows.advance(now_ms);
        self.entries -= before - history.windows.len();
        &mut history.windows
    }

    /// Adds an event; past the bound of all histories together the supplier's own oldest events make room, never another's.
    pub(crate) fn add(&mut self, id: &SupplierId, now_ms: i64, entry: Entry) -> Placement {
        let windows = self.touch(id, now_ms);
        let before = windows.len();
        let placement = windows.insert(entry);
        let after = windows.len();
        self.entries = self.entries + after - before;
        if self.entries > self.entries_max {
            let share = (self.entries_max / self.rows.len().max(1)).max(ENTRIES_SHARE_MIN);
            if let Some(history) = self.rows.get_mut(id) {
                history.windows.shrink_to(share);
                self.entries -= after - history.windows.len();
            }
        }
        placement
    }

    /// Puts together what was loaded.
    pub(crate) fn assemble(&mut self) {
        for (id, mut pieces) in std::mem::take(&mut self.pieces) {
            let head = pieces.remove(&HEAD).and_then(|bytes| rmp_serde::from_slice::<HeadRow>(&bytes).ok());
            // Both were checked when they were loaded.
            let Some(HeadRow { plan, head }) = head else { continue };
            let head = if plan == self.plan_id { head } else { head.for_another_plan() };
            let Ok(windows) = Windows::restore(self.plan.clone(), &head, &pieces) else { continue };
            self.entries += windows.len();
            self.rows.insert(id, History { windows, plan: self.plan_id });
        }
    }
}

fn key(id: &SupplierId, piece: u64) -> Vec<u8> {
    let mut key = id.as_str().as_bytes().to_vec();
    key.push(0);
    key.extend(piece.to_be_bytes());
    key
}

fn parse_key(key: &[u8]) -> Option<(SupplierId, u64)> {
    let (rest, piece) = key.split_last_chunk::<8>()?;
    let id = std::str::from_utf8(rest.strip_suffix(&[0])?).ok()?;
    Some((SupplierId::new(id).ok()?, u64::from_be_bytes(*piece)))
}

impl AnyTable for Histories {
    fn name(&self) -> u8 {
        self.name
    }
    fn take_dirty(&mut self) -> Vec<Vec<u8>> {
        let mut keys = Vec::new();
        for id in self.dirty.drain() {
            keys.push(key(&id, HEAD));
            if let Some(history) = self.rows.get_mut(&id) {
                keys.extend(history.windows.take_changed_chunks().into_iter().map(|chunk| key(&id, chunk)));
            }
        }
        keys
    }
    fn encode(&self, bytes: &[u8]) -> Option<Vec<u8>> {
        let (id, piece) = parse_key(bytes)?;
        let history = self.rows.get(&id)?;
        if piece != HEAD {
            return history.windows.chunk(piece);
        }
        let row = HeadRow { plan: history.plan, head: history.windows.head() };
        Some(stockade_fold::row_bytes(&row))
    }
    fn load(&mut self, bytes: &[u8], value: &[u8]) -> Result<(), String> {
        let (id, piece) = parse_key(bytes).ok_or("the key of a history does not decode")?;
        if piece == HEAD {
            rmp_serde::from_slice::<HeadRow>(value).map_err(|e| format!("a history does not decode: {e}"))?;
        } else {
            Windows::check_chunk(value).map_err(|e| e.to_string())?;
        }
        self.pieces.entry(id).or_default().insert(piece, value.to_vec());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn when_all_histories_are_full_the_one_that_grows_makes_room_and_no_other() {
        let features = crate::FeatureSet::default_set();
        let mut histories = Histories::new(3, features.plan.clone(), features.plan_id);
        histories.entries_max = 1_000;
        let id = |name: &str| SupplierId::new(name).unwrap();
        let add = |histories: &mut Histories, name: &str, count: i64| {
            for number in 0..count {
                let entry = Entry { time_ms: number, ..Entry::default() };
                histories.add(&id(name), count, entry);
            }
        };
        add(&mut histories, "quiet", 300);
        add(&mut histories, "flood", 5_000);
        let held = |histories: &Histories, name: &str| histories.get(&id(name)).map_or(0, Windows::len);
        assert_eq!(held(&histories, "quiet"), 300);
        assert!(held(&histories, "flood") <= 700, "{}", held(&histories, "flood"));
        assert!(histories.entries <= 1_000);
        assert!(histories.get(&id("flood")).is_some_and(|windows| windows.lost_until_ms().is_some()));
        // What is stored comes back as it was, and is counted again.
        let mut again = Histories::new(3, features.plan.clone(), features.plan_id);
        for key in histories.take_dirty() {
            if let Some(value) = histories.encode(&key) {
                again.load(&key, &value).unwrap();
            }
        }
        again.assemble();
        assert_eq!(again.entries, histories.entries);
        for name in ["quiet", "flood"] {
            assert_eq!(again.get(&id(name)).map(Windows::head), histories.get(&id(name)).map(Windows::head));
        }
    }

    #[test]
    fn keys_come_back_as_they_were() {
        let id = SupplierId::new("s-1").unwrap();
        assert_eq!(parse_key(&key(&id, 1 << 40)), Some((id, 1 << 40)));
        assert_eq!(parse_key(b"short"), None);
    }
}
