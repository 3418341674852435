//! Tables of many rows that each cost little: kept as bytes, read when they are asked for.

mod blocks;
#[cfg(test)]
mod tests;

use std::marker::PhantomData;

use rustc_hash::FxHashSet;
use serde::{Serialize, de::DeserializeOwned};
use stockade_model::{Sku, Timestamp};

use crate::{AnyTable, RowKey};
use blocks::{Blocks, put_number, take_number};

/// A row in few bytes. They are written and read by the same process and never stored: what is stored has field names, see
/// [`crate::row_bytes`], so the form may change with every build.
pub trait Pack: Sized {
    /// Writes it.
    fn pack(&self, to: &mut Packer<'_>);
    /// Reads what [`Pack::pack`] wrote.
    fn unpack(from: &mut Unpacker<'_>) -> Self;
}

/// Writes parts of a row one behind the other.
pub struct Packer<'a>(&'a mut Vec<u8>);

impl<'a> Packer<'a> {
    /// Writes behind what `to` holds.
    pub fn new(to: &'a mut Vec<u8>) -> Self {
        Self(to)
    }
    /// A number, the smaller the shorter: seven bits a byte.
    pub fn number(&mut self, number: u64) {
        put_number(number, self.0);
    }
    /// A number that may be negative, the nearer to zero the shorter.
    pub fn signed(&mut self, number: i64) {
        self.number(((number << 1) ^ (number >> 63)) as u64);
    }
    /// A number of any size, the nearer to zero the shorter.
    pub fn wide(&mut self, number: i128) {
        let folded = ((number << 1) ^ (number >> 127)).cast_unsigned();
        let used = (u128::BITS - folded.leading_zeros()).div_ceil(8) as usize;
        self.bytes(&folded.to_le_bytes()[..used]);
    }
    /// Bytes with their number.
    pub fn bytes(&mut self, bytes: &[u8]) {
        self.number(bytes.len() as u64);
        self.0.extend(bytes);
    }
    /// A text.
    pub fn text(&mut self, text: &str) {
        self.bytes(text.as_bytes());
    }
    /// Bytes of which the reader knows how many they are.
    pub fn raw(&mut self, bytes: &[u8]) {
        self.0.extend(bytes);
    }
}

/// Reads parts of a row in the order in which they were written.
///
/// Every method panics when there is not what it reads: then the row is not what this process wrote, and a fold that went on
/// would make facts of it.
pub struct Unpacker<'a>(&'a [u8]);

impl<'a> Unpacker<'a> {
    /// Reads from the front of `bytes`.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }
    /// A number.
    pub fn number(&mut self) -> u64 {
        take_number(&mut self.0)
    }
    /// A number that may be negative.
    pub fn signed(&mut self) -> i64 {
        let number = self.number();
        (number >> 1) as i64 ^ -((number & 1) as i64)
    }
    /// A number of any size.
    pub fn wide(&mut self) -> i128 {
        let bytes = self.bytes().iter().rev();
        let folded = bytes.fold(0_u128, |number, byte| number << 8 | u128::from(*byte));
        (folded >> 1).cast_signed() ^ -((folded & 1).cast_signed())
    }
    /// Bytes with their number.
    pub fn bytes(&mut self) -> &'a [u8] {
        let length = self.number() as usize;
        self.raw(length)
    }
    /// A text.
    pub fn text(&mut self) -> &'a str {
        self.read(|unpacker| std::str::from_utf8(unpacker.bytes()))
    }
    /// So many bytes.
    pub fn raw(&mut self, length: usize) -> &'a [u8] {
        take(&mut self.0, length)
    }
    /// What `read` makes of what is next.
    pub fn read<T, E: std::fmt::Display>(&mut self, read: impl FnOnce(&mut Self) -> Result<T, E>) -> T {
        read(self).unwrap_or_else(|error| damaged(&error))
    }
}

/// The first bytes of `bytes`, which go on behind them.
fn take<'a>(bytes: &mut &'a [u8], length: usize) -> &'a [u8] {
    let Some((taken, rest)) = bytes.split_at_checked(length) else { damaged(&"it ends too early") };
    *bytes = rest;
    taken
}

fn damaged(error: &dyn std::fmt::Display) -> ! {
    panic!("a row does not read back as this process wrote it: {error}")
}

impl Pack for () {
    fn pack(&self, _: &mut Packer<'_>) {}
    fn unpack(_: &mut Unpacker<'_>) -> Self {}
}

impl Pack for Sku {
    fn pack(&self, to: &mut Packer<'_>) {
        to.text(self.as_str());
    }
    fn unpack(from: &mut Unpacker<'_>) -> Self {
        from.read(|from| Self::of_record(from.text()))
    }
}

impl Pack for (u64, Timestamp) {
    fn pack(&self, to: &mut Packer<'_>) {
        to.raw(&self.0.to_le_bytes());
        to.signed(self.1.ms());
    }
    fn unpack(from: &mut Unpacker<'_>) -> Self {
        let number = from.read(|from| from.raw(size_of::<u64>()).try_into().map(u64::from_le_bytes));
        (number, Timestamp::from_ms(from.signed()))
    }
}

/// In order of the times.
impl RowKey for (Timestamp, u128) {
    fn to_bytes(&self) -> Vec<u8> {
        self.with_bytes(<[u8]>::to_vec)
    }
    fn with_bytes<R>(&self, show: impl FnOnce(&[u8]) -> R) -> R {
        let mut bytes = [0; size_of::<i64>() + size_of::<u128>()];
        let (at, number) = bytes.split_at_mut(size_of::<i64>());
        at.copy_from_slice(&self.0.sort_bytes());
        number.copy_from_slice(&self.1.to_be_bytes());
        show(&bytes)
    }
    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (at, number) = bytes.split_first_chunk::<8>()?;
        Some((Timestamp::of_sort_bytes(*at), u128::from_be_bytes(number.try_into().ok()?)))
    }
}

/// A named table of rows that are kept packed, sorted by the bytes of their keys. Where a [`crate::Table`] gives references,
/// this gives rows of their own, made when they are asked for: for what there is a lot of and little is read of at a time.
pub struct Packed<K, V> {
    name: u8,
    rows: Blocks,
    dirty: FxHashSet<Box<[u8]>>,
    scratch: Vec<u8>,
    of: PhantomData<fn() -> (K, V)>,
}

fn unpacked<V: Pack>(bytes: &[u8]) -> V {
    V::unpack(&mut Unpacker(bytes))
}

impl<K: RowKey, V: Pack + Serialize + DeserializeOwned> Packed<K, V> {
    /// An empty table; `name` prefixes its rows in the changelog.
    pub fn new(name: u8) -> Self {
        Self {
            name,
            rows: Blocks::default(),
            dirty: FxHashSet::default(),
            scratch: Vec::new(),
            of: PhantomData,
        }
    }
    /// A row.
    pub fn get(&self, key: &K) -> Option<V> {
        key.with_bytes(|key| self.rows.get(key).map(unpacked))
    }
    /// Whether there is such a row.
    pub fn contains(&self, key: &K) -> bool {
        key.with_bytes(|key| self.rows.get(key).is_some())
    }
    /// Puts a row.
    pub fn put(&mut self, key: &K, value: &V) {
        key.with_bytes(|key| self.change(key, value));
    }
    /// Changes a row, if there is one, and gives what `change` gives.
    pub fn edit<R>(&mut self, key: &K, change: impl FnOnce(&mut V) -> R) -> Option<R> {
        key.with_bytes(|key| {
            let mut row = self.rows.get(key).map(unpacked)?;
            let result = change(&mut row);
            self.change(key, &row);
            Some(result)
        })
    }
    /// Removes a row; gives it back.
    pub fn remove(&mut self, key: &K) -> Option<V> {
        key.with_bytes(|key| {
            let row = self.rows.get(key).map(unpacked)?;
            self.rows.remove(key);
            self.dirty.insert(key.into());
            Some(row)
        })
    }
    /// Shows all rows, in order of the bytes of their keys.
    pub fn each(&self, mut each: impl FnMut(K, V)) {
        self.each_from(&[], |key, row| {
            each(key, row);
            true
        });
    }
    /// Shows the rows whose keys' bytes are not before `from`, until `each` says that it has seen enough.
    pub fn each_from(&self, from: &[u8], mut each: impl FnMut(K, V) -> bool) {
        self.rows.walk(from, |key, row| {
            let Some(key) = K::from_bytes(key) else { damaged(&"its key does not read back") };
            each(key, unpacked(row))
        });
    }
    /// How many rows.
    pub fn len(&self) -> usize {
        self.rows.len()
    }
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes that its rows take, with the room between them.
    pub fn bytes(&self) -> usize {
        self.rows.bytes()
    }

    fn change(&mut self, key: &[u8], value: &V) {
        self.set(key, value);
        if !self.dirty.contains(key) {
            self.dirty.insert(key.into());
        }
    }

    fn set(&mut self, key: &[u8], value: &V) {
        self.scratch.clear();
        value.pack(&mut Packer(&mut self.scratch));
        self.rows.put(key, &self.scratch);
    }
}

impl<K: RowKey, V: Pack + Serialize + DeserializeOwned> AnyTable for Packed<K, V> {
    fn name(&self) -> u8 {
        self.name
    }
    fn take_dirty(&mut self) -> Vec<Vec<u8>> {
        self.dirty.drain().map(Vec::from).collect()
    }
    fn encode(&self, key: &[u8]) -> Option<Vec<u8>> {
        let row: V = self.rows.get(key).map(unpacked)?;
        Some(crate::row::row_bytes(&row))
    }
    fn load(&mut self, key: &[u8], value: &[u8]) -> Result<(), String> {
        K::from_bytes(key).ok_or("a row key does not decode")?;
        let row: V = rmp_serde::from_slice(value).map_err(|e| format!("a row does not decode: {e}"))?;
        self.set(key, &row);
        Ok(())
    }
}

/// A set of keys in the order of their bytes, packed like [`Packed`]; derived from rows, so it is not stored.
pub struct PackedSet<K> {
    keys: Blocks,
    of: PhantomData<fn() -> K>,
}

impl<K> Default for PackedSet<K> {
    fn default() -> Self {
        Self { keys: Blocks::default(), of: PhantomData }
    }
}

impl<K: RowKey> PackedSet<K> {
    /// Adds a key.
    pub fn insert(&mut self, key: &K) {
        key.with_bytes(|key| self.keys.put(key, &[]));
    }
    /// Takes a key out; whether it was there.
    pub fn remove(&mut self, key: &K) -> bool {
        key.with_bytes(|key| self.keys.remove(key))
    }
    /// The first of all.
    pub fn first(&self) -> Option<K> {
        self.keys.first().map(Self::key)
    }
    /// Shows the keys whose bytes are not before `from`, until `each` says that it has seen enough.
    pub fn each_from(&self, from: &[u8], mut each: impl FnMut(K) -> bool) {
        self.keys.walk(from, |key, _| each(Self::key(key)));
    }

    fn key(bytes: &[u8]) -> K {
        K::from_bytes(bytes).unwrap_or_else(|| damaged(&"its key does not read back"))
    }

    /// Bytes that its keys take, with the room between them.
    pub fn bytes(&self) -> usize {
        self.keys.bytes()
    }
    /// How many there are.
    pub fn len(&self) -> usize {
        self.keys.len()
    }
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
