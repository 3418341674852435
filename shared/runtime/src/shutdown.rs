//! One signal for everyone, and a budget for the way out.

use std::time::Duration;

use tokio::sync::watch;

/// Tells tasks to end. Cheap to clone.
#[derive(Clone)]
pub struct Shutdown(watch::Sender<bool>);

impl Default for Shutdown {
    fn default() -> Self {
        Self(watch::Sender::new(false))
    }
}

impl Shutdown {
    /// Asks everyone to end.
    pub fn begin(&self) {
        self.0.send_replace(true);
    }
    /// Whether that was asked.
    pub fn begun(&self) -> bool {
        *self.0.borrow()
    }
    /// Resolves when it is asked.
    pub fn wait(&self) -> impl Future<Output = ()> + Send + 'static {
        let mut receiver = self.0.subscribe();
        // The sender may go away only with the process.
        async move { drop(receiver.wait_for(|begun| *begun).await.map(|_| ())) }
    }
    /// Begins on SIGINT or SIGTERM.
    pub fn on_signals(&self) -> std::io::Result<()> {
        use tokio::signal::unix::{SignalKind, signal};
        let (mut interrupt, mut terminate) =
            (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
        let shutdown = self.clone();
        tokio::spawn(async move {
            tokio::select! { _ = interrupt.recv() => {}, _ = terminate.recv() => {} }
            tracing::info!("shutting down");
            shutdown.begin();
        });
        Ok(())
    }
}

/// How long requests under way and final flushes get.
pub const BUDGET: Duration = Duration::from_secs(10);
