//! Silence is a fact: an order is promised to be handed over and delivered by certain times, and when these have passed
//! without a word, that is evidence. It is taken back when the word comes late but tells of an early deed, or when the
//! fault turns out to be another's.

use stockade_model::{
    BuyerId, EventId, ListingId, Money, OrderEvent, OrderEventKind, OrderId, OutcomeCause, Region, Sku,
    SupplierId, Timestamp,
    time::{DAY_MS, HOUR_MS},
};

/// How long after the promised hand-over it is judged: scans travel.
const SHIP_GRACE_MS: i64 = 12 * HOUR_MS;
/// How long after the promised delivery it is judged.
const DELIVER_GRACE_MS: i64 = 2 * DAY_MS;
/// How long after the promised hand-over it is no lateness any more: the goods are missing. Honest hand-overs are late by a day
/// or two, so this says far more than the first silence does.
const MISSING_MS: i64 = 3 * DAY_MS;
/// How long after the promised delivery goods are lost.
const LOST_MS: i64 = 10 * DAY_MS;
/// How long a judgement waits for any news of its kind from after the promised time: without any it may be the platform that
/// is deaf, not the supplier that is silent.
const DEAF_MS: i64 = 3 * DAY_MS;

const SHIP_GRACE: (i64, i64) = (SHIP_GRACE_MS, MISSING_MS);
const DELIVER_GRACE: (i64, i64) = (DELIVER_GRACE_MS, LOST_MS);

/// What silence says: an `overdue` or an `undelivered`, the first or the one that gives up hope.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Silence {
    pub(super) kind: OrderEventKind,
    pub(super) long: bool,
}

/// How much of what silence said is taken back.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Withdrawn {
    Nothing,
    /// That there is no hope.
    Long,
    All,
}

/// What is needed to say later whose order it was.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
struct About {
    supplier: SupplierId,
    order: OrderId,
    buyer: Option<BuyerId>,
    listing: Option<ListingId>,
    sku: Option<Sku>,
    quantity: Option<i64>,
    amount: Option<Money>,
    region: Option<Region>,
}

/// How far one promise is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
enum Stage {
    /// Nothing was heard.
    #[default]
    Open,
    /// Its time has passed, and it was said so.
    Missed,
    /// It has passed for so long that nothing will come any more, and it was said so.
    GivenUp,
    /// It was kept, taken back, or never mattered.
    Closed,
}

/// The promises of one order.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub(super) struct Promises {
    about: About,
    ship_by: Option<Timestamp>,
    deliver_by: Option<Timestamp>,
    shipped: Stage,
    delivered: Stage,
}

/// When news of hand-overs and of deliveries that happened last was heard, in event time.
#[derive(Clone, Copy, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
pub(super) struct Heard {
    shipped: Timestamp,
    delivered: Timestamp,
}

impl Heard {
    /// The same after an event.
    pub(super) fn after(mut self, event: &OrderEvent) -> Self {
        match event.kind {
            OrderEventKind::Shipped => self.shipped = self.shipped.max(event.time),
            OrderEventKind::Delivered => self.delivered = self.delivered.max(event.time),
            _ => {}
        }
        self
    }
}

impl Promises {
    /// What `placed` promises, if anything.
    pub(super) fn of(placed: &OrderEvent) -> Option<Self> {
        if placed.ship_by.is_none() && placed.deliver_by.is_none() {
            return None;
        }
        Some(Self {
            about: About {
                supplier: placed.supplier.clone(),
                order: placed.order.clone()?,
                buyer: placed.buyer.clone(),
                listing: placed.listing.clone(),
                sku: placed.sku.clone(),
                quantity: placed.quantity,
                amount: placed.amount,
                region: placed.region,
            },
            ship_by: placed.ship_by,
            deliver_by: placed.deliver_by,
            shipped: Stage::Open,
            delivered: Stage::Open,
        })
    }

    /// What an outcome of the order closes; what is to be taken back.
    pub(super) fn hear(&mut self, event: &OrderEvent) -> Vec<Silence> {
        let in_time = |by: Option<Timestamp>| by.is_some_and(|by| event.time <= by);
        let anothers =
            matches!(event.cause, OutcomeCause::Buyer | OutcomeCause::Platform | OutcomeCause::Carrier);
        let mut back = Vec::new();
        let mut close = |stage: &mut Stage, kind: OrderEventKind, withdrawn: Withdrawn| {
            let (first, second) =
                (*stage != Stage::Open && *stage != Stage::Closed, *stage == Stage::GivenUp);
            if first && withdrawn == Withdrawn::All {
                back.push(Silence { kind, long: false });
            }
            if second && withdrawn != Withdrawn::Nothing {
                back.push(Silence { kind, long: true });
            }
            *stage = Stage::Closed;
        };
        let all_if = |excused: bool| if excused { Withdrawn::All } else { Withdrawn::Nothing };
        match event.kind {
            OrderEventKind::Shipped => {
                let excused = in_time(self.ship_by) || anothers;
                close(&mut self.shipped, OrderEventKind::Overdue, all_if(excused));
            }
            OrderEventKind::Delivered => {
                // What has arrived was handed over, whoever forgot to say so; and it is not lost.
                let early = in_time(self.deliver_by);
                let handed = in_time(self.ship_by) || early || anothers;
                close(&mut self.shipped, OrderEventKind::Overdue, all_if(handed));
                let arrived = if early || anothers { Withdrawn::All } else { Withdrawn::Long };
                close(&mut self.delivered, OrderEventKind::Undelivered, arrived);
            }
            OrderEventKind::Cancelled => {
                close(&mut self.shipped, OrderEventKind::Overdue, all_if(anothers));
                close(&mut self.delivered, OrderEventKind::Undelivered, all_if(anothers));
            }
            // The fault turns out to be another's.
            OrderEventKind::Refunded | OrderEventKind::Disputed | OrderEventKind::Complaint if anothers => {
                close(&mut self.shipped, OrderEventKind::Overdue, Withdrawn::All);
                close(&mut self.delivered, OrderEventKind::Undelivered, Withdrawn::All);
            }
            _ => {}
        }
        back
    }

    /// When something is to be judged next: on the hour, so that one tick serves many.
    pub(super) fn due(&self) -> Option<Timestamp> {
        let of = |stage: Stage, by: Option<Timestamp>, (first, long): (i64, i64)| match stage {
            Stage::Open => Some(by?.plus_ms(first)),
            Stage::Missed => Some(by?.plus_ms(long)),
            Stage::GivenUp | Stage::Closed => None,
        };
        let shipped = of(self.shipped, self.ship_by, SHIP_GRACE);
        let delivered = of(self.delivered, self.deliver_by, DELIVER_GRACE);
        shipped.into_iter().chain(delivered).min().map(on_the_hour)
    }

    /// What was missed by `now`, or when to look again because nobody was heard of since the promised time.
    pub(super) fn judge(&mut self, now: Timestamp, heard: Heard) -> Judged {
        let mut judged = Judged::default();
        for (kind, stage, by, (first, long), heard) in [
            (OrderEventKind::Overdue, &mut self.shipped, self.ship_by, SHIP_GRACE, heard.shipped),
            (
                OrderEventKind::Undelivered,
                &mut self.delivered,
                self.deliver_by,
                DELIVER_GRACE,
                heard.delivered,
            ),
        ] {
            let Some(by) = by else { continue };
            let grace_ms = match *stage {
                Stage::Open => first,
                Stage::Missed => long,
                Stage::GivenUp | Stage::Closed => continue,
            };
            let mut look = |at: Timestamp| judged.again = judged.again.into_iter().chain([at]).min();
            let due = on_the_hour(by.plus_ms(grace_ms));
            if now < due {
                look(due);
            } else if heard < by && now.ms() - due.ms() < DEAF_MS {
                look(on_the_hour(now.plus_ms(6 * HOUR_MS)));
            } else {
                let long_gone = *stage == Stage::Missed;
                *stage = if long_gone { Stage::GivenUp } else { Stage::Missed };
                if !long_gone {
                    look(on_the_hour(by.plus_ms(long)));
                }
                judged.missed.push(Silence { kind, long: long_gone });
            }
        }
        judged
    }

    /// Whether nothing can come of it any more.
    pub(super) fn is_over(&self) -> bool {
        let over = |stage: Stage, by: Option<Timestamp>| by.is_none() || stage == Stage::Closed;
        over(self.shipped, self.ship_by) && over(self.delivered, self.deliver_by)
    }

    /// The outcome that silence is.
    pub(super) fn event(&self, Silence { kind, long }: Silence, now: Timestamp) -> Option<OrderEvent> {
        let about = &self.about;
        let name = match (kind, long) {
            (OrderEventKind::Overdue, false) => "overdue",
            (OrderEventKind::Overdue, true) => "missing",
            (_, false) => "undelivered",
            (_, true) => "lost",
        };
        let identity = stockade_model::hash::identity128(&[about.supplier.as_str(), about.order.as_str()]);
        let id = EventId::new(&format!("{name}-{identity:032x}")).ok()?;
        let mut event = OrderEvent::bare(id, "stockade/intake", kind, now, about.supplier.clone());
        event.order = Some(about.order.clone());
        event.buyer.clone_from(&about.buyer);
        event.listing.clone_from(&about.listing);
        event.sku.clone_from(&about.sku);
        (event.quantity, event.amount, event.region) = (about.quantity, about.amount, about.region);
        event.late = long;
        if kind == OrderEventKind::Overdue {
            event.cause = OutcomeCause::Supplier;
        }
        Some(event)
    }
}

/// What became of promises when they were looked at.
#[derive(Debug, Default)]
pub(super) struct Judged {
    /// What was missed.
    pub(super) missed: Vec<Silence>,
    /// When to look again.
    pub(super) again: Option<Timestamp>,
}

fn on_the_hour(at: Timestamp) -> Timestamp {
    Timestamp::from_ms((at.ms() + HOUR_MS - 1).div_euclid(HOUR_MS) * HOUR_MS)
}
