//! Static types, and when one may stand for another.

use std::{fmt, sync::Arc};

/// A type as the checker sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ty {
    /// Known only when evaluated.
    Dyn,
    /// `null`
    Null,
    /// `bool`
    Bool,
    /// `int`
    Int,
    /// `uint`
    Uint,
    /// `double`
    Double,
    /// `string`
    Text,
    /// `bytes`
    Bytes,
    /// `google.protobuf.Duration`
    Duration,
    /// `google.protobuf.Timestamp`
    Timestamp,
    /// A type itself.
    Type,
    /// `list(T)`
    List(Box<Ty>),
    /// `map(K, V)`
    Map(Box<Ty>, Box<Ty>),
    /// Any other, such as `optional_type(T)`.
    Opaque(Arc<str>, Vec<Ty>),
    /// A parameter of a declaration, by its name.
    Param(Arc<str>),
    /// One to be found out.
    Var(usize),
}

impl Ty {
    /// Reads `list(map(string, T))`; the names in `params` are parameters.
    pub fn parse(text: &str, params: &[&str]) -> Option<Self> {
        let (ty, rest) = Self::read(text.trim(), params, 0)?;
        rest.trim().is_empty().then_some(ty)
    }

    fn read<'a>(text: &'a str, params: &[&str], depth: usize) -> Option<(Self, &'a str)> {
        let text = text.trim_start();
        let end = text.find(['(', ')', ',']).unwrap_or(text.len());
        let (name, mut rest) = (text[..end].trim(), &text[end..]);
        let mut args = Vec::new();
        if depth < 16 && rest.starts_with('(') {
            while !rest.starts_with(')') {
                let (arg, behind) = Self::read(rest.get(1..)?, params, depth + 1)?;
                args.push(arg);
                rest = behind.trim_start();
            }
            rest = &rest[1..];
        }
        let ty = match (name, args.as_slice()) {
            ("", _) => return None,
            (name, []) if params.contains(&name) => Self::Param(name.into()),
            ("dyn" | "any", []) => Self::Dyn,
            ("null" | "null_type", []) => Self::Null,
            ("bool", []) => Self::Bool,
            ("int", []) => Self::Int,
            ("uint", []) => Self::Uint,
            ("double", []) => Self::Double,
            ("string", []) => Self::Text,
            ("bytes", []) => Self::Bytes,
            ("duration" | "google.protobuf.Duration", []) => Self::Duration,
            ("timestamp" | "google.protobuf.Timestamp", []) => Self::Timestamp,
            ("type", _) => Self::Type,
            ("list", [item]) => Self::List(Box::new(item.clone())),
            ("map", [key, value]) => Self::Map(Box::new(key.clone()), Box::new(value.clone())),
            _ => Self::Opaque(name.into(), args),
        };
        Some((ty, rest))
    }

    /// `optional_type(T)`
    pub fn optional(of: Ty) -> Self {
        Self::Opaque("optional_type".into(), vec![of])
    }
    /// What an optional is of; dyn of dyn.
    pub fn of_optional(&self) -> Option<&Ty> {
        match self {
            Self::Opaque(name, args) if &**name == "optional_type" => args.first(),
            _ => None,
        }
    }

    fn args(&self) -> Vec<&Ty> {
        match self {
            Self::List(item) => vec![item],
            Self::Map(key, value) => vec![key, value],
            Self::Opaque(_, args) => args.iter().collect(),
            _ => Vec::new(),
        }
    }
    fn same_head(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Opaque(a, x), Self::Opaque(b, y)) => a == b && x.len() == y.len(),
            _ => std::mem::discriminant(self) == std::mem::discriminant(other),
        }
    }
    /// Replaces the leaves that `each` knows something about.
    pub(super) fn map_leaves(&self, each: &mut impl FnMut(&Ty) -> Option<Ty>) -> Ty {
        if let Some(found) = each(self) {
            return found;
        }
        match self {
            Self::List(item) => Self::List(Box::new(item.map_leaves(each))),
            Self::Map(key, value) => {
                Self::Map(Box::new(key.map_leaves(each)), Box::new(value.map_leaves(each)))
            }
            Self::Opaque(name, args) => {
                Self::Opaque(name.clone(), args.iter().map(|arg| arg.map_leaves(each)).collect())
            }
            other => other.clone(),
        }
    }
}

impl fmt::Display for Ty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dyn => f.write_str("dyn"),
            Self::Null => f.write_str("null"),
            Self::Bool => f.write_str("bool"),
            Self::Int => f.write_str("int"),
            Self::Uint => f.write_str("uint"),
            Self::Double => f.write_str("double"),
            Self::Text => f.write_str("string"),
            Self::Bytes => f.write_str("bytes"),
            Self::Duration => f.write_str("duration"),
            Self::Timestamp => f.write_str("timestamp"),
            Self::Type => f.write_str("type"),
            Self::List(item) => write!(f, "list({item})"),
            Self::Map(key, value) => write!(f, "map({key}, {value})"),
            Self::Opaque(name, args) if args.is_empty() => f.write_str(name),
            Self::Opaque(name, args) => {
                let args: Vec<String> = args.iter().map(ToString::to_string).collect();
                write!(f, "{name}({})", args.join(", "))
            }
            Self::Param(name) => f.write_str(name),
            Self::Var(_) => f.write_str("any type"),
        }
    }
}

/// What is known of the types to be found out. The rules of assignment are those of the language's reference checker:
/// a parameter takes the most general of the types given for it, and dyn stands for anything.
#[derive(Clone, Default)]
pub(super) struct Found(Vec<Option<Ty>>);

impl Found {
    pub(super) fn fresh(&mut self) -> Ty {
        self.0.push(None);
        Ty::Var(self.0.len() - 1)
    }

    fn get(&self, var: usize) -> Option<&Ty> {
        self.0.get(var).and_then(Option::as_ref)
    }

    /// The type with what is known put in, and dyn for the rest when `closed`.
    pub(super) fn resolve(&self, ty: &Ty, closed: bool) -> Ty {
        ty.map_leaves(&mut |leaf| match leaf {
            Ty::Var(var) => match self.get(*var) {
                Some(found) => Some(self.resolve(&found.clone(), closed)),
                None if closed => Some(Ty::Dyn),
                None => None,
            },
            _ => None,
        })
    }

    /// A declaration's type with fresh variables for its parameters, the same ones for all calls with one `names`.
    pub(super) fn instantiate(&mut self, ty: &Ty, names: &mut Vec<(Arc<str>, Ty)>) -> Ty {
        ty.map_leaves(&mut |leaf| match leaf {
            Ty::Param(name) => {
                if let Some((_, ty)) = names.iter().find(|(known, _)| known == name) {
                    return Some(ty.clone());
                }
                let fresh = self.fresh();
                names.push((name.clone(), fresh.clone()));
                Some(fresh)
            }
            _ => None,
        })
    }

    fn head(&self, ty: &Ty) -> Ty {
        let mut ty = ty.clone();
        while let Ty::Var(var) = ty {
            match self.get(var) {
                Some(found) => ty = found.clone(),
                None => break,
            }
        }
        ty
    }

    /// Whether a value of `from` may stand where `to` is asked for; what this finds out is kept if so.
    pub(super) fn assign(&mut self, from: &Ty, to: &Ty) -> bool {
        let before = self.0.clone();
        let fits = self.fits(from, to);
        if !fits {
            self.0 = before;
        }
        fits
    }

    fn fits(&mut self, from: &Ty, to: &Ty) -> bool {
        if let Ty::Var(var) = to {
            let (valid, had) = self.take(from, *var);
            if valid {
                return true;
            }
            if had {
                return false;
            }
        }
        if let Ty::Var(var) = from {
            return self.take(to, *var).0;
        }
        match (from, to) {
            (Ty::Dyn, _) | (_, Ty::Dyn) => true,
            (Ty::Null, Ty::Null) => true,
            // In either order: a list may begin with null, or with what null stands in for later.
            (Ty::Null, other) | (other, Ty::Null) => nullable(other),
            _ if !from.same_head(to) => false,
            _ => from.args().into_iter().zip(to.args()).all(|(from, to)| self.fits(from, to)),
        }
    }

    /// Whether `ty` may be what the variable is, and whether something was known of it before.
    fn take(&mut self, ty: &Ty, var: usize) -> (bool, bool) {
        if *ty == Ty::Var(var) {
            return (true, true);
        }
        if let Some(known) = self.get(var).cloned() {
            if *ty == known {
                return (true, true);
            }
            if !self.fits(ty, &known) {
                return (false, true);
            }
            let general = most_general(ty, &known);
            if !self.refers(&general, var) {
                self.0[var] = Some(general);
            }
            return (true, true);
        }
        if self.refers(ty, var) {
            return (false, false);
        }
        self.0[var] = Some(ty.clone());
        (true, false)
    }

    /// Whether the variable occurs in `ty`.
    fn refers(&self, ty: &Ty, var: usize) -> bool {
        match self.head(ty) {
            Ty::Var(found) => found == var,
            other => other.args().into_iter().any(|arg| self.refers(arg, var)),
        }
    }

    /// The type of elements that may be of either type; dyn when they have nothing in common.
    pub(super) fn join(&mut self, first: &Ty, second: &Ty) -> Ty {
        if self.assign(first, second) { most_general(first, second) } else { Ty::Dyn }
    }
}

/// Whether null may stand for a value of this type.
fn nullable(ty: &Ty) -> bool {
    matches!(ty, Ty::Duration | Ty::Timestamp | Ty::Opaque(..))
}

fn most_general(a: &Ty, b: &Ty) -> Ty {
    if at_most_as_specific(a, b) { a.clone() } else { b.clone() }
}

fn at_most_as_specific(a: &Ty, b: &Ty) -> bool {
    match (a, b) {
        (Ty::Dyn | Ty::Var(_), _) => true,
        (_, Ty::Dyn | Ty::Var(_)) => false,
        (_, Ty::Null) => nullable(a) || *a == Ty::Null,
        _ => a.same_head(b) && a.args().into_iter().zip(b.args()).all(|(a, b)| at_most_as_specific(a, b)),
    }
}
