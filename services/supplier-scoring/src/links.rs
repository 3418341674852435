//! Linked suppliers: who shares a payout account, a device, an address or a tax id with whom.
//!
//! The links fold, keyed by attribute, knows who was seen with it and tells each of them about the others. What a link is
//! worth fades with time and with the number of suppliers that share the attribute: a logistics firm or a shared office
//! links everybody and says nothing. It counts against who came to the attribute later, or within a day of the other: a payout
//! account is no secret, and whoever names that of an honest supplier and gets itself withheld must not weigh on it. A link is evidence beside other evidence; rules cannot lock by links alone (see
//! `stockade_rules`).

use std::collections::{BTreeMap, BTreeSet};

use stockade_fold::{AnyTable, Dest, Fold, Input, Out, Table};
use stockade_model::{
    Attribute, AttributeKind, Decision, LinkFact, LinkSeen, Payload, SupplierId, Timestamp, Topic,
    time::DAY_MS,
};

/// Suppliers that may share an attribute before it is a hub, which links nobody.
const HUB_DEGREE: usize = 20;
/// Who came to an attribute within this time of another came at the same time: times are those of records of two partitions.
const SAME_TIME_MS: i64 = DAY_MS;
/// Suppliers counted for an attribute.
const MEMBERS_MAX: usize = 1_000;
/// A link not seen again is worth half after this time.
const HALF_LIFE_DAYS: f64 = 90.0;
/// A link is forgotten after this time.
const FORGET_MS: i64 = 365 * DAY_MS;
/// An attribute seen again within this time says nothing new.
const SEEN_AGAIN_MS: i64 = DAY_MS;
/// Evidence that differs by this from what others were told, in powers of ten, is news.
const EVIDENCE_NEWS: f64 = 0.3;
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
    /// The evidence against the other, an e-value in powers of ten.
    #[serde(default)]
    pub evidence: f64,
    /// Whether the other came to it after this supplier: then the link says nothing against this one.
    #[serde(default)]
    pub came_later: bool,
}

impl Edge {
    /// What the evidence against the other counts for here, in powers of ten. A power of at most one of an e-value is one
    /// too, so what is shared and how long ago may lessen it; how many share it may not, for each of them is looked at.
    fn evidence(&self, now: Timestamp) -> f64 {
        let days = (now.ms() - self.at.ms()).max(0) as f64 / DAY_MS as f64;
        if self.degree as usize > HUB_DEGREE || self.came_later {
            0.0
        } else {
            self.evidence * weight(self.attribute.kind) * libm::exp2(-days / HALF_LIFE_DAYS)
        }
    }

    /// What it is worth against this supplier at `now`, 0 to 1.
    pub fn worth(&self, now: Timestamp) -> f64 {
        let days = (now.ms() - self.at.ms()).max(0) as f64 / DAY_MS as f64;
        let others = f64::from(self.degree.max(2) - 1);
        if self.degree as usize > HUB_DEGREE || self.came_later {
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
    /// When it was first seen with each of them. Of what an earlier build stored that is not known; it was by when it was last told.
    #[serde(default)]
    first: BTreeMap<String, Timestamp>,
    withheld: bool,
    edges: Vec<Edge>,
    /// The evidence as others were last told.
    #[serde(default)]
    evidence: f64,
}

impl Linked {
    /// When it was first seen with an attribute, as far as is known.
    fn since(&self, key: &str) -> Option<Timestamp> {
        self.first.get(key).or(self.own.get(key).map(|(_, told)| told)).copied()
    }

    /// Sum over the distinct suppliers at the other end of what the best link to each counts for.
    fn sum<'a>(edges: impl Iterator<Item = &'a Edge>, of: impl Fn(&Edge) -> f64) -> f64 {
        let mut best: BTreeMap<&SupplierId, f64> = BTreeMap::new();
        for edge in edges {
            let value = of(edge);
            let known = best.entry(&edge.other).or_insert(value);
            if value.abs() > known.abs() {
                *known = value;
            }
        }
        // Not `sum`: of nothing that is minus zero.
        best.values().fold(0.0, |sum, value| sum + value)
    }
    /// Sum of the worth of links to withheld suppliers.
    pub(crate) fn strength(&self, now: Timestamp) -> f64 {
        Self::sum(self.edges.iter().filter(|edge| edge.withheld), |edge| edge.worth(now))
    }
    /// The evidence against all who share something with it: of suppliers who have nothing to do with each other each e-value
    /// has a mean of at most one, and so has their product. Unknown without links.
    pub(crate) fn evidence_of_others(&self, now: Timestamp) -> Option<f64> {
        (!self.edges.is_empty()).then(|| Self::sum(self.edges.iter(), |edge| edge.evidence(now)))
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
                if let Some(key) = oldest.map(|(key, _)| key.clone()) {
                    linked.own.remove(&key);
                    linked.first.remove(&key);
                }
            }
            linked.first.entry(key.clone()).or_insert(told.unwrap_or(now));
            linked.own.insert(key.clone(), (attribute.clone(), now));
            tell(id, attribute, now, linked, out);
        }
    }

    /// The evidence against the supplier is now this: whoever shares something with it hears of it when that is news.
    pub(crate) fn weighed<E>(&mut self, id: &SupplierId, evidence: f64, out: &mut Out<E>) {
        let known = self.0.get(id).filter(|linked| !linked.own.is_empty());
        if known.is_none_or(|linked| (linked.evidence - evidence).abs() < EVIDENCE_NEWS) {
            return;
        }
        let linked = self.0.edit_or(id, Linked::default);
        linked.evidence = evidence;
        for (attribute, told) in linked.own.values() {
            tell(id, attribute, *told, linked, out);
        }
    }

    /// A decision changed what is in force: whoever shares something with the supplier hears of it. Answers whether a supplier
    /// that was withheld is so no more.
    pub(crate) fn decided<E>(&mut self, decision: &Decision, now: Timestamp, out: &mut Out<E>) -> bool {
        let withheld = decision.in_force.iter().any(|restriction| restriction.level.withholds());
        let known = self.0.get(&decision.supplier).map(|linked| linked.withheld);
        if known.unwrap_or(false) == withheld {
            return false;
        }
        let linked = self.0.edit_or(&decision.supplier, Linked::default);
        linked.withheld = withheld;
        for (key, (_, told)) in &mut linked.own {
            linked.first.entry(key.clone()).or_insert(*told);
            *told = now;
        }
        for (attribute, told) in linked.own.values() {
            tell(&decision.supplier, attribute, *told, linked, out);
        }
        !withheld
    }

    /// Another supplier shares an attribute.
    pub(crate) fn learn(&mut self, fact: &LinkFact, now: Timestamp) {
        let linked = self.0.edit_or(&fact.supplier, Linked::default);
        let since = linked.since(&attribute_key(&fact.attribute));
        let came_later = match since.zip(fact.since) {
            Some((own, other)) => other.ms() - own.ms() > SAME_TIME_MS,
            // Who comes to it hears of those who are there without since when, and what an earlier build tells says nothing of it either.
            None => linked
                .edges
                .iter()
                .any(|edge| edge.came_later && edge.attribute == fact.attribute && edge.other == fact.other),
        };
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
            evidence: fact.evidence,
            came_later,
        });
    }
}

fn attribute_key(attribute: &Attribute) -> String {
    format!("link/{:?}/{}", attribute.kind, attribute.hash)
}

fn tell<E>(id: &SupplierId, attribute: &Attribute, at: Timestamp, linked: &Linked, out: &mut Out<E>) {
    let key = attribute_key(attribute);
    let seen = LinkSeen {
        attribute: attribute.clone(),
        supplier: id.clone(),
        at,
        withheld: linked.withheld,
        evidence: linked.evidence,
        since: linked.since(&key),
    };
    out.emit(Topic::ScoringRekeyed, Dest::Key(key), Payload::LinkSeen(seen));
}

/// Who was seen with an attribute.
type Members = BTreeMap<String, Member>;

/// One of them: who, when last, whether it is withheld, and the evidence against it.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
struct Member(SupplierId, Timestamp, bool, #[serde(default)] f64);

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
        members.retain(|_, Member(_, at, ..)| input.time.ms() - at.ms() < FORGET_MS);
        let newcomer = !members.contains_key(seen.supplier.as_str());
        let is_counted = !newcomer || members.len() < MEMBERS_MAX;
        let me = Member(seen.supplier.clone(), seen.at, seen.withheld, seen.evidence);
        if is_counted {
            members.insert(seen.supplier.to_string(), me.clone());
        }
        let degree = members.len();
        let mut tell = |supplier: &SupplierId, Member(other, at, withheld, evidence): &Member| {
            // Since when the others are there is not kept: who hears of them is the one who came.
            let since = seen.since.filter(|_| *other == seen.supplier);
            let fact = LinkFact {
                supplier: supplier.clone(),
                attribute: seen.attribute.clone(),
                other: other.clone(),
                at: *at,
                withheld: *withheld,
                degree: degree as u32,
                evidence: *evidence,
                since,
            };
            out.emit(Topic::SupplierEvents, Dest::Key(supplier.to_string()), Payload::Link(fact));
        };
        // The last who makes it a hub is still told about, so that everybody's links fade. After that nobody is, and a newcomer hears
        // of one only, which links it to nobody, but says among how many it comes.
        if degree > HUB_DEGREE + 1 || !is_counted {
            let one = members.iter().find(|(id, _)| *id != seen.supplier.as_str()).filter(|_| newcomer);
            if let Some((_, member)) = one {
                tell(&seen.supplier, member);
            }
            return;
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Rows as an earlier build wrote them.
    #[derive(serde::Serialize, serde::Deserialize)]
    struct Former {
        own: BTreeMap<String, (Attribute, Timestamp)>,
        withheld: bool,
        edges: Vec<FormerEdge>,
        evidence: f64,
    }
    #[derive(serde::Serialize, serde::Deserialize)]
    struct FormerEdge {
        attribute: Attribute,
        other: SupplierId,
        at: Timestamp,
        withheld: bool,
        degree: u32,
        evidence: f64,
    }

    fn day(day: i64) -> Timestamp {
        Timestamp::from_ms(day * DAY_MS)
    }

    #[test]
    fn what_an_earlier_build_stored_is_read_and_its_links_count_until_more_is_known() {
        let attribute = Attribute { kind: AttributeKind::Payout, hash: "a".repeat(32) };
        let (own, other) = (SupplierId::new("own").unwrap(), SupplierId::new("other").unwrap());
        let former = Former {
            own: [(attribute_key(&attribute), (attribute.clone(), day(10)))].into(),
            withheld: false,
            edges: vec![FormerEdge {
                attribute: attribute.clone(),
                other: other.clone(),
                at: day(20),
                withheld: true,
                degree: 2,
                evidence: 0.0,
            }],
            evidence: 0.0,
        };
        let mut view = LinkView::new(1);
        let mut stored = Table::<SupplierId, Former>::new(1);
        stored.insert(own.clone(), former);
        let key = AnyTable::take_dirty(&mut stored).remove(0);
        let row = AnyTable::encode(&stored, &key).unwrap();
        view.table().load(&key, &row).unwrap();
        let strength = |view: &LinkView| view.get(&own).map(|linked| linked.strength(day(20)));
        assert_eq!(strength(&view), Some(1.0));
        let mut fact = LinkFact {
            supplier: own.clone(),
            attribute,
            other,
            at: day(20),
            withheld: true,
            degree: 2,
            evidence: 0.0,
            since: Some(day(12)),
        };
        view.learn(&fact, day(20));
        assert_eq!(strength(&view), Some(0.0), "it had been told of two days before");
        fact.since = None;
        view.learn(&fact, day(20));
        assert_eq!(strength(&view), Some(0.0), "what an earlier build says takes nothing back");
        fact.since = Some(day(9));
        view.learn(&fact, day(20));
        assert_eq!(strength(&view), Some(1.0));
    }
}
