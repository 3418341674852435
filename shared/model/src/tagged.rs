//! Enums that a field of the object tells apart, read without keeping the object first. What serde derives for them holds every value of
//! the object in a tree of its own before it looks at the tag, which made a third of what reading a batch's record cost. Records are
//! written with the tag first; where it comes later, only what stands before it is kept.

use std::{fmt, marker::PhantomData};

use serde::{
    Deserializer,
    de::{DeserializeSeed, Error as _, IgnoredAny, IntoDeserializer as _, MapAccess, Visitor, value},
};
use serde_json::Value;

/// An enum of which a field says which variant it is.
pub(crate) trait Tagged<'de>: Sized {
    /// The field.
    const TAG: &'static str;
    /// What it may say.
    const NAMES: &'static [&'static str];
    /// Reads the variant whose name is at `index` of the names.
    fn variant<A: MapAccess<'de>>(index: usize, rest: Rest<A>) -> Result<Self, A::Error>;
}

/// The object without its tag.
pub(crate) struct Rest<A> {
    before: std::vec::IntoIter<(String, Value)>,
    value: Option<Value>,
    map: A,
}

impl<'de, A: MapAccess<'de>> Rest<A> {
    /// Reads what the variant holds.
    pub(crate) fn read<T: serde::Deserialize<'de>>(self) -> Result<T, A::Error> {
        T::deserialize(value::MapAccessDeserializer::new(self))
    }
    /// For a variant that holds nothing.
    pub(crate) fn end(mut self) -> Result<(), A::Error> {
        while self.map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(())
    }
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for Rest<A> {
    type Error = A::Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, A::Error> {
        match self.before.next() {
            Some((key, value)) => {
                self.value = Some(value);
                seed.deserialize(key.into_deserializer()).map(Some)
            }
            None => self.map.next_key_seed(seed),
        }
    }
    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, A::Error> {
        match self.value.take() {
            Some(value) => seed.deserialize(value).map_err(A::Error::custom),
            None => self.map.next_value_seed(seed),
        }
    }
}

/// Whether a key is the tag; another is kept.
struct Key(&'static str);

impl<'de> DeserializeSeed<'de> for Key {
    type Value = Option<String>;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_identifier(self)
    }
}

impl Visitor<'_> for Key {
    type Value = Option<String>;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name of a field")
    }
    fn visit_str<E>(self, key: &str) -> Result<Self::Value, E> {
        Ok((key != self.0).then(|| key.to_owned()))
    }
}

/// Which of the names a tag is.
struct Name(&'static [&'static str]);

impl<'de> DeserializeSeed<'de> for Name {
    type Value = usize;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<usize, D::Error> {
        deserializer.deserialize_identifier(self)
    }
}

impl Visitor<'_> for Name {
    type Value = usize;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "one of {}", self.0.join(", "))
    }
    fn visit_str<E: serde::de::Error>(self, name: &str) -> Result<usize, E> {
        let found = self.0.iter().position(|known| *known == name);
        found.ok_or_else(|| E::unknown_variant(name, self.0))
    }
}

struct Whole<T>(PhantomData<T>);

impl<'de, T: Tagged<'de>> Visitor<'de> for Whole<T> {
    type Value = T;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "an object with {}", T::TAG)
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<T, A::Error> {
        let mut before = Vec::new();
        while let Some(key) = map.next_key_seed(Key(T::TAG))? {
            match key {
                Some(other) => before.push((other, map.next_value()?)),
                None => {
                    let index = map.next_value_seed(Name(T::NAMES))?;
                    return T::variant(index, Rest { before: before.into_iter(), value: None, map });
                }
            }
        }
        Err(A::Error::missing_field(T::TAG))
    }
}

/// Reads one.
pub(crate) fn read<'de, T: Tagged<'de>, D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
    deserializer.deserialize_map(Whole(PhantomData))
}

#[cfg(test)]
mod tests {
    use crate::{Row, outcome::Vouched};

    const ROWS: &[&[&str]] = &[
        &[
            r#""op":"put""#,
            r#""listing":"l \"1\"""#,
            r#""sku":"S""#,
            r#""location":"main""#,
            r#""price":{"minor":5,"currency":"EUR"}"#,
            r#""on_hand":7"#,
        ],
        &[r#""op":"stock""#, r#""listing":"l""#, r#""mode":"adjust""#, r#""quantity":-3"#],
        &[r#""op":"withdraw""#, r#""listing":"l""#, r#""source_seq":4"#, r#""later":[{"x":1}]"#],
        &[
            r#""op":"hold""#,
            r#""reservation":"r""#,
            r#""listing":"l""#,
            r#""quantity":2"#,
            r#""expires_at":"2026-01-01T00:00:00Z""#,
            r#""region":"DE""#,
        ],
        &[r#""op":"confirm""#, r#""reservation":"r""#, r#""owner":"o""#],
        &[r#""op":"release_hold""#, r#""reservation":"r""#],
        &[r#""op":"line""#, r#""reservation":"r""#, r#""owner":"o""#, r#""act":{"do":"confirm"}"#],
    ];

    fn object(fields: &[&str]) -> String {
        format!("{{{}}}", fields.join(","))
    }

    #[test]
    fn a_row_is_the_same_wherever_its_tag_stands() {
        for fields in ROWS {
            let plain: Row = serde_json::from_str(&object(fields)).unwrap();
            let written = serde_json::to_value(&plain).unwrap();
            for (name, value) in serde_json::from_str::<serde_json::Map<_, _>>(&object(fields)).unwrap() {
                assert!(name == "later" || written[&name] == value, "{name} of {written}");
            }
            for place in 0..fields.len() {
                let mut moved = fields.to_vec();
                let tag = moved.remove(0);
                moved.insert(place, tag);
                assert_eq!(serde_json::from_str::<Row>(&object(&moved)).unwrap(), plain, "{moved:?}");
            }
        }
    }

    #[test]
    fn what_has_no_tag_or_a_strange_one_is_refused() {
        let refused = |text: &str| serde_json::from_str::<Row>(text).unwrap_err().to_string();
        assert!(refused(r#"{"listing":"l"}"#).starts_with("missing field `op`"));
        assert!(refused(r#"{"op":"burn","listing":"l"}"#).starts_with("unknown variant `burn`"));
        assert!(refused(r#"{"op":"withdraw","listing":"l","listing":"m"}"#).starts_with("duplicate field"));
        assert!(refused(r#"{"op":7}"#).contains("one of put, stock"));
        assert!(refused(r#""put""#).contains("an object with op"));
    }

    #[test]
    fn variants_that_hold_nothing_let_pass_what_later_builds_may_add() {
        let read = |text: &str| serde_json::from_str::<Vouched>(text).unwrap();
        assert_eq!(read(r#"{"by":"bare","since":{"a":[1]}}"#), Vouched::Bare);
        assert_eq!(read(r#"{"since":1,"by":"attested"}"#), Vouched::Attested);
        assert_eq!(read(r#"{"weight":0.5,"by":"witnessed"}"#), Vouched::Witnessed { weight: 0.5 });
    }
}
