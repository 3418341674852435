//! What came of the cells: figures, lines for whoever waits, and a page that holds all of them, met or not.

use std::fmt::Write as _;

use anyhow::{Context as _, Result};

use super::{Cell, FENCED, Met, spread};
use crate::{Figure, generator::micros, median};

/// What is asked of p99 during an attack, by p99 during the placebo.
const ASKED: f64 = 1.25;
/// What is asked of event to invisible during an attack, by that in calm.
const ASKED_INVISIBLE: f64 = 2.0;
/// Seconds after which all is to be well.
const ASKED_RECOVERY: f64 = 5.0;

/// What came of one cell with so many attackers.
pub(super) struct Line {
    pub(super) name: String,
    what: &'static str,
    /// p99 in microseconds during the attack and during the placebo: queries, writes.
    p99: [(f64, f64); 2],
    pub(super) sent: usize,
    pub(super) served: usize,
    /// Requests of the attackers a second: attack, placebo.
    rates: (f64, f64),
    /// Seconds: median and longest.
    recovery: (f64, f64),
    /// From event to invisible in milliseconds, median and longest: calm, attack.
    invisible: [(f64, f64); 2],
    /// What the server held at most so far, in MB.
    memory: f64,
}

impl Line {
    pub(super) fn of(
        cell: &Cell,
        attackers: usize,
        rounds: usize,
        (attacked, placebo): (&Met, &Met),
        memory: f64,
    ) -> Result<Self> {
        let name = match cell.counted {
            true => format!("{} x {attackers}", cell.name),
            false => cell.name.to_owned(),
        };
        let mut p99 = [(0.0, 0.0); 2];
        for (kind, both) in p99.iter_mut().enumerate() {
            let of = |met: &Met| Ok::<_, anyhow::Error>(micros(&spread(&met.during[kind])?, 0.99));
            *both = (of(attacked)?, of(placebo)?);
        }
        let mut invisible = [(0.0, 0.0); 2];
        for (phase, told) in invisible.iter_mut().enumerate() {
            let fenced = attacked.fenced[phase].as_ref().context("nobody was fenced")?;
            anyhow::ensure!(fenced.len() as usize == rounds * FENCED, "{name}: not everybody was fenced");
            *told = (micros(fenced, 0.5) / 1e3, micros(fenced, 1.0) / 1e3);
        }
        let mut recoveries = attacked.recoveries()?;
        let longest = recoveries.iter().copied().fold(0.0, f64::max);
        Ok(Self {
            name,
            what: cell.what,
            p99,
            sent: attacked.sent,
            served: attacked.served,
            rates: (median(&mut attacked.rates.clone())?, median(&mut placebo.rates.clone())?),
            recovery: (median(&mut recoveries)?, longest),
            invisible,
            memory,
        })
    }

    fn ratio(&self, kind: usize) -> f64 {
        self.p99[kind].0 / self.p99[kind].1
    }
    fn share(&self) -> f64 {
        self.served as f64 / self.sent as f64
    }
    /// The longest during the attack by the longest in calm: of so few samples that is their p99.
    fn slower(&self) -> f64 {
        self.invisible[1].1 / self.invisible[0].1
    }

    /// One line for whoever waits.
    pub(super) fn told(&self) -> String {
        format!(
            "{}: queries {:.2}x, writes {:.2}x, {} of {} served, well after {:.0} s, invisible after {:.0} ms (calm {:.0}), at most {:.0} MB so far",
            self.name,
            self.ratio(0),
            self.ratio(1),
            self.served,
            self.sent,
            self.recovery.0,
            self.invisible[1].1,
            self.invisible[0].1,
            self.memory
        )
    }

    pub(super) fn figures(&self, rounds: usize) -> Vec<Figure> {
        let named = |what: &str| format!("{}: {what}", self.name);
        let mut figures = Vec::new();
        for (kind, what) in ["queries", "writes"].into_iter().enumerate() {
            let (during, beside) = self.p99[kind];
            figures.push(
                Figure::new(named(&format!("p99 of {what} ÷ placebo")), self.ratio(kind), "ratio", "<= 1.25")
                    .met(self.ratio(kind) <= ASKED)
                    .note(format!("{during:.0} us ÷ {beside:.0} us; {rounds} rounds; {}", self.what)),
            );
        }
        figures.push(
            Figure::new(named("share of honest requests served"), self.share(), "", ">= 0.999")
                .met(self.share() >= 0.999)
                .note(format!("{} of {}", self.served, self.sent)),
        );
        figures.push(
            Figure::new(named("requests of the attackers"), self.rates.0, "/s", "report")
                .note(format!("placebo {:.0}", self.rates.1)),
        );
        figures.push(
            Figure::new(named("recovery, median"), self.recovery.0, "s", "<= 5")
                .met(self.recovery.0 <= ASKED_RECOVERY)
                .note(format!("longest {:.0}; in whole seconds, watched for 7", self.recovery.1)),
        );
        let [(calm, calm_most), (during, during_most)] = self.invisible;
        figures.push(
            Figure::new(named("event to invisible, longest ÷ in calm"), self.slower(), "ratio", "<= 2")
                .met(self.slower() <= ASKED_INVISIBLE)
                .note(format!("{during_most:.1} ms ÷ {calm_most:.1} ms; medians {during:.1} and {calm:.1}")),
        );
        figures.push(Figure::new(named("memory of the server, at most so far"), self.memory, "MB", "report"));
        figures
    }
}

const WIDTH: f64 = 260.0;
/// The bars end here.
const MOST: f64 = 16.0;

/// A bar from 1 on a logarithmic scale, with the line of what is asked.
fn bar(ratio: f64, asked: f64) -> String {
    let x = |ratio: f64| (ratio.clamp(0.25, MOST).log2() + 2.0) / (MOST.log2() + 2.0) * WIDTH;
    let (from, to) = (x(1.0).min(x(ratio)), x(1.0).max(x(ratio)));
    let class = if ratio <= asked { "met" } else { "missed" };
    format!(
        "<svg viewBox='0 0 {WIDTH} 14' role='img' aria-label='{ratio:.2}'><rect class='{class}' x='{from:.1}' y='2' width='{:.1}' \
         height='10'/><line x1='{:.1}' x2='{:.1}' y1='0' y2='14' class='one'/><line x1='{:.1}' x2='{:.1}' y1='0' y2='14' \
         class='asked'/></svg>",
        (to - from).max(1.0),
        x(1.0),
        x(1.0),
        x(asked),
        x(asked)
    )
}

/// The page: a row for each cell, with a plot of each ratio from a quarter to sixteen times.
pub(super) fn write(on: &str, apart: &str, rounds: usize, memory: f64, lines: &[Line]) -> String {
    let mut rows = String::new();
    for line in lines {
        let mark = |met: bool| if met { "" } else { " class='miss'" };
        let ratio = |value: f64, asked: f64, note: String| {
            format!(
                "<td{}><b>{value:.2}</b> <small>{note}</small>{}",
                mark(value <= asked),
                bar(value, asked)
            )
        };
        let p99 = |kind: usize| {
            let (during, beside) = line.p99[kind];
            ratio(line.ratio(kind), ASKED, format!("{:.1} ÷ {:.1} ms", during / 1e3, beside / 1e3))
        };
        let [(_, calm), (_, during)] = line.invisible;
        let _ = write!(
            rows,
            "<tr><th scope='row'>{}<p>{}<p>{:.0} requests/s (placebo {:.0}){}{}{}<td class='n'{}>{:.2} %<td class='n'{}>{:.0} s<td class='n'>{:.0} MB",
            line.name,
            line.what,
            line.rates.0,
            line.rates.1,
            p99(0),
            p99(1),
            ratio(line.slower(), ASKED_INVISIBLE, format!("{during:.0} ÷ {calm:.0} ms")),
            mark(line.share() >= 0.999),
            line.share() * 100.0,
            mark(line.recovery.0 <= ASKED_RECOVERY),
            line.recovery.0,
            line.memory,
        );
    }
    let style = "body{font:15px system-ui,sans-serif;max-width:76rem;margin:2rem auto;padding:0 1rem;color:#1f2328}\
        table{border-collapse:collapse;width:100%}td,th{padding:.4rem .7rem;border-bottom:1px solid #d0d7de;text-align:left;\
        vertical-align:top}th p{font-weight:400;margin:0;color:#57606a;font-size:.85rem;max-width:22rem}.n{text-align:right}\
        td{font-variant-numeric:tabular-nums}svg{display:block;width:100%;min-width:9rem}.met{fill:#1a7f37}.missed{fill:#d1242f}\
        .one{stroke:#57606a}.asked{stroke:#9a6700;stroke-dasharray:2 2}.miss b,.miss{color:#a40e26}small{color:#57606a}";
    format!(
        "<!doctype html><html lang='en'><meta charset='utf-8'><meta name='viewport' content='width=device-width'>\
         <title>Stockade under attack, on {on}</title><style>{style}</style><h1>Under attack, on {on}</h1>\
         <p>Made by <code>load-tests -- attack</code>, {rounds} interleaved rounds, each cell whether met or not. Buyers' queries \
         (100 a second) and honest suppliers' writes (50 a second) during an attack, by those during a placebo, in which the same \
         traffic is refused by a bare listener on the same machine; latency counts from the intended time of sending. Bars go from a \
         quarter to sixteen times; the dashed line is what is asked. From event to invisible the longest of {} is told, by the \
         longest in calm. The server held {memory:.0} MB at most; {apart}.\
         <table><thead><tr><th>attack<th>p99 of queries ÷ placebo<th>p99 of writes ÷ placebo<th>event to invisible ÷ calm\
         <th class='n'>honest served<th class='n'>well again after<th class='n'>memory at most, so far<tbody>{rows}</table></html>\n",
        rounds * FENCED
    )
}
