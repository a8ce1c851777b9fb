//! Texts and regular expressions that values are compared with.

use std::cmp::Ordering;
use std::sync::Arc;

use regex::bytes::{Regex, RegexBuilder};

/// The largest compiled regular expression, in octets.
const LARGEST: usize = 256 << 10;

/// What a value may be.
#[derive(Clone, Debug)]
pub struct Pattern {
    /// As written.
    pub text: Arc<str>,
    regex: Option<Regex>,
}

impl Pattern {
    /// The whole text, in any letter case.
    pub fn text(text: &str) -> Pattern {
        Pattern { text: text.into(), regex: None }
    }

    /// A regular expression that stands anywhere in the value; `None` if it is none, or too large. Time is linear.
    pub fn regex(text: &str) -> Option<Pattern> {
        let regex = RegexBuilder::new(text).unicode(false).size_limit(LARGEST).dfa_size_limit(LARGEST).build().ok()?;
        Some(Pattern { text: text.into(), regex: Some(regex) })
    }

    /// Whether the value is one.
    pub fn matches(&self, value: &[u8]) -> bool {
        match &self.regex {
            Some(regex) => regex.is_match(value),
            None => value.eq_ignore_ascii_case(self.text.as_bytes()),
        }
    }

    fn key(&self) -> (&str, bool) {
        (&self.text, self.regex.is_some())
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Pattern) -> bool {
        self.key() == other.key()
    }
}

impl Eq for Pattern {}

impl PartialOrd for Pattern {
    fn partial_cmp(&self, other: &Pattern) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Pattern {
    fn cmp(&self, other: &Pattern) -> Ordering {
        self.key().cmp(&other.key())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_the_whole_value_and_an_expression_any_part_of_it() {
        let pattern = |text: &str| Pattern::regex(text).unwrap();
        for (pattern, value, expected) in [
            (Pattern::text("Bad Bot"), "bad bot", true),
            (Pattern::text("bad"), "bad bot", false),
            (pattern("bot"), "a bot 1.0", true),
            (pattern("^bot"), "a bot 1.0", false),
            (pattern("BOT"), "a bot", false),
            (pattern("(?i)BOT"), "a bot", true),
        ] {
            assert_eq!(pattern.matches(value.as_bytes()), expected, "{pattern:?} {value}");
        }
        assert!(Pattern::regex("(").is_none());
        assert!(Pattern::regex("(a{100}){100}{100}").is_none(), "too large");
    }
}
