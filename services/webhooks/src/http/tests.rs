use stockade_log::{Memory, MemoryDisk};
use stockade_runtime::LimitsConfig;

use super::*;
use crate::{
    Effect,
    endpoint::Event,
    fold::{DISABLED, PING},
    samples,
};

fn acme() -> EndpointOwner {
    EndpointOwner::Supplier { supplier: "acme".parse().unwrap() }
}

fn endpoint(id: &str, owner: &EndpointOwner) -> Effect {
    Effect::Endpoint(Arc::new(samples::endpoint(id, owner)))
}

fn delivery(endpoint: &str, event: &str, state: Stands) -> Effect {
    let event =
        Event { id: String::new(), event: event.to_owned(), at: Timestamp::from_ms(0), body: "{}".into() };
    let delivery =
        Delivery { id: "msg_1".to_owned(), event: Arc::new(event), state, ..samples::delivery(1, 0) };
    Effect::Delivery { endpoint: endpoint.to_owned(), delivery: Arc::new(delivery) }
}

fn api() -> WebhooksApi {
    let log = Arc::new(Memory::open(MemoryDisk::default(), Arc::new(|| 0)).unwrap());
    let master = Some(Master::of(b"a key of this test only"));
    WebhooksApi::new(log, View::default(), master, Limits::new(&LimitsConfig::default()), true)
}

#[test]
fn one_test_of_an_endpoint_waits_at_a_time_and_what_happened_does_not_count_as_one() {
    let api = api();
    let refused = |id: &str| api.may_test(&acme(), id).map(drop).map_err(|problem| problem.code);
    assert_eq!(refused("it"), Err("no_such_webhook"));
    api.view.hear(vec![endpoint("it", &acme()), endpoint("theirs", &EndpointOwner::Operators)]);
    assert_eq!(refused("theirs"), Err("no_such_webhook"));
    // One that is being written does not show yet.
    let writing = api.may_test(&acme(), "it").unwrap();
    assert_eq!(refused("it"), Err("webhook_test_waits"));
    drop(writing);
    assert_eq!(refused("it"), Ok(()));
    api.view.hear(vec![delivery("it", DISABLED, Stands::Waiting)]);
    assert_eq!(refused("it"), Ok(()));
    api.view.hear(vec![delivery("it", PING, Stands::Waiting)]);
    let problem = api.may_test(&acme(), "it").map(drop).unwrap_err();
    assert!(problem.detail.contains("msg_1/redeliver"), "{}", problem.detail);
    assert_eq!(refused("it"), Err("webhook_test_waits"), "and again");
    api.view.hear(vec![delivery("it", PING, Stands::Delivered)]);
    assert_eq!(refused("it"), Ok(()));
}

#[test]
fn however_many_endpoints_others_have_operators_may_have_theirs_and_what_is_full_is_said() {
    let (api, other) = (api(), EndpointOwner::Buyer { key: "k".to_owned() });
    let fill = |from: usize, to: usize| {
        api.view.hear((from..to).map(|at| endpoint(&format!("w{at}"), &other)).collect());
    };
    fill(0, ALL_MAX - OPERATORS_KEPT - 1);
    assert!(api.has_room(&acme()).is_ok());
    fill(ALL_MAX - OPERATORS_KEPT - 1, ALL_MAX - OPERATORS_KEPT);
    assert!(matches!(api.has_room(&acme()), Err(Refusal::Full)));
    assert!(api.has_room(&EndpointOwner::Operators).is_ok());
    let (own, all) = (Problem::from(Refusal::TooMany), Problem::from(Refusal::Full));
    assert_eq!((own.code, all.code), ("too_many_webhooks", "webhooks_full"));
}
