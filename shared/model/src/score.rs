//! The score record: one full feature vector in 4-byte slots, what rules judge and backtests read.
//!
//! Layout, little endian: `u8` version (1), `u8` flags (bit 0: a listing follows), `u16` score, `u32` feature schema
//! id, `u16` number of slots, the slots as `f32` (NaN = unknown), `u8` length and bytes of the supplier, and when
//! flagged `u8` length and bytes of the listing and of its SKU. In version 2 these lengths are `u16`; it is written only where
//! a name needs it, so that a build that knows only the first reads everything else.

use crate::{ListingId, Sku, SupplierId};

const VERSION: u8 = 1;
const LONG_NAMES: u8 = 2;

/// A feature vector with its score.
#[derive(Clone, Debug, PartialEq)]
pub struct ScoreRecord {
    /// The supplier.
    pub supplier: SupplierId,
    /// The listing the causing record was about, and its SKU.
    pub listing: Option<(ListingId, Sku)>,
    /// 0 (trusted) to 1000.
    pub score: u16,
    /// Which feature schema the slots follow.
    pub schema: u32,
    /// One value per feature of the schema; NaN is unknown.
    pub slots: Vec<f32>,
}

impl ScoreRecord {
    /// Bytes in the layout above.
    pub fn encode(&self) -> Vec<u8> {
        let listing = self.listing.as_ref();
        let texts = listing.map_or(["", ""], |(listing, sku)| [listing.as_str(), sku.as_str()]);
        let long = texts.iter().any(|text| text.len() > usize::from(u8::MAX));
        let names = 6 + self.supplier.as_str().len() + texts.concat().len();
        let mut out = Vec::with_capacity(10 + 4 * self.slots.len() + names);
        out.extend([if long { LONG_NAMES } else { VERSION }, u8::from(self.listing.is_some())]);
        out.extend(self.score.to_le_bytes());
        out.extend(self.schema.to_le_bytes());
        out.extend((self.slots.len() as u16).to_le_bytes());
        self.slots.iter().for_each(|slot| out.extend_from_slice(&slot.to_le_bytes()));
        let mut text = |text: &str| {
            // An id has at most 64 bytes, a name 128 characters of at most four.
            let len = (text.len() as u16).to_le_bytes();
            out.extend_from_slice(if long { &len } else { &len[..1] });
            out.extend_from_slice(text.as_bytes());
        };
        text(self.supplier.as_str());
        if let Some((listing, sku)) = &self.listing {
            text(listing.as_str());
            text(sku.as_str());
        }
        out
    }

    /// Reads the layout above; the error says what is wrong.
    pub fn decode(bytes: &[u8]) -> Result<Self, String> {
        let mut slots = Vec::new();
        let view = ScoreView::read(bytes, &mut slots)?;
        let read = |view: &ScoreView<'_>| {
            let of_listing = |(listing, sku)| Ok((ListingId::of_record(listing)?, Sku::of_record(sku)?));
            Ok((SupplierId::of_record(view.supplier)?, view.listing.map(of_listing).transpose()?))
        };
        let (supplier, listing) = read(&view).map_err(|wrong: crate::Invalid| wrong.detail)?;
        Ok(Self { supplier, listing, score: view.score, schema: view.schema, slots })
    }
}

/// A score record where it lies, for reading many without allocating; its slots are beside it.
#[derive(Clone, Copy, Debug)]
pub struct ScoreView<'a> {
    /// The supplier.
    pub supplier: &'a str,
    /// The listing the causing record was about, and its SKU.
    pub listing: Option<(&'a str, &'a str)>,
    /// 0 (trusted) to 1000.
    pub score: u16,
    /// Which feature schema the slots follow.
    pub schema: u32,
}

impl<'a> ScoreView<'a> {
    /// Reads a record, and its slots into `slots`; the error says what is wrong.
    pub fn read(bytes: &'a [u8], slots: &mut Vec<f32>) -> Result<Self, String> {
        let mut rest = bytes;
        let [version, flags] = *take::<2>(&mut rest)?;
        if !matches!(version, VERSION | LONG_NAMES) {
            let known = format!("this build reads {VERSION} and {LONG_NAMES}");
            return Err(format!("score record version {version} is unknown, {known}"));
        }
        let long = version == LONG_NAMES;
        let score = u16::from_le_bytes(*take::<2>(&mut rest)?);
        let schema = u32::from_le_bytes(*take::<4>(&mut rest)?);
        let count = u16::from_le_bytes(*take::<2>(&mut rest)?) as usize;
        let values = rest.get(..4 * count).ok_or("score record is cut short")?;
        rest = &rest[4 * count..];
        slots.clear();
        slots.extend(values.as_chunks::<4>().0.iter().map(|value| f32::from_le_bytes(*value)));
        let supplier = text(&mut rest, long)?;
        let listing =
            if flags & 1 == 1 { Some((text(&mut rest, long)?, text(&mut rest, long)?)) } else { None };
        Ok(Self { supplier, listing, score, schema })
    }
}

fn take<'a, const N: usize>(rest: &mut &'a [u8]) -> Result<&'a [u8; N], String> {
    let (head, tail) = rest.split_first_chunk::<N>().ok_or("score record is cut short")?;
    *rest = tail;
    Ok(head)
}

fn text<'a>(rest: &mut &'a [u8], long: bool) -> Result<&'a str, String> {
    let len = match long {
        true => usize::from(u16::from_le_bytes(*take::<2>(rest)?)),
        false => usize::from(take::<1>(rest)?[0]),
    };
    if rest.len() < len {
        return Err("score record is cut short".to_owned());
    }
    let (head, tail) = rest.split_at(len);
    *rest = tail;
    std::str::from_utf8(head).map_err(|_| "score record holds an id that is not UTF-8".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sixty_features_fit_in_320_bytes_and_come_back_as_they_were() {
        let record = ScoreRecord {
            supplier: SupplierId::new("s-000123").unwrap(),
            listing: Some((ListingId::new("l-1").unwrap(), Sku::new("SKU-00001").unwrap())),
            score: 731,
            schema: 7,
            slots: (0..60).map(|i| i as f32 / 3.0).collect(),
        };
        let bytes = record.encode();
        assert!(bytes.len() <= 320, "{}", bytes.len());
        assert_eq!(ScoreRecord::decode(&bytes).unwrap(), record);
        for cut in 0..bytes.len() {
            assert!(ScoreRecord::decode(&bytes[..cut]).is_err());
        }
    }

    #[test]
    fn the_longest_names_come_back_and_only_they_change_the_layout() {
        let named = |sku: &str| ScoreRecord {
            supplier: SupplierId::new("s-1").unwrap(),
            listing: Some((ListingId::new("l/1").unwrap(), Sku::new(sku).unwrap())),
            score: 1,
            schema: 7,
            slots: vec![0.5],
        };
        for (sku, version) in [("Käse 1/2".to_owned(), VERSION), ("\u{20000}".repeat(128), LONG_NAMES)] {
            let record = named(&sku);
            let bytes = record.encode();
            assert_eq!(bytes[0], version);
            assert_eq!(ScoreRecord::decode(&bytes).unwrap(), record);
            for cut in 0..bytes.len() {
                assert!(ScoreRecord::decode(&bytes[..cut]).is_err());
            }
        }
    }
}
