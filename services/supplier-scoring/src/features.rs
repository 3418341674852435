//! The features rules may read, in slot order, and how each is taken from a supplier's state.

use stockade_model::{Timestamp, time::HOUR_MS};
use stockade_rules::{Feature, FeatureSchema};

use crate::{
    history::{Count, Span},
    scoring::{Subject, Supplier},
};

/// State a feature is taken from.
pub(crate) struct View<'a> {
    pub(crate) supplier: &'a Supplier,
    pub(crate) subject: &'a Subject,
    pub(crate) now: Timestamp,
}

type Take = fn(&View<'_>) -> Option<f64>;

macro_rules! features {
    ($($name:literal, $unit:literal, $meaning:literal, $take:expr;)*) => {
        /// Every feature, in slot order. New ones go to the end.
        pub const FEATURES: &[Feature] = &[
            $(Feature { name: $name, unit: $unit, meaning: $meaning },)*
            Feature { name: "score.total", unit: "points", meaning: "the supplier's score, 0 (trusted) to 1000" },
        ];
        /// All but the score, which is made from them.
        const TAKES: &[Take] = &[$($take,)*];
    };
}

fn hours_since(then: Option<Timestamp>, now: Timestamp) -> Option<f64> {
    then.map(|then| (now.ms() - then.ms()).max(0) as f64 / HOUR_MS as f64)
}

features! {
    "supplier.age_days", "days", "since it began to trade; unknown before it is registered",
        |v| hours_since(v.supplier.since, v.now).map(|hours| hours / 24.0);
    "supplier.orders_ever", "count", "orders ever placed", |v| Some(v.supplier.orders_ever as f64);
    "supplier.shipped_ever", "units", "units ever shipped", |v| Some(v.supplier.shipped_units_ever as f64);
    "orders.count_24h", "count", "orders in 24 hours", |v| v.supplier.history.count(Count::Orders, Span::Day);
    "orders.count_7d", "count", "orders in 7 days", |v| v.supplier.history.count(Count::Orders, Span::Week);
    "orders.count_30d", "count", "orders in 30 days", |v| v.supplier.history.count(Count::Orders, Span::Month);
    "orders.buyers_7d", "count", "distinct buyers in 7 days", |v| v.supplier.history.parties(Count::Orders, Span::Week);
    "shipped.count_30d", "count", "shipments in 30 days", |v| v.supplier.history.count(Count::Shipped, Span::Month);
    "delivered.count_30d", "count", "deliveries in 30 days", |v| v.supplier.history.count(Count::Delivered, Span::Month);
    "cancellations.count_24h", "count", "orders cancelled by the supplier's own doing in 24 hours",
        |v| v.supplier.history.count(Count::Cancellations, Span::Day);
    "cancellations.count_7d", "count", "the same in 7 days", |v| v.supplier.history.count(Count::Cancellations, Span::Week);
    "cancellations.buyers_7d", "count", "distinct buyers cancelled on in 7 days",
        |v| v.supplier.history.parties(Count::Cancellations, Span::Week);
    "cancellations.rate_7d", "ratio", "cancelled by the supplier per order in 7 days",
        |v| v.supplier.history.rate(Count::Cancellations, Count::Orders, Span::Week);
    "cancellations.rate_7d_low", "ratio", "Wilson lower bound of that rate",
        |v| v.supplier.history.rate_low(Count::Cancellations, Count::Orders, Span::Week);
    "cancellations.count_30d", "count", "the same count in 30 days",
        |v| v.supplier.history.count(Count::Cancellations, Span::Month);
    "cancellations.rate_30d_low", "ratio", "Wilson lower bound of the rate in 30 days",
        |v| v.supplier.history.rate_low(Count::Cancellations, Count::Orders, Span::Month);
    "claims.count_7d", "count", "credible disputes and complaints in 7 days",
        |v| v.supplier.history.count(Count::Claims, Span::Week);
    "claims.buyers_7d", "count", "distinct buyers behind them", |v| v.supplier.history.parties(Count::Claims, Span::Week);
    "claims.buyers_30d", "count", "distinct buyers with credible claims in 30 days",
        |v| v.supplier.history.parties(Count::Claims, Span::Month);
    "claims.rate_30d_low", "ratio", "Wilson lower bound of credible claims per order in 30 days",
        |v| v.supplier.history.rate_low(Count::Claims, Count::Orders, Span::Month);
    "frauds.count_7d", "count", "confirmed frauds in 7 days", |v| v.supplier.history.count(Count::Frauds, Span::Week);
    "frauds.buyers_7d", "count", "distinct buyers defrauded in 7 days", |v| v.supplier.history.parties(Count::Frauds, Span::Week);
    "frauds.rate_7d_low", "ratio", "Wilson lower bound of confirmed frauds per order in 7 days",
        |v| v.supplier.history.rate_low(Count::Frauds, Count::Orders, Span::Week);
    "frauds.count_30d", "count", "confirmed frauds in 30 days", |v| v.supplier.history.count(Count::Frauds, Span::Month);
    "frauds.buyers_30d", "count", "distinct buyers defrauded in 30 days", |v| v.supplier.history.parties(Count::Frauds, Span::Month);
    "frauds.rate_30d_low", "ratio", "Wilson lower bound of confirmed frauds per order in 30 days",
        |v| v.supplier.history.rate_low(Count::Frauds, Count::Orders, Span::Month);
    "reviews.count_30d", "count", "reviews in 30 days", |v| v.supplier.history.count(Count::Reviews, Span::Month);
    "reviews.low_30d", "count", "ratings of 1 or 2 in 30 days", |v| v.supplier.history.count(Count::LowReviews, Span::Month);
    "reviews.low_buyers_30d", "count", "distinct buyers behind them", |v| v.supplier.history.parties(Count::LowReviews, Span::Month);
    "reviews.low_rate_30d_low", "ratio", "Wilson lower bound of low ratings per review in 30 days",
        |v| v.supplier.history.rate_low(Count::LowReviews, Count::Reviews, Span::Month);
    "late.count_30d", "count", "shipments handed over late in 30 days", |v| v.supplier.history.count(Count::Late, Span::Month);
    "late.rate_30d_low", "ratio", "Wilson lower bound of late hand-overs per shipment in 30 days",
        |v| v.supplier.history.rate_low(Count::Late, Count::Shipped, Span::Month);
    "listings.new_1h", "count", "listings first seen in the last hour", |v| v.supplier.history.count(Count::NewListings, Span::Hour);
    "listings.new_24h", "count", "listings first seen in 24 hours", |v| v.supplier.history.count(Count::NewListings, Span::Day);
    "submissions.count_1h", "count", "rows submitted in the last hour", |v| v.supplier.history.count(Count::Submissions, Span::Hour);
    "prices.low_24h", "count", "distinct listings at two fifths of the market's median price or less in 24 hours",
        |v| v.supplier.history.parties(Count::LowPrices, Span::Day);
    "prices.low_rate_24h_low", "ratio", "Wilson lower bound of such prices per price with a known market in 24 hours",
        |v| v.supplier.history.rate_low(Count::LowPrices, Count::Priced, Span::Day);
    "stock.implausible_24h", "count", "distinct listings claiming over 50 times the market's median units in 24 hours",
        |v| v.supplier.history.parties(Count::Implausible, Span::Day);
    "stock.claimed_24h", "units", "units claimed by submissions in 24 hours", |v| v.supplier.history.sum(Count::Claimed, Span::Day);
    "stock.claim_ratio", "ratio", "units claimed in 24 hours per unit ever shipped",
        |v| Some(v.supplier.history.sum(Count::Claimed, Span::Day)? / (v.supplier.shipped_units_ever as f64).max(1.0));
    "account.payout_changed_hours", "hours", "since the payout account was changed; unknown if never",
        |v| hours_since(v.supplier.payout_changed, v.now);
    "account.new_device_hours", "hours", "since a login from a new device; unknown if never",
        |v| hours_since(v.supplier.new_device, v.now);
    "account.dormant_days", "days", "how long it had been silent before it woke up in the last 48 hours, else 0",
        |v| Some(v.supplier.dormant_days(v.now));
    "listing.price_ratio", "ratio", "price of the submission per median of its market; unknown without one",
        |v| v.subject.price_ratio;
    "listing.units_ratio", "ratio", "units of the submission per median of its market; unknown without one",
        |v| v.subject.units_ratio;
}

/// The schema of this build.
pub fn schema() -> FeatureSchema {
    FeatureSchema::new(FEATURES)
}

/// The slots of a vector without the score; NaN where unknown.
pub(crate) fn slots(view: &View<'_>) -> Vec<f32> {
    TAKES.iter().map(|take| take(view).map_or(f32::NAN, |value| value as f32)).collect()
}
