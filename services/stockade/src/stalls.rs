//! Which partitions stand still, as the brokers see it from outside of the processes that should go through them.

use std::time::Duration;

use stockade_fold::Spec;
use stockade_inventory::inventory_spec;
use stockade_lockout::{arbiter_spec, control_spec, decisions_spec, evaluation_spec};
use stockade_log::LogError;
use stockade_log_kafka::{GroupProgress, KafkaLog};
use stockade_supplier_scoring::{intake_spec, links_spec, peers_spec, scoring_spec};

use crate::platform::topic_spec;

/// Between two looks; an owner that has something to do commits twice a second.
const BETWEEN: Duration = Duration::from_secs(3);

/// A partition that did not move between two looks although there was something to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Standing {
    pub(crate) fold: &'static str,
    pub(crate) partition: u32,
    pub(crate) at: GroupProgress,
}

/// The folds of all roles.
fn folds(partitions: u32) -> [Spec; 10] {
    [
        control_spec(partitions),
        intake_spec(partitions),
        inventory_spec(partitions),
        scoring_spec(partitions),
        peers_spec(partitions),
        links_spec(partitions),
        evaluation_spec(partitions),
        arbiter_spec(partitions),
        decisions_spec(partitions),
        stockade_webhooks::webhooks_spec(partitions),
    ]
}

fn look(log: &KafkaLog, partitions: u32) -> Result<Vec<Standing>, LogError> {
    let mut all = Vec::new();
    for Spec { name, input, .. } in folds(partitions) {
        let progress = log.group_progress(name, &topic_spec(input, partitions))?;
        let of_fold = (0..).zip(progress).map(|(partition, at)| Standing { fold: name, partition, at });
        all.extend(of_fold.filter(|place| place.at.committed < place.at.end));
    }
    Ok(all)
}

/// Those of `before` that had not moved by `after`.
fn unmoved(before: Vec<Standing>, after: &[Standing]) -> Vec<Standing> {
    let stands = |place: &Standing| {
        after.iter().any(|later| {
            (later.fold, later.partition, later.at.committed)
                == (place.fold, place.partition, place.at.committed)
        })
    };
    before.into_iter().filter(stands).collect()
}

/// Looks twice, and says what did not move. It takes no time where there is nothing to do.
pub(crate) fn standing(log: &KafkaLog, partitions: u32) -> Result<Vec<Standing>, LogError> {
    let before = look(log, partitions)?;
    if before.is_empty() {
        return Ok(before);
    }
    std::thread::park_timeout(BETWEEN);
    Ok(unmoved(before, &look(log, partitions)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_moved_or_has_nothing_left_to_do_does_not_stand_still() {
        let place = |fold, partition, committed, end| Standing {
            fold,
            partition,
            at: GroupProgress { committed, end },
        };
        let before = vec![place("a", 0, 3, 9), place("a", 1, 3, 9), place("b", 0, 0, 1), place("b", 1, 5, 7)];
        let after = [place("a", 0, 3, 20), place("a", 1, 4, 9), place("b", 0, 0, 1), place("c", 0, 3, 9)];
        assert_eq!(unmoved(before, &after), [place("a", 0, 3, 9), place("b", 0, 0, 1)]);
    }
}
