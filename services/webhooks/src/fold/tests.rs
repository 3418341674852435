use stockade_fold::Host;
use stockade_log::Record;
use stockade_model::{Envelope, Topic};

use super::*;

/// The fold by hand, with a clock that the test moves.
struct World {
    host: Host<Webhooks>,
    now_ms: i64,
    offset: u64,
}

fn supplier(id: &str) -> EndpointOwner {
    EndpointOwner::Supplier { supplier: id.parse().unwrap() }
}

fn failure(status: u16) -> Attempt {
    let failure = Some(AttemptFailure::Status);
    Attempt { failure, status: Some(status), detail: String::new(), latency_ms: 3, retry_after_ms: None }
}

fn taken() -> Attempt {
    Attempt { failure: None, status: Some(204), detail: String::new(), latency_ms: 3, retry_after_ms: None }
}

impl World {
    fn new() -> Self {
        let host = Host::new("webhooks", Topic::Webhooks, 0, 1, 4, Webhooks::default());
        Self { host, now_ms: 1_000_000, offset: 0 }
    }
    fn apply(&mut self, record: WebhookRecord) -> Result<Option<String>, Refusal> {
        let payload = Payload::Webhook(record);
        let headers = Envelope::new(payload.kind(), "r", "test").headers().into_iter();
        let record = Record {
            offset: self.offset,
            time_ms: self.now_ms,
            key: "".into(),
            headers: headers.map(|(name, value)| (name.into(), value.into())).collect(),
            value: payload.encode().into(),
        };
        self.offset += 1;
        let mut effects = Vec::new();
        assert!(self.host.apply(&record, &mut effects).is_empty(), "the fold sends nothing");
        match effects.pop() {
            Some(Effect::Judged { verdict, .. }) => verdict,
            other => panic!("the verdict comes last: {other:?}"),
        }
    }
    fn ask(
        &mut self,
        endpoint: &str,
        by: &EndpointOwner,
        what: EndpointAsk,
    ) -> Result<Option<String>, Refusal> {
        self.apply(WebhookRecord::Asked { endpoint: endpoint.to_owned(), by: by.clone(), what })
    }
    fn create(
        &mut self,
        endpoint: &str,
        by: &EndpointOwner,
        events: &[&str],
    ) -> Result<Option<String>, Refusal> {
        let events = events.iter().map(|event| (*event).to_owned()).collect();
        let url = format!("https://{endpoint}.example/");
        self.ask(endpoint, by, EndpointAsk::Create { url, events, description: None, master: "m".to_owned() })
    }
    fn notice(&mut self, id: &str, event: &str, audience: Audience) {
        let (id, event, at) = (id.to_owned(), event.to_owned(), Timestamp::from_ms(self.now_ms));
        let data = serde_json::json!({ "n": id });
        self.apply(WebhookRecord::Notice(Notice { id, event, at, audience, data })).unwrap();
    }
    fn decided(&mut self, id: &str, of: &str) {
        self.notice(id, "decision.restricted", Audience::Supplier { supplier: of.parse().unwrap() });
    }
    fn endpoint(&self, id: &str) -> Endpoint {
        self.host.fold.endpoints.get(id).unwrap().clone()
    }
    fn deliveries(&self, endpoint: &str) -> Vec<Delivery> {
        let begins = format!("{endpoint}/");
        let all = self.host.fold.deliveries.iter().filter(|(key, _)| key.starts_with(&begins));
        let mut all: Vec<Delivery> = all.map(|(_, it)| it.clone()).collect();
        all.sort_by_key(|it| it.number);
        all
    }
    fn attempt(&mut self, endpoint: &str, delivery: &Delivery, attempt: Attempt) {
        let (endpoint, before, delivery) = (endpoint.to_owned(), delivery.attempts_ever, delivery.id.clone());
        self.apply(WebhookRecord::Attempted { endpoint, delivery, before, attempt, at: None }).unwrap();
    }
}

#[test]
fn everybody_hears_of_what_concerns_them_and_of_nothing_else() {
    let mut world = World::new();
    let buyer = |key: &str| EndpointOwner::Buyer { key: key.to_owned() };
    let orders = EndpointOwner::OrderSystem { key: "k3".to_owned() };
    for (endpoint, owner) in [
        ("acme", supplier("acme")),
        ("other", supplier("other")),
        ("b1", buyer("k1")),
        ("b2", buyer("k2")),
        ("shop", orders),
        ("ops", EndpointOwner::Operators),
    ] {
        world.create(endpoint, &owner, &[]).unwrap();
    }
    world.create("picky", &supplier("acme"), &["appeal.answered"]).unwrap();
    world.decided("d-1", "acme");
    world.notice("r-1", "reservation.at_risk", Audience::Buyer { key: "k1".to_owned() });
    let told = |endpoint: &str| -> Vec<String> {
        world.deliveries(endpoint).iter().map(|it| it.event.id.clone()).collect()
    };
    assert_eq!(told("acme"), ["d-1"]);
    assert_eq!(told("b1"), ["r-1"]);
    assert_eq!(told("shop"), ["r-1"]);
    assert_eq!(told("ops"), ["d-1", "r-1"]);
    for nothing in ["other", "b2", "picky"] {
        assert!(told(nothing).is_empty(), "{nothing}");
    }
    // What concerns the platform itself is for those who run it, once.
    let owned = |world: &World| -> usize {
        ["acme", "other", "b1", "b2", "shop", "picky"].iter().map(|it| world.deliveries(it).len()).sum()
    };
    let before = owned(&world);
    world.notice("h-1", "rule.held_back", Audience::Operators);
    assert_eq!(owned(&world), before, "nobody else hears of it");
    let ops: Vec<String> = world.deliveries("ops").iter().map(|it| it.event.id.clone()).collect();
    assert_eq!(ops, ["d-1", "r-1", "h-1"]);
    let event = "rule.held_back";
    assert!(may_hear(&EndpointOwner::Operators, event));
    for owner in [supplier("acme"), buyer("k1"), EndpointOwner::OrderSystem { key: "k3".to_owned() }] {
        assert!(!may_hear(&owner, event), "{owner:?} cannot ask for it");
    }
}

#[test]
fn what_is_told_twice_is_owed_once_under_one_name_for_each_endpoint() {
    let mut world = World::new();
    world.create("one", &supplier("acme"), &[]).unwrap();
    world.create("two", &supplier("acme"), &[]).unwrap();
    world.decided("d-1", "acme");
    world.decided("d-1", "acme");
    let (one, two) = (world.deliveries("one"), world.deliveries("two"));
    assert_eq!((one.len(), two.len()), (1, 1));
    assert_ne!(one[0].id, two[0].id);
    world.attempt("one", &one[0], taken());
    world.decided("d-1", "acme");
    assert_eq!(world.deliveries("one").len(), 1, "also when it was taken already");
    let body: serde_json::Value = serde_json::from_str(&one[0].event.body).unwrap();
    assert_eq!(body["type"], "decision.restricted");
    assert_eq!(body["data"]["n"], "d-1");
    assert!(body["timestamp"].is_string());
}

#[test]
fn only_its_owner_may_do_something_to_an_endpoint_and_addresses_and_numbers_are_bounded() {
    let mut world = World::new();
    let (acme, other) = (supplier("acme"), supplier("other"));
    world.create("mine", &acme, &[]).unwrap();
    for what in [EndpointAsk::Delete, EndpointAsk::Test, EndpointAsk::Rotate { master: "m".to_owned() }] {
        assert_eq!(world.ask("mine", &other, what), Err(Refusal::NoSuchEndpoint));
    }
    let same = EndpointAsk::Create {
        url: "https://mine.example/".to_owned(),
        events: Vec::new(),
        description: None,
        master: "m".to_owned(),
    };
    assert_eq!(world.ask("again", &acme, same.clone()), Err(Refusal::SameAddress));
    world.ask("theirs", &other, same).unwrap();
    for number in 1..OWN_MAX {
        world.create(&format!("w{number}"), &acme, &[]).unwrap();
    }
    assert_eq!(world.create("beyond", &acme, &[]), Err(Refusal::TooMany));
    world.ask("mine", &acme, EndpointAsk::Delete).unwrap();
    world.create("beyond", &acme, &[]).unwrap();
}

#[test]
fn a_failing_endpoint_rests_longer_and_longer_and_what_it_is_owed_is_given_up_after_three_days() {
    let mut world = World::new();
    world.create("it", &supplier("acme"), &[]).unwrap();
    world.decided("d-1", "acme");
    let mut attempts = 0;
    let began = world.now_ms;
    loop {
        let it = world.deliveries("it")[0].clone();
        if it.state == State::Failed {
            break;
        }
        world.now_ms = it.next.max(world.endpoint("it").not_before).ms();
        world.attempt("it", &it, failure(500));
        attempts += 1;
    }
    assert_eq!(attempts, 13);
    let days = (world.now_ms - began) as f64 / DAY_MS as f64;
    assert!((2.4..3.7).contains(&days), "{days}");
    let held = world.endpoint("it");
    assert_eq!((held.failures, held.disabled), (13, None), "three days are not yet five");
    // A day and a half later something else fails: five days without anything taken.
    world.now_ms += 2 * DAY_MS + DAY_MS;
    world.decided("d-2", "acme");
    world.decided("d-3", "acme");
    let second = world.deliveries("it")[1].clone();
    world.attempt("it", &second, failure(500));
    let held = world.endpoint("it");
    assert!(held.disabled.clone().unwrap().1.contains("failed"), "{held:?}");
    let states: Vec<State> = world.deliveries("it").iter().map(|it| it.state).collect();
    assert_eq!(states, [State::Failed; 3]);
    world.decided("d-4", "acme");
    assert_eq!(world.deliveries("it").len(), 3, "nothing more is owed to it");
    assert_eq!(world.ask("it", &supplier("acme"), EndpointAsk::Test), Err(Refusal::Disabled));

    // Enabled again it is told what happens, and on request what happened.
    let enable = EndpointAsk::Change { url: None, events: None, description: None, enabled: Some(true) };
    world.ask("it", &supplier("acme"), enable).unwrap();
    assert_eq!(world.endpoint("it").failures, 0);
    let since = Timestamp::from_ms(second.event.at.ms());
    world.ask("it", &supplier("acme"), EndpointAsk::Replay { since }).unwrap();
    let states: Vec<State> = world.deliveries("it").iter().map(|it| it.state).collect();
    assert_eq!(states, [State::Failed, State::Waiting, State::Waiting], "d-1 happened before");
}

#[test]
fn gone_disables_at_once_and_the_owners_other_endpoints_hear_of_it() {
    let mut world = World::new();
    world.create("it", &supplier("acme"), &[]).unwrap();
    world.create("second", &supplier("acme"), &[]).unwrap();
    world.create("picky", &supplier("acme"), &["ping"]).unwrap();
    world.create("stranger", &supplier("other"), &[]).unwrap();
    world.decided("d-1", "acme");
    let it = world.deliveries("it")[0].clone();
    world.attempt("it", &it, failure(410));
    assert!(world.endpoint("it").disabled.is_some());
    let told = world.deliveries("second");
    assert_eq!(told[1].event.event, "webhook.disabled");
    assert!(told[1].event.body.contains("410"), "{}", told[1].event.body);
    assert!(world.deliveries("picky").is_empty() && world.deliveries("stranger").is_empty());
}

#[test]
fn an_endpoint_whose_owner_is_gone_is_disabled_once_with_the_reason_and_can_be_enabled_again() {
    let mut world = World::new();
    world.create("it", &supplier("acme"), &[]).unwrap();
    world.create("ops", &EndpointOwner::Operators, &["webhook.disabled"]).unwrap();
    world.create("deaf", &EndpointOwner::Operators, &["ping"]).unwrap();
    world.decided("d-1", "acme");
    let gone =
        || WebhookRecord::OwnerGone { endpoint: "it".to_owned(), reason: "its key was revoked".to_owned() };
    for _ in 0..2 {
        world.apply(gone()).unwrap();
        assert_eq!(world.endpoint("it").disabled.map(|(_, why)| why), Some("its key was revoked".to_owned()));
        assert_eq!(world.deliveries("it")[0].state, State::Failed);
        assert_eq!(world.deliveries("ops").len(), 1, "it is told once");
        assert!(world.deliveries("deaf").is_empty());
    }
    world.decided("d-2", "acme");
    assert_eq!(world.deliveries("it").len(), 1, "nothing more is owed to it");
    let enable = EndpointAsk::Change { url: None, events: None, description: None, enabled: Some(true) };
    world.ask("it", &supplier("acme"), enable).unwrap();
    world.decided("d-3", "acme");
    assert_eq!(world.deliveries("it").len(), 2);
}

#[test]
fn an_endpoint_is_left_alone_as_long_as_it_asks_and_a_result_that_comes_twice_counts_once() {
    let mut world = World::new();
    world.create("it", &supplier("acme"), &[]).unwrap();
    world.decided("d-1", "acme");
    let it = world.deliveries("it")[0].clone();
    let asked = Attempt { retry_after_ms: Some(7_200_000), ..failure(503) };
    world.attempt("it", &it, asked.clone());
    world.attempt("it", &it, asked);
    let held = world.endpoint("it");
    assert_eq!(held.failures, 1);
    assert_eq!(held.not_before.ms(), world.now_ms + 7_200_000);
    let it = world.deliveries("it")[0].clone();
    assert_eq!((it.next.ms(), it.attempts), (world.now_ms + 7_200_000, 1));
    // That the process could not send counts for nothing.
    let unsent = Attempt { failure: Some(AttemptFailure::Unsent), status: None, ..failure(0) };
    world.attempt("it", &it, unsent);
    assert_eq!((world.endpoint("it").failures, world.deliveries("it")[0].attempts), (1, 1));
    let it = world.deliveries("it")[0].clone();
    world.attempt("it", &it, taken());
    world.attempt("it", &it, failure(500));
    assert_eq!((world.deliveries("it")[0].state, world.endpoint("it").failures), (State::Delivered, 0));
}

#[test]
fn what_waits_and_what_is_kept_of_an_endpoint_is_bounded_whatever_happens() {
    let mut world = World::new();
    world.create("it", &supplier("acme"), &[]).unwrap();
    for number in 0..WAITING_MAX + 50 {
        world.decided(&format!("d-{number}"), "acme");
    }
    let waiting = world.deliveries("it");
    assert_eq!(waiting.len(), WAITING_MAX);
    assert_eq!(waiting[0].event.id, "d-50", "the oldest are dropped");
    assert_eq!(world.endpoint("it").dropped, 50);
    for it in &waiting {
        world.attempt("it", it, taken());
    }
    assert_eq!(world.deliveries("it").len(), FINISHED_MAX);
    let lane = &world.host.fold.lanes["it"];
    assert_eq!((lane.waiting.len(), lane.finished.len(), lane.names.len()), (0, FINISHED_MAX, FINISHED_MAX));
    world.ask("it", &supplier("acme"), EndpointAsk::Delete).unwrap();
    assert!(
        world.deliveries("it").is_empty()
            && world.host.fold.lanes.is_empty()
            && world.host.fold.owners.is_empty()
    );
}

#[test]
fn a_rotation_keeps_the_former_secret_for_a_day_unless_the_installations_key_is_another() {
    let mut world = World::new();
    world.create("it", &supplier("acme"), &[]).unwrap();
    let rotate = |master: &str| EndpointAsk::Rotate { master: master.to_owned() };
    world.ask("it", &supplier("acme"), rotate("m")).unwrap();
    let held = world.endpoint("it");
    assert_eq!((held.secret, held.former_until.map(Timestamp::ms)), (1, Some(world.now_ms + DAY_MS)));
    world.ask("it", &supplier("acme"), rotate("other")).unwrap();
    let held = world.endpoint("it");
    assert_eq!((held.secret, held.former_until, held.master.as_str()), (2, None, "other"));
    assert!(held.former.is_empty());
}

#[test]
fn each_former_secret_has_its_own_day_and_past_a_bound_the_oldest_goes_sooner() {
    let mut world = World::new();
    world.create("it", &supplier("acme"), &[]).unwrap();
    let rotate = || EndpointAsk::Rotate { master: "m".to_owned() };
    let begun = world.now_ms;
    for _ in 0..3 {
        world.ask("it", &supplier("acme"), rotate()).unwrap();
        world.now_ms += 1_000;
    }
    let at = |ms: i64| Timestamp::from_ms(begun + ms);
    let signing = |world: &World, now: Timestamp| -> Vec<u32> {
        world.endpoint("it").formers(now).iter().map(|former| former.secret).collect()
    };
    assert_eq!(signing(&world, at(3_000)), [0, 1, 2]);
    assert_eq!(signing(&world, at(DAY_MS)), [1, 2]);
    assert_eq!(signing(&world, at(DAY_MS + 2_000)), [0; 0]);
    for _ in 0..FORMERS_MAX {
        world.ask("it", &supplier("acme"), rotate()).unwrap();
    }
    let expected: Vec<u32> = (3..3 + FORMERS_MAX as u32).collect();
    assert_eq!(signing(&world, at(4_000)), expected);
}

#[test]
fn an_endpoint_of_an_earlier_build_goes_on_signing_with_its_last_secret() {
    let mut world = World::new();
    world.create("it", &supplier("acme"), &[]).unwrap();
    let made = world.endpoint("it");
    let now = Timestamp::from_ms(world.now_ms);
    let of_earlier = Endpoint { secret: 3, former: Vec::new(), former_until: Some(now.plus_ms(10)), ..made };
    let text = serde_json::to_string(&of_earlier).unwrap();
    assert!(!text.contains("\"former\""), "{text}");
    let read: Endpoint = serde_json::from_str(&text).unwrap();
    assert_eq!(read.formers(now), [Former { secret: 2, until: now.plus_ms(10) }]);
    assert!(read.formers(now.plus_ms(10)).is_empty());
}

#[test]
fn what_is_restored_is_what_was_and_goes_on_alike() {
    let mut world = World::new();
    world.create("it", &supplier("acme"), &[]).unwrap();
    for number in 0..5 {
        world.decided(&format!("d-{number}"), "acme");
    }
    let first = world.deliveries("it")[0].clone();
    world.attempt("it", &first, failure(500));
    let mut restored = Webhooks::default();
    for (key, value) in world.host.changed_rows(0) {
        let value = value.unwrap();
        let (table, key) = key.split_first().unwrap();
        restored.tables().into_iter().find(|it| it.name() == *table).unwrap().load(key, &value).unwrap();
    }
    let mut effects = Vec::new();
    restored.restored(&mut effects);
    let view = crate::View::default();
    view.hear(effects);
    let due = view.due(Timestamp::from_ms(i64::MAX), &mut crate::turns::Turns::endless(), |_| true).0;
    assert_eq!(due.len(), 1, "one of an endpoint at a time");
    assert!(due[0].at >= world.endpoint("it").not_before, "it rests");
    assert_eq!(view.counts("it"), (5, 0));
    let lane = &restored.lanes["it"];
    assert_eq!(lane.waiting, world.host.fold.lanes["it"].waiting);
}

#[test]
fn while_record_times_stand_still_pauses_count_from_when_it_was_tried() {
    let mut world = World::new();
    world.create("it", &supplier("acme"), &[]).unwrap();
    world.decided("d-1", "acme");
    // A clock was a day ahead for a moment, and the log has been there since; an hour has passed.
    let at = Timestamp::from_ms(world.now_ms + 3_600_000);
    let it = world.deliveries("it")[0].clone();
    let (endpoint, before, delivery) = ("it".to_owned(), it.attempts_ever, it.id.clone());
    let attempt = failure(500);
    world.apply(WebhookRecord::Attempted { endpoint, delivery, before, attempt, at: Some(at) }).unwrap();
    assert!(world.deliveries("it")[0].next > at, "and not at once");
    assert!(world.endpoint("it").not_before > at);
}
