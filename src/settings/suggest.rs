//! "Did you mean": the nearest of some names.

/// The up to three candidates nearest to `name`, nearest first, ties in alphabetical order.
pub fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Vec<&'a str> {
    let mut ranked: Vec<_> = candidates.into_iter().map(|candidate| (distance(name, candidate), candidate)).collect();
    ranked.sort_unstable();
    ranked.into_iter().map(|(_, candidate)| candidate).take(3).collect()
}

/// The candidate that is meant: the nearest, if it is near enough to be a slip of the keyboard, or the only one that has
/// all of `name` and more words.
pub fn did_you_mean<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let candidates: Vec<&str> = candidates.into_iter().collect();
    // Two letters that changed places are two edits.
    let allowed = (name.len() / 4).clamp(1 + usize::from(name.len() > 5), 3);
    let nearest = nearest(name, candidates.iter().copied()).into_iter().next()?;
    let is_longer = |candidate: &&str| {
        let (begins, ends) = (candidate.strip_prefix(name), candidate.strip_suffix(name));
        begins.is_some_and(|rest| rest.starts_with('-')) || ends.is_some_and(|rest| rest.ends_with('-'))
    };
    let mut longer = candidates.iter().copied().filter(is_longer).filter(|_| name.contains('-'));
    match (distance(name, nearest), longer.next(), longer.next()) {
        (0..=1, ..) => Some(nearest),
        (_, Some(longer), None) => Some(longer),
        (distance, ..) => Some(nearest).filter(|_| distance <= allowed),
    }
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
        assert_eq!(did_you_mean("enable-gzip", ["enable-ocsp", "use-gzip"]), None);
        assert_eq!(did_you_mean("worker-connections", ["max-worker-connections"]), Some("max-worker-connections"));
        let buffers = ["proxy-buffering", "proxy-buffers-number"];
        assert_eq!(did_you_mean("proxy-buffers", buffers), Some("proxy-buffers-number"));
        assert_eq!(did_you_mean("proxy", buffers), None);
        assert_eq!(nearest("cart", ["web", "cart-v2", "card", "zzz"]), ["card", "cart-v2", "web"]);
    }
}
