//! Keys and values as bytes, sorted by key, in blocks without pointers: what a row costs is what it says, and four or five
//! bytes.
//!
//! A block holds rows one behind the other. Of each key only what differs from the key before it is written, so the name
//! that rows of one supplier begin with stands there once in a block.

/// A block that grows beyond this many bytes is split: small enough that looking through it costs less than a miss of the
/// cache or two, large enough that what the tree above it costs is little for each row.
const BLOCK_BYTES: usize = 1_024;
/// Blocks of one group: to find a block is to search the groups and then one of them, and to add one moves at most so many.
const GROUP_BLOCKS: usize = if cfg!(test) { 5 } else { 128 };

/// A row's place in its block.
#[derive(Clone, Copy, Debug)]
struct Place {
    /// Where the row begins.
    begin: usize,
    /// Where what its key does not share with the one before begins, where its value does, and where it ends.
    suffix: usize,
    value: usize,
    end: usize,
    /// Bytes of the key that are those of the key before.
    shared: usize,
}

/// Writes `number` in groups of seven bits, the lowest first.
pub(super) fn put_number(mut number: u64, to: &mut Vec<u8>) {
    while number >= 0x80 {
        to.push(number as u8 | 0x80);
        number >>= 7;
    }
    to.push(number as u8);
}

/// Reads what [`put_number`] wrote, from the front of `bytes`.
///
/// # Panics
/// When it is not there.
pub(super) fn take_number(bytes: &mut &[u8]) -> u64 {
    if let [byte @ 0..0x80, rest @ ..] = *bytes {
        *bytes = rest;
        return u64::from(*byte);
    }
    let (mut number, mut shift) = (0, 0);
    loop {
        let byte = super::take(bytes, 1)[0];
        number |= u64::from(byte & 0x7f) << shift;
        shift += 7;
        if byte < 0x80 || shift > 63 {
            return number;
        }
    }
}

/// How many bytes `left` and `right` have in common at their beginning.
fn common(left: &[u8], right: &[u8]) -> usize {
    left.iter().zip(right).take_while(|(left, right)| left == right).count()
}

/// Where a key is, or would be.
struct Search {
    /// The row that has the key, or the first with a larger one; the end of the block when there is none.
    at: usize,
    /// That row, and how many bytes of its key behind `shared` are those of the key that was looked for.
    met: Option<(Place, usize)>,
    found: bool,
    /// Bytes that the key has in common with the key of the row before.
    shared: usize,
}

/// What became of a row that was put.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Put {
    /// It took the place of the one that had its key.
    Replaced,
    /// It is the last of its block.
    Last,
    Between,
}

#[derive(Default)]
struct Block {
    bytes: Vec<u8>,
}

impl Block {
    /// The row at `begin`; `None` at the end.
    fn place(&self, begin: usize) -> Option<Place> {
        let mut rest = self.bytes.get(begin..).filter(|rest| !rest.is_empty())?;
        // Nearly always each of them is one byte.
        let [shared, suffix_bytes, value_bytes] = match *rest {
            [shared @ 0..0x80, suffix @ 0..0x80, value @ 0..0x80, ..] => {
                rest = &rest[3..];
                [shared, suffix, value].map(usize::from)
            }
            _ => std::array::from_fn(|_| take_number(&mut rest) as usize),
        };
        let suffix = self.bytes.len() - rest.len();
        let value = suffix + suffix_bytes;
        Some(Place { begin, suffix, value, end: value + value_bytes, shared })
    }

    fn places(&self) -> impl Iterator<Item = Place> {
        std::iter::successors(self.place(0), |place| self.place(place.end))
    }

    /// Looks for `key` without putting together any other key: a row that shares more with the one before than that has in
    /// common with `key` is before `key` as well, one that shares less is behind it.
    fn search(&self, key: &[u8]) -> Search {
        let mut shared = 0;
        for place in self.places() {
            let met = Some((place, 0));
            if place.shared > shared {
                continue;
            }
            if place.shared < shared {
                return Search { at: place.begin, met, found: false, shared };
            }
            let (suffix, rest) = (&self.bytes[place.suffix..place.value], &key[shared..]);
            let same = common(suffix, rest);
            match (suffix.get(same), rest.get(same)) {
                (None, None) => {
                    return Search { at: place.begin, met: Some((place, same)), found: true, shared };
                }
                (Some(_), None) => {
                    return Search { at: place.begin, met: Some((place, same)), found: false, shared };
                }
                (Some(theirs), Some(ours)) if theirs > ours => {
                    return Search { at: place.begin, met: Some((place, same)), found: false, shared };
                }
                _ => shared += same,
            }
        }
        Search { at: self.bytes.len(), met: None, found: false, shared }
    }

    /// Puts `new` where `old` was.
    fn splice(&mut self, old: std::ops::Range<usize>, new: &[u8]) {
        let (length, behind) = (self.bytes.len(), old.start + new.len());
        let grown = length - old.len() + new.len();
        if self.bytes.capacity() < grown {
            // Growing to twice the size would leave a quarter of all memory empty.
            self.bytes.reserve_exact(grown - length + length / 16);
        }
        self.bytes.resize(length.max(grown), 0);
        self.bytes.copy_within(old.end..length, behind);
        self.bytes[old.start..behind].copy_from_slice(new);
        self.bytes.truncate(grown);
    }

    fn get(&self, key: &[u8]) -> Option<&[u8]> {
        let search = self.search(key);
        let (place, _) = search.met.filter(|_| search.found)?;
        Some(&self.bytes[place.value..place.end])
    }

    fn put(&mut self, key: &[u8], value: &[u8]) -> Put {
        let Search { at, met, found, shared } = self.search(key);
        let mut row = Vec::with_capacity(key.len() - shared + value.len() + 8);
        let header = |shared: usize, suffix: usize, value: usize, to: &mut Vec<u8>| {
            for number in [shared, suffix, value] {
                put_number(number as u64, to);
            }
        };
        if let (true, Some((place, _))) = (found, met) {
            let suffix = place.suffix..place.value;
            header(place.shared, suffix.len(), value.len(), &mut row);
            row.extend(&self.bytes[suffix]);
            row.extend(value);
            self.splice(place.begin..place.end, &row);
            return Put::Replaced;
        }
        header(shared, key.len() - shared, value.len(), &mut row);
        row.extend(&key[shared..]);
        row.extend(value);
        let mut until = at;
        if let Some((next, same)) = met {
            // The row behind it now follows another key.
            header(next.shared + same, next.value - next.suffix - same, next.end - next.value, &mut row);
            until = next.suffix + same;
        }
        self.splice(at..until, &row);
        if met.is_none() { Put::Last } else { Put::Between }
    }

    fn remove(&mut self, key: &[u8]) -> bool {
        let search = self.search(key);
        let Some((place, _)) = search.met.filter(|_| search.found) else { return false };
        let Some(next) = self.place(place.end) else {
            self.bytes.truncate(place.begin);
            return true;
        };
        let mut row = Vec::new();
        let shared = place.shared.min(next.shared);
        // What the next row shared with this one only, it says itself from now on.
        let lent = &self.bytes[place.suffix..place.suffix + (next.shared - shared)];
        for number in [shared, lent.len() + next.value - next.suffix, next.end - next.value] {
            put_number(number as u64, &mut row);
        }
        row.extend(lent);
        self.splice(place.begin..next.suffix, &row);
        true
    }

    /// Keeps the first half of its rows and gives the others as a block of their own, with its first key; where rows come
    /// `in_order`, which would leave half of every block empty, keeps all but the last. `None` when there is but one row.
    fn split(&mut self, in_order: bool) -> Option<(Vec<u8>, Self)> {
        let half = if in_order { self.bytes.len() - 1 } else { self.bytes.len() / 2 };
        let mut key = Vec::new();
        let cut = self.places().find(|place| {
            key.truncate(place.shared);
            key.extend(&self.bytes[place.suffix..place.value]);
            place.begin > 0 && place.end > half
        })?;
        let mut bytes = Vec::new();
        for number in [0, key.len(), cut.end - cut.value] {
            put_number(number as u64, &mut bytes);
        }
        bytes.extend(&key);
        bytes.extend(&self.bytes[cut.value..]);
        bytes.shrink_to_fit();
        self.bytes.truncate(cut.begin);
        self.bytes.shrink_to_fit();
        Some((key, Self { bytes }))
    }
}

/// The smallest key that a block may hold. What two of them differ in is nearly always in what lies here itself, so that a
/// search does not follow pointers.
struct Fence {
    front: u128,
    key: Box<[u8]>,
}

/// The first bytes of a key, as a number that sorts as they do.
fn front(key: &[u8]) -> u128 {
    let mut bytes = [0; size_of::<u128>()];
    let length = key.len().min(bytes.len());
    bytes[..length].copy_from_slice(&key[..length]);
    u128::from_be_bytes(bytes)
}

impl Fence {
    fn new(key: Vec<u8>) -> Self {
        Self { front: front(&key), key: key.into() }
    }
    /// Whether it is not behind `key`, whose front is `of_key`.
    fn admits(&self, of_key: u128, key: &[u8]) -> bool {
        self.front < of_key || (self.front == of_key && *self.key <= *key)
    }
}

/// Blocks that lie next to each other, with their fences side by side.
#[derive(Default)]
struct Group {
    fences: Vec<Fence>,
    blocks: Vec<Block>,
}

/// Rows in blocks; see the module.
pub(super) struct Blocks {
    groups: Vec<Group>,
    rows: usize,
}

impl Default for Blocks {
    fn default() -> Self {
        // One block is always there, so that every key has one that it belongs into.
        let first = Group { fences: vec![Fence::new(Vec::new())], blocks: vec![Block::default()] };
        Self { groups: vec![first], rows: 0 }
    }
}

impl Blocks {
    pub(super) fn len(&self) -> usize {
        self.rows
    }

    /// The group and the block that `key` belongs into.
    fn find(&self, key: &[u8]) -> (usize, usize) {
        let of_key = front(key);
        let group = self.groups.partition_point(|group| group.fences[0].admits(of_key, key)) - 1;
        let block = self.groups[group].fences.partition_point(|fence| fence.admits(of_key, key)) - 1;
        (group, block)
    }

    pub(super) fn get(&self, key: &[u8]) -> Option<&[u8]> {
        let (group, block) = self.find(key);
        self.groups[group].blocks[block].get(key)
    }

    pub(super) fn put(&mut self, key: &[u8], value: &[u8]) {
        let (at, place) = self.find(key);
        let block = &mut self.groups[at].blocks[place];
        let put = block.put(key, value);
        self.rows += usize::from(put != Put::Replaced);
        if block.bytes.len() <= BLOCK_BYTES {
            return;
        }
        // Where the next block is nearly empty, rows come the other way round: each would get a block of its own.
        let here = self.groups[at].blocks.get(place + 1);
        let next = here.or_else(|| self.groups.get(at + 1)?.blocks.first());
        let in_order = put == Put::Last && next.is_none_or(|next| next.bytes.len() > BLOCK_BYTES / 2);
        let group = &mut self.groups[at];
        let Some((first, second)) = group.blocks[place].split(in_order) else { return };
        group.fences.insert(place + 1, Fence::new(first));
        group.blocks.insert(place + 1, second);
        if group.blocks.len() > GROUP_BLOCKS {
            let half = group.blocks.len() / 2;
            let (fences, blocks) = (group.fences.split_off(half), group.blocks.split_off(half));
            self.groups.insert(at + 1, Group { fences, blocks });
        }
    }

    pub(super) fn remove(&mut self, key: &[u8]) -> bool {
        let (at, place) = self.find(key);
        let group = &mut self.groups[at];
        let was_there = group.blocks[place].remove(key);
        self.rows -= usize::from(was_there);
        // The first block of all stays.
        if was_there && group.blocks[place].bytes.is_empty() && (at, place) != (0, 0) {
            group.fences.remove(place);
            group.blocks.remove(place);
            if group.blocks.is_empty() {
                self.groups.remove(at);
            }
        }
        was_there
    }

    /// The first key of all. Only the very first block may be empty, and the first key of a block stands there whole.
    pub(super) fn first(&self) -> Option<&[u8]> {
        let mut blocks = self.groups.iter().flat_map(|group| &group.blocks);
        blocks.find_map(|block| block.place(0).map(|place| &block.bytes[place.suffix..place.value]))
    }

    /// Shows rows from `from` on, in order of their keys, until `each` says that it has seen enough.
    pub(super) fn walk(&self, from: &[u8], mut each: impl FnMut(&[u8], &[u8]) -> bool) {
        let (group, block) = self.find(from);
        let blocks = self.groups[group..].iter().flat_map(|group| &group.blocks);
        for block in blocks.skip(block) {
            let mut key = Vec::new();
            for place in block.places() {
                key.truncate(place.shared);
                key.extend(&block.bytes[place.suffix..place.value]);
                if key.as_slice() >= from && !each(&key, &block.bytes[place.value..place.end]) {
                    return;
                }
            }
        }
    }

    /// Bytes that all of it takes, the room that nothing stands in yet included.
    pub(super) fn bytes(&self) -> usize {
        let each = size_of::<Fence>() + size_of::<Block>();
        let of = |group: &Group| -> usize {
            let keys: usize = group.fences.iter().map(|fence| fence.key.len()).sum();
            let rows: usize = group.blocks.iter().map(|block| block.bytes.capacity()).sum();
            keys + rows + group.blocks.capacity() * each
        };
        self.groups.iter().map(of).sum()
    }
}
