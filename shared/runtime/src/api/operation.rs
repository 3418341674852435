//! One call of the API, as it is declared beside its route.

use std::collections::{BTreeMap, BTreeSet};

use axum::http::StatusCode;
use schemars::{JsonSchema, SchemaGenerator};
use serde_json::Value;

use super::{Asked, Sent};
use crate::Work;

/// Makes the schema of a type; a function, because all schemas of a document share one generator.
pub type Schema = fn(&mut SchemaGenerator) -> schemars::Schema;

/// The schema of `T`.
pub fn schema<T: JsonSchema>(generator: &mut SchemaGenerator) -> schemars::Schema {
    generator.subschema_for::<T>()
}

/// What a body or an answer is.
#[derive(Clone)]
pub enum Media {
    /// JSON of this schema, under this media type.
    Json(&'static str, Schema),
    /// Something else, under this media type.
    Raw(&'static str),
}

impl Media {
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Json(kind, _) | Self::Raw(kind) => kind,
        }
    }
}

/// An answer that is no problem.
#[derive(Clone)]
pub(super) struct Answer {
    pub(super) about: &'static str,
    pub(super) media: Vec<Media>,
    pub(super) headers: Vec<Sent>,
}

/// Where a call may go on from an answer: OpenAPI's links.
#[derive(Clone)]
pub(super) struct Follow {
    pub(super) status: u16,
    pub(super) operation: &'static str,
    /// Parameters of that call, with where their values stand in this one, as OpenAPI's runtime expressions.
    pub(super) parameters: &'static [(&'static str, &'static str)],
}

/// One call: what it is for, what it takes and what it answers.
#[derive(Clone)]
pub struct Operation {
    /// The method.
    pub method: &'static str,
    /// The path with its parameters in braces and its verb, where it has one.
    pub path: String,
    /// Its stable name.
    pub id: &'static str,
    pub(super) summary: &'static str,
    pub(super) about: Option<&'static str>,
    pub(super) tag: &'static str,
    /// Whose keys may call it; empty where no key is asked for.
    pub(super) roles: BTreeSet<&'static str>,
    /// Whether its handler asks for a key without saying of whom, so that `roles` must be said beside it.
    pub(super) asks_who: bool,
    pub(super) query: Option<Schema>,
    /// Parameters of the query that this call does not take, and those that may stand often.
    pub(super) query_without: &'static [&'static str],
    pub(super) query_repeated: &'static [&'static str],
    pub(super) asked: Vec<Asked>,
    /// Whether its handler reads a body without saying of which type, so that `bodies` must be said beside it.
    pub(super) reads_body: bool,
    pub(super) bodies: Vec<Media>,
    pub(super) body_is_optional: bool,
    pub(super) body_examples: Vec<(&'static str, Value)>,
    pub(super) examples: BTreeMap<&'static str, Value>,
    pub(super) answers: BTreeMap<u16, Answer>,
    pub(super) codes: BTreeSet<&'static str>,
    /// Codes that bear another status here than elsewhere.
    pub(super) codes_as: Vec<(u16, &'static str)>,
    /// Members that problems of a status may have beside those of every problem.
    pub(super) members: Vec<(u16, Schema)>,
    pub(super) follows: Vec<Follow>,
    pub(super) is_admin: bool,
    /// What it is among what may be put off.
    pub(super) work: Option<Work>,
}

impl Operation {
    fn new(method: &'static str, path: impl Into<String>, id: &'static str, summary: &'static str) -> Self {
        let path = path.into();
        Self {
            method,
            path,
            id,
            summary,
            about: None,
            tag: "",
            roles: BTreeSet::new(),
            asks_who: false,
            query: None,
            query_without: &[],
            query_repeated: &[],
            asked: Vec::new(),
            reads_body: false,
            bodies: Vec::new(),
            body_is_optional: false,
            body_examples: Vec::new(),
            examples: BTreeMap::new(),
            answers: BTreeMap::new(),
            codes: BTreeSet::new(),
            codes_as: Vec::new(),
            members: Vec::new(),
            follows: Vec::new(),
            is_admin: false,
            work: None,
        }
    }
    /// Whether it reads something that asks for a key, and has no parameters behind the question mark. Pages and probes are asked with
    /// anything.
    pub(super) fn takes_no_query(&self) -> bool {
        self.method == "get" && self.query.is_none() && (self.asks_who || !self.roles.is_empty())
    }
    /// A call that reads.
    pub fn get(path: impl Into<String>, id: &'static str, summary: &'static str) -> Self {
        Self::new("get", path, id, summary)
    }
    /// A call that makes or replaces what its path names.
    pub fn put(path: impl Into<String>, id: &'static str, summary: &'static str) -> Self {
        Self::new("put", path, id, summary)
    }
    /// A call that does something.
    pub fn post(path: impl Into<String>, id: &'static str, summary: &'static str) -> Self {
        Self::new("post", path, id, summary)
    }
    /// A call that changes what it names and leaves the rest.
    pub fn patch(path: impl Into<String>, id: &'static str, summary: &'static str) -> Self {
        Self::new("patch", path, id, summary)
    }
    /// A call that takes away.
    pub fn delete(path: impl Into<String>, id: &'static str, summary: &'static str) -> Self {
        Self::new("delete", path, id, summary)
    }
    /// What more there is to know, in a few sentences.
    #[must_use]
    pub fn about(mut self, about: &'static str) -> Self {
        self.about = Some(about);
        self
    }
    /// The chapter it belongs to.
    #[must_use]
    pub fn tag(mut self, tag: &'static str) -> Self {
        self.tag = tag;
        self
    }
    /// Whose keys may call it, where the handler looks for itself.
    #[must_use]
    pub fn roles(mut self, roles: &[&'static str]) -> Self {
        self.roles.extend(roles);
        self.fails(&["wrong_role"])
    }
    /// What is read of the query, where the handler reads it itself.
    #[must_use]
    pub fn query<T: JsonSchema>(mut self) -> Self {
        self.query = Some(schema::<T>);
        self.fails(&["bad_query"])
    }
    /// What of that query it does not take, and what of it may stand often.
    #[must_use]
    pub fn query_but(mut self, without: &'static [&'static str], repeated: &'static [&'static str]) -> Self {
        self.query_without = without;
        self.query_repeated = repeated;
        self
    }
    /// Headers that it heeds.
    #[must_use]
    pub fn heeds(mut self, asked: &[Asked]) -> Self {
        for asked in asked {
            self.codes.extend(asked.codes());
            self.asked.push(*asked);
        }
        self
    }
    /// The JSON body, where the handler reads it itself.
    #[must_use]
    pub fn body<T: JsonSchema>(self) -> Self {
        self.body_as::<T>("application/json")
    }
    /// A JSON body under a media type of its own.
    #[must_use]
    pub fn body_as<T: JsonSchema>(mut self, media: &'static str) -> Self {
        self.bodies.push(Media::Json(media, schema::<T>));
        self
    }
    /// A body that is no JSON, or whose inside is not described.
    #[must_use]
    pub fn body_raw(mut self, media: &'static str) -> Self {
        self.bodies.push(Media::Raw(media));
        self
    }
    /// The body may be left out.
    #[must_use]
    pub fn body_optional(mut self) -> Self {
        self.body_is_optional = true;
        self
    }
    /// An example of the JSON body, which the tests send.
    #[must_use]
    pub fn example(mut self, name: &'static str, body: Value) -> Self {
        self.body_examples.push((name, body));
        self
    }
    /// An example of a parameter, which the tests send.
    #[must_use]
    pub fn example_of(mut self, parameter: &'static str, value: impl Into<Value>) -> Self {
        self.examples.insert(parameter, value.into());
        self
    }
    /// Answers with JSON.
    #[must_use]
    pub fn answers<T: JsonSchema>(self, status: StatusCode, about: &'static str) -> Self {
        self.answer(status, about, Some(Media::Json("application/json", schema::<T>)))
    }
    /// Answers with something that is no JSON.
    #[must_use]
    pub fn answers_raw(self, status: StatusCode, about: &'static str, media: &'static str) -> Self {
        self.answer(status, about, Some(Media::Raw(media)))
    }
    /// Answers without a body.
    #[must_use]
    pub fn answers_nothing(self, status: StatusCode, about: &'static str) -> Self {
        self.answer(status, about, None)
    }
    fn answer(mut self, status: StatusCode, about: &'static str, media: Option<Media>) -> Self {
        let new = || Answer { about, media: Vec::new(), headers: Vec::new() };
        self.answers.entry(status.as_u16()).or_insert_with(new).media.extend(media);
        self
    }
    /// Headers of an answer that was declared before.
    #[must_use]
    pub fn sends(mut self, status: StatusCode, headers: &[Sent]) -> Self {
        if let Some(answer) = self.answers.get_mut(&status.as_u16()) {
            answer.headers.extend(headers);
        }
        self
    }
    /// Answers 304 to who has the tagged answer already.
    #[must_use]
    pub fn tagged(self) -> Self {
        self.heeds(&[Asked::IfNoneMatch])
            .sends(StatusCode::OK, &[Sent::ETag])
            .answers_nothing(StatusCode::NOT_MODIFIED, "Nothing has changed since the tag in If-None-Match.")
            .sends(StatusCode::NOT_MODIFIED, &[Sent::ETag])
    }
    /// Codes of problems that it may answer with, beside those that its arguments bring.
    #[must_use]
    pub fn fails(mut self, codes: &[&'static str]) -> Self {
        self.codes.extend(codes);
        self
    }
    /// A code that bears another status here than elsewhere.
    #[must_use]
    pub fn fails_as(mut self, status: StatusCode, code: &'static str) -> Self {
        self.codes_as.push((status.as_u16(), code));
        self
    }
    /// Members that problems of `status` may have beside those of every problem.
    #[must_use]
    pub fn fails_with<T: JsonSchema>(mut self, status: StatusCode) -> Self {
        self.members.push((status.as_u16(), schema::<T>));
        self
    }
    /// It takes from the caller's allowance.
    #[must_use]
    pub fn limited(self) -> Self {
        self.fails(&["rate_limited"])
    }
    /// Where an answer leads: another operation, and where its parameters stand.
    #[must_use]
    pub fn leads_to(
        mut self,
        status: StatusCode,
        operation: &'static str,
        parameters: &'static [(&'static str, &'static str)],
    ) -> Self {
        self.follows.push(Follow { status: status.as_u16(), operation, parameters });
        self
    }
    /// It may be put off when the process is behind, as work of this kind.
    #[must_use]
    pub fn work(mut self, work: Work) -> Self {
        self.work = Some(work);
        self.fails(&["put_off"])
    }
    /// It is served on the listener for probes and metrics.
    #[must_use]
    pub fn admin(mut self) -> Self {
        self.is_admin = true;
        self
    }

    /// What is not said and must be, in words for whoever adds a call.
    pub(super) fn lacks(&self) -> Vec<String> {
        let mut lacks = Vec::new();
        let mut ask = |missing: bool, what: &str| {
            if missing {
                lacks.push(format!("{} {}: say {what}", self.method, self.path));
            }
        };
        ask(self.tag.is_empty(), "its tag");
        ask(self.answers.is_empty(), "what it answers");
        ask(self.asks_who && self.roles.is_empty(), "whose keys may call it");
        ask(self.reads_body && self.bodies.is_empty(), "which bodies it reads");
        ask(!self.reads_body && !self.bodies.is_empty(), "no body, for its handler reads none");
        for code in &self.codes {
            let known = crate::codes::find(code).is_some_and(|code| code.status.is_some());
            ask(!known, &format!("what {code} means, in the list of codes"));
        }
        lacks
    }
}
