//! Processes that this kit starts, and only those, are stopped by it.

use std::{
    fs::File,
    net::{Ipv4Addr, TcpListener},
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};

/// A child process with its output in a file; killed when dropped.
pub struct Process {
    child: Option<Child>,
    name: String,
}

impl Process {
    /// Starts `command` with its output appended to `log`.
    pub fn start(name: &str, mut command: Command, log: &Path) -> Result<Self> {
        let out = File::options().create(true).append(true).open(log)?;
        command.stdin(Stdio::null()).stdout(out.try_clone()?).stderr(out);
        let child = command.spawn().with_context(|| format!("{name} could not be started"))?;
        Ok(Self { child: Some(child), name: name.to_owned() })
    }
    /// Its id.
    pub fn id(&self) -> u32 {
        self.child.as_ref().map_or(0, Child::id)
    }
    /// Whether it still runs.
    pub fn runs(&mut self) -> bool {
        self.child.as_mut().is_some_and(|child| matches!(child.try_wait(), Ok(None)))
    }
    /// Lets it run on without us.
    pub fn detach(mut self) -> u32 {
        let id = self.id();
        self.child = None;
        id
    }
    /// Ends it without asking.
    pub fn kill(&mut self) -> Result<()> {
        if let Some(child) = &mut self.child {
            child.kill()?;
            child.wait()?;
        }
        self.child = None;
        Ok(())
    }
    /// Asks it to end and waits; after `patience` it is killed.
    pub fn stop(&mut self, patience: Duration) -> Result<()> {
        let Some(child) = &mut self.child else { return Ok(()) };
        signal(child.id(), "TERM")?;
        let ended = wait_until(patience, || matches!(child.try_wait(), Ok(Some(_))));
        if !ended {
            child.kill()?;
            child.wait()?;
        }
        self.child = None;
        Ok(())
    }
    /// Stops it in its tracks, or lets it go on.
    pub fn freeze(&self, frozen: bool) -> Result<()> {
        signal(self.id(), if frozen { "STOP" } else { "CONT" })
    }
    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.kill();
    }
}

fn signal(id: u32, name: &str) -> Result<()> {
    let status = Command::new("kill").args([&format!("-{name}"), &id.to_string()]).status()?;
    anyhow::ensure!(status.success(), "process {id} cannot be signalled");
    Ok(())
}

/// Ends a process started earlier, if its command line still mentions `mark`; says whether it did.
pub fn stop_process(id: u32, mark: &str, patience: Duration) -> Result<bool> {
    let is_ours = || {
        let line = std::fs::read(format!("/proc/{id}/cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&line).contains(mark)
    };
    if !is_ours() {
        return Ok(false);
    }
    signal(id, "TERM")?;
    if !wait_until(patience, || !is_ours()) {
        signal(id, "KILL")?;
    }
    Ok(true)
}

/// Looks again every few milliseconds until `holds` or `patience` is over; says which.
pub fn wait_until(patience: Duration, mut holds: impl FnMut() -> bool) -> bool {
    let begun = Instant::now();
    loop {
        if holds() {
            return true;
        }
        if begun.elapsed() > patience {
            return false;
        }
        std::thread::park_timeout(Duration::from_millis(10));
    }
}

/// Ports that were free a moment ago, all different.
pub fn free_ports(count: usize) -> Result<Vec<u16>> {
    let listeners: Vec<TcpListener> =
        (0..count).map(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0))).collect::<Result<_, _>>()?;
    Ok(listeners.iter().map(|listener| listener.local_addr().map(|a| a.port())).collect::<Result<_, _>>()?)
}
