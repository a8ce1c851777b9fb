//! The order of smooth weighted round robin.

/// The turns of smooth weighted round robin: each place as often as its weight says, at even distances. Exact after
/// division by the common divisor; weights whose sum is out of bounds are scaled down, to at least 1.
pub(super) fn turns(weights: &[u32]) -> Box<[u32]> {
    let divisor = weights.iter().fold(0, |divisor, &weight| common_divisor(divisor, weight));
    if weights.iter().all(|&weight| weight == divisor) {
        return Box::default();
    }
    let mut weights: Vec<u64> = weights.iter().map(|&weight| u64::from(weight / divisor)).collect();
    let sum: u64 = weights.iter().sum();
    if sum > MOST_TURNS {
        let count = weights.len() as u64;
        let share = MOST_TURNS.saturating_sub(count).max(count);
        weights.iter_mut().for_each(|weight| *weight = 1 + *weight * share / sum);
    }
    let mut turns: Vec<(u64, u32)> = Vec::new();
    for (place, &weight) in (0..).zip(&weights) {
        // One round lasts 2^32. Multiples of the golden ratio as first turns keep places of equal weight apart.
        let first = u64::from(GOLDEN.wrapping_mul(place + 1));
        turns.extend((0..weight).map(|turn| (((turn << 32) + first) / weight, place)));
    }
    turns.sort_unstable();
    turns.into_iter().map(|(_, place)| place).collect()
}

/// Turns that are laid out for weights which have no small common measure.
const MOST_TURNS: u64 = 32_768;

/// 2^32 divided by the golden ratio.
const GOLDEN: u32 = 0x9e37_79b9;

fn common_divisor(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { common_divisor(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turns_are_exact_and_even() {
        let cases: &[&[u32]] = &[&[5, 1, 1], &[3, 1], &[2, 2, 1], &[1000, 999], &[300, 200, 100], &[1, 1000]];
        for weights in cases {
            let turns = turns(weights);
            let sum = turns.len() as u32;
            for (place, &weight) in (0..).zip(*weights) {
                let taken: Vec<usize> = (0..turns.len()).filter(|&turn| turns[turn] == place).collect();
                assert_eq!(taken.len() as u32 * weights.iter().sum::<u32>(), weight * sum, "{weights:?} place {place}");
                let even = turns.len() as f64 / taken.len() as f64;
                for pair in taken.windows(2) {
                    let distance = (pair[1] - pair[0]) as f64;
                    assert!(
                        (distance - even).abs() < weights.len() as f64,
                        "{weights:?} place {place}: {distance} for {even}"
                    );
                }
            }
        }
        assert_eq!(&*turns(&[300, 200, 100]), &*turns(&[3, 2, 1]), "the common divisor is taken out");
    }

    #[test]
    fn equal_weights_need_no_turns() {
        assert!(turns(&[]).is_empty());
        assert!(turns(&[7]).is_empty());
        assert!(turns(&[7, 7, 7]).is_empty());
    }

    #[test]
    fn turns_are_bounded_for_any_weights() {
        for count in [100, 5_000, 40_000] {
            let weights: Vec<u32> = (0..count).map(|place| 1 + place * 7_919 % 1_000).collect();
            let turns = turns(&weights);
            assert!(turns.len() <= MOST_TURNS.max(2 * u64::from(count)) as usize);
            assert!((0..count).collect::<std::collections::BTreeSet<_>>() == turns.iter().copied().collect());
        }
    }
}
