//! What buyers do in a play: they hold single listings, and ask for baskets of listings and of goods, repeat themselves at either process, confirm and give back.

use std::sync::atomic::Ordering;

use serde_json::json;
use stockade_log::Route;
use stockade_model::{Command, ListingId, Payload, ReservationId, Row, Timestamp, Topic};

use super::{
    buyers::{Asked, Told},
    node::Node,
    world::{NAMES, SUPPLIERS, World, name_of, regions},
};

/// Baskets that buyers ask for, over and over.
pub(super) const BASKETS: usize = 6;
/// Longer than lines are held that nobody was promised.
const TENTATIVE_MS: i64 = 31_000;

impl World {
    /// A buyer holds, confirms or gives back; names come again, and strangers try what is not theirs.
    pub(super) fn reserve(&mut self) -> Result<(), String> {
        if self.nodes.iter().flatten().next().is_none() {
            return Ok(());
        }
        self.next += 1;
        let (supplier, _) = self.suppliers[self.random.usize(..SUPPLIERS)].clone();
        let reservation = name_of(&supplier, self.random.u32(..NAMES))?;
        let owner = Some(["ann", "bea"][self.random.usize(..2)].to_owned());
        let row = match self.random.u32(..6) {
            0 => Row::ReleaseHold { reservation, owner },
            1 | 2 => Row::Confirm { reservation, owner },
            _ => {
                let now_ms = self.ground.time_ms.load(Ordering::SeqCst);
                let regions = regions()?;
                Row::Hold {
                    reservation,
                    listing: ListingId::new("l").map_err(|e| e.detail)?,
                    quantity: 1 + self.random.i64(0..5),
                    expires_at: Timestamp::from_ms(
                        now_ms + [10_000, 60_000, 600_000][self.random.usize(..3)],
                    ),
                    region: [None, Some(regions[0]), Some(regions[1])][self.random.usize(..3)],
                    owner,
                    request: Some(format!("q{}", self.next)),
                    bound: None,
                }
            }
        };
        let command = Command {
            supplier: supplier.clone(),
            idempotency_key: Some(format!("v{}", self.next)),
            body_hash: format!("v{}", self.next),
            rows: vec![row],
            precondition: None,
            places: Vec::new(),
            refused: Vec::new(),
            forgets: None,
        };
        // Sometimes sent again: the same key, another record.
        for time in 0..1 + self.random.usize(..2) {
            let id = format!("v{}-{time}", self.next);
            let payload = Payload::Command(command.clone());
            self.append_to(Topic::SupplierEvents, Route::Key, supplier.as_str(), &payload, &id)?;
        }
        Ok(())
    }

    /// What the basket under a key is to be of: listings, and the good whoever has it.
    pub(super) fn basket(&mut self, number: usize) -> serde_json::Value {
        let lines: Vec<_> = (0..1 + self.random.usize(..3))
            .map(|_| {
                let (region, quantity) = (["DE", "FR"][self.random.usize(..2)], 1 + self.random.i64(0..5));
                if self.random.bool() {
                    return json!({ "sku": "SKU", "quantity": quantity, "region": region });
                }
                let (supplier, _) = &self.suppliers[self.random.usize(..SUPPLIERS)];
                json!({ "supplier": supplier, "listing": "l", "quantity": quantity, "region": region })
            })
            .collect();
        let mode = ["all_or_nothing", "per_line"][number % 2];
        let seconds = [20, 600][self.random.usize(..2)];
        json!({ "mode": mode, "seconds": seconds, "lines": lines })
    }

    /// A buyer asks for a basket, confirms one or gives one back; or whoever looks after them does.
    pub(super) fn buy(&mut self, node: usize) -> Result<(), String> {
        let Some(Node { buyers, .. }) = &mut self.nodes[node] else { return Ok(()) };
        let number = self.random.usize(..BASKETS);
        let what = self.random.u32(..10);
        if what < 5 {
            let key = format!("basket-{number}");
            return buyers.ask(Asked::Reserve, ("POST", "/v1/reservations"), &key, &self.baskets[number]);
        }
        if what == 9 {
            buyers.look_after();
            return Ok(());
        }
        // Mostly one that is held.
        let mut known = buyers.baskets()?;
        let any = self.random.u32(..4) == 0;
        known.retain(|(_, is_held)| any || *is_held);
        let Some((name, _)) = known.get(self.random.usize(..known.len().max(1))) else { return Ok(()) };
        let (asked, method, verb) =
            if what < 8 { (Asked::Confirm, "POST", ":confirm") } else { (Asked::Release, "DELETE", "") };
        buyers.ask(asked, (method, &format!("/v1/baskets/{name}{verb}")), "x", &serde_json::Value::Null)
    }

    /// Calls of buyers go on as far as they can; whether any was answered.
    pub(super) fn buyers_go_on(&mut self) -> Result<bool, String> {
        let told: Vec<Told> = self.nodes.iter_mut().flatten().flat_map(|node| node.buyers.go_on()).collect();
        let any = !told.is_empty();
        for Told { asked, status, body } in told {
            let fine = match asked {
                Asked::Reserve => matches!(status, 200 | 201 | 409 | 503),
                Asked::Confirm => matches!(status, 200 | 404 | 409 | 503),
                Asked::Release => matches!(status, 204 | 404 | 409 | 503),
                Asked::LookAfter => status == 200,
            };
            if !fine {
                return Err(format!("{asked:?} was answered with {status}: {body}"));
            }
            self.tally.baskets += u64::from(asked == Asked::Reserve && status < 300);
            if (asked, status) != (Asked::Confirm, 200) {
                continue;
            }
            self.tally.taken += 1;
            let whole = body["mode"] == "all_or_nothing";
            for line in body["lines"].as_array().into_iter().flatten() {
                let name = line["reservation"].as_str().unwrap_or_default();
                if whole || line["state"] == "confirmed" {
                    self.promises.taken.insert(ReservationId::new(name).map_err(|e| e.detail)?);
                }
            }
        }
        Ok(any)
    }

    /// Baskets that nobody works at any more come to their ends: holds that nobody was promised lapse, and lines follow their heads.
    pub(super) fn end_baskets(&mut self) -> Result<(), String> {
        self.drain()?;
        self.ground.time_ms.fetch_add(TENTATIVE_MS, Ordering::SeqCst);
        self.tick_alike()?;
        self.drain()?;
        for _ in 0..4 {
            self.nodes.iter_mut().flatten().for_each(|node| node.buyers.look_after());
            self.drain()?;
        }
        Ok(())
    }
}
