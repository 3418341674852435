//! What becomes of an order: drawn once, when it is placed, from the conduct of the supplier, the carrier and the buyer.

use stockade_model::{OrderEventKind, OutcomeCause};

use super::{draw::Draw, goods::Conduct, trader::Deed};

/// Everything that decides an order.
pub(super) struct Circumstances<'a> {
    pub(super) conduct: &'a Conduct,
    pub(super) handling_days: f64,
    /// Whether it goes to another region.
    pub(super) abroad: bool,
    /// Days that the carriers of the region lose to a strike or a bad week.
    pub(super) delay_days: f64,
    /// Whether the platform is out of order.
    pub(super) outage: bool,
    /// Whether nobody's luck is worse.
    pub(super) unlucky: bool,
    /// Whether the buyer abuses refunds.
    pub(super) abuser: bool,
    pub(super) deed: Deed,
}

/// One thing that is recorded of an order, so many days after it was placed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Mark {
    pub(super) days: f64,
    pub(super) kind: OrderEventKind,
    pub(super) cause: OutcomeCause,
    pub(super) late: bool,
    pub(super) rating: Option<u8>,
    /// A tracking number of somebody else's.
    pub(super) reused: bool,
}

/// An order's course.
#[derive(Debug, Default)]
pub(super) struct Course {
    pub(super) ship_by_days: f64,
    pub(super) deliver_by_days: f64,
    pub(super) marks: Vec<Mark>,
    /// When harm by intent first shows, in days from the order.
    pub(super) harm_days: Option<f64>,
}

/// How the goods went.
enum Way {
    Cancelled,
    Silent,
    Faked { reused: bool },
    Sent,
}

impl Course {
    fn mark(&mut self, days: f64, kind: OrderEventKind, cause: OutcomeCause) -> &mut Mark {
        let place = self.marks.len();
        self.marks.push(Mark { days, kind, cause, late: false, rating: None, reused: false });
        &mut self.marks[place]
    }

    /// Draws it.
    pub(super) fn draw(draw: &mut Draw, of: &Circumstances<'_>) -> Self {
        let conduct = of.conduct;
        let quoted = if of.abroad { draw.between(8.0, 16.0) } else { draw.between(3.0, 7.0) };
        let ship_by_days = of.handling_days;
        let mut course =
            Self { ship_by_days, deliver_by_days: ship_by_days + quoted.round(), ..Self::default() };
        if of.outage && draw.chance(0.4) {
            let days = draw.between(0.1, 2.0);
            course.mark(days, OrderEventKind::Cancelled, OutcomeCause::Platform);
            return course;
        }
        // Some buyers think better of it in the first hours.
        if of.deed == Deed::Buys && draw.chance(0.012) {
            let days = draw.wait(0.3);
            course.mark(days, OrderEventKind::Cancelled, OutcomeCause::Buyer);
            return course;
        }
        match way(draw, of) {
            Way::Cancelled => course.cancelled(draw, conduct),
            Way::Silent => {
                if conduct.wicked {
                    course.harm_days = Some(course.ship_by_days);
                }
                course.missing(draw, conduct, OutcomeCause::Supplier);
            }
            Way::Faked { reused } => {
                let days = course.ship_by_days * draw.between(0.1, 0.9);
                course.mark(days, OrderEventKind::Shipped, OutcomeCause::Unknown).reused = reused;
                if conduct.wicked {
                    course.harm_days = Some(course.deliver_by_days);
                }
                // The parcel that the number belongs to does arrive, somewhere.
                if reused && draw.chance(0.7) {
                    let days = days + draw.between(1.0, 5.0);
                    course.mark(days, OrderEventKind::Delivered, OutcomeCause::Unknown).reused = true;
                }
                course.missing(draw, conduct, OutcomeCause::Supplier);
            }
            Way::Sent => course.sent(draw, of),
        }
        if draw.chance(conduct.stolen) {
            let days = draw.around(20.0, 0.5);
            course.mark(days, OrderEventKind::FraudConfirmed, OutcomeCause::Unknown);
            if conduct.wicked && course.harm_days.is_none() {
                course.harm_days = Some(days);
            }
        }
        course
    }

    fn cancelled(&mut self, draw: &mut Draw, conduct: &Conduct) {
        let days = (draw.wait(0.6 * self.ship_by_days) + 0.05).min(self.ship_by_days + 6.0);
        self.mark(days, OrderEventKind::Cancelled, OutcomeCause::Supplier);
        if conduct.wicked {
            self.harm_days = Some(days);
        }
        if draw.chance(0.04) {
            let days = days + draw.wait(2.0);
            self.mark(days, OrderEventKind::Reviewed, OutcomeCause::Unknown).rating = Some(1);
        }
    }

    /// The goods do not come, by whose doing it is, and the buyer does something about it or not.
    fn missing(&mut self, draw: &mut Draw, conduct: &Conduct, by: OutcomeCause) {
        let begun = self.deliver_by_days + draw.around(3.5, 0.8);
        if draw.chance(0.7) {
            self.claim(draw, begun);
            if !conduct.keeps_money && draw.chance(0.8) {
                let known = draw.chance(0.6);
                let days = begun + draw.around(6.0, 0.5);
                self.mark(days, OrderEventKind::Refunded, if known { by } else { OutcomeCause::Unknown });
            }
        }
        if draw.chance(0.25) {
            let days = begun + draw.wait(3.0);
            self.mark(days, OrderEventKind::Reviewed, OutcomeCause::Unknown).rating = Some(1);
        }
    }

    fn claim(&mut self, draw: &mut Draw, days: f64) {
        let kind = if draw.chance(0.6) { OrderEventKind::Disputed } else { OrderEventKind::Complaint };
        self.mark(days, kind, OutcomeCause::Unknown);
    }

    fn sent(&mut self, draw: &mut Draw, of: &Circumstances<'_>) {
        let conduct = of.conduct;
        let (ship_by, deliver_by) = (self.ship_by_days, self.deliver_by_days);
        let late = draw.chance(conduct.late) || of.unlucky && draw.chance(0.5);
        let late_by_platform = !late && of.outage && draw.chance(0.5);
        let handed = if late || late_by_platform {
            ship_by + 0.1 + draw.wait(if conduct.wicked { 5.0 } else { 1.5 })
        } else {
            ship_by * draw.between(0.1, 0.98)
        };
        let whose = |late: bool| match (late, late_by_platform) {
            (_, true) => OutcomeCause::Platform,
            (true, _) => OutcomeCause::Supplier,
            _ => OutcomeCause::Unknown,
        };
        let mark = self.mark(handed, OrderEventKind::Shipped, whose(late));
        mark.late = late || late_by_platform;
        if late && conduct.wicked && conduct.late > 0.3 {
            self.harm_days = Some(ship_by);
        }
        if draw.chance(conduct.lost) {
            return self.missing(draw, conduct, OutcomeCause::Carrier);
        }
        let quoted = deliver_by - ship_by;
        let mut transit = (quoted * draw.around(0.5, 0.3)).max(0.4);
        if draw.chance(conduct.slow) {
            transit = quoted + draw.wait(3.0);
        }
        transit += of.delay_days * draw.between(0.5, 1.2);
        let arrived = handed + transit;
        let arrived_late = arrived > deliver_by;
        let by_supplier = late && transit <= quoted;
        let cause = match (arrived_late, by_supplier, late_by_platform) {
            (false, ..) => OutcomeCause::Unknown,
            (true, true, _) => OutcomeCause::Supplier,
            (true, _, true) => OutcomeCause::Platform,
            _ => OutcomeCause::Carrier,
        };
        self.mark(arrived, OrderEventKind::Delivered, cause).late = arrived_late;
        self.received(draw, of, arrived, arrived_late);
    }

    /// What the buyer makes of goods that came.
    fn received(&mut self, draw: &mut Draw, of: &Circumstances<'_>, arrived: f64, late: bool) {
        let conduct = of.conduct;
        match of.deed {
            Deed::Praises => {
                let days = arrived + draw.wait(0.5);
                self.mark(days, OrderEventKind::Reviewed, OutcomeCause::Unknown).rating = Some(5);
                return;
            }
            Deed::Slates => {
                let days = arrived + draw.wait(0.5);
                self.mark(days, OrderEventKind::Reviewed, OutcomeCause::Unknown).rating = Some(1);
                return;
            }
            // It claims before anything can have come, or right after.
            Deed::Claims => {
                let days = arrived.min(self.deliver_by_days) * draw.between(0.5, 1.3);
                self.claim(draw, days);
                return;
            }
            Deed::Buys => {}
        }
        let faulty = draw.chance(conduct.faulty) || of.unlucky && draw.chance(0.6);
        if faulty {
            if conduct.wicked && conduct.faulty > 0.1 {
                self.harm_days = Some(self.harm_days.unwrap_or(arrived).min(arrived));
            }
            return self.faulty(draw, conduct, arrived);
        }
        let claims = if of.abuser { 0.5 } else { conduct.unjust };
        if draw.chance(claims) {
            let days = arrived + draw.around(4.0, 0.8);
            self.claim(draw, days);
            if draw.chance(0.5) {
                let days = days + draw.around(5.0, 0.5);
                self.mark(days, OrderEventKind::Refunded, OutcomeCause::Unknown);
            }
            return;
        }
        if draw.chance(conduct.regrets) {
            let cause = if draw.chance(0.75) { OutcomeCause::Buyer } else { OutcomeCause::Unknown };
            let days = arrived + draw.around(9.0, 0.5);
            self.mark(days, OrderEventKind::Refunded, cause);
        }
        if late && draw.chance(0.08) {
            let days = arrived + draw.wait(1.0);
            self.mark(days, OrderEventKind::Complaint, OutcomeCause::Unknown);
        }
        if draw.chance(0.25) {
            let low = draw.chance(if late { 0.5 } else { conduct.poor });
            let high = if draw.chance(0.75) { 5 } else { 3 + draw.whole(0, 1) as u8 };
            let rating = if low { draw.whole(1, 2) as u8 } else { high };
            let days = arrived + draw.wait(4.0);
            self.mark(days, OrderEventKind::Reviewed, OutcomeCause::Unknown).rating = Some(rating);
        }
    }

    fn faulty(&mut self, draw: &mut Draw, conduct: &Conduct, arrived: f64) {
        let noticed = arrived + draw.around(3.0, 0.8);
        if draw.chance(0.55) {
            if draw.chance(0.5) || conduct.keeps_money {
                self.claim(draw, noticed);
            }
            if !conduct.keeps_money {
                let known = draw.chance(0.6);
                let cause = if known { OutcomeCause::Supplier } else { OutcomeCause::Unknown };
                let days = noticed + draw.around(6.0, 0.5);
                self.mark(days, OrderEventKind::Refunded, cause);
            } else if draw.chance(0.5) {
                // It waited for its money.
                let days = noticed + draw.around(14.0, 0.4);
                self.mark(days, OrderEventKind::Complaint, OutcomeCause::Unknown);
            }
        }
        if draw.chance(0.4) {
            let rating = draw.whole(1, 2) as u8;
            let days = noticed + draw.wait(2.0);
            self.mark(days, OrderEventKind::Reviewed, OutcomeCause::Unknown).rating = Some(rating);
        }
    }
}

fn way(draw: &mut Draw, of: &Circumstances<'_>) -> Way {
    let conduct = of.conduct;
    // Whoever praises itself sees to it that these orders go well.
    if of.deed == Deed::Praises {
        return Way::Sent;
    }
    if of.unlucky && draw.chance(0.4) {
        return Way::Cancelled;
    }
    let mut left = draw.share();
    for (share, way) in [
        (conduct.cancels, Way::Cancelled),
        (conduct.never_ships, Way::Silent),
        (conduct.fakes, Way::Faked { reused: false }),
        (conduct.reuses, Way::Faked { reused: true }),
    ] {
        if left < share {
            return way;
        }
        left -= share;
    }
    Way::Sent
}
