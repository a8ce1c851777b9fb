//! Which endpoint a hash belongs to: weighted rendezvous hashing (D. Thaler, C. Ravishankar, 1998; weights by J. Resch,
//! 2015). It depends on nothing but the addresses and weights, so every replica gives the same answer, and an endpoint that
//! comes or goes takes or leaves only what is its own.

use std::array;
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, OnceLock};

use foldhash::fast::FixedState;

/// A hash is rounded to one of 2^18 slots: each belongs to one endpoint.
const SLOT_BITS: u32 = 18;
/// Up to so many endpoints all are compared for each hash; above that a slot is worked out once and remembered.
const COMPARED: usize = 16;
/// Above so many too: a remembered slot has two bytes, so that all slots of one backend fit into half a megabyte of the
/// processor's cache. A cluster is not made for Services of that size.
const MOST_REMEMBERED: usize = u16::MAX as usize - 1;
/// Remembered slots are allocated a page at a time.
const PAGE: usize = 1_024;

/// The owners of all slots, worked out as they are asked for.
pub struct Rendezvous {
    endpoints: Box<[Seat]>,
    /// All weigh the same.
    is_even: bool,
    /// Place + 1 by slot; 0 is not worked out yet. Empty for few endpoints, and for far too many.
    pages: Box<[Page]>,
}

type Page = OnceLock<Box<[AtomicU16; PAGE]>>;

/// What an endpoint brings to the contest for a slot.
#[derive(Clone, Copy, PartialEq)]
struct Seat {
    seed: u64,
    weight: f64,
}

impl Rendezvous {
    /// Over endpoints in this order, with their weights.
    pub(super) fn new(endpoints: impl Iterator<Item = (SocketAddr, u32)>) -> Rendezvous {
        let endpoints: Box<[Seat]> =
            endpoints.map(|(address, weight)| Seat { seed: seed(address), weight: weight.max(1).into() }).collect();
        let is_even = endpoints.windows(2).all(|pair| matches!(pair, [a, b] if a.weight.total_cmp(&b.weight).is_eq()));
        let is_remembered = (COMPARED + 1..=MOST_REMEMBERED).contains(&endpoints.len());
        let pages = if is_remembered { (1 << SLOT_BITS) / PAGE } else { 0 };
        Rendezvous { endpoints, is_even, pages: (0..pages).map(|_| Page::new()).collect() }
    }

    /// The same over endpoints that are there after `before`, with what is remembered as far as it holds: a slot whose owner
    /// left or weighs less is worked out again, and a newcomer or one that weighs more is compared with each owner. When too
    /// many are new, nothing is remembered.
    pub(super) fn after(
        before: &Arc<Rendezvous>,
        endpoints: impl Iterator<Item = (SocketAddr, u32)>,
    ) -> Arc<Rendezvous> {
        let next = Rendezvous::new(endpoints);
        if next.endpoints == before.endpoints {
            return Arc::clone(before);
        }
        let places: HashMap<u64, usize, FixedState> =
            next.endpoints.iter().enumerate().map(|(place, seat)| (seat.seed, place)).collect();
        let mut is_challenger = vec![true; next.endpoints.len()];
        let kept = |seat: &Seat| {
            let place = *places.get(&seat.seed)?;
            let weight = next.endpoints.get(place)?.weight;
            if let Some(is_challenger) = is_challenger.get_mut(place) {
                *is_challenger = weight > seat.weight;
            }
            (weight >= seat.weight).then_some(place)
        };
        let kept: Vec<Option<usize>> = before.endpoints.iter().map(kept).collect();
        let challengers: Vec<usize> =
            (0..).zip(&is_challenger).filter_map(|(place, is_challenger)| is_challenger.then_some(place)).collect();
        if challengers.len() > MOST_CHALLENGERS {
            return Arc::new(next);
        }
        for ((slots, old), new) in (0..).zip(&before.pages).zip(&next.pages) {
            let Some(old) = old.get() else { continue };
            let owner = |(slot, cell): (u64, &AtomicU16)| {
                let owner = (cell.load(Ordering::Relaxed) as usize).checked_sub(1)?;
                let kept = kept.get(owner).copied().flatten()?;
                next.best(slots * PAGE as u64 + slot, challengers.iter().copied().chain([kept]))
            };
            let mut owners = (0..).zip(old.iter()).map(owner);
            let page = array::from_fn(|_| AtomicU16::new(owners.next().flatten().map_or(0, |owner| owner as u16 + 1)));
            // Nobody else has the new set as yet.
            let _is_first = new.set(Box::new(page));
        }
        Arc::new(next)
    }

    /// The place of the endpoint that `hash` belongs to; `None` when there is no endpoint.
    pub fn owner(&self, hash: u64) -> Option<usize> {
        let slot = hash >> (u64::BITS - SLOT_BITS);
        let Some(page) = self.pages.get(slot as usize / PAGE) else { return self.winner(slot) };
        let page = page.get_or_init(|| Box::new(array::from_fn(|_| AtomicU16::new(0))));
        let cell = page.get(slot as usize % PAGE)?;
        // Whoever works it out finds the same, so nobody has to wait for another.
        match cell.load(Ordering::Relaxed) {
            0 => {
                let winner = self.winner(slot)?;
                cell.store(winner as u16 + 1, Ordering::Relaxed);
                Some(winner)
            }
            known => Some(known as usize - 1),
        }
    }

    /// The endpoint with the least -ln(u) / weight, where u is drawn from its address and the slot. Where all weigh the
    /// same that is the one with the greatest u.
    fn winner(&self, slot: u64) -> Option<usize> {
        let slot = mixed(slot);
        let drawn = self.endpoints.iter().map(|seat| mix(seat.seed ^ slot));
        if self.is_even {
            // The first of equal ones, as below.
            let greatest = drawn.enumerate().max_by_key(|&(place, drawn)| (drawn >> 11, usize::MAX - place));
            return greatest.map(|(place, _)| place);
        }
        let scores = drawn.zip(&self.endpoints).map(|(drawn, seat)| minus_ln(drawn) / seat.weight);
        scores.enumerate().min_by(|(_, a), (_, b)| a.total_cmp(b)).map(|(place, _)| place)
    }

    /// The winner of a slot among these places only.
    fn best(&self, slot: u64, places: impl Iterator<Item = usize>) -> Option<usize> {
        let slot = mixed(slot);
        let score = |place: usize| {
            let seat = self.endpoints.get(place)?;
            Some((minus_ln(mix(seat.seed ^ slot)) / seat.weight, place))
        };
        places
            .filter_map(score)
            .min_by(|(a, place), (b, other)| a.total_cmp(b).then(place.cmp(other)))
            .map(|(_, place)| place)
    }
}

/// More newcomers at a time are not compared with every remembered owner.
const MOST_CHALLENGERS: usize = 4;

fn mixed(slot: u64) -> u64 {
    mix(slot.wrapping_mul(GOLDEN).wrapping_add(GOLDEN))
}

/// The next hash of a chain: what to ask for when the owner of `hash` cannot be taken.
pub fn next(hash: u64) -> u64 {
    mix(hash.wrapping_add(GOLDEN))
}

/// A 64-bit hash of bytes in pieces: FNV-1a (G. Fowler, L. C. Noll, K.-P. Vo), then mixed, since FNV leaves its upper bits
/// uneven. Where the pieces begin does not count. The same on every replica and in every build.
#[derive(Clone, Copy, Debug)]
pub struct Fnv {
    state: u64,
    is_empty: bool,
}

impl Default for Fnv {
    fn default() -> Fnv {
        Fnv { state: 0xcbf2_9ce4_8422_2325, is_empty: true }
    }
}

impl Fnv {
    /// Takes in a piece.
    pub fn write(&mut self, piece: &[u8]) {
        for &octet in piece {
            self.state = (self.state ^ u64::from(octet)).wrapping_mul(0x0000_0100_0000_01b3);
        }
        self.is_empty &= piece.is_empty();
    }

    /// The hash; `None` when there was no byte.
    pub fn finish(self) -> Option<u64> {
        (!self.is_empty).then(|| mix(self.state))
    }
}

/// The seed of an endpoint: its address and port.
fn seed(address: SocketAddr) -> u64 {
    let mut hash = Fnv::default();
    match address.ip() {
        IpAddr::V4(ip) => hash.write(&ip.octets()),
        IpAddr::V6(ip) => hash.write(&ip.octets()),
    }
    hash.write(&address.port().to_be_bytes());
    hash.finish().unwrap_or_default()
}

/// 2^64 divided by the golden ratio.
const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// The finaliser of SplitMix64 (S. Vigna): every bit of the result depends on every bit of `z`.
fn mix(z: u64) -> u64 {
    let z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ z >> 31
}

/// -ln(u) for u = (the upper 53 bits + 1/2) / 2^53, to seven digits. Of operations that IEEE 754 gives to the last bit: the
/// logarithm of a system's library may differ from that of another.
fn minus_ln(drawn: u64) -> f64 {
    let bits = ((drawn >> 11) as f64 + 0.5).to_bits();
    // The number is m x 2^e with m from 1 up to 2.
    let exponent = (bits >> 52) as f64 - 1_023.0;
    let m = f64::from_bits(bits & ((1 << 52) - 1) | 1_023 << 52);
    // ln m = 2 artanh(t), as a series.
    let t = (m - 1.0) / (m + 1.0);
    let s = t * t;
    let series = 1.0 + s * (1.0 / 3.0 + s * (1.0 / 5.0 + s * (1.0 / 7.0 + s * (1.0 / 9.0 + s / 11.0))));
    (53.0 - exponent) * std::f64::consts::LN_2 - 2.0 * t * series
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(count: u32) -> impl Iterator<Item = (SocketAddr, u32)> {
        (0..count).map(|n| (SocketAddr::from(([10, 1, (n >> 8) as u8, n as u8], 8080)), 1))
    }

    /// Every slot's hash.
    fn hashes() -> impl Iterator<Item = u64> {
        (0..1_u64 << SLOT_BITS).map(|slot| slot << (64 - SLOT_BITS))
    }

    #[test]
    fn the_logarithm_is_right_and_falls_always() {
        let mut last = f64::INFINITY;
        for step in 0..100_000_u64 {
            let drawn = step * (u64::MAX / 100_000);
            let (found, due) = (minus_ln(drawn), -(((drawn >> 11) as f64 + 0.5) / 2_f64.powi(53)).ln());
            assert!((found - due).abs() < 1e-6 * due.max(1.0), "{drawn}: {found} for {due}");
            assert!(found <= last, "{drawn}");
            last = found;
        }
    }

    #[test]
    fn shares_are_those_of_the_weights() {
        for weights in [vec![1; 3], vec![5, 1, 1], vec![1; 17], (1..=20).collect()] {
            let rendezvous = Rendezvous::new(addresses(weights.len() as u32).zip(&weights).map(|((a, _), w)| (a, *w)));
            let mut owned = vec![0_u32; weights.len()];
            hashes().for_each(|hash| owned[rendezvous.owner(hash).unwrap()] += 1);
            let sum: u32 = weights.iter().sum();
            for (place, (&owned, &weight)) in owned.iter().zip(&weights).enumerate() {
                let (share, due) = (f64::from(owned) / f64::from(1 << SLOT_BITS), f64::from(weight) / f64::from(sum));
                assert!((share - due).abs() < 0.005, "{weights:?} place {place}: {share} for {due}");
            }
        }
    }

    #[test]
    fn what_is_remembered_is_what_is_worked_out() {
        let rendezvous =
            Rendezvous::new(addresses(100).map(|(address, _)| (address, 1 + u32::from(address.port()) % 7)));
        for hash in hashes().step_by(97) {
            let worked_out = rendezvous.winner(hash >> (64 - SLOT_BITS));
            assert_eq!([rendezvous.owner(hash), rendezvous.owner(hash)], [worked_out; 2]);
        }
    }

    #[test]
    fn only_the_keys_of_an_endpoint_that_leaves_move() {
        // Over the number up to which all are compared, too.
        for count in [3, 10, 16, 17, 100] {
            let whole = Rendezvous::new(addresses(count));
            for gone in [0, count / 2, count - 1] {
                let rest: Vec<u32> = (0..count).filter(|place| *place != gone).collect();
                let less = Rendezvous::new(
                    addresses(count).filter(|(a, _)| *a != addresses(count).nth(gone as usize).unwrap().0),
                );
                for hash in hashes().step_by(61) {
                    let before = whole.owner(hash).unwrap() as u32;
                    let after = rest[less.owner(hash).unwrap()];
                    assert!(before == after || before == gone, "{count} without {gone}");
                }
            }
        }
    }

    #[test]
    fn what_is_taken_over_is_what_would_be_worked_out_anew() {
        type Weight = fn(u32) -> u32;
        let some = |places: &[u32], weight: Weight| -> Vec<_> {
            let all: Vec<_> = addresses(200).map(|(address, _)| address).collect();
            places.iter().map(|&place| (all[place as usize], weight(place))).collect()
        };
        let even = |_| 10;
        let odd = |place| 10 + place % 3;
        let first: Vec<u32> = (0..100).collect();
        let steps: [(Vec<u32>, Weight); 6] = [
            (first.clone(), even),
            ((1..100).collect(), even),
            ((1..103).collect(), even),
            ((1..103).filter(|place| place % 7 != 0).chain([150]).collect(), even),
            (first.clone(), odd),
            (first, even),
        ];
        let mut before = Arc::new(Rendezvous::new(addresses(1)));
        for (places, weight) in steps {
            let seats = some(&places, weight);
            let taken_over = Rendezvous::after(&before, seats.iter().copied());
            let anew = Rendezvous::new(seats.iter().copied());
            for hash in hashes().step_by(53) {
                assert_eq!(taken_over.owner(hash), anew.winner(hash >> (64 - SLOT_BITS)), "{} seats", seats.len());
            }
            assert!(
                Arc::ptr_eq(&taken_over, &Rendezvous::after(&taken_over, seats.iter().copied())),
                "nothing changed"
            );
            before = taken_over;
        }
        let page = |rendezvous: &Rendezvous| rendezvous.pages[0].get().map(|page| page[0].load(Ordering::Relaxed));
        let less = Rendezvous::after(&before, some(&(0..99).collect::<Vec<_>>(), |_| 10).into_iter());
        assert!(page(&before).is_some_and(|owner| owner > 0) && page(&less).is_some(), "it is remembered");
    }

    #[test]
    fn the_order_of_equal_weights_is_that_of_the_logarithm() {
        let even = Rendezvous::new(addresses(12));
        let scored = Rendezvous { is_even: false, ..Rendezvous::new(addresses(12)) };
        assert!(hashes().step_by(7).all(|hash| even.owner(hash) == scored.owner(hash)));
    }

    #[test]
    fn a_hash_is_the_same_for_ever_and_wherever_its_pieces_begin() {
        let hash = |pieces: &[&str]| {
            let mut hash = Fnv::default();
            pieces.iter().for_each(|piece| hash.write(piece.as_bytes()));
            hash.finish()
        };
        assert_eq!(hash(&[]), None);
        assert_eq!(hash(&["", ""]), None);
        assert_eq!(hash(&["ab", "c"]), hash(&["", "a", "bc"]));
        // Another answer would move every client at an upgrade.
        assert_eq!(hash(&["session-1"]), Some(FIXED));
        let owner = |hash| Rendezvous::new(addresses(10)).owner(hash);
        assert_eq!(owner(FIXED), OWNER);
    }

    /// Worked out by another program.
    const FIXED: u64 = 10_348_509_449_063_778_181;
    const OWNER: Option<usize> = Some(7);

    #[test]
    fn no_endpoint_owns_nothing_and_a_lone_one_all() {
        assert_eq!(Rendezvous::new(addresses(0)).owner(7), None);
        assert_eq!(Rendezvous::new(addresses(1)).owner(u64::MAX), Some(0));
    }
}
