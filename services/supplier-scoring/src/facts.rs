//! What a feature may say of a supplier beside its windows.

use std::sync::Arc;

use serde::Deserialize;
use stockade_model::{
    Timestamp,
    time::{DAY_MS, HOUR_MS},
};
use stockade_rules::Bounds;
use stockade_windows::Windows;

use crate::{
    evidence::Evidence,
    links::Linked,
    model::Model,
    scoring::{Subject, Supplier},
};

/// State a feature is taken from.
pub(crate) struct View<'a> {
    pub(crate) supplier: &'a Supplier,
    pub(crate) windows: &'a Windows,
    pub(crate) subject: &'a Subject,
    pub(crate) now: Timestamp,
    pub(crate) linked: Option<&'a Linked>,
    pub(crate) models: &'a LiveModels,
    pub(crate) evidence: Option<&'a Evidence>,
}

/// The models in force, read.
#[derive(Clone, Debug, Default)]
pub(crate) struct LiveModels {
    pub(crate) champion: Option<Arc<Model>>,
    pub(crate) challenger: Option<Arc<Model>>,
}

/// A fact that a feature may be declared as.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Fact {
    /// Days since it began to trade; unknown before it is registered.
    AgeDays,
    /// Orders ever placed.
    OrdersEver,
    /// Units ever shipped, at least 1, for dividing by.
    ShippedEver,
    /// Hours since the payout account was changed; unknown if never.
    PayoutChangedHours,
    /// Hours since a login from a new device; unknown if never.
    NewDeviceHours,
    /// Days it had been silent before it woke up in the last 48 hours, else 0.
    DormantDays,
    /// Price of the submission per median of its market; unknown without one.
    ListingPriceRatio,
    /// Robust z-score of that price: distance from the median in 1.4826 median absolute deviations.
    ListingPriceZ,
    /// Units of the submission per median of its market; unknown without one.
    ListingUnitsRatio,
    /// Offers of the good by others when it was submitted; unknown without enough of them to be a market.
    MarketOffers,
    /// Their median units.
    MarketMedianUnits,
    /// Days since the youngest event that its full history has lost; unknown if none was.
    HistoryLostDays,
    /// Events that came too late to be placed.
    HistoryLateEvents,
    /// Worth of the links to withheld suppliers; 1 is one shared payout account, seen today, nobody else's.
    LinksStrength,
    /// Odds of all tests together, of the supplier and of those it shares something with; unknown without links.
    LinksEvidence,
    /// Links known, to anybody.
    LinksKnown,
}

fn hours_since(then: Option<Timestamp>, now: Timestamp) -> Option<f64> {
    then.map(|then| (now.ms() - then.ms()).max(0) as f64 / HOUR_MS as f64)
}

impl Fact {
    /// What values it can have.
    pub(crate) fn bounds(self) -> Bounds {
        match self {
            Self::OrdersEver | Self::MarketOffers | Self::HistoryLateEvents | Self::LinksKnown => {
                Bounds::COUNT
            }
            Self::ShippedEver => Bounds { low: 1.0, ..Bounds::COUNT },
            Self::AgeDays
            | Self::PayoutChangedHours
            | Self::NewDeviceHours
            | Self::DormantDays
            | Self::HistoryLostDays
            | Self::LinksStrength
            | Self::LinksEvidence => Bounds::POSITIVE,
            Self::ListingPriceRatio
            | Self::ListingUnitsRatio
            | Self::ListingPriceZ
            | Self::MarketMedianUnits => Bounds::ANY,
        }
    }

    pub(crate) fn take(self, view: &View<'_>) -> Option<f64> {
        let (supplier, subject, now) = (view.supplier, view.subject, view.now);
        match self {
            Self::AgeDays => hours_since(supplier.since, now).map(|hours| hours / 24.0),
            Self::OrdersEver => Some(supplier.orders_ever as f64),
            Self::ShippedEver => Some((supplier.shipped_units_ever as f64).max(1.0)),
            Self::PayoutChangedHours => hours_since(supplier.payout_changed, now),
            Self::NewDeviceHours => hours_since(supplier.new_device, now),
            Self::DormantDays => Some(supplier.dormant_days(now)),
            Self::ListingPriceRatio => subject.price_ratio,
            Self::ListingPriceZ => subject.price_z,
            Self::ListingUnitsRatio => subject.units_ratio,
            Self::MarketOffers => subject.market.map(|market| f64::from(market.offers)),
            Self::MarketMedianUnits => subject.market.map(|market| market.median_units as f64),
            Self::HistoryLostDays => {
                view.windows.lost_until_ms().map(|lost| (now.ms() - lost).max(0) as f64 / DAY_MS as f64)
            }
            Self::LinksEvidence => view
                .linked
                .and_then(|linked| linked.evidence_of_others(now))
                .map(|others| view.evidence.map_or(others.max(0.0), |own| own.with_others(others))),
            Self::LinksStrength => Some(view.linked.map_or(0.0, |linked| linked.strength(now))),
            Self::LinksKnown => Some(view.linked.map_or(0.0, |linked| linked.edges().len() as f64)),
            Self::HistoryLateEvents => Some(view.windows.late() as f64),
        }
    }
}
