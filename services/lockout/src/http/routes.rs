//! Every call of this API in one table, each with what it may change. The router is made of the table, so nothing is served
//! that does not stand in it, and a test tries every call that changes anything with one person alone.

use axum::{
    Router,
    handler::Handler,
    routing::{MethodRouter, delete, get, post, put},
};

use super::{
    LockoutApi, backtests, decisions, drafts, features, impact, models, overrides, reviews, rules, standing,
    statement, switches,
};

/// What a call may change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Changes {
    /// Nothing that anybody else would notice: it reads, checks or computes.
    Nothing,
    /// Work between people: claims, drafts that are taken away.
    Work,
    /// One supplier's standing, by a decision in the audit log.
    OneSupplier,
    /// Verdicts: with four eyes it needs a second person.
    Verdicts,
    /// Verdicts, and one person may do it alone because it must not wait. It is loud.
    Loud,
}

/// One call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// The method.
    pub method: &'static str,
    /// The path as it is routed, with the verb where it has one: `/v1/decisions/{id}:release`.
    pub path: String,
    /// What it may change.
    pub changes: Changes,
}

use Changes::{Loud, Nothing, OneSupplier, Verdicts, Work};

#[derive(Default)]
struct Table {
    router: Router<LockoutApi>,
    calls: Vec<Call>,
}

impl Table {
    fn add(
        mut self,
        (method, route): (&'static str, MethodRouter<LockoutApi>),
        path: &str,
        calls: impl IntoIterator<Item = (String, Changes)>,
    ) -> Self {
        self.router = self.router.route(path, route);
        self.calls.extend(calls.into_iter().map(|(path, changes)| Call { method, path, changes }));
        self
    }
    fn get<T: 'static>(self, path: &str, handler: impl Handler<T, LockoutApi>) -> Self {
        self.add(("GET", get(handler)), path, [(path.to_owned(), Nothing)])
    }
    fn put<T: 'static>(self, path: &str, changes: Changes, handler: impl Handler<T, LockoutApi>) -> Self {
        self.add(("PUT", put(handler)), path, [(path.to_owned(), changes)])
    }
    fn post<T: 'static>(self, path: &str, changes: Changes, handler: impl Handler<T, LockoutApi>) -> Self {
        self.add(("POST", post(handler)), path, [(path.to_owned(), changes)])
    }
    fn delete<T: 'static>(self, path: &str, changes: Changes, handler: impl Handler<T, LockoutApi>) -> Self {
        self.add(("DELETE", delete(handler)), path, [(path.to_owned(), changes)])
    }
    /// A path whose last part is a thing and a verb.
    fn verbs<T: 'static, V: Copy>(
        self,
        path: &str,
        verbs: &[(&'static str, V)],
        changes: impl Fn(V) -> Changes,
        handler: impl Handler<T, LockoutApi>,
    ) -> Self {
        let calls = verbs.iter().map(|(name, verb)| (format!("{path}:{name}"), changes(*verb)));
        self.add(("POST", post(handler)), path, calls)
    }
}

fn table() -> Table {
    Table::default()
        .get("/v1/rules", rules::get)
        .put("/v1/rules", Verdicts, rules::put)
        .post("/v1/rules:check", Nothing, rules::check)
        .post("/v1/rules:explain", Nothing, rules::explain)
        .post("/v1/rules:impact", Nothing, impact::of_rules)
        .post("/v1/rules:backtest", Nothing, backtests::begin)
        .post("/v1/rules:rollback", Loud, rules::roll_back)
        .post("/v1/rules:approve", Verdicts, rules::approve)
        .get("/v1/rules/draft", drafts::get_of_rules)
        .delete("/v1/rules/draft", Work, drafts::remove_of_rules)
        .get("/v1/rules/versions", rules::list_versions)
        .get("/v1/rules/versions/{version}", rules::get_version)
        .verbs("/v1/rules/{id}", &rules::VERBS, of_rule, rules::act)
        .get("/v1/rules/{id}/history", rules::history)
        .get("/v1/drafts", drafts::list)
        .get("/v1/drafts/{id}", drafts::get)
        .verbs("/v1/drafts/{id}", &drafts::VERBS, |drafts::DraftVerb::Approve| Verdicts, drafts::act)
        .delete("/v1/drafts/{id}", Work, drafts::remove)
        .get("/v1/backtests/{job}", backtests::status)
        .delete("/v1/backtests/{job}", Work, backtests::cancel)
        .get("/v1/ops/kill-switch", switches::get_kill)
        .put("/v1/ops/kill-switch", Loud, switches::put_kill)
        .get("/v1/ops/four-eyes", switches::get_four_eyes)
        .put("/v1/ops/four-eyes", Verdicts, switches::put_four_eyes)
        .get("/v1/features", features::get)
        .put("/v1/features", Verdicts, features::put)
        .post("/v1/features:check", Nothing, features::check)
        .get("/v1/models", models::get)
        .post("/v1/models", Verdicts, models::publish)
        .post("/v1/models:promote", Verdicts, models::promote)
        .post("/v1/models:rollback", Verdicts, models::roll_back)
        .get("/v1/decisions", decisions::list)
        .get("/v1/decisions/{id}", decisions::get)
        .verbs("/v1/decisions/{id}", &decisions::VERBS, |_| OneSupplier, decisions::act)
        .get("/v1/reviews", reviews::list)
        .post("/v1/reviews:next", Work, reviews::next)
        .get("/v1/reviews/{id}", reviews::get)
        .verbs("/v1/reviews/{id}", &reviews::VERBS, of_review, reviews::act)
        .get("/v1/overrides", overrides::list)
        .post("/v1/overrides", OneSupplier, overrides::put)
        .delete("/v1/overrides/{supplier}", OneSupplier, overrides::clear)
        .get("/v1/suppliers/{supplier}/standing", standing::standing)
        .get("/v1/suppliers/{supplier}/decisions/{decision}", standing::decision)
        .get("/v1/suppliers/{supplier}/decisions/{decision}/statement", statement::statement)
        .get("/v1/suppliers/{supplier}/appeals", standing::appeals)
        .post("/v1/suppliers/{supplier}/appeals", Work, standing::appeal)
        .get("/v1/suppliers/{supplier}/impact", impact::of_supplier)
        .get("/v1/suppliers/{supplier}/risk", impact::risk)
}

fn of_rule(verb: rules::RuleVerb) -> Changes {
    match verb {
        rules::RuleVerb::Rearm => Verdicts,
        rules::RuleVerb::Snooze => OneSupplier,
    }
}

fn of_review(verb: reviews::ReviewVerb) -> Changes {
    match verb {
        reviews::ReviewVerb::Claim => Work,
        reviews::ReviewVerb::Settle => OneSupplier,
    }
}

/// The routes.
pub fn router(api: LockoutApi) -> Router {
    table().router.with_state(api)
}

/// Every call there is.
pub fn calls() -> Vec<Call> {
    table().calls
}
