//! What names mean: variables, functions, types.

use std::collections::BTreeMap;

use rustc_hash::FxHashMap;

use super::{declare, types::Ty};

/// One way to call a function.
#[derive(Clone, Debug)]
pub struct Overload {
    /// Whether the first parameter is the receiver.
    pub member: bool,
    /// Types of the parameters, the receiver's first.
    pub params: Vec<Ty>,
    /// Type of the result.
    pub result: Ty,
}

/// What an expression may refer to.
#[derive(Clone, Debug, Default)]
pub struct Env {
    /// The namespace that names are looked up in first.
    pub container: String,
    /// Numbers of different types may be compared with `==`, as they may with `<`.
    pub mixed_equality: bool,
    /// Functions that are replaced before anything is checked; kept for telling who misspells one what was meant.
    pub replaced: Vec<&'static str>,
    variables: BTreeMap<String, Ty>,
    functions: FxHashMap<String, Vec<Overload>>,
}

impl Env {
    /// The standard library with all extensions, without variables.
    pub fn standard() -> Self {
        let mut env = Self::default();
        for line in declare::STANDARD.lines().chain(declare::EXTENSIONS.lines()) {
            env.line(line);
        }
        for field in declare::TIMESTAMP_FIELDS {
            env.line(&format!("@{field} (timestamp) int"));
            env.line(&format!("@{field} (timestamp, string) int"));
        }
        for group in declare::ORDERED {
            for (left, right) in group.iter().flat_map(|left| group.iter().map(move |right| (left, right))) {
                for sign in ["<", "<=", ">", ">="] {
                    env.line(&format!("{sign} ({left}, {right}) bool"));
                }
            }
        }
        env
    }

    /// Declares a function by a line such as `@name (string, list(A)) int`.
    fn line(&mut self, line: &str) {
        let read = |text: &str| Ty::parse(text, &["A", "B"]);
        let parts = line.split_once(" (").and_then(|(name, rest)| {
            let (params, result) = rest.rsplit_once(") ")?;
            let params = if params.is_empty() { Some(Vec::new()) } else { list(params).map(read).collect() };
            Some((name, params?, read(result)?))
        });
        if let Some((name, params, result)) = parts {
            let member = name.starts_with('@');
            self.function(name.trim_start_matches('@'), Overload { member, params, result });
        }
    }

    /// Declares a variable.
    pub fn variable(&mut self, name: &str, ty: Ty) {
        self.variables.insert(name.to_owned(), ty);
    }
    /// Declares a function.
    pub fn function(&mut self, name: &str, overload: Overload) {
        self.functions.entry(name.to_owned()).or_default().push(overload);
    }

    /// The type of a variable.
    pub(super) fn variable_type(&self, name: &str) -> Option<&Ty> {
        self.variables.get(name)
    }
    /// The variables, by name.
    pub fn variables(&self) -> impl Iterator<Item = &str> {
        self.variables.keys().map(String::as_str)
    }
    /// The ways to call a function.
    pub(super) fn overloads(&self, name: &str) -> &[Overload] {
        self.functions.get(name).map_or(&[], Vec::as_slice)
    }
    /// The functions, by name.
    pub fn functions(&self) -> impl Iterator<Item = &str> {
        self.functions.keys().map(String::as_str)
    }

    /// `name` in the container and everything around it, innermost first; with a leading dot only at the root.
    pub(super) fn candidates(&self, name: &str) -> Vec<String> {
        if let Some(rooted) = name.strip_prefix('.') {
            return vec![rooted.to_owned()];
        }
        let mut names = Vec::new();
        let mut container = self.container.as_str();
        while !container.is_empty() {
            names.push(format!("{container}.{name}"));
            container = container.rsplit_once('.').map_or("", |(outer, _)| outer);
        }
        names.push(name.to_owned());
        names
    }
}

/// Splits at commas outside brackets.
fn list(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let whole = rest?;
        let mut depth = 0;
        let comma = whole.char_indices().find(|(_, c)| {
            depth += i32::from(*c == '(') - i32::from(*c == ')');
            *c == ',' && depth == 0
        });
        match comma {
            Some((at, _)) => {
                rest = Some(&whole[at + 1..]);
                Some(&whole[..at])
            }
            None => rest.take(),
        }
    })
}
