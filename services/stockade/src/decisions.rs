//! Reading `lockout.decisions` from a log, for reports and audits.

use anyhow::Result;
use stockade_log::{ReadLimit, SharedLog};
use stockade_model::{Decision, Payload, Topic};

/// Hands every decision from offset `from` on to `each`, with its offset; answers where to go on. A repeat after a crash
/// carries the version of the one before and is left out.
pub(crate) fn read(
    log: &SharedLog,
    from: u64,
    mut each: impl FnMut(u64, Decision) -> Result<()>,
) -> Result<u64> {
    let (mut next, mut last) = (from, None);
    loop {
        let records = log.read(Topic::LockoutDecisions.name(), 0, next, ReadLimit::default())?;
        let Some(end) = records.last().map(|record| record.offset + 1) else { return Ok(next) };
        for record in records {
            if let Payload::Decision(decision) = Payload::decode("stockade.lockout.decision", &record.value)?
                && last.as_ref().is_none_or(|last| decision.version.order() > *last)
            {
                last = Some(decision.version.order());
                each(record.offset, decision)?;
            }
        }
        next = end;
    }
}
