//! An endpoint and a delivery to it for tests, which change what they are about.

use std::sync::Arc;

use stockade_model::{EndpointOwner, Timestamp};

use crate::endpoint::{Delivery, Endpoint, Event, State};

pub(crate) fn endpoint(id: &str, owner: &EndpointOwner) -> Endpoint {
    let at = Timestamp::from_ms(0);
    Endpoint {
        id: id.to_owned(),
        owner: owner.clone(),
        url: String::new(),
        events: Vec::new(),
        description: None,
        created: at,
        secret: 0,
        former: Vec::new(),
        former_until: None,
        master: String::new(),
        disabled: None,
        failures: 0,
        failing_since: None,
        not_before: at,
        taken_at: None,
        dropped: 0,
    }
}

/// One that waits since `next`, in milliseconds, and was not tried yet.
pub(crate) fn delivery(number: u64, next: i64) -> Delivery {
    let next = Timestamp::from_ms(next);
    let event = Event { id: String::new(), event: String::new(), at: next, body: "".into() };
    Delivery {
        id: number.to_string(),
        number,
        event: Arc::new(event),
        state: State::Waiting,
        owed: next,
        attempts: 0,
        attempts_ever: 0,
        next,
        tries: Vec::new(),
    }
}
