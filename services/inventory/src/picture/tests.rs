use proptest::prelude::*;
use stockade_model::{Level, Scope};
use stockade_quarantine::conformance::{entry, restriction};
use tempfile::TempDir;

use super::*;
use crate::domain::Query;

const HOUR_MS: i64 = 3_600_000;
const NOW_MS: i64 = 1_790_000_000_000;

fn pictures(directory: &TempDir) -> Pictures {
    let origin = Origin { prefix: "p.".to_owned(), generation: 1, partitions: 4 };
    let bounds = PictureBounds { every: Duration::from_secs(60), age_max_ms: HOUR_MS, bytes_max: 1 << 30 };
    Pictures::new(directory.path().join("picture"), origin, bounds)
}

fn offer(supplier: u8, good: u8, minor: i64, available: i64) -> Offer {
    let mut offer = Offer {
        supplier: format!("s{supplier}").parse().unwrap(),
        listing: format!("l \"{supplier}\"/{good}").parse().unwrap(),
        sku: format!("Größe {good}").parse().unwrap(),
        gtin: good.is_multiple_of(2).then(|| Gtin::new("4006381333931").unwrap()),
        price: Money::new(minor, Currency::new(["EUR", "USD"][usize::from(good % 2)]).unwrap()).unwrap(),
        available,
        on_hand: available + 1,
        withdrawn: false,
        regions: [Region::new("DE").unwrap(), Region::new("BR-SP").unwrap()].into(),
        own_regions: good.is_multiple_of(3),
        location: "main".parse().unwrap(),
        lead_days: u16::from(good),
        latitude: 52.5 + f64::from(good) / 7.0,
        longitude: -13.4,
        version: u64::from(good) + 1,
        updated: Timestamp::from_ms(NOW_MS),
        number: 0,
    };
    offer.withdrawn = minor % 11 == 0;
    offer
}

/// What a buyer sees of every good, whole.
fn seen(index: &Index, overlay: &Overlay) -> Vec<String> {
    let query = Query { limit: 500, min_qty: 1, ..Query::default() };
    let of = |good: u8| {
        let found = index.query(&format!("Größe {good}").parse().unwrap(), &query, overlay);
        let whole = |offer: Offer| format!("{:?}", Offer { number: 0, ..offer });
        found.offers.into_iter().map(whole).collect::<Vec<_>>()
    };
    (0..6).flat_map(of).collect()
}

fn keep(pictures: &Pictures, index: &Index, overlay: &Overlay) {
    pictures.keep_withheld(overlay, NOW_MS, NOW_MS).unwrap();
    pictures.keep_offers(index, (NOW_MS, NOW_MS), || Ok(())).unwrap();
}

/// A picture of one supplier that is locked out and one that is not.
fn kept() -> (TempDir, Pictures) {
    let directory = TempDir::new().unwrap();
    let (index, overlay) = (Index::default(), Overlay::default());
    overlay.apply(&entry("s1", 1, vec![restriction(Scope::Supplier, Level::Lockout)]), 0);
    for supplier in [1, 2] {
        index.put(&offer(supplier, 0, 100, 5), &overlay);
    }
    let pictures = pictures(&directory);
    keep(&pictures, &index, &overlay);
    (directory, pictures)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn whatever_is_offered_and_withheld_buyers_see_the_same_in_the_picture(
        offers in proptest::collection::vec((0u8..8, 0u8..6, 1i64..50, 0i64..4), 0..80),
        restrictions in proptest::collection::vec((0u8..8, 0usize..6, 0u8..4), 0..8),
        allowed in 0i64..3,
    ) {
        let directory = TempDir::new().unwrap();
        let (index, overlay) = (Index::default(), Overlay::default());
        for (supplier, good, minor, available) in offers {
            index.put(&offer(supplier, good, minor, available), &overlay);
        }
        for (version, (supplier, level, scope)) in restrictions.into_iter().enumerate() {
            let scope = match scope {
                0 => Scope::Supplier,
                1 => Scope::Region { region: Region::new("DE").unwrap() },
                2 => Scope::Sku { sku: "Größe 1".parse().unwrap() },
                _ => Scope::Listing { listing: format!("l \"{supplier}\"/2").parse().unwrap() },
            };
            let set = vec![restriction(scope, Level::ALL[level]), restriction(Scope::Supplier, Level::Watch)];
            overlay.apply(&entry(&format!("s{supplier}"), version as u64 + 1, set), 0);
            index.allow(overlay.number(&format!("s{supplier}").parse().unwrap()), Some(allowed));
        }
        let pictures = pictures(&directory);
        keep(&pictures, &index, &overlay);
        let picture = pictures.load(NOW_MS + 1_000).unwrap();
        prop_assert_eq!(picture.as_of_ms, NOW_MS);
        prop_assert_eq!(seen(&picture.index, &picture.overlay), seen(&index, &overlay));
    }
}

#[test]
fn many_offers_and_many_withheld_suppliers_go_in_pieces() {
    let directory = TempDir::new().unwrap();
    let (index, overlay) = (Index::default(), Overlay::default());
    for number in 0..3 * PIECE_ROWS + 1 {
        let supplier = SupplierId::new(&format!("t{number}")).unwrap();
        let one = Offer { supplier: supplier.clone(), ..offer(0, 0, 100, 5) };
        index.put(&one, &overlay);
        if number % 2 == 0 {
            let set = vec![restriction(Scope::Supplier, Level::Quarantine)];
            overlay.apply(&entry(supplier.as_str(), number as u64 + 1, set), 0);
        }
    }
    let pictures = pictures(&directory);
    let mut pieces = 0;
    pictures.keep_withheld(&overlay, NOW_MS, NOW_MS).unwrap();
    let pause = || {
        pieces += 1;
        Ok(())
    };
    pictures.keep_offers(&index, (NOW_MS, NOW_MS), pause).unwrap();
    assert_eq!(pieces, 4, "others have their turn in between");
    let picture = pictures.load(NOW_MS).unwrap();
    assert_eq!(picture.index.listings() as usize, 3 * PIECE_ROWS + 1);
    assert_eq!(picture.index.withheld(&picture.overlay).0 as usize, 3 * PIECE_ROWS / 2 + 1);
}

#[test]
fn without_what_is_withheld_nothing_is_shown() {
    let (_directory, pictures) = kept();
    assert_eq!(seen(&pictures.load(NOW_MS).unwrap().index, &pictures.load(NOW_MS).unwrap().overlay).len(), 1);
    fs::remove_file(pictures.file(WITHHELD)).unwrap();
    assert!(matches!(pictures.load(NOW_MS), Err(Unusable::Missing(_))));
    assert!(pictures.file(OFFERS).exists(), "the next run may still bring the other");
}

#[test]
fn what_is_withheld_must_not_be_older_than_what_is_offered() {
    let (_directory, pictures) = kept();
    // Somebody brought back an old file, or the disk kept it.
    pictures.keep_withheld(&Overlay::default(), NOW_MS - 1, NOW_MS - 1).unwrap();
    let refused = pictures.load(NOW_MS).err().unwrap();
    assert!(matches!(refused, Unusable::WithheldOlder(_)), "{refused}");
    assert!(!pictures.file(OFFERS).exists(), "it is of no use any more");
}

#[test]
fn either_file_damaged_cut_off_or_of_another_build_is_thrown_away_with_the_other_and_said() {
    for name in [OFFERS, WITHHELD] {
        let whole = {
            let (_directory, pictures) = kept();
            fs::read(pictures.file(name)).unwrap()
        };
        let mut turned = whole.clone();
        *turned.last_mut().unwrap() ^= 1;
        let newer = format!("stockade-picture {} {name}\nanything", VERSION + 1).into_bytes();
        for (bytes, words) in [
            (turned, "damaged"),
            (whole[..whole.len() - 1].to_vec(), "damaged"),
            (Vec::new(), "damaged"),
            (newer, "of version 2"),
        ] {
            let (_directory, pictures) = kept();
            fs::write(pictures.file(name), bytes).unwrap();
            let said = pictures.load(NOW_MS).err().unwrap().to_string();
            assert!(said.contains(words) && said.contains("thrown away") && said.contains(name), "{said}");
            assert!(!pictures.file(OFFERS).exists() && !pictures.file(WITHHELD).exists());
            assert!(matches!(pictures.load(NOW_MS), Err(Unusable::Missing(_))));
        }
    }
}

#[test]
fn a_picture_that_is_too_old_or_of_another_log_is_not_shown_and_says_which_setting_it_is() {
    let (directory, kept) = kept();
    assert!(kept.load(NOW_MS + HOUR_MS).is_ok());
    let said = kept.load(NOW_MS + HOUR_MS + 1).err().unwrap().to_string();
    assert!(said.contains("picture.age_max_s") && said.contains("3600"), "{said}");
    let other = Pictures { origin: Origin { generation: 2, ..kept.origin.clone() }, ..pictures(&directory) };
    let said = other.load(NOW_MS).err().unwrap().to_string();
    assert!(said.contains("kafka.generation"), "{said}");
    assert!(kept.load(NOW_MS).is_ok(), "it may still be of use, so it stays");
}

#[test]
fn a_picture_that_cannot_be_finished_leaves_the_one_before() {
    let (_directory, mut pictures) = kept();
    let overlay = Overlay::default();
    let index = Index::default();
    for supplier in 0..20 {
        index.put(&offer(supplier, 0, 100, 5), &overlay);
    }
    let stopped = pictures.keep_offers(&index, (NOW_MS, NOW_MS), || Err(io::Error::other("stopped")));
    assert_eq!(stopped.unwrap_err().to_string(), "stopped");
    pictures.bounds.bytes_max = 10;
    let large = pictures.keep_offers(&index, (NOW_MS, NOW_MS), || Ok(())).unwrap_err().to_string();
    assert!(large.contains("picture.bytes_max"), "{large}");
    assert_eq!(pictures.load(NOW_MS).unwrap().index.listings(), 2);
    let names = fs::read_dir(&pictures.directory).unwrap().map(|entry| entry.unwrap().file_name());
    let mut names: Vec<_> = names.collect();
    names.sort();
    assert_eq!(names, [OFFERS, WITHHELD], "nothing half is left");
}
