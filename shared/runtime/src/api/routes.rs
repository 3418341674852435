//! A router that knows what its calls are.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use axum::{
    Router,
    extract::Request,
    handler::Handler,
    middleware::{self, Next},
    response::Response,
    routing::{MethodFilter, MethodRouter, on},
};

use super::{Declares, Operation};
use crate::{Problem, brownout, request};

/// The methods of each form that a routed path has: with a verb at its end, and without. The router knows one form, so what it
/// says in `Allow` would be of both.
#[derive(Clone, Default)]
pub struct Forms(Arc<BTreeMap<String, BTreeMap<String, BTreeSet<&'static str>>>>);

impl Forms {
    /// Those of these calls.
    pub fn of(operations: &[Operation]) -> Self {
        let mut forms: BTreeMap<String, BTreeMap<String, BTreeSet<&'static str>>> = BTreeMap::new();
        for operation in operations {
            let verb = operation.path.rsplit_once("}:").map_or("", |(_, verb)| verb);
            let methods =
                forms.entry(routed(&operation.path)).or_default().entry(verb.to_owned()).or_default();
            match operation.method {
                "get" => methods.extend(["GET", "HEAD"]),
                "put" => methods.extend(["PUT"]),
                "post" => methods.extend(["POST"]),
                "patch" => methods.extend(["PATCH"]),
                _ => methods.extend(["DELETE"]),
            }
        }
        Self(Arc::new(forms))
    }

    /// What `Allow` says of `path`, which was routed as `matched`.
    pub fn allow(&self, matched: &str, path: &str) -> Option<String> {
        let forms = self.0.get(matched)?;
        let verb = path.rsplit_once(':').map_or("", |(_, verb)| verb);
        let methods = forms.get(verb).or_else(|| forms.get(""))?;
        Some(methods.iter().copied().collect::<Vec<_>>().join(","))
    }
}

/// Routes of one service, each with its declaration. There is no other way to add one.
pub struct Routes<S> {
    router: Router<S>,
    operations: Vec<Operation>,
}

impl<S: Clone + Send + Sync + 'static> Default for Routes<S> {
    fn default() -> Self {
        Self { router: Router::new(), operations: Vec::new() }
    }
}

/// The path as it is routed: a verb behind a parameter belongs to that part of the path.
fn routed(path: &str) -> String {
    match path.rsplit_once("}:") {
        Some((thing, _)) => format!("{thing}}}"),
        None => path.to_owned(),
    }
}

fn method_router<S, T>(method: &str, handler: impl Handler<T, S>) -> MethodRouter<S>
where
    S: Clone + Send + Sync + 'static,
    T: 'static,
{
    let filter = match method {
        "put" => MethodFilter::PUT,
        "post" => MethodFilter::POST,
        "patch" => MethodFilter::PATCH,
        "delete" => MethodFilter::DELETE,
        _ => MethodFilter::GET,
    };
    on(filter, handler)
}

/// What a call takes that takes no parameters.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Nothing {}

/// Refuses parameters of a call that has none: whoever sends one thinks that it does something.
async fn take_no_query(request: Request, next: Next) -> Result<Response, Problem> {
    let Nothing {} = request::query(request.uri())?;
    Ok(next.run(request).await)
}

impl<S: Clone + Send + Sync + 'static> Routes<S> {
    /// Adds a call.
    #[must_use]
    pub fn add<T: Declares + 'static>(self, operation: Operation, handler: impl Handler<T, S>) -> Self {
        self.add_all([operation], handler)
    }

    /// Adds several calls of one handler, which tells them apart by the verb at the end of their path.
    #[must_use]
    pub fn add_all<T: Declares + 'static>(
        mut self,
        operations: impl IntoIterator<Item = Operation>,
        handler: impl Handler<T, S>,
    ) -> Self {
        let mut handler = Some(handler);
        for mut operation in operations {
            T::declare(&mut operation);
            let bare = operation.takes_no_query();
            if bare {
                operation.codes.insert("bad_query");
            }
            if let Some(handler) = handler.take() {
                let mut route = method_router(operation.method, handler);
                if let Some(work) = operation.work {
                    let mark = move |request, next| brownout::mark(work, request, next);
                    route = route.layer(middleware::from_fn(mark));
                }
                if bare {
                    route = route.layer(middleware::from_fn(take_no_query));
                }
                self.router = self.router.route(&routed(&operation.path), route);
            }
            self.operations.push(operation);
        }
        self
    }

    /// Its calls read what may not have been read yet when the process starts: those that read are refused until then.
    #[must_use]
    pub fn wait_for_the_start(mut self) -> Self {
        for operation in self.operations.iter_mut().filter(|operation| operation.method == "get") {
            operation.codes.insert("starting");
        }
        self
    }

    /// These and others.
    #[must_use]
    pub fn and(mut self, other: Self) -> Self {
        self.router = self.router.merge(other.router);
        self.operations.extend(other.operations);
        self
    }

    /// The router alone.
    pub fn router(self) -> Router<S> {
        self.router
    }

    /// The declarations alone.
    pub fn operations(self) -> Vec<Operation> {
        self.operations
    }

    /// The same with the router changed, such as by a layer.
    #[must_use]
    pub fn with(self, change: impl FnOnce(Router<S>) -> Router<S>) -> Self {
        Self { router: change(self.router), operations: self.operations }
    }
}
