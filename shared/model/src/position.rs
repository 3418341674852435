//! Where an output came from, and so whether a receiver has seen it.

use std::fmt;

use crate::Invalid;

/// The position of an output: the input record that caused it and its place among that record's outputs.
///
/// Ordered within one `(fold, partition)`; a receiver keeps the last one per `(fold, partition)` and skips what is
/// not after it.
#[derive(
    Clone, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize, schemars::JsonSchema,
)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub struct Position {
    /// The fold that produced the output.
    pub fold: String,
    /// The input partition of that fold.
    pub partition: u32,
    /// The generation of that input: raised when a topic is made anew, so versions keep growing.
    pub generation: u32,
    /// The offset of the causing record.
    pub offset: u64,
    /// The place among the outputs of that record, from 0.
    pub index: u32,
}

impl Position {
    /// The part that orders positions of one `(fold, partition)`.
    pub fn order(&self) -> (u32, u64, u32) {
        (self.generation, self.offset, self.index)
    }
    /// Parses `fold/partition/generation/offset/index`.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let bad = || {
            Invalid::new("position_format", format!("{text:?} is not fold/partition/generation/offset/index"))
        };
        let mut parts = text.split('/');
        let mut next = || parts.next().ok_or_else(bad);
        let (fold, partition, generation, offset, index) = (next()?, next()?, next()?, next()?, next()?);
        Ok(Self {
            fold: fold.to_owned(),
            partition: partition.parse().map_err(|_| bad())?,
            generation: generation.parse().map_err(|_| bad())?,
            offset: offset.parse().map_err(|_| bad())?,
            index: index.parse().map_err(|_| bad())?,
        })
    }
}
impl TryFrom<String> for Position {
    type Error = Invalid;
    fn try_from(text: String) -> Result<Self, Invalid> {
        Self::parse(&text)
    }
}
impl From<Position> for String {
    fn from(position: Position) -> String {
        position.to_string()
    }
}
impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}/{}/{}", self.fold, self.partition, self.generation, self.offset, self.index)
    }
}
impl fmt::Debug for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
