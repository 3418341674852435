//! Whether a row says only what is known, so that it need not go through the log.
//!
//! It may be left out only when nothing about its listing is on its way: then the state that it is compared with is the state
//! that it would meet. That is so when this replica has applied everything that was in the supplier's partition when the chunk's
//! turn came; whatever is appended after that is later than the row, as if the row had been applied just before.

use std::time::Duration;

use stockade_log::partition_of;
use stockade_model::{Row, StockMode, SupplierId, Topic};

use super::Imports;
use crate::domain::Offer;

/// How long it is waited for what is on its way; past that rows are sent, changed or not.
const SETTLE_MAX: Duration = Duration::from_secs(2);
const LOOK_AGAIN: Duration = Duration::from_millis(2);

impl Imports {
    /// Waits until everything that is in a supplier's partition now is applied here; false when that takes too long.
    pub(super) async fn settled(&self, supplier: &SupplierId) -> bool {
        let topic = Topic::SupplierEvents;
        let partition = partition_of(supplier.as_str().as_bytes(), topic.partitions(self.app.partitions));
        let log = self.app.log.clone();
        // A broker is asked, which blocks.
        let end = tokio::task::spawn_blocking(move || log.bounds(topic.name(), partition)).await;
        let Ok(Ok(bounds)) = end else {
            tokio::time::sleep(LOOK_AGAIN).await;
            return false;
        };
        let applied = async {
            while self.app.board.progress("inventory", partition).next < bounds.end {
                tokio::time::sleep(LOOK_AGAIN).await;
            }
        };
        tokio::time::timeout(SETTLE_MAX, applied).await.is_ok()
    }

    /// Whether a row of a supplier whose partition is settled says only what is known.
    ///
    /// A row with a sequence always goes, for the sequence itself is news. So does stock of zero: the index shows what was
    /// oversold as zero too.
    pub(super) fn is_unchanged(&self, supplier: &SupplierId, row: &Row) -> bool {
        let known = || stockade_model::ListingId::of_record(row.subject()).ok();
        let Some(offer) = known().and_then(|listing| self.app.own_listing(supplier, &listing)) else {
            return false;
        };
        says_the_same(row, &offer)
    }
}

fn says_the_same(row: &Row, offer: &Offer) -> bool {
    match row {
        Row::Stock(change) => {
            change.mode == StockMode::Set
                && change.source_seq.is_none()
                && change.quantity > 0
                && change.quantity == offer.on_hand
        }
        Row::Put(put) => {
            let stock = put.on_hand.is_none_or(|units| units > 0 && units == offer.on_hand);
            let regions = match put.regions.as_slice() {
                [] => !offer.own_regions,
                regions => offer.own_regions && *regions == *offer.regions,
            };
            stock
                && regions
                && put.source_seq.is_none()
                && !offer.withdrawn
                && put.sku == offer.sku
                && put.gtin == offer.gtin
                && put.location == offer.location
                && put.price == offer.price
        }
        _ => false,
    }
}
