//! Who owns what: sticky, balanced assignment, as a pure function, and the state of one group.

/// A member of a group, in order of joining.
pub(crate) type MemberId = u64;

/// Ownership of one group's partitions.
#[derive(Clone, Debug, Default)]
pub(crate) struct Group {
    next_member: MemberId,
    members: Vec<MemberId>,
    pub(crate) owners: Vec<Option<MemberId>>,
    pub(crate) epochs: Vec<u64>,
    /// Raised with every change, so that members notice.
    pub(crate) revision: u64,
}

impl Group {
    /// A group nobody has joined, with the epochs that earlier lives committed under.
    pub(crate) fn new(epochs: Vec<u64>) -> Self {
        Self { owners: vec![None; epochs.len()], epochs, ..Self::default() }
    }
    pub(crate) fn join(&mut self) -> MemberId {
        self.next_member += 1;
        self.members.push(self.next_member);
        self.rebalance();
        self.next_member
    }
    pub(crate) fn leave(&mut self, member: MemberId) {
        self.members.retain(|m| *m != member);
        self.rebalance();
    }
    pub(crate) fn has(&self, member: MemberId) -> bool {
        self.members.contains(&member)
    }
    /// Puts the owner of `partition` out of the group, as a broker does when a session times out.
    pub(crate) fn evict_owner(&mut self, partition: usize) {
        if let Some(owner) = self.owners.get(partition).copied().flatten() {
            self.leave(owner);
        }
    }
    fn rebalance(&mut self) {
        let next = assign(&self.members, &self.owners);
        for (partition, owner) in next.iter().enumerate() {
            if *owner != self.owners[partition] {
                self.epochs[partition] += 1;
            }
        }
        self.owners = next;
        self.revision += 1;
    }
}

/// Balanced assignment that moves as few partitions as possible: members keep what they own up to their fair share.
fn assign(members: &[MemberId], current: &[Option<MemberId>]) -> Vec<Option<MemberId>> {
    if members.is_empty() {
        return vec![None; current.len()];
    }
    let (fair, extra) = (current.len() / members.len(), current.len() % members.len());
    let mut held = vec![0usize; members.len()];
    let mut over_fair = 0;
    let mut next: Vec<Option<usize>> = current
        .iter()
        .map(|owner| {
            let index = members.iter().position(|m| Some(*m) == *owner)?;
            let may_keep = held[index] < fair || (held[index] == fair && over_fair < extra);
            if !may_keep {
                return None;
            }
            held[index] += 1;
            over_fair += usize::from(held[index] > fair);
            Some(index)
        })
        .collect();
    for slot in next.iter_mut().filter(|slot| slot.is_none()) {
        let poorest = (0..members.len()).min_by_key(|i| held[*i]).unwrap_or(0);
        held[poorest] += 1;
        *slot = Some(poorest);
    }
    next.into_iter().map(|slot| slot.map(|index| members[index])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        #[test]
        fn every_partition_is_owned_shares_differ_by_at_most_one_and_moves_are_few(
            partitions in 1usize..40, steps in proptest::collection::vec((proptest::bool::ANY, 0usize..8), 1..20),
        ) {
            let mut group = Group::new(vec![0; partitions]);
            let mut members = Vec::new();
            for (join, pick) in steps {
                let before = group.clone();
                if join || members.is_empty() {
                    members.push(group.join());
                } else {
                    let gone = members.remove(pick % members.len());
                    group.leave(gone);
                }
                let shares: Vec<usize> = members.iter()
                    .map(|m| group.owners.iter().filter(|o| **o == Some(*m)).count()).collect();
                if let (Some(most), Some(least)) = (shares.iter().max(), shares.iter().min()) {
                    proptest::prop_assert!(most - least <= 1);
                    proptest::prop_assert_eq!(shares.iter().sum::<usize>(), partitions);
                }
                let moved = (0..partitions).filter(|p| group.owners[*p] != before.owners[*p]).count();
                let raised = (0..partitions).filter(|p| group.epochs[*p] > before.epochs[*p]).count();
                proptest::prop_assert_eq!(moved, raised);
                if join && members.len() > 1 {
                    proptest::prop_assert!(moved <= partitions.div_ceil(members.len()));
                }
            }
        }
    }
}
