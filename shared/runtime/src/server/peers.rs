//! Who is at the other end of connections. Whoever has shown no valid key yet may be anybody, and gets as little as will do: so
//! many connections for each address, a few seconds between two requests, and no place that somebody else needs. A connection
//! that has shown a key once is its caller's, whom limits know by name.

use std::{
    collections::{BTreeMap, HashMap},
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use axum::http::Extensions;
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::Connections;
use crate::config;

/// Addresses such as `10.0.0.7` and networks such as `10.0.0.0/8`, as a list or, in a variable, as one text with commas between.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Networks(pub Vec<String>);

impl<'de> serde::Deserialize<'de> for Networks {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        config::texts(deserializer, "a list of addresses and networks").map(Self)
    }
}

impl Networks {
    /// This machine: a proxy beside the server, or a tool.
    pub fn of_this_machine() -> Self {
        Self(["127.0.0.0/8", "::1"].map(str::to_owned).to_vec())
    }

    /// Those that are no addresses.
    pub(super) fn wrong(&self) -> impl Iterator<Item = &String> {
        self.0.iter().filter(|text| Network::read(text).is_none())
    }
}

/// Addresses that begin alike. Those of IPv4 are counted among those of IPv6, where each has its place.
#[derive(Clone, Copy)]
struct Network {
    first: u128,
    /// Bits at the end that may be any.
    free_bits: u32,
}

impl Network {
    fn read(text: &str) -> Option<Self> {
        let (address, prefix) =
            text.split_once('/').map_or((text, None), |(address, bits)| (address, Some(bits)));
        let address: IpAddr = address.parse().ok()?;
        let most: u32 = if address.is_ipv4() { 32 } else { 128 };
        let bits = match prefix {
            Some(bits) => bits.parse().ok()?,
            None => most,
        };
        Some(Self { first: number(address), free_bits: most.checked_sub(bits)? })
    }

    fn holds(&self, address: IpAddr) -> bool {
        number(address).checked_shr(self.free_bits) == self.first.checked_shr(self.free_bits)
    }
}

fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().into(),
        IpAddr::V6(address) => address.into(),
    }
}

/// By what an address is counted: one host has a whole /64 of IPv6.
fn host(address: IpAddr) -> u128 {
    match address.to_canonical() {
        address @ IpAddr::V4(_) => number(address),
        address @ IpAddr::V6(_) => number(address) >> 64 << 64,
    }
}

/// The other end of one connection.
pub(super) struct Peer {
    /// Rises with the time at which connections opened.
    number: u64,
    is_trusted: bool,
    has_key: AtomicBool,
    /// Whether it waits for an answer.
    is_busy: AtomicBool,
    /// Told when its place is needed.
    leave: Notify,
    /// Its place among those of its address, as long as no key was seen.
    counted: Mutex<Option<Counted>>,
}

impl Peer {
    fn showed_key(&self) {
        if !self.has_key.swap(true, Ordering::Relaxed) {
            let counted = self.counted.lock().take();
            drop(counted);
        }
    }
    pub(super) fn has_key(&self) -> bool {
        self.has_key.load(Ordering::Relaxed)
    }
    /// Whether it is a proxy, which keeps connections for callers to come.
    pub(super) fn is_trusted(&self) -> bool {
        self.is_trusted
    }
    pub(super) fn set_busy(&self, is_busy: bool) {
        self.is_busy.store(is_busy, Ordering::Relaxed);
    }
    /// Asks it to make room.
    pub(super) fn ask_to_leave(&self) {
        self.leave.notify_one();
    }
    /// Waits until its place is needed, which is never once it has shown a key.
    pub(super) async fn asked_to_leave(&self) {
        loop {
            self.leave.notified().await;
            if !self.has_key() {
                return;
            }
        }
    }
}

/// The peer of a connection, in the extensions of a request as long as it has shown no key.
#[derive(Clone)]
pub(super) struct OfPeer(pub(super) Arc<Peer>);

/// A valid key was found on the request of these extensions.
pub(crate) fn showed_key(extensions: &Extensions) {
    if let Some(OfPeer(peer)) = extensions.get() {
        peer.showed_key();
    }
}

/// Connections without a key, by address.
type Counts = Mutex<HashMap<u128, usize>>;

/// One connection among those of its address; given back when this is dropped.
struct Counted {
    counts: Arc<Counts>,
    host: u128,
}

impl Drop for Counted {
    fn drop(&mut self) {
        let mut counts = self.counts.lock();
        if let Some(count) = counts.get_mut(&self.host) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.host);
            }
        }
    }
}

/// Those who come to one address of the server.
pub(super) struct Peers {
    counts: Arc<Counts>,
    of_a_host_max: usize,
    trusted: Vec<Network>,
    /// Whether keys are shown here at all.
    has_keys: bool,
    next: AtomicU64,
}

impl Peers {
    pub(super) fn new(bounds: &Connections, has_keys: bool) -> Self {
        Self {
            counts: Arc::default(),
            of_a_host_max: bounds.without_key_per_address,
            trusted: bounds.trusted_peers.0.iter().filter_map(|text| Network::read(text)).collect(),
            has_keys,
            next: AtomicU64::new(0),
        }
    }

    /// The peer of a new connection; `None` where its address has as many without a key as it may.
    pub(super) fn admit(&self, address: IpAddr) -> Option<Arc<Peer>> {
        let canonical = address.to_canonical();
        let is_trusted = !self.has_keys || self.trusted.iter().any(|network| network.holds(canonical));
        let counted = if is_trusted { None } else { Some(self.count(host(address))?) };
        Some(Arc::new(Peer {
            number: self.next.fetch_add(1, Ordering::Relaxed),
            is_trusted,
            has_key: AtomicBool::new(!self.has_keys),
            is_busy: AtomicBool::new(false),
            leave: Notify::new(),
            counted: Mutex::new(counted),
        }))
    }

    fn count(&self, host: u128) -> Option<Counted> {
        let mut counts = self.counts.lock();
        let count = counts.entry(host).or_default();
        // One that is at the bound has an entry already, for the bound is not 0.
        if *count >= self.of_a_host_max {
            return None;
        }
        *count += 1;
        Some(Counted { counts: self.counts.clone(), host })
    }
}

/// Connections of one kind that have shown no key, in the order in which they opened.
#[derive(Clone, Default)]
pub(super) struct WithoutKey(Arc<Mutex<BTreeMap<u64, Arc<Peer>>>>);

/// One of them, until this is dropped.
pub(super) struct Listed {
    all: WithoutKey,
    number: u64,
}

impl Drop for Listed {
    fn drop(&mut self) {
        self.all.0.lock().remove(&self.number);
    }
}

impl WithoutKey {
    pub(super) fn list(&self, peer: &Arc<Peer>) -> Listed {
        if !peer.has_key() {
            self.0.lock().insert(peer.number, peer.clone());
        }
        Listed { all: self.clone(), number: peer.number }
    }

    /// Who has been here longest without a key, and before that without waiting for an answer; it is not chosen twice.
    pub(super) fn longest(&self) -> Option<Arc<Peer>> {
        let mut all = self.0.lock();
        let (mut showed, mut busy, mut idle) = (Vec::new(), None, None);
        for (number, peer) in &*all {
            if peer.has_key() {
                showed.push(*number);
            } else if !peer.is_busy.load(Ordering::Relaxed) {
                idle = Some(*number);
                break;
            } else if busy.is_none() {
                busy = Some(*number);
            }
        }
        for number in showed {
            all.remove(&number);
        }
        all.remove(&idle.or(busy)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peers(trusted: &[&str], of_a_host_max: usize) -> Peers {
        let trusted_peers = Networks(trusted.iter().map(|text| (*text).to_owned()).collect());
        let bounds =
            Connections { trusted_peers, without_key_per_address: of_a_host_max, ..Connections::default() };
        Peers::new(&bounds, true)
    }

    fn at(address: &str) -> IpAddr {
        address.parse().unwrap()
    }

    #[test]
    fn networks_are_read_strictly_and_hold_what_begins_alike() {
        for (network, inside, outside) in [
            ("10.0.0.0/8", "10.255.0.1", "11.0.0.0"),
            ("192.0.2.7", "192.0.2.7", "192.0.2.8"),
            ("192.0.2.7", "::ffff:192.0.2.7", "::192.0.2.7"),
            ("2001:db8::/32", "2001:db8:ffff::1", "2001:db9::"),
            ("0.0.0.0/0", "203.0.113.9", "2001:db8::1"),
        ] {
            let network = Network::read(network).unwrap();
            assert!(network.holds(at(inside)) && !network.holds(at(outside)), "{inside} {outside}");
        }
        assert!(Network::read("::/0").unwrap().holds(at("2001:db8::1")));
        for wrong in ["", "10.0.0.0/33", "10.0.0/8", "::1/129", "a", "10.0.0.1/", "10.0.0.1/-1"] {
            assert!(Network::read(wrong).is_none(), "{wrong}");
        }
        let read = |text: &str| serde_json::from_str::<Networks>(text).unwrap().0;
        assert_eq!(read("\"10.0.0.1, ::1\""), ["10.0.0.1", "::1"]);
        assert_eq!(read("[\"10.0.0.1\"]"), ["10.0.0.1"]);
    }

    #[test]
    fn an_address_has_so_many_without_a_key_and_any_number_with_one() {
        let peers = peers(&["10.0.0.0/8"], 2);
        let first = peers.admit(at("192.0.2.1")).unwrap();
        let second = peers.admit(at("::ffff:192.0.2.1")).unwrap();
        assert!(peers.admit(at("192.0.2.1")).is_none());
        assert!(peers.admit(at("192.0.2.2")).is_some(), "another address");
        first.showed_key();
        first.showed_key();
        let third = peers.admit(at("192.0.2.1")).unwrap();
        assert!(peers.admit(at("192.0.2.1")).is_none());
        drop((second, first, third));
        assert!(peers.counts.lock().is_empty(), "what has ended is forgotten");
        let held: Vec<_> = (0..2).map(|n| peers.admit(at(&format!("2001:db8::{n}")))).collect();
        assert!(held.iter().all(Option::is_some) && peers.admit(at("2001:db8::9")).is_none(), "one host");
        let proxied: Vec<_> = (0..10).map(|_| peers.admit(at("10.0.0.1"))).collect();
        assert!(proxied.iter().all(Option::is_some), "of a proxy all come from one address");
    }

    #[test]
    fn whoever_has_been_there_longest_without_a_key_makes_room_and_nobody_who_has_shown_one() {
        let peers = peers(&[], 100);
        let all = WithoutKey::default();
        let held: Vec<_> = (0..5).map(|_| peers.admit(at("192.0.2.1")).unwrap()).collect();
        let mut listed: Vec<_> = held.iter().map(|peer| all.list(peer)).collect();
        held[0].showed_key();
        held[1].set_busy(true);
        let chosen = || all.longest().map(|peer| peer.number);
        assert_eq!(chosen(), Some(2));
        drop(listed.remove(3));
        assert_eq!(chosen(), Some(4));
        assert_eq!(chosen(), Some(1), "one that waits for an answer, where there is no other");
        assert_eq!(chosen(), None);
    }
}
