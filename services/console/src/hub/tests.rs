use stockade_model::{Position, SupplierId, Timestamp};

use super::*;

pub(crate) fn decision(supplier: &str) -> Decision {
    Decision {
        version: Position { fold: "arbiter".to_owned(), partition: 0, generation: 1, offset: 1, index: 1 },
        at: Timestamp::from_ms(clock::now_ms()),
        supplier: SupplierId::new(supplier).unwrap(),
        action: Action::Allowed,
        restriction: None,
        actor: Some("ada".to_owned()),
        note: None,
        in_force: Vec::new(),
        act: None,
        chain: String::new(),
    }
}

fn everything(_: &str) -> bool {
    true
}

#[test]
fn a_tab_is_told_what_came_since_and_one_that_was_away_for_too_long_is_told_how_much_it_missed() {
    let hub = Hub::new("a");
    for offset in 0..10 {
        hub.decided(offset, &decision("s-1"));
    }
    assert_eq!(hub.begin(Some(7), 500), (7, true));
    let news = hub.news(7, 0, 2, everything);
    assert_eq!((news.rows.len(), news.next, news.missed), (2, 9, 0));
    assert_eq!(hub.news(9, 0, 2, everything).next, 10);
    assert_eq!(hub.news(10, 0, 2, everything).rows.len(), 0);
    for offset in 10..6_000 {
        hub.decided(offset, &decision("s-1"));
    }
    let late = hub.news(10, 0, 200, everything);
    assert_eq!((late.missed, late.next), (990, 1_200), "the rows that are kept begin at 1000");
}

#[test]
fn a_place_that_is_not_of_this_log_begins_anew_with_the_last_rows_and_nothing_is_taken_twice() {
    let hub = Hub::new("a");
    for offset in [0, 1, 2, 1, 2, 3] {
        hub.decided(offset, &decision("s-1"));
    }
    assert_eq!(hub.begin(Some(900), 2), (2, false));
    assert_eq!(hub.begin(None, 500), (0, false));
    assert_eq!(hub.news(0, 0, 200, everything).rows.len(), 4);
}

#[test]
fn a_state_is_told_once_and_again_only_when_it_is_another() {
    let hub = Hub::new("a");
    hub.put("reviews", &json!({ "open": 1 }));
    let first = hub.news(0, 0, 0, everything);
    assert_eq!(first.states.len(), 1);
    hub.put("reviews", &json!({ "open": 1 }));
    let second = hub.news(0, first.version, 0, everything);
    assert!(second.states.is_empty());
    hub.put("reviews", &json!({ "open": 2 }));
    assert_eq!(&*hub.news(0, second.version, 0, everything).states[0].1, r#"{"open":2}"#);
    assert!(hub.news(0, 0, 0, |name| name == "rules").states.is_empty(), "nobody asked");
}

#[test]
fn an_alert_is_told_at_once_and_is_no_second_of_its_own() {
    let hub = Hub::new("a");
    hub.sampled(&Sample::default());
    let before = hub.news(0, 0, 0, everything);
    let seconds = hub.overview(false)["history"].clone();
    let alert = Alert { code: "budget".to_owned(), severity: "high", text: "look".to_owned() };
    let sample = Sample { alerts: vec![alert], ..Sample::default() };
    hub.alerted(&sample);
    let news = hub.news(0, before.version, 0, everything);
    let told: Vec<_> = news.states.iter().map(|(name, _)| *name).collect();
    assert_eq!(told, ["alerts"]);
    let overview = hub.overview(false);
    assert_eq!((&overview["alerts"][0]["code"], &overview["history"]), (&json!("budget"), &seconds));
    hub.alerted(&sample);
    assert!(hub.news(0, news.version, 0, everything).states.is_empty(), "the same is told once");
}

#[test]
fn a_rule_set_that_comes_into_force_is_marked_and_the_one_found_at_the_start_is_not() {
    let hub = Hub::new("a");
    let sample = |rules: &str| Sample { rules: Some(rules.to_owned()), ..Sample::default() };
    hub.sampled(&sample("one"));
    hub.sampled(&sample("one"));
    assert_eq!(hub.overview(false)["annotations"], json!([]));
    hub.sampled(&sample("two"));
    assert_eq!(hub.overview(false)["annotations"][0]["kind"], "publish");
}
