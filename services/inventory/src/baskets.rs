//! What is done to baskets: the courses of [`crate::domain`] over the log, and whoever looks after what others left undone.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use futures_util::future::join_all;
use stockade_model::{
    BasketChoice, BasketId, Command, Envelope, LineChoice, Payload, Row, RowStatus, SupplierId, Topic,
};
use stockade_runtime::Problem;

use crate::{
    app::{App, Submitted},
    domain::{Answers, Course, Finish, LineKnown, Said, Sent},
};

/// Whoever works at a basket is left alone for this long.
const GRACE_MS: i64 = 5_000;
/// How often baskets are looked after.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// What is answered while it is not known yet what became of a basket.
pub(crate) fn pending() -> Problem {
    Problem::unavailable(
        "pending",
        "it is being decided; ask again, a basket that is being made with the same Idempotency-Key",
    )
}

/// What a course came to, beside its own end.
#[derive(Default)]
pub(crate) struct Ran {
    /// Where its last rows lie: by partition, the offset.
    pub(crate) at: BTreeMap<u32, u64>,
    /// Why something could not be sent or was not decided in time: the first reason.
    pub(crate) problem: Option<Problem>,
}

impl App {
    /// Goes through a course to its end.
    pub(crate) async fn run(&self, course: &mut (dyn Course + Send), traceparent: Option<&str>) -> Ran {
        let mut ran = Ran::default();
        let mut said = Answers::new();
        loop {
            let rows = course.next(self.now(), &said);
            if rows.is_empty() {
                return ran;
            }
            said = self.send(rows, traceparent, &mut ran).await;
        }
    }

    /// Sends rows, all at once: those of one supplier in one record.
    async fn send(&self, rows: Vec<Sent>, traceparent: Option<&str>, ran: &mut Ran) -> Answers {
        let mut by_supplier: BTreeMap<SupplierId, (Vec<usize>, Vec<Row>)> = BTreeMap::new();
        for Sent { line, supplier, row } in rows {
            let of = by_supplier.entry(supplier).or_default();
            of.0.push(line);
            of.1.push(row);
        }
        let send = async |(supplier, (lines, rows)): (SupplierId, (Vec<usize>, Vec<Row>))| {
            let command = Command {
                supplier,
                idempotency_key: None,
                body_hash: String::new(),
                rows,
                precondition: None,
                places: Vec::new(),
                refused: Vec::new(),
                forgets: None,
            };
            (lines, self.submit_of_buyer(command, traceparent.map(str::to_owned)).await)
        };
        let mut said = Answers::new();
        for (lines, submitted) in join_all(by_supplier.into_iter().map(send)).await {
            let (mut outcomes, mut offset) = (Vec::new(), 0);
            match submitted {
                Ok(Submitted::Decided { decided, at, .. }) => {
                    offset = at.1;
                    let last = ran.at.entry(at.0).or_default();
                    *last = at.1.max(*last);
                    outcomes = decided.rows.map(|rows| rows.rows()).unwrap_or_default();
                }
                Ok(Submitted::Pending { .. }) => {}
                Err(problem) => drop(ran.problem.get_or_insert(problem)),
            }
            let mut outcomes = outcomes.into_iter();
            for line in lines {
                let became = outcomes.next().map_or(Said::Unknown, |outcome| match outcome.status {
                    RowStatus::Applied => Said::Applied(offset),
                    RowStatus::Replayed | RowStatus::Superseded => Said::Replayed,
                    RowStatus::Conflict | RowStatus::Invalid => {
                        Said::Refused(outcome.code.unwrap_or_default(), outcome.detail.unwrap_or_default())
                    }
                });
                said.insert(line, became);
            }
        }
        said
    }

    /// Has a choice for lines of a basket written, and answers what was chosen for it, by whichever record was the first.
    pub(crate) async fn choose(
        &self,
        choice: BasketChoice,
        traceparent: Option<&str>,
    ) -> Result<Vec<LineChoice>, Problem> {
        let id = self.fresh_id();
        let waiter = self.choosing.expect(&id);
        let basket = choice.basket.clone();
        let payload = Payload::Choice(choice);
        let mut envelope = Envelope::new(payload.kind(), id.as_str(), "stockade/inventory");
        envelope.traceparent = traceparent.map(str::to_owned);
        self.append(Topic::SupplierEvents, basket.as_str(), &envelope, &payload).await?;
        waiter.within(self.deadline).await.ok_or_else(pending)
    }

    /// The lines of a basket. Where one is not known here, this replica first reads what the log holds by now, so that a basket
    /// is found wherever it was made.
    pub(crate) async fn find_basket(&self, name: &BasketId) -> Vec<LineKnown> {
        let lines = self.reservations.basket(name);
        let all = |line: &LineKnown| lines.len() == usize::from(line.place.lines);
        if lines.first().is_some_and(|line| !line.place.whole || all(line)) {
            return lines;
        }
        // Where the log cannot be asked there is what is known.
        let _ = tokio::time::timeout(self.deadline, self.read_all()).await;
        self.reservations.basket(name)
    }

    /// Waits until everything that the log holds now is known here, as far as the log can be asked.
    async fn read_all(&self) {
        let ends = join_all((0..self.partitions).map(|partition| self.end_of(partition))).await;
        for (partition, end) in (0..).zip(ends) {
            if let Some(end) = end {
                self.board.wait("inventory", partition, end).await;
            }
        }
    }

    /// Where a partition of suppliers ends, as a log that can be asked says.
    pub(crate) async fn end_of(&self, partition: u32) -> Option<u64> {
        let log = self.log.clone();
        let look = move || log.bounds(Topic::SupplierEvents.name(), partition).ok().map(|bounds| bounds.end);
        self.ends.of(partition, look).await
    }

    /// Looks after baskets that nobody has worked at for a while: lines that do not follow their head are brought after it.
    /// Answers how many there were.
    pub async fn finish_baskets(&self, grace_ms: i64) -> usize {
        let mut finished = 0;
        for name in self.reservations.take_restless((self.clock)() - grace_ms) {
            let Some(mut finish) = Finish::of(self.reservations.basket(&name)) else { continue };
            finished += 1;
            let ran = self.run(&mut finish, None).await;
            tracing::info!(basket = %name, "brought the lines of a basket after its head");
            if ran.problem.is_some() || Finish::of(self.reservations.basket(&name)).is_some() {
                self.reservations.look_again(name, (self.clock)());
            }
        }
        finished
    }

    /// Looks after baskets until `shutdown`. Every replica does: whoever began one may be gone for good.
    pub async fn look_after_baskets(self: Arc<Self>, shutdown: impl Future<Output = ()> + Send) {
        tokio::pin!(shutdown);
        let mut every = tokio::time::interval(LOOK_EVERY);
        every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = &mut shutdown => return,
                _ = every.tick() => {}
            }
            if self.ready().is_err() {
                continue;
            }
            tokio::select! {
                () = &mut shutdown => return,
                _ = self.finish_baskets(GRACE_MS) => {}
            }
        }
    }
}
