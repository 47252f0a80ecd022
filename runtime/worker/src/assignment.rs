//! Which worker owns which partition: every worker computes the answer from who lives and who owns what now.
//!
//! Balance is exact: nobody holds more than ⌈P/n⌉ or fewer than ⌊P/n⌋ partitions of a queue. Beyond that everybody
//! keeps what it has, so a join moves one share and a leave moves the leaver's. Two workers that look at different
//! moments may disagree; the leases decide, and the next look agrees. Plain rendezvous hashing was tried: bounded to
//! exact balance it moved up to four shares per join, because every change of the bound cascades.

use std::collections::BTreeMap;

use highwater_protocol::{QueueName, WorkerId, partition::fnv1a32, worker::Announcement};

/// The workers that take runs of a queue: those that serve it, without those that know fewer types than another one.
///
/// While a deploy with a new workflow type is under way, the old workers could not run it; so the ones that know more
/// own the partitions.
pub(crate) fn candidates(queue: &QueueName, live: &BTreeMap<WorkerId, Announcement>) -> Vec<WorkerId> {
    let types_of =
        |announcement: &Announcement| announcement.queues.iter().find(|q| q.queue == *queue).map(|q| q.types.clone());
    let serving: Vec<_> = live.iter().filter_map(|(id, announcement)| Some((*id, types_of(announcement)?))).collect();
    let surpassed = |types: &[_]| {
        serving.iter().any(|(_, others)| others.len() > types.len() && types.iter().all(|name| others.contains(name)))
    };
    serving.iter().filter(|(_, types)| !surpassed(types)).map(|(id, _)| *id).collect()
}

/// Whether a worker may have a partition, in one of the rounds of giving them out.
type Eligible<'a> = &'a dyn Fn(usize, WorkerId) -> bool;

/// The owner that each partition of a queue is to have, given the owners that they have now; empty when there is no
/// worker.
pub(crate) fn assign(queue: &QueueName, workers: &[WorkerId], current: &[Option<WorkerId>]) -> Vec<WorkerId> {
    if workers.is_empty() {
        return Vec::new();
    }
    let floor = current.len() / workers.len();
    // So many workers hold one more than the floor.
    let mut with_one_more = current.len() % workers.len();
    let mut owners: Vec<Option<WorkerId>> = vec![None; current.len()];
    let mut held: BTreeMap<WorkerId, usize> = workers.iter().map(|worker| (*worker, 0)).collect();
    let mut ranked: Vec<(u64, usize, WorkerId)> = (0..current.len())
        .flat_map(|partition| workers.iter().map(move |worker| (rank(queue, partition, *worker), partition, *worker)))
        .collect();
    ranked.sort_unstable_by(|a, b| b.cmp(a));
    let keeps = |partition: usize, worker: WorkerId| current[partition] == Some(worker);
    let anyone = |_: usize, _: WorkerId| true;
    // First everybody keeps up to the floor, then some keep one more; then what is left fills up to the floor, and then
    // to one more.
    let rounds: [(Eligible<'_>, bool); 4] = [(&keeps, false), (&keeps, true), (&anyone, false), (&anyone, true)];
    for (eligible, beyond_floor) in rounds {
        for (_, partition, worker) in &ranked {
            let count = held.get_mut(worker).expect("every ranked worker is listed");
            if owners[*partition].is_some() || !eligible(*partition, *worker) {
                continue;
            }
            if *count < floor {
                *count += 1;
            } else if beyond_floor && *count == floor && with_one_more > 0 {
                with_one_more -= 1;
                *count += 1;
            } else {
                continue;
            }
            owners[*partition] = Some(*worker);
        }
    }
    owners.into_iter().map(|owner| owner.expect("there is room for every partition")).collect()
}

/// A worker's rank for a partition. FNV alone leaves the high bits of similar inputs alike, so it is finished with the
/// mixer of SplitMix64 (Steele, Lea, Flood, 2014).
fn rank(queue: &QueueName, partition: usize, worker: WorkerId) -> u64 {
    let (high, low) = worker.0.as_u64_pair();
    let mut x = high ^ low.rotate_left(32) ^ (u64::from(fnv1a32(queue.as_str().as_bytes())) << 16) ^ partition as u64;
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

    fn settled(workers: &[WorkerId]) -> Vec<Option<WorkerId>> {
        assign(&queue(), workers, &[None; 64]).into_iter().map(Some).collect()
    }

    fn moves(before: &[Option<WorkerId>], after: &[WorkerId]) -> usize {
        before.iter().zip(after).filter(|(a, b)| **a != Some(**b)).count()
    }

    #[test]
    fn nobody_holds_more_than_the_ceiling_or_less_than_the_floor() {
        for count in 1..=70 {
            let workers = workers(count);
            let owners = assign(&queue(), &workers, &[None; 64]);
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
        assert_eq!(settled(&forward), settled(&backward));
    }

    #[test]
    fn what_is_settled_stays() {
        let workers = workers(7);
        assert_eq!(moves(&settled(&workers), &assign(&queue(), &workers, &settled(&workers))), 0);
    }

    #[test]
    fn a_join_moves_one_share_and_a_leave_moves_the_leavers() {
        for count in 1..=20 {
            let all = workers(count + 1);
            let fewer = &all[..all.len() - 1];
            let share = 64usize.div_ceil(all.len());
            let joined = moves(&settled(fewer), &assign(&queue(), &all, &settled(fewer)));
            assert!(joined <= share, "{joined} of 64 moved when worker {} joined", all.len());
            let left = moves(&settled(&all), &assign(&queue(), fewer, &settled(&all)));
            assert!(left <= share, "{left} of 64 moved when worker {} left", all.len());
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
