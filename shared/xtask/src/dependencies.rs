//! Whether the dependencies are those that `deny.toml` allows: licences, banned crates, sources.
//!
//! `cargo deny` says more, and is run as well where it is installed; it takes minutes to build, so CI does without. What
//! `deny.toml` promises is held either way.

use std::{collections::BTreeSet, path::Path, process::Command};

use anyhow::{Context as _, Result};
use serde_json::Value;

/// What `deny.toml` says, as far as it is held here.
#[derive(Debug, Default, PartialEq)]
struct Policy {
    licences: BTreeSet<String>,
    banned: BTreeSet<String>,
    deny_unknown_sources: bool,
}

/// The quoted texts of a line, comments left out.
fn quoted(line: &str) -> impl Iterator<Item = &str> {
    line.split('"').skip(1).step_by(2)
}

impl Policy {
    /// Reads the parts of the file that are held here: lists of texts and plain values by section.
    fn read(source: &str) -> Result<Self> {
        let mut policy = Self::default();
        let (mut section, mut list) = (String::new(), None::<String>);
        let mut known = BTreeSet::new();
        for line in source.lines().map(str::trim).filter(|line| !line.starts_with('#')) {
            if let (None, Some(name)) =
                (&list, line.strip_prefix('[').and_then(|line| line.strip_suffix(']')))
            {
                name.clone_into(&mut section);
                continue;
            }
            let (key, rest) = match (&list, line.split_once('=')) {
                (Some(key), _) => (key.clone(), line),
                (None, Some((key, rest))) => (key.trim().to_owned(), rest.trim()),
                (None, None) => continue,
            };
            known.insert(format!("{section}.{key}"));
            match (section.as_str(), key.as_str()) {
                ("licenses", "allow") => policy.licences.extend(quoted(rest).map(str::to_owned)),
                ("bans", "deny") => policy.banned.extend(quoted(rest).map(str::to_owned)),
                ("sources", "unknown-registry" | "unknown-git") => {
                    policy.deny_unknown_sources |= quoted(rest).any(|word| word == "deny");
                }
                _ => {}
            }
            let opens = rest.matches('[').count() > rest.matches(']').count();
            list = if opens || (list.is_some() && !rest.contains(']')) { Some(key) } else { None };
        }
        for needed in ["licenses.allow", "bans.deny", "sources.unknown-registry", "sources.unknown-git"] {
            anyhow::ensure!(
                known.contains(needed),
                "deny.toml has no {needed}; without it nothing is checked"
            );
        }
        Ok(policy)
    }

    /// What of the packages of `cargo metadata` it forbids, a sentence each.
    fn against(&self, metadata: &Value) -> Result<Vec<String>> {
        let packages = metadata["packages"].as_array().context("cargo metadata lists no packages")?;
        let mut wrong = Vec::new();
        for package in packages {
            let text = |key: &str| package[key].as_str().unwrap_or_default();
            let name = format!("{} {}", text("name"), text("version"));
            // Ours have no source.
            let Some(source) = package["source"].as_str() else { continue };
            if self.banned.contains(text("name")) {
                wrong.push(format!("{name} is banned"));
            }
            if self.deny_unknown_sources && source != CRATES_IO {
                wrong.push(format!("{name} comes from {source}, not from crates.io"));
            }
            let licence = text("license");
            if !allows(licence, &self.licences) {
                let shown = if licence.is_empty() { "no licence by name" } else { licence };
                wrong.push(format!("{name} has {shown}, which is not allowed"));
            }
        }
        anyhow::ensure!(packages.len() > 1, "cargo metadata lists nothing to check");
        Ok(wrong)
    }
}

const CRATES_IO: &str = "registry+https://github.com/rust-lang/crates.io-index";

/// Whether a licence expression (SPDX, or the older `A/B`) can be met by `allowed`: any of an OR, all of an AND, `WITH` as a
/// part of the name.
fn allows(expression: &str, allowed: &BTreeSet<String>) -> bool {
    let spaced = expression.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut rest = words.as_slice();
    let met = any_of(&mut rest, allowed);
    met.unwrap_or(false) && rest.is_empty()
}

fn any_of(words: &mut &[&str], allowed: &BTreeSet<String>) -> Option<bool> {
    let mut met = all_of(words, allowed)?;
    while let ["OR", rest @ ..] = *words {
        *words = rest;
        met |= all_of(words, allowed)?;
    }
    Some(met)
}

fn all_of(words: &mut &[&str], allowed: &BTreeSet<String>) -> Option<bool> {
    let mut met = one(words, allowed)?;
    while let ["AND", rest @ ..] = *words {
        *words = rest;
        met &= one(words, allowed)?;
    }
    Some(met)
}

fn one(words: &mut &[&str], allowed: &BTreeSet<String>) -> Option<bool> {
    match *words {
        ["(", rest @ ..] => {
            *words = rest;
            let met = any_of(words, allowed)?;
            let [")", rest @ ..] = *words else { return None };
            *words = rest;
            Some(met)
        }
        [name, "WITH", exception, rest @ ..] => {
            *words = rest;
            Some(allowed.contains(&format!("{name} WITH {exception}")))
        }
        [name, rest @ ..] => {
            *words = rest;
            Some(allowed.contains(*name))
        }
        [] => None,
    }
}

/// Checks the packages of the lock file against `deny.toml`.
pub(crate) fn check(root: &Path, mut metadata: Command) -> Result<()> {
    let policy = Policy::read(&std::fs::read_to_string(root.join("deny.toml"))?)?;
    let output = metadata.args(["metadata", "--format-version", "1", "--locked"]).output()?;
    anyhow::ensure!(output.status.success(), "cargo metadata: {}", String::from_utf8_lossy(&output.stderr));
    let wrong = policy.against(&serde_json::from_slice(&output.stdout)?)?;
    anyhow::ensure!(
        wrong.is_empty(),
        "deny.toml forbids:\n  {}\nuse another crate, or say in deny.toml why it is allowed",
        wrong.join("\n  ")
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn policy() -> Policy {
        Policy::read(&std::fs::read_to_string(crate::root().join("deny.toml")).unwrap()).unwrap()
    }

    #[test]
    fn the_dependencies_in_the_lock_file_are_those_that_deny_toml_allows() {
        check(&crate::root(), crate::cargo(&[])).unwrap();
    }

    #[test]
    fn a_banned_crate_a_foreign_source_and_a_licence_that_is_not_allowed_are_each_caught() {
        let package = |name: &str, licence: Value, source: Value| json!({ "name": name, "version": "1.0.0", "license": licence, "source": source });
        let of = |package: Value| {
            let fine = json!({ "name": "fine", "version": "1.0.0", "license": "MIT", "source": CRATES_IO });
            policy().against(&json!({ "packages": [fine, package] })).unwrap()
        };
        assert_eq!(of(package("ours", Value::Null, Value::Null)), [""; 0]);
        assert_eq!(of(package("serde_yaml", json!("MIT"), json!(CRATES_IO))), ["serde_yaml 1.0.0 is banned"]);
        assert_eq!(of(package("x", json!("GPL-3.0-only"), json!(CRATES_IO))).len(), 1);
        assert_eq!(of(package("x", Value::Null, json!(CRATES_IO))).len(), 1);
        assert_eq!(of(package("x", json!("MIT"), json!("git+https://example.org/x"))).len(), 1);
        assert!(policy().against(&json!({ "packages": [] })).is_err(), "nothing to check is no success");
    }

    #[test]
    fn a_licence_expression_is_met_as_spdx_says() {
        let allowed: BTreeSet<String> =
            ["MIT", "ISC", "Apache-2.0 WITH LLVM-exception"].map(str::to_owned).into();
        for (expression, met) in [
            ("MIT", true),
            ("GPL-2.0", false),
            ("MIT OR GPL-2.0", true),
            ("GPL-2.0/MIT", true),
            ("MIT AND GPL-2.0", false),
            ("MIT AND (GPL-2.0 OR ISC)", true),
            ("(MIT OR GPL-2.0) AND ISC", true),
            ("MIT OR GPL-2.0 AND GPL-3.0", true),
            ("Apache-2.0 WITH LLVM-exception", true),
            ("Apache-2.0", false),
            ("(MIT", false),
            ("MIT)", false),
            ("", false),
        ] {
            assert_eq!(allows(expression, &allowed), met, "{expression}");
        }
    }

    #[test]
    fn a_policy_that_says_nothing_is_refused() {
        assert!(Policy::read("[licenses]\nallow = [\"MIT\"]\n").is_err());
        let read = policy();
        assert!(read.licences.contains("Apache-2.0 WITH LLVM-exception") && read.licences.contains("Zlib"));
        assert!(read.banned.contains("serde_yaml") && read.deny_unknown_sources);
    }
}
