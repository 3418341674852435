//! The scoring fold: a supplier's events in, feature vectors out.

use std::{collections::BTreeSet, sync::Arc};

mod predict;
mod weigh;

use stockade_fold::{AnyTable, Dest, Fold, Input, Out, Packed, PackedSet, Single, Table};
use stockade_model::{
    BuyerHistory, Change, Command, ListingId, ListingPut, MarketSeen, Models, OrderEvent, OrderEventKind,
    OrderSeen, Outcome, OutcomeCause, Payload, Region, Row, ScoreRecord, Sku, StockChange, StockMode,
    SupplierId, Timestamp, Topic, Vouched, hash,
    time::{DAY_MS, HOUR_MS},
};
use stockade_rules::{Binding, RuleSet};
use stockade_windows::Entry;

use crate::{
    calibration::{Calibration, Week},
    declare::{DEFAULT_FEATURES, FeatureSet},
    evidence::Evidence,
    facts::{LiveModels, View},
    history::{Histories, Kind, flag},
    intake::{DEFRAUDED_MIN, UNUSUAL_Z},
    links::{Edge, LinkView},
    model::Model,
    peers::{EXPECTED_SCALE, PeerView},
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
/// How long a tracking number is remembered.
const TRACKING_MS: i64 = 90 * DAY_MS;
/// A median absolute deviation of a normal distribution is this part of its standard deviation.
const MAD_SHARE: f64 = 0.6745;
/// A buyer with more claims than this, and more than one in two orders, is not credible by itself.
const CLAIMS_CREDIBLE_MAX: u32 = 2;

/// What the fold tells its process.
#[derive(Clone, Debug)]
pub enum ScoringEffect {
    /// A vector it has made, for this process's own figures.
    Scored(ScoreRecord),
    /// The links of a supplier are other ones than before.
    Linked(SupplierId, Vec<Edge>),
    /// A declaration of features came into force in a partition.
    FeaturesInForce(FeatureSet),
    /// The champion changed in a partition.
    ChampionInForce(Option<Arc<Model>>),
    /// What a model said of the orders of a week, and what became of them, under a key; none where it is not kept any more.
    Predicted(u128, Option<Box<Week>>),
}

/// What is known of a supplier beside its history.
#[derive(Clone, Debug, Default, serde::Serialize, serde::Deserialize)]
pub(crate) struct Supplier {
    pub(crate) since: Option<Timestamp>,
    #[serde(default)]
    region: Option<Region>,
    pub(crate) orders_ever: u64,
    pub(crate) shipped_units_ever: u64,
    pub(crate) payout_changed: Option<Timestamp>,
    pub(crate) new_device: Option<Timestamp>,
    last_submission: Option<Timestamp>,
    /// When it last submitted after a long silence, and how long that was.
    woke: Option<(Timestamp, i64)>,
    /// Whether anything is in force against it: then it is looked at every day, for what is grown out of ends.
    #[serde(default)]
    restricted: bool,
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
    pub(crate) price_z: Option<f64>,
    pub(crate) units_ratio: Option<f64>,
    /// The market that the submission met, where there were enough offers to call it one.
    pub(crate) market: Option<MarketSeen>,
    /// Hash of the SKU.
    pub(crate) sku: Option<u64>,
    /// Hash of the region.
    pub(crate) place: Option<u32>,
}

/// A declaration as it is stored.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
struct FeaturesRow {
    source: String,
}

/// The fold.
pub struct Scoring {
    suppliers: Table<SupplierId, Supplier>,
    /// SKU of every listing ever seen, by identity of supplier and listing.
    listings: Packed<u128, Sku>,
    /// Rows of earlier builds, texts under the keys `features`, `models`, `windows`: moved into the tables below when they
    /// are restored.
    former: Table<String, FeaturesRow>,
    /// The declaration in force; none is that of a new installation.
    declared: Single<FeaturesRow>,
    /// The models in force, as published.
    published: Single<Models>,
    /// The windows that the rules in force bind.
    bound: Single<Vec<Binding>>,
    /// Goods a supplier offers, by identity of supplier and SKU.
    goods: Packed<u128, ()>,
    /// Order and time of each tracking number, by identity of supplier and number.
    tracking: Packed<u128, (u64, Timestamp)>,
    histories: Histories,
    peers: PeerView,
    links: LinkView,
    evidence: Table<SupplierId, Evidence>,
    calibration: Calibration,
    /// Derived: when a day's exposure of whom is counted if nothing else happens.
    sweeps: BTreeSet<(Timestamp, SupplierId)>,
    /// Derived: the models as they are stored under the key `models`, read.
    models: LiveModels,
    /// Derived: tracking numbers by age.
    tracking_by_age: PackedSet<(Timestamp, u128)>,
    features: FeatureSet,
}

impl Scoring {
    /// An empty fold that begins with `features`.
    pub fn new(features: &FeatureSet) -> Self {
        Self {
            suppliers: Table::new(1),
            listings: Packed::new(2),
            former: Table::new(4),
            declared: Single::new(11),
            published: Single::new(12),
            bound: Single::new(13),
            goods: Packed::new(5),
            tracking: Packed::new(6),
            histories: Histories::new(3, features.plan.clone(), features.plan_id),
            peers: PeerView::new(7, 8, features.tests.clone()),
            links: LinkView::new(9),
            evidence: Table::new(10),
            calibration: Calibration::new(14, 15, 16),
            sweeps: BTreeSet::new(),
            models: LiveModels::default(),
            tracking_by_age: PackedSet::default(),
            features: features.clone(),
        }
    }

    fn command(&mut self, command: &Command, now: Timestamp) -> Option<Subject> {
        let mut worst: Option<Subject> = None;
        for row in &command.rows {
            let subject = match row {
                Row::Put(put) => self.put(&command.supplier, put, now),
                Row::Stock(change) => {
                    let identity = hash::identity128(&[command.supplier.as_str(), change.listing.as_str()]);
                    // Stock of a listing that was never put is refused by inventory; it says nothing here either.
                    let Some(sku) = self.listings.get(&identity) else { continue };
                    self.stock(&command.supplier, change, sku, now)
                }
                _ => continue,
            };
            // One vector per command: about the row that undercuts its market most.
            let rank = |subject: &Subject| subject.price_ratio.unwrap_or(f64::INFINITY);
            if worst.as_ref().is_none_or(|worst| rank(&subject) < rank(worst)) {
                worst = Some(subject);
            }
        }
        if worst.is_some() {
            self.suppliers.edit_or(&command.supplier, Supplier::default).submitted(now);
        }
        worst
    }

    fn put(&mut self, id: &SupplierId, put: &ListingPut, now: Timestamp) -> Subject {
        let identity = hash::identity128(&[id.as_str(), put.listing.as_str()]);
        let kind = if self.listings.contains(&identity) { Kind::ListingUpdate } else { Kind::NewListing };
        let mut flags = 0;
        if kind == Kind::NewListing {
            self.listings.put(&identity, &put.sku);
            let good = hash::identity128(&[id.as_str(), put.sku.as_str()]);
            let known = self.goods.contains(&good);
            if !known {
                self.goods.put(&good, &());
            }
            flags |= if known { flag::DUPLICATE } else { 0 };
        }
        let market = known(put.market);
        let away = |market: &MarketSeen| (put.price.minor - market.median_minor) as f64;
        let subject = Subject {
            listing: Some((put.listing.clone(), put.sku.clone())),
            price_ratio: market.map(|m| put.price.minor as f64 / m.median_minor.max(1) as f64),
            price_z: market.and_then(|m| Some(MAD_SHARE * away(&m) / (m.spread_minor? as f64).max(1.0))),
            units_ratio: units_ratio(put.market, put.on_hand),
            market,
            sku: Some(hash::stable64(put.sku.as_str())),
            place: None,
        };
        flags |= market_flags(&subject);
        let units = put.on_hand.unwrap_or(0);
        self.remember(id, now, kind, flags, now, &subject, (hash::stable64(put.listing.as_str()), units));
        subject
    }

    fn stock(&mut self, id: &SupplierId, change: &StockChange, sku: Sku, now: Timestamp) -> Subject {
        let claimed = (change.mode == StockMode::Set).then_some(change.quantity);
        let subject = Subject {
            sku: Some(hash::stable64(sku.as_str())),
            listing: Some((change.listing.clone(), sku)),
            units_ratio: units_ratio(change.market, claimed),
            market: known(change.market),
            ..Subject::default()
        };
        let (party, flags) = (hash::stable64(change.listing.as_str()), market_flags(&subject));
        self.remember(id, now, Kind::Stock, flags, now, &subject, (party, change.quantity.max(0)));
        subject
    }

    #[allow(clippy::too_many_arguments, reason = "one event, spelled out")]
    fn remember(
        &mut self,
        id: &SupplierId,
        now: Timestamp,
        kind: Kind,
        flags: u16,
        at: Timestamp,
        subject: &Subject,
        (party, value): (u64, i64),
    ) {
        let entry = Entry {
            time_ms: at.ms(),
            kind: kind as u8,
            flags,
            party,
            subject: subject.sku.unwrap_or(0),
            place: subject.place.unwrap_or(0),
            value,
        };
        self.histories.add(id, now.ms(), entry);
    }

    /// What was said of the order before counts for nothing, unless it is the first that was heard of it here.
    fn repeated(
        &mut self,
        outcome: &Outcome,
        now: Timestamp,
        out: &mut Out<ScoringEffect>,
    ) -> Option<Subject> {
        let order = outcome.order.as_ref().filter(|order| order.again || order.settles || order.spoils)?;
        let event = &outcome.event;
        let region = self.suppliers.get(&event.supplier).and_then(|supplier| supplier.region);
        let (party, subject) = (party(event), subject(event));
        if order.again {
            let said = (Kind::of(event.kind), whose(event) | flag::AGAIN);
            self.weigh(outcome, order, said, region, now);
            self.tell_linked(&event.supplier, out);
            return Some(subject);
        }
        self.cohort(&event.supplier, region, order, (whose(event), party), &subject, now, out);
        Some(subject)
    }

    fn outcome(&mut self, outcome: &Outcome, now: Timestamp, out: &mut Out<ScoringEffect>) -> Subject {
        let event = &outcome.event;
        let id = &event.supplier;
        let supplier = self.suppliers.edit_or(id, Supplier::default);
        let units = event.quantity.unwrap_or(1).max(0);
        match event.kind {
            OrderEventKind::Placed if !outcome.withdrawn => supplier.orders_ever += 1,
            OrderEventKind::Shipped => supplier.shipped_units_ever += units as u64,
            OrderEventKind::Login if event.new_device => {
                supplier.new_device = supplier.new_device.max(Some(event.time));
            }
            OrderEventKind::PayoutChanged => {
                supplier.payout_changed = supplier.payout_changed.max(Some(event.time));
            }
            _ => {}
        }
        let kind = Kind::of(event.kind);
        let region = supplier.region;
        self.links.see(id, &event.attributes, now, out);
        let mut flags = whose(event);
        let explained = event.kind == OrderEventKind::FraudConfirmed && explained(outcome);
        for (set, flag) in [
            (event.late, flag::LATE),
            (believed(outcome), flag::CREDIBLE),
            (event.kind.is_claim() && outcome.vouched == Some(Vouched::Bare), flag::BARE),
            (event.rating.is_some_and(|rating| rating <= 2), flag::LOW_RATING),
            (explained, flag::EXPLAINED),
            (outcome.order.as_ref().is_some_and(|order| order.amount_z.is_some()), flag::PATTERN),
            (self.reuses_tracking(outcome, now), flag::REUSED_TRACKING),
            (outcome.order.as_ref().is_some_and(|order| order.again), flag::AGAIN),
        ] {
            flags |= if set { flag } else { 0 };
        }
        let (party, subject) = (party(event), subject(event));
        let value = event.amount.map_or(0, |amount| amount.minor);
        if let Some(order) = &outcome.order {
            self.weigh(outcome, order, (kind, flags), region, now);
            self.tell_linked(id, out);
        }
        if outcome.withdrawn {
            return subject;
        }
        self.remember(id, now, kind, flags, event.time, &subject, (party, value));
        if let Some(order) = &outcome.order {
            self.cohort(id, region, order, (flags, party), &subject, now, out);
        }
        subject
    }

    fn scored(&self, id: &SupplierId, subject: Subject, now: Timestamp, out: &mut Out<ScoringEffect>) {
        if let Some(record) = self.score(id, subject, now) {
            tell(record, out);
        }
    }

    /// What an outcome says of its order counts at the time of the order, so that a burst of old bad news is no burst of
    /// bad orders; and it counts for the order's peers.
    #[allow(clippy::too_many_arguments, reason = "one outcome, spelled out")]
    fn cohort(
        &mut self,
        id: &SupplierId,
        region: Option<Region>,
        order: &OrderSeen,
        (flags, party): (u16, u64),
        subject: &Subject,
        now: Timestamp,
        out: &mut Out<ScoringEffect>,
    ) {
        if !order.settles && !order.spoils {
            return;
        }
        let cohort = (region.as_ref().map(Region::as_str), order.category.as_deref());
        if order.settles {
            let expected = (self.peers.expected(cohort.0, cohort.1) * EXPECTED_SCALE) as i64;
            self.remember(id, now, Kind::Settled, 0, order.placed_at, subject, (party, expected));
        }
        if order.spoils {
            self.remember(id, now, Kind::Spoiled, flags, order.placed_at, subject, (party, 1));
        }
        self.peers.gather(cohort, (order.settles, order.spoils), now, out);
    }

    fn reuses_tracking(&mut self, outcome: &Outcome, now: Timestamp) -> bool {
        let before = now.plus_ms(-TRACKING_MS);
        while let Some(oldest) = self.tracking_by_age.first().filter(|(seen, _)| *seen <= before) {
            self.tracking_by_age.remove(&oldest);
            self.tracking.remove(&oldest.1);
        }
        let (Some(number), Some(order)) = (&outcome.event.tracking, &outcome.event.order) else {
            return false;
        };
        if outcome.event.kind != OrderEventKind::Shipped {
            return false;
        }
        let identity = hash::identity128(&[outcome.event.supplier.as_str(), number]);
        let order = hash::stable64(order.as_str());
        match self.tracking.get(&identity) {
            Some((used_for, _)) => used_for != order,
            None => {
                self.tracking.put(&identity, &(order, now));
                self.tracking_by_age.insert(&(now, identity));
                false
            }
        }
    }

    fn score(&self, id: &SupplierId, subject: Subject, now: Timestamp) -> Option<ScoreRecord> {
        let supplier = self.suppliers.get(id)?;
        let windows = self.histories.get(id)?;
        let mut slots = self.features.slots(&View {
            supplier,
            windows,
            subject: &subject,
            now,
            linked: self.links.get(id),
            models: &self.models,
            evidence: self.evidence.get(id),
        });
        let schema = self.features.schema();
        let score: u16 = contributions(schema, &slots).iter().map(|contribution| contribution.points).sum();
        if let Some(last) = slots.last_mut() {
            *last = f32::from(score);
        }
        let listing = subject.listing;
        Some(ScoreRecord { supplier: id.clone(), listing, score, schema: schema.id(), slots })
    }

    fn stored_models(&self) -> Models {
        self.published.get().cloned().unwrap_or_default()
    }

    /// Reads the stored models for the features in force; what does not fit them scores nothing.
    fn read_models(&mut self) {
        let models = self.stored_models();
        let read = |source: &Option<String>| {
            let source = source.as_ref()?;
            Model::read(source, self.features.schema()).ok().map(Arc::new)
        };
        self.models = LiveModels { champion: read(&models.champion), challenger: read(&models.challenger) };
    }

    /// The declaration in force.
    fn declaration(&self) -> String {
        let declared = self.declared.get().map(|row| row.source.clone());
        declared.unwrap_or_else(|| DEFAULT_FEATURES.to_owned())
    }

    /// The windows that the rules in force bind.
    fn bound_windows(&self) -> Vec<Binding> {
        self.bound.get().cloned().unwrap_or_default()
    }

    /// Moves rows of earlier builds to where they belong now.
    fn adopt_former(&mut self) {
        if let Some(row) = self.former.remove(&"features".to_owned()) {
            self.declared.set(row);
        }
        if let Some(row) = self.former.remove(&"models".to_owned()) {
            self.published.set(Models::from_text(&row.source));
        }
        let windows = self.former.remove(&"windows".to_owned());
        if let Some(windows) = windows.and_then(|row| serde_json::from_str(&row.source).ok()) {
            self.bound.set(windows);
        }
    }

    fn use_features(&mut self, features: FeatureSet, out: &mut Out<ScoringEffect>) {
        self.histories.replan(features.plan.clone(), features.plan_id);
        self.peers.use_tests(&features.tests, out);
        self.features = features.clone();
        out.effect(ScoringEffect::FeaturesInForce(features));
        self.read_models();
    }

    fn change(&mut self, change: &Change, input: &Input<'_>, out: &mut Out<ScoringEffect>) {
        match change {
            Change::Supplier { profile } => {
                let supplier = self.suppliers.edit_or(&profile.supplier, Supplier::default);
                supplier.since = Some(profile.since);
                supplier.region = Some(profile.region);
                return;
            }
            Change::Features { source, .. } => {
                // The control fold let it pass; what does not compile here was accepted by another build.
                let Ok(features) = FeatureSet::compile_with(source, &self.bound_windows()) else { return };
                self.declared.set(FeaturesRow { source: source.clone() });
                self.use_features(features, out);
            }
            Change::Model { .. } | Change::ModelSwitch { .. } => {
                let Ok(next) = self.stored_models().after(change) else { return };
                self.published.set(next);
                self.read_models();
                out.effect(ScoringEffect::ChampionInForce(self.models.champion.clone()));
                self.follow_models(out);
            }
            // The control fold makes other records of these, or keeps them to itself.
            Change::Register { .. }
            | Change::Approve { .. }
            | Change::Drop { .. }
            | Change::Rearm { .. }
            | Change::ApproveRules { .. }
            | Change::DropRules { .. }
            | Change::RollBackRules { .. }
            | Change::FourEyes { .. }
            | Change::KillSwitch { .. } => return,
            Change::Rules { source, .. } => {
                let source_of_features = self.declaration();
                let Ok(windows) = RuleSet::windows(source, self.features.schema()) else { return };
                if windows != self.bound_windows() {
                    let Ok(features) = FeatureSet::compile_with(&source_of_features, &windows) else {
                        return;
                    };
                    self.bound.set(windows);
                    if features.plan_id != self.features.plan_id {
                        self.use_features(features, out);
                    }
                }
            }
        }
        // Where rules and features begin to count is a position: evaluation meets it in its own partition.
        out.emit(Topic::SupplierScores, Dest::Partition(input.partition), input.payload.clone());
    }
}

/// Says what was scored, to this process and to the log.
fn tell(record: ScoreRecord, out: &mut Out<ScoringEffect>) {
    out.effect(ScoringEffect::Scored(record.clone()));
    out.emit(Topic::SupplierScores, Dest::Key(record.supplier.to_string()), Payload::Score(record));
}

/// Flag of whose doing an outcome is.
fn whose(event: &OrderEvent) -> u16 {
    match event.cause {
        OutcomeCause::Supplier => flag::OWN,
        OutcomeCause::Buyer => flag::BUYERS,
        OutcomeCause::Carrier => flag::CARRIERS,
        OutcomeCause::Platform => flag::PLATFORMS,
        OutcomeCause::Unknown => 0,
    }
}

/// The counterparty of an outcome: a hash of the buyer, 0 for guests.
fn party(event: &OrderEvent) -> u64 {
    event.buyer.as_ref().map_or(0, |buyer| hash::stable64(buyer.as_str()))
}

/// What an outcome is about.
fn subject(event: &OrderEvent) -> Subject {
    Subject {
        listing: event.listing.clone().zip(event.sku.clone()),
        sku: event.sku.as_ref().map(|sku| hash::stable64(sku.as_str())),
        place: event.region.map(|region| hash::stable64(region.as_str()) as u32),
        ..Subject::default()
    }
}

/// Whether the buyer's own history explains a fraud: a value far out of their pattern, a card that was misused so elsewhere
/// in the same days, or one that fraud follows from shop to shop.
fn explained(outcome: &Outcome) -> bool {
    let unusual = outcome.order.as_ref().and_then(|order| order.amount_z).is_some_and(|z| z >= UNUSUAL_Z);
    let card = |history: BuyerHistory| {
        history.unusual_frauds_elsewhere > 0 || history.suppliers_defrauded_elsewhere >= DEFRAUDED_MIN
    };
    unusual || outcome.history.is_some_and(card)
}

fn known(market: Option<MarketSeen>) -> Option<MarketSeen> {
    market.filter(|market| market.offers >= MARKET_OFFERS_MIN)
}

fn units_ratio(market: Option<MarketSeen>, units: Option<i64>) -> Option<f64> {
    Some(units? as f64 / known(market)?.median_units.max(1) as f64)
}

fn market_flags(subject: &Subject) -> u16 {
    let low = subject.price_ratio.is_some_and(|ratio| ratio <= LOW_PRICE_RATIO);
    let implausible = subject.units_ratio.is_some_and(|ratio| ratio > IMPLAUSIBLE_UNITS_RATIO);
    let pick = |set: bool, flag: u16| if set { flag } else { 0 };
    pick(low, flag::LOW_PRICE)
        | pick(implausible, flag::IMPLAUSIBLE)
        | pick(subject.price_ratio.is_some(), flag::MARKET)
}

/// Whether somebody with a record of their own stands behind a claim.
fn believed(outcome: &Outcome) -> bool {
    match outcome.vouched {
        Some(vouched) => vouched.weight() > 0.0,
        None => outcome.history.is_some_and(credible),
    }
}

/// Whether the buyer's own history makes a claim credible: few claims so far, or few for their orders.
fn credible(history: BuyerHistory) -> bool {
    history.orders > 0 && (history.claims <= CLAIMS_CREDIBLE_MAX || history.claims * 2 <= history.orders)
}

impl Fold for Scoring {
    type Effect = ScoringEffect;

    fn apply(&mut self, input: &Input<'_>, out: &mut Out<ScoringEffect>) {
        let now = input.time;
        self.peers.settle(now, out);
        self.sweep(now, out);
        let scored = match input.payload {
            Payload::Command(command) => {
                self.command(command, now).map(|subject| (&command.supplier, subject))
            }
            Payload::Outcome(outcome) if outcome.repeated => {
                self.repeated(outcome, now, out).map(|subject| (&outcome.event.supplier, subject))
            }
            Payload::Outcome(outcome) => Some((&outcome.event.supplier, self.outcome(outcome, now, out))),
            Payload::Control(record) => {
                self.change(&record.change, input, out);
                None
            }
            Payload::Peers(fact) => {
                self.peers.learn(fact);
                None
            }
            Payload::Link(fact) => {
                self.links.learn(fact, now);
                let edges =
                    self.links.get(&fact.supplier).map_or(Vec::new(), |linked| linked.edges().to_vec());
                out.effect(ScoringEffect::Linked(fact.supplier.clone(), edges));
                self.histories.touch(&fact.supplier, now.ms());
                Some((&fact.supplier, Subject::default()))
            }
            Payload::Decision(decision) => {
                let restricted = !decision.in_force.is_empty();
                self.suppliers.edit_or(&decision.supplier, Supplier::default).restricted = restricted;
                // What ended, whoever ended it, has answered the evidence before it: without this a rare kind of harm, of
                // which a month of good orders says little, would withhold for ever.
                if self.links.decided(decision, now, out)
                    && let Some(evidence) = self.evidence.edit(&decision.supplier)
                {
                    evidence.begin_anew();
                }
                None
            }
            _ => None,
        };
        let record = scored.and_then(|(supplier, subject)| self.score(supplier, subject, now));
        if let Payload::Outcome(outcome) = input.payload {
            self.follow(outcome, record.as_ref(), now, out);
        }
        if let Some(record) = record {
            tell(record, out);
        }
    }

    fn deadline(&self) -> Option<Timestamp> {
        let sweep = self.sweeps.first().map(|(at, _)| *at);
        self.peers.deadline().into_iter().chain(sweep).min()
    }

    fn tables(&mut self) -> Vec<&mut dyn AnyTable> {
        let [known, gathered] = self.peers.tables();
        let [predicted, weeks, sample] = self.calibration.tables();
        vec![
            &mut self.suppliers,
            &mut self.listings,
            &mut self.former,
            self.declared.table(),
            self.published.table(),
            self.bound.table(),
            &mut self.goods,
            &mut self.tracking,
            &mut self.histories,
            known,
            gathered,
            self.links.table(),
            &mut self.evidence,
            predicted,
            weeks,
            sample,
        ]
    }

    fn restored(&mut self, effects: &mut Vec<ScoringEffect>) {
        self.adopt_former();
        let changed = self.declared.get().is_some() || self.bound.get().is_some();
        if changed && let Ok(features) = FeatureSet::compile_with(&self.declaration(), &self.bound_windows())
        {
            self.histories.replan(features.plan.clone(), features.plan_id);
            self.features = features.clone();
            effects.push(ScoringEffect::FeaturesInForce(features));
        }
        self.read_models();
        effects.push(ScoringEffect::ChampionInForce(self.models.champion.clone()));
        self.histories.assemble();
        self.peers.restored(&self.features.tests);
        self.calibration.restored();
        let told = self.calibration.take_changes().into_iter();
        effects.extend(told.map(|(key, week)| ScoringEffect::Predicted(key, week.map(Box::new))));
        let next = |(id, evidence): (&SupplierId, &Evidence)| {
            Some((weigh::sweep_at(evidence.next_day()?, id), id.clone()))
        };
        self.sweeps = self.evidence.iter().filter_map(next).collect();
        let by_age = &mut self.tracking_by_age;
        self.tracking.each(|identity, (_, seen)| by_age.insert(&(seen, identity)));
        for (id, supplier) in self.suppliers.iter() {
            let now = supplier.last_submission.unwrap_or_default();
            effects.extend(self.score(id, Subject::default(), now).map(ScoringEffect::Scored));
            if let Some(linked) = self.links.get(id).filter(|linked| !linked.edges().is_empty()) {
                effects.push(ScoringEffect::Linked(id.clone(), linked.edges().to_vec()));
            }
        }
    }
}

#[cfg(test)]
mod tests;
