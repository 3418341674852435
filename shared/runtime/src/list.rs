//! Lists in pages: `limit` and `cursor` are asked for, `items` and `next` are answered.
//!
//! A cursor names the last item that was seen rather than a number of items, so what comes and goes meanwhile neither repeats
//! nor hides anything else, and any replica can go on from it.

use axum::{
    Json,
    http::StatusCode,
    response::{IntoResponse as _, Response},
};
use stockade_model::hash::{hex, of_hex};

use crate::{FieldError, Problem};

/// Items on a page when nobody says.
const PAGE: usize = 50;
/// The most there may be.
pub const PAGE_MAX: usize = 500;
/// Longest cursor, in characters: a name of 128 characters of four bytes in hex, and which list it is of.
const CURSOR_LEN_MAX: usize = 1_500;

/// What is asked of a list.
#[derive(Clone, Debug, Default, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ListQuery {
    /// Items on the page; 50 when nobody says.
    #[schemars(range(min = 1, max = PAGE_MAX))]
    limit: Option<usize>,
    /// `next` of the page before.
    cursor: Option<String>,
}

/// Which part of which list is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Which list: a cursor of one is none of another.
    list: String,
    /// The name of the item after which the page begins.
    pub after: Option<String>,
    limit: usize,
}

fn bad_cursor() -> Problem {
    let detail =
        "this is no cursor of this list; send `next` of its last page exactly as it was, or none to begin";
    let errors = vec![FieldError::new("cursor", "bad_cursor", detail)];
    Problem::new(StatusCode::BAD_REQUEST, "bad_cursor", detail).with_errors(errors)
}

impl ListQuery {
    /// The same of a list that takes more than this, and so reads its query itself.
    pub fn new(limit: Option<usize>, cursor: Option<String>) -> Self {
        Self { limit, cursor }
    }

    /// Which part of `list` is asked for.
    pub fn of(self, list: impl Into<String>) -> Result<Wanted, Problem> {
        let limit = self.limit.unwrap_or(PAGE);
        if !(1..=PAGE_MAX).contains(&limit) {
            let detail = format!("limit must be 1 to {PAGE_MAX}");
            return Err(Problem::invalid(vec![FieldError::new("limit", "limit_range", detail)]));
        }
        let list = list.into();
        let after = match self.cursor {
            None => None,
            Some(cursor) => Some(read(&list, &cursor).ok_or_else(bad_cursor)?),
        };
        Ok(Wanted { list, after, limit })
    }
}

impl Wanted {
    /// How many items to look for: one more than are shown, which tells whether there is a next page.
    pub fn look_for(&self) -> usize {
        self.limit + 1
    }

    /// The item after which the page begins, as whatever it is named by.
    pub fn after_as<K: std::str::FromStr>(&self) -> Result<Option<K>, Problem> {
        self.after.as_deref().map(|after| after.parse().map_err(|_| bad_cursor())).transpose()
    }

    /// The page of what was found, up to [`Self::look_for`] items in order of their names.
    pub fn page<T>(&self, mut found: Vec<(String, T)>) -> Page<T> {
        let more = found.len() > self.limit;
        found.truncate(self.limit);
        let last = found.last().filter(|_| more).map(|(name, _)| name);
        let next = last.map(|name| self.cursor(name));
        let items = found.into_iter().map(|(_, item)| item).collect();
        Page { items, next }
    }

    fn cursor(&self, after: &str) -> String {
        hex(format!("{}\n{after}", self.list).as_bytes())
    }

    /// Answers with that page, or with a shorter one where it was looked no further than up to `looked_to`: then the next begins
    /// after that.
    pub fn answer_up_to<T: serde::Serialize>(
        &self,
        found: Vec<(String, T)>,
        looked_to: Option<&str>,
    ) -> Response {
        let mut page = self.page(found);
        page.next = page.next.or_else(|| looked_to.map(|name| self.cursor(name)));
        Json(page).into_response()
    }

    /// Answers with that page.
    pub fn answer<T: serde::Serialize>(&self, found: Vec<(String, T)>) -> Response {
        Json(self.page(found)).into_response()
    }
}

/// The name that a cursor of `list` holds. No list and no name holds the end of a line.
fn read(list: &str, cursor: &str) -> Option<String> {
    let bytes = if cursor.len() <= CURSOR_LEN_MAX { of_hex(cursor)? } else { return None };
    let text = String::from_utf8(bytes).ok()?;
    let (of, name) = text.split_once('\n')?;
    (of == list).then(|| name.to_owned())
}

/// One page of a list.
#[derive(serde::Serialize, schemars::JsonSchema)]
#[schemars(rename = "PageOf{T}")]
pub struct Page<T> {
    /// What is on it, in order of their names.
    pub items: Vec<T>,
    /// The cursor of the next page; none on the last.
    pub next: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(list: &str, limit: usize, cursor: Option<String>) -> Result<Wanted, Problem> {
        ListQuery { limit: Some(limit), cursor }.of(list)
    }

    async fn page(all: &[&str], wanted: &Wanted) -> (Vec<String>, Option<String>) {
        let after = wanted.after.clone().unwrap_or_default();
        let rest = all.iter().filter(|name| ***name > *after).take(wanted.look_for());
        let answer = wanted.answer(rest.map(|name| ((*name).to_owned(), *name)).collect());
        let body = axum::body::to_bytes(answer.into_body(), 1 << 20).await.unwrap();
        let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
        let items = body["items"].as_array().unwrap().iter().map(|item| item.as_str().unwrap().to_owned());
        (items.collect(), body["next"].as_str().map(str::to_owned))
    }

    #[tokio::test]
    async fn pages_are_the_whole_list_whatever_the_names_and_the_limit() {
        let all = ["1/2 \"x\"", "a", "b", "ü", "货"];
        for limit in 1..=6 {
            let (mut seen, mut cursor) = (Vec::new(), None);
            loop {
                let (items, next) = page(&all, &ask("names of a", limit, cursor).unwrap()).await;
                assert!(items.len() <= limit);
                seen.extend(items);
                cursor = next;
                if cursor.is_none() {
                    break;
                }
            }
            assert_eq!(seen, all, "{limit}");
        }
        assert_eq!(page(&[], &ask("names of a", 1, None).unwrap()).await, (vec![], None));
    }

    #[tokio::test]
    async fn a_page_that_was_looked_for_no_further_is_shorter_and_goes_on_from_there() {
        let wanted = ask("names of a", 2, None).unwrap();
        let found = |names: &[&'static str]| names.iter().map(|name| ((*name).to_owned(), *name)).collect();
        for (names, looked_to, after) in [
            (&["a"][..], Some("k"), Some("k")),
            (&[], Some("k"), Some("k")),
            (&["a", "b", "c"], Some("k"), Some("b")),
            (&["a"], None, None),
        ] {
            let answer = wanted.answer_up_to::<&str>(found(names), looked_to);
            let body = axum::body::to_bytes(answer.into_body(), 1 << 20).await.unwrap();
            let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
            let next = body["next"].as_str().map(str::to_owned);
            let goes_on = next.map(|next| ask("names of a", 2, Some(next)).unwrap().after.unwrap());
            assert_eq!(goes_on.as_deref(), after, "{names:?}");
        }
    }

    #[tokio::test]
    async fn a_cursor_that_no_page_of_this_list_handed_out_is_refused() {
        let (_, next) = page(&["a", "b"], &ask("names of a", 1, None).unwrap()).await;
        let next = next.unwrap();
        assert!(ask("names of a", 1, Some(next.clone())).is_ok());
        let code = |list: &str, cursor: &str| {
            let problem = ask(list, 1, Some(cursor.to_owned())).unwrap_err();
            (problem.status, problem.code)
        };
        assert_eq!(code("names of b", &next), (400, "bad_cursor"), "of another list");
        let cut = &next[..next.len() - 1];
        for bad in ["", "x", "zz", cut, "ffff", "é", &"00".repeat(1_000)] {
            assert_eq!(code("names of a", bad), (400, "bad_cursor"), "{bad}");
        }
        for limit in [0, PAGE_MAX + 1] {
            assert_eq!(ask("names of a", limit, None).unwrap_err().errors[0].code, "limit_range");
        }
    }
}
