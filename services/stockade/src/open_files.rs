//! What the system lets this process have.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Open files left to the log, Kafka, Redis and everything else that is no peer.
const FILES_RESERVED: u64 = 1_024;

/// How many connections of each of so many kinds can be kept of `wanted`: the limit on open files is raised as far as it goes, and
/// what it does not cover is told. A log that finds no file left would stop the process.
pub(crate) fn connections(wanted: usize, kinds: usize) -> usize {
    let found = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: found.maximum, maximum: found.maximum };
    if let Err(error) = setrlimit(Resource::Nofile, raised) {
        tracing::warn!(%error, "the limit on open files cannot be raised");
    }
    let fits = (fitting(wanted.saturating_mul(kinds), getrlimit(Resource::Nofile).current) / kinds).max(1);
    if fits < wanted {
        tracing::warn!(
            wanted,
            fits,
            "the limit on open files allows fewer connections than http.connections.max; raise it with ulimit -n"
        );
    }
    fits
}

/// The connections that fit under a limit on open files; no limit fits all.
fn fitting(wanted: usize, files: Option<u64>) -> usize {
    let Some(files) = files else { return wanted };
    let left = files.saturating_sub(FILES_RESERVED).max(files / 2).max(1);
    wanted.min(usize::try_from(left).unwrap_or(usize::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_leave_files_for_the_log() {
        assert_eq!(fitting(4_096, None), 4_096);
        assert_eq!(fitting(4_096, Some(1_048_576)), 4_096);
        assert_eq!(fitting(4_096, Some(4_096)), 3_072);
        assert_eq!(fitting(4_096, Some(1_024)), 512);
        assert_eq!(fitting(4_096, Some(1)), 1);
    }
}
