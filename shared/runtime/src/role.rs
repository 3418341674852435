//! Who may call what: one extractor for each role. A handler names the role it is for in its arguments, so that none can
//! forget to check it, and all check it alike.

use std::sync::Arc;

use axum::{
    extract::{FromRequestParts, RawPathParams},
    http::request::Parts,
};
use stockade_model::SupplierId;

use crate::{
    Caller, Limits, Principal, Problem, Role, Trust, Turns, Work, http::supplier_id, request::bad_path,
};

/// The class of the allowance of people.
const STAFF: &str = "staff";

/// A service as its edge sees it: what the extractors need of a router's state.
pub trait Edge: Send + Sync {
    /// Limits of callers.
    fn limits(&self) -> &Limits;
    /// The class of limits that holds for what a caller sends; a service that knows suppliers' classes says so.
    fn class(&self, caller: &Principal) -> String {
        caller.role.class().to_owned()
    }
    /// How far it is known; a service that knows suppliers says so.
    fn trust(&self, _caller: &Principal) -> Trust {
        Trust::Trusted
    }
    /// Turns at reading what is large, where it has some.
    fn turns(&self) -> Option<&Turns> {
        None
    }
    /// Whether it may send this kind of work now, which is asked before its body is read.
    fn admits(&self, _caller: &Principal, _work: Option<Work>) -> Result<(), Problem> {
        Ok(())
    }
}

/// Limits of nobody, for what takes from no allowance.
pub fn unlimited() -> &'static Limits {
    static NONE: std::sync::OnceLock<Limits> = std::sync::OnceLock::new();
    NONE.get_or_init(|| Limits::new(&crate::LimitsConfig(std::collections::BTreeMap::new())))
}

impl Edge for () {
    fn limits(&self) -> &Limits {
        unlimited()
    }
}

impl<T: Edge> Edge for Arc<T> {
    fn limits(&self) -> &Limits {
        (**self).limits()
    }
    fn class(&self, caller: &Principal) -> String {
        (**self).class(caller)
    }
    fn trust(&self, caller: &Principal) -> Trust {
        (**self).trust(caller)
    }
    fn turns(&self) -> Option<&Turns> {
        (**self).turns()
    }
    fn admits(&self, caller: &Principal, work: Option<Work>) -> Result<(), Problem> {
        (**self).admits(caller, work)
    }
}

/// An analyst, or who may do what an analyst may. Takes one call from the person's allowance.
#[derive(Clone, Debug)]
pub struct Analyst(pub Principal);

/// Who may approve what somebody else changes. Takes one call from the person's allowance.
#[derive(Clone, Debug)]
pub struct Approver(pub Principal);

/// Who runs the platform. Takes one call from the person's allowance.
#[derive(Clone, Debug)]
pub struct Operator(pub Principal);

/// The supplier that the path names (`{supplier}`), calling with its own key. What it may do how often depends on the
/// supplier, so its allowance is the handler's to take.
#[derive(Clone, Debug)]
pub struct OwnSupplier {
    /// The supplier.
    pub supplier: SupplierId,
    /// The key.
    pub by: Principal,
}

/// The supplier that the path names (`{supplier}`), or a person who may look at any. Takes one call from the caller's
/// allowance.
#[derive(Clone, Debug)]
pub struct SupplierOrStaff {
    /// The supplier that is looked at.
    pub supplier: SupplierId,
    /// Who looks.
    pub by: Principal,
}

async fn person<S: Edge>(
    parts: &mut Parts,
    state: &S,
    allowed: impl Fn(&Role) -> bool,
) -> Result<Principal, Problem> {
    let caller = <Caller as FromRequestParts<S>>::from_request_parts(parts, state).await?;
    caller.must(allowed)?;
    state.limits().take(STAFF, &caller.0.id, 1)?;
    Ok(caller.0)
}

/// The supplier that the path names.
async fn named<S: Send + Sync>(parts: &mut Parts, state: &S) -> Result<SupplierId, Problem> {
    let params = RawPathParams::from_request_parts(parts, state).await.map_err(|_| bad_path())?;
    let named = params.iter().find(|(name, _)| *name == "supplier").map_or("", |(_, value)| value);
    supplier_id(named)
}

impl<S: Edge> FromRequestParts<S> for Analyst {
    type Rejection = Problem;
    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        person(parts, state, Role::is_staff).await.map(Self)
    }
}

impl<S: Edge> FromRequestParts<S> for Approver {
    type Rejection = Problem;
    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        person(parts, state, Role::may_approve).await.map(Self)
    }
}

impl<S: Edge> FromRequestParts<S> for Operator {
    type Rejection = Problem;
    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        person(parts, state, |role| *role == Role::Operator).await.map(Self)
    }
}

impl<S: Edge> FromRequestParts<S> for OwnSupplier {
    type Rejection = Problem;
    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let caller = <Caller as FromRequestParts<S>>::from_request_parts(parts, state).await?;
        let supplier = named(parts, state).await?;
        caller.must_be_supplier(&supplier)?;
        Ok(Self { supplier, by: caller.0 })
    }
}

impl<S: Edge> FromRequestParts<S> for SupplierOrStaff {
    type Rejection = Problem;
    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let caller = <Caller as FromRequestParts<S>>::from_request_parts(parts, state).await?;
        let supplier = named(parts, state).await?;
        if !caller.0.role.is_staff() {
            caller.must_be_supplier(&supplier)?;
        }
        state.limits().take(STAFF, &caller.0.id, 1)?;
        Ok(Self { supplier, by: caller.0 })
    }
}
