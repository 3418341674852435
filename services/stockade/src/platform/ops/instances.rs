//! The processes of the installation, as the log knows them: who takes part in its groups now.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Serialize;
use stockade_log::Member;

/// Who runs now.
#[derive(Serialize, JsonSchema)]
pub(super) struct Instances {
    /// By name.
    pub(super) instances: Vec<Running>,
}

/// One process.
#[derive(Debug, PartialEq, Serialize, JsonSchema)]
#[schemars(rename = "RunningInstance")]
pub(super) struct Running {
    /// The name it has in the log: `kafka.instance` on Kafka, other at each start on an embedded log.
    pub(super) instance: String,
    /// Where it calls Kafka from; null where the log is embedded.
    pub(super) host: Option<String>,
    /// Whether it is the process that answers.
    pub(super) here: bool,
    /// What runs in it, by the folds it takes part in: of `inventory`, `scoring` and `lockout`.
    pub(super) roles: Vec<&'static str>,
    /// Its folds.
    pub(super) folds: Vec<FoldOf>,
}

/// A fold that a process takes part in.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[schemars(rename = "FoldOfInstance")]
pub(super) struct FoldOf {
    pub(super) fold: String,
    /// Partitions it owns. Of a fold that every replica follows, one of them commits for all.
    pub(super) partitions: Vec<u32>,
}

/// The role that a fold belongs to; none for a group that is no fold of this build.
fn role_of(fold: &str) -> Option<&'static str> {
    match fold {
        "inventory" => Some("inventory"),
        "intake" | "scoring" | "peers" | "links" => Some("scoring"),
        "control" | "evaluation" | "arbiter" | "decisions" | "webhooks" => Some("lockout"),
        _ => None,
    }
}

/// The processes that the members of groups belong to.
pub(super) fn by_instance(members: Vec<Member>) -> Instances {
    let mut instances: BTreeMap<(String, String), Running> = BTreeMap::new();
    for Member { instance, host, group, partitions, here } in members {
        let Some(role) = role_of(&group) else { continue };
        let running = instances.entry((instance, host)).or_insert_with_key(|(instance, host)| Running {
            instance: instance.clone(),
            host: Some(host.clone()),
            here,
            roles: Vec::new(),
            folds: Vec::new(),
        });
        if !running.roles.contains(&role) {
            running.roles.push(role);
        }
        running.folds.push(FoldOf { fold: group, partitions });
    }
    let mut instances: Vec<Running> = instances.into_values().collect();
    for running in &mut instances {
        running.roles.sort_unstable();
        running.folds.sort();
    }
    Instances { instances }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_put_together_by_process_and_other_groups_are_left_out() {
        let member = |instance: &str, group: &str, partitions: &[u32]| Member {
            instance: instance.to_owned(),
            host: "10.0.0.1".to_owned(),
            group: group.to_owned(),
            partitions: partitions.to_vec(),
            here: instance == "b",
        };
        let of = by_instance(vec![
            member("b", "inventory", &[]),
            member("a", "scoring", &[0, 1]),
            member("b", "arbiter", &[0]),
            member("a", "intake", &[1]),
            member("a", "billing", &[5]),
        ]);
        let seen: Vec<_> =
            of.instances.iter().map(|of| (of.instance.as_str(), of.here, of.roles.clone())).collect();
        assert_eq!(seen, [("a", false, vec!["scoring"]), ("b", true, vec!["inventory", "lockout"])]);
        let folds: Vec<_> =
            of.instances[0].folds.iter().map(|of| (of.fold.as_str(), &of.partitions)).collect();
        assert_eq!(folds, [("intake", &vec![1]), ("scoring", &vec![0, 1])]);
    }
}
