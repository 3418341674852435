//! What a server's process has used, and when it has nothing left to do.

use std::{path::Path, time::Duration};

use anyhow::{Context as _, Result};
use stockade_testkit::wait_until;

use crate::{cluster::Server, generator::Connection};

/// Ticks of `/proc/PID/stat` in a second.
const TICKS: f64 = 100.0;
const PATIENCE: Duration = Duration::from_secs(300);

/// Seconds of CPU that a process has used, those of threads that have ended with them.
pub(crate) fn cpu_seconds(process: u32) -> Result<f64> {
    let text = std::fs::read_to_string(format!("/proc/{process}/stat"))?;
    // The name in brackets may hold spaces; the state is the first field after it, user and system time the 12th and 13th.
    let fields = text.rsplit(") ").next().context("no stat")?;
    let ticks = fields.split(' ').skip(11).take(2).map(str::parse::<u64>).sum::<Result<u64, _>>()?;
    Ok(ticks as f64 / TICKS)
}

fn status(process: u32, field: &str) -> Result<f64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix(field));
    let line = line.with_context(|| format!("no {field}"))?;
    Ok(line.trim().trim_end_matches(" kB").trim().parse::<f64>()? * 1_024.0)
}

/// Resident bytes of a process.
pub(crate) fn resident(process: u32) -> Result<f64> {
    status(process, "VmRSS:")
}

/// The most bytes that a process ever had resident.
pub(crate) fn most_resident(process: u32) -> Result<f64> {
    status(process, "VmHWM:")
}

/// Bytes of all files in a directory.
pub(crate) fn stored(directory: &Path) -> Result<f64> {
    let mut bytes = 0.0;
    for entry in std::fs::read_dir(directory)? {
        let entry = entry?;
        // A file may go while it is looked at: the store tidies up.
        let Ok(kind) = entry.metadata() else { continue };
        bytes += if kind.is_dir() { stored(&entry.path())? } else { kind.len() as f64 };
    }
    Ok(bytes)
}

/// What the server's metric of this name adds up to, over all labels.
pub(crate) fn metric(server: &Server, name: &str) -> Result<f64> {
    let admin = server.admin.context("the server has no metrics")?;
    metric_over(&mut Connection::open(admin)?, name)
}

/// The same for whoever asks often, over a connection to the address of metrics that stays open.
pub(crate) fn metric_over(connection: &mut Connection, name: &str) -> Result<f64> {
    let (_, body) = connection.call("GET", "/metrics", "", b"")?;
    let text = String::from_utf8(body)?;
    let own = text.lines().filter_map(|line| line.strip_prefix(name));
    let own = own.filter(|rest| rest.starts_with(['{', ' ']));
    let mut values = own.filter_map(|rest| rest.rsplit(' ').next()?.parse::<f64>().ok()).peekable();
    values.peek().with_context(|| format!("{name} is not told"))?;
    Ok(values.sum())
}

/// Records that folds of the server have still to apply.
fn lag(server: &Server) -> Result<f64> {
    metric(server, "stockade_fold_lag_records")
}

/// Waits until nothing is left to do: a fold that has caught up may just have given others something.
pub(crate) fn caught_up(server: &Server) -> Result<()> {
    let mut quiet = 0;
    let done = wait_until(PATIENCE, || {
        quiet = if lag(server).is_ok_and(|records| records == 0.0) { quiet + 1 } else { 0 };
        quiet >= 5
    });
    anyhow::ensure!(done, "the folds do not catch up");
    Ok(())
}
