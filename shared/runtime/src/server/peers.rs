//! Who is at the other end of connections. Whoever has shown no valid key yet may be anybody, and gets as little as will do: so
//! many connections for each address, a few seconds between two requests, and no place that somebody else needs. A connection
//! is its caller's, whom limits know by name, from when it shows a key for which there is a share left (`keys`), until it shows
//! another for which there is none, or one that is not for what is asked.

use std::{
    collections::BTreeMap,
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use axum::http::Extensions;
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::{
    Connections,
    keys::{ByKey, Holder},
};
use crate::{
    Principal, config,
    tally::{self, Tally},
};

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
    /// Whether it is a caller's, as `counted` says behind a lock; always, where nobody shows keys.
    has_key: AtomicBool,
    /// Whether it waits for an answer.
    is_busy: AtomicBool,
    /// Whether it was taken off the list of those that make room because it had a key then.
    is_off_list: AtomicBool,
    /// Told when its place is needed.
    leave: Notify,
    /// Where it counts without a key; `None` of a proxy, and where nobody shows keys.
    address: Option<Address>,
    counted: Mutex<Counted>,
}

impl Peer {
    /// A valid key was shown. Its caller has it from here on, where it has not as many as it may.
    fn showed_key(&self, by: &Principal, keys: &ByKey) {
        let mut counted = self.counted.lock();
        let of_another = match &*counted {
            Counted::OfKey(of) if of.whose().is(by) => return,
            Counted::OfKey(_) => true,
            Counted::OfAddress { .. } | Counted::Nowhere => false,
        };
        // Whatever it counted for before is given back where `counted` is replaced.
        if let Some(of) = keys.count(by) {
            *counted = Counted::OfKey(of);
            self.has_key.store(true, Ordering::Relaxed);
        } else if of_another {
            self.becomes_nobodys(&mut counted);
        }
    }

    /// It counts for its address again, if that has room; [`Self::may_stay`] says what follows where it has none.
    fn becomes_nobodys(&self, counted: &mut Counted) {
        *counted = match self.address.as_ref().and_then(Address::count) {
            Some(one) => Counted::OfAddress { _one: one },
            None => Counted::Nowhere,
        };
        self.has_key.store(false, Ordering::Relaxed);
    }

    /// A call was refused because its key is none, or is not for that call.
    fn was_refused(&self) {
        let mut counted = self.counted.lock();
        if matches!(*counted, Counted::OfKey(_)) {
            self.becomes_nobodys(&mut counted);
        }
    }

    /// Whether it counts somewhere, or need not.
    fn may_stay(&self) -> bool {
        self.is_trusted() || !matches!(*self.counted.lock(), Counted::Nowhere)
    }

    pub(super) fn has_key(&self) -> bool {
        self.has_key.load(Ordering::Relaxed)
    }
    /// Whether it is a proxy, which keeps connections for callers to come.
    pub(super) fn is_trusted(&self) -> bool {
        self.address.is_none()
    }
    pub(super) fn set_busy(&self, is_busy: bool) {
        self.is_busy.store(is_busy, Ordering::Relaxed);
    }
    /// Asks it to make room.
    pub(super) fn ask_to_leave(&self) {
        self.leave.notify_one();
    }
    /// Waits until its place is needed, which is never as long as it has a key.
    pub(super) async fn asked_to_leave(&self) {
        loop {
            self.leave.notified().await;
            if !self.has_key() {
                return;
            }
            // It may be asked again when it has none any more.
            self.is_off_list.store(true, Ordering::Relaxed);
        }
    }
}

/// A connection among those of its kind.
struct Among {
    peer: Arc<Peer>,
    keys: ByKey,
    without_key: WithoutKey,
}

/// The connection of a request, in its extensions.
#[derive(Clone)]
pub(super) struct OfPeer(Arc<Among>);

impl OfPeer {
    pub(super) fn new(peer: Arc<Peer>, keys: ByKey, without_key: WithoutKey) -> Self {
        Self(Arc::new(Among { peer, keys, without_key }))
    }

    /// What follows from an answer, which may have refused its caller for the key. It is called by the connection's own task, so that
    /// nothing is listed that has ended. Says whether the connection may stay: one that is nobody's may not where its address has as
    /// many as it may.
    pub(super) fn settle(&self, was_refused: bool) -> bool {
        let Among { peer, without_key, .. } = &*self.0;
        if was_refused {
            peer.was_refused();
        }
        if peer.has_key() {
            return true;
        }
        without_key.list_again(peer);
        peer.may_stay()
    }
}

/// A valid key of this caller was found on the request of these extensions. It counts at once, for a call may take long and its
/// connection must not make room meanwhile; if the answer is that the key was not for this call, that is taken back.
pub(crate) fn showed_key(extensions: &Extensions, by: &Principal) {
    if let Some(OfPeer(among)) = extensions.get() {
        among.peer.showed_key(by, &among.keys);
    }
}

/// What a connection counts for.
enum Counted {
    /// Without a key, for its address.
    OfAddress { _one: tally::Counted<u128> },
    /// For the caller whose key it showed last.
    OfKey(tally::Counted<Holder>),
    /// Nothing: it comes from a proxy, or nobody shows keys here, or its address had no room for it when it lost its caller.
    Nowhere,
}

/// The address that a connection comes from, as it is counted.
struct Address {
    hosts: Tally<u128>,
    host: u128,
}

impl Address {
    /// Counts one more; `None` where it has as many as it may.
    fn count(&self) -> Option<tally::Counted<u128>> {
        self.hosts.count(self.host)
    }
}

/// Those who come to one address of the server.
pub(super) struct Peers {
    /// Those without a key, by address.
    hosts: Tally<u128>,
    trusted: Vec<Network>,
    /// Whether keys are shown here at all.
    has_keys: bool,
    next: AtomicU64,
}

impl Peers {
    pub(super) fn new(bounds: &Connections, has_keys: bool) -> Self {
        Self {
            hosts: Tally::new(bounds.without_key_per_address, usize::MAX),
            trusted: bounds.trusted_peers.0.iter().filter_map(|text| Network::read(text)).collect(),
            has_keys,
            next: AtomicU64::new(0),
        }
    }

    /// The peer of a new connection; `None` where its address has as many without a key as it may.
    pub(super) fn admit(&self, address: IpAddr) -> Option<Arc<Peer>> {
        let canonical = address.to_canonical();
        let is_trusted = !self.has_keys || self.trusted.iter().any(|network| network.holds(canonical));
        let address = (!is_trusted).then(|| Address { hosts: self.hosts.clone(), host: host(address) });
        let counted = match &address {
            Some(address) => Counted::OfAddress { _one: address.count()? },
            None => Counted::Nowhere,
        };
        Some(Arc::new(Peer {
            number: self.next.fetch_add(1, Ordering::Relaxed),
            has_key: AtomicBool::new(!self.has_keys),
            is_busy: AtomicBool::new(false),
            is_off_list: AtomicBool::new(false),
            leave: Notify::new(),
            address,
            counted: Mutex::new(counted),
        }))
    }
}

/// Connections of one kind that have no key, in the order in which they opened.
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

    /// Lists one again that has lost its key, if it was taken off for having one. The lock decides between this and whoever looks
    /// through the list just now.
    fn list_again(&self, peer: &Arc<Peer>) {
        let mut all = self.0.lock();
        if peer.is_off_list.swap(false, Ordering::Relaxed) {
            all.insert(peer.number, peer.clone());
        }
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
            if let Some(peer) = all.remove(&number) {
                peer.is_off_list.store(true, Ordering::Relaxed);
            }
        }
        all.remove(&idle.or(busy)?)
    }
}

#[cfg(test)]
mod tests {
    use stockade_model::SupplierId;

    use super::*;
    use crate::Role;

    fn peers(trusted: &[&str], of_a_host_max: usize) -> Peers {
        let trusted_peers = Networks(trusted.iter().map(|text| (*text).to_owned()).collect());
        let bounds =
            Connections { trusted_peers, without_key_per_address: of_a_host_max, ..Connections::default() };
        Peers::new(&bounds, true)
    }

    fn buyer(name: &str) -> Principal {
        Principal { id: name.to_owned(), role: Role::Buyer, fingerprint: String::new() }
    }

    fn shares_of(max: usize) -> ByKey {
        ByKey::new(max, metrics::Counter::noop())
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
        let keys = shares_of(100);
        first.showed_key(&buyer("ada"), &keys);
        first.showed_key(&buyer("ada"), &keys);
        let third = peers.admit(at("192.0.2.1")).unwrap();
        assert!(peers.admit(at("192.0.2.1")).is_none());
        drop((second, first, third));
        assert!(peers.hosts.is_empty() && keys.is_empty(), "what has ended is forgotten");
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
        held[0].showed_key(&buyer("ada"), &shares_of(100));
        held[1].set_busy(true);
        let chosen = || all.longest().map(|peer| peer.number);
        assert_eq!(chosen(), Some(2));
        drop(listed.remove(3));
        assert_eq!(chosen(), Some(4));
        assert_eq!(chosen(), Some(1), "one that waits for an answer, where there is no other");
        assert_eq!(chosen(), None);
    }
    #[test]
    fn a_caller_has_so_many_connections_and_what_it_opens_beyond_counts_for_its_address() {
        let (peers, keys) = (peers(&[], 2), shares_of(2));
        let open = |by: &Principal| {
            let peer = peers.admit(at("192.0.2.1")).unwrap();
            peer.showed_key(by, &keys);
            peer
        };
        let held = [open(&buyer("ada")), open(&buyer("ada")), open(&buyer("ada"))];
        assert_eq!(held.each_ref().map(|peer| peer.has_key()), [true, true, false]);
        assert!(open(&buyer("ben")).has_key(), "another caller");
        let supplier = Role::Supplier { supplier: SupplierId::new("ada").unwrap() };
        let two = ["a key", "another"]
            .map(|id| open(&Principal { id: id.to_owned(), role: supplier.clone(), ..buyer("") }));
        assert!(two.iter().all(|peer| peer.has_key()), "a supplier of the same name");
        let third = open(&Principal { id: "a third".to_owned(), role: supplier, ..buyer("") });
        assert!(!third.has_key(), "all keys of a supplier are one caller");
        assert!(peers.admit(at("192.0.2.1")).is_none(), "two of the address have no key");
        let [first, second, past] = held;
        drop(first);
        past.showed_key(&buyer("ada"), &keys);
        assert!(past.has_key(), "one has ended");
        drop((second, past, third, two));
        assert!(peers.hosts.is_empty() && keys.is_empty(), "what has ended is forgotten");
    }

    #[test]
    fn a_connection_counts_for_the_key_shown_last_and_for_none_once_that_was_not_for_the_call() {
        let (peers, keys, list) = (peers(&[], 1), shares_of(1), WithoutKey::default());
        let open = || OfPeer::new(peers.admit(at("192.0.2.1")).unwrap(), keys.clone(), list.clone());
        let shows = |of: &OfPeer, name: &str| {
            of.0.peer.showed_key(&buyer(name), &keys);
            of.0.peer.has_key()
        };
        let first = open();
        assert!(shows(&first, "ada") && first.settle(false));
        let second = open();
        assert!(!shows(&second, "ada") && second.settle(false), "it counts for its address");
        assert!(shows(&second, "ben") && shows(&first, "cid"), "it may be another's");
        assert!(shows(&second, "ada"), "that of the first is given back");
        assert!(!shows(&first, "ada") && first.settle(false), "it lost its caller, and is counted again");
        assert!(peers.admit(at("192.0.2.1")).is_none());
        assert!(!second.settle(true) && !second.0.peer.has_key(), "there is no room for it in the address");
        assert!(shows(&second, "ada"), "its key is good for another call");
        drop((first, second));
        assert!(peers.hosts.is_empty() && keys.is_empty());
    }

    #[test]
    fn whoever_loses_its_key_makes_room_again_and_is_not_chosen_twice_for_it() {
        let (peers, keys, list) = (peers(&[], 100), shares_of(100), WithoutKey::default());
        let peer = peers.admit(at("192.0.2.1")).unwrap();
        let listed = list.list(&peer);
        let of = OfPeer::new(peer.clone(), keys.clone(), list.clone());
        peer.showed_key(&buyer("ada"), &keys);
        assert!(list.longest().is_none() && of.settle(false) && list.longest().is_none());
        assert!(of.settle(true), "its address has room");
        assert!(list.longest().is_some_and(|chosen| chosen.number == peer.number));
        assert!(of.settle(true) && list.longest().is_none());
        drop(listed);
        assert!(list.0.lock().is_empty());
    }
}
