//! What intake remembers of each event, order and buyer, in few bytes.

use stockade_fold::{Pack, Packer, Unpacker};
use stockade_model::{OutcomeCause, Region, Timestamp};

use super::{Buyer, Claim, Order, Seen, Told};

impl Pack for Seen {
    fn pack(&self, to: &mut Packer<'_>) {
        to.signed(self.at.ms());
        to.raw(&self.print.to_le_bytes());
        to.number(self.told as u64);
    }
    fn unpack(from: &mut Unpacker<'_>) -> Self {
        let at = Timestamp::from_ms(from.signed());
        let print = from.read(|from| from.raw(4).try_into().map(u32::from_le_bytes));
        let told = match from.number() {
            0 => Told::Nothing,
            1 => Told::Repeated,
            _ => Told::Differs,
        };
        Self { at, print, told }
    }
}

/// Flags of an order, and where the numbers behind them begin.
mod flag {
    pub(super) const AMOUNT: u64 = 1;
    pub(super) const CATEGORY: u64 = 1 << 1;
    pub(super) const SETTLED: u64 = 1 << 2;
    pub(super) const SPOILED: u64 = 1 << 3;
    pub(super) const PLACED: u64 = 1 << 4;
    pub(super) const REGION: u64 = 1 << 5;
    pub(super) const REPEAT: u64 = 1 << 6;
    pub(super) const TOLD: u64 = 1 << 7;
    pub(super) const BY_SILENCE: u64 = 1 << 8;
    pub(super) const BESIDE: u64 = 1 << 9;
    pub(super) const DELIVERED: u64 = 1 << 10;
    pub(super) const PROMISES: u64 = 1 << 11;
    pub(super) const LOOK: u64 = 1 << 12;
    pub(super) const CLAIMED: u64 = 1 << 13;
    pub(super) const ANSWERED: u64 = 1 << 14;
    /// Whose doing it was, and one more; 0 where that is not known.
    pub(super) const CAUSE_SHIFT: u32 = 15;
}

const CAUSES: [OutcomeCause; 5] = [
    OutcomeCause::Unknown,
    OutcomeCause::Supplier,
    OutcomeCause::Buyer,
    OutcomeCause::Carrier,
    OutcomeCause::Platform,
];

impl Pack for Order {
    fn pack(&self, to: &mut Packer<'_>) {
        let flags = [
            (self.amount_z.is_some(), flag::AMOUNT),
            (self.category.is_some(), flag::CATEGORY),
            (self.settled, flag::SETTLED),
            (self.spoiled, flag::SPOILED),
            (self.placed, flag::PLACED),
            (self.region.is_some(), flag::REGION),
            (self.repeat, flag::REPEAT),
            (self.told, flag::TOLD),
            (self.told_by_silence, flag::BY_SILENCE),
            (self.told_beside, flag::BESIDE),
            (self.delivered, flag::DELIVERED),
            (self.promises.is_some(), flag::PROMISES),
            (self.look_at.is_some(), flag::LOOK),
            (matches!(self.claim, Claim::Open(_)), flag::CLAIMED),
            (self.claim == Claim::Answered, flag::ANSWERED),
        ];
        let flags: u64 = flags.iter().filter(|(set, _)| *set).map(|(_, flag)| flag).sum();
        let cause = self.spoiled_by.and_then(|cause| CAUSES.iter().position(|known| *known == cause));
        let cause = cause.map_or(0, |place| place as u64 + 1);
        to.number(flags | cause << flag::CAUSE_SHIFT);
        to.signed(self.placed_at.ms());
        if let Some(z) = self.amount_z {
            to.raw(&z.to_le_bytes());
        }
        if let Some(category) = &self.category {
            to.text(category);
        }
        if let Some(region) = &self.region {
            to.text(region.as_str());
        }
        to.number(self.said.len() as u64);
        let mut line_before = None;
        for (class, line) in &self.said {
            // Nearly always everything is about the one line.
            let same = line_before.replace(*line) == Some(*line);
            to.number(u64::from(*class) << 1 | u64::from(same));
            if !same {
                to.raw(&line.to_le_bytes());
            }
        }
        if let Some(promises) = &self.promises {
            let bytes = rmp_serde::to_vec(promises)
                .unwrap_or_else(|error| stockade_model::encode::stop::<Order>("MessagePack", &error));
            to.bytes(&bytes);
        }
        // Looked at after it was placed, so that the difference is short.
        if let Some(at) = self.look_at {
            to.signed(at.ms().wrapping_sub(self.placed_at.ms()));
        }
        if let Claim::Open(since) = self.claim {
            to.signed(since.ms().wrapping_sub(self.placed_at.ms()));
        }
    }

    fn unpack(from: &mut Unpacker<'_>) -> Self {
        let flags = from.number();
        let has = |flag: u64| flags & flag != 0;
        let placed_at = from.signed();
        let amount_z = has(flag::AMOUNT)
            .then(|| from.read(|from| from.raw(size_of::<f64>()).try_into().map(f64::from_le_bytes)));
        let category = has(flag::CATEGORY).then(|| from.text().to_owned());
        let region = has(flag::REGION).then(|| from.read(|from| Region::of_record(from.text())));
        let said = from.number();
        let mut line = 0;
        let said = (0..said).map(|_| {
            let head = from.number();
            if head & 1 == 0 {
                line = from.read(|from| from.raw(4).try_into().map(u32::from_le_bytes));
            }
            ((head >> 1) as u8, line)
        });
        let said = said.collect();
        let promises = has(flag::PROMISES).then(|| from.read(|from| rmp_serde::from_slice(from.bytes())));
        let mut after = || Timestamp::from_ms(placed_at.wrapping_add(from.signed()));
        let look_at = has(flag::LOOK).then(&mut after);
        let claim = match () {
            () if has(flag::CLAIMED) => Claim::Open(after()),
            () if has(flag::ANSWERED) => Claim::Answered,
            () => Claim::None,
        };
        let cause = (flags >> flag::CAUSE_SHIFT) as usize;
        Self {
            placed_at: Timestamp::from_ms(placed_at),
            amount_z,
            category,
            settled: has(flag::SETTLED),
            spoiled: has(flag::SPOILED),
            placed: has(flag::PLACED),
            said,
            region,
            repeat: has(flag::REPEAT),
            told: has(flag::TOLD),
            told_by_silence: has(flag::BY_SILENCE),
            told_beside: has(flag::BESIDE),
            claim,
            spoiled_by: cause.checked_sub(1).and_then(|place| CAUSES.get(place)).copied(),
            delivered: has(flag::DELIVERED),
            promises,
            look_at,
        }
    }
}

fn pack_times<'a>(times: impl ExactSizeIterator<Item = (&'a Timestamp, &'a u64)>, to: &mut Packer<'_>) {
    to.number(times.len() as u64);
    for (at, supplier) in times {
        to.signed(at.ms());
        to.raw(&supplier.to_le_bytes());
    }
}

fn hash(from: &mut Unpacker<'_>) -> u64 {
    from.read(|from| from.raw(size_of::<u64>()).try_into().map(u64::from_le_bytes))
}

fn unpack_times<C: FromIterator<(Timestamp, u64)>>(from: &mut Unpacker<'_>) -> C {
    (0..from.number()).map(|_| (Timestamp::from_ms(from.signed()), hash(from))).collect()
}

impl Pack for Buyer {
    fn pack(&self, to: &mut Packer<'_>) {
        for count in [self.orders, self.claims, self.frauds, self.values.0] {
            to.number(u64::from(count));
        }
        to.signed(self.since.ms());
        if self.values.0 > 0 {
            to.wide(self.values.1);
            to.wide(self.values.2);
        }
        to.number(self.suppliers_claimed.len() as u64);
        self.suppliers_claimed.iter().for_each(|supplier| to.raw(&supplier.to_le_bytes()));
        pack_times(self.unusual_frauds.iter().map(|(at, of)| (at, of)), to);
        pack_times(self.recent_frauds.iter().map(|(at, of)| (at, of)), to);
        pack_times(self.bought.iter().map(|(of, at)| (at, of)), to);
    }

    fn unpack(from: &mut Unpacker<'_>) -> Self {
        let mut count = || from.number() as u32;
        let (orders, claims, frauds, valued) = (count(), count(), count(), count());
        let since = Timestamp::from_ms(from.signed());
        let values = if valued > 0 { (valued, from.wide(), from.wide()) } else { (0, 0, 0) };
        let suppliers_claimed = (0..from.number()).map(|_| hash(from)).collect();
        let unusual_frauds = unpack_times(from);
        let recent_frauds = unpack_times(from);
        let bought: Vec<(Timestamp, u64)> = unpack_times(from);
        Self {
            orders,
            claims,
            frauds,
            suppliers_claimed,
            since,
            values,
            unusual_frauds,
            recent_frauds,
            bought: bought.into_iter().map(|(at, of)| (of, at)).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::intake::promises::Promises;

    fn back<T: Pack>(row: &T) -> T {
        let mut bytes = Vec::new();
        row.pack(&mut Packer::new(&mut bytes));
        T::unpack(&mut Unpacker::new(&bytes))
    }

    fn promises() -> Option<Box<Promises>> {
        let text = r#"{"id":"e","source":"shop","kind":"placed","time":"2025-01-01T00:00:00Z","supplier":"acme","order":"o",
            "buyer":"b","sku":"Größe 1/2","quantity":2,"amount":{"minor":5,"currency":"EUR"},"region":"BR-SP",
            "ship_by":"2025-01-03T00:00:00Z","deliver_by":"2025-01-09T00:00:00Z"}"#;
        Promises::of(&serde_json::from_str(text).unwrap()).map(Box::new)
    }

    /// What ARCHITECTURE.md says of it.
    #[test]
    fn an_event_costs_what_it_says() {
        let mut seen = stockade_fold::Packed::new(1);
        let mut by_age = stockade_fold::PackedSet::default();
        for number in 0..50_000_u32 {
            let identity = stockade_model::hash::identity128(&["shop", &number.to_string()]);
            let at = Timestamp::from_ms(1_760_000_000_000 + i64::from(number) * 40);
            seen.put(&identity, &Seen { at, print: number, told: Told::Nothing });
            by_age.insert(&(at, identity));
        }
        let each = (seen.bytes() + by_age.bytes()) as f64 / seen.len() as f64;
        println!("{each:.1} bytes an event");
        assert!(each < 70.0, "{each:.1} bytes an event");
    }

    proptest! {
        #[test]
        fn orders_come_back_as_they_were(
            (placed_at, look_at, since) in any::<(i64, Option<i64>, i64)>(),
            amount_z in prop::option::of(-9.0..9.0_f64),
            category: Option<String>,
            flags in prop::collection::vec(any::<bool>(), 8),
            said in prop::collection::vec((any::<u8>(), prop::sample::select(vec![7_u32, 9, u32::MAX])), 0..6),
            (claim, cause, promised) in (0..3_usize, 0..6_usize, any::<bool>()),
        ) {
            let order = Order {
                placed_at: Timestamp::from_ms(placed_at),
                amount_z,
                category,
                settled: flags[0],
                spoiled: flags[1],
                placed: flags[2],
                said,
                region: flags[3].then(|| Region::new("BR-SP").unwrap()),
                repeat: flags[4],
                told: flags[5],
                told_by_silence: flags[6],
                told_beside: flags[7],
                claim: [Claim::None, Claim::Open(Timestamp::from_ms(since)), Claim::Answered][claim],
                spoiled_by: cause.checked_sub(1).map(|cause| CAUSES[cause]),
                delivered: flags[0] ^ flags[1],
                promises: if promised { promises() } else { None },
                look_at: look_at.map(Timestamp::from_ms),
            };
            prop_assert_eq!(format!("{:?}", back(&order)), format!("{order:?}"));
        }

        #[test]
        fn buyers_and_identities_come_back_as_they_were(
            counts: [u32; 4], since: i64, sums: [i128; 2], claimed: std::collections::BTreeSet<u64>,
            frauds: Vec<(i64, u64)>, bought: std::collections::BTreeMap<u64, i64>,
            (at, print, told) in (any::<i64>(), any::<u32>(), 0..3_usize),
        ) {
            let [orders, claims, frauds_count, valued] = counts;
            let timed = |of: &[(i64, u64)]| of.iter().map(|(at, of)| (Timestamp::from_ms(*at), *of)).collect();
            let buyer = Buyer {
                orders,
                claims,
                frauds: frauds_count,
                suppliers_claimed: claimed,
                since: Timestamp::from_ms(since),
                values: if valued > 0 { (valued, sums[0], sums[1]) } else { (0, 0, 0) },
                unusual_frauds: timed(&frauds[..frauds.len() / 2]),
                recent_frauds: timed(&frauds),
                bought: bought.into_iter().map(|(of, at)| (of, Timestamp::from_ms(at))).collect(),
            };
            prop_assert_eq!(format!("{:?}", back(&buyer)), format!("{buyer:?}"));
            let told = [Told::Nothing, Told::Repeated, Told::Differs][told];
            let seen = Seen { at: Timestamp::from_ms(at), print, told };
            prop_assert_eq!(format!("{:?}", back(&seen)), format!("{seen:?}"));
        }
    }
}
