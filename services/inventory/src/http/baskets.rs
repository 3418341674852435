//! Baskets: reservations over several lines and suppliers, asked for at once, to be had as a whole or one by one.
//!
//! What is done to one is a course of steps (`domain::basket`). It goes on when its caller hangs up, so that nobody leaves a basket
//! in the middle of one by closing a page.

use std::sync::Arc;

use axum::{
    Json,
    extract::State,
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
};
use serde_json::value::RawValue;
use stockade_model::{BasketId, ListingId, Region, ReservationId, SupplierId, time::SECOND_MS};
use stockade_runtime::{Caller, ListQuery, Params, Path, Principal, Problem, body, http::idempotency_key};

mod shown;

pub(super) use shown::{BasketBody, LineBody, RefusedBody};
use shown::{Mode, alternatives, lines_refused, refused};

use super::{
    buyer::admit,
    fields::Fields,
    reservations::{
        HOLD_SECONDS, HOLD_SECONDS_MAX, ReservationBody, ReserveBody, SECRET_LEN, admit_buyer, admit_reader,
        dress, key_reused, lapsed, over, released, visible_owner,
    },
    supplier::{body_hash, traceparent},
    token::{await_position, named},
};
use crate::{
    app::App,
    baskets::Ran,
    domain::{
        Answers, BasketAsked, Course, Ended, LineAsked, LineKnown, Made, Making, ReservationState, Said,
        Turning, Wish,
    },
};

/// Lines of a basket.
const LINES_MAX: usize = 100;

#[derive(serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "ReserveBasket")]
pub(super) struct ReserveLinesBody {
    #[schemars(length(min = 1, max = LINES_MAX))]
    lines: Vec<ReserveLine>,
    mode: Mode,
    /// How long the units are held; 900 when nobody says.
    #[schemars(range(min = 1, max = HOLD_SECONDS_MAX))]
    seconds: Option<i64>,
}

#[derive(serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
struct ReserveLine {
    #[schemars(with = "SupplierId")]
    supplier: String,
    #[schemars(with = "ListingId")]
    listing: String,
    #[schemars(range(min = 1))]
    quantity: i64,
    /// Where the units are to go; needed where some regions that the listing serves are not available.
    #[schemars(with = "Option<Region>")]
    region: Option<String>,
}

/// One listing, or lines.
#[derive(schemars::JsonSchema)]
#[serde(untagged)]
#[schemars(rename = "ReserveOneOrLines")]
#[expect(dead_code, reason = "it describes what is told apart by its member `lines`")]
pub(super) enum OneOrLines {
    One(ReserveBody),
    Lines(ReserveLinesBody),
}

/// What is held: one reservation, or a basket of them, as it was asked for.
#[derive(schemars::JsonSchema)]
#[serde(untagged)]
#[schemars(rename = "Reserved")]
#[expect(dead_code, reason = "it describes either of two answers")]
pub(super) enum OneOrBasket {
    One(ReservationBody),
    Basket(BasketBody),
}

/// Whether a body asks for lines.
pub(super) fn asks_for_lines(text: &[u8]) -> bool {
    #[derive(serde::Deserialize)]
    struct Peek<'a> {
        #[serde(borrow)]
        lines: Option<&'a RawValue>,
    }
    // Nearly nobody who asks for one writes that word, and then nothing is read twice.
    let word = b"\"lines\"";
    text.windows(word.len()).any(|part| part == word)
        && serde_json::from_slice::<Peek<'_>>(text).is_ok_and(|peek| peek.lines.is_some())
}
fn no_basket() -> Problem {
    Problem::new(
        StatusCode::NOT_FOUND,
        "no_reservation",
        "there is no such basket of yours; it may have ended more than a day ago",
    )
}

fn doubtful(ran: Ran) -> Problem {
    ran.problem.unwrap_or_else(|| {
        Problem::unavailable(
            "pending",
            "it is being decided; ask again, a basket that is being made with the same Idempotency-Key",
        )
    })
}

fn with_lines(problem: Problem, lines: &[LineBody]) -> Problem {
    problem.with_member("lines", serde_json::to_value(lines).unwrap_or_default())
}

/// Goes through a course to its end, whether or not its caller waits.
async fn run<C: Course + Send + 'static>(
    app: &Arc<App>,
    headers: &HeaderMap,
    mut course: C,
) -> Result<(C, Ran), Problem> {
    let (app, traceparent) = (app.clone(), traceparent(headers));
    let running = tokio::spawn(async move {
        let ran = app.run(&mut course, traceparent.as_deref()).await;
        (course, ran)
    });
    running.await.map_err(|_| doubtful(Ran::default()))
}

/// Reads what is asked for. The same key and body mean the same basket at every replica.
fn read(
    app: &App,
    caller: &Principal,
    headers: &HeaderMap,
    asked: ReserveLinesBody,
) -> Result<BasketAsked, Problem> {
    let ReserveLinesBody { lines, mode, seconds } = asked;
    let mut fields = Fields::default();
    let fine = (1..=LINES_MAX).contains(&lines.len());
    fields.require(fine, "/lines", "batch_size", format!("a basket has 1 to {LINES_MAX} lines"));
    let seconds = seconds.unwrap_or(HOLD_SECONDS);
    let fine = (1..=HOLD_SECONDS_MAX).contains(&seconds);
    fields.require(fine, "/seconds", "hold_range", format!("seconds must be 1 to {HOLD_SECONDS_MAX}"));
    let mut read = Vec::with_capacity(lines.len());
    for (at, line) in lines.iter().enumerate() {
        let supplier = fields.check(&format!("/lines/{at}/supplier"), SupplierId::new(&line.supplier));
        let listing = fields.check(&format!("/lines/{at}/listing"), ListingId::new(&line.listing));
        let quantity = format!("/lines/{at}/quantity");
        fields.require(line.quantity >= 1, &quantity, "quantity_range", "quantity must be 1 or more");
        let region = line.region.as_deref().map(Region::new);
        let region = fields.check_some(&format!("/lines/{at}/region"), region);
        read.extend(
            supplier.zip(listing).map(|(supplier, listing)| (supplier, listing, line.quantity, region)),
        );
    }
    fields.into_problem()?;
    let unique = idempotency_key(headers)?.map_or_else(|| app.fresh_id(), |key| format!("key {key}"));
    let whole = mode == Mode::AllOrNothing;
    let mut said = vec![seconds.to_string(), whole.to_string()];
    for (supplier, listing, quantity, region) in &read {
        let region = region.as_ref().map_or("", Region::as_str).to_owned();
        said.extend([supplier.to_string(), listing.to_string(), quantity.to_string(), region]);
    }
    let request = body_hash(&said.iter().map(String::as_bytes).collect::<Vec<_>>());
    let (fingerprint, unique) = (caller.fingerprint.as_bytes(), unique.as_bytes());
    let secret = |parts: &[&[u8]]| {
        let mut secret = body_hash(parts);
        secret.truncate(SECRET_LEN);
        secret
    };
    let of_key = secret(&[b"basket", fingerprint, unique]);
    let basket =
        BasketId::new(&format!("{}{}", prefix(&of_key), &request[..SECRET_LEN])).map_err(|_| no_basket())?;
    let mut lines = Vec::with_capacity(read.len());
    for (at, (supplier, listing, quantity, region)) in read.into_iter().enumerate() {
        let place = at.to_le_bytes();
        let own = secret(&[b"basket line", fingerprint, unique, request.as_bytes(), &place]);
        let reservation = ReservationId::new(&format!("{supplier}::{own}")).map_err(|_| no_basket())?;
        lines.push(LineAsked { supplier, reservation, listing, quantity, region });
    }
    let (owner, hold_ms) = (caller.id.clone(), seconds * SECOND_MS);
    Ok(BasketAsked { basket, owner, request, whole, hold_ms, lines })
}

/// How the names of all baskets under one key begin: what follows is of the body.
fn prefix(of_key: &str) -> String {
    format!("basket-{of_key}-")
}

/// Whether the key of a request has a basket for something else that is not over.
fn is_key_taken(app: &App, basket: &BasketId) -> bool {
    let of_key = basket.as_str().rsplit_once('-').map_or("", |(of_key, _)| of_key);
    let others = app.reservations.baskets(None, &format!("{of_key}-"), None, 4);
    let stands = |lines: &[LineKnown]| lines.iter().any(|line| !line.row.is_free());
    others.iter().any(|(other, lines)| other != basket && stands(lines))
}

/// Holds lines. The call of one line, which shares the path, has looked at nothing yet.
pub(super) async fn reserve(
    app: Arc<App>,
    caller: Caller,
    headers: HeaderMap,
    text: &[u8],
) -> Result<Response, Problem> {
    caller.must(|role| *role == stockade_runtime::Role::Buyer)?;
    let body: ReserveLinesBody = body::parse(text)?;
    let allowance = admit(&app, &caller, body.lines.len().max(1))?;
    let asked = read(&app, &caller.0, &headers, body)?;
    if is_key_taken(&app, &asked.basket) {
        return Err(key_reused());
    }
    let known = app.reservations.basket(&asked.basket);
    let at = |line: usize| known.iter().find(|known| usize::from(known.place.line) == line);
    let stands = known.iter().any(|line| !line.row.is_free());
    // What is reserved already is answered for, whatever has become of the offer.
    let missing = |(line, asked): (usize, &LineAsked)| {
        let own = app.own_listing(&asked.supplier, &asked.listing);
        let offered = own.is_some_and(|offer| offer.left(&app.overlay, asked.region).is_some());
        let held = at(line).is_some_and(|known| !known.row.is_free());
        (!offered && !held).then(|| (line, Said::Refused("not_available".to_owned(), String::new())))
    };
    let missing: Answers = asked.lines.iter().enumerate().filter_map(missing).collect();
    if asked.whole && !missing.is_empty() && !stands {
        return Err(refused(&app, &asked, &missing));
    }
    // Had one by one, a line that was given back or has lapsed stays so for a retry while others stand.
    let wanted = |line: &usize| {
        let over = at(*line).is_some_and(|known| known.row.is_free());
        !(missing.contains_key(line) || stands && over)
    };
    let only = (!asked.whole).then(|| (0..asked.lines.len()).filter(wanted).collect::<Vec<_>>());
    if only.as_ref().is_some_and(Vec::is_empty) && !stands {
        return Err(refused(&app, &asked, &missing));
    }
    let making = Making::new(asked.clone(), only);
    let (making, ran) = run(&app, &headers, making).await?;
    let mut said = missing;
    said.extend(making.holds.clone());
    match making.end() {
        Made::Doubtful => Err(doubtful(ran)),
        Made::Reused => Err(key_reused()),
        Made::Refused => Err(refused(&app, &asked, &said)),
        Made::Held { again } => {
            let known = app.reservations.basket(&asked.basket);
            let mut body = BasketBody::of(&app, asked.basket.clone(), &known);
            if !asked.whole {
                body.lines.retain(|line| !matches!(said.get(&line.line), Some(Said::Refused(..))));
                body.lines.extend(lines_refused(&app, &asked, &said));
                body.sum_up();
            }
            let status = if again { StatusCode::OK } else { StatusCode::CREATED };
            Ok(dress((status, Json(body)).into_response(), again, &ran.at, allowance))
        }
    }
}

/// The basket that a caller may act on, with its lines.
async fn own(app: &App, owner: Option<&str>, basket: &str) -> Result<(BasketId, Vec<LineKnown>), Problem> {
    let name = BasketId::new(basket).map_err(|_| no_basket())?;
    let lines = app.find_basket(&name).await;
    let owned = |line: &LineKnown| owner.is_none() || line.row.is_owned_by(owner);
    if lines.first().is_some_and(owned) { Ok((name, lines)) } else { Err(no_basket()) }
}

/// Whether a whole basket can be acted on: all its lines have to be known.
fn is_complete(lines: &[LineKnown]) -> bool {
    lines.first().is_some_and(|line| !line.place.whole || lines.len() == usize::from(line.place.lines))
}

/// Confirms or gives back, and answers with what became of it.
async fn turn(
    app: &Arc<App>,
    caller: &Caller,
    headers: &HeaderMap,
    basket: &str,
    wish: Wish,
) -> Result<(BasketId, Turning, Ran), Problem> {
    if let Some(position) = named(headers, None) {
        await_position(app, &position).await?;
    }
    let (name, lines) = own(app, Some(&caller.0.id), basket).await?;
    // Each line is a write, and so counts as one; the call has paid for the first.
    if lines.len() > 1 {
        admit(app, caller, lines.len() - 1)?;
    }
    // Some of it was never held, so it never was as a whole; what there is lapses in a moment. Where nothing is left of it, that is so
    // for good.
    if !is_complete(&lines) && lines.iter().any(|line| !line.row.is_free()) {
        return Err(doubtful(Ran::default()));
    }
    let turning = Turning::new(lines, caller.0.id.clone(), wish);
    let (turning, ran) = run(app, headers, turning).await?;
    Ok((name, turning, ran))
}

/// Takes all that a basket holds.
pub(crate) async fn confirm(
    State(app): State<Arc<App>>,
    caller: Caller,
    headers: HeaderMap,
    Path(basket): Path<String>,
) -> Result<Response, Problem> {
    let allowance = admit_buyer(&app, &caller)?;
    let basket = basket.strip_suffix(":confirm").ok_or_else(no_basket)?;
    let (name, turning, ran) = turn(&app, &caller, &headers, basket, Wish::Confirm).await?;
    let known = app.reservations.basket(&name);
    let mut body = BasketBody::of(&app, name, &known);
    match turning.end() {
        Ended::Doubtful => Err(doubtful(ran)),
        Ended::Done { again } => {
            body.blame(&turning.said);
            Ok(dress(Json(body).into_response(), *again, &ran.at, allowance))
        }
        Ended::Refused(code) => {
            for (line, known) in body.lines.iter_mut().zip(&known) {
                let (supplier, listing) = (&line.supplier, &line.listing);
                if known.row.is_free() {
                    let code = if known.row.state == ReservationState::Lapsed { LAPSED } else { RELEASED };
                    line.code = Some(code.to_owned());
                    line.alternatives =
                        alternatives(&app, (supplier, listing), line.quantity, known.row.region);
                }
            }
            Err(with_lines(problem_of(code), &body.lines))
        }
    }
}

const LAPSED: &str = "reservation_lapsed";
const RELEASED: &str = "reservation_released";

fn problem_of(code: &str) -> Problem {
    match code {
        LAPSED => lapsed(),
        RELEASED => released(),
        "order_cancelled" => over(
            "order_cancelled",
            "an order that this basket has become was cancelled; reserve what is missing again",
        ),
        "already_confirmed" => over(
            "already_confirmed",
            "what is confirmed is cancelled by the order system; lines that are not confirmed were given back",
        ),
        _ => no_basket(),
    }
}

/// Gives back all that a basket holds and that was not confirmed.
pub(crate) async fn release(
    State(app): State<Arc<App>>,
    caller: Caller,
    headers: HeaderMap,
    Path(basket): Path<String>,
) -> Result<Response, Problem> {
    let allowance = admit_buyer(&app, &caller)?;
    let (_, turning, ran) = turn(&app, &caller, &headers, &basket, Wish::Release).await?;
    match turning.end() {
        Ended::Doubtful => Err(doubtful(ran)),
        Ended::Done { again } => {
            Ok(dress(StatusCode::NO_CONTENT.into_response(), *again, &ran.at, allowance))
        }
        Ended::Refused(code) => Err(problem_of(code)),
    }
}

pub(crate) async fn get(
    State(app): State<Arc<App>>,
    caller: Caller,
    headers: HeaderMap,
    Path(basket): Path<String>,
) -> Result<Response, Problem> {
    admit_reader(&app, &caller)?;
    if let Some(position) = named(&headers, None) {
        await_position(&app, &position).await?;
    }
    let (name, lines) = own(&app, visible_owner(&caller), &basket).await?;
    Ok(Json(BasketBody::of(&app, name, &lines)).into_response())
}

/// Lists baskets by their names, those that ended within a day included.
pub(crate) async fn list(
    State(app): State<Arc<App>>,
    caller: Caller,
    Params(query): Params<ListQuery>,
) -> Result<Response, Problem> {
    admit_reader(&app, &caller)?;
    let wanted = query.of("baskets")?;
    let after = wanted.after_as::<BasketId>()?;
    let found = app.reservations.baskets(visible_owner(&caller), "", after.as_ref(), wanted.look_for());
    let item =
        |(name, lines): (BasketId, Vec<LineKnown>)| (name.to_string(), BasketBody::of(&app, name, &lines));
    Ok(wanted.answer(found.into_iter().map(item).collect::<Vec<_>>()))
}
