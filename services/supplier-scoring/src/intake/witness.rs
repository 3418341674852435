//! Who vouches for an outcome. A claim is worth what the claimant's own record makes it worth, and that record must not
//! depend on the supplier concerned: orders at other suppliers before, over time, and few claims for them.

use stockade_model::{
    BuyerHistory, ClaimReason, OrderEvent, OrderEventKind, OutcomeCause, Timestamp, Vouched, time::DAY_MS,
};

/// Other suppliers ordered from that make a record whole.
const SUPPLIERS_WHOLE: f64 = 2.0;
/// Days since the first order that make it whole.
const DAYS_WHOLE: f64 = 21.0;
/// Claims that everybody has, and claims an order beyond them that make nobody suspicious.
const CLAIMS_USUAL: f64 = 1.0;
const CLAIMS_AN_ORDER: f64 = 0.1;
/// A record worth less than this is none.
const WEIGHT_MIN: f64 = 0.1;

/// What is known of the order beside the claim.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct OrderKnown {
    /// Whose doing the first that went wrong with it was.
    pub(super) spoiled_by: Option<OutcomeCause>,
    /// Whether a delivery was seen.
    pub(super) delivered: bool,
}

/// Who vouches for `event`, whose buyer had this history before it.
pub(super) fn vouched(
    event: &OrderEvent,
    history: Option<&BuyerHistory>,
    order: OrderKnown,
    now: Timestamp,
) -> Vouched {
    if !event.kind.is_claim() {
        return Vouched::Attested;
    }
    // Whoever paid back and says whose fault it was has looked into it.
    if event.kind == OrderEventKind::Refunded && event.cause == OutcomeCause::Supplier {
        return Vouched::Attested;
    }
    // A claim about what is known to be the carrier's or the platform's fault says nothing of the supplier.
    if matches!(order.spoiled_by, Some(OutcomeCause::Carrier | OutcomeCause::Platform)) {
        return Vouched::Bare;
    }
    // What a scan contradicts nobody vouches for.
    if event.reason == Some(ClaimReason::NotReceived) && order.delivered {
        return Vouched::Bare;
    }
    let weight = history.map_or(0.0, |history| worth(history, now));
    if weight < WEIGHT_MIN {
        return Vouched::Bare;
    }
    // Two decimals say enough, and keep records short.
    Vouched::Witnessed { weight: (weight * 100.0).round() / 100.0 }
}

/// What a buyer's record is worth, 0 to 1.
fn worth(history: &BuyerHistory, now: Timestamp) -> f64 {
    let breadth = (f64::from(history.suppliers_elsewhere) / SUPPLIERS_WHOLE).min(1.0);
    let days = (now.ms() - history.since.ms()).max(0) as f64 / DAY_MS as f64;
    let span = (days / DAYS_WHOLE).min(1.0);
    let usual = CLAIMS_USUAL + CLAIMS_AN_ORDER * f64::from(history.orders);
    let restraint = (usual / (CLAIMS_USUAL + f64::from(history.claims))).min(1.0);
    breadth * span * restraint
}
