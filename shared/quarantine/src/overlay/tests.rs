use super::*;
use crate::conformance::{entry, restriction};

fn sku() -> Sku {
    Sku::new("SKU-1").unwrap()
}

fn see(overlay: &Overlay, supplier: &str, region: Option<&str>, listing: &str) -> Option<Level> {
    let (sku, listing) = (sku(), ListingId::new(listing).unwrap());
    let region = region.map(|r| Region::new(r).unwrap());
    let supplier = overlay.number(&SupplierId::new(supplier).unwrap());
    overlay.level(Subject { supplier, region, sku: &sku, listing: &listing })
}

#[test]
fn a_supplier_flips_and_flips_back_and_nobody_else_notices() {
    let overlay = Overlay::default();
    assert_eq!(see(&overlay, "a", None, "l"), None);
    assert!(overlay.apply(&entry("a", 1, vec![restriction(Scope::Supplier, Level::Quarantine)]), 5));
    assert_eq!(
        (see(&overlay, "a", None, "l"), see(&overlay, "b", None, "l")),
        (Some(Level::Quarantine), None)
    );
    assert!(!overlay.apply(&entry("a", 1, vec![]), 6), "a repeat does nothing");
    assert!(overlay.apply(&entry("a", 2, vec![]), 7));
    assert_eq!(see(&overlay, "a", None, "l"), None);
    assert!(!overlay.apply(&entry("a", 1, vec![restriction(Scope::Supplier, Level::Lockout)]), 8));
    assert_eq!(see(&overlay, "a", None, "l"), None, "an older version never comes back");
}

#[test]
fn narrower_scopes_cover_what_they_name_and_the_hardest_level_counts() {
    let overlay = Overlay::default();
    let de = Region::new("DE").unwrap();
    let listing = ListingId::new("bad").unwrap();
    let set = vec![
        restriction(Scope::Supplier, Level::Dim),
        restriction(Scope::Region { region: de }, Level::Quarantine),
        restriction(Scope::Listing { listing }, Level::Lockout),
    ];
    overlay.apply(&entry("a", 1, set), 1);
    assert_eq!(see(&overlay, "a", Some("FR"), "good"), Some(Level::Dim));
    assert_eq!(see(&overlay, "a", Some("DE-BY"), "good"), Some(Level::Quarantine));
    assert_eq!(see(&overlay, "a", Some("FR"), "bad"), Some(Level::Lockout));
    overlay.apply(&entry("a", 2, vec![restriction(Scope::Sku { sku: sku() }, Level::Quarantine)]), 2);
    assert_eq!(see(&overlay, "a", None, "any"), Some(Level::Quarantine));
}
