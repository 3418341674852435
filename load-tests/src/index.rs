//! The availability index in process: what a listing takes in memory, what a query and a write cost, at a hundredth, a tenth
//! and all of a market. Each size is filled by a process of its own, so that what it takes is what the system gives it.

use std::{hint::black_box, time::Instant};

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use stockade_inventory::domain::{Index, Offer, Query, Seen};
use stockade_model::{Currency, Gtin, ListingId, LocationId, Money, Region, Sku, SupplierId, Timestamp, gs1};
use stockade_quarantine::Overlay;

use crate::{Figure, median};

const FULL: u32 = 10_000_000;
/// Listings of a good and of a supplier, on average.
const PER_GOOD: u32 = 10;
const PER_SUPPLIER: u32 = 100;
const PARTITIONS: u32 = 12;
const MONTH_MS: u64 = 30 * 86_400_000;
const ROUNDS: usize = 8;
const QUERIES: usize = 100_000;
const WRITES: usize = 100_000;
const TARGET_BYTES: f64 = 64.0;

/// Countries that offers of a market are sent to.
const REGIONS: [&str; 64] = [
    "AE", "AR", "AT", "AU", "BE", "BG", "BR", "CA", "CH", "CL", "CN", "CO", "CZ", "DE", "DK", "EE", "EG",
    "ES", "FI", "FR", "GB", "GR", "HK", "HR", "HU", "ID", "IE", "IL", "IN", "IS", "IT", "JP", "KE", "KR",
    "LT", "LU", "LV", "MA", "MX", "MY", "NG", "NL", "NO", "NZ", "PE", "PH", "PK", "PL", "PT", "RO", "RS",
    "SA", "SE", "SG", "SI", "SK", "TH", "TR", "TW", "UA", "US", "UY", "VN", "ZA",
];

/// A market of made-up listings: which good and whose each is follows from its number.
struct Market {
    suppliers: Vec<SupplierId>,
    goods: u32,
    regions: Vec<Region>,
    eur: Currency,
    location: LocationId,
}

/// Numbers that look random and are always the same.
fn mixed(number: u64) -> u64 {
    let mut mixed = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

impl Market {
    fn new(listings: u32) -> Result<Self> {
        let supplier = |number| SupplierId::new(&format!("supplier-{number:06}"));
        Ok(Self {
            suppliers: (0..listings / PER_SUPPLIER).map(supplier).collect::<Result<_, _>>()?,
            goods: listings / PER_GOOD,
            regions: REGIONS.into_iter().map(Region::new).collect::<Result<_, _>>()?,
            eur: Currency::new("EUR")?,
            location: LocationId::new("main")?,
        })
    }

    fn sku(&self, good: u32) -> Result<Sku> {
        Ok(Sku::new(&format!("SKU-{good:07}"))?)
    }

    /// A listing, changed so many times; a good costs about as much everywhere.
    fn offer(&self, listing: u32, changes: u32) -> Result<Offer> {
        let (once, now) = (mixed(listing.into()), mixed(u64::from(listing) << 32 | u64::from(changes)));
        let good = (mixed(u64::from(listing) | 1 << 40) % u64::from(self.goods)) as u32;
        let supplier = (once % self.suppliers.len() as u64) as usize;
        let at = mixed(supplier as u64);
        let body = format!("4{:011}", good);
        let gtin = Gtin::new(&format!("{body}{}", gs1::check_digit(&body)))?;
        let own = self.regions[(at % 64) as usize];
        // One listing in eight says where else it is sent.
        let regions = match once >> 8 & 7 {
            0 => [own, self.regions[(once >> 16 & 63) as usize]].into(),
            _ => [own].into(),
        };
        let base = 500 + (mixed(good.into()) % 50_000) as i64;
        let available = (now >> 20 & 255) as i64;
        let held = if now >> 28 & 3 == 0 { (now >> 30 & 3) as i64 } else { 0 };
        Ok(Offer {
            supplier: self.suppliers[supplier].clone(),
            listing: ListingId::new(&format!("l-{listing:07}"))?,
            sku: self.sku(good)?,
            gtin: Some(gtin),
            price: Money::new(base * (80 + (now >> 40) as i64 % 40) / 100, self.eur)?,
            available,
            on_hand: available + held,
            withdrawn: false,
            own_regions: false,
            regions,
            location: self.location.clone(),
            lead_days: (at >> 8 & 7) as u16,
            latitude: (at >> 16 & 0xffff) as f64 / 1_000.0,
            longitude: (at >> 32 & 0xffff) as f64 / 1_000.0,
            version: u64::from(listing / PARTITIONS + changes * 1_000),
            // Listings were changed at some time of a month.
            updated: Timestamp::from_ms((1_790_000_000_000 + once % MONTH_MS) as i64),
            number: 0,
        })
    }
}

/// Resident bytes of this process.
fn resident() -> Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
    Ok(line.trim().trim_end_matches(" kB").trim().parse::<u64>()? * 1_024)
}

/// Fills an index, measures it and prints what was seen as one line of JSON.
pub(crate) fn fill(listings: u32) -> Result<()> {
    let market = Market::new(listings)?;
    let before = resident()?;
    let (index, overlay) = (Index::default(), Overlay::default());
    let begun = Instant::now();
    for listing in 0..listings {
        index.put(&market.offer(listing, 0)?, &overlay);
    }
    let filled_s = begun.elapsed().as_secs_f64();
    let bytes = resident()?.saturating_sub(before) as f64 / f64::from(listings);
    let query = Query { limit: 8, ..Query::default() };
    let mut random = fastrand::Rng::with_seed(1);
    let mut queried = Vec::new();
    for _ in 0..ROUNDS {
        let skus = (0..QUERIES).map(|_| market.sku(random.u32(0..market.goods)));
        let skus = skus.collect::<Result<Vec<_>>>()?;
        let begun = Instant::now();
        for sku in &skus {
            let each = |seen: Seen<'_>| {
                black_box((seen.supplier.len(), seen.price.minor, seen.available));
                Ok::<(), anyhow::Error>(())
            };
            index.find(sku, &query, &overlay).try_each(each)?;
        }
        queried.push(begun.elapsed().as_nanos() as f64 / QUERIES as f64);
    }
    let mut written = Vec::new();
    for round in 1..=ROUNDS as u32 {
        let offers = (0..WRITES).map(|_| market.offer(random.u32(0..listings), round));
        let offers = offers.collect::<Result<Vec<_>>>()?;
        let begun = Instant::now();
        offers.iter().for_each(|offer| index.put(offer, &overlay));
        written.push(WRITES as f64 / begun.elapsed().as_secs_f64());
    }
    anyhow::ensure!(index.listings() == u64::from(listings), "{} of {listings} listings", index.listings());
    let seen = json!({
        "bytes": bytes, "query_ns": median(&mut queried)?, "writes": median(&mut written)?,
        "filled": f64::from(listings) / filled_s,
    });
    println!("{seen}");
    Ok(())
}

pub(crate) fn run(full: bool) -> Result<Vec<Figure>> {
    let most = if full { FULL } else { FULL / 10 };
    let mut figures = Vec::new();
    for listings in [most / 100, most / 10, most] {
        let arguments = ["fill-index", "--listings", &listings.to_string()].map(str::to_owned);
        let output = std::process::Command::new(std::env::current_exe()?).args(arguments).output()?;
        let text = String::from_utf8(output.stdout)?;
        let error = || String::from_utf8_lossy(&output.stderr).into_owned();
        let seen: Value = serde_json::from_str(text.trim()).with_context(error)?;
        let figure = |name: &str| seen[name].as_f64().context("a figure is missing");
        let named = |what: &str| format!("{what}, {listings} listings");
        let bytes = figure("bytes")?;
        let note = format!(
            "resident bytes of the index and of suppliers' numbers, {} goods with GTIN, {} suppliers, 64 regions",
            listings / PER_GOOD,
            listings / PER_SUPPLIER
        );
        let met = bytes <= TARGET_BYTES;
        let memory = Figure::new(named("memory of a listing"), bytes, "B", "<= 64").note(note);
        figures.push(if listings == most { memory.met(met) } else { memory });
        let query = figure("query_ns")?;
        figures.push(
            Figure::new(named("query of a random good"), query, "ns", "<= 900")
                .met(query <= 900.0)
                .note(format!("{:.0} queries/s on one core, up to 8 of about 10 offers", 1e9 / query)),
        );
        figures.push(Figure::new(named("writes"), figure("writes")?, "writes/s", "report"));
        figures.push(Figure::new(named("first writes"), figure("filled")?, "writes/s", "report"));
    }
    Ok(figures)
}
