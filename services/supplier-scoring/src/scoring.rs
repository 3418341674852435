//! The scoring fold: a supplier's events in, feature vectors out.

use stockade_fold::{AnyTable, Dest, Fold, Input, Out, Table};
use stockade_model::{
    BuyerHistory, Change, Command, ListingId, ListingPut, MarketSeen, OrderEventKind, Outcome, OutcomeCause,
    Payload, Row, ScoreRecord, Sku, StockChange, StockMode, SupplierId, Timestamp, Topic, hash,
    time::{DAY_MS, HOUR_MS},
};
use stockade_rules::FeatureSchema;

use crate::{
    features::{self, View},
    history::{History, Kind, flag},
    scorecard::contributions,
};

/// A price at or below this share of the median is low.
const LOW_PRICE_RATIO: f64 = 0.4;
/// A claim over this many times the market's median units is implausible.
const IMPLAUSIBLE_UNITS_RATIO: f64 = 50.0;
/// Other offers needed before a market says anything.
const MARKET_OFFERS_MIN: u32 = 3;
/// Silence that counts as dormant.
const DORMANT_MS: i64 = 14 * DAY_MS;
/// How long after waking up dormancy still counts.
const AWAKE_MS: i64 = 48 * HOUR_MS;
/// A buyer with more claims than this, and more than one in two orders, is not credible by itself.
const CLAIMS_CREDIBLE_MAX: u32 = 2;

/// A vector the fold has made, for this process's own figures.
#[derive(Clone, Debug)]
pub struct Scored(pub ScoreRecord);

/// What is known of a supplier.
#[derive(Clone, Debug, Default, serde::Serialize, serde::Deserialize)]
pub(crate) struct Supplier {
    pub(crate) since: Option<Timestamp>,
    pub(crate) history: History,
    pub(crate) orders_ever: u64,
    pub(crate) shipped_units_ever: u64,
    pub(crate) payout_changed: Option<Timestamp>,
    pub(crate) new_device: Option<Timestamp>,
    last_submission: Option<Timestamp>,
    /// When it last submitted after a long silence, and how long that was.
    woke: Option<(Timestamp, i64)>,
}

impl Supplier {
    pub(crate) fn dormant_days(&self, now: Timestamp) -> f64 {
        let awake = self.woke.filter(|(at, _)| now.ms() - at.ms() <= AWAKE_MS);
        awake.map_or(0.0, |(_, silence_ms)| silence_ms as f64 / DAY_MS as f64)
    }
    fn submitted(&mut self, now: Timestamp) {
        let before = self.last_submission.replace(now).or(self.since);
        if let Some(silence_ms) = before.map(|before| now.ms() - before.ms()).filter(|ms| *ms >= DORMANT_MS) {
            self.woke = Some((now, silence_ms));
        }
    }
}

/// What the record in hand is about, beside the supplier.
#[derive(Clone, Debug, Default)]
pub(crate) struct Subject {
    listing: Option<(ListingId, Sku)>,
    pub(crate) price_ratio: Option<f64>,
    pub(crate) units_ratio: Option<f64>,
}

/// The fold.
pub struct Scoring {
    suppliers: Table<SupplierId, Supplier>,
    /// SKU of every listing ever seen, by identity of supplier and listing.
    listings: Table<u128, Sku>,
    schema_id: u32,
}

impl Scoring {
    /// An empty fold for `schema`, which must be this crate's.
    pub fn new(schema: &FeatureSchema) -> Self {
        Self { suppliers: Table::new(1), listings: Table::new(2), schema_id: schema.id() }
    }

    fn command(&mut self, command: &Command, now: Timestamp) -> Option<Subject> {
        let mut worst: Option<Subject> = None;
        let supplier = self.suppliers.edit_or(&command.supplier, Supplier::default);
        supplier.history.advance(now.ms());
        let mut submitted = false;
        for row in &command.rows {
            let subject = match row {
                Row::Put(put) => Self::put(supplier, &mut self.listings, &command.supplier, put, now),
                Row::Stock(change) => {
                    let identity = hash::identity128(&[command.supplier.as_str(), change.listing.as_str()]);
                    // Stock of a listing that was never put is refused by inventory; it says nothing here either.
                    let Some(sku) = self.listings.get(&identity).cloned() else { continue };
                    Self::stock(supplier, change, sku, now)
                }
                _ => continue,
            };
            submitted = true;
            // One vector per command: about the row that undercuts its market most.
            let rank = |subject: &Subject| subject.price_ratio.unwrap_or(f64::INFINITY);
            if worst.as_ref().is_none_or(|worst| rank(&subject) < rank(worst)) {
                worst = Some(subject);
            }
        }
        if submitted {
            supplier.submitted(now);
        }
        worst
    }

    fn put(
        supplier: &mut Supplier,
        listings: &mut Table<u128, Sku>,
        id: &SupplierId,
        put: &ListingPut,
        now: Timestamp,
    ) -> Subject {
        let identity = hash::identity128(&[id.as_str(), put.listing.as_str()]);
        let kind = if listings.get(&identity).is_some() { Kind::ListingUpdate } else { Kind::NewListing };
        if kind == Kind::NewListing {
            listings.insert(identity, put.sku.clone());
        }
        let subject = Subject {
            listing: Some((put.listing.clone(), put.sku.clone())),
            price_ratio: known(put.market)
                .map(|market| put.price.minor as f64 / market.median_minor.max(1) as f64),
            units_ratio: units_ratio(put.market, put.on_hand),
        };
        let units = put.on_hand.unwrap_or(0);
        supplier.history.add(
            kind,
            market_flags(&subject),
            now.ms(),
            hash::stable64(put.listing.as_str()),
            units,
        );
        subject
    }

    fn stock(supplier: &mut Supplier, change: &StockChange, sku: Sku, now: Timestamp) -> Subject {
        let claimed = (change.mode == StockMode::Set).then_some(change.quantity);
        let subject = Subject {
            listing: Some((change.listing.clone(), sku)),
            price_ratio: None,
            units_ratio: units_ratio(change.market, claimed),
        };
        let party = hash::stable64(change.listing.as_str());
        supplier.history.add(Kind::Stock, market_flags(&subject), now.ms(), party, change.quantity.max(0));
        subject
    }

    fn outcome(&mut self, outcome: &Outcome, now: Timestamp) -> Option<Subject> {
        let event = &outcome.event;
        let supplier = self.suppliers.edit_or(&event.supplier, Supplier::default);
        supplier.history.advance(now.ms());
        let units = event.quantity.unwrap_or(1).max(0);
        let mut flags = 0;
        let kind = match event.kind {
            OrderEventKind::Placed => {
                supplier.orders_ever += 1;
                Kind::Placed
            }
            OrderEventKind::Shipped => {
                supplier.shipped_units_ever += units as u64;
                Kind::Shipped
            }
            OrderEventKind::Delivered => Kind::Delivered,
            OrderEventKind::Cancelled => Kind::Cancelled,
            OrderEventKind::Disputed => Kind::Disputed,
            OrderEventKind::FraudConfirmed => Kind::Fraud,
            OrderEventKind::Refunded => Kind::Refunded,
            OrderEventKind::Reviewed => Kind::Reviewed,
            OrderEventKind::Complaint => Kind::Complaint,
            OrderEventKind::Login => {
                if event.new_device {
                    supplier.new_device = supplier.new_device.max(Some(event.time));
                }
                return Some(Subject::default());
            }
            OrderEventKind::PayoutChanged => {
                supplier.payout_changed = supplier.payout_changed.max(Some(event.time));
                return Some(Subject::default());
            }
        };
        // Causes that are the platform's, the carrier's or the buyer's do not count against the supplier.
        let own = event.cause == OutcomeCause::Supplier;
        flags |= if own { flag::OWN } else { 0 };
        flags |= if event.late && own { flag::LATE } else { 0 };
        flags |= if outcome.history.is_some_and(credible) { flag::CREDIBLE } else { 0 };
        flags |= if event.rating.is_some_and(|rating| rating <= 2) { flag::LOW_RATING } else { 0 };
        let party = event.buyer.as_ref().map_or(0, |buyer| hash::stable64(buyer.as_str()));
        supplier.history.add(kind, flags, event.time.ms(), party, units);
        let listing = event.listing.clone().zip(event.sku.clone());
        Some(Subject { listing, ..Subject::default() })
    }

    fn score(&self, id: &SupplierId, subject: Subject, now: Timestamp) -> Option<ScoreRecord> {
        let supplier = self.suppliers.get(id)?;
        let mut slots = features::slots(&View { supplier, subject: &subject, now });
        let score: u16 = contributions(&slots).iter().map(|contribution| contribution.points).sum();
        slots.push(f32::from(score));
        Some(ScoreRecord {
            supplier: id.clone(),
            listing: subject.listing,
            score,
            schema: self.schema_id,
            slots,
        })
    }
}

fn known(market: Option<MarketSeen>) -> Option<MarketSeen> {
    market.filter(|market| market.offers >= MARKET_OFFERS_MIN)
}

fn units_ratio(market: Option<MarketSeen>, units: Option<i64>) -> Option<f64> {
    Some(units? as f64 / known(market)?.median_units.max(1) as f64)
}

fn market_flags(subject: &Subject) -> u8 {
    let low = subject.price_ratio.is_some_and(|ratio| ratio <= LOW_PRICE_RATIO);
    let implausible = subject.units_ratio.is_some_and(|ratio| ratio > IMPLAUSIBLE_UNITS_RATIO);
    let pick = |set: bool, flag: u8| if set { flag } else { 0 };
    pick(low, flag::LOW_PRICE)
        | pick(implausible, flag::IMPLAUSIBLE)
        | pick(subject.price_ratio.is_some(), flag::MARKET)
}

/// Whether the buyer's own history makes a claim credible: few claims so far, or few for their orders.
fn credible(history: BuyerHistory) -> bool {
    history.orders > 0 && (history.claims <= CLAIMS_CREDIBLE_MAX || history.claims * 2 <= history.orders)
}

impl Fold for Scoring {
    type Effect = Scored;

    fn apply(&mut self, input: &Input<'_>, out: &mut Out<Scored>) {
        let now = input.time;
        let scored = match input.payload {
            Payload::Command(command) => {
                self.command(command, now).map(|subject| (&command.supplier, subject))
            }
            Payload::Outcome(outcome) => {
                self.outcome(outcome, now).map(|subject| (&outcome.event.supplier, subject))
            }
            Payload::Control(record) => {
                match &record.change {
                    Change::Supplier { profile } => {
                        self.suppliers.edit_or(&profile.supplier, Supplier::default).since =
                            Some(profile.since);
                    }
                    // Where a rule set begins to count is a position: evaluation meets it in its own partition.
                    Change::Rules { .. } => {
                        let lane = Dest::Partition(input.partition);
                        out.emit(Topic::SupplierScores, lane, input.payload.clone());
                    }
                }
                None
            }
            _ => None,
        };
        let Some((supplier, subject)) = scored else { return };
        if let Some(record) = self.score(supplier, subject, now) {
            out.effect(Scored(record.clone()));
            out.emit(Topic::SupplierScores, Dest::Key(supplier.to_string()), Payload::Score(record));
        }
    }

    fn tables(&mut self) -> Vec<&mut dyn AnyTable> {
        vec![&mut self.suppliers, &mut self.listings]
    }

    fn restored(&mut self, effects: &mut Vec<Scored>) {
        for (id, supplier) in self.suppliers.iter() {
            let now = supplier.last_submission.unwrap_or_default();
            effects.extend(self.score(id, Subject::default(), now).map(Scored));
        }
    }
}

#[cfg(test)]
mod tests;
