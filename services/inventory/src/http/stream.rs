//! What buyers see of some goods, and what becomes of it: `GET /v1/availability/stream`, as server-sent events.
//!
//! A stream begins with one `good` event for each good, then says `live`, and from then on sends a good again, whole, whenever what
//! is seen of it has changed. What changes several times before it is sent is sent once. The id of an event holds a tag of
//! every good as it was last sent; a client that comes back with it as `Last-Event-ID`, to this replica or another,
//! is sent only what is different by then. So a reader that was cut off, or too slow, misses nothing but what is over.
//!
//! To look costs what a question does, so it is paid for: a good that has changed costs its caller one unit, and ten looks that find
//! nothing one more. They are taken from an allowance of the caller's class that all its streams share and that is beside the one of its
//! requests: what it watches keeps nobody from reserving. Where it is used up, streams look later, and find what is there by then.

use std::{
    collections::{BTreeSet, VecDeque},
    convert::Infallible,
    sync::Arc,
    time::Duration,
};

use axum::{
    extract::{Request, State},
    http::{HeaderMap, StatusCode, Uri},
    response::{
        IntoResponse as _, Response,
        sse::{Event, KeepAlive, Sse},
    },
};
use stockade_runtime::{Caller, Problem, Rung, request};

use super::{
    answer::{self, GoodResult},
    buyer::{self, Asked, AvailabilityQuery, GOODS_MAX},
    fields::Fields,
};
use crate::{
    app::App,
    changes::{Full, Stream},
    domain::Query,
};

/// A comment is sent after so long without an event, so that both ends notice when the other is gone.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// The same while streams are put off.
const LONG_REST: Duration = Duration::from_millis(500);
/// How long a client waits before it comes back.
const COME_BACK: Duration = Duration::from_secs(2);
/// What a look owes, in tenths of a unit: for finding something else than was sent last, and for finding the same.
const OF_CHANGE: usize = 10;
const OF_NOTHING: usize = 1;
/// Between two rounds of looking, so that a good that changes all the time costs what one that changes often does.
const REST: Duration = Duration::from_millis(50);

/// What a stream owes for looking, in tenths of a unit. It is paid before the next round: what there is to find is not known before.
#[derive(Debug, Default)]
struct Owed(usize);

impl Owed {
    fn looked(&mut self, found: bool) {
        self.0 += if found { OF_CHANGE } else { OF_NOTHING };
    }

    /// Pays whole units with what `take` takes; whether nothing is owed any more but parts of one.
    fn pay(&mut self, take: impl FnOnce(usize) -> bool) -> bool {
        let units = self.0 / 10;
        let paid = units == 0 || take(units);
        if paid {
            self.0 %= 10;
        }
        paid
    }
}

/// Under which name the looks of a caller's streams are counted: no key has a name with the end of a line.
pub(super) fn purse(caller: &str) -> String {
    format!("{caller}\nstreams")
}

/// The goods a query string names, in its order, and the rest of it.
fn split(uri: &Uri) -> Result<(Vec<(String, String)>, AvailabilityQuery), Problem> {
    let pairs = form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes()).into_owned();
    let (goods, rest): (Vec<(String, String)>, Vec<_>) =
        pairs.partition(|(name, _)| name == "sku" || name == "gtin");
    if let Some((name, _)) = rest.iter().find(|(name, _)| name == "cursor" || name == "after_position") {
        let detail = format!("{name}: a stream has no pages and no position to wait for; leave it out");
        return Err(Problem::new(StatusCode::BAD_REQUEST, "bad_query", detail));
    }
    let rest = form_urlencoded::Serializer::new(String::new()).extend_pairs(rest).finish();
    // What was parsed and written again is a query.
    let rest: Uri = format!("/?{rest}").parse().unwrap_or_default();
    Ok((goods, request::query(&rest)?))
}

pub(crate) async fn stream(
    State(app): State<Arc<App>>,
    caller: Caller,
    request: Request,
) -> Result<Response, Problem> {
    let (named, filters) = split(request.uri())?;
    let allowance = buyer::admit(&app, &caller, named.len().max(1))?;
    let mut fields = Fields::default();
    let size = (1..=GOODS_MAX).contains(&named.len());
    fields.require(
        size,
        "sku",
        "batch_size",
        format!("name 1 to {GOODS_MAX} goods, each as sku=… or gtin=…"),
    );
    let query = filters.wanted(&mut fields);
    let asked = |(name, value): &(String, String)| {
        let value = Some(value.as_str());
        let (sku, gtin) = if name == "sku" { (value, None) } else { (None, value) };
        buyer::asked(&mut fields, "", sku, gtin)
    };
    let goods: Vec<Asked> = named.iter().filter_map(asked).collect();
    fields.into_problem()?;
    let stream = app.changes.open(&caller.0.id).map_err(too_many)?;
    let mut watcher = Watcher::new(app, stream, goods, query, request.headers());
    watcher.purse = purse(&caller.0.id);
    let events = futures_util::stream::unfold(watcher, |mut watcher| async move {
        let event = watcher.next().await?;
        Some((Ok::<_, Infallible>(event), watcher))
    });
    let keep_alive = KeepAlive::new().interval(KEEP_ALIVE).text("still here");
    let mut response = Sse::new(events).keep_alive(keep_alive).into_response();
    // Proxies that gather what they pass on would hold back every event until they have enough.
    response.headers_mut().insert("x-accel-buffering", axum::http::HeaderValue::from_static("no"));
    if let Some(allowance) = allowance {
        allowance.write(response.headers_mut());
    }
    Ok(response)
}

fn too_many(full: Full) -> Problem {
    let detail = match full {
        Full::Caller => {
            "you have as many streams open as one caller may; close some, or watch up to 100 goods in one"
        }
        Full::Process => {
            "as many streams are open as this server keeps; come back in a while, or ask another replica"
        }
    };
    Problem::unavailable("too_many_streams", detail)
}

/// One stream at work.
struct Watcher {
    app: Arc<App>,
    stream: Stream,
    goods: Vec<Asked>,
    query: Query,
    /// What this stream is about, whatever was found.
    about: String,
    /// Of each good as it was last sent; none before that.
    tags: Vec<Option<u32>>,
    /// Goods to look at.
    marked: BTreeSet<usize>,
    ready: VecDeque<Event>,
    /// Whether it has said that it is live.
    live: bool,
    /// Who pays for looks, and what is owed; the first round is paid with the request.
    purse: String,
    owed: Owed,
}

impl Watcher {
    fn new(app: Arc<App>, stream: Stream, goods: Vec<Asked>, query: Query, headers: &HeaderMap) -> Self {
        let questions: Vec<String> = goods.iter().map(|good| buyer::question(good, &query)).collect();
        let limit = query.limit.to_string();
        let parts: Vec<&[u8]> = questions.iter().map(String::as_bytes).chain([limit.as_bytes()]).collect();
        let about = super::supplier::body_hash(&parts)[..16].to_owned();
        let last = headers.get("last-event-id").and_then(|id| id.to_str().ok()).unwrap_or_default();
        // Whoever comes with the id of another stream, or none of ours, is told everything.
        let tags = tags(last, &about, goods.len()).unwrap_or_else(|| vec![None; goods.len()]);
        let marked = (0..goods.len()).collect();
        let (ready, purse, owed) = (VecDeque::new(), String::new(), Owed::default());
        Self { app, stream, goods, query, about, tags, marked, ready, live: false, purse, owed }
    }

    async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Some(event);
            }
            if self.stream.has_ended() {
                return None;
            }
            if self.marked.is_empty() {
                // Nothing is what is shown of goods that may be withheld by now: whoever comes back is told why.
                tokio::select! {
                    marked = self.stream.marked() => self.marked = marked,
                    () = self.app.until_stale() => return None,
                }
                continue;
            }
            if self.live {
                let put_off = self.app.gate_of_edge.brownout.rung() >= Rung::Streams;
                tokio::time::sleep(if put_off { LONG_REST } else { REST }).await;
                while !self.pays() {
                    // What is marked meanwhile is looked at together, once it is paid for.
                    tokio::time::sleep(LONG_REST).await;
                    if self.stream.has_ended() {
                        return None;
                    }
                }
            }
            if self.app.recent().is_err() {
                return None;
            }
            let marked = std::mem::take(&mut self.marked);
            marked.into_iter().for_each(|place| self.look(place));
            if !self.live {
                self.live = true;
                let fresh = self.app.fresh();
                let data = answer::up_to_date(&fresh, buyer::completeness(&self.app));
                let id = self.id();
                self.ready.push_back(Event::default().event("live").retry(COME_BACK).id(id).data(data));
            }
        }
    }

    fn pays(&mut self) -> bool {
        let (limits, purse) = (&self.app.limits, self.purse.as_str());
        self.owed.pay(|units| limits.take("buyer", purse, units).is_ok())
    }

    /// Looks at a good, and has something to send if it is not what was sent last.
    fn look(&mut self, place: usize) {
        let Some(good) = self.goods.get(place) else { return };
        match good {
            Asked::Sku(sku) => self.stream.watch_sku(sku, place),
            Asked::Gtin(gtin) => self.stream.watch_gtin(*gtin, &self.app.index.skus(*gtin), place),
        }
        let result = GoodResult {
            sku: good.sku(),
            gtin: good.gtin(),
            offers: buyer::find(&self.app, good, &self.query),
        };
        let (data, tag) = answer::good(&self.app.fresh(), buyer::completeness(&self.app), &result);
        let changed = self.tags[place] != Some(tag);
        if self.live {
            self.stream.looked(changed);
            self.owed.looked(changed);
        }
        if changed {
            self.tags[place] = Some(tag);
            let id = self.id();
            self.ready.push_back(Event::default().event("good").id(id).data(data));
        }
    }

    /// The id of an event: what the stream is about, and the tag of each good, in hex; `-` for one that was not sent yet.
    fn id(&self) -> String {
        use std::fmt::Write as _;
        let mut id = self.about.clone();
        for tag in &self.tags {
            // Writing into a text cannot fail.
            let _ = match tag {
                Some(tag) => write!(id, ".{tag:x}"),
                None => write!(id, ".-"),
            };
        }
        id
    }
}

/// The tags in an event id, if it is of a stream about the same.
fn tags(id: &str, about: &str, goods: usize) -> Option<Vec<Option<u32>>> {
    let rest = id.strip_prefix(about)?.strip_prefix('.')?;
    let tags: Vec<Option<u32>> = rest.split('.').map(|tag| u32::from_str_radix(tag, 16).ok()).collect();
    (tags.len() == goods).then_some(tags)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looks_are_paid_before_the_next_round_and_one_that_finds_nothing_costs_nearly_nothing() {
        let mut owed = Owed::default();
        assert!(owed.pay(|_| panic!("nothing is owed")));
        (0..9).for_each(|_| owed.looked(false));
        assert!(owed.pay(|_| panic!("nine looks that found nothing are less than a unit")));
        owed.looked(true);
        owed.looked(false);
        assert!(!owed.pay(|_| false), "its allowance is used up");
        let mut taken = 0;
        let take = |units| {
            taken = units;
            true
        };
        assert!(owed.pay(take));
        assert_eq!((taken, owed.0), (2, 0));
        (0..100).for_each(|_| owed.looked(true));
        assert!(owed.pay(|units| units == 100));
    }
}
