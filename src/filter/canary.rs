//! Whether the alternative to a backend takes a request (`canary-*` of ingress-nginx).

use super::{Request, text};
use crate::ir::{CanaryRule, HeaderTest, Part};

/// Whether the alternative takes the request: what is said decides, else the draw. `draw` gives a number from 0 to less than
/// its argument, each as often.
pub fn takes(rule: &CanaryRule, request: &Request<'_>, draw: impl FnOnce(u32) -> u32) -> bool {
    said(rule, request).unwrap_or_else(|| draw(rule.total) < rule.weight)
}

/// What is certain without a draw.
pub fn said(rule: &CanaryRule, request: &Request<'_>) -> Option<bool> {
    decided(rule, request).map(|(taken, _)| taken)
}

/// The part of a rule that decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// A field.
    Field,
    /// A cookie.
    Cookie,
    /// A weight of nothing or of all.
    Weight,
}

/// The same, and what makes it certain: a field decides, else a cookie, else a weight of nothing or of all.
pub fn decided(rule: &CanaryRule, request: &Request<'_>) -> Option<(bool, By)> {
    let CanaryRule { header, cookie, weight, total } = rule;
    let part = |part: &Part| {
        let mut value = Vec::new();
        text::piece(part, request, &mut |piece| value.extend_from_slice(piece));
        value
    };
    if let Some((name, test)) = header {
        let value = part(&Part::Field(name.clone()));
        let decided = match test {
            _ if value.is_empty() => None,
            HeaderTest::Broken => Some(false),
            HeaderTest::Pattern(pattern) => pattern.is_found_soon(&value).then_some(true),
            HeaderTest::Value(wanted) => (*value == *wanted.as_bytes()).then_some(true),
            HeaderTest::Word => word(&value),
        };
        if let Some(taken) = decided {
            return Some((taken, By::Field));
        }
    }
    if let Some(taken) = cookie.as_ref().and_then(|name| word(&part(&Part::Cookie(name.clone())))) {
        return Some((taken, By::Cookie));
    }
    match weight {
        0 => Some((false, By::Weight)),
        weight if weight >= total => Some((true, By::Weight)),
        _ => None,
    }
}

fn word(value: &[u8]) -> Option<bool> {
    match value {
        b"always" => Some(true),
        b"never" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::filter::tests::{head, request};
    use crate::ir::Regex;

    fn rule(test: HeaderTest) -> CanaryRule {
        CanaryRule { header: Some(("x-c".into(), test)), cookie: Some("c".into()), weight: 0, total: 100 }
    }

    #[test]
    fn the_first_part_that_decides_counts() {
        let word = rule(HeaderTest::Word);
        let value = rule(HeaderTest::Value("de".into()));
        let pattern = rule(HeaderTest::Pattern(Regex::new("^d.?$", false).unwrap()));
        let broken = rule(HeaderTest::Broken);
        for (rule, lines, taken) in [
            (&word, "", false),
            (&word, "X-C: always\r\n", true),
            (&word, "X-C: never\r\nCookie: c=always\r\n", false),
            (&word, "X-C: Always\r\nCookie: c=always\r\n", true),
            (&word, "Cookie: a=b; c=always\r\n", true),
            (&word, "Cookie: c=never\r\n", false),
            (&value, "X-C: de\r\nCookie: c=never\r\n", true),
            (&value, "X-C: DE\r\n", false),
            (&value, "X-C: always\r\n", false),
            (&value, "X-C: never\r\nCookie: c=always\r\n", true),
            (&pattern, "X-C: de\r\n", true),
            (&pattern, "X-C: dee\r\n", false),
            (&pattern, "X-C: never\r\nCookie: c=always\r\n", true),
            (&broken, "X-C: x\r\nCookie: c=always\r\n", false),
            (&broken, "Cookie: c=always\r\n", true),
        ] {
            let head = head("GET /", "a.example", lines);
            assert_eq!(takes(rule, &request(&head, false), |_| 99), taken, "{rule} {lines}");
        }
    }

    #[test]
    fn the_weight_is_a_share_of_the_total() {
        let head = head("GET /", "a.example", "");
        let share = |weight, total| {
            let rule = CanaryRule { weight, total, ..CanaryRule::default() };
            let drawn = |number| {
                takes(&rule, &request(&head, false), |of| {
                    assert_eq!(of, total);
                    number
                })
            };
            (0..total).filter(|&number| drawn(number)).count()
        };
        assert_eq!((share(0, 100), share(20, 100), share(100, 100), share(5, 1000)), (0, 20, 100, 5));
    }
}
