//! Who owns what.

use highwater::Highwater;
use highwater_broker::{Broker, Bucket};
use highwater_protocol::{WorkerId, lease::Lease, wire, worker::Announcement};

/// The leases of all partitions that ever had an owner.
pub async fn leases(highwater: &Highwater) -> Vec<Lease> {
    let entries = highwater.broker().kv_list(Bucket::Offsets).await.unwrap_or_default();
    entries.iter().filter_map(|(_, entry)| wire::decode(&entry.value).ok()).collect()
}

/// How many partitions the live worker of this name owns; none while it is not announced.
pub async fn partitions_of(highwater: &Highwater, worker: &str) -> usize {
    let announced = highwater.broker().kv_list(Bucket::Workers).await.unwrap_or_default();
    let mut ids = announced.iter().filter_map(|(key, entry)| {
        let announcement: Announcement = wire::decode(&entry.value).ok()?;
        (announcement.name == worker).then(|| key.parse::<WorkerId>().ok())?
    });
    let Some(id) = ids.next() else { return 0 };
    leases(highwater).await.iter().filter(|lease| lease.owner == Some(id)).count()
}
