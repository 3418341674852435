//! The OpenAPI 3.1 document of a list of operations.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::{Operation, operation::Answer, schemas::Schemas};
use crate::{Problem, codes};

/// The name of the API.
pub const TITLE: &str = "Stockade";

const ABOUT: &str = "\
Stockade is a virtual inventory platform that isolates fraud: suppliers submit inventory, buyers ask what is available where, \
order systems tell what became of orders, analysts decide by which rules suppliers are withheld.

**Keys.** Every call bears `Authorization: Bearer KEY`. A key has one role; each call names in `x-roles` whose keys may make it. \
An operator may do what an approver may, and an approver what an analyst may.

**Bodies** are JSON in UTF-8, plain or with `Content-Encoding: gzip`. Unknown fields are refused, but for extensions of events.

**Writes** are answered when they are durable and applied. Of calls that list an `Idempotency-Key`, one that is repeated with it does \
nothing more. What takes longer is answered 202, with the place to look where there is one; otherwise read again what was written. `Stockade-Position` of an answer, sent with a read, makes that read wait for the write.

**Refusals** are problem documents (RFC 9457) with a stable `code`; the codes with their remedies are under `x-error-codes`. \
With 429, 503 and 507 comes `Retry-After`, and with those of 404 that end in `_yet`.

**Lists** answer a cursor for the page that follows. What has an `ETag` is answered 304 to who has it already.";

/// What the server may answer to any call, before it looks at it.
const OF_ANY: [&str; 4] = ["unreadable_request", "head_too_large", "too_many_connections", "no_such_path"];

/// Words for a status where several codes share it.
fn status_about(status: &str) -> &'static str {
    match status {
        "400" => "The request cannot be read.",
        "401" => "There is no key, or none that is known.",
        "403" => "This key may not do that.",
        "404" => "It is not there.",
        "405" => "This path does not have that method.",
        "408" => "The body came too slowly.",
        "409" => "It contradicts what is there.",
        "412" => "It has changed meanwhile.",
        "413" => "It is too large.",
        "415" => "It is of a kind that is not taken here.",
        "421" => "Another address or server takes it; nothing was done here.",
        "422" => "Some of what it says is not right; `errors` names each field.",
        "428" => "It must say which version it was written for.",
        "429" => "Too much at a time; `Retry-After` says when.",
        "431" => "Path or headers are too large.",
        "503" => "Not now; nothing is wrong with the request. `Retry-After` says when.",
        "507" => "The disk is full; nothing was written.",
        _ => "It failed.",
    }
}

/// The document, or what is missing in the declarations.
pub fn document(operations: &[Operation], tags: &[(&str, &str)]) -> Result<Value, Vec<String>> {
    let mut lacks: Vec<String> = operations.iter().flat_map(Operation::lacks).collect();
    let mut seen = std::collections::BTreeSet::new();
    for operation in operations {
        if !seen.insert(operation.id) {
            lacks.push(format!("two calls are called {}", operation.id));
        }
        if !tags.iter().any(|(tag, _)| *tag == operation.tag) {
            lacks.push(format!("there is no chapter {} for {}", operation.tag, operation.id));
        }
    }
    if !lacks.is_empty() {
        return Err(lacks);
    }
    let mut schemas = Schemas::new();
    let mut paths: BTreeMap<&str, Map<String, Value>> = BTreeMap::new();
    let mut shared = Map::new();
    for operation in operations {
        let written = written(operation, &mut schemas, &mut shared);
        paths.entry(&operation.path).or_default().insert(operation.method.to_owned(), written);
    }
    // Problems name it by hand.
    let _ = schemas.written(super::schema::<Problem>);
    let tags: Vec<Value> =
        tags.iter().map(|(name, about)| json!({ "name": name, "description": about })).collect();
    let mut document = json!({
        "openapi": "3.1.0",
        "info": {
            "title": TITLE, "version": env!("CARGO_PKG_VERSION"), "summary": "Virtual inventory that isolates fraud.",
            "description": ABOUT, "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
        },
        "jsonSchemaDialect": "https://json-schema.org/draft/2020-12/schema",
        "servers": [{ "url": "/", "description": "The server that this document comes from." }],
        "tags": tags,
        "paths": paths,
        "components": { "responses": shared, "securitySchemes": { "key": {
            "type": "http", "scheme": "bearer",
            "description": "A key of `stockade keys create --role ROLE`. Its role decides what it may do.",
        } } },
        "x-error-codes": codes::all().map(|code| (code.code, json!({
            "status": code.status, "meaning": code.meaning, "remedy": code.remedy,
        }))).collect::<BTreeMap<_, _>>(),
    });
    let all = schemas.finish(&mut document);
    document["components"]["schemas"] = Value::Object(all);
    Ok(document)
}

fn written(operation: &Operation, schemas: &mut Schemas, shared: &mut Map<String, Value>) -> Value {
    let mut parameters = path_parameters(operation);
    if let Some(query) = operation.query {
        for (name, mut schema, required) in schemas.query(query) {
            if operation.query_without.contains(&name.as_str()) {
                continue;
            }
            let about = schema.as_object_mut().and_then(|schema| schema.remove("description"));
            if operation.query_repeated.contains(&name.as_str()) {
                schema = json!({ "type": "array", "items": schema });
            }
            let mut parameter =
                json!({ "name": name, "in": "query", "required": required, "schema": schema });
            if let Some(about) = about {
                parameter["description"] = about;
            }
            example(operation, &name, &mut parameter);
            parameters.push(parameter);
        }
    }
    parameters.extend(operation.asked.iter().map(|asked| asked.parameter()));
    let mut responses: BTreeMap<String, Value> = BTreeMap::new();
    for (status, answer) in &operation.answers {
        responses.insert(status.to_string(), answered(operation, *status, answer, schemas));
    }
    problems(operation, &mut responses, schemas, shared);
    let roles: Vec<&str> = ["supplier", "buyer", "order-system", "analyst", "approver", "operator"]
        .into_iter()
        .filter(|role| operation.roles.contains(role))
        .collect();
    let mut about = operation.about.unwrap_or_default().to_owned();
    if !roles.is_empty() {
        about = format!("{about}\n\nKeys: {}.", roles.join(", "));
    }
    if operation.is_admin {
        about = format!("{about}\n\nOn the listener for probes and metrics.");
    }
    let mut written = json!({
        "operationId": operation.id, "tags": [operation.tag], "summary": operation.summary,
        "description": about.trim(), "x-roles": roles, "parameters": parameters, "responses": responses,
        "security": if roles.is_empty() { json!([]) } else { json!([{ "key": [] }]) },
    });
    if operation.is_admin {
        written["servers"] = json!([{
            "url": "http://{admin}", "description": "The listener for probes and metrics.",
            "variables": { "admin": { "default": "127.0.0.1:7401" } },
        }]);
    }
    if !operation.bodies.is_empty() {
        let mut content = Map::new();
        for (at, media) in operation.bodies.iter().enumerate() {
            let mut of = json!({});
            match media {
                super::Media::Json(_, schema) => of["schema"] = schemas.read(*schema),
                super::Media::Raw(kind) => {
                    if let Some(schema) = raw(kind) {
                        of["schema"] = schema;
                    }
                }
            }
            if at == 0 && !operation.body_examples.is_empty() {
                let examples = operation.body_examples.iter();
                of["examples"] = examples
                    .map(|(name, value)| ((*name).to_owned(), json!({ "value": value })))
                    .collect::<Map<_, _>>()
                    .into();
            }
            content.insert(media.kind().to_owned(), of);
        }
        written["requestBody"] = json!({ "required": !operation.body_is_optional, "content": content });
    }
    written
}

/// What is said of a body that is not described: of JSON that it is an object, of text that it is text, of bytes nothing, as
/// OpenAPI 3.1 asks.
fn raw(kind: &str) -> Option<Value> {
    match kind.split_once('/').unwrap_or_default() {
        (_, of) if of == "json" || of.ends_with("+json") => Some(json!({ "type": "object" })),
        ("text", _) | (_, "x-ndjson" | "problem+json" | "edi-x12") => Some(json!({ "type": "string" })),
        _ => None,
    }
}

fn example(operation: &Operation, name: &str, parameter: &mut Value) {
    if let Some(value) = operation.examples.get(name) {
        parameter["example"] = value.clone();
    }
}

/// What the parts of paths are, and an example of each.
fn path_parameter(name: &str) -> (&'static str, Value, &'static str) {
    let id = || json!({ "type": "string", "pattern": "^[A-Za-z0-9._:@+-]{1,64}$" });
    let own = || json!({ "type": "string", "minLength": 1, "maxLength": 128 });
    let any = || json!({ "type": "string", "minLength": 1 });
    match name {
        "supplier" => ("The supplier's id.", id(), "acme"),
        "listing" => ("The supplier's own name of the listing, percent-encoded.", own(), "l-1"),
        "location" => ("The supplier's own name of the location, percent-encoded.", own(), "main"),
        "key" => ("The Idempotency-Key of the request, or the id that it was given.", any(), "first"),
        "reservation" => ("The reservation, as it was answered.", any(), "acme::5d41402abc4b2a76b9719d91"),
        "basket" => ("The basket, as it was answered.", any(), "basket-5d41402abc4b2a76b9719d91-1f0c93a4"),
        "source" => ("The source of the event, percent-encoded.", any(), "shop"),
        "import" => ("The import, as it was answered.", any(), "0123456789abcdef0123456789abcdef"),
        "decision" => ("The decision, as standing and decisions name it.", any(), "d-1-7-1"),
        "version" => ("The version of a rule set.", any(), "1f0c93a4d5b6e7f8"),
        "job" => ("The backtest, as it was answered.", any(), "t-1"),
        _ => ("Its id, as it was answered.", any(), "e1"),
    }
}

fn path_parameters(operation: &Operation) -> Vec<Value> {
    let names =
        operation.path.split('{').skip(1).filter_map(|part| part.split_once('}')).map(|(name, _)| name);
    names
        .map(|name| {
            let (about, schema, shown) = path_parameter(name);
            let mut parameter = json!({
                "name": name, "in": "path", "required": true, "description": about, "schema": schema, "example": shown,
            });
            example(operation, name, &mut parameter);
            parameter
        })
        .collect()
}

fn answered(operation: &Operation, status: u16, answer: &Answer, schemas: &mut Schemas) -> Value {
    let mut headers = Map::new();
    let mut sent = answer.headers.clone();
    let is_limited =
        ["rate_limited", "too_many_registrations"].iter().any(|code| operation.codes.contains(code));
    if is_limited && (200..300).contains(&status) {
        sent.push(super::Sent::RateLimit);
    }
    for (name, header) in sent.iter().flat_map(|sent| sent.headers()) {
        headers.insert(name.to_owned(), header);
    }
    let mut written = json!({ "description": answer.about });
    if !headers.is_empty() {
        written["headers"] = headers.into();
    }
    let mut content = Map::new();
    for media in &answer.media {
        let schema = match media {
            super::Media::Json(_, schema) => Some(schemas.written(*schema)),
            super::Media::Raw(kind) => raw(kind),
        };
        let of = schema.map_or_else(|| json!({}), |schema| json!({ "schema": schema }));
        content.insert(media.kind().to_owned(), of);
    }
    if !content.is_empty() {
        written["content"] = content.into();
    }
    let mut links = Map::new();
    for follow in operation.follows.iter().filter(|follow| follow.status == status) {
        let parameters: Map<String, Value> =
            follow.parameters.iter().map(|(name, at)| ((*name).to_owned(), (*at).into())).collect();
        links.insert(
            follow.operation.to_owned(),
            json!({ "operationId": follow.operation, "parameters": parameters }),
        );
    }
    if !links.is_empty() {
        written["links"] = links.into();
    }
    written
}

/// The problems of an operation, by status. Most are the same for many calls, so they stand once and are referred to.
fn problems(
    operation: &Operation,
    responses: &mut BTreeMap<String, Value>,
    schemas: &mut Schemas,
    shared: &mut Map<String, Value>,
) {
    let mut by_status: BTreeMap<u16, Vec<&codes::Code>> = BTreeMap::new();
    let of_any = OF_ANY.iter().filter(|_| !operation.is_admin);
    for code in operation.codes.iter().chain(of_any).filter_map(|code| codes::find(code)) {
        if let Some(status) = code.status {
            by_status.entry(status).or_default().push(code);
        }
    }
    for (status, code) in &operation.codes_as {
        by_status.entry(*status).or_default().extend(codes::find(code));
    }
    for (status, mut codes) in by_status {
        codes.sort_by_key(|code| code.code);
        codes.dedup_by_key(|code| code.code);
        let names: Vec<&str> = codes.iter().map(|code| code.code).collect();
        let sent = match status {
            401 => &[super::Sent::WwwAuthenticate][..],
            429 | 507 => &[super::Sent::RetryAfter][..],
            503 => &[super::Sent::RetryAfter][..],
            // What is asked for will be there soon.
            _ if names.iter().any(|name| name.ends_with("_yet")) => &[super::Sent::RetryAfterSoon][..],
            _ => &[][..],
        };
        let headers: Map<String, Value> = sent
            .iter()
            .flat_map(|sent| sent.headers())
            .map(|(name, header)| (name.to_owned(), header))
            .collect();
        let mut all = vec![json!({ "$ref": "#/components/schemas/Problem" })];
        let members = operation.members.iter().filter(|(of, _)| *of == status);
        all.extend(members.map(|(_, schema)| schemas.written(*schema)));
        let is_own = all.len() > 1;
        let mut problem = json!({
            "description": status_about(&status.to_string()),
            "content": { "application/problem+json": { "schema": {
                "allOf": all,
                "properties": { "code": { "enum": names }, "status": { "const": status } },
            } } },
        });
        if !headers.is_empty() {
            problem["headers"] = headers.into();
        }
        let name = format!("{status}-{:08x}", stockade_model::hash::stable64(&names.join(" ")) >> 32);
        match responses.get_mut(&status.to_string()) {
            // The call says more of that status: what it says stands, and the problem is one form of it.
            Some(own) => {
                own["content"]["application/problem+json"] =
                    problem["content"]["application/problem+json"].take();
            }
            // Nobody else's problem is like it.
            None if is_own => drop(responses.insert(status.to_string(), problem)),
            None => {
                let shared_as = json!({ "$ref": format!("#/components/responses/{name}") });
                responses.insert(status.to_string(), shared_as);
                shared.insert(name, problem);
            }
        }
    }
}
