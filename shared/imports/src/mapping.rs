//! Which column is what. The form is that of the mappings of histories (`stockade replay --mapping`), as far as both say the same.

use std::collections::BTreeMap;

use stockade_model::Currency;

use crate::finding::{Finding, codes};

/// What stands before the decimals of a number.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Decimal {
    /// As the number shows; one that may be read in two ways is refused.
    #[default]
    Auto,
    /// `1,234.5`.
    Point,
    /// `1.234,5`.
    Comma,
}

/// A text taken from a column, given, or put together.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(untagged, deny_unknown_fields)]
pub enum Text {
    /// The column of this name.
    Column {
        /// The column.
        column: String,
        /// Put before it.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        prefix: String,
    },
    /// This text.
    Constant {
        /// The text.
        constant: String,
    },
    /// These, one after the other.
    Join {
        /// The texts.
        join: Vec<Text>,
    },
}

impl Text {
    /// The column of a name.
    pub fn column(name: &str) -> Self {
        Self::Column { column: name.to_owned(), prefix: String::new() }
    }

    fn columns<'a>(&'a self, into: &mut Vec<&'a str>) {
        match self {
            Self::Column { column, .. } => into.push(column),
            Self::Constant { .. } => {}
            Self::Join { join } => join.iter().for_each(|text| text.columns(into)),
        }
    }
}

/// A condition on a column.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct When {
    /// The column.
    pub column: String,
    /// Its values, in whatever case.
    #[serde(rename = "in")]
    pub among: Vec<String>,
}

/// A mapping as written.
///
/// A row with `price` is the whole listing (its `sku` and `location` are needed too); without one, it is the stock of a
/// listing that is there.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Mapping {
    /// Its name, for messages.
    pub name: String,
    /// Of amounts that say no currency themselves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub currency: Option<Currency>,
    /// What stands before decimals.
    #[serde(default)]
    pub decimal: Decimal,
    /// The supplier's name for the listing.
    pub listing: Text,
    /// The good.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sku: Option<Text>,
    /// Its GTIN.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gtin: Option<Text>,
    /// Where the stock is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub location: Option<Text>,
    /// Column of the price of one unit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub price: Option<String>,
    /// Column of its currency.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub currency_column: Option<String>,
    /// Column of the regions served, parted by spaces, `;` or `|`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub regions: Option<String>,
    /// Column of the units on the shelf.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_hand: Option<String>,
    /// There are none, whatever `on_hand` says, where this column has one of these values.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zero_when: Option<When>,
    /// Column of the supplier's own sequence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_seq: Option<String>,
    /// Columns that a file need not have.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub may_lack: Vec<String>,
}

/// The shipped mappings by name.
pub const SHIPPED: [(&str, &str); 4] = [
    ("stockade", include_str!("../mappings/stockade.yaml")),
    ("google_local", include_str!("../mappings/google_local.yaml")),
    ("x12_846", include_str!("../mappings/x12_846.yaml")),
    ("epcis", include_str!("../mappings/epcis.yaml")),
];

/// A shipped mapping.
pub fn shipped(name: &str) -> Result<Mapping, Finding> {
    let found = SHIPPED.iter().find(|(known, _)| *known == name);
    let Some((_, source)) = found else {
        let names = SHIPPED.map(|(known, _)| known).join(", ");
        let detail = format!("there is no mapping {name:?}; there are {names}, or send your own as YAML");
        return Err(Finding::of_file(codes::UNKNOWN_MAPPING, detail));
    };
    Mapping::parse(source)
}

impl Mapping {
    /// Reads the YAML (or JSON) of a mapping.
    pub fn parse(source: &str) -> Result<Self, Finding> {
        let wrong = |detail: String| {
            Finding::of_file(codes::MAPPING, format!("the mapping does not parse: {detail}"))
        };
        let mapping: Self = stockade_yaml::read(source).map_err(|error| wrong(error.to_string()))?;
        if let Some(currency) = mapping.currency {
            Currency::new(currency.as_str()).map_err(|error| wrong(error.detail))?;
        }
        Ok(mapping)
    }

    /// As YAML, to be kept and changed.
    pub fn to_yaml(&self) -> String {
        let mut out = format!("name: {}\n", quoted(&self.name));
        let mut line = |name: &str, value: Option<String>| {
            if let Some(value) = value {
                out.push_str(&format!("{name}: {value}\n"));
            }
        };
        line("currency", self.currency.map(|currency| currency.as_str().to_owned()));
        let decimal = match self.decimal {
            Decimal::Auto => None,
            Decimal::Point => Some("point".to_owned()),
            Decimal::Comma => Some("comma".to_owned()),
        };
        line("decimal", decimal);
        line("listing", Some(flow(&self.listing)));
        line("sku", self.sku.as_ref().map(flow));
        line("gtin", self.gtin.as_ref().map(flow));
        line("location", self.location.as_ref().map(flow));
        line("price", self.price.as_deref().map(quoted));
        line("currency_column", self.currency_column.as_deref().map(quoted));
        line("regions", self.regions.as_deref().map(quoted));
        line("on_hand", self.on_hand.as_deref().map(quoted));
        let list = |words: &[String]| words.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(", ");
        let when =
            |when: &When| format!("{{ column: {}, in: [{}] }}", quoted(&when.column), list(&when.among));
        line("zero_when", self.zero_when.as_ref().map(when));
        line("source_seq", self.source_seq.as_deref().map(quoted));
        line("may_lack", (!self.may_lack.is_empty()).then(|| format!("[{}]", list(&self.may_lack))));
        out
    }

    /// The column that a field of the API is from, such as `sku` or `price/currency`; `None` where it is from none.
    pub fn column_of(&self, field: &str) -> Option<String> {
        let of = |text: Option<&Text>| {
            let mut names = Vec::new();
            text?.columns(&mut names);
            (!names.is_empty()).then(|| names.join("+"))
        };
        match field.split('/').next().unwrap_or_default() {
            "listing" => of(Some(&self.listing)),
            "sku" => of(self.sku.as_ref()),
            "gtin" => of(self.gtin.as_ref()),
            "location" => of(self.location.as_ref()),
            "price" if field.ends_with("currency") => self.currency_column.clone(),
            "price" => self.price.clone(),
            "regions" => self.regions.clone(),
            "on_hand" | "set" => self.on_hand.clone(),
            "source_seq" => self.source_seq.clone(),
            _ => None,
        }
    }

    /// Columns of a file with this header that it makes nothing of.
    pub fn unused<'h>(&self, header: &'h [String]) -> Vec<&'h str> {
        let used: Vec<String> = self.columns().into_iter().map(folded).collect();
        let names = header.iter().map(|name| name.trim()).filter(|name| !name.is_empty());
        names.filter(|name| !used.contains(&folded(name))).collect()
    }

    /// Every column it names.
    pub(crate) fn columns(&self) -> Vec<&str> {
        let mut names = Vec::new();
        let texts = [Some(&self.listing), self.sku.as_ref(), self.gtin.as_ref(), self.location.as_ref()];
        texts.into_iter().flatten().for_each(|text| text.columns(&mut names));
        let plain = [&self.price, &self.currency_column, &self.regions, &self.on_hand, &self.source_seq];
        names.extend(plain.into_iter().flatten().map(String::as_str));
        names.extend(self.zero_when.iter().map(|when| when.column.as_str()));
        names
    }
}

/// A text that YAML reads as that text.
pub fn quoted(text: &str) -> String {
    let plain = text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
        && text.starts_with(|c: char| c.is_ascii_alphabetic());
    let word = matches!(
        text.to_ascii_lowercase().as_str(),
        "y" | "n" | "yes" | "no" | "on" | "off" | "true" | "false" | "null"
    );
    if plain && !word { text.to_owned() } else { serde_json::Value::from(text).to_string() }
}

fn flow(text: &Text) -> String {
    match text {
        Text::Column { column, prefix } if prefix.is_empty() => format!("{{ column: {} }}", quoted(column)),
        Text::Column { column, prefix } => {
            format!("{{ column: {}, prefix: {} }}", quoted(column), quoted(prefix))
        }
        Text::Constant { constant } => format!("{{ constant: {} }}", quoted(constant)),
        Text::Join { join } => {
            format!("{{ join: [{}] }}", join.iter().map(flow).collect::<Vec<_>>().join(", "))
        }
    }
}

/// Names of columns as they are compared: case, spaces and punctuation do not count.
pub fn folded(name: &str) -> String {
    let known = |c: char| match c {
        'ä' => "ae".to_owned(),
        'ö' => "oe".to_owned(),
        'ü' => "ue".to_owned(),
        'ß' => "ss".to_owned(),
        'é' | 'è' | 'ê' => "e".to_owned(),
        'á' | 'à' | 'â' | 'ã' => "a".to_owned(),
        'ó' | 'ô' => "o".to_owned(),
        'í' => "i".to_owned(),
        'ç' => "c".to_owned(),
        'ñ' => "n".to_owned(),
        other => other.to_string(),
    };
    name.trim().to_lowercase().chars().filter(|c| c.is_alphanumeric()).map(known).collect()
}

/// A mapping with its columns found in a header.
#[derive(Clone, Debug)]
pub(crate) struct Bound {
    pub(crate) mapping: Mapping,
    /// Place of each column that is there.
    places: BTreeMap<String, usize>,
}

/// The cells of a record by column.
pub(crate) trait Cells {
    /// The cell in a place; empty where the record has none.
    fn cell(&self, place: usize) -> &str;
}

impl Bound {
    /// Finds every column that the mapping names; columns that are there twice are warned of, or refused where they are needed.
    pub(crate) fn new(mapping: Mapping, header: &[String]) -> Result<(Self, Vec<Finding>), Finding> {
        let mut places = BTreeMap::new();
        let mut missing = Vec::new();
        for name in mapping.columns() {
            let found = header.iter().position(|known| folded(known) == folded(name));
            match found {
                Some(at) => drop(places.insert(name.to_owned(), at)),
                None if mapping.may_lack.iter().any(|may| may == name) => {}
                None => missing.push(name.to_owned()),
            }
        }
        if !missing.is_empty() {
            let shown: Vec<&str> = header.iter().take(40).map(String::as_str).collect();
            let detail = format!(
                "the mapping {} names the columns {}, which the file does not have; it has {}. Rename them, or send a mapping that names these",
                mapping.name,
                missing.join(", "),
                shown.join(", ")
            );
            return Err(Finding { line: 1, ..Finding::of_file(codes::WRONG_HEADER, detail) });
        }
        let mut warnings = Vec::new();
        for (at, name) in header.iter().enumerate() {
            if name.is_empty() || !header[..at].iter().any(|earlier| folded(earlier) == folded(name)) {
                continue;
            }
            let needed = mapping.columns().iter().any(|column| folded(column) == folded(name));
            let detail = if needed {
                "the header has this column twice, and it is needed; rename or remove one"
            } else {
                "the header has this column twice; it is not needed, so nothing is read from it"
            };
            let finding = Finding::refused(1, name, name, codes::DUPLICATE_HEADER, detail);
            if needed {
                return Err(finding);
            }
            warnings.push(finding.as_warning());
        }
        let bound = Self { mapping, places };
        bound.says_enough()?;
        Ok((bound, warnings))
    }

    fn says_enough(&self) -> Result<(), Finding> {
        let has = |text: &Option<Text>| text.as_ref().is_some_and(|text| self.has(text));
        if !self.has(&self.mapping.listing) {
            let detail =
                "nothing says which listing a row is about: add a column `listing`, or map one to it";
            return Err(Finding { line: 1, ..Finding::of_file(codes::MAPPING, detail) });
        }
        if self.is_put() {
            if has(&self.mapping.sku) && has(&self.mapping.location) {
                return Ok(());
            }
            let detail = "with a price, each row is a whole listing and needs sku and location too: add the columns, or say `location: { constant: main }` in the mapping";
            return Err(Finding { line: 1, ..Finding::of_file(codes::MAPPING, detail) });
        }
        let counts =
            |column: &Option<String>| column.as_ref().is_some_and(|column| self.place(column).is_some());
        if counts(&self.mapping.on_hand) || self.mapping.zero_when.is_some() {
            return Ok(());
        }
        let detail = "neither a price nor a stock is among the columns: map one to `price` or `on_hand`";
        Err(Finding { line: 1, ..Finding::of_file(codes::MAPPING, detail) })
    }

    fn has(&self, text: &Text) -> bool {
        let mut names = Vec::new();
        text.columns(&mut names);
        names.iter().all(|name| self.place(name).is_some())
    }

    /// Whether a row is a whole listing.
    pub(crate) fn is_put(&self) -> bool {
        self.mapping.price.as_ref().is_some_and(|price| self.place(price).is_some())
    }

    pub(crate) fn place(&self, column: &str) -> Option<usize> {
        self.places.get(column).copied()
    }

    /// The cell of a column; `None` when the file lacks it or it is empty.
    pub(crate) fn cell<'a>(&self, column: &str, cells: &'a impl Cells) -> Option<&'a str> {
        let cell = cells.cell(self.place(column)?).trim();
        (!cell.is_empty()).then_some(cell)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shipped_mapping_parses_and_is_written_back_the_same() {
        for (name, _) in SHIPPED {
            let mapping = shipped(name).unwrap();
            assert_eq!(mapping.name, name);
            assert_eq!(Mapping::parse(&mapping.to_yaml()).unwrap(), mapping);
        }
        assert_eq!(shipped("nope").unwrap_err().code, codes::UNKNOWN_MAPPING);
    }

    #[test]
    fn columns_are_found_in_any_case_and_what_is_missing_is_named() {
        let header = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let own = shipped("stockade").unwrap();
        assert!(Bound::new(own.clone(), &header(&["Listing", "On Hand"])).is_ok());
        let error = Bound::new(own.clone(), &header(&["Artikel", "Bestand"])).unwrap_err();
        assert_eq!(error.code, codes::WRONG_HEADER);
        assert!(error.detail.contains("Artikel, Bestand"), "{error}");
        let error = Bound::new(own.clone(), &header(&["listing", "on_hand", "ON_HAND"])).unwrap_err();
        assert_eq!((error.code.as_str(), error.column.as_str()), (codes::DUPLICATE_HEADER, "ON_HAND"));
        let (_, warnings) = Bound::new(own.clone(), &header(&["listing", "on_hand", "x", "x"])).unwrap();
        assert_eq!((warnings.len(), warnings[0].severity), (1, crate::Severity::Warning));
        let error = Bound::new(own, &header(&["listing", "price"])).unwrap_err();
        assert_eq!(error.code, codes::MAPPING);
    }
}
