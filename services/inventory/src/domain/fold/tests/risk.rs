//! What owners of reservations are told when these come to be at risk.

use super::*;

fn told(shop: &Shop) -> Vec<(String, String)> {
    let data = |notice: &Notice| {
        assert_eq!(notice.event, "reservation.at_risk");
        assert_eq!(notice.audience, Audience::Buyer { key: "ann".to_owned() });
        let text = notice.data.to_string();
        for secret in ["quarantine", "lockout", "PRICE", "decision", "reason", "withdrawn"] {
            assert!(!text.contains(secret), "why is nobody's business: {text}");
        }
        let field = |name: &str| notice.data[name].as_str().unwrap().to_owned();
        (field("reservation"), field("state"))
    };
    shop.at_risk.iter().map(data).collect()
}

fn shop() -> Shop {
    let mut shop = Shop::new();
    shop.put("l", Some(10), None);
    shop.hold("held", 2, 60_000);
    shop.hold("taken", 3, 60_000);
    shop.confirm("taken");
    shop.hold("given-back", 1, 60_000);
    shop.release("given-back");
    shop
}

#[test]
fn owners_hear_once_that_a_supplier_is_not_shown_any_more_and_not_of_what_shows_it() {
    let mut shop = shop();
    for level in [Level::Watch, Level::Cap, Level::Dim] {
        shop.level(Some(level));
        assert!(shop.at_risk.is_empty(), "{level:?} withholds nothing");
    }
    shop.level(Some(Level::Quarantine));
    let both = [("held".to_owned(), "held".to_owned()), ("taken".to_owned(), "confirmed".to_owned())];
    assert_eq!(told(&shop), both);
    shop.level(Some(Level::Lockout));
    assert_eq!(shop.at_risk.len(), 2, "once, when it begins");
    // In another process it is known alike.
    let mut other = shop.restored();
    other.level(None);
    other.level(Some(Level::Lockout));
    assert_eq!(told(&other), both);
    let names: std::collections::BTreeSet<_> = other.at_risk.iter().map(|notice| &notice.id).collect();
    assert_eq!(names.len(), 2);
}

#[test]
fn running_out_and_withdrawing_look_to_owners_like_being_withheld() {
    let mut shop = shop();
    shop.stock("l", StockMode::Set, 5, None);
    assert!(shop.at_risk.is_empty(), "each has enough");
    shop.stock("l", StockMode::Set, 2, None);
    assert_eq!(told(&shop), [("taken".to_owned(), "confirmed".to_owned())]);
    shop.stock("l", StockMode::Set, 1, None);
    assert_eq!(shop.at_risk.len(), 2, "the other one now, and the first not again: {:?}", told(&shop));
    shop.stock("l", StockMode::Set, 9, None);
    shop.row(Row::Withdraw { listing: listing("l"), source_seq: None });
    assert_eq!(shop.at_risk.len(), 4);
    let withheld = {
        let mut shop = self::shop();
        shop.level(Some(Level::Quarantine));
        shop.at_risk.iter().map(|notice| notice.data.clone()).collect::<Vec<_>>()
    };
    let gone: Vec<_> = shop.at_risk[2..].iter().map(|notice| notice.data.clone()).collect();
    assert_eq!(gone, withheld, "to the byte");
}
