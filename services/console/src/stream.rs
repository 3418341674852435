//! One stream for each tab: decisions from where the tab was, states by name, and a beat, so that a page can say how far behind it
//! is. What comes faster than [`REST`] is sent together.

use std::{convert::Infallible, time::Duration};

use axum::response::{
    IntoResponse as _, Response,
    sse::{Event, Sse},
};
use stockade_model::SupplierId;
use stockade_runtime::{Role, Sessions, clock};
use tokio::time::Instant;

use crate::{http::Place, hub::Hub};

/// Between two rounds of looking.
const REST: Duration = Duration::from_millis(50);
/// After so long without an event, a beat is sent.
const BEAT: Duration = Duration::from_secs(2);
/// How long a browser waits before it comes back.
const COME_BACK: Duration = Duration::from_secs(1);
/// Rows in one event; further ones follow in the next.
const ROWS_MAX: usize = 200;
/// Rows that a tab without a past is told.
pub(crate) const ROWS_BACK: usize = 500;

/// What a tab may follow, and what it asked for.
pub(crate) struct Follows {
    channels: Vec<String>,
    role: Role,
}

impl Follows {
    pub(crate) fn new(channels: &str, role: Role) -> Self {
        Self { channels: channels.split(',').take(32).map(str::to_owned).collect(), role }
    }
    fn wants(&self, name: &str) -> bool {
        self.role.is_staff() && self.channels.iter().any(|channel| channel == name)
    }
    /// Whose decisions: everybody's (`None` within), those of one, or nobody's.
    fn decisions(&self) -> Option<Option<&SupplierId>> {
        let asked = self.channels.iter().any(|channel| channel == "decisions");
        match &self.role {
            Role::Supplier { supplier } if asked => Some(Some(supplier)),
            role if asked && role.is_staff() => Some(None),
            _ => None,
        }
    }
}

pub(crate) struct Tab {
    pub(crate) hub: Hub,
    pub(crate) follows: Follows,
    /// The session's token; the stream ends with it.
    pub(crate) session: (Sessions, String),
    pub(crate) next: u64,
    pub(crate) resumed: bool,
    /// One of the places for streams, for as long as this one lasts.
    pub(crate) _place: Place,
}

struct Telling {
    tab: Tab,
    version: u64,
    ready: std::collections::VecDeque<Event>,
    said_hello: bool,
    ended: bool,
    last: Instant,
}

/// The answer that goes on.
pub(crate) fn answer(tab: Tab) -> Response {
    let telling = Telling {
        tab,
        version: 0,
        ready: std::collections::VecDeque::new(),
        said_hello: false,
        ended: false,
        last: Instant::now(),
    };
    let events = futures_util::stream::unfold(telling, |mut telling| async move {
        let event = telling.next().await?;
        Some((Ok::<_, Infallible>(event), telling))
    });
    let mut response = Sse::new(events).into_response();
    // Proxies that gather what they pass on would hold back every event until they have enough.
    response.headers_mut().insert("x-accel-buffering", axum::http::HeaderValue::from_static("no"));
    response
}

impl Telling {
    async fn next(&mut self) -> Option<Event> {
        let mut changes = self.tab.hub.changes();
        loop {
            if let Some(event) = self.ready.pop_front() {
                self.last = Instant::now();
                return Some(event);
            }
            if self.ended || self.tab.hub.is_closed() {
                return None;
            }
            changes.mark_unchanged();
            self.look();
            if !self.ready.is_empty() {
                continue;
            }
            tokio::select! {
                _ = changes.changed() => tokio::time::sleep(REST).await,
                () = tokio::time::sleep_until(self.last + BEAT) => self.beat(),
            }
        }
    }

    fn look(&mut self) {
        let (sessions, token) = &self.tab.session;
        if sessions.peek(token).is_none() {
            self.ended = true;
            self.ready.push_back(Event::default().event("ended").data("{}"));
            return;
        }
        if !self.said_hello {
            self.said_hello = true;
            let hello = serde_json::json!({
                "now": clock::now_ms(), "instance": &*self.tab.hub.instance, "resumed": self.tab.resumed,
            });
            self.ready.push_back(self.event("hello").retry(COME_BACK).data(hello.to_string()));
        }
        let whose = self.tab.follows.decisions();
        let most = if whose.is_some() { ROWS_MAX } else { 0 };
        let news = self.tab.hub.news(self.tab.next, self.version, most, |name| self.tab.follows.wants(name));
        self.version = news.version;
        for (name, state) in &news.states {
            let data = format!(r#"{{"channel":"{name}","data":{state}}}"#);
            self.ready.push_back(self.event("state").data(data));
        }
        let Some(whose) = whose else { return };
        self.tab.next = news.next;
        // Of a supplier's own nothing is counted: how much the platform decides is not its affair.
        if news.missed > 0 && self.tab.resumed && whose.is_none() {
            self.ready.push_back(self.event("gap").data(format!(r#"{{"missed":{}}}"#, news.missed)));
        }
        let is_shown = |row: &&crate::feed::Kept| whose.is_none_or(|supplier| *supplier == row.supplier);
        let text =
            |row: &'_ crate::feed::Kept| if whose.is_none() { row.json.clone() } else { row.own.clone() };
        let rows: Vec<_> = news.rows.iter().filter(is_shown).map(text).collect();
        if !news.rows.is_empty() {
            // From here on it is told what it misses.
            self.tab.resumed = true;
        }
        if !rows.is_empty() {
            let data = format!(r#"{{"now":{},"rows":[{}]}}"#, clock::now_ms(), rows.join(","));
            self.ready.push_back(self.event("decisions").data(data));
        }
    }

    fn beat(&mut self) {
        let now = clock::now_ms();
        self.ready.push_back(self.event("beat").data(format!(r#"{{"now":{now}}}"#)));
    }

    /// An event whose id is where the tab goes on from; a supplier's begins anew, for the id counts everybody's decisions.
    fn event(&self, name: &str) -> Event {
        let event = Event::default().event(name);
        if self.tab.follows.role.is_staff() { event.id(self.tab.next.to_string()) } else { event }
    }
}
