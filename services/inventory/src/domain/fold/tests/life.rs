//! The whole life of units against a naive oracle: each unit of a line is one thing that is owed, shipped or cancelled.

use stockade_model::LineId;

use super::*;

/// How events name a line.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Naming {
    /// By its name and listing, beside other lines of the order.
    Line,
    /// By the reservation that it was, and nothing else.
    Reservation,
    /// By nothing but the order, which is named like the reservation.
    OrderNamedAlike,
    /// By the listing, as the only line of its order.
    Listing,
    /// By its name, its listing and a reservation that the order takes line by line.
    Part,
}

/// Order and reservation of the lines that are a part.
const SHARED: &str = "acme::shared";

#[derive(Clone, Copy, Debug)]
enum Act {
    Hold,
    Confirm,
    Release,
    Placed,
    /// The shipment or cancellation with this number, of one or two units; it may be told by its part or by its quantity.
    Ship(u8),
    Cancel(u8),
    ShipRest,
    CancelRest,
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Of(usize, Act),
    Adjust(i64),
    Set(i64),
    Pass(i64),
    /// This replica starts again from its rows.
    Restart(usize),
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Unit {
    Owed,
    Shipped,
    Cancelled,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Kept {
    Nothing,
    Held(i64),
    Confirmed,
    /// Its units are the order's.
    Order,
}

/// The reservation that lines share, on the same paper.
#[derive(Clone, Debug)]
struct Shared {
    units: i64,
    kept: Kept,
    confirmed: bool,
    until_ms: i64,
    /// What no line has taken was given back.
    over: bool,
}

/// What is known of one line, as somebody would write it down on paper.
#[derive(Clone, Debug)]
struct Paper {
    naming: Naming,
    quantity: i64,
    kept: Kept,
    placed: bool,
    /// Quantities of different shipments and cancellations.
    shipped: BTreeMap<u8, i64>,
    cancelled: BTreeMap<u8, i64>,
    ship_rest: bool,
    cancel_rest: bool,
}

impl Paper {
    fn needs_hold(&self) -> bool {
        matches!(self.naming, Naming::Reservation | Naming::OrderNamedAlike)
    }
    fn is_part(&self) -> bool {
        self.naming == Naming::Part
    }

    /// Units committed, and units that left the shelf.
    fn fate(&self) -> (i64, i64) {
        let explicit: i64 = self.shipped.values().sum();
        if !self.placed && self.kept != Kept::Order {
            return (0, explicit + i64::from(self.ship_rest));
        }
        let mut units = vec![Unit::Owed; self.quantity as usize];
        let mut turn = |many: i64, to| {
            units
                .iter_mut()
                .filter(|unit| **unit == Unit::Owed)
                .take(many as usize)
                .for_each(|unit| *unit = to);
        };
        turn(explicit, Unit::Shipped);
        turn(self.cancelled.values().sum(), Unit::Cancelled);
        turn(if self.ship_rest { i64::from(u32::MAX) } else { 0 }, Unit::Shipped);
        turn(if self.cancel_rest { i64::from(u32::MAX) } else { 0 }, Unit::Cancelled);
        let count = |what| units.iter().filter(|unit| **unit == what).count() as i64;
        (count(Unit::Owed), count(Unit::Shipped))
    }
}

struct Bench {
    replicas: [Shop; 2],
    counts: StockCounts,
    lines: Vec<Paper>,
    shared: Shared,
    /// What the supplier says is on the shelf, before what orders took.
    brought: i64,
    now_ms: i64,
}

impl Bench {
    fn new(counts: StockCounts, lines: &[(Naming, i64)], on_hand: i64) -> Self {
        let replicas = std::array::from_fn(|_| {
            let mut shop = Shop::new();
            shop.register(counts);
            shop.put("l", Some(on_hand), None);
            shop
        });
        let paper = |(naming, quantity): &(Naming, i64)| Paper {
            naming: *naming,
            quantity: *quantity,
            kept: Kept::Nothing,
            placed: false,
            shipped: BTreeMap::new(),
            cancelled: BTreeMap::new(),
            ship_rest: false,
            cancel_rest: false,
        };
        let lines = lines.iter().map(paper).collect();
        let shared = Shared { units: 5, kept: Kept::Nothing, confirmed: false, until_ms: 0, over: false };
        Self { replicas, counts, lines, shared, brought: on_hand, now_ms: 1_000 }
    }

    /// Lines that have a fate of their own: all but those that are known to be of the reservation and not placed yet.
    fn own(&self) -> impl Iterator<Item = &Paper> {
        self.lines.iter().filter(|line| !line.is_part() || line.placed)
    }
    /// Of the shared reservation: units that no line has and that are open, and units that left the shelf of lines that were
    /// not placed yet.
    fn rest(&self) -> (i64, i64) {
        let placed: i64 =
            self.lines.iter().filter(|line| line.is_part() && line.placed).map(|l| l.quantity).sum();
        let rest = (self.shared.units - placed).max(0);
        let waiting = || self.lines.iter().filter(|line| line.is_part() && !line.placed);
        let shipped: i64 = waiting().flat_map(|line| line.shipped.values()).sum();
        let all = waiting().filter(|line| line.ship_rest).count() as i64;
        if self.shared.kept != Kept::Order || rest == 0 {
            return (0, shipped + all);
        }
        let shipped = shipped.min(rest);
        let cancelled = waiting().flat_map(|line| line.cancelled.values()).sum::<i64>().min(rest - shipped);
        if all > 0 { (0, rest - cancelled) } else { (rest - shipped - cancelled, shipped) }
    }
    fn has_begun(&self) -> bool {
        self.lines.iter().any(|line| line.is_part() && line.placed)
    }
    fn committed(&self) -> i64 {
        let rest = if self.has_begun() { 0 } else { self.rest().0 };
        self.own().map(|line| line.fate().0).sum::<i64>() + rest
    }
    fn on_hand(&self) -> i64 {
        self.brought - self.own().map(|line| line.fate().1).sum::<i64>() - self.rest().1
    }
    /// What the shared reservation keeps beside its order.
    fn kept_beside(&self) -> i64 {
        if self.has_begun() && !self.shared.over { self.rest().0 } else { 0 }
    }
    fn kept(&self) -> (i64, i64) {
        let units = |want: fn(Kept) -> bool| -> i64 {
            let whole = if want(self.shared.kept) { self.shared.units } else { 0 };
            self.lines.iter().filter(|line| want(line.kept)).map(|line| line.quantity).sum::<i64>() + whole
        };
        let (held, confirmed) = match self.shared.confirmed {
            false => (self.kept_beside(), 0),
            true => (0, self.kept_beside()),
        };
        (
            units(|kept| matches!(kept, Kept::Held(_))) + held,
            units(|kept| kept == Kept::Confirmed) + confirmed,
        )
    }
    /// What is not confirmed in time is over.
    fn lapse(&mut self) {
        let Shared { confirmed, until_ms, .. } = self.shared;
        if self.kept_beside() > 0 && !confirmed && until_ms <= self.now_ms {
            self.shared.over = true;
        }
    }
    fn available(&self) -> i64 {
        let (held, confirmed) = self.kept();
        (self.on_hand() - self.committed() - held - confirmed).max(0)
    }

    /// The same to both replicas, which must agree.
    fn both<T: PartialEq + std::fmt::Debug>(&mut self, mut act: impl FnMut(&mut Shop) -> T) -> T {
        let [owner, reader] = &mut self.replicas;
        let (one, other) = (act(owner), act(reader));
        assert_eq!(one, other, "the replicas disagree");
        one
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Of(index, act) => self.act(index % self.lines.len(), act),
            Step::Adjust(units) => {
                let row = self.both(|shop| shop.stock("l", StockMode::Adjust, units, None));
                if row.status == Applied {
                    self.brought += units;
                }
            }
            Step::Set(units) => {
                self.both(|shop| shop.stock("l", StockMode::Set, units, None));
                let left_out = match self.counts {
                    StockCounts::IncludingOrdered => 0,
                    StockCounts::ExcludingOrdered => self.committed(),
                };
                self.brought += units + left_out - self.on_hand();
            }
            Step::Pass(ms) => {
                self.now_ms += ms;
                let now_ms = self.now_ms;
                self.both(|shop| shop.tick(now_ms));
                for line in &mut self.lines {
                    if matches!(line.kept, Kept::Held(until_ms) if until_ms <= now_ms) {
                        line.kept = Kept::Nothing;
                    }
                }
                if matches!(self.shared.kept, Kept::Held(until_ms) if until_ms <= now_ms) {
                    self.shared.kept = Kept::Nothing;
                }
            }
            Step::Restart(replica) => {
                let replica = replica % 2;
                self.replicas[replica] = self.replicas[replica].restored();
            }
        }
    }

    /// Holds, confirms or gives back what lines share.
    fn share(&mut self, act: Act) {
        let (now_ms, available, beside) = (self.now_ms, self.available(), self.kept_beside());
        let Shared { units, kept, confirmed, over, .. } = self.shared;
        match act {
            Act::Hold if kept == Kept::Nothing => {
                let row = self.both(|shop| shop.hold(SHARED, units, now_ms + 10_000));
                assert_eq!(row.status == Applied, available >= units, "{row:?}");
                if row.status == Applied {
                    (self.shared.kept, self.shared.until_ms) = (Kept::Held(now_ms + 10_000), now_ms + 10_000);
                }
            }
            Act::Confirm => {
                let row = self.both(|shop| shop.confirm(SHARED));
                let taken = match kept {
                    Kept::Held(_) => true,
                    // What was cancelled before it was confirmed is told by another test.
                    Kept::Order if row.status == Conflict => return,
                    Kept::Order => {
                        assert_eq!(row.status == Applied, beside > 0 && !confirmed);
                        self.shared.confirmed = true;
                        return;
                    }
                    Kept::Nothing | Kept::Confirmed => false,
                };
                assert_eq!(row.status == Applied, taken);
                if taken {
                    (self.shared.kept, self.shared.confirmed) = (Kept::Confirmed, true);
                }
            }
            Act::Release => {
                let row = self.both(|shop| shop.release(SHARED));
                let taken = matches!(kept, Kept::Held(_)) || beside > 0;
                assert_eq!(row.status == Applied, taken, "{kept:?} {over}");
                match kept {
                    Kept::Held(_) => self.shared.kept = Kept::Nothing,
                    _ if taken => self.shared.over = true,
                    _ => {}
                }
            }
            _ => {}
        }
    }

    fn act(&mut self, index: usize, act: Act) {
        if self.lines[index].is_part() && matches!(act, Act::Hold | Act::Confirm | Act::Release) {
            return self.share(act);
        }
        let (name, now_ms, available) = (format!("acme::{index}"), self.now_ms, self.available());
        let line = self.lines[index].clone();
        let quantity = line.quantity;
        match act {
            // A second hold under a name that is in use is answered with the first.
            Act::Hold if line.kept == Kept::Nothing && line.needs_hold() => {
                let row = self.both(|shop| shop.hold(&name, quantity, now_ms + 10_000));
                assert_eq!(row.status == Applied, available >= quantity, "{row:?}");
                if row.status == Applied {
                    self.lines[index].kept = Kept::Held(now_ms + 10_000);
                    let (held, confirmed) = self.kept();
                    assert!(held + confirmed + self.committed() <= self.on_hand(), "oversold");
                }
            }
            Act::Hold if line.needs_hold() => {
                let row = self.both(|shop| shop.hold(&name, quantity, now_ms + 99_000));
                assert_eq!(row.status, Replayed);
            }
            Act::Confirm if line.needs_hold() => {
                let row = self.both(|shop| shop.confirm(&name));
                let cancelled = line.kept == Kept::Order && {
                    let (owed, shipped) = line.fate();
                    owed + shipped == 0
                };
                let expected = match line.kept {
                    Kept::Held(_) => Applied,
                    Kept::Order if cancelled => Conflict,
                    Kept::Confirmed | Kept::Order => Replayed,
                    Kept::Nothing => Conflict,
                };
                assert_eq!(row.status, expected);
                if expected == Applied {
                    self.lines[index].kept = Kept::Confirmed;
                }
            }
            Act::Release if matches!(line.kept, Kept::Held(_)) => {
                assert_eq!(self.both(|shop| shop.release(&name)).status, Applied);
                self.lines[index].kept = Kept::Nothing;
            }
            Act::Hold | Act::Confirm | Act::Release => {}
            // Nobody can name a reservation that was never made, and who has given one back orders something else.
            _ if line.needs_hold() && line.kept == Kept::Nothing => {}
            _ if line.is_part() && self.shared.kept == Kept::Nothing => {}
            _ => self.say(index, act),
        }
    }

    fn say(&mut self, index: usize, act: Act) {
        let line = &mut self.lines[index];
        let (naming, whole) = (line.naming, line.quantity);
        if line.needs_hold() {
            line.kept = Kept::Order;
        }
        if line.is_part() {
            self.shared.kept = Kept::Order;
        }
        // Odd ones are told by their part, even ones by nothing but their quantity.
        let units = |number: u8| i64::from(number % 4 / 2 + 1);
        let part = |number: u8| (number % 2 == 1).then(|| format!("part-{number}"));
        let identity = |number: u8| if number % 2 == 1 { number } else { 100 + units(number) as u8 };
        let (kind, quantity, part) = match act {
            // Without a line's name each event would be another line.
            Act::Placed if !matches!(naming, Naming::Line | Naming::Part) && line.placed => return,
            Act::Placed => {
                line.placed = true;
                (OrderEventKind::Placed, Some(whole), None)
            }
            Act::Ship(number) => {
                line.shipped.insert(identity(number), units(number));
                (OrderEventKind::Shipped, Some(units(number)), part(number))
            }
            Act::Cancel(number) => {
                line.cancelled.insert(identity(number), units(number));
                (OrderEventKind::Cancelled, Some(units(number)), part(number))
            }
            Act::ShipRest => {
                line.ship_rest = true;
                (OrderEventKind::Shipped, None, None)
            }
            _ => {
                line.cancel_rest = true;
                (OrderEventKind::Cancelled, None, None)
            }
        };
        let order = match naming {
            Naming::OrderNamedAlike => format!("acme::{index}"),
            Naming::Listing => format!("alone-{index}"),
            Naming::Part => "shared".to_owned(),
            Naming::Line | Naming::Reservation => format!("order-{}", index % 2),
        };
        self.both(|shop| {
            shop.say(kind, &order, |event| {
                (event.quantity, event.part) = (quantity, part.clone());
                match naming {
                    Naming::Line => {
                        event.line = LineId::new(&format!("{index}")).ok();
                        event.listing = Some(listing("l"));
                    }
                    Naming::Reservation => event.reservation = Some(reservation(&format!("acme::{index}"))),
                    Naming::OrderNamedAlike => {}
                    Naming::Listing => event.listing = Some(listing("l")),
                    Naming::Part => {
                        event.line = LineId::new(&format!("{index}")).ok();
                        (event.listing, event.reservation) = (Some(listing("l")), Some(reservation(SHARED)));
                    }
                }
            })
        });
    }

    fn check(&mut self) {
        self.lapse();
        let expected = (self.on_hand(), self.committed(), self.kept(), self.available());
        let seen = self.both(|shop| {
            let row = shop.listing();
            (row.on_hand, row.committed, (row.held, row.confirmed), row.available())
        });
        assert_eq!(seen, expected, "on hand, committed, (held, confirmed), available: {:?}", self.lines);
    }
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        3 => Just(Act::Hold),
        2 => Just(Act::Confirm),
        1 => Just(Act::Release),
        3 => Just(Act::Placed),
        3 => (0u8..8).prop_map(Act::Ship),
        2 => (0u8..8).prop_map(Act::Cancel),
        1 => Just(Act::ShipRest),
        1 => Just(Act::CancelRest),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        12 => (0usize..6, act()).prop_map(|(line, act)| Step::Of(line, act)),
        1 => (-4i64..8).prop_map(Step::Adjust),
        1 => (0i64..20).prop_map(Step::Set),
        1 => (0i64..12_000).prop_map(Step::Pass),
        1 => (0usize..2).prop_map(Step::Restart),
    ]
}

fn naming() -> impl Strategy<Value = Naming> {
    prop_oneof![
        1 => Just(Naming::Line),
        1 => Just(Naming::Reservation),
        1 => Just(Naming::OrderNamedAlike),
        1 => Just(Naming::Listing),
        2 => Just(Naming::Part),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    /// Holds, confirmations, orders by line, shipments and cancellations in any sequence and repeated, counts and deliveries
    /// between them, restarts at any point: two replicas and a sheet of paper agree at every step.
    #[test]
    fn every_unit_is_where_a_naive_reckoning_has_it(
        excluding in any::<bool>(),
        lines in proptest::collection::vec((naming(), 1i64..5), 1..6),
        on_hand in 0i64..16,
        steps in proptest::collection::vec(step(), 0..60),
    ) {
        let counts = if excluding { StockCounts::ExcludingOrdered } else { StockCounts::IncludingOrdered };
        let mut bench = Bench::new(counts, &lines, on_hand);
        for step in steps {
            bench.step(step);
            bench.check();
        }
        let [owner, reader] = &mut bench.replicas;
        prop_assert_eq!(owner.rows(), reader.rows());
        prop_assert_eq!(owner.host.fold.deadline(), reader.host.fold.deadline());
    }
}

#[test]
fn it_is_known_of_a_supplier_with_how_many_it_shares_a_payout_account_also_after_a_restart() {
    let mut shop = Shop::new();
    let told = |kind, hash: char, degree, since| {
        Payload::Link(stockade_model::LinkFact {
            supplier: acme(),
            attribute: stockade_model::Attribute { kind, hash: hash.to_string().repeat(32) },
            other: SupplierId::new("other").unwrap(),
            at: Timestamp::from_ms(0),
            withheld: false,
            degree,
            evidence: 0.0,
            since,
        })
    };
    let fact = |kind, hash, degree| told(kind, hash, degree, None);
    let crowd = |shop: &Shop| shop.crowd.as_ref().and_then(|payout| payout.chars().next());
    use stockade_model::AttributeKind::{Device, Payout};
    shop.apply(&fact(Payout, 'a', 9));
    shop.apply(&fact(Device, 'b', 200));
    assert_eq!(
        crowd(&shop),
        None,
        "one operator with some shops is not many, and a device is not an account"
    );
    shop.apply(&told(Payout, 'd', 500, Some(Timestamp::from_ms(0))));
    assert_eq!(crowd(&shop), None, "they came to its account, which was its own before");
    shop.apply(&fact(Payout, 'a', 10));
    assert_eq!(crowd(&shop), Some('a'));
    shop.apply(&fact(Payout, 'c', 300));
    shop.apply(&fact(Payout, 'a', 11));
    assert_eq!(crowd(&shop), Some('c'), "the account of most counts");
    assert_eq!(crowd(&shop.restored()), Some('c'));
}
