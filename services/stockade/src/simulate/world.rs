//! What the scheduler does, seed by seed.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
};

use axum::{body::Body, http::Request};
use bytes::Bytes;
use serde_json::json;
use stockade_lockout::STARTER_RULES;
use stockade_log::{Ack, Log as _, Memory, MemoryDisk, NewRecord, ReadLimit, Route};
use stockade_model::{
    Change, ControlRecord, Envelope, Level, Payload, Proposal, Region, ReservationId, Scope, SupplierId,
    Timestamp, Topic,
};
use stockade_quarantine::Entry;
use stockade_rules::RuleSet;
use stockade_runtime::{KeyRing, Role};
use stockade_simulator::{Fate, Plant, Stepped};
use stockade_supplier_scoring::vocabulary;
use tower::ServiceExt as _;

use crate::platform::topic_spec;

use super::{
    Tally,
    baskets::BASKETS,
    buyers::BUYER,
    node::{Ground, Node, PARTITIONS, now},
    oracle,
    store::SimStore,
};

/// Suppliers; the last ones cheat.
pub(super) const SUPPLIERS: usize = 4;
const CHEATS: usize = 2;
/// Scheduler actions of a run.
const ACTIONS: usize = 260;
/// Rounds in which nothing happens, after which nothing will.
const IDLE_MAX: u32 = 50;
/// Units of each supplier's listing as it was put.
pub(super) const FIRST_UNITS: i64 = 10;
const START_MS: i64 = 1_790_000_000_000;

/// Names that reservations of a supplier have: few, so that they come again.
pub(super) const NAMES: u32 = 4;

pub(super) fn name_of(supplier: &SupplierId, number: u32) -> Result<ReservationId, String> {
    ReservationId::new(&format!("{supplier}::r{number}")).map_err(|e| e.detail)
}

/// Regions that each listing serves.
pub(super) fn regions() -> Result<[Region; 2], String> {
    let region = |code| Region::new(code).map_err(|e| e.detail);
    Ok([region("DE")?, region("FR")?])
}

/// What clients were promised.
#[derive(Default)]
pub(super) struct Promises {
    /// Accepted adjustments by idempotency key, however often they were sent.
    pub(super) adjustments: BTreeMap<String, (SupplierId, i64)>,
    /// Ids of events answered with 202.
    pub(super) events: BTreeSet<String>,
    /// What each person asked to be released, by the person's name.
    pub(super) releases: BTreeMap<String, String>,
    /// Reservations that are lines of baskets answered as confirmed.
    pub(super) taken: BTreeSet<ReservationId>,
}

/// A whole run.
pub(super) struct World {
    pub(super) ground: Ground,
    pub(super) nodes: [Option<Node>; 2],
    pub(super) promises: Promises,
    pub(super) tally: Tally,
    pub(super) random: fastrand::Rng,
    runtime: tokio::runtime::Runtime,
    pub(super) suppliers: Vec<(SupplierId, String)>,
    orders: String,
    /// What buyers ask for, each under a key of its own, again and again.
    pub(super) baskets: Vec<serde_json::Value>,
    started: u64,
    pub(super) next: u64,
    store_away: bool,
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

impl World {
    /// Two processes, the starter rules, suppliers with one listing each.
    pub(super) fn new(seed: u64, plant: Option<Plant>) -> Result<Self, String> {
        let time_ms = Arc::new(AtomicI64::new(START_MS));
        let (disk, clock) = (MemoryDisk::default(), time_ms.clone());
        let memory =
            Memory::open(disk.clone(), Arc::new(move || clock.load(Ordering::SeqCst))).map_err(text)?;
        let memory = Arc::new(memory);
        for topic in Topic::ALL {
            memory.ensure_topic(&topic_spec(topic, PARTITIONS)).map_err(text)?;
        }
        let keys = KeyRing::default();
        let key = |name: &str, role| keys.create(name, role).map_err(text);
        keys.add(BUYER, "ann", Role::Buyer);
        let operator = key("operator", Role::Operator)?;
        let orders = key("orders", Role::OrderSystem)?;
        let mut suppliers = Vec::new();
        for number in 0..SUPPLIERS {
            let id = SupplierId::new(&format!("s{number}")).map_err(|e| e.detail)?;
            let key = key(id.as_str(), Role::Supplier { supplier: id.clone() })?;
            suppliers.push((id, key));
        }
        let ground = Ground {
            memory,
            disk,
            store: SimStore::default(),
            keys: keys.clone(),
            vocabulary: vocabulary(),
            time_ms,
            plant,
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().map_err(text)?;
        let mut world = Self {
            ground,
            nodes: [None, None],
            promises: Promises::default(),
            tally: Tally::default(),
            random: fastrand::Rng::with_seed(seed),
            runtime,
            suppliers,
            orders,
            baskets: Vec::new(),
            started: 0,
            next: 0,
            store_away: false,
        };
        world.baskets = (0..BASKETS).map(|number| world.basket(number)).collect();
        world.up(0)?;
        world.up(1)?;
        let source = STARTER_RULES.to_owned();
        let change =
            Change::Rules { version: RuleSet::version_of(&source), source, base: None, note: String::new() };
        let record = Payload::Control(ControlRecord { actor: "simulation".to_owned(), change });
        world.append(Topic::Control, "", &record, "rules")?;
        for (id, _) in world.suppliers.clone() {
            let body = json!({ "name": id, "region": "DE", "since": "2020-01-01T00:00:00Z" });
            world.call(0, &operator, "PUT", &format!("/v1/suppliers/{id}"), None, &body)?;
        }
        world.drain()?;
        for (id, key) in world.suppliers.clone() {
            let place = json!({ "latitude": 1.0, "longitude": 1.0, "region": "DE", "handling_days": 1 });
            world.call(0, &key, "PUT", &format!("/v1/suppliers/{id}/locations/main"), None, &place)?;
        }
        world.drain()?;
        for (id, key) in world.suppliers.clone() {
            let body = json!({
                "sku": "SKU", "location": "main", "regions": ["DE", "FR"], "price": { "minor": 1_000, "currency": "EUR" }, "on_hand": FIRST_UNITS,
            });
            let status =
                world.call(0, &key, "PUT", &format!("/v1/suppliers/{id}/listings/l"), None, &body)?;
            if status != 202 {
                return Err(format!("the first listing was answered with {status}"));
            }
        }
        world.drain()?;
        Ok(world)
    }

    fn up(&mut self, index: usize) -> Result<(), String> {
        if self.nodes[index].is_none() {
            self.started += 1;
            let skew_ms = [0, 90_000, -90_000, 3_600_000][self.random.usize(..4)];
            let name = format!("n{}", self.started);
            let node =
                Node::start(&self.ground, &name, (index == 1, self.started > 2), skew_ms).map_err(text)?;
            self.nodes[index] = Some(node);
        }
        Ok(())
    }

    fn append(&self, topic: Topic, key: &str, payload: &Payload, id: &str) -> Result<(), String> {
        self.append_to(topic, Route::Partition(0), key, payload, id)
    }

    pub(super) fn append_to(
        &self,
        topic: Topic,
        route: Route,
        key: &str,
        payload: &Payload,
        id: &str,
    ) -> Result<(), String> {
        let record = NewRecord {
            topic: topic.name(),
            route,
            key: Bytes::copy_from_slice(key.as_bytes()),
            headers: Envelope::new(payload.kind(), id, "simulation").headers(),
            value: payload.encode().into(),
        };
        // Through the process whose plants it concerns.
        let log = self.nodes.iter().flatten().last().map(Node::shared).ok_or("no process is up")?;
        log.append(vec![record], Ack::Durable).wait().map(drop).map_err(text)
    }

    /// One request at a process: the real router, handlers and all.
    fn call(
        &self,
        node: usize,
        key: &str,
        method: &str,
        path: &str,
        idempotency: Option<&str>,
        body: &serde_json::Value,
    ) -> Result<u16, String> {
        let Some(node) = &self.nodes[node] else { return Ok(0) };
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header("content-type", "application/json")
            .header("authorization", format!("Bearer {key}"));
        if let Some(key) = idempotency {
            request = request.header("idempotency-key", key);
        }
        let request = request.body(Body::from(body.to_string())).map_err(text)?;
        let answer = self.runtime.block_on(node.router.clone().oneshot(request));
        Ok(answer.map(|response| response.status().as_u16()).unwrap_or(0))
    }

    /// Plays the actions, heals everything, and checks.
    pub(super) fn play(mut self) -> Result<Tally, String> {
        for action in 0..ACTIONS {
            let acted = self.act().and_then(|()| self.buyers_go_on().map(drop));
            acted.map_err(|what| format!("action {action}: {what}"))?;
        }
        self.heal()?;
        oracle::check(&mut self)?;
        Ok(self.tally)
    }

    fn act(&mut self) -> Result<(), String> {
        let node = self.random.usize(..2);
        match self.random.u32(..100) {
            0..=8 => self.adjust(node),
            9..=16 => self.report(node),
            17..=20 => self.order(node),
            21..=23 => self.ask_release(),
            24..=25 => self.ask_deny(),
            26..=30 => self.pass_time(),
            31..=33 => self.up(node),
            34..=36 => self.harm_store(node),
            37..=41 if self.random.bool() => self.reserve(),
            37..=41 => self.with(node, |node, random| node.compare(random.bool())),
            42..=48 => self.with(node, |node, random| node.enforce(1 + random.usize(..4)).map(drop)),
            49..=54 => self.with(node, |node, random| node.write(1 + random.usize(..4)).map(drop)),
            55 | 56 => self.wake(node),
            57..=61 => self.buy(node),
            _ => self.step(node),
        }
    }

    fn with(
        &mut self,
        index: usize,
        work: impl FnOnce(&mut Node, &mut fastrand::Rng) -> Result<(), String>,
    ) -> Result<(), String> {
        match &mut self.nodes[index] {
            Some(node) => work(node, &mut self.random),
            None => Ok(()),
        }
    }

    /// An adjustment, often sent again at the other process with the same key.
    fn adjust(&mut self, node: usize) -> Result<(), String> {
        self.next += 1;
        let (id, key) = self.suppliers[self.random.usize(..SUPPLIERS)].clone();
        let delta = 1 + self.random.i64(0..9);
        let (path, name) = (format!("/v1/suppliers/{id}/listings/l/stock"), format!("k{}", self.next));
        let body = json!({ "adjust": delta });
        let mut accepted = false;
        for node in [node, 1 - node] {
            let status = self.call(node, &key, "POST", &path, Some(&name), &body)?;
            let taken = matches!(status, 200 | 202);
            self.tally.accepted += u64::from(taken);
            self.tally.retried += u64::from(taken && accepted);
            accepted |= taken;
            if self.random.u32(..10) < 6 {
                break;
            }
        }
        if accepted {
            self.promises.adjustments.insert(name, (id, delta));
        }
        Ok(())
    }

    /// An order outcome; cheats cancel. Sometimes sent again, at either process.
    fn report(&mut self, node: usize) -> Result<(), String> {
        self.next += 1;
        let number = self.random.usize(..SUPPLIERS);
        let (id, _) = &self.suppliers[number];
        let cheats = number >= SUPPLIERS - CHEATS;
        let events: Vec<_> = ["placed", "cancelled"]
            .into_iter()
            .take(if cheats { 2 } else { 1 })
            .map(|kind| {
                let cause = if kind == "cancelled" { json!("supplier") } else { json!(null) };
                json!({
                    "specversion": "1.0", "id": format!("e{}-{kind}", self.next), "source": "sim",
                    "type": format!("stockade.order.{kind}"),
                    "data": { "supplier": id, "order": format!("o{}", self.next), "buyer": format!("b{}", self.next), "cause": cause },
                })
            })
            .collect();
        for event in events {
            for node in [node, self.random.usize(..2)] {
                let orders = self.orders.clone();
                if self.call(node, &orders, "POST", "/v1/events", None, &event)? == 202 {
                    self.tally.accepted += 1;
                    self.promises.events.insert(event["id"].as_str().unwrap_or("").to_owned());
                }
                if self.random.bool() {
                    break;
                }
            }
        }
        Ok(())
    }

    /// Which partition a supplier's records lie in.
    pub(super) fn partition_of(&self, supplier: &SupplierId) -> u32 {
        stockade_log::partition_of(supplier.as_str().as_bytes(), PARTITIONS)
    }

    /// Outcomes of an order of one line or several, in any sequence, by part of each; some of them were reserved, as one.
    fn order(&mut self, node: usize) -> Result<(), String> {
        self.next += 1;
        let (supplier, _) = self.suppliers[self.random.usize(..SUPPLIERS)].clone();
        let reservation =
            if self.random.u32(..3) > 0 { Some(name_of(&supplier, self.random.u32(..NAMES))?) } else { None };
        let mut said = Vec::new();
        for line in 1..=1 + self.random.u32(..3) {
            let ordered = 1 + self.random.i64(0..4);
            said.push((line, "placed", ordered));
            if self.random.bool() {
                said.push((line, "shipped", 1 + self.random.i64(0..ordered)));
            }
            if self.random.u32(..3) == 0 {
                said.push((line, "cancelled", 1 + self.random.i64(0..ordered)));
            }
        }
        self.random.shuffle(&mut said);
        for (line, kind, units) in said {
            let cause = if kind == "cancelled" { json!("buyer") } else { json!(null) };
            let event = json!({
                "specversion": "1.0", "id": format!("l{}-{line}-{kind}", self.next), "source": "sim",
                "type": format!("stockade.order.{kind}"),
                "data": {
                    "supplier": supplier, "order": format!("p{}", self.next), "buyer": format!("c{}", self.next),
                    "listing": "l", "line": line.to_string(), "quantity": units, "reservation": reservation,
                    "cause": cause,
                },
            });
            for node in [node, self.random.usize(..2)] {
                let orders = self.orders.clone();
                let status = self.call(node, &orders, "POST", "/v1/events", None, &event)?;
                if status != 202 && status != 0 {
                    return Err(format!("an outcome was answered with {status}"));
                }
                if self.random.bool() {
                    break;
                }
            }
        }
        Ok(())
    }

    fn decisions(&self) -> Result<BTreeMap<SupplierId, stockade_model::Decision>, String> {
        oracle::fold_of_decisions(&oracle::decisions(&self.ground.memory)?)
    }

    /// A person releases one restriction by its id.
    fn ask_release(&mut self) -> Result<(), String> {
        let in_force: Vec<_> = self.decisions()?.into_values().filter(|d| !d.in_force.is_empty()).collect();
        if in_force.is_empty() || self.nodes.iter().flatten().next().is_none() {
            return Ok(());
        }
        let decision = &in_force[self.random.usize(..in_force.len())];
        let restriction = decision.in_force[self.random.usize(..decision.in_force.len())].id.clone();
        self.next += 1;
        let actor = format!("ann-{}", self.next);
        self.promises.releases.insert(actor.clone(), restriction.clone());
        let supplier = decision.supplier.clone();
        let proposal = Proposal::Release {
            supplier: supplier.clone(),
            restriction: Some(restriction),
            actor,
            reason: "checked".to_owned(),
        };
        let id = format!("r{}", self.next);
        self.append(Topic::LockoutProposals, supplier.as_str(), &Payload::Proposal(proposal), &id)
    }

    /// A person denies for a short while, on the supplier or on one good, so that several restrictions stand and run out
    /// at the same tick.
    fn ask_deny(&mut self) -> Result<(), String> {
        if self.nodes.iter().flatten().next().is_none() {
            return Ok(());
        }
        self.next += 1;
        let (supplier, _) = self.suppliers[self.random.usize(..SUPPLIERS)].clone();
        let sku = stockade_model::Sku::new(&format!("SKU-{}", self.random.u32(..2))).map_err(|e| e.detail)?;
        let scope = match self.random.u32(..4) {
            0 | 1 => Scope::Supplier,
            2 => Scope::Sku { sku },
            _ => Scope::Region { region: regions()?[self.random.usize(..2)] },
        };
        let now = Timestamp::from_ms(self.ground.time_ms.load(Ordering::SeqCst));
        // Whole minutes, so that two may end together.
        let expires_at = Timestamp::from_ms((now.ms() / 60_000 + 1 + self.random.i64(0..3)) * 60_000);
        let proposal = Proposal::Override {
            supplier: supplier.clone(),
            deny: Some([Level::Dim, Level::Quarantine, Level::Lockout][self.random.usize(..3)]),
            scope,
            actor: format!("bob-{}", self.next),
            reason: "looks odd".to_owned(),
            expires_at,
            precondition: None,
            text: String::new(),
        };
        let id = format!("d{}", self.next);
        self.append(Topic::LockoutProposals, supplier.as_str(), &Payload::Proposal(proposal), &id)
    }

    fn pass_time(&mut self) -> Result<(), String> {
        let pass = [300, 1_100, 20_000, 70_000][self.random.usize(..4)];
        self.ground.time_ms.fetch_add(pass, Ordering::SeqCst);
        for node in self.nodes.iter_mut().flatten() {
            let (now, log) = (node.clock(), node.shared());
            for actor in &mut node.actors {
                actor.tick(&log, now).map_err(text)?;
            }
            if self.ground.plant == Some(Plant::SkewedExpiry) {
                node.lift_by_own_clock();
            }
            node.overlay_follows()?;
        }
        Ok(())
    }

    fn harm_store(&mut self, node: usize) -> Result<(), String> {
        self.tally.store_faults += 1;
        match self.random.u32(..5) {
            0 => self.ground.store.flush(),
            1 => self.ground.store.dump(),
            2 => self.ground.store.restore(),
            3 => {
                self.store_away = !self.store_away;
                self.ground.store.away(self.store_away);
            }
            _ => {
                if self.ground.plant == Some(Plant::GhostLock)
                    && let Some(decision) = self.decisions()?.into_values().find(|d| !d.in_force.is_empty())
                {
                    let mut ghost = Entry::of(decision, 0);
                    ghost.supplier = SupplierId::new("innocent").map_err(|e| e.detail)?;
                    self.ground.store.haunt(ghost);
                }
                return self.with(node, |node, _| node.compare(true));
            }
        }
        Ok(())
    }

    fn wake(&mut self, index: usize) -> Result<(), String> {
        let Some(node) = &mut self.nodes[index] else { return Ok(()) };
        let log = node.shared();
        let actor = self.random.usize(..node.actors.len());
        node.actors[actor].wake(&log).map_err(text)
    }

    /// One step of one fold, with whatever fate the seed has for it.
    fn step(&mut self, index: usize) -> Result<(), String> {
        let plant = self.ground.plant;
        let Some(node) = &mut self.nodes[index] else { return Ok(()) };
        let log = node.shared();
        let which = self.random.usize(..node.actors.len());
        let limit = ReadLimit { records: 1 + self.random.usize(..6), bytes: 1 << 20 };
        let fate = match self.random.u32(..40) {
            0 => Fate::DiesAfterOutputs(self.random.usize(..3)),
            1 => Fate::DiesBeforeFlush,
            2 | 3 => Fate::Stalls,
            4..=6 if plant == Some(Plant::OutputLost) => Fate::FlushesFirstAndDies,
            _ if plant == Some(Plant::ForgetfulReader) => Fate::ForgetsOutputs,
            5..=14 => Fate::GoesAndFlushes,
            _ => Fate::Goes,
        };
        let actor = &mut node.actors[which];
        let stepped = actor.step(&log, limit, fate).map_err(text)?;
        if stepped == Stepped::Moved && fate == Fate::Stalls {
            self.tally.stalls += 1;
            let spec = actor.spec();
            for partition in 0..spec.input.partitions(PARTITIONS) {
                self.ground.memory.evict_owner(spec.name, partition);
            }
        }
        if stepped == Stepped::Moved && plant == Some(Plant::TornFlush) && self.random.u32(..12) == 0 {
            node.log.tear_next_commit(true);
            let torn = node.actors[which].flush().is_err();
            node.log.tear_next_commit(false);
            if torn {
                self.crash(index);
                return Ok(());
            }
        }
        if self.random.u32(..8) == 0
            && let Some(node) = &mut self.nodes[index]
        {
            node.actors[which].prune().map_err(text)?;
        }
        if stepped == Stepped::Died {
            self.crash(index);
        }
        Ok(())
    }

    fn crash(&mut self, index: usize) {
        self.tally.crashes += 1;
        self.nodes[index] = None;
    }

    /// Everyone does what there is to do, until there is nothing.
    pub(super) fn drain(&mut self) -> Result<(), String> {
        let mut idle = 0;
        loop {
            let mut busy = self.buyers_go_on()?;
            for node in self.nodes.iter_mut().flatten() {
                let log = node.shared();
                for actor in &mut node.actors {
                    actor.wake(&log).map_err(text)?;
                    let fate = match self.ground.plant {
                        Some(Plant::ForgetfulReader) => Fate::ForgetsOutputs,
                        _ => Fate::Goes,
                    };
                    while actor.step(&log, ReadLimit::default(), fate).map_err(text)? == Stepped::Moved {
                        busy = true;
                    }
                }
                busy |= node.enforce(100)? > 0;
                busy |= node.write(100)? > 0;
            }
            if busy {
                idle = 0;
            } else if self.nodes.iter().flatten().all(|node| node.buyers.is_idle()) {
                return Ok(());
            } else {
                idle += 1;
                if idle > IDLE_MAX {
                    let waiting = self.nodes.iter_mut().flatten();
                    self.tally.unanswered += waiting.map(|node| node.buyers.give_up()).sum::<u64>();
                }
            }
        }
    }

    /// At the end clocks agree, so that nothing that is due by the log's clock is missed.
    pub(super) fn tick_alike(&mut self) -> Result<(), String> {
        let now = Timestamp::from_ms(self.ground.time_ms.load(Ordering::SeqCst));
        for node in self.nodes.iter_mut().flatten() {
            let log = node.shared();
            for actor in &mut node.actors {
                actor.tick(&log, now).map_err(text)?;
            }
        }
        Ok(())
    }

    /// All faults end; whatever is on its way arrives; everything is flushed.
    fn heal(&mut self) -> Result<(), String> {
        self.store_away = false;
        self.ground.store.away(false);
        self.up(0)?;
        self.up(1)?;
        self.end_baskets()?;
        // Hits that wait for their second, and restrictions that ran out meanwhile.
        for _ in 0..4 {
            self.ground.time_ms.fetch_add(1_100, Ordering::SeqCst);
            self.tick_alike()?;
            self.drain()?;
        }
        for node in self.nodes.iter_mut().flatten() {
            node.compare(true)?;
            for actor in &mut node.actors {
                actor.flush().map_err(text)?;
            }
        }
        now(std::future::ready(()))
    }
}
