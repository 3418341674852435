//! Tables: the state of a fold, with every change noticed and every row restorable.

use std::hash::Hash;

use rustc_hash::{FxHashMap, FxHashSet};
use serde::{Serialize, de::DeserializeOwned};

/// A key that can be written as bytes and read back.
pub trait RowKey: Clone + Eq + Hash + Send + 'static {
    /// The bytes of the key.
    fn to_bytes(&self) -> Vec<u8>;
    /// Reads them back.
    fn from_bytes(bytes: &[u8]) -> Option<Self>;
    /// Shows the bytes: where they need not be allocated for that, they are not.
    fn with_bytes<R>(&self, show: impl FnOnce(&[u8]) -> R) -> R {
        show(&self.to_bytes())
    }
}

impl RowKey for String {
    fn to_bytes(&self) -> Vec<u8> {
        self.as_bytes().to_vec()
    }
    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        String::from_utf8(bytes.to_vec()).ok()
    }
}

impl RowKey for u128 {
    fn to_bytes(&self) -> Vec<u8> {
        self.to_be_bytes().to_vec()
    }
    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(u128::from_be_bytes)
    }
    fn with_bytes<R>(&self, show: impl FnOnce(&[u8]) -> R) -> R {
        show(&self.to_be_bytes())
    }
}

macro_rules! id_key {
    ($($id:ty),*) => {$(
        impl RowKey for $id {
            fn to_bytes(&self) -> Vec<u8> {
                self.as_str().as_bytes().to_vec()
            }
            fn from_bytes(bytes: &[u8]) -> Option<Self> {
                Self::new(std::str::from_utf8(bytes).ok()?).ok()
            }
            fn with_bytes<R>(&self, show: impl FnOnce(&[u8]) -> R) -> R {
                show(self.as_str().as_bytes())
            }
        }
    )*};
}
id_key!(stockade_model::SupplierId, stockade_model::BuyerId);

/// A named table of rows. Rows are kept decoded and written as MessagePack with field names, so that fields may be
/// added later.
pub struct Table<K, V> {
    name: u8,
    rows: FxHashMap<K, V>,
    dirty: FxHashSet<K>,
}

impl<K: RowKey, V: Serialize + DeserializeOwned + Send + 'static> Table<K, V> {
    /// An empty table; `name` prefixes its rows in the changelog.
    pub fn new(name: u8) -> Self {
        Self { name, rows: FxHashMap::default(), dirty: FxHashSet::default() }
    }
    /// A row.
    pub fn get<Q: Hash + Eq + ?Sized>(&self, key: &Q) -> Option<&V>
    where
        K: std::borrow::Borrow<Q>,
    {
        self.rows.get(key)
    }
    /// A row to be changed.
    pub fn edit(&mut self, key: &K) -> Option<&mut V> {
        let row = self.rows.get_mut(key)?;
        self.dirty.insert(key.clone());
        Some(row)
    }
    /// A row to be changed, made with `make` when absent.
    pub fn edit_or(&mut self, key: &K, make: impl FnOnce() -> V) -> &mut V {
        self.dirty.insert(key.clone());
        self.rows.entry(key.clone()).or_insert_with(make)
    }
    /// Puts a row; returns the one it replaces.
    pub fn insert(&mut self, key: K, value: V) -> Option<V> {
        self.dirty.insert(key.clone());
        self.rows.insert(key, value)
    }
    /// Removes a row.
    pub fn remove(&mut self, key: &K) -> Option<V> {
        let gone = self.rows.remove(key)?;
        self.dirty.insert(key.clone());
        Some(gone)
    }
    /// All rows, in no particular order: never let that order reach an output.
    pub fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.rows.iter()
    }
    /// How many rows.
    pub fn len(&self) -> usize {
        self.rows.len()
    }
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }
}

/// The key of a table of one row.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Only;

impl RowKey for Only {
    fn to_bytes(&self) -> Vec<u8> {
        Vec::new()
    }
    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        bytes.is_empty().then_some(Self)
    }
}

/// A table of one row: a setting, with a type of its own.
pub struct Single<V>(Table<Only, V>);

impl<V: Serialize + DeserializeOwned + Send + 'static> Single<V> {
    /// Without a value; `name` is that of its row in the changelog.
    pub fn new(name: u8) -> Self {
        Self(Table::new(name))
    }
    /// The value, if one was ever set.
    pub fn get(&self) -> Option<&V> {
        self.0.get(&Only)
    }
    /// Sets the value.
    pub fn set(&mut self, value: V) {
        self.0.insert(Only, value);
    }
    /// The table, for [`crate::Fold::tables`].
    pub fn table(&mut self) -> &mut dyn AnyTable {
        &mut self.0
    }
}

/// A table as the host sees it.
pub trait AnyTable {
    /// Its name.
    fn name(&self) -> u8;
    /// Keys changed since the last call.
    fn take_dirty(&mut self) -> Vec<Vec<u8>>;
    /// The row as bytes; `None` when there is none.
    fn encode(&self, key: &[u8]) -> Option<Vec<u8>>;
    /// Puts a row back; the error says what is wrong with it.
    fn load(&mut self, key: &[u8], value: &[u8]) -> Result<(), String>;
}

impl<K: RowKey, V: Serialize + DeserializeOwned + Send + 'static> AnyTable for Table<K, V> {
    fn name(&self) -> u8 {
        self.name
    }
    fn take_dirty(&mut self) -> Vec<Vec<u8>> {
        self.dirty.drain().map(|key| key.to_bytes()).collect()
    }
    fn encode(&self, key: &[u8]) -> Option<Vec<u8>> {
        let row = self.rows.get(&K::from_bytes(key)?)?;
        Some(crate::row::row_bytes(row))
    }
    fn load(&mut self, key: &[u8], value: &[u8]) -> Result<(), String> {
        let key = K::from_bytes(key).ok_or("a row key does not decode")?;
        let row = rmp_serde::from_slice(value).map_err(|e| format!("a row does not decode: {e}"))?;
        self.rows.insert(key, row);
        Ok(())
    }
}
