//! An order in few bytes.

use stockade_fold::{Pack, Packer, Unpacker};
use stockade_model::{LineId, ListingId, ReservationId, Timestamp};

use super::{
    Line, Order, Reserved,
    act::{Act, Deed, Selection},
};
use crate::domain::packed::{id, pack_all, pack_some, unpack_all, unpack_some};

fn pack_id<T: AsRef<str>>(id: &T, to: &mut Packer<'_>) {
    to.text(id.as_ref());
}
fn pack_units(units: &i64, to: &mut Packer<'_>) {
    to.signed(*units);
}
fn line(from: &mut Unpacker<'_>) -> LineId {
    id(from, LineId::of_record)
}
fn listing(from: &mut Unpacker<'_>) -> ListingId {
    id(from, ListingId::of_record)
}
fn reservation(from: &mut Unpacker<'_>) -> ReservationId {
    id(from, ReservationId::of_record)
}

impl Line {
    fn pack(&self, to: &mut Packer<'_>) {
        pack_some(self.line.as_ref(), to, pack_id);
        pack_some(self.listing.as_ref(), to, pack_id);
        pack_some(self.placed.as_ref(), to, pack_units);
        to.number(u64::from(self.whole));
        pack_all(&self.reservations, to, pack_id);
    }
    fn unpack(from: &mut Unpacker<'_>) -> Self {
        Self {
            line: unpack_some(from, line),
            listing: unpack_some(from, listing),
            placed: unpack_some(from, Unpacker::signed),
            whole: from.number() == 1,
            reservations: unpack_all(from, reservation),
        }
    }
}

impl Reserved {
    fn pack(&self, to: &mut Packer<'_>) {
        pack_id(&self.name, to);
        pack_id(&self.listing, to);
        to.signed(self.units);
        to.number(u64::from(self.over));
    }
    fn unpack(from: &mut Unpacker<'_>) -> Self {
        Self {
            name: reservation(from),
            listing: listing(from),
            units: from.signed(),
            over: from.number() == 1,
        }
    }
}

impl Act {
    fn pack(&self, to: &mut Packer<'_>) {
        to.number(u64::from(self.deed == Deed::Cancelled));
        pack_some(self.of.line.as_ref(), to, pack_id);
        pack_some(self.of.reservation.as_ref(), to, pack_id);
        pack_some(self.of.listing.as_ref(), to, pack_id);
        pack_some(self.part.as_ref(), to, pack_id);
        pack_some(self.quantity.as_ref(), to, pack_units);
    }
    fn unpack(from: &mut Unpacker<'_>) -> Self {
        let deed = if from.number() == 1 { Deed::Cancelled } else { Deed::Shipped };
        let of = Selection {
            line: unpack_some(from, line),
            reservation: unpack_some(from, reservation),
            listing: unpack_some(from, listing),
        };
        let part = unpack_some(from, |from| from.text().into());
        Self { deed, of, part, quantity: unpack_some(from, Unpacker::signed) }
    }
}

impl Pack for Order {
    fn pack(&self, to: &mut Packer<'_>) {
        to.signed(self.touched.ms());
        pack_all(&self.lines, to, Line::pack);
        pack_all(&self.reserved, to, Reserved::pack);
        pack_all(&self.acts, to, Act::pack);
        pack_all(&self.waiting, to, |identity, to| to.raw(&identity.to_le_bytes()));
    }
    fn unpack(from: &mut Unpacker<'_>) -> Self {
        let touched = Timestamp::from_ms(from.signed());
        let lines = unpack_all(from, Line::unpack);
        let reserved = unpack_all(from, Reserved::unpack);
        let acts = unpack_all(from, Act::unpack);
        let waiting = unpack_all(from, |from| {
            from.read(|from| from.raw(size_of::<u128>()).try_into().map(u128::from_le_bytes))
        });
        Self { lines, reserved, acts, touched, waiting }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn name<T>(
        of_record: fn(&str) -> Result<T, stockade_model::Invalid>,
        names: &[&str],
        at: u8,
    ) -> Option<T> {
        names.get(usize::from(at) % (names.len() + 1)).map(|name| of_record(name).unwrap())
    }

    proptest! {
        #[test]
        fn an_order_comes_back_as_it_was(
            touched: i64,
            lines in prop::collection::vec(any::<(u8, u8, Option<i64>, bool, u8)>(), 0..4),
            reserved in prop::collection::vec(any::<(i64, bool)>(), 0..3),
            acts in prop::collection::vec(any::<(bool, u8, u8, u8, Option<i64>, Option<String>)>(), 0..4),
            waiting: Vec<u128>,
        ) {
            let line_of = |at| name(LineId::of_record, &["1", "line-2"], at);
            let listing_of = |at| name(ListingId::of_record, &["l", "Größe 1/2"], at);
            let reservation_of = |at| name(ReservationId::of_record, &["acme::x"], at);
            let order = Order {
                lines: lines.iter().map(|(line, listing, placed, whole, reservation)| Line {
                    line: line_of(*line),
                    listing: listing_of(*listing),
                    placed: *placed,
                    whole: *whole,
                    reservations: reservation_of(*reservation).into_iter().collect(),
                }).collect(),
                reserved: reserved.iter().map(|(units, over)| Reserved {
                    name: ReservationId::of_record("acme::r").unwrap(),
                    listing: ListingId::of_record("l").unwrap(),
                    units: *units,
                    over: *over,
                }).collect(),
                acts: acts.iter().map(|(cancelled, line, reservation, listing, quantity, part)| Act {
                    deed: if *cancelled { Deed::Cancelled } else { Deed::Shipped },
                    of: Selection {
                        line: line_of(*line),
                        reservation: reservation_of(*reservation),
                        listing: listing_of(*listing),
                    },
                    part: part.clone().map(String::into_boxed_str),
                    quantity: *quantity,
                }).collect(),
                touched: Timestamp::from_ms(touched),
                waiting,
            };
            let mut bytes = Vec::new();
            order.pack(&mut Packer::new(&mut bytes));
            prop_assert_eq!(Order::unpack(&mut Unpacker::new(&bytes)), order);
        }
    }
}
