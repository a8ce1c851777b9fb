//! "Did you mean": the nearest of some names.

/// The up to three candidates nearest to `name`, nearest first, ties in alphabetical order.
pub fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Vec<&'a str> {
    let mut ranked: Vec<_> = candidates.into_iter().map(|candidate| (distance(name, candidate), candidate)).collect();
    ranked.sort_unstable();
    ranked.into_iter().map(|(_, candidate)| candidate).take(3).collect()
}

/// The nearest candidate, if it is near enough to be a slip of the keyboard.
pub fn did_you_mean<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let allowed = (name.len() / 3).clamp(1, 4);
    nearest(name, candidates).into_iter().next().filter(|candidate| distance(name, candidate) <= allowed)
}

/// Edits (insert, delete, replace one octet) from one text to the other; texts are cut at 64 octets, so that a hostile
/// name costs nothing.
pub fn distance(a: &str, b: &str) -> usize {
    const LONGEST: usize = 64;
    let mut row: Vec<usize> = (0..=b.len().min(LONGEST)).collect();
    for (i, x) in a.bytes().take(LONGEST).enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        for (j, y) in b.bytes().take(LONGEST).enumerate() {
            let Some(cell) = row.get_mut(j + 1) else { break };
            let above = *cell;
            *cell = (diagonal + usize::from(x != y)).min(above + 1).min(left + 1);
            diagonal = above;
            left = *cell;
        }
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_count_edits() {
        for (a, b, expected) in
            [("", "", 0), ("a", "", 1), ("", "ab", 2), ("kitten", "sitting", 3), ("cart", "card", 1)]
        {
            assert_eq!(distance(a, b), expected, "{a} {b}");
            assert_eq!(distance(b, a), expected, "{b} {a}");
        }
    }

    #[test]
    fn only_near_names_are_meant() {
        assert_eq!(did_you_mean("ssl-redirekt", ["ssl-redirect", "app-root"]), Some("ssl-redirect"));
        assert_eq!(did_you_mean("something-else", ["ssl-redirect", "app-root"]), None);
        assert_eq!(nearest("cart", ["web", "cart-v2", "card", "zzz"]), ["card", "cart-v2", "web"]);
    }
}
