//! What a history costs that is played through every fold: CPU of an order, and the memory at its most. The second history is so
//! many times as long as the first, of as many orders a day, so that what is remembered for ever would show.

use std::{io::Write as _, path::Path, process::Command, time::Duration};

use anyhow::{Context as _, Result};
use stockade_testkit::{Process, wait_until};

use crate::{
    Figure,
    cluster::stockade,
    process::{cpu_seconds, most_resident},
};

const SUPPLIERS: usize = 1_000;
const BUYERS: usize = 50_000;
const ORDERS_A_DAY: usize = 1_000;
/// Longer than anything is remembered.
const DAYS: usize = 120;
const PATIENCE: Duration = Duration::from_secs(3_600);

/// The day so many days after the first of January 2024, as a date.
fn date(day: usize) -> String {
    let days = stockade_model::Timestamp::from_ms(1_704_067_200_000).plus_ms(day as i64 * 86_400_000);
    days.to_string().chars().take(10).collect()
}

/// Orders as a shop would export them, by time; of a hundred six are cancelled, and one of these by its supplier.
fn write(path: &Path, days: usize) -> Result<()> {
    let mut file = std::io::BufWriter::new(std::fs::File::create(path)?);
    writeln!(
        file,
        "order_id,seller,region,buyer,item,price,ordered_at,shipped_at,cancelled_at,fraud_known_at"
    )?;
    let mut random = fastrand::Rng::with_seed(7);
    for day in 0..days {
        let (today, later) = (date(day), date(day + 2));
        for order in 0..ORDERS_A_DAY {
            let (seller, buyer) = (random.usize(..SUPPLIERS), random.usize(..BUYERS));
            let second = order * 86_400 / ORDERS_A_DAY;
            let clock = format!("{:02}:{:02}:{:02}Z", second / 3_600, second / 60 % 60, second % 60);
            let cancelled = random.usize(..100) == 0;
            let (shipped_at, cancelled_at) = if cancelled {
                (String::new(), format!("{later}T{clock}"))
            } else {
                (format!("{later}T{clock}"), String::new())
            };
            writeln!(
                file,
                "o-{day:05}-{order:05},shop-{seller:04},DE,buyer-{buyer:06},item-{seller:04}-{},{}.90,{today}T{clock},{shipped_at},{cancelled_at},",
                random.usize(..30),
                5 + random.usize(..90),
            )?;
        }
    }
    Ok(file.flush()?)
}

struct Seen {
    orders: f64,
    cpu: f64,
    most: f64,
}

fn measure(at: &Path, days: usize) -> Result<Seen> {
    let history = at.join(format!("{days}.csv"));
    write(&history, days)?;
    let mappings = Path::new(env!("CARGO_MANIFEST_DIR")).join("../services/stockade/mappings/sample.yaml");
    let mut command = Command::new(stockade()?);
    command.args(["evaluate", "--json", "--input"]).arg(&history).arg("--mapping").arg(mappings);
    let log = at.join(format!("{days}.log"));
    let mut process = Process::start("evaluate", command, &log)?;
    let id = process.id();
    // What it has used is looked at as long as it runs: a tenth of a second of an hour is missed.
    let mut last = (0.0, 0.0);
    let ended = wait_until(PATIENCE, || {
        if let (Ok(cpu), Ok(most)) = (cpu_seconds(id), most_resident(id)) {
            last = (cpu, most);
        }
        !process.runs()
    });
    let text = std::fs::read_to_string(&log)?;
    anyhow::ensure!(ended, "it does not end");
    let report = text.lines().next_back().context("it says nothing")?;
    let report: serde_json::Value =
        serde_json::from_str(report).with_context(|| format!("it says: {text}"))?;
    let orders = (days * ORDERS_A_DAY) as f64;
    anyhow::ensure!(report["orders"].as_f64() == Some(orders), "not every order was played: {report}");
    Ok(Seen { orders, cpu: last.0, most: last.1 })
}

pub(crate) fn run(times: usize) -> Result<Vec<Figure>> {
    let directory = tempfile::tempdir()?;
    let runs = [DAYS, DAYS * times].map(|days| measure(directory.path(), days));
    let mut figures = Vec::new();
    let mut most = Vec::new();
    for seen in runs {
        let seen = seen?;
        let named = |what: &str| format!("{what}, {} orders", seen.orders);
        let note = format!(
            "{SUPPLIERS} suppliers, {BUYERS} buyers, {ORDERS_A_DAY} orders a day, two events each, debug assertions {}",
            if cfg!(debug_assertions) { "on" } else { "off" },
        );
        figures.push(
            Figure::new(named("CPU of an order"), seen.cpu * 1e6 / seen.orders, "us", "report").note(note),
        );
        figures.push(Figure::new(named("memory at most"), seen.most / 1e6, "MB", "report"));
        most.push(seen.most);
    }
    if let [first, second] = most[..] {
        let ratio = second / first;
        figures.push(
            Figure::new(format!("memory of {times} times the days"), ratio, "x", "<= 1.1").met(ratio <= 1.1),
        );
    }
    Ok(figures)
}
