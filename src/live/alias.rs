//! Drawing by weight in constant time (M. D. Vose, "A linear algorithm for generating random numbers with a given
//! distribution", 1991).

/// Places drawn as often as their weights say.
#[derive(Default)]
pub struct Alias {
    /// Empty when all weigh the same: then every place is as good.
    columns: Box<[Column]>,
}

/// A place, and which share of the draws that fall on it goes to another.
#[derive(Clone, Copy)]
struct Column {
    /// Of 2^32; a draw below it stays.
    own: u32,
    other: u32,
}

impl Alias {
    /// Over the places of `weights`.
    pub(super) fn new(weights: &[u32]) -> Alias {
        let sum: u64 = weights.iter().map(|&weight| u64::from(weight)).sum();
        let count = weights.len() as u64;
        if count == 0 || weights.iter().all(|&weight| u64::from(weight) * count == sum) {
            return Alias::default();
        }
        // Every column holds `sum`, so that all is in whole numbers; a place brings its weight times the count.
        let mut columns: Vec<Column> = (0..weights.len() as u32).map(|other| Column { own: u32::MAX, other }).collect();
        let parts = (0_u32..).zip(weights).map(|(place, &weight)| (place, u64::from(weight) * count));
        let (mut small, mut large): (Vec<_>, Vec<_>) = parts.partition(|&(_, part)| part < sum);
        while let Some((place, part)) = small.pop() {
            // Only sums that are not exact could leave a small one over, and these are exact.
            let Some((other, rest)) = large.pop() else { break };
            if let Some(column) = columns.get_mut(place as usize) {
                let own = u128::from(part) * (1 << 32) / u128::from(sum);
                *column = Column { own: u32::try_from(own).unwrap_or(u32::MAX), other };
            }
            let rest = rest + part - sum;
            if rest < sum { small.push((other, rest)) } else { large.push((other, rest)) }
        }
        Alias { columns: columns.into() }
    }

    /// The place for `random`, of `count` places.
    pub fn place(&self, random: u64, count: usize) -> usize {
        // A multiplication in place of a division (D. Lemire, 2019); the bias is below count / 2^32.
        let place = (((random >> 32) * count as u64) >> 32) as usize;
        let Some(column) = self.columns.get(place) else { return place };
        // No branch: what is drawn cannot be foreseen.
        [place, column.other as usize].get(usize::from(random as u32 >= column.own)).copied().unwrap_or(place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_place_is_drawn_as_often_as_its_weight_says() {
        let cases: &[&[u32]] = &[&[1], &[7, 7, 7], &[3, 1], &[1, 1_000], &[5, 1, 1], &[10, 20, 30, 40, 50, 1, 1, 1]];
        let mut random = fastrand::Rng::with_seed(5);
        for weights in cases {
            let alias = Alias::new(weights);
            let mut drawn = vec![0_u32; weights.len()];
            (0..100_000).for_each(|_| drawn[alias.place(random.u64(..), weights.len())] += 1);
            let sum: u32 = weights.iter().sum();
            for (place, &weight) in weights.iter().enumerate() {
                let (share, due) = (f64::from(drawn[place]) / 1e5, f64::from(weight) / f64::from(sum));
                assert!((share - due).abs() < 0.005, "{weights:?} place {place}: {share} for {due}");
            }
        }
    }

    #[test]
    fn equal_weights_need_no_table() {
        for weights in [&[][..], &[9], &[4, 4, 4, 4]] {
            assert!(Alias::new(weights).columns.is_empty());
        }
    }
}
