use std::collections::BTreeMap;

use proptest::prelude::*;

use super::{blocks::Blocks, *};

/// What is done to the table and to the map that it must equal.
#[derive(Clone, Debug)]
enum Deed {
    Put(Vec<u8>, Vec<u8>),
    Remove(Vec<u8>),
}

/// Keys that share beginnings, are beginnings of each other, or neither.
fn key() -> impl Strategy<Value = Vec<u8>> {
    let letters = prop::collection::vec(prop::sample::select(vec![0_u8, 1, b'a', b'b', 255]), 0..7);
    prop_oneof![
        letters,
        (0_u16..300).prop_map(|number| format!("supplier-{:03}/l-{number:04}", number / 40).into_bytes()),
        any::<[u8; 16]>().prop_map(|bytes| bytes.to_vec()),
    ]
}

fn deed() -> impl Strategy<Value = Deed> {
    let value = prop_oneof![
        prop::collection::vec(any::<u8>(), 0..40),
        // Rows larger than a block.
        (2_000_usize..5_000).prop_map(|length| vec![7; length]),
    ];
    prop_oneof![
        4 => (key(), value).prop_map(|(key, value)| Deed::Put(key, value)),
        2 => key().prop_map(Deed::Remove),
    ]
}

fn rows(blocks: &Blocks, from: &[u8]) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut rows = Vec::new();
    blocks.walk(from, |key, value| {
        rows.push((key.to_vec(), value.to_vec()));
        true
    });
    rows
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn blocks_hold_what_a_sorted_map_holds(deeds in prop::collection::vec(deed(), 1..400), from in key()) {
        let (mut blocks, mut map) = (Blocks::default(), BTreeMap::new());
        for deed in deeds {
            match deed {
                Deed::Put(key, value) => {
                    blocks.put(&key, &value);
                    map.insert(key, value);
                }
                Deed::Remove(key) => prop_assert_eq!(blocks.remove(&key), map.remove(&key).is_some()),
            }
            prop_assert_eq!(blocks.len(), map.len());
        }
        for (key, value) in &map {
            prop_assert_eq!(blocks.get(key), Some(value.as_slice()));
        }
        prop_assert_eq!(blocks.get(&from), map.get(&from).map(Vec::as_slice));
        prop_assert_eq!(rows(&blocks, &[]), map.clone().into_iter().collect::<Vec<_>>());
        prop_assert_eq!(rows(&blocks, &from), map.range(from..).map(|(k, v)| (k.clone(), v.clone())).collect::<Vec<_>>());
    }

    #[test]
    fn parts_of_a_row_come_back(number: u64, signed: i64, wide: i128, bytes: Vec<u8>, text: String) {
        let mut row = Vec::new();
        let mut packer = Packer(&mut row);
        packer.signed(signed);
        packer.wide(wide);
        packer.wide(i128::from(signed));
        packer.bytes(&bytes);
        packer.number(number);
        packer.text(&text);
        packer.raw(&[1, 2]);
        let mut unpacker = Unpacker(&row);
        prop_assert_eq!(unpacker.signed(), signed);
        prop_assert_eq!((unpacker.wide(), unpacker.wide()), (wide, i128::from(signed)));
        prop_assert_eq!(unpacker.bytes(), bytes);
        prop_assert_eq!(unpacker.number(), number);
        prop_assert_eq!(unpacker.text(), text);
        prop_assert_eq!(unpacker.raw(2), &[1, 2]);
    }
}

#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
struct Row {
    units: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    note: Option<String>,
}

impl Pack for Row {
    fn pack(&self, to: &mut Packer<'_>) {
        to.signed(self.units);
        to.text(self.note.as_deref().unwrap_or_default());
    }
    fn unpack(from: &mut Unpacker<'_>) -> Self {
        let units = from.signed();
        let note = Some(from.text().to_owned()).filter(|note| !note.is_empty());
        Self { units, note }
    }
}

#[test]
fn a_packed_table_stores_what_a_plain_one_stores_and_either_reads_the_others_rows() {
    let (mut plain, mut packed) = (crate::Table::new(1), Packed::new(1));
    for units in 0..500 {
        let (key, row) = (format!("k-{units}"), Row { units, note: (units % 3 == 0).then(|| "n".repeat(9)) });
        packed.put(&key, &row);
        plain.insert(key, row);
    }
    packed.edit(&"k-7".to_owned(), |row| row.units = 70);
    plain.edit(&"k-7".to_owned()).unwrap().units = 70;
    assert_eq!(packed.edit(&"none".to_owned(), |row| row.units = 1), None);
    assert_eq!(packed.remove(&"k-8".to_owned()), plain.remove(&"k-8".to_owned()));
    assert_eq!((packed.len(), packed.contains(&"k-8".to_owned())), (499, false));
    let (mut ours, mut theirs) = (packed.take_dirty(), plain.take_dirty());
    ours.sort();
    theirs.sort();
    assert_eq!(ours, theirs);
    assert!(packed.take_dirty().is_empty(), "changes are told once");
    let mut again = Packed::<String, Row>::new(1);
    for key in &ours {
        assert_eq!(packed.encode(key), plain.encode(key));
        if let Some(row) = plain.encode(key) {
            again.load(key, &row).unwrap();
        }
    }
    assert!(again.take_dirty().is_empty(), "what was read is not changed");
    packed.each(|key, row| assert_eq!(again.get(&key), Some(row)));
    assert_eq!(again.len(), packed.len());
    assert!(again.load(b"bad", &[0xc1]).is_err());
}

#[test]
#[should_panic(expected = "does not read back")]
fn a_row_that_ends_too_early_stops_the_fold() {
    Unpacker(&[5, 1]).bytes();
}

#[test]
fn rows_fill_their_blocks_in_whatever_order_they_come() {
    let name = |supplier: &str, number: u32| format!("{supplier}/l-{number:04}");
    let cost = |keys: &mut dyn Iterator<Item = String>| {
        let mut table = Packed::<String, Row>::new(1);
        keys.for_each(|key| table.put(&key, &Row { units: 7, note: Some("n".repeat(40)) }));
        table.bytes() as f64 / table.len() as f64
    };
    let front = || (0..40).map(|number| name("acme", number));
    let up = cost(&mut front().chain((0..3_000).map(|number| name("beta", number))));
    let down = cost(&mut front().chain((0..3_000).rev().map(|number| name("beta", number))));
    let halves = [0..400, 1_000..1_300].into_iter().flatten().chain((400..1_000).rev());
    let gap = cost(&mut halves.map(|number| name("acme", number)));
    assert!(up < 62.0 && down < 70.0 && gap < 70.0, "{up:.1}, {down:.1}, {gap:.1}");
}

#[test]
fn a_set_gives_its_first() {
    let mut set = PackedSet::<u128>::default();
    for number in (0..5_000_u128).rev() {
        set.insert(&(number * 7));
        set.insert(&(number * 7));
    }
    assert_eq!((set.len(), set.first()), (5_000, Some(0)));
    assert!(set.remove(&0) && !set.remove(&0) && !set.remove(&1));
    assert_eq!((set.len(), set.first()), (4_999, Some(7)));
}

#[test]
fn what_a_row_costs_is_what_it_says_and_few_bytes_more() {
    let mut table = Packed::<u128, Row>::new(1);
    // Every other key is put last, so that blocks are split in every place.
    for number in (0..20_000_u128).step_by(2).chain((1..20_000).step_by(2)) {
        let key = number.wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
        table.put(&key, &Row { units: number as i64, note: None });
    }
    // 16 bytes of key and about 4 of row.
    let each = table.bytes() as f64 / table.len() as f64;
    assert!(each < 33.0, "{each:.1} bytes a row");
}
