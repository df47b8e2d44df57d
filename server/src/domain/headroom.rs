//! How many more of a plan fit, host by host: what placement would say if it were asked again and again.
//!
//! Only room is looked at. Addresses, ports and private networks may end before it does.

use super::placement::{Resources, sellable_cpu};

/// A host's room.
#[derive(Clone, Debug, PartialEq)]
pub struct Room {
    /// Whether it takes new VPSes: enrolled, heard of, not cordoned.
    pub ready: bool,
    /// What it can give in all.
    pub capacity: Resources,
    /// What is sold already.
    pub allocated: Resources,
    /// How many times each core may be sold.
    pub cpu_overcommit: f64,
}

impl Room {
    /// How many more of this fit here.
    #[must_use]
    pub fn fits(&self, wanted: &Resources) -> i64 {
        if !self.ready {
            return 0;
        }
        let times = |capacity: i64, allocated: i64, wanted: i64| {
            (wanted > 0).then(|| (capacity.saturating_sub(allocated) / wanted).max(0))
        };
        let (all, sold) = (&self.capacity, &self.allocated);
        let cpu = sellable_cpu(all.cpu_milli, self.cpu_overcommit);
        let scarcest = [
            times(cpu, sold.cpu_milli, wanted.cpu_milli),
            times(all.cpu_milli, sold.cpu_guarantee_milli, wanted.cpu_guarantee_milli),
            times(all.memory_bytes, sold.memory_bytes, wanted.memory_bytes),
            times(all.disk_bytes, sold.disk_bytes, wanted.disk_bytes),
        ];
        scarcest.into_iter().flatten().min().unwrap_or(0)
    }
}

/// How many more of this fit on all of them.
#[must_use]
pub fn more(rooms: &[Room], wanted: &Resources) -> i64 {
    rooms.iter().map(|room| room.fits(wanted)).fold(0, i64::saturating_add)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::placement::lack_of_room;

    fn resources(most: i64) -> impl Strategy<Value = Resources> {
        (1..most, 0..most, 1..most, 1..most).prop_map(
            |(cpu_milli, cpu_guarantee_milli, memory_bytes, disk_bytes)| Resources {
                cpu_milli,
                cpu_guarantee_milli,
                memory_bytes,
                disk_bytes,
            },
        )
    }

    fn sell(room: &mut Room, wanted: &Resources, times: i64) {
        room.allocated.cpu_milli += wanted.cpu_milli * times;
        room.allocated.cpu_guarantee_milli += wanted.cpu_guarantee_milli * times;
        room.allocated.memory_bytes += wanted.memory_bytes * times;
        room.allocated.disk_bytes += wanted.disk_bytes * times;
    }

    proptest! {
        /// Placement takes as many as were told, and not one more.
        #[test]
        fn it_is_what_placement_takes(capacity in resources(10_000), sold in resources(3_000), wanted in resources(500)) {
            let mut room = Room { ready: true, capacity, allocated: sold, cpu_overcommit: 1.5 };
            let lacks = |room: &Room| lack_of_room(&room.capacity, room.cpu_overcommit, &room.allocated, &wanted);
            let fits = room.fits(&wanted);
            prop_assert_eq!(fits == 0, lacks(&room).is_some());
            if fits > 0 {
                sell(&mut room, &wanted, fits - 1);
                prop_assert!(lacks(&room).is_none());
                sell(&mut room, &wanted, 1);
                prop_assert!(lacks(&room).is_some());
            }
            prop_assert_eq!(Room { ready: false, ..room }.fits(&wanted), 0);
        }
    }
}
