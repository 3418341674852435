//! What a mapping takes from a row: texts, numbers, conditions.

use std::{collections::BTreeMap, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{self, MapAccess, SeqAccess, Visitor, value::MapAccessDeserializer},
};

/// A text taken from a column, given, or put together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Text {
    pub(crate) source: Source,
    /// Put before it.
    pub(crate) prefix: String,
    /// What is taken where there is nothing.
    pub(crate) default: Option<String>,
    /// Only so many characters of it.
    pub(crate) first: Option<usize>,
    /// Other words for some of them.
    pub(crate) values: BTreeMap<String, String>,
    /// Whether characters that ids do not have become `-`.
    pub(crate) tidy: bool,
}

/// Where a text is from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    Column(String),
    Constant(String),
    /// One of so many numbers, by the hash of a column: a made-up group for files that have none.
    Hash {
        column: String,
        into: u64,
    },
    /// All of them, parted by the text; nothing where any is missing.
    Join(Vec<Text>, String),
    /// The first that is not empty.
    FirstOf(Vec<Text>),
    /// The line of the file.
    Line,
}

/// A text as written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenText {
    #[serde(default)]
    column: Option<String>,
    #[serde(default)]
    constant: Option<String>,
    #[serde(default)]
    hash: Option<String>,
    #[serde(default)]
    into: Option<u64>,
    #[serde(default)]
    join: Option<Vec<Text>>,
    #[serde(default)]
    with: Option<String>,
    #[serde(default)]
    first_of: Option<Vec<Text>>,
    #[serde(default)]
    line_number: bool,
    #[serde(default)]
    prefix: String,
    #[serde(default)]
    default: Option<String>,
    #[serde(default)]
    first: Option<usize>,
    #[serde(default)]
    values: BTreeMap<String, String>,
    #[serde(default)]
    tidy: bool,
}

impl Text {
    /// The column of a name.
    pub fn column(name: &str) -> Self {
        Self::plain(Source::Column(name.to_owned()))
    }

    fn plain(source: Source) -> Self {
        let (prefix, default, first, values, tidy) = (String::new(), None, None, BTreeMap::new(), false);
        Self { source, prefix, default, first, values, tidy }
    }

    /// Its column and what is put before it, where it is nothing but that.
    pub fn as_column(&self) -> Option<(&str, &str)> {
        match &self.source {
            Source::Column(column) => Some((column, &self.prefix)),
            _ => None,
        }
    }

    pub(crate) fn columns(&self, into: &mut Vec<String>) {
        match &self.source {
            Source::Column(column) | Source::Hash { column, .. } => into.push(column.clone()),
            Source::Join(texts, _) | Source::FirstOf(texts) => {
                texts.iter().for_each(|text| text.columns(into))
            }
            Source::Constant(_) | Source::Line => {}
        }
    }

    fn of(written: WrittenText) -> Result<Self, String> {
        let mut sources = Vec::new();
        sources.extend(written.column.map(Source::Column));
        sources.extend(written.constant.map(Source::Constant));
        if let Some(column) = written.hash {
            let into = written.into.filter(|into| *into > 0);
            let into = into.ok_or("`hash` needs `into: N`, the number of groups to make")?;
            sources.push(Source::Hash { column, into });
        }
        sources.extend(written.join.map(|texts| Source::Join(texts, written.with.unwrap_or_default())));
        sources.extend(written.first_of.map(Source::FirstOf));
        sources.extend(written.line_number.then_some(Source::Line));
        let source = match (sources.pop(), sources.is_empty()) {
            (Some(source), true) => source,
            _ => {
                return Err(
                    "exactly one of column, constant, hash, join, first_of and line_number is needed here"
                        .to_owned(),
                );
            }
        };
        let WrittenText { prefix, default, first, values, tidy, .. } = written;
        Ok(Self { source, prefix, default, first, values, tidy })
    }

    /// What becomes of a value that was found.
    pub(crate) fn finish(&self, value: Option<String>) -> Option<String> {
        let mut value = value.or_else(|| self.default.clone())?;
        if let Some(other) = self.values.get(&value) {
            value.clone_from(other);
        }
        if let Some(first) = self.first {
            value = value.chars().take(first).collect();
        }
        if !self.prefix.is_empty() {
            value.insert_str(0, &self.prefix);
        }
        Some(if self.tidy { tidied(&value) } else { value })
    }
}

/// Ids have letters, digits and a few marks, and at most 64 of them: what is longer ends in a hash of itself.
fn tidied(text: &str) -> String {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | ':' | '@' | '+');
    let mut id: String = text.trim().chars().map(|c| if fits(c) { c } else { '-' }).collect();
    // Letters that became marks would make two names one.
    let lost = text.chars().any(|c| !fits(c) && !c.is_ascii());
    if id.len() > 64 || lost {
        id.truncate(31);
        id.push_str(&format!(":{:016x}", stockade_model::hash::stable64(text)));
    }
    id
}

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Form;
        impl<'de> Visitor<'de> for Form {
            type Value = Text;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the name of a column, or what is made of columns")
            }
            fn visit_str<E: de::Error>(self, name: &str) -> Result<Text, E> {
                Ok(Text::column(name))
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Text, A::Error> {
                let written = WrittenText::deserialize(MapAccessDeserializer::new(map))?;
                Text::of(written).map_err(de::Error::custom)
            }
        }
        deserializer.deserialize_any(Form)
    }
}

/// A number taken from a column, as a plain decimal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Number {
    pub(crate) column: String,
    /// Times what this column says, such as a quantity.
    pub(crate) times: Option<String>,
    /// Divided by what this column says.
    pub(crate) over: Option<String>,
    /// Whether digits beyond those of the currency are rounded away, half away from zero, rather than refused.
    pub(crate) round: bool,
    /// What is taken where the cell is empty.
    pub(crate) default: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenNumber {
    column: String,
    #[serde(default)]
    times: Option<String>,
    #[serde(default)]
    over: Option<String>,
    #[serde(default)]
    round: bool,
    #[serde(default)]
    default: Option<String>,
}

impl Number {
    /// The column that it is taken from.
    pub fn name(&self) -> &str {
        &self.column
    }

    pub(crate) fn columns(&self) -> impl Iterator<Item = String> + '_ {
        std::iter::once(&self.column).chain(&self.times).chain(&self.over).cloned()
    }

    /// Whether the cell is taken as it is.
    pub(crate) fn is_plain(&self) -> bool {
        self.times.is_none() && self.over.is_none() && !self.round
    }
}

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Form;
        impl<'de> Visitor<'de> for Form {
            type Value = Number;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the name of a column, or `column` with `times` or `over`")
            }
            fn visit_str<E: de::Error>(self, name: &str) -> Result<Number, E> {
                Ok(Number { column: name.to_owned(), times: None, over: None, round: false, default: None })
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Number, A::Error> {
                let written = WrittenNumber::deserialize(MapAccessDeserializer::new(map))?;
                let WrittenNumber { column, times, over, round, default } = written;
                Ok(Number { column, times, over, round, default })
            }
        }
        deserializer.deserialize_any(Form)
    }
}

/// Conditions on columns, all of which must hold. Of a value that is not known yet none holds.
#[derive(Clone, Debug, PartialEq)]
pub struct When(pub(crate) Vec<Condition>);

/// Conditions on one column, all of which must hold.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Condition {
    pub(crate) column: String,
    #[serde(default)]
    equals: Option<String>,
    #[serde(rename = "in", default)]
    among: Option<Vec<String>>,
    #[serde(default)]
    not_in: Option<Vec<String>>,
    #[serde(default)]
    below: Option<f64>,
    #[serde(default)]
    above: Option<f64>,
    #[serde(default)]
    empty: Option<bool>,
    #[serde(default)]
    present: Option<bool>,
    #[serde(default)]
    starts_with: Option<String>,
}

impl Condition {
    fn check(&self) -> Result<(), String> {
        let says_something = self.equals.is_some()
            || self.among.is_some()
            || self.not_in.is_some()
            || self.below.is_some()
            || self.above.is_some()
            || self.empty.is_some()
            || self.present.is_some()
            || self.starts_with.is_some();
        says_something.then_some(()).ok_or_else(|| {
            format!(
                "the condition on {} needs one of equals, in, not_in, below, above, empty, present and starts_with",
                self.column
            )
        })
    }

    /// Whether it compares numbers.
    pub(crate) fn is_numeric(&self) -> bool {
        self.below.is_some() || self.above.is_some()
    }

    /// Whether it holds of a cell; `number` reads the cell as one.
    ///
    /// # Errors
    /// What `number` says of a cell that it cannot read: were that no number below or above anything, a row that is written
    /// badly would go missing without a word.
    pub(crate) fn holds<E>(
        &self,
        cell: Option<&str>,
        number: impl Fn(&str) -> Result<f64, E>,
    ) -> Result<bool, E> {
        let is = |wanted: &String| cell == Some(wanted.as_str());
        let texts_hold = self.equals.as_ref().is_none_or(is)
            && self.among.as_ref().is_none_or(|among| among.iter().any(is))
            && self.not_in.as_ref().is_none_or(|not| cell.is_some() && !not.iter().any(is))
            && self.empty.is_none_or(|empty| empty == cell.is_none())
            && self.present.is_none_or(|present| present == cell.is_some())
            && self.starts_with.as_ref().is_none_or(|start| cell.is_some_and(|cell| cell.starts_with(start)));
        if !texts_hold || !self.is_numeric() {
            return Ok(texts_hold);
        }
        let Some(cell) = cell else { return Ok(false) };
        let value = number(cell)?;
        Ok(self.below.is_none_or(|bound| value < bound) && self.above.is_none_or(|bound| value > bound))
    }
}

impl<'de> Deserialize<'de> for When {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Form;
        impl<'de> Visitor<'de> for Form {
            type Value = When;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a condition on a column, or a list of them")
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<When, A::Error> {
                let condition = Condition::deserialize(MapAccessDeserializer::new(map))?;
                condition.check().map_err(de::Error::custom)?;
                Ok(When(vec![condition]))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<When, A::Error> {
                let mut all = Vec::new();
                while let Some(condition) = seq.next_element::<Condition>()? {
                    condition.check().map_err(de::Error::custom)?;
                    all.push(condition);
                }
                Ok(When(all))
            }
        }
        deserializer.deserialize_any(Form)
    }
}

/// A decimal as a whole number of `10^-places`.
#[derive(Clone, Copy)]
pub(crate) struct Exact {
    units: i128,
    places: u32,
}

impl Exact {
    /// A plain decimal such as `-12.50`; `None` past 18 digits before or after the point.
    pub(crate) fn parse(plain: &str) -> Option<Self> {
        let (whole, fraction) = plain.split_once('.').unwrap_or((plain, ""));
        if whole.trim_start_matches('-').len() > 18 || fraction.len() > 18 {
            return None;
        }
        let units = format!("{whole}{fraction}").parse().ok()?;
        Some(Self { units, places: fraction.len() as u32 })
    }

    pub(crate) fn is_nought(self) -> bool {
        self.units == 0
    }

    pub(crate) fn times(self, other: Self) -> Option<Self> {
        let (units, places) = (self.units.checked_mul(other.units)?, self.places + other.places);
        Some(Self { units, places })
    }

    /// Divided by `other`, with twelve more places.
    pub(crate) fn over(self, other: Self) -> Option<Self> {
        let more = 12 + other.places;
        let units = self.units.checked_mul(10_i128.checked_pow(more)?)?.checked_div(other.units)?;
        Some(Self { units, places: self.places + 12 })
    }

    /// Rounded to so many places, half away from zero.
    pub(crate) fn rounded(self, places: u32) -> Self {
        if self.places <= places {
            return self;
        }
        // A unit that is larger than any number of units held is more than twice as large, too: what is left is nought.
        let Some(unit) = 10_i128.checked_pow(self.places - places) else { return Self { units: 0, places } };
        let (whole, rest) = (self.units / unit, self.units % unit);
        let away = if rest.abs() >= unit / 2 { self.units.signum() } else { 0 };
        Self { units: whole + away, places }
    }
}

impl fmt::Display for Exact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.units < 0 { "-" } else { "" };
        let (digits, places) = (self.units.unsigned_abs().to_string(), self.places as usize);
        if places == 0 {
            return write!(f, "{sign}{digits}");
        }
        let digits = format!("{digits:0>width$}", width = places + 1);
        let (whole, fraction) = digits.split_at(digits.len() - places);
        write!(f, "{sign}{whole}.{fraction}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_are_reckoned_exactly() {
        let exact = |text: &str| Exact::parse(text).unwrap();
        assert_eq!(exact("2.55").times(exact("6")).unwrap().to_string(), "15.30");
        assert_eq!(exact("957.5775").over(exact("5")).unwrap().rounded(2).to_string(), "191.52");
        assert_eq!(exact("-0.005").rounded(2).to_string(), "-0.01");
        assert_eq!(exact("0.004").rounded(2).to_string(), "0.00");
        assert!(exact("1").over(exact("0")).is_none());
        let tiny = exact("0.000000000000000001");
        let tinier = tiny.times(tiny).unwrap().times(exact("0.000001")).unwrap();
        assert_eq!(tinier.rounded(2).to_string(), "0.00", "a unit of 10^40 is not held");
        let long = exact("999999999999999999.999999999999999999").times(exact("1.0")).unwrap();
        assert_eq!(long.rounded(0).to_string(), "1000000000000000000");
        let nearly = Exact { units: i128::MAX, places: 38 };
        assert_eq!(
            (nearly.rounded(0).to_string(), nearly.rounded(1).to_string()),
            ("2".into(), "1.7".into())
        );
    }

    #[test]
    fn texts_and_conditions_are_read_in_their_short_and_long_forms() {
        let text = |yaml: &str| stockade_yaml::read::<Text>(yaml).map_err(|error| error.to_string());
        assert_eq!(text("order id").unwrap(), Text::column("order id"));
        assert_eq!(text("{column: a, prefix: p-}").unwrap().as_column(), Some(("a", "p-")));
        assert!(text("{column: a, constant: b}").unwrap_err().contains("exactly one of column"));
        assert!(text("{hash: a}").unwrap_err().contains("into"));
        assert!(text("{colum: a}").unwrap_err().contains("did you mean `column`"));
        let when = |yaml: &str, cell: Option<&str>| {
            let when = stockade_yaml::read::<When>(yaml).unwrap();
            when.0.iter().all(|condition| condition.holds(cell, str::parse::<f64>).unwrap())
        };
        assert!(when("{column: q, below: 0}", Some("-3")) && !when("{column: q, below: 0}", None));
        assert!(when("[{column: q, above: 1}, {column: q, below: 3}]", Some("2")));
        assert!(when("{column: q, starts_with: C}", Some("C536379")));
        assert!(when("{column: q, empty: true}", None) && !when("{column: q, present: true}", None));
        assert!(when("{column: q, not_in: [a]}", Some("b")) && !when("{column: q, not_in: [a]}", Some("a")));
        assert!(stockade_yaml::read::<When>("{column: q}").is_err());
    }

    #[test]
    fn ids_are_tidied_without_two_becoming_one_where_letters_are_lost() {
        assert_eq!(tidied("CA-2016-152156 / 1"), "CA-2016-152156---1");
        assert_ne!(tidied("Müller"), tidied("Möller"));
        assert!(tidied(&"x".repeat(100)).len() <= 64);
    }
}
