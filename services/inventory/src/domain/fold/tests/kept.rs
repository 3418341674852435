//! What is remembered of requests is bounded by bytes.

use super::*;
use crate::domain::fold::remembered::REMEMBERED_BYTES_MAX;

#[test]
fn what_is_remembered_of_a_supplier_is_bounded_by_bytes_and_the_same_after_a_start() {
    let mut shop = Shop::new();
    let rows =
        || (0..1_000).map(|row| Row::Withdraw { listing: listing(&format!("none-{row}")), source_seq: None });
    let name = |number: usize| format!("k{number}");
    assert!(!shop.request(Some("small"), "", Vec::new()).1);
    for number in 0..60 {
        shop.request(Some(&name(number)), "", rows().collect());
    }
    let bytes = |shop: &Shop| shop.host.fold.remembered_bytes[&acme()][0];
    let kept = |shop: &Shop| shop.host.fold.outcomes.len();
    assert!(bytes(&shop) <= REMEMBERED_BYTES_MAX && bytes(&shop) > REMEMBERED_BYTES_MAX / 2);
    assert!(kept(&shop) < 40, "{} of 61 with a thousand refusals each", kept(&shop));
    let mut other = shop.restored();
    assert_eq!((bytes(&shop), kept(&shop)), (bytes(&other), kept(&other)));
    for shop in [&mut shop, &mut other] {
        assert!(shop.request(Some("k59"), "", rows().collect()).1, "the latest is remembered");
        assert!(!shop.request(Some("small"), "", Vec::new()).1, "the oldest goes first");
        shop.request(Some("again"), "", rows().collect());
    }
    assert_eq!(shop.rows(), other.rows(), "they forget the same");
    shop.tick(10_000_000 + REMEMBERED_MS);
    assert!(shop.host.fold.outcomes.is_empty() && shop.host.fold.remembered_bytes.is_empty());
}
