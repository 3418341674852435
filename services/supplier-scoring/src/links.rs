//! Linked suppliers: who shares a payout account, a device, an address or a tax id with whom.
//!
//! The links fold, keyed by attribute, knows who was seen with it and tells each of them about the others. What a link is
//! worth fades with time and with the number of suppliers that share the attribute: a logistics firm or a shared office
//! links everybody and says nothing. A link is evidence beside other evidence; rules cannot lock by links alone (see
//! `stockade_rules`).

use std::collections::{BTreeMap, BTreeSet};

use stockade_fold::{AnyTable, Dest, Fold, Input, Out, Table};
use stockade_model::{
    Attribute, AttributeKind, Decision, LinkFact, LinkSeen, Payload, SupplierId, Timestamp, Topic,
    time::DAY_MS,
};

/// Suppliers that may share an attribute before it is a hub, which links nobody.
const HUB_DEGREE: usize = 20;
/// Suppliers counted for an attribute.
const MEMBERS_MAX: usize = 1_000;
/// A link not seen again is worth half after this time.
const HALF_LIFE_DAYS: f64 = 90.0;
/// A link is forgotten after this time.
const FORGET_MS: i64 = 365 * DAY_MS;
/// An attribute seen again within this time says nothing new.
const SEEN_AGAIN_MS: i64 = DAY_MS;
/// Attributes remembered of one supplier.
const ATTRIBUTES_MAX: usize = 64;

/// What sharing it says when nobody else does.
const fn weight(kind: AttributeKind) -> f64 {
    match kind {
        AttributeKind::Payout | AttributeKind::TaxId => 1.0,
        AttributeKind::Device => 0.8,
        AttributeKind::Address => 0.4,
    }
}

/// One link of a supplier.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Edge {
    /// What is shared.
    pub attribute: Attribute,
    /// With whom.
    pub other: SupplierId,
    /// When the other was last seen with it.
    pub at: Timestamp,
    /// Whether the other's offers are withheld.
    pub withheld: bool,
    /// How many suppliers share it.
    pub degree: u32,
}

impl Edge {
    /// What it is worth at `now`, 0 to 1.
    pub fn worth(&self, now: Timestamp) -> f64 {
        let days = (now.ms() - self.at.ms()).max(0) as f64 / DAY_MS as f64;
        let others = f64::from(self.degree.max(2) - 1);
        if self.degree as usize > HUB_DEGREE {
            0.0
        } else {
            weight(self.attribute.kind) * (-days / HALF_LIFE_DAYS).exp2() / others
        }
    }
}

/// What a scoring partition knows of its suppliers' links.
#[derive(Clone, Debug, Default, serde::Serialize, serde::Deserialize)]
pub(crate) struct Linked {
    /// Own attributes and when each was last told to the links fold.
    own: BTreeMap<String, (Attribute, Timestamp)>,
    withheld: bool,
    edges: Vec<Edge>,
}

impl Linked {
    /// Distinct withheld suppliers by the worth of the best link to each.
    fn withheld(&self, now: Timestamp) -> BTreeMap<&SupplierId, f64> {
        let mut best = BTreeMap::new();
        for edge in self.edges.iter().filter(|edge| edge.withheld) {
            let worth = edge.worth(now);
            let known: &mut f64 = best.entry(&edge.other).or_insert(0.0);
            *known = known.max(worth);
        }
        best
    }
    /// Sum of the worth of links to withheld suppliers.
    pub(crate) fn strength(&self, now: Timestamp) -> f64 {
        // Not `sum`: of nothing that is minus zero.
        self.withheld(now).values().fold(0.0, |sum, worth| sum + worth)
    }
    pub(crate) fn edges(&self) -> &[Edge] {
        &self.edges
    }
}

/// The links of a partition's suppliers.
pub(crate) struct LinkView(Table<SupplierId, Linked>);

impl LinkView {
    pub(crate) fn new(name: u8) -> Self {
        Self(Table::new(name))
    }
    pub(crate) fn get(&self, id: &SupplierId) -> Option<&Linked> {
        self.0.get(id)
    }
    pub(crate) fn table(&mut self) -> &mut dyn AnyTable {
        &mut self.0
    }

    /// The supplier was seen with attributes.
    pub(crate) fn see<E>(
        &mut self,
        id: &SupplierId,
        attributes: &[Attribute],
        now: Timestamp,
        out: &mut Out<E>,
    ) {
        for attribute in attributes {
            let linked = self.0.edit_or(id, Linked::default);
            let key = attribute_key(attribute);
            let told = linked.own.get(&key).map(|(_, told)| *told);
            if told.is_some_and(|told| now.ms() - told.ms() < SEEN_AGAIN_MS) {
                continue;
            }
            if told.is_none() && linked.own.len() >= ATTRIBUTES_MAX {
                let oldest = linked.own.iter().min_by_key(|(key, (_, told))| (*told, (*key).clone()));
                let oldest = oldest.map(|(key, _)| key.clone());
                oldest.map(|key| linked.own.remove(&key));
            }
            linked.own.insert(key, (attribute.clone(), now));
            tell(id, attribute, now, linked.withheld, out);
        }
    }

    /// A decision changed what is in force: whoever shares something with the supplier hears of it.
    pub(crate) fn decided<E>(&mut self, decision: &Decision, now: Timestamp, out: &mut Out<E>) {
        let withheld = decision.in_force.iter().any(|restriction| restriction.level.withholds());
        let known = self.0.get(&decision.supplier).map(|linked| linked.withheld);
        if known.unwrap_or(false) == withheld {
            return;
        }
        let linked = self.0.edit_or(&decision.supplier, Linked::default);
        linked.withheld = withheld;
        for (attribute, told) in linked.own.values_mut() {
            *told = now;
            tell(&decision.supplier, attribute, now, withheld, out);
        }
    }

    /// Another supplier shares an attribute.
    pub(crate) fn learn(&mut self, fact: &LinkFact, now: Timestamp) {
        let linked = self.0.edit_or(&fact.supplier, Linked::default);
        linked.edges.retain(|edge| {
            (edge.attribute != fact.attribute || edge.other != fact.other)
                && now.ms() - edge.at.ms() < FORGET_MS
        });
        // The count of those who share it is news about every link by it.
        let same = linked.edges.iter_mut().filter(|edge| edge.attribute == fact.attribute);
        same.for_each(|edge| edge.degree = fact.degree);
        linked.edges.push(Edge {
            attribute: fact.attribute.clone(),
            other: fact.other.clone(),
            at: fact.at,
            withheld: fact.withheld,
            degree: fact.degree,
        });
    }
}

fn attribute_key(attribute: &Attribute) -> String {
    format!("link/{:?}/{}", attribute.kind, attribute.hash)
}

fn tell<E>(id: &SupplierId, attribute: &Attribute, at: Timestamp, withheld: bool, out: &mut Out<E>) {
    let seen = LinkSeen { attribute: attribute.clone(), supplier: id.clone(), at, withheld };
    out.emit(Topic::ScoringRekeyed, Dest::Key(attribute_key(attribute)), Payload::LinkSeen(seen));
}

/// Who was seen with an attribute.
type Members = BTreeMap<String, (SupplierId, Timestamp, bool)>;

/// The fold: `scoring.rekeyed` by attribute, facts to each supplier concerned.
pub struct Links {
    attributes: Table<String, Members>,
}

impl Default for Links {
    fn default() -> Self {
        Self { attributes: Table::new(1) }
    }
}

impl Fold for Links {
    type Effect = ();

    fn apply(&mut self, input: &Input<'_>, out: &mut Out<()>) {
        let Payload::LinkSeen(seen) = input.payload else { return };
        let members = self.attributes.edit_or(&attribute_key(&seen.attribute), Members::default);
        members.retain(|_, (_, at, _)| input.time.ms() - at.ms() < FORGET_MS);
        let newcomer = !members.contains_key(seen.supplier.as_str());
        if newcomer && members.len() >= MEMBERS_MAX {
            return;
        }
        members.insert(seen.supplier.to_string(), (seen.supplier.clone(), seen.at, seen.withheld));
        let degree = members.len();
        // The last who makes it a hub is still told about, so that everybody's links fade; after that nobody is.
        if degree > HUB_DEGREE + 1 {
            return;
        }
        let mut tell = |supplier: &SupplierId, (other, at, withheld): &(SupplierId, Timestamp, bool)| {
            let fact = LinkFact {
                supplier: supplier.clone(),
                attribute: seen.attribute.clone(),
                other: other.clone(),
                at: *at,
                withheld: *withheld,
                degree: degree as u32,
            };
            out.emit(Topic::SupplierEvents, Dest::Key(supplier.to_string()), Payload::Link(fact));
        };
        let me = (seen.supplier.clone(), seen.at, seen.withheld);
        let others: BTreeSet<&String> = members.keys().filter(|id| *id != seen.supplier.as_str()).collect();
        for other in others {
            let member = &members[other];
            tell(&member.0, &me);
            if newcomer {
                tell(&seen.supplier, member);
            }
        }
    }

    fn tables(&mut self) -> Vec<&mut dyn AnyTable> {
        vec![&mut self.attributes]
    }
    fn restored(&mut self, _: &mut Vec<()>) {}
}
