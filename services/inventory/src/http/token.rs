//! Position tokens: what a write hands out and a read can wait for, at any replica.

use std::collections::BTreeMap;

use axum::http::{HeaderMap, HeaderName, StatusCode};
use futures_util::future::join_all;
use stockade_runtime::Problem;

use crate::app::App;

/// The header that carries a token, in answers to writes and in requests to read.
pub const POSITION: HeaderName = HeaderName::from_static("stockade-position");

/// The token of an offset of `supplier.events`.
pub(crate) fn token((partition, offset): (u32, u64)) -> String {
    format!("p1.{partition}.{offset}")
}

/// The tokens that a request names: those of the query, else of the header, which may stand more than once.
pub(crate) fn named(headers: &HeaderMap, query: Option<&str>) -> Option<String> {
    let of_header = || {
        let lines: Vec<&str> = headers.get_all(POSITION).iter().map(|v| v.to_str().unwrap_or("?")).collect();
        (!lines.is_empty()).then(|| lines.join(","))
    };
    query.map(str::to_owned).or_else(of_header)
}

/// Partitions and the offsets after those that the tokens of a list name, separated by commas.
fn positions(text: &str) -> Option<Vec<(u32, u64)>> {
    let one = |text: &str| {
        let (partition, offset) = text.trim().strip_prefix("p1.")?.split_once('.')?;
        Some((partition.parse().ok()?, offset.parse::<u64>().ok()?.checked_add(1)?))
    };
    text.split(',').map(one).collect()
}

/// Whether one of the positions is behind the end of its partition. Each partition is asked for once, whatever is named of it.
async fn is_none(app: &App, positions: &[(u32, u64)]) -> bool {
    let mut last: BTreeMap<u32, u64> = BTreeMap::new();
    for (partition, next) in positions {
        let known = last.entry(*partition).or_default();
        *known = (*known).max(*next);
    }
    let is_behind =
        async |(partition, next): (u32, u64)| app.end_of(partition).await.is_some_and(|end| next > end);
    join_all(last.into_iter().map(is_behind)).await.contains(&true)
}

/// Waits until the index of this replica has passed every position of `text`.
pub(crate) async fn await_position(app: &App, text: &str) -> Result<(), Problem> {
    let bad = || {
        let detail = format!("{text:?} is not a position token; send one exactly as a write handed it out");
        Problem::new(StatusCode::BAD_REQUEST, "bad_position", detail)
    };
    let positions = positions(text).filter(|positions| positions.len() <= 64).ok_or_else(bad)?;
    if positions.iter().any(|(partition, _)| *partition >= app.partitions) {
        return Err(bad());
    }
    let passed = async {
        for (partition, next) in &positions {
            app.board.wait("inventory", *partition, *next).await;
        }
    };
    if tokio::time::timeout(app.deadline, passed).await.is_ok() {
        return Ok(());
    }
    // Behind the end of the log there is no write to wait for, however often the caller asks again.
    // What could not be looked at may be there, and what was not copied yet too.
    let is_copy = app.replica.is_some() || app.shown.is_some();
    if !is_copy && is_none(app, &positions).await {
        return Err(bad());
    }
    Err(Problem::unavailable(
        "position_not_reached",
        "this replica has not caught up with that write yet; ask again",
    ))
}
