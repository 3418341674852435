//! Inventory: what suppliers have, and what buyers may see of it.
//!
//! * [`domain`] is pure: the inventory fold, and the availability index that its effects feed.
//! * [`http`] is the API of suppliers, buyers and order systems.
//! * [`app`] is what connects the two in one process, [`metrics`] what it tells of itself.
//! * [`applied`] knows when decisions reached buyers here.
//! * [`bounds`] is how much one supplier may have.
//! * [`changes`] tells streams of buyers what to look at again.
//! * [`imports`] takes whole files and applies them at the pace of their supplier's allowance.
//! * [`replica`] is what differs where only buyers are answered, from a copy of another region's topics.
//! * [`picture`] is what is kept on the disk of what buyers see, and shown where the log cannot be reached.
//! * [`buyers`] is what one buyer's key may have at once.
//! * [`storm`] is what order systems may send while it comes faster than it goes through.
//! * [`promises`] is what the marketplace promises of orders whose order system promises nothing.

pub mod app;
pub mod applied;
mod baskets;
pub mod bounds;
pub mod buyers;
pub mod changes;
pub mod domain;
pub mod edge;
mod ends;
pub mod fairness;
mod freshness;
mod heard;
pub mod http;
pub mod imports;
pub mod metrics;
pub mod picture;
pub mod promises;
pub mod replica;
mod reservations;
pub mod storm;

use stockade_fold::Spec;
use stockade_log::{Ack, Mode};
use stockade_model::Topic;

/// The same where the log is a copy: it follows, and is no member of any group.
pub const fn replica_spec(partitions: u32) -> Spec {
    Spec { mode: Mode::Follow, ..inventory_spec(partitions) }
}

/// The inventory fold over `supplier.events`. Every replica follows all partitions for its index.
pub const fn inventory_spec(partitions: u32) -> Spec {
    Spec {
        name: "inventory",
        input: Topic::SupplierEvents,
        mode: Mode::All,
        ack: Ack::Ordered,
        partitions,
        flush_records: 20_000,
    }
}
