//! What a person who misspelt a name probably meant.

/// The known name nearest to `name`, if any is near enough to be meant.
pub fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let name: String = name.chars().take(128).collect();
    let near = known.map(|known| (strsim::levenshtein(&name, known), known)).min()?;
    (near.0 <= (2 + name.len() / 6).min(name.len() / 2)).then_some(near.1)
}
