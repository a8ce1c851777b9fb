//! Numbers by key, for many keys and many workers, without a lock.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

/// Slots in one bucket: a cache line.
const BUCKET: usize = 4;
/// Buckets of each part; parts are made when those before are full where they are needed. 174,080 slots in all.
const PARTS: [usize; 4] = [128, 1_024, 8_192, 34_176];

/// A table of numbers by key. A key is a hash that its owner keyed, so that nobody can choose two keys with one hash.
/// A number that is idle makes room for another key.
#[derive(Debug)]
pub(super) struct Keyed {
    used: AtomicU64,
    parts: [OnceLock<Box<[Bucket]>>; PARTS.len()],
}

#[repr(align(64))]
#[derive(Debug, Default)]
struct Bucket([Slot; BUCKET]);

#[derive(Debug, Default)]
struct Slot {
    /// 0 = never used.
    key: AtomicU64,
    value: AtomicU64,
}

/// What a change came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change<T> {
    /// It was made.
    Made(T),
    /// It was not to be made.
    Refused(T),
    /// There is no room for the key.
    Full,
}

impl Keyed {
    pub(super) const fn new() -> Keyed {
        Keyed { used: AtomicU64::new(0), parts: [const { OnceLock::new() }; PARTS.len()] }
    }

    /// Changes the number of `key`, which is 0 while the key has none. `change` gives the next number, or why there is
    /// none, from the present one; it may be asked several times. A number for which `is_idle` holds counts as 0. At most
    /// `room` keys are remembered.
    pub(super) fn change<T>(
        &self,
        key: u64,
        room: u64,
        is_idle: impl Fn(u64) -> bool,
        mut change: impl FnMut(u64) -> Result<(u64, T), T>,
    ) -> Change<T> {
        let key = key.max(1);
        'again: loop {
            let mut free = None;
            for (part, buckets) in self.parts.iter().zip(PARTS) {
                let Some(part) = part.get() else {
                    if free.is_some() {
                        break;
                    }
                    part.get_or_init(|| (0..buckets).map(|_| Bucket::default()).collect());
                    continue 'again;
                };
                let Some(Bucket(slots)) = part.get(key as usize % buckets) else { continue };
                for slot in slots {
                    let (owner, value) = (slot.key.load(Ordering::Acquire), slot.value.load(Ordering::Acquire));
                    if owner == key {
                        match self.write(slot, key, value, &mut change) {
                            Some(done) => return done,
                            None => continue 'again,
                        }
                    }
                    if free.is_none() && (owner == 0 || is_idle(value)) {
                        free = Some((slot, owner));
                    }
                }
            }
            let Some((slot, owner)) = free else { return Change::Full };
            if owner == 0 && self.used.fetch_add(1, Ordering::Relaxed) >= room {
                self.used.fetch_sub(1, Ordering::Relaxed);
                return Change::Full;
            }
            if slot.key.compare_exchange(owner, key, Ordering::AcqRel, Ordering::Relaxed).is_err() {
                if owner == 0 {
                    self.used.fetch_sub(1, Ordering::Relaxed);
                }
                continue;
            }
            // Whoever had the slot may just have used it once more: then it is ours with that number.
            let value = slot.value.load(Ordering::Acquire);
            let _ = slot.value.compare_exchange(value, 0, Ordering::AcqRel, Ordering::Relaxed);
        }
    }

    /// `None` if another was quicker.
    fn write<T>(
        &self,
        slot: &Slot,
        key: u64,
        value: u64,
        change: &mut impl FnMut(u64) -> Result<(u64, T), T>,
    ) -> Option<Change<T>> {
        let (next, told) = match change(value) {
            Ok(next) => next,
            Err(told) => return Some(Change::Refused(told)),
        };
        slot.value.compare_exchange(value, next, Ordering::AcqRel, Ordering::Relaxed).ok()?;
        // Another key may have taken the slot since it was found; what was written counts for that one then.
        (slot.key.load(Ordering::Acquire) == key).then_some(Change::Made(told))
    }

    /// Slots that there are now.
    #[cfg(test)]
    fn slots(&self) -> usize {
        self.parts.iter().filter_map(OnceLock::get).map(|part| part.len() * BUCKET).sum()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::thread;

    use super::*;

    fn add(keyed: &Keyed, key: u64) -> Change<u64> {
        keyed.change(key, 100_000, |value| value == 0, |value| Ok((value + 1, value + 1)))
    }

    #[test]
    fn every_key_has_its_own_number() {
        let keyed = Keyed::new();
        let mut random = fastrand::Rng::with_seed(7);
        let mut expected = BTreeMap::new();
        for _ in 0..200_000 {
            let key = random.u64(1..5_000).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            let count = expected.entry(key).or_insert(0);
            *count += 1;
            assert_eq!(add(&keyed, key), Change::Made(*count));
        }
    }

    #[test]
    fn it_grows_to_the_keys_there_is_room_for_and_no_further() {
        let keyed = Keyed::new();
        add(&keyed, 1);
        assert_eq!(keyed.slots(), 512, "a few clients take little room");
        let mut random = fastrand::Rng::with_seed(7);
        let made = (1..400_000).filter(|_| add(&keyed, random.u64(..)) != Change::Full).count();
        assert_eq!(made, 99_999);
        assert_eq!(keyed.slots(), PARTS.iter().sum::<usize>() * BUCKET);
    }

    #[test]
    fn idle_numbers_make_room() {
        let keyed = Keyed::new();
        let mut random = fastrand::Rng::with_seed(7);
        for _ in 0..10_000 {
            let key = random.u64(..);
            assert_eq!(add(&keyed, key), Change::Made(1));
            keyed.change(key, 100_000, |value| value == 0, |value| Ok::<_, ()>((value - 1, ())));
        }
        assert_eq!(keyed.slots(), 512);
    }

    #[test]
    fn no_count_is_lost_between_threads() {
        let keyed = Keyed::new();
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..100_000_u64).for_each(|turn| assert_ne!(add(&keyed, turn % 17 + 1), Change::Full)));
            }
        });
        let total: u64 = (0..17)
            .map(|key| match keyed.change(key + 1, 100_000, |_| false, Err::<(u64, u64), u64>) {
                Change::Refused(value) => value,
                other => panic!("{other:?}"),
            })
            .sum();
        assert_eq!(total, 400_000);
    }
}
