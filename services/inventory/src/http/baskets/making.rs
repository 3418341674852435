//! How a basket is made: offers are chosen for lines that name a good, the choice is written, and only then is anything held. It goes on
//! when its caller hangs up.

use std::collections::BTreeSet;

use stockade_model::{BasketChoice, LineChoice};
use stockade_runtime::Problem;

use super::asked::Wanted;
use crate::{
    app::App,
    baskets::Ran,
    domain::{
        Answers, BasketAsked, LineAsked, LineKnown, Made, Making, NOT_AVAILABLE, Of, Open, Said, TURNS_MAX,
        Turns, choose,
    },
};

/// An attempt to make a basket.
pub(super) struct Attempt {
    pub(super) wanted: Wanted,
    /// The lines as they were tried last.
    pub(super) asked: BasketAsked,
    /// What became of them.
    pub(super) said: Answers,
    pub(super) ran: Ran,
    pub(super) made: Made,
    /// Lines that there is an offer for which was not taken, because other lines of the whole have none.
    possible: BTreeSet<usize>,
    /// What was chosen so far, by whichever attempt.
    recorded: Vec<LineChoice>,
    /// The lines that this replica knew before.
    known: Vec<LineKnown>,
}

fn not_available() -> Said {
    Said::Refused(NOT_AVAILABLE.to_owned(), String::new())
}

impl Attempt {
    /// Makes what is wanted, or what can be had of it.
    pub(super) async fn make(app: &App, wanted: Wanted, traceparent: Option<&str>) -> Result<Self, Problem> {
        let known = app.reservations.basket(&wanted.basket);
        let mut attempt = Self {
            asked: wanted.asked(&known)?,
            wanted,
            said: Answers::new(),
            ran: Ran::default(),
            made: Made::Refused,
            possible: BTreeSet::new(),
            recorded: Vec::new(),
            known,
        };
        let open = attempt.unchosen();
        attempt.choose(app, 0, &open, traceparent).await?;
        if attempt.wanted.whole {
            attempt.as_a_whole(app, traceparent).await;
        } else {
            attempt.one_by_one(app, traceparent).await?;
        }
        Ok(attempt)
    }

    /// Whether anything of the basket stood, as far as this replica knew.
    fn stands(&self) -> bool {
        self.known.iter().any(|line| !line.row.is_free())
    }

    /// Lines that no offer was chosen for.
    fn unchosen(&self) -> Vec<usize> {
        let lines = self.asked.lines.iter().enumerate();
        lines.filter(|(_, line)| line.is_none()).map(|(at, _)| at).collect()
    }

    /// Chooses offers for the lines `open` in their turn number `turn`, and takes up what was written first.
    async fn choose(
        &mut self,
        app: &App,
        turn: u8,
        open: &[usize],
        traceparent: Option<&str>,
    ) -> Result<(), Problem> {
        let is_known =
            |line: &usize| self.recorded.iter().any(|it| usize::from(it.line) == *line && it.turn == turn);
        let unknown: Vec<usize> = open.iter().copied().filter(|line| !is_known(line)).collect();
        if !unknown.is_empty() {
            let chosen = self.chosen(app, turn, &unknown);
            // What nobody offers is refused without a word to the log, unless an attempt before this one may have chosen: of a basket
            // that stands, and of which this replica has not heard all.
            // So too in a further turn, which another attempt may have gone through with an offer that is no longer to be seen here.
            let enough = if self.wanted.whole { chosen.len() == unknown.len() } else { !chosen.is_empty() };
            if enough || self.stands() || turn > 0 {
                let choice = BasketChoice { basket: self.wanted.basket.clone(), lines: chosen };
                self.recorded = app.choose(choice, traceparent).await?;
            } else {
                self.possible = chosen.iter().map(|it| usize::from(it.line)).collect();
            }
        }
        for line in open {
            let mut recorded = self.recorded.iter();
            let Some(choice) = recorded.find(|it| usize::from(it.line) == *line && it.turn == turn) else {
                continue;
            };
            if let Some(asked) = self.wanted.chosen(choice)? {
                self.asked.lines[*line] = Some(asked);
            }
        }
        Ok(())
    }

    /// What this replica would choose.
    fn chosen(&self, app: &App, turn: u8, open: &[usize]) -> Vec<LineChoice> {
        // Each other line, and each turn before, takes one offer out of the question at most.
        let limit = self.wanted.lines.len() + usize::from(TURNS_MAX);
        let wanted = open.iter().filter_map(|line| Some((*line, self.wanted.lines.get(*line)?)));
        let lines: Vec<Open> = wanted
            .map(|(line, wanted)| Open { line, quantity: wanted.quantity, offers: wanted.offers(app, limit) })
            .collect();
        // Of what is held, or was refused, the index says already what is left.
        let is_sent = |at: &usize| turn > 0 || at_place(&self.known, *at).is_some();
        let lines_asked = self.asked.lines.iter().enumerate();
        let others = lines_asked.filter(|(at, _)| !open.contains(at) && !is_sent(at));
        let others: Vec<Option<LineAsked>> = others.map(|(_, line)| line.clone()).collect();
        let tried: BTreeSet<_> = self
            .recorded
            .iter()
            .filter(|it| it.turn < turn)
            .map(|it| (usize::from(it.line), Of::new(&it.supplier, &it.listing)))
            .collect();
        let chosen = choose(&lines, Wanted::taken(&others), &tried).into_iter();
        let choice = |(line, offer): (usize, Of<_>)| {
            let line = u16::try_from(line).ok()?;
            Some(LineChoice { line, turn, supplier: offer.supplier, listing: offer.id })
        };
        chosen.filter_map(choice).collect()
    }

    /// Lines that buyers may not have any more and that are not held, as far as this replica sees.
    fn missing(&self, app: &App) -> Answers {
        let is_missing = |at: usize, line: &Option<LineAsked>| match line {
            Some(line) => {
                let own = app.own_listing(&line.supplier, &line.listing);
                let offered = own.is_some_and(|offer| offer.left(&app.overlay, line.region).is_some());
                !offered && at_place(&self.known, at).is_none_or(|known| known.row.is_free())
            }
            None => !self.possible.contains(&at),
        };
        let lines = self.asked.lines.iter().enumerate();
        lines.filter(|(at, line)| is_missing(*at, line)).map(|(at, _)| (at, not_available())).collect()
    }

    async fn as_a_whole(&mut self, app: &App, traceparent: Option<&str>) {
        let missing = self.missing(app);
        if !missing.is_empty() && !self.stands() {
            self.said = missing;
            return;
        }
        // Of a basket that stands somewhere no line can be left out; the rest is on its way here.
        if !self.unchosen().is_empty() {
            self.made = Made::Doubtful;
            return;
        }
        let mut making = Making::new(self.asked.clone(), None);
        let ran = app.run(&mut making, traceparent).await;
        self.note(ran);
        self.said = missing;
        self.said.extend(making.holds.clone());
        self.made = making.end();
    }

    async fn one_by_one(&mut self, app: &App, traceparent: Option<&str>) -> Result<(), Problem> {
        // A line that was given back or has lapsed stays so for a retry while others stand.
        let stands = self.stands();
        let is_over = |at: usize| at_place(&self.known, at).is_some_and(|known| known.row.is_free());
        let mut missing = self.missing(app);
        let mut only: Vec<usize> = Vec::new();
        for (at, line) in self.asked.lines.iter_mut().enumerate() {
            if stands && is_over(at) {
                // It is told as what it is, and not as one that another offer may be chosen for.
                missing.remove(&at);
                continue;
            }
            let Some(line) = line else { continue };
            // What was chosen is refused by its fold, which remembers that.
            line.pass = line.once && missing.contains_key(&at);
            if line.once || !missing.contains_key(&at) {
                missing.remove(&at);
                only.push(at);
            }
        }
        let mut turns = Turns::new(self.asked.clone(), self.recorded.clone(), only, missing);
        loop {
            let ran = app.run(&mut turns, traceparent).await;
            self.note(ran);
            let Some((turn, open)) = turns.open() else { break };
            self.choose(app, turn, &open, traceparent).await?;
            let chosen = open.into_iter().filter_map(|line| Some((line, self.in_turn(app, turn, line)?)));
            turns.go_on(self.recorded.clone(), chosen.collect());
        }
        self.made = turns.end();
        (self.asked, self.said) = turns.parts();
        Ok(())
    }

    /// A line as it was chosen in a turn, if it was. Chosen by another attempt, it may have been withheld since.
    fn in_turn(&self, app: &App, turn: u8, line: usize) -> Option<LineAsked> {
        self.recorded.iter().find(|it| usize::from(it.line) == line && it.turn == turn)?;
        let asked = self.asked.lines.get(line)?.clone()?;
        let own = app.own_listing(&asked.supplier, &asked.listing);
        let pass = own.is_none_or(|offer| offer.left(&app.overlay, asked.region).is_none());
        Some(LineAsked { pass, ..asked })
    }

    fn note(&mut self, ran: Ran) {
        self.ran.at.extend(ran.at);
        self.ran.problem = self.ran.problem.take().or(ran.problem);
    }
}

fn at_place(known: &[LineKnown], at: usize) -> Option<&LineKnown> {
    known.iter().find(|known| usize::from(known.place.line) == at)
}
