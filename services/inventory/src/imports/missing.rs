//! What a snapshot's file does not name: the supplier's listings on the market, less those in the file, found on disk.

use std::{
    fs::File,
    io::{self, BufWriter, Write as _},
    sync::Arc,
};

use stockade_model::{ListingId, Row, StockChange, StockMode};

use super::{
    Import, Imports, keys,
    meta::{Meta, Missing},
    read::NAMED,
    rows::Waiting,
    store::{KEYS, LANES},
    turns::Slices,
};

/// Keys of the supplier's listings on the market.
const OWN: &str = "own";
/// Listings looked at together.
const PAGE: usize = 1_000;

/// How many listings a file does not name, of how many.
#[derive(Clone, Copy, Debug)]
pub(super) struct Unnamed {
    pub(super) missing: u64,
    pub(super) on_market: u64,
}

impl Imports {
    /// Writes a row for each listing that the file does not name; `None` when the process ends first.
    pub(super) async fn unnamed(self: &Arc<Self>, import: &Import) -> io::Result<Option<Unnamed>> {
        let meta = import.meta.lock().clone();
        // What was acknowledged before is to be seen; what is put from here on is newer than the file.
        while !self.settled(&meta.supplier).await {
            if self.stopping.load(std::sync::atomic::Ordering::Acquire) {
                return Ok(None);
            }
        }
        let Some(opened) = self.may_open(&meta.supplier).await else { return Ok(None) };
        let this = self.clone();
        let write =
            move || this.in_slices(&meta.supplier, &opened, |slices| this.write_unnamed(&meta, slices));
        let found = tokio::task::spawn_blocking(write).await.map_err(io::Error::other)??;
        Ok(Some(found))
    }

    fn write_unnamed(&self, meta: &Meta, slices: &mut Slices<'_>) -> io::Result<Unnamed> {
        let directory = self.store.file(meta, KEYS);
        let mut own = keys::Writer::create(&directory, OWN)?;
        let mut after = None;
        loop {
            let page = self.app.index.listed(&meta.supplier, after, PAGE);
            for offer in page.offers.iter().filter(|offer| !offer.withdrawn && offer.on_hand > 0) {
                own.add(keys::key(offer.listing.as_str()), 0, offer.listing.as_str())?;
            }
            slices.did(page.offers.len() as u64);
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        own.finish()?;
        let mut lane = BufWriter::new(File::create(self.store.file(meta, LANES[2]))?);
        let mut found = Unnamed { missing: 0, on_market: 0 };
        for part in keys::parts() {
            let named = keys::read(&directory, NAMED, part)?;
            let mut own = keys::read(&directory, OWN, part)?;
            own.dedup();
            found.on_market += own.len() as u64;
            let looked_at = own.len() as u64;
            for record in own {
                if named.binary_search_by_key(&record.key, |named| named.key).is_ok() {
                    continue;
                }
                let Ok(listing) = ListingId::of_record(&record.text) else { continue };
                let row = taken_off(listing, meta.asked.missing);
                serde_json::to_writer(&mut lane, &Waiting { number: u64::MAX, line: 0, row })?;
                lane.write_all(b"\n")?;
                found.missing += 1;
            }
            drop(named);
            slices.did(looked_at);
        }
        lane.into_inner().map_err(|error| error.into_error())?.sync_all()?;
        Ok(found)
    }
}

fn taken_off(listing: ListingId, how: Missing) -> Row {
    match how {
        Missing::Withdraw => Row::Withdraw { listing, source_seq: None },
        Missing::Zero => Row::Stock(StockChange {
            listing,
            mode: StockMode::Set,
            quantity: 0,
            source_seq: None,
            market: None,
        }),
    }
}
