//! The score record: one full feature vector in 4-byte slots, what rules judge and backtests read.
//!
//! Layout, little endian: `u8` version (1), `u8` flags (bit 0: a listing follows), `u16` score, `u32` feature schema
//! id, `u16` number of slots, the slots as `f32` (NaN = unknown), `u8` length and bytes of the supplier, and when
//! flagged `u8` length and bytes of the listing and of its SKU.

use crate::{ListingId, Sku, SupplierId};

const VERSION: u8 = 1;

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
        let names = listing.map_or(0, |(listing, sku)| 2 + listing.as_str().len() + sku.as_str().len());
        let names = names + 1 + self.supplier.as_str().len();
        let mut out = Vec::with_capacity(10 + 4 * self.slots.len() + names);
        out.extend([VERSION, u8::from(self.listing.is_some())]);
        out.extend(self.score.to_le_bytes());
        out.extend(self.schema.to_le_bytes());
        out.extend((self.slots.len() as u16).to_le_bytes());
        self.slots.iter().for_each(|slot| out.extend_from_slice(&slot.to_le_bytes()));
        let mut text = |text: &str| {
            out.push(text.len() as u8);
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
        let supplier = SupplierId::new(view.supplier).map_err(|e| e.detail)?;
        let listing = match view.listing {
            Some((listing, sku)) => {
                Some((ListingId::new(listing).map_err(|e| e.detail)?, Sku::new(sku).map_err(|e| e.detail)?))
            }
            None => None,
        };
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
        if version != VERSION {
            return Err(format!("score record version {version} is unknown, this build reads {VERSION}"));
        }
        let score = u16::from_le_bytes(*take::<2>(&mut rest)?);
        let schema = u32::from_le_bytes(*take::<4>(&mut rest)?);
        let count = u16::from_le_bytes(*take::<2>(&mut rest)?) as usize;
        let values = rest.get(..4 * count).ok_or("score record is cut short")?;
        rest = &rest[4 * count..];
        slots.clear();
        slots.extend(values.as_chunks::<4>().0.iter().map(|value| f32::from_le_bytes(*value)));
        let supplier = text(&mut rest)?;
        let listing = if flags & 1 == 1 { Some((text(&mut rest)?, text(&mut rest)?)) } else { None };
        Ok(Self { supplier, listing, score, schema })
    }
}

fn take<'a, const N: usize>(rest: &mut &'a [u8]) -> Result<&'a [u8; N], String> {
    let (head, tail) = rest.split_first_chunk::<N>().ok_or("score record is cut short")?;
    *rest = tail;
    Ok(head)
}

fn text<'a>(rest: &mut &'a [u8]) -> Result<&'a str, String> {
    let [len] = *take::<1>(rest)?;
    if rest.len() < len as usize {
        return Err("score record is cut short".to_owned());
    }
    let (head, tail) = rest.split_at(len as usize);
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
}
