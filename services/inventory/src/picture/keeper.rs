//! Writes the last picture, now and then and at the end, on a thread of its own.

use std::{
    io,
    sync::Arc,
    time::{Duration, Instant},
};

use stockade_runtime::Shutdown;

use super::Pictures;
use crate::app::App;

/// How often it is looked whether anything is to be written, and whether the process ends.
const LOOK: Duration = Duration::from_millis(250);
/// Pause between two writings of what is withheld, while that changes.
const WITHHELD_PAUSE: Duration = Duration::from_secs(1);
/// A pause is at least so many times as long as the writing before it took: so writing takes at most a twentieth of one core.
const PAUSE_TIMES: u32 = 20;
/// Pause after each piece of what is offered, so that the disk and the memory are others' in between.
const PIECE_PAUSE: Duration = Duration::from_millis(2);
/// How long the last picture of what is offered may take, at the end of the process.
const LAST: Duration = Duration::from_secs(5);

/// What it did and has to do.
struct Keeper {
    app: Arc<App>,
    pictures: Pictures,
    shutdown: Shutdown,
    /// When what is withheld was written last, by the app's clock, and how many changes the overlay had then; none before the first.
    withheld: Option<(i64, u64)>,
    withheld_due: Instant,
    offers_due: Instant,
    /// Whether the last writing failed, so that it is said once.
    is_failing: bool,
}

/// Keeps pictures of what `app` shows until `shutdown`, and a last one then. It blocks: give it a thread, with a low priority.
pub fn keep(app: Arc<App>, pictures: Pictures, shutdown: Shutdown) {
    let now = Instant::now();
    let mut keeper = Keeper {
        app,
        pictures,
        shutdown,
        withheld: None,
        withheld_due: now,
        offers_due: now,
        is_failing: false,
    };
    while !keeper.shutdown.begun() {
        keeper.look();
        std::thread::park_timeout(LOOK);
    }
    keeper.last();
}

impl Keeper {
    fn look(&mut self) {
        // Before that, what is withheld is not all that should be.
        if self.app.ready().is_err() {
            return;
        }
        let done = self.keep_what_changed();
        self.note(done);
        let now = Instant::now();
        if now >= self.offers_due && self.withheld.is_some() {
            let shutdown = self.shutdown.clone();
            let done = self.keep_offers(|| {
                std::thread::park_timeout(PIECE_PAUSE);
                // The last one is written in another way.
                if shutdown.begun() { Err(io::ErrorKind::Interrupted.into()) } else { Ok(()) }
            });
            let took = now.elapsed();
            self.offers_due = Instant::now() + self.pictures.bounds().every.max(took * PAUSE_TIMES);
            self.note(done);
        }
    }

    /// Keeps what is withheld, if that has changed and its time has come.
    fn keep_what_changed(&mut self) -> io::Result<()> {
        let now = Instant::now();
        let changed = self.withheld.is_none_or(|(_, changes)| changes != self.app.overlay.changes());
        if !changed || now < self.withheld_due {
            return Ok(());
        }
        let done = self.keep_withheld();
        self.withheld_due = Instant::now() + WITHHELD_PAUSE.max(now.elapsed() * PAUSE_TIMES);
        done
    }

    /// What is withheld first: it is small, and without it nothing is shown.
    fn last(&mut self) {
        if self.app.ready().is_err() {
            return;
        }
        let done = self.keep_withheld();
        self.note(done);
        let deadline = Instant::now() + LAST;
        let done = self.keep_offers(|| match Instant::now() < deadline {
            true => Ok(()),
            false => {
                Err(io::Error::other(format!("it was not written within {} s of the end", LAST.as_secs())))
            }
        });
        self.note(done);
    }

    fn keep_withheld(&mut self) -> io::Result<()> {
        // Before what is written: a change in between is written again.
        let changes = self.app.overlay.changes();
        let now_ms = self.app.now().ms();
        // A clock that was set back must not make what is new look old.
        let now_ms = self.withheld.map_or(now_ms, |(before_ms, _)| now_ms.max(before_ms));
        self.pictures.keep_withheld(&self.app.overlay, self.app.freshness().0.ms(), now_ms)?;
        self.withheld = Some((now_ms, changes));
        Ok(())
    }

    fn keep_offers(&mut self, mut pause: impl FnMut() -> io::Result<()>) -> io::Result<()> {
        let Some((withheld_ms, _)) = self.withheld else { return Ok(()) };
        // Before the first is read: whatever comes meanwhile is in it or not.
        let as_of_ms = self.app.freshness().0.ms();
        let (app, pictures) = (self.app.clone(), self.pictures.clone());
        // It may take minutes, in which others are withheld: that does not wait for its end. Where it cannot be kept, offers are not either.
        let between = || {
            pause()?;
            self.keep_what_changed()
        };
        pictures.keep_offers(&app.index, (as_of_ms, withheld_ms), between)?;
        app.note_picture(as_of_ms);
        Ok(())
    }

    fn note(&mut self, done: io::Result<()>) {
        match done {
            Ok(()) if self.is_failing => {
                self.is_failing = false;
                tracing::info!("the picture of what buyers see is kept again");
            }
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => {
                if !std::mem::replace(&mut self.is_failing, true) {
                    tracing::warn!(
                        %error,
                        "no new picture of what buyers see can be kept; the one before stays, and a start without the log would show that. Check the disk under the data directory, or turn pictures off with picture.every_s: 0"
                    );
                }
            }
        }
    }
}
