//! How many bytes of bodies may be in memory at once: those under way and those being read, of everybody together. Without it
//! many callers, each within its limits, could fill the memory of the process.
//!
//! Buyers and order systems have room of their own, so that nothing suppliers send takes it. Of any room one caller may have a
//! sixteenth, and all new suppliers together a quarter, and so all under suspicion. People are few and known: theirs is not bounded.

use std::{collections::HashMap, sync::Arc};

use bytes::Bytes;
use parking_lot::Mutex;

use crate::{Principal, Problem, Role, Trust, metrics as names};

/// Bodies up to this many bytes are not counted: what they take is bounded by the number of connections, as what is buffered of
/// each connection is.
pub(super) const SMALL_BYTES: usize = 4 << 10;

/// Room for bodies, of one process. Put it into the router's extensions; without it there is no bound. Cheap to clone.
#[derive(Clone)]
pub struct BodyRoom {
    buyers: Arc<Room>,
    orders: Arc<Room>,
    others: Arc<Room>,
}

struct Room {
    bytes_max: usize,
    taken: Mutex<Taken>,
    gauge: metrics::Gauge,
}

#[derive(Default)]
struct Taken {
    bytes: usize,
    by_caller: HashMap<String, usize>,
    new: usize,
    suspect: usize,
}

impl Taken {
    fn of(&mut self, trust: Trust) -> Option<&mut usize> {
        match trust {
            Trust::Trusted => None,
            Trust::New => Some(&mut self.new),
            Trust::Suspect => Some(&mut self.suspect),
        }
    }
}

impl BodyRoom {
    /// Room for so many bytes of suppliers' bodies, and for a quarter as many of buyers' and of order systems'.
    pub fn new(bytes_max: usize) -> Self {
        let room = |bytes_max, of: &'static str| {
            let gauge = metrics::gauge!(names::BODY_BYTES, "of" => of);
            Arc::new(Room { bytes_max, taken: Mutex::default(), gauge })
        };
        let quarter = (bytes_max / 4).max(1);
        Self {
            buyers: room(quarter, "buyers"),
            orders: room(quarter, "order systems"),
            others: room(bytes_max, "others"),
        }
    }

    /// The part of a caller, of which nothing is taken yet.
    pub(super) fn part(&self, caller: Option<&Principal>, trust: Trust) -> Part {
        let room = match caller.map(|caller| &caller.role) {
            Some(Role::Buyer) => &self.buyers,
            Some(Role::OrderSystem) => &self.orders,
            _ => &self.others,
        };
        let room = room.clone();
        let name = caller.map(|caller| caller.limited_as().to_owned()).unwrap_or_default();
        Part { room: Some(room), name, trust, bytes: 0 }
    }

    #[cfg(test)]
    fn bytes(&self) -> (usize, usize) {
        (self.buyers.taken.lock().bytes, self.others.taken.lock().bytes)
    }
}

/// What one body has of the room; given back when this is dropped.
pub(super) struct Part {
    room: Option<Arc<Room>>,
    name: String,
    trust: Trust,
    bytes: usize,
}

impl Part {
    /// A part of no room.
    pub(super) fn boundless() -> Self {
        Self { room: None, name: String::new(), trust: Trust::Trusted, bytes: 0 }
    }

    /// Makes it so many bytes, if there is room.
    pub(super) fn grow(&mut self, bytes: usize) -> Result<(), Problem> {
        let Some(room) = self.room.as_ref().filter(|_| bytes > SMALL_BYTES && bytes > self.bytes) else {
            return Ok(());
        };
        let more = bytes - self.bytes;
        let mut taken = room.taken.lock();
        let others = taken.bytes - self.bytes;
        let of_caller = taken.by_caller.get(&self.name).map_or(0, |had| had - self.bytes);
        let of_trust = taken.of(self.trust).map_or(0, |had| *had - self.bytes);
        // One body may always be read where nothing else is, however small the room.
        let beyond = |had: usize, most: usize| had > 0 && had + bytes > most;
        let (of_one, of_class) = (room.bytes_max / 16, room.bytes_max / 4);
        if beyond(others, room.bytes_max) || beyond(of_caller, of_one) || beyond(of_trust, of_class) {
            metrics::counter!(names::BODIES_REFUSED).increment(1);
            return Err(no_room());
        }
        taken.bytes += more;
        *taken.by_caller.entry(self.name.clone()).or_default() += more;
        if let Some(of_trust) = taken.of(self.trust) {
            *of_trust += more;
        }
        room.gauge.set(taken.bytes as f64);
        self.bytes = bytes;
        Ok(())
    }

    /// `bytes` that keep this part until the last of them is dropped.
    pub(super) fn held_by(self, bytes: Bytes) -> Bytes {
        if self.bytes == 0 { bytes } else { Bytes::from_owner(Held { bytes, _part: self }) }
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        let Some(room) = self.room.as_ref().filter(|_| self.bytes > 0) else { return };
        let mut taken = room.taken.lock();
        taken.bytes -= self.bytes;
        if let Some(of_trust) = taken.of(self.trust) {
            *of_trust -= self.bytes;
        }
        if let Some(of_caller) = taken.by_caller.get_mut(&self.name) {
            *of_caller -= self.bytes;
            if *of_caller == 0 {
                taken.by_caller.remove(&self.name);
            }
        }
        room.gauge.set(taken.bytes as f64);
    }
}

struct Held {
    bytes: Bytes,
    _part: Part,
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

fn no_room() -> Problem {
    let detail = "as many bytes of request bodies are in memory as may be, of everybody, of you, or of suppliers like you; send it again in a second, or in smaller parts";
    Problem::unavailable("bodies_full", detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn caller(id: &str, role: Role) -> Principal {
        Principal { id: id.to_owned(), role, fingerprint: String::new() }
    }

    fn seller(id: &str) -> Principal {
        caller(id, Role::Supplier { supplier: stockade_model::SupplierId::new(id).unwrap() })
    }

    #[test]
    fn all_bodies_together_take_no_more_than_there_is_and_give_it_back() {
        let room = BodyRoom::new(400 << 10);
        let mut parts = Vec::new();
        for number in 0..4 {
            let mut part = room.part(Some(&seller(&format!("s{number}"))), Trust::Trusted);
            part.grow(60 << 10).unwrap();
            part.grow(100 << 10).unwrap();
            parts.push(part);
        }
        let mut late = room.part(Some(&seller("late")), Trust::Trusted);
        assert!(late.grow(SMALL_BYTES).is_ok(), "small ones are not counted");
        let refused = late.grow(SMALL_BYTES + 1).unwrap_err();
        assert_eq!((refused.status, refused.code), (503, "bodies_full"));
        let mut buyer = room.part(Some(&caller("b", Role::Buyer)), Trust::Trusted);
        buyer.grow(25 << 10).unwrap();
        assert_eq!(room.bytes(), (25 << 10, 400 << 10), "buyers have room of their own");
        let bytes = parts.pop().unwrap().held_by(Bytes::from(vec![0; 100 << 10]));
        let slice = bytes.slice(10..20);
        drop(bytes);
        assert!(late.grow(SMALL_BYTES + 1).is_err(), "a part of it is still in use");
        drop(slice);
        late.grow(SMALL_BYTES + 1).unwrap();
        drop((parts, late, buyer));
        assert_eq!(room.bytes(), (0, 0));
        assert!(room.others.taken.lock().by_caller.is_empty());
    }

    #[test]
    fn one_caller_has_a_sixteenth_and_all_new_ones_together_a_quarter() {
        let room = BodyRoom::new(400 << 10);
        let part = |name: &str, trust, bytes: usize| {
            let mut part = room.part(Some(&seller(name)), trust);
            part.grow(bytes).map(|()| part)
        };
        let _first = part("a", Trust::Trusted, 15 << 10).unwrap();
        assert!(part("a", Trust::Trusted, 20 << 10).is_err());
        let mut slow = room.part(Some(&seller("a")), Trust::Trusted);
        (1..=10).for_each(|kb| slow.grow(kb << 10).unwrap());
        assert!(slow.grow(11 << 10).is_err(), "however slowly it grows");
        drop(slow);
        let _other = part("b", Trust::Trusted, 20 << 10).unwrap();
        let _new: Vec<Part> =
            (0..9).map(|number| part(&format!("n{number}"), Trust::New, 11 << 10).unwrap()).collect();
        assert!(part("n9", Trust::New, 11 << 10).is_err());
        assert!(part("s", Trust::Suspect, 100 << 10).is_ok(), "another class has a share of its own");
        let small = BodyRoom::new(10 << 10);
        let mut one = small.part(Some(&seller("a")), Trust::New);
        one.grow(2 << 20).unwrap();
        let mut second = small.part(Some(&seller("b")), Trust::Trusted);
        assert!(second.grow(SMALL_BYTES + 1).is_err(), "the first is always taken, and it alone");
    }
}
