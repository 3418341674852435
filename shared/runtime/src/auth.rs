//! Who is calling, and what each role may do.
//!
//! [`KeyRing`] is the seam for fuller identity work: handlers see a [`Principal`] and nothing of how it was found.

use axum::{
    extract::{FromRequestParts, OptionalFromRequestParts},
    http::{StatusCode, header, request::Parts},
};
use stockade_model::SupplierId;

use crate::{KeyRing, Problem, Sessions, server, session};

/// What a key may do.
#[derive(Clone, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(tag = "role", rename_all = "snake_case")]
pub enum Role {
    /// Submits its own inventory.
    Supplier {
        /// Its own id; every other supplier's path is refused.
        supplier: SupplierId,
    },
    /// Asks for availability and reserves.
    Buyer,
    /// Reports order outcomes.
    OrderSystem,
    /// Tunes rules, reviews and releases.
    Analyst,
    /// May do what an analyst may, and approve what analysts wrote.
    Approver,
    /// Registers suppliers and runs the platform.
    Operator,
}

/// Who is calling.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Principal {
    /// Name of the key, or of the person at the console: its own, and not secret.
    pub id: String,
    /// What it may do.
    #[serde(flatten)]
    pub role: Role,
    /// The first 16 bytes of the key's SHA-256, hex, where the key itself was shown, and of a person's own secret at the console:
    /// nobody else can know it.
    #[serde(skip)]
    pub fingerprint: String,
}

/// The authenticated caller. Put the [`KeyRing`] into the router's extensions.
#[derive(Clone, Debug)]
pub struct Caller(pub Principal);

impl Role {
    /// Its name on the command line.
    pub fn name(&self) -> &'static str {
        match self {
            Role::Supplier { .. } => "supplier",
            Role::Buyer => "buyer",
            Role::OrderSystem => "order-system",
            Role::Analyst => "analyst",
            Role::Approver => "approver",
            Role::Operator => "operator",
        }
    }
    /// The class of limits of whoever has it; suppliers are registered in one.
    pub fn class(&self) -> &'static str {
        match self {
            Role::Supplier { .. } => "standard",
            Role::Buyer => "buyer",
            Role::OrderSystem => "events",
            Role::Analyst | Role::Approver | Role::Operator => "staff",
        }
    }
    /// Whether it may do what analysts do. These are people.
    pub fn is_staff(&self) -> bool {
        matches!(self, Role::Analyst | Role::Approver | Role::Operator)
    }
    /// Whether it may approve what somebody else changes.
    pub fn may_approve(&self) -> bool {
        matches!(self, Role::Approver | Role::Operator)
    }
}

impl Caller {
    /// Refuses everyone but the supplier itself.
    pub fn must_be_supplier(&self, supplier: &SupplierId) -> Result<(), Problem> {
        match &self.0.role {
            Role::Supplier { supplier: own } if own == supplier => Ok(()),
            Role::Supplier { .. } => Err(Problem::new(
                StatusCode::FORBIDDEN,
                "not_your_supplier",
                "this key is bound to another supplier; use that supplier's own key",
            )),
            _ => Err(wrong(&["supplier"])),
        }
    }
    /// Refuses everyone for whom `allowed` is false, and names the roles that are allowed.
    pub fn must(&self, allowed: impl Fn(&Role) -> bool) -> Result<(), Problem> {
        if allowed(&self.0.role) {
            return Ok(());
        }
        let others = [Role::Buyer, Role::OrderSystem, Role::Analyst, Role::Approver, Role::Operator];
        Err(wrong(&others.iter().filter(|role| allowed(role)).map(Role::name).collect::<Vec<_>>()))
    }
}

/// The problem of a key with another role than `needed`, as these are named on the command line.
fn wrong(needed: &[&str]) -> Problem {
    let detail = match needed {
        [one] => format!("this call needs a key with the role {one}; `stockade keys create` makes one"),
        many => format!("this call needs a key with one of the roles {}", many.join(", ")),
    };
    Problem::new(StatusCode::FORBIDDEN, "wrong_role", detail)
}

impl Principal {
    /// By what name its allowances are kept: all keys of a supplier share one, for it is the supplier that is limited.
    pub fn limited_as(&self) -> &str {
        match &self.role {
            Role::Supplier { supplier } => supplier.as_str(),
            _ => &self.id,
        }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = Problem;
    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let refuse = |code, detail: &str| {
            Problem::new(StatusCode::UNAUTHORIZED, code, detail)
                .with_header(header::WWW_AUTHENTICATE, "Bearer")
        };
        let given = crate::http::single(&parts.headers, &header::AUTHORIZATION)?;
        // A page of the console sends its cookie. Whoever shows a key is asked for nothing else.
        let sessions = parts.extensions.get::<Sessions>().filter(|_| given.is_none());
        let principal = match sessions.and_then(|of| of.caller(&parts.method, &parts.headers)) {
            Some(by_cookie) => by_cookie?,
            None => {
                // The scheme is case-insensitive (RFC 9110, section 11.1).
                let bearer = given.and_then(|value| value.split_once(' '));
                let bearer = bearer.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
                let Some((_, key)) = bearer else {
                    let detail = "send `Authorization: Bearer KEY`; `stockade keys create` makes one";
                    return Err(refuse("missing_key", detail));
                };
                let ring = parts.extensions.get::<KeyRing>();
                let found = ring.and_then(|ring| ring.find(key.trim()));
                found.ok_or_else(|| refuse("unknown_key", "this key is not known or was removed"))?
            }
        };
        // Whose body this is, is known before it is read, and whose connection: until the answer says that the key was not one for
        // this call.
        parts.extensions.insert(principal.clone());
        server::showed_key(&parts.extensions, &principal);
        Ok(Caller(principal))
    }
}

impl<S: Send + Sync> OptionalFromRequestParts<S> for Caller {
    type Rejection = Problem;
    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Option<Self>, Problem> {
        if parts.headers.contains_key(header::AUTHORIZATION) || !session::tokens(&parts.headers).is_empty() {
            <Self as FromRequestParts<S>>::from_request_parts(parts, state).await.map(Some)
        } else {
            Ok(None)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now<T>(asked: impl Future<Output = T>) -> T {
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        match std::pin::pin!(asked).poll(&mut context) {
            std::task::Poll::Ready(answer) => answer,
            std::task::Poll::Pending => panic!("nothing to wait for"),
        }
    }

    #[test]
    fn whose_body_it_is_is_known_by_a_session_as_by_a_key() {
        let supplier = Role::Supplier { supplier: SupplierId::new("acme").unwrap() };
        let principal = Principal { id: "ada".to_owned(), role: supplier, fingerprint: String::new() };
        let sessions = Sessions::open(None, crate::SessionBounds::default()).unwrap();
        let token = sessions.begin(principal).unwrap();
        let csrf = sessions.peek(&token).unwrap().csrf;
        let ring = KeyRing::default();
        let key = ring.create("ada", Role::Buyer).unwrap();
        for (name, value) in
            [("cookie", format!("{}0={token}", session::COOKIE)), ("authorization", format!("Bearer {key}"))]
        {
            let request = axum::http::Request::post("/").header("host", "x").header(name, value);
            let request = request.header(session::CSRF_HEADER, &csrf).body(()).unwrap();
            let (mut parts, ()) = request.into_parts();
            parts.extensions.insert(ring.clone());
            parts.extensions.insert(sessions.clone());
            let Ok(Caller(caller)) =
                now(<Caller as FromRequestParts<()>>::from_request_parts(&mut parts, &()))
            else {
                panic!("{name} is refused");
            };
            assert_eq!(parts.extensions.get::<Principal>(), Some(&caller), "by {name}");
        }
    }

    #[test]
    fn the_scheme_may_be_written_in_any_case_and_two_keys_are_refused() {
        let ring = KeyRing::default();
        let key = ring.create("b", Role::Buyer).unwrap();
        let ask = |values: &[String]| {
            let mut request = axum::http::Request::builder();
            for value in values {
                request = request.header("authorization", value);
            }
            let (mut parts, ()) = request.body(()).unwrap().into_parts();
            parts.extensions.insert(ring.clone());
            now(<Caller as FromRequestParts<()>>::from_request_parts(&mut parts, &()))
                .map(|caller| caller.0.id)
                .map_err(|problem| problem.code)
        };
        for scheme in ["Bearer", "bearer", "BEARER"] {
            assert_eq!(ask(&[format!("{scheme} {key}")]), Ok("b".to_owned()), "{scheme}");
        }
        assert_eq!(ask(&[format!("Basic {key}")]), Err("missing_key"));
        assert_eq!(ask(&["Bearer".to_owned()]), Err("missing_key"));
        let right = format!("Bearer {key}");
        assert_eq!(ask(&[right.clone(), "Bearer sk_0".to_owned()]), Err("repeated_header"));
        assert_eq!(ask(&[right.clone(), right]), Err("repeated_header"));
    }
}
