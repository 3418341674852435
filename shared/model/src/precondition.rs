//! What a caller expects of a thing before changing it: RFC 9110, sections 13.1.1 and 13.1.2.

/// Stands for any tag: the thing exists.
pub const ANY: &str = "*";

/// Conditions on the entity tag of a thing. A tag is what stands between the quotes of an `ETag`.
#[derive(
    Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema,
)]
pub struct Precondition {
    /// `If-Match`: the thing has one of these tags; [`ANY`] means that it exists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub matches: Option<Vec<String>>,
    /// `If-None-Match`: it has none of these; [`ANY`] means that it does not exist.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub matches_none: Option<Vec<String>>,
}

impl Precondition {
    /// Whether nothing is expected.
    pub fn is_empty(&self) -> bool {
        self.matches.is_none() && self.matches_none.is_none()
    }

    /// Whether a thing with this tag, or one that does not exist, is as expected.
    pub fn holds(&self, tag: Option<&str>) -> bool {
        let among = |tags: &[String]| {
            tag.is_some_and(|tag| tags.iter().any(|expected| expected == ANY || expected == tag))
        };
        self.matches.as_deref().is_none_or(among) && !self.matches_none.as_deref().is_some_and(among)
    }

    /// Whether whoever has one of the tags of `If-None-Match` has the present state already.
    pub fn seen(&self, tag: &str) -> bool {
        self.matches_none.is_some() && !Self { matches: None, ..self.clone() }.holds(Some(tag))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_is_expected_among_others_or_any_or_none() {
        let tags = |tags: &[&str]| Some(tags.iter().map(|tag| (*tag).to_owned()).collect());
        let matches = |of: &[&str]| Precondition { matches: tags(of), matches_none: None };
        let none = |of: &[&str]| Precondition { matches: None, matches_none: tags(of) };
        assert!(Precondition::default().holds(None) && Precondition::default().holds(Some("a")));
        assert!(matches(&["a", "b"]).holds(Some("b")) && !matches(&["a", "b"]).holds(Some("c")));
        assert!(!matches(&["a"]).holds(None), "what does not exist has no tag");
        assert!(matches(&["*"]).holds(Some("c")) && !matches(&["*"]).holds(None));
        assert!(
            none(&["a"]).holds(Some("b")) && none(&["a"]).holds(None) && !none(&["a", "b"]).holds(Some("b"))
        );
        assert!(none(&["*"]).holds(None) && !none(&["*"]).holds(Some("a")));
        assert!(none(&["a"]).seen("a") && none(&["*"]).seen("a") && !none(&["b"]).seen("a"));
        assert!(!matches(&["a"]).seen("a"), "If-Match is no question about news");
    }
}
