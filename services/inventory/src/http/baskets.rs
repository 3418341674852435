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
use stockade_model::BasketId;
use stockade_runtime::{Caller, ListQuery, Params, Path, Problem, body};

mod asked;
mod making;
mod shown;

use asked::{ReserveLinesBody, is_key_taken, read};
use making::Attempt;
pub(super) use shown::{BasketBody, LineBody, RefusedBody};
use shown::{alternatives, lines_refused, refused};

use super::{
    buyer::admit,
    reservations::{
        ReservationBody, ReserveBody, admit_buyer, admit_reader, dress, key_reused, lapsed, over, released,
        visible_owner,
    },
    supplier::traceparent,
    token::{await_position, named},
};
use crate::{
    app::App,
    baskets::{Ran, pending},
    domain::{Course, Ended, LineKnown, Made, ReservationState, Said, Turning, Wish},
};

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
    ran.problem.unwrap_or_else(pending)
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

/// The name of the basket that a request makes, for tests of what others have written of it.
#[cfg(test)]
pub(super) fn name_of(
    app: &App,
    caller: &stockade_runtime::Principal,
    key: &str,
    body: &serde_json::Value,
) -> BasketId {
    let headers = HeaderMap::from_iter([(
        axum::http::HeaderName::from_static("idempotency-key"),
        axum::http::HeaderValue::from_str(key).unwrap(),
    )]);
    let body: ReserveLinesBody = body::parse(body.to_string().as_bytes()).unwrap();
    read(app, caller, &headers, &body).ok().unwrap().basket
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
    let wanted = read(&app, &caller.0, &headers, &body)?;
    if is_key_taken(&app, &wanted.basket) {
        return Err(key_reused());
    }
    // What stands already is only repeated.
    if app.reservations.basket(&wanted.basket).iter().all(|line| line.row.is_free()) {
        app.may_hold(&caller.0.id, wanted.lines.len())?;
    }
    let (this, traceparent) = (app.clone(), traceparent(&headers));
    let making = tokio::spawn(async move { Attempt::make(&this, wanted, traceparent.as_deref()).await });
    let attempt = making.await.map_err(|_| pending())??;
    match attempt.made {
        Made::Doubtful => Err(doubtful(attempt.ran)),
        Made::Reused => Err(key_reused()),
        Made::Refused => Err(refused(&app, &attempt)),
        Made::Held { again } => {
            let basket = &attempt.wanted.basket;
            let known = app.reservations.basket(basket);
            let mut body = BasketBody::of(&app, basket.clone(), &known);
            if !attempt.wanted.whole {
                body.lines.retain(|line| !matches!(attempt.said.get(&line.line), Some(Said::Refused(..))));
                body.lines.extend(lines_refused(&app, &attempt));
                body.sum_up();
            }
            let status = if again { StatusCode::OK } else { StatusCode::CREATED };
            Ok(dress((status, Json(body)).into_response(), again, &attempt.ran.at, allowance))
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
                let offer = line.supplier.as_ref().zip(line.listing.as_ref());
                if let Some(offer) = offer.filter(|_| known.row.is_free()) {
                    let code = if known.row.state == ReservationState::Lapsed { LAPSED } else { RELEASED };
                    line.code = Some(code.to_owned());
                    line.alternatives = alternatives(&app, offer, line.quantity, known.row.region);
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
    let looked_to = found.looked_to.as_ref().map(BasketId::as_str);
    Ok(wanted.answer_up_to(found.found.into_iter().map(item).collect(), looked_to))
}
