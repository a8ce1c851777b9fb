//! The response cache: bounded by octets, in one memory for all workers and zones, with one fetch for each key.

mod body;
mod fetch;
mod stored;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use quick_cache::sync::{Cache as Map, DefaultLifecycle};
use quick_cache::{OptionsBuilder, Weighter};

pub use self::body::{Body, Next};
use self::fetch::Fetches;
pub use self::fetch::{Fetch, Joined, Lead, Outcome};
pub use self::stored::{Life, Selecting, Stored, compact, join};

/// Of the memory, bodies that come in may hold one part in so many; what is kept has the rest.
const COMING: u64 = 4;
/// The least memory of a part that is locked by itself, octets: a body larger than that is never kept.
const SHARD: u64 = 16 << 20;
/// Answers of one key that are kept beside each other.
const VARIANTS: usize = 32;
/// An answer that was not kept is taken for a sign that the next one will not be either, for so long, milliseconds.
const PASS: u64 = 10_000;
/// What an entry costs besides its content, octets.
const OVERHEAD: u64 = 160;

/// What is kept under one key.
#[derive(Debug)]
pub struct Slot {
    host: Box<[u8]>,
    path: Box<[u8]>,
    /// Answers, each for other requests, the newest last.
    pub variants: Box<[Arc<Stored>]>,
    /// Up to then, since the epoch, requests do not wait for each other: what comes is not kept.
    pass_until: u64,
}

impl Slot {
    /// Whether each request should go by itself.
    pub fn is_pass(&self, now: u64) -> bool {
        self.variants.is_empty() && now < self.pass_until
    }
}

#[derive(Clone)]
struct Weight;

impl Weighter<Box<[u8]>, Arc<Slot>> for Weight {
    fn weight(&self, key: &Box<[u8]>, slot: &Arc<Slot>) -> u64 {
        let names = key.len() + slot.host.len() + slot.path.len();
        OVERHEAD + names as u64 + slot.variants.iter().map(|stored| stored.weight()).sum::<u64>()
    }
}

type Entries = Map<Box<[u8]>, Arc<Slot>, Weight, Hasher>;

/// Keys come from clients, so they are hashed with a secret.
type Hasher = std::hash::RandomState;

/// The response cache of the process.
pub struct Cache {
    entries: Entries,
    fetches: Arc<Fetches>,
    /// Held while an entry is made from the one before.
    changing: Mutex<()>,
    coming: AtomicU64,
    most_coming: u64,
    most_kept: u64,
}

/// Which URL a key stands for.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// Host, without port, in lower case.
    pub host: &'a [u8],
    /// Path in the form that routes match (`uri::path`).
    pub path: &'a [u8],
}

impl Cache {
    /// A cache of `size` octets.
    pub fn new(size: u64) -> Cache {
        let most_coming = size / COMING;
        let most_kept = size - most_coming;
        let shards = usize::try_from(most_kept / SHARD).unwrap_or(1).clamp(1, 64);
        // As many as there may be, at about 16 KiB each; it grows where there are more.
        let items = usize::try_from(most_kept >> 14).unwrap_or(usize::MAX).clamp(16, 1 << 20);
        let options = OptionsBuilder::new()
            .estimated_items_capacity(items)
            .weight_capacity(most_kept)
            .shards(shards)
            .build()
            .ok();
        let entries = match options {
            Some(options) => Map::with_options(options, Weight, Hasher::new(), DefaultLifecycle::default()),
            None => Map::with(items, most_kept, Weight, Hasher::new(), DefaultLifecycle::default()),
        };
        Cache {
            entries,
            fetches: Arc::default(),
            changing: Mutex::default(),
            coming: AtomicU64::new(0),
            most_coming,
            most_kept: most_kept / shards.next_power_of_two() as u64,
        }
    }

    /// What is kept under `key`.
    pub fn find(&self, key: &[u8]) -> Option<Arc<Slot>> {
        self.entries.get(key)
    }

    /// Keeps an answer, in place of the one for the same requests.
    pub fn insert(&self, key: &[u8], place: Place<'_>, stored: Arc<Stored>) {
        let _changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let before = self.entries.get(key);
        let others = before.iter().flat_map(|slot| slot.variants.iter());
        let mut variants: Vec<_> = others.filter(|other| other.selecting != stored.selecting).cloned().collect();
        variants.push(stored);
        let surplus = variants.len().saturating_sub(VARIANTS);
        variants.drain(..surplus);
        self.put(key, place, variants, 0);
    }

    /// Notes that an answer under `key` could not be kept. What is kept there stays.
    pub fn pass(&self, key: &[u8], place: Place<'_>, now: u64) {
        let _changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        if self.entries.get(key).is_none_or(|slot| slot.variants.is_empty()) {
            self.put(key, place, Vec::new(), now + PASS);
        }
    }

    fn put(&self, key: &[u8], place: Place<'_>, variants: Vec<Arc<Stored>>, pass_until: u64) {
        let slot = Slot { host: place.host.into(), path: place.path.into(), variants: variants.into(), pass_until };
        self.entries.insert(key.into(), Arc::new(slot));
    }

    /// Forgets what is kept under `key`.
    pub fn remove(&self, key: &[u8]) {
        // Or an answer that is just being kept beside it would bring it back.
        let _changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        self.entries.remove(key);
    }

    /// Forgets what is kept of `host`, or of one path of it, whatever the query; gives the number of answers.
    pub fn purge(&self, host: &[u8], path: Option<&[u8]>) -> u64 {
        let _changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let is_meant = |slot: &Slot| *slot.host == *host && path.is_none_or(|path| *slot.path == *path);
        let meant: Vec<_> = self.entries.iter().filter(|(_, slot)| is_meant(slot)).collect();
        let mut purged = 0;
        for (key, slot) in meant {
            if self.entries.remove(&*key).is_some() {
                purged += slot.variants.len() as u64;
            }
        }
        purged
    }

    /// Joins the fetch of `key`, or begins it.
    pub fn join(&self, key: &[u8]) -> Joined {
        self.fetches.join(key)
    }

    /// Makes room for `octets` of a body that comes in; `None` when there is none.
    pub fn reserve(self: &Arc<Self>, octets: u64) -> Option<Reserved> {
        let mut reserved = Reserved { cache: Arc::clone(self), octets: 0 };
        reserved.grow(octets).then_some(reserved)
    }

    /// Octets of the largest body that can be kept.
    pub fn largest(&self) -> u64 {
        self.most_kept.min(self.most_coming)
    }

    /// Octets that are kept.
    pub fn octets(&self) -> u64 {
        self.entries.weight()
    }
}

/// Room for a body that comes in, until dropped.
pub struct Reserved {
    cache: Arc<Cache>,
    octets: u64,
}

impl Reserved {
    /// Makes more room. Whether there was any.
    pub fn grow(&mut self, octets: u64) -> bool {
        let before = self.cache.coming.fetch_add(octets, Ordering::Relaxed);
        if before + octets > self.cache.most_coming {
            self.cache.coming.fetch_sub(octets, Ordering::Relaxed);
            return false;
        }
        self.octets += octets;
        true
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        self.cache.coming.fetch_sub(self.octets, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;

    use super::*;
    use crate::http1::ResponseHead;

    const PLACE: Place<'_> = Place { host: b"a.example", path: b"/x" };

    fn stored(selecting: &str, octets: usize) -> Arc<Stored> {
        let head = "HTTP/1.1 200 OK\r\nX-A: b\r\n\r\n";
        let head = ResponseHead::parse(&mut BytesMut::from(head), head.len(), false).unwrap();
        let body = Arc::new(Body::default());
        body.push(&vec![b'x'; octets]);
        body.end(Next::End);
        let life = Life {
            received: 0,
            initial_age: 0,
            fresh: 0,
            while_revalidate: 0,
            if_error: 0,
            must_revalidate: false,
            no_cache: false,
        };
        let selecting = [(b"foo"[..].into(), Some(selecting.as_bytes().into()))].into();
        Arc::new(Stored { head, body, selecting, life })
    }

    fn variants(cache: &Cache, key: &[u8]) -> usize {
        cache.find(key).map_or(0, |slot| slot.variants.len())
    }

    #[test]
    fn an_answer_takes_the_place_of_the_one_for_the_same_requests() {
        let cache = Cache::new(64 << 20);
        for selecting in ["1", "2", "1"] {
            cache.insert(b"k", PLACE, stored(selecting, 10));
        }
        assert_eq!(variants(&cache, b"k"), 2);
        for number in 0..100 {
            cache.insert(b"k", PLACE, stored(&number.to_string(), 10));
        }
        assert_eq!(variants(&cache, b"k"), VARIANTS);
        let newest = cache.find(b"k").unwrap().variants.last().cloned().unwrap();
        assert_eq!(newest.selecting[0].1.as_deref(), Some(&b"99"[..]));
    }

    #[test]
    fn a_sign_that_nothing_is_kept_never_replaces_what_is() {
        let cache = Cache::new(64 << 20);
        cache.pass(b"k", PLACE, 1000);
        let slot = cache.find(b"k").unwrap();
        assert!(slot.is_pass(1000 + PASS - 1) && !slot.is_pass(1000 + PASS));
        cache.insert(b"k", PLACE, stored("1", 10));
        cache.pass(b"k", PLACE, 1000);
        assert_eq!(variants(&cache, b"k"), 1);
        assert!(!cache.find(b"k").unwrap().is_pass(1000));
        cache.remove(b"k");
        assert!(cache.find(b"k").is_none());
    }

    #[test]
    fn memory_is_bounded_and_one_pass_over_many_keys_does_not_take_what_is_in_use() {
        let cache = Cache::new(64 << 20);
        let kept = |cache: &Cache| (0..20u32).filter(|key| cache.find(&key.to_le_bytes()).is_some()).count();
        for key in 0..20u32 {
            cache.insert(&key.to_le_bytes(), PLACE, stored("1", 100_000));
        }
        for _ in 0..10 {
            assert_eq!(kept(&cache), 20);
        }
        for key in 1000..6000u32 {
            cache.insert(&key.to_le_bytes(), PLACE, stored("1", 100_000));
        }
        assert!(cache.octets() <= 48 << 20, "{}", cache.octets());
        assert!(kept(&cache) >= 18, "{} of 20 are left after a scan", kept(&cache));
    }

    #[test]
    fn bodies_that_come_in_have_a_quarter_and_give_it_back() {
        let cache = Arc::new(Cache::new(1 << 20));
        let mut first = cache.reserve(200 << 10).unwrap();
        assert!(cache.reserve(100 << 10).is_none());
        assert!(first.grow(50 << 10) && !first.grow(50 << 10));
        drop(first);
        assert!(cache.reserve(256 << 10).is_some());
        assert_eq!(cache.largest(), 256 << 10);
    }

    #[test]
    fn a_cache_without_memory_keeps_nothing() {
        let cache = Arc::new(Cache::new(0));
        cache.insert(b"k", PLACE, stored("1", 10));
        assert!(cache.find(b"k").is_none() && cache.reserve(1).is_none());
        assert_eq!((cache.octets(), cache.purge(b"a.example", None)), (0, 0));
    }
}
