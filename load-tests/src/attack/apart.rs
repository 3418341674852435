//! Processors of the generator and of what it measures.
//!
//! Whoever is honest or hostile is elsewhere in truth, so what they do should cost the server nothing, and they should not wait for a
//! processor that the server has. The generator and brokers have the first quarter of the processors, at least one; the server and
//! the bare listener have all others. The threads of the honest and the brokers go before those of the attackers, who
//! would else slow the brokers by what their own sending costs.

use anyhow::{Context as _, Result};
use rustix::{
    process::setpriority_process,
    thread::{CpuSet, sched_getaffinity, sched_setaffinity},
};

/// Two sets of processors; none where all have all of them.
pub(super) struct Apart(Option<[CpuSet; 2]>);

impl Apart {
    /// Everybody has all of them.
    pub(super) fn not() -> Self {
        Self(None)
    }

    /// The processors that this program may use, parted; a single one is not.
    pub(super) fn of_this_machine() -> Result<Self> {
        let all = sched_getaffinity(None).context("which processors are there?")?;
        let numbers: Vec<usize> = (0..CpuSet::MAX_CPU).filter(|number| all.is_set(*number)).collect();
        if numbers.len() < 2 {
            return Ok(Self::not());
        }
        let (generator, server) = numbers.split_at((numbers.len() / 4).max(1));
        let set = |numbers: &[usize]| {
            let mut set = CpuSet::new();
            numbers.iter().for_each(|number| set.set(*number));
            set
        };
        Ok(Self(Some([set(generator), set(server)])))
    }

    /// This thread, and whoever it starts from now on, has the processors of the generator.
    pub(super) fn go_to_generator(&self) -> Result<()> {
        self.go(0)
    }

    /// The same with those of the server.
    pub(super) fn go_to_server(&self) -> Result<()> {
        self.go(1)
    }

    fn go(&self, which: usize) -> Result<()> {
        let Some(sets) = &self.0 else { return Ok(()) };
        sched_setaffinity(None, &sets[which]).context("it may not choose its processors")
    }

    /// Who has how many, in words.
    pub(super) fn told(&self) -> String {
        match &self.0 {
            Some([generator, server]) => format!(
                "the generator and brokers had {} of the processors, the server and the bare listener the other {}",
                generator.count(),
                server.count()
            ),
            None => "all had the same processors".to_owned(),
        }
    }
}

/// Lets this thread go before the attackers, where the system allows that; it waits most of the time.
pub(super) fn go_first() {
    // Only who administers the machine may. Without it what is measured holds some of the generator's own waiting, in both arms.
    let _ = setpriority_process(None, -20);
}

/// Starts what goes before the attackers too, behind the honest.
pub(super) fn before_attackers<T>(start: impl FnOnce() -> T) -> T {
    // Whoever is started is as nice as who starts it. Only who administers the machine may, as above.
    let _ = setpriority_process(None, -10);
    let started = start();
    let _ = setpriority_process(None, 0);
    started
}
