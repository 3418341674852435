//! Orders as they are stored, and as earlier builds stored them.

use stockade_model::{ListingId, ReservationId, Timestamp};

use super::{
    Line, Order, Reserved,
    act::{Act, Deed, Selection},
};

/// The row as it is stored, and as earlier builds stored it: there a reservation was one line.
#[derive(serde::Deserialize)]
pub(super) struct StoredOrder {
    lines: Vec<StoredLine>,
    #[serde(default)]
    reserved: Vec<Reserved>,
    acts: Vec<Act>,
    touched: Timestamp,
    #[serde(default)]
    waiting: Vec<u128>,
}

#[derive(serde::Deserialize)]
struct StoredLine {
    #[serde(flatten)]
    line: Line,
    /// Of earlier builds: units of the reservations that had become this line.
    #[serde(default, rename = "reserved")]
    former: i64,
}

impl From<StoredOrder> for Order {
    fn from(row: StoredOrder) -> Self {
        let StoredOrder { lines, reserved, acts, touched, waiting } = row;
        let mut order = Self { reserved, acts, touched, waiting, ..Self::default() };
        for StoredLine { line, former } in lines {
            order.restore(line, former);
        }
        order.lines.sort_unstable();
        order.reserved.sort_unstable();
        order
    }
}

/// One line of an order as earlier builds stored it, under `supplier/order/listing`.
#[derive(Clone, Copy, Debug, Default, serde::Serialize, serde::Deserialize)]
pub(crate) struct FormerLine {
    quantity: i64,
    placed: bool,
    shipped: bool,
    cancelled: bool,
    touched: Timestamp,
}

impl Order {
    /// Takes a line of which an earlier build stored that it was `former` reserved units.
    fn restore(&mut self, mut line: Line, former: i64) {
        line.reservations.sort_unstable();
        if let (Some(listing), 1..) = (&line.listing, former) {
            let mut units = former;
            for name in &line.reservations {
                // Which had how many was not kept.
                let (name, listing, units) = (name.clone(), listing.clone(), std::mem::take(&mut units));
                self.reserved.push(Reserved { name, listing, units, over: false });
            }
            line.whole = line.line.is_none() && line.placed == Some(former);
        }
        if line.line.is_some() || line.placed.is_some() {
            self.add(line);
        }
    }

    /// Takes a line that an earlier build stored. One that a confirmed hold left is a reservation's: whether it was placed
    /// beside that was not kept.
    pub(crate) fn take_former(
        &mut self,
        listing: &ListingId,
        former: FormerLine,
        hold: Option<&ReservationId>,
    ) {
        let FormerLine { quantity, placed, shipped, cancelled, touched } = former;
        if placed {
            let line = Line {
                line: None,
                listing: Some(listing.clone()),
                placed: hold.is_none().then_some(quantity),
                whole: false,
                reservations: hold.cloned().into_iter().collect(),
            };
            self.restore(line, if hold.is_some() { quantity } else { 0 });
        }
        let mut act = |deed, quantity| {
            let of = Selection { line: None, reservation: None, listing: Some(listing.clone()) };
            self.acts.push(Act { deed, of, part: None, quantity });
        };
        if shipped {
            act(Deed::Shipped, (!placed).then_some(quantity));
        }
        if cancelled {
            act(Deed::Cancelled, None);
        }
        self.lines.sort_unstable();
        self.reserved.sort_unstable();
        self.acts.sort_unstable();
        self.touched = self.touched.max(touched);
    }
}
