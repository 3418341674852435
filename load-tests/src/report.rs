//! One page per run: the figures, and how latencies are spread.

use std::{fmt::Write as _, path::PathBuf};

use anyhow::Result;
use hdrhistogram::Histogram;

use crate::Figure;

/// Latencies of one arm.
pub(crate) struct Curve {
    pub(crate) name: String,
    pub(crate) latencies: Histogram<u64>,
}

const WIDTH: f64 = 760.0;
const HEIGHT: f64 = 320.0;
const COLOURS: [&str; 6] = ["#1f6feb", "#d1242f", "#1a7f37", "#9a6700", "#8250df", "#57606a"];

/// Quantiles on the x axis, from the median outwards: the tail is what matters.
const QUANTILES: [f64; 9] = [0.0, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 0.995, 0.999];

fn plot(curves: &[Curve]) -> Result<String> {
    let highest = curves.iter().map(|curve| curve.latencies.value_at_quantile(0.999)).max().unwrap_or(1);
    let lowest = curves.iter().map(|curve| curve.latencies.min()).min().unwrap_or(1).max(1);
    let (low, high) = ((lowest as f64).log10().floor(), (highest.max(10) as f64).log10().ceil());
    let x = |index: usize| 60.0 + index as f64 * (WIDTH - 80.0) / (QUANTILES.len() - 1) as f64;
    let y = |nanos: f64| HEIGHT - 40.0 - (nanos.log10() - low) / (high - low).max(1.0) * (HEIGHT - 60.0);
    let mut svg = format!("<svg viewBox='0 0 {WIDTH} {HEIGHT}' role='img' aria-label='latency by quantile'>");
    for decade in low as i32..=high as i32 {
        let nanos = 10f64.powi(decade);
        let label = match decade {
            ..6 => format!("{} us", nanos / 1e3),
            6..9 => format!("{} ms", nanos / 1e6),
            _ => format!("{} s", nanos / 1e9),
        };
        let at = y(nanos);
        write!(
            svg,
            "<line x1='60' x2='{}' y1='{at:.1}' y2='{at:.1}' stroke='#d0d7de'/><text x='54' y='{:.1}' text-anchor='end'>{label}</text>",
            WIDTH - 20.0,
            at + 4.0
        )?;
    }
    for (index, quantile) in QUANTILES.iter().enumerate() {
        write!(
            svg,
            "<text x='{:.1}' y='{:.1}' text-anchor='middle'>p{}</text>",
            x(index),
            HEIGHT - 16.0,
            quantile * 100.0
        )?;
    }
    for (number, curve) in curves.iter().enumerate() {
        let points: Vec<String> = QUANTILES
            .iter()
            .enumerate()
            .map(|(index, q)| {
                format!("{:.1},{:.1}", x(index), y(curve.latencies.value_at_quantile(*q).max(1) as f64))
            })
            .collect();
        let colour = COLOURS[number % COLOURS.len()];
        write!(
            svg,
            "<polyline fill='none' stroke='{colour}' stroke-width='2' points='{}'/>",
            points.join(" ")
        )?;
        write!(
            svg,
            "<text x='70' y='{}' fill='{colour}'>{} (n = {})</text>",
            18 + 16 * number,
            curve.name,
            curve.latencies.len()
        )?;
    }
    svg.push_str("</svg>");
    Ok(svg)
}

/// Writes the page and gives its path.
pub(crate) fn write(scenario: &str, figures: &[Figure], curves: &[Curve]) -> Result<PathBuf> {
    let mut rows = String::new();
    for figure in figures {
        let met = figure.met.map_or("", |met| if met { "met" } else { "not met" });
        write!(
            rows,
            "<tr><td>{}<td class=n>{:.3}<td>{}<td>{}<td>{met}<td>{}",
            figure.name,
            figure.value,
            figure.unit,
            figure.target.replace('<', "&lt;"),
            figure.note
        )?;
    }
    let plot = if curves.is_empty() { String::new() } else { plot(curves)? };
    let page = format!(
        "<!doctype html><meta charset=utf-8><title>Stockade: {scenario}</title>\
         <style>body{{font:15px system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#1f2328}}\
         table{{border-collapse:collapse}}td,th{{padding:.3rem .8rem;border-bottom:1px solid #d0d7de;text-align:left}}\
         .n{{text-align:right;font-variant-numeric:tabular-nums}}svg{{width:100%;font-size:11px}}</style>\
         <h1>{scenario}</h1><p>Latency counts from the intended time of sending. Arms were interleaved in one run.</p>\
         <table><tr><th>figure<th>value<th>unit<th>target<th><th>note{rows}</table>{plot}"
    );
    let directory = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../target/load-tests");
    std::fs::create_dir_all(&directory)?;
    let path = directory.join(format!("{scenario}.html"));
    std::fs::write(&path, page)?;
    Ok(path)
}
