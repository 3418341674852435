//! Rows in few bytes: what is written is what is usual, and flags say what is not.

use stockade_fold::{Pack, Packer, Unpacker};
use stockade_model::{Currency, Gtin, Invalid, LocationId, Money, Region, Sku, Timestamp};

use super::state::Listing;

/// Flags of a listing.
mod flag {
    pub(super) const GTIN: u64 = 1;
    pub(super) const LISTING_SEQ: u64 = 2;
    pub(super) const STOCK_SEQ: u64 = 4;
    /// The stock's sequence is that of the listing.
    pub(super) const ONE_SEQ: u64 = 8;
    pub(super) const WITHDRAWN: u64 = 16;
    /// Something is held, confirmed or committed.
    pub(super) const OWES: u64 = 32;
    /// What is counted is not what is on the shelf.
    pub(super) const COUNTED: u64 = 64;
}

/// A text that is an id, as records have it.
pub(super) fn id<T>(from: &mut Unpacker<'_>, of_record: impl FnOnce(&str) -> Result<T, Invalid>) -> T {
    from.read(|from| of_record(from.text()))
}

/// A part that may be missing: the number before it says so.
pub(super) fn pack_some<T>(part: Option<&T>, to: &mut Packer<'_>, pack: impl FnOnce(&T, &mut Packer<'_>)) {
    to.number(u64::from(part.is_some()));
    if let Some(part) = part {
        pack(part, to);
    }
}

/// What [`pack_some`] wrote.
pub(super) fn unpack_some<'a, T>(
    from: &mut Unpacker<'a>,
    unpack: impl FnOnce(&mut Unpacker<'a>) -> T,
) -> Option<T> {
    (from.number() == 1).then(|| unpack(from))
}

/// Parts one behind the other, with their number.
pub(super) fn pack_all<T>(parts: &[T], to: &mut Packer<'_>, pack: impl Fn(&T, &mut Packer<'_>)) {
    to.number(parts.len() as u64);
    parts.iter().for_each(|part| pack(part, to));
}

/// What [`pack_all`] wrote.
pub(super) fn unpack_all<'a, T>(from: &mut Unpacker<'a>, unpack: impl Fn(&mut Unpacker<'a>) -> T) -> Vec<T> {
    (0..from.number()).map(|_| unpack(from)).collect()
}

impl Pack for Listing {
    fn pack(&self, to: &mut Packer<'_>) {
        let one_seq = self.stock_seq.is_some() && self.stock_seq == self.listing_seq;
        let stock_seq = self.stock_seq.filter(|_| !one_seq);
        let owes = (self.held, self.confirmed, self.committed) != (0, 0, 0);
        let counted = i64::try_from(self.counted).ok() != Some(self.on_hand);
        let flags = [
            (self.gtin.is_some(), flag::GTIN),
            (self.listing_seq.is_some(), flag::LISTING_SEQ),
            (stock_seq.is_some(), flag::STOCK_SEQ),
            (one_seq, flag::ONE_SEQ),
            (self.withdrawn, flag::WITHDRAWN),
            (owes, flag::OWES),
            (counted, flag::COUNTED),
        ];
        to.number(flags.iter().filter(|(set, _)| *set).map(|(_, flag)| flag).sum());
        to.text(self.sku.as_str());
        to.text(self.location.as_str());
        to.raw(self.price.currency.as_str().as_bytes());
        to.signed(self.price.minor);
        pack_all(&self.regions, to, |region, to| to.text(region.as_str()));
        to.signed(self.on_hand);
        to.number(self.version);
        to.signed(self.updated.ms());
        for number in [self.gtin.map(Gtin::digits), self.listing_seq, stock_seq].into_iter().flatten() {
            to.number(number);
        }
        if owes {
            [self.held, self.confirmed, self.committed].into_iter().for_each(|units| to.signed(units));
        }
        if counted {
            to.number(self.counted);
        }
    }

    fn unpack(from: &mut Unpacker<'_>) -> Self {
        let flags = from.number();
        let has = |flag: u64| flags & flag != 0;
        let sku = id(from, Sku::of_record);
        let location = id(from, LocationId::of_record);
        let currency = from.read(|from| {
            let code = std::str::from_utf8(from.raw(3)).unwrap_or_default();
            Currency::of_record(code)
        });
        let price = Money { minor: from.signed(), currency };
        let regions = unpack_all(from, |from| id(from, Region::of_record));
        let on_hand = from.signed();
        let version = from.number();
        let updated = Timestamp::from_ms(from.signed());
        let gtin = has(flag::GTIN).then(|| Gtin::of_digits(from.number()));
        let listing_seq = has(flag::LISTING_SEQ).then(|| from.number());
        let stock_seq = has(flag::STOCK_SEQ).then(|| from.number());
        let stock_seq = if has(flag::ONE_SEQ) { listing_seq } else { stock_seq };
        let mut units = || if has(flag::OWES) { from.signed() } else { 0 };
        let (held, confirmed, committed) = (units(), units(), units());
        let counted = if has(flag::COUNTED) { from.number() } else { on_hand.unsigned_abs() };
        let withdrawn = has(flag::WITHDRAWN);
        Self {
            sku,
            gtin,
            location,
            price,
            regions,
            on_hand,
            held,
            confirmed,
            committed,
            listing_seq,
            stock_seq,
            withdrawn,
            counted,
            version,
            updated,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use stockade_fold::Packed;

    use super::*;
    use crate::domain::key::Of;
    use stockade_model::{ListingId, SupplierId};

    /// What ARCHITECTURE.md says of it.
    #[test]
    fn a_listing_costs_what_it_says() {
        let mut table = Packed::new(1);
        for number in 0..20_000_u64 {
            let supplier = SupplierId::new(&format!("supplier-{:06}", number / 100)).unwrap();
            let key = Of::new(&supplier, &ListingId::new(&format!("l-{:04}", number % 100)).unwrap());
            table.put(
                &key,
                &Listing {
                    sku: Sku::new(&format!("SKU-{number:08}")).unwrap(),
                    gtin: None,
                    location: LocationId::new("main").unwrap(),
                    price: Money { minor: 1_999, currency: Currency::of_record("EUR").unwrap() },
                    regions: vec![Region::new("DE").unwrap()],
                    on_hand: 10,
                    held: 0,
                    confirmed: 0,
                    committed: 0,
                    listing_seq: Some(1),
                    stock_seq: Some(1),
                    withdrawn: false,
                    counted: 10,
                    version: number * 3,
                    updated: Timestamp::from_ms(1_760_000_000_000),
                },
            );
        }
        let each = table.bytes() as f64 / table.len() as f64;
        println!("{each:.1} bytes a listing");
        assert!(each < 75.0, "{each:.1} bytes a listing");
    }

    proptest! {
        #[test]
        fn a_listing_comes_back_as_it_was(
            units in prop::collection::vec(-5_i64..2_000_000_000, 4),
            seqs in prop::collection::vec(prop::option::of(0_u64..3), 2),
            counted in prop_oneof![Just(None), (0_u64..u64::MAX).prop_map(Some)],
            (minor, version, updated) in (0_i64..1_000_000_000_000, any::<u64>(), any::<i64>()),
            (withdrawn, gtin, owes) in any::<(bool, bool, bool)>(),
            regions in prop::collection::vec(prop::sample::select(vec!["DE", "BR-SP", "US"]), 0..4),
            name in "[^\\p{C}\\p{Z}]{1,40}",
        ) {
            let Ok(sku) = Sku::new(&name) else { return Ok(()) };
            let owed = |of: usize| if owes { units[of] } else { 0 };
            let listing = Listing {
                sku,
                gtin: gtin.then(|| Gtin::new("4006381333931").unwrap()),
                location: LocationId::new("Lager 7").unwrap(),
                price: Money { minor, currency: Currency::of_record("EUR").unwrap() },
                regions: regions.iter().map(|region| Region::new(region).unwrap()).collect(),
                on_hand: units[0],
                held: owed(1),
                confirmed: owed(2),
                committed: owed(3),
                listing_seq: seqs[0],
                stock_seq: seqs[1],
                withdrawn,
                counted: counted.unwrap_or(units[0].max(0) as u64),
                version,
                updated: Timestamp::from_ms(updated),
            };
            let mut table = Packed::new(1);
            let key = Of::new(&SupplierId::new("acme").unwrap(), &ListingId::new("l").unwrap());
            table.put(&key, &listing);
            let back: Listing = table.get(&key).unwrap();
            prop_assert_eq!(format!("{back:?}"), format!("{listing:?}"));
        }
    }
}
