//! Which worker owns which partition: every worker computes the same answer from the same list.
//!
//! Rendezvous hashing (Thaler and Ravishankar, 1998) gives every worker a rank for every partition, and each partition
//! goes to the best-ranked worker that still has room. Nobody holds more than ⌈P/n⌉ or fewer than ⌊P/n⌋ partitions.

use std::collections::BTreeMap;

use highwater_protocol::{QueueName, WorkerId, partition::fnv1a32, worker::Announcement};

/// The workers that take runs of a queue: those that serve it, without those that know fewer types than another one.
///
/// While a deploy with a new workflow type is under way, the old workers could not run it; so the ones that know more own
/// the partitions.
pub fn candidates(queue: &QueueName, live: &BTreeMap<WorkerId, Announcement>) -> Vec<WorkerId> {
    let types_of =
        |announcement: &Announcement| announcement.queues.iter().find(|q| q.queue == *queue).map(|q| q.types.clone());
    let serving: Vec<_> = live.iter().filter_map(|(id, announcement)| Some((*id, types_of(announcement)?))).collect();
    let surpassed = |types: &[_]| {
        serving.iter().any(|(_, others)| others.len() > types.len() && types.iter().all(|name| others.contains(name)))
    };
    serving.iter().filter(|(_, types)| !surpassed(types)).map(|(id, _)| *id).collect()
}

/// The owner of each partition of a queue; empty when there is no worker.
pub fn assign(queue: &QueueName, partitions: u16, workers: &[WorkerId]) -> Vec<WorkerId> {
    if workers.is_empty() {
        return Vec::new();
    }
    let (floor, ceiling) = (usize::from(partitions) / workers.len(), usize::from(partitions).div_ceil(workers.len()));
    let mut ranked: Vec<(u64, u16, usize)> = (0..partitions)
        .flat_map(|partition| {
            workers.iter().enumerate().map(move |(index, worker)| (rank(queue, partition, *worker), partition, index))
        })
        .collect();
    ranked.sort_unstable_by(|a, b| b.cmp(a));
    let mut owners: Vec<Option<usize>> = vec![None; usize::from(partitions)];
    let mut held = vec![0; workers.len()];
    for (_, partition, index) in &ranked {
        let owner = &mut owners[usize::from(*partition)];
        if owner.is_none() && held[*index] < ceiling {
            held[*index] += 1;
            *owner = Some(*index);
        }
    }
    // Whoever has fewer than the floor gets the partitions it ranks best at, from those who have more than it.
    for (_, partition, index) in &ranked {
        let owner = owners[usize::from(*partition)].expect("there is room for every partition");
        if held[*index] < floor && held[owner] > floor {
            held[owner] -= 1;
            held[*index] += 1;
            owners[usize::from(*partition)] = Some(*index);
        }
    }
    owners.into_iter().flatten().map(|index| workers[index]).collect()
}

/// A worker's rank for a partition. FNV alone leaves the high bits of similar inputs alike, so it is finished with the
/// mixer of SplitMix64 (Steele, Lea, Flood, 2014).
fn rank(queue: &QueueName, partition: u16, worker: WorkerId) -> u64 {
    let (high, low) = worker.0.as_u64_pair();
    let mut x =
        high ^ low.rotate_left(32) ^ (u64::from(fnv1a32(queue.as_str().as_bytes())) << 16) ^ u64::from(partition);
    for (shift, factor) in [(30, 0xbf58_476d_1ce4_e5b9_u64), (27, 0x94d0_49bb_1331_11eb)] {
        x = (x ^ (x >> shift)).wrapping_mul(factor);
    }
    x ^ (x >> 31)
}

#[cfg(test)]
mod tests {
    use highwater_protocol::{TypeName, worker::ServedQueue};
    use uuid::Uuid;

    use super::*;

    fn workers(count: u128) -> Vec<WorkerId> {
        (1..=count)
            .map(|n| WorkerId(Uuid::from_u128(n.wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835))))
            .collect()
    }

    fn queue() -> QueueName {
        QueueName::new("main").unwrap()
    }

    #[test]
    fn nobody_holds_more_than_the_ceiling_or_less_than_the_floor() {
        for count in 1..=70 {
            let workers = workers(count);
            let owners = assign(&queue(), 64, &workers);
            for worker in &workers {
                let held = owners.iter().filter(|owner| *owner == worker).count();
                assert!(
                    held >= 64 / workers.len() && held <= 64usize.div_ceil(workers.len()),
                    "{held} of 64 with {count} workers"
                );
            }
        }
    }

    #[test]
    fn the_order_of_the_list_does_not_matter() {
        let forward = workers(7);
        let backward: Vec<_> = forward.iter().rev().copied().collect();
        assert_eq!(assign(&queue(), 64, &forward), assign(&queue(), 64, &backward));
    }

    #[test]
    fn a_join_moves_at_most_twice_its_share() {
        for count in 1..=20 {
            let after = workers(count + 1);
            let before = &after[..after.len() - 1];
            let (old, new) = (assign(&queue(), 64, before), assign(&queue(), 64, &after));
            let moved = old.iter().zip(&new).filter(|(a, b)| a != b).count();
            assert!(
                moved <= 2 * 64usize.div_ceil(after.len()),
                "{moved} of 64 moved when worker {} joined",
                after.len()
            );
        }
    }

    #[test]
    fn workers_that_know_fewer_types_wait() {
        let ids = workers(3);
        let announce = |worker: WorkerId, types: &[&str]| {
            let types = types.iter().map(|name| TypeName::new(*name).unwrap()).collect();
            (worker, Announcement { worker, name: String::new(), queues: vec![ServedQueue { queue: queue(), types }] })
        };
        let live = BTreeMap::from([announce(ids[0], &["a"]), announce(ids[1], &["a", "b"]), announce(ids[2], &["c"])]);
        let mut found = candidates(&queue(), &live);
        found.sort();
        let mut expected = vec![ids[1], ids[2]];
        expected.sort();
        assert_eq!(found, expected);
    }
}
