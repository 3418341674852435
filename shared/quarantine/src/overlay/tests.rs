use stockade_model::{ListingId, Sku};

use super::*;
use crate::conformance::{entry, restriction};

fn sku() -> Sku {
    Sku::new("SKU-1").unwrap()
}

fn seen(overlay: &Overlay, supplier: &str, asked: Option<&str>, listing: &str) -> Option<Left> {
    let sku = sku();
    let region = |region| Region::new(region).unwrap();
    let supplier = overlay.number(&SupplierId::new(supplier).unwrap());
    let regions = [region("DE"), region("FR")];
    overlay.left(supplier, Subject { sku: sku.as_str(), listing, regions: &regions }, asked.map(region))
}

fn all(level: Option<Level>) -> Option<Left> {
    Some(Left { level, regions: None })
}

#[test]
fn a_supplier_flips_and_flips_back_and_nobody_else_notices() {
    let overlay = Overlay::default();
    assert_eq!(seen(&overlay, "a", None, "l"), all(None));
    assert!(overlay.apply(&entry("a", 1, vec![restriction(Scope::Supplier, Level::Quarantine)]), 5));
    assert_eq!((seen(&overlay, "a", None, "l"), seen(&overlay, "b", None, "l")), (None, all(None)));
    assert!(!overlay.apply(&entry("a", 1, vec![]), 6), "a repeat does nothing");
    assert!(overlay.apply(&entry("a", 2, vec![]), 7));
    assert_eq!(seen(&overlay, "a", None, "l"), all(None));
    assert!(!overlay.apply(&entry("a", 1, vec![restriction(Scope::Supplier, Level::Lockout)]), 8));
    assert_eq!(seen(&overlay, "a", None, "l"), all(None), "an older version never comes back");
}

#[test]
fn narrower_scopes_cover_what_they_name_and_the_hardest_level_counts() {
    let overlay = Overlay::default();
    let region = |region| Region::new(region).unwrap();
    let listing = ListingId::new("bad").unwrap();
    let set = vec![
        restriction(Scope::Supplier, Level::Dim),
        restriction(Scope::Region { region: region("DE") }, Level::Quarantine),
        restriction(Scope::Listing { listing }, Level::Lockout),
    ];
    overlay.apply(&entry("a", 1, set), 1);
    let france = Some(Left { level: Some(Level::Dim), regions: Some([region("FR")].into()) });
    assert_eq!(seen(&overlay, "a", Some("FR"), "good"), france);
    assert_eq!(seen(&overlay, "a", None, "good"), france, "who names no region sees what is left");
    assert_eq!(seen(&overlay, "a", Some("DE-BY"), "good"), None);
    assert_eq!(seen(&overlay, "a", Some("BR"), "good"), None, "a region that is not served");
    assert_eq!(seen(&overlay, "a", Some("FR"), "bad"), None);
    overlay.apply(&entry("a", 2, vec![restriction(Scope::Sku { sku: sku() }, Level::Quarantine)]), 2);
    assert_eq!(seen(&overlay, "a", None, "any"), None);
    let part = vec![restriction(Scope::Region { region: region("DE-BY") }, Level::Quarantine)];
    overlay.apply(&entry("a", 3, part), 3);
    assert_eq!(seen(&overlay, "a", Some("DE"), "good"), None, "the asker may live in that part");
    let other_part = Some([region("FR"), region("DE-BE")].into());
    assert_eq!(seen(&overlay, "a", Some("DE-BE"), "good"), Some(Left { level: None, regions: other_part }));
}

#[test]
fn what_is_kept_comes_back_as_it_was_and_later_decisions_replace_it() {
    let overlay = Overlay::default();
    let listing = ListingId::new("bad").unwrap();
    let narrow = vec![
        restriction(Scope::Supplier, Level::Cap),
        restriction(Scope::Listing { listing }, Level::Lockout),
        restriction(Scope::Region { region: Region::new("DE").unwrap() }, Level::Quarantine),
    ];
    overlay.apply(&entry("locked", 7, vec![restriction(Scope::Supplier, Level::Lockout)]), 1);
    overlay.apply(&entry("narrow", 3, narrow), 1);
    overlay.apply(&entry("released", 4, vec![restriction(Scope::Supplier, Level::Lockout)]), 1);
    overlay.apply(&entry("released", 5, vec![]), 1);
    let kept = overlay.kept();
    let mut names: Vec<&str> = kept.iter().map(|kept| kept.supplier.as_str()).collect();
    names.sort_unstable();
    assert_eq!(names, ["locked", "narrow", "released"], "who was never decided on is not kept");

    let back = Overlay::default();
    // Numbers are given out anew, and mean nothing outside of a process.
    back.number(&SupplierId::new("somebody-else").unwrap());
    kept.iter().for_each(|kept| back.bring_back(kept));
    for supplier in ["locked", "narrow", "released", "never"] {
        for (asked, listing) in
            [(None, "good"), (Some("FR"), "bad"), (Some("FR"), "good"), (Some("DE"), "good")]
        {
            let both = [&overlay, &back].map(|of| seen(of, supplier, asked, listing));
            assert_eq!(both[0], both[1], "{supplier} {asked:?} {listing}");
        }
    }
    assert_eq!(back.withheld().len(), 2);
    let earlier = entry("released", 4, vec![restriction(Scope::Supplier, Level::Lockout)]);
    assert!(
        !back.apply(&earlier, 2),
        "who was released is not hidden while decisions are read again from the first"
    );
    assert!(!back.apply(&entry("locked", 6, vec![]), 2), "an earlier decision frees nobody");
    assert_eq!(seen(&back, "locked", None, "l"), None);
    assert!(back.apply(&entry("locked", 8, vec![]), 2));
    assert_eq!(seen(&back, "locked", None, "l"), all(None));
    kept.iter().for_each(|kept| back.bring_back(kept));
    assert_eq!(
        seen(&back, "locked", None, "l"),
        all(None),
        "what is kept is older than what was decided since"
    );
}
