//! Reading annotation values: the grammar that all rows of the table share.

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use crate::compile::said::Told;
use crate::ir::Networks;
use crate::ir::networks::network;
use crate::settings::units;

/// Right values of a boolean, as a hint.
pub(in crate::compile) const SWITCH: &str = "one of: true, false";

/// Right values of a set of networks, as a hint.
pub(in crate::compile) const NETWORKS: &str = "write addresses and networks, as in 10.0.0.0/8, 192.0.2.7, fd00::/8";

/// The longest value that is read, in octets.
const LONGEST: usize = 4096;

/// A value with the prefix it stands under.
pub(in crate::compile) struct Value<'a> {
    /// Trimmed, not empty.
    pub(in crate::compile) text: &'a str,
    /// Under `fairlead.dev/`, where durations may have units.
    pub(in crate::compile) is_ours: bool,
    /// The annotation's full name.
    pub(in crate::compile) full: &'a Arc<str>,
}

/// Why a value is not taken, as a sentence part.
pub(in crate::compile) enum Refusal {
    /// A right value of a feature that is not here; what to write instead.
    Ignored(String, &'static str),
    /// A wrong value; what was probably meant.
    Mistaken(String, String),
    /// A wrong value.
    Invalid(String),
}

impl Refusal {
    /// The same, said of one key of a list.
    pub(in crate::compile) fn of(self, key: &str) -> Refusal {
        match self {
            Refusal::Ignored(why, hint) => Refusal::Ignored(format!("{key} {why}"), hint),
            Refusal::Mistaken(why, hint) => Refusal::Mistaken(format!("has {key}, which {why}"), hint),
            Refusal::Invalid(why) => Refusal::Invalid(format!("has {key}, which {why}")),
        }
    }
}

impl<'a> Value<'a> {
    /// What is said, with the annotation that says it.
    pub(in crate::compile) fn told<T>(&self, value: T) -> Told<T> {
        Told { value, annotation: Arc::clone(self.full) }
    }

    /// The text, if it is no hostile one: at most 4 KiB and no control characters.
    pub(in crate::compile) fn plain(&self) -> Result<&'a str, Refusal> {
        match self.text {
            text if text.len() > LONGEST => Err(Refusal::Invalid("is longer than 4 KiB".to_owned())),
            text if text.chars().any(char::is_control) => Err(Refusal::Invalid("has a control character".to_owned())),
            text => Ok(text),
        }
    }

    /// A boolean as Go's `strconv.ParseBool` reads it.
    pub(in crate::compile) fn boolean(&self) -> Result<bool, Refusal> {
        boolean(self.plain()?).ok_or_else(|| Refusal::Invalid("is neither true nor false".to_owned()))
    }

    /// `on` or `off`.
    pub(in crate::compile) fn on_off(&self) -> Result<bool, Refusal> {
        match self.plain()? {
            "on" => Ok(true),
            "off" => Ok(false),
            _ => Err(Refusal::Invalid("is neither on nor off".to_owned())),
        }
    }

    /// One of some words, in any letter case.
    pub(in crate::compile) fn word(&self) -> Result<String, Refusal> {
        Ok(self.plain()?.to_ascii_lowercase())
    }

    /// A count, 0 or more.
    pub(in crate::compile) fn count(&self) -> Result<u32, Refusal> {
        u32::try_from(self.whole()?).map_err(|_| too_large(u32::MAX))
    }

    /// A whole number, 0 or more, of any length: those beyond 64 bits count as the largest.
    pub(in crate::compile) fn whole(&self) -> Result<u64, Refusal> {
        let text = self.plain()?;
        let digits = text.strip_prefix('+').unwrap_or(text);
        if !is_number(digits) {
            return Err(Refusal::Invalid("is not a whole number, 0 or more".to_owned()));
        }
        Ok(digits.parse().unwrap_or(u64::MAX))
    }

    /// A whole number, also below 0.
    pub(in crate::compile) fn integer(&self) -> Result<i32, Refusal> {
        self.plain()?.parse().map_err(|_| Refusal::Invalid("is not a whole number".to_owned()))
    }

    /// A whole number within bounds.
    pub(in crate::compile) fn number(&self, bounds: RangeInclusive<u32>) -> Result<u32, Refusal> {
        let (least, most) = bounds.into_inner();
        match u32::try_from(self.whole()?) {
            Ok(number) if number < least => Err(too_small(least)),
            Ok(number) if number <= most => Ok(number),
            Ok(_) | Err(_) => Err(too_large(most)),
        }
    }

    /// A share in percent, with or without the sign.
    pub(in crate::compile) fn percent(&self) -> Result<u8, Refusal> {
        let text = self.plain()?;
        let digits = text.strip_suffix('%').unwrap_or(text).trim_end();
        if !is_number(digits.strip_prefix('+').unwrap_or(digits)) {
            return Err(Refusal::Invalid("is not a share in percent".to_owned()));
        }
        match digits.parse() {
            Ok(percent @ 0..=100) => Ok(percent),
            Ok(_) | Err(_) => Err(Refusal::Mistaken("is more than all".to_owned(), "write 100% or less".to_owned())),
        }
    }

    /// The parts of a list by comma, without white space around them: it may stand on several lines.
    pub(in crate::compile) fn parts(&self) -> Result<Vec<&'a str>, Refusal> {
        if self.text.len() > LONGEST {
            self.plain()?;
        }
        self.text.split(',').map(|part| self.part(part.trim()).plain()).collect()
    }

    /// The same where no part may be empty. Those of keys of the ConfigMap are passed over, as ingress-nginx does, unless
    /// there is no other.
    pub(in crate::compile) fn list(&self) -> Result<Vec<&'a str>, Refusal> {
        let mut parts = self.parts()?;
        if self.is_key() {
            parts.retain(|part| !part.is_empty());
        }
        if parts.is_empty() || parts.iter().any(|part| part.is_empty()) {
            return Err(Refusal::Invalid("has an empty part".to_owned()));
        }
        Ok(parts)
    }

    /// Whether it is one of a ConfigMap: annotations have a prefix.
    pub(in crate::compile) fn is_key(&self) -> bool {
        !self.full.contains('/')
    }

    /// A set of networks, by comma, on as many lines as one likes. One wrong part makes the whole wrong: whoever it was meant
    /// to keep out must not come in.
    pub(in crate::compile) fn networks(&self) -> Result<Networks, Refusal> {
        let parts = self.list()?;
        let wrong =
            |part: &&str| Refusal::Invalid(format!("has {:?}, which is no address and no network", shorten(part)));
        let read = parts.iter().map(|part| network(part).ok_or_else(|| wrong(part)));
        Ok(Networks::new(read.collect::<Result<Vec<_>, _>>()?))
    }

    /// The same annotation with a part of its value.
    pub(in crate::compile) fn part(&self, text: &'a str) -> Value<'a> {
        Value { text, ..*self }
    }

    /// A size in octets: digits with `k`, `m` or `g`.
    pub(in crate::compile) fn size(&self) -> Result<u64, Refusal> {
        units::size(self.plain()?).map_err(|_| Refusal::Invalid("is not a size".to_owned()))
    }

    /// A time, 0 included: whole seconds; under `fairlead.dev/` also with a unit.
    pub(in crate::compile) fn duration_or_zero(&self) -> Result<Duration, Refusal> {
        if self.is_ours {
            return units::duration(self.plain()?).map_err(|_| Refusal::Invalid("is not a duration".to_owned()));
        }
        match self.count() {
            Ok(seconds) => Ok(Duration::from_secs(seconds.into())),
            Err(Refusal::Invalid(_)) => Err(Refusal::Invalid("is not a whole number of seconds".to_owned())),
            Err(refusal) => Err(refusal),
        }
    }

    /// A time longer than 0.
    pub(in crate::compile) fn duration(&self) -> Result<Duration, Refusal> {
        match self.duration_or_zero()? {
            Duration::ZERO => Err(Refusal::Invalid("is no time at all".to_owned())),
            duration => Ok(duration),
        }
    }

    /// Words parted by white space, which may be that between lines.
    pub(in crate::compile) fn words(&self) -> Result<impl Iterator<Item = &'a str>, Refusal> {
        for line in self.text.lines() {
            self.part(line.trim()).plain()?;
        }
        if self.text.len() > LONGEST {
            self.plain()?;
        }
        Ok(self.text.split_ascii_whitespace())
    }
}

/// Digits and nothing else.
pub(in crate::compile) fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|octet| octet.is_ascii_digit())
}

pub(super) fn too_small(least: u32) -> Refusal {
    Refusal::Mistaken("is too small".to_owned(), format!("write {least} or more"))
}

fn too_large(most: u32) -> Refusal {
    Refusal::Mistaken("is too large".to_owned(), format!("write {most} or less"))
}

/// Letters, digits and the marks that nearly every setting of ingress-nginx may have.
pub(super) fn is_basic(octet: u8) -> bool {
    octet.is_ascii_alphanumeric() || b"-._~/:".contains(&octet)
}

/// The same, and what divides the parts of a URL.
pub(super) fn is_of_url(octet: u8) -> bool {
    is_basic(octet) || b",?&=".contains(&octet)
}

/// Without white space around it. A value of several lines keeps its line ends: only lists may have them.
pub(in crate::compile) fn trim(text: &str) -> &str {
    text.trim()
}

/// Whether `text` says no more than `default` does; booleans in each of their spellings.
pub(in crate::compile) fn means(text: &str, default: &str) -> bool {
    match boolean(default) {
        _ if default.is_empty() => false,
        Some(expected) if default.parse::<u32>().is_err() => boolean(text) == Some(expected),
        _ => text.eq_ignore_ascii_case(default),
    }
}

/// The beginning of a text, for messages.
pub(in crate::compile) fn shorten(text: &str) -> String {
    const LONGEST: usize = 60;
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}

fn boolean(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "TRUE" | "true" | "True" => Some(true),
        "0" | "f" | "F" | "FALSE" | "false" | "False" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;

    use super::*;

    fn value(text: &str, is_ours: bool) -> Value<'_> {
        static FULL: LazyLock<Arc<str>> = LazyLock::new(|| "fairlead.dev/a".into());
        Value { text, is_ours, full: &FULL }
    }

    #[test]
    fn booleans_are_gos() {
        for text in ["1", "t", "T", "TRUE", "true", "True"] {
            assert!(matches!(value(text, false).boolean(), Ok(true)), "{text}");
        }
        for text in ["0", "f", "F", "FALSE", "false", "False"] {
            assert!(matches!(value(text, false).boolean(), Ok(false)), "{text}");
        }
        for text in ["yes", "on", "tRUE", "2", ""] {
            assert!(value(text, false).boolean().is_err(), "{text}");
        }
    }

    #[test]
    fn units_of_time_need_our_prefix() {
        assert_eq!(value("90", false).duration().ok(), Some(Duration::from_secs(90)));
        assert_eq!(value("90", true).duration().ok(), Some(Duration::from_secs(90)));
        assert_eq!(value("250ms", true).duration().ok(), Some(Duration::from_millis(250)));
        for text in ["250ms", "60s", "0", "-1", "1.5", "99999999999"] {
            assert!(value(text, false).duration().is_err(), "{text}");
        }
    }

    #[test]
    fn a_number_of_any_length_is_compared_with_the_bounds() {
        let told = |found: Result<u32, Refusal>| match found {
            Ok(number) => number.to_string(),
            Err(Refusal::Mistaken(why, hint)) => format!("{why}: {hint}"),
            Err(Refusal::Invalid(why) | Refusal::Ignored(why, _)) => why,
        };
        for text in ["4294967296", "99999999999", "99999999999999999999999"] {
            assert_eq!(told(value(text, true).count()), "is too large: write 4294967295 or less", "{text}");
            assert_eq!(told(value(text, true).number(1..=9)), "is too large: write 9 or less", "{text}");
            let percent = value(text, true).percent().map(u32::from);
            assert_eq!(told(percent), "is more than all: write 100% or less", "{text}");
            assert_eq!(
                told(value(text, false).duration().map(|_| 0)),
                "is too large: write 4294967295 or less",
                "{text}"
            );
        }
        assert_eq!(told(value("0", true).number(1..=9)), "is too small: write 1 or more");
        for text in ["+", "-1", "1.5", "1e3", "one"] {
            assert_eq!(told(value(text, true).count()), "is not a whole number, 0 or more", "{text}");
            assert_eq!(told(value(text, true).percent().map(u32::from)), "is not a share in percent", "{text}");
        }
        assert_eq!(told(value("+7", true).count()), "7");
        assert_eq!(told(value("7 %", true).percent().map(u32::from)), "7");
    }

    #[test]
    fn hostile_values_are_invalid() {
        assert!(value("a\rb", false).word().is_err());
        assert!(value(&"1".repeat(5000), false).size().is_err());
    }

    #[test]
    fn a_value_that_asks_for_nothing_is_recognised() {
        for (text, default, expected) in [
            ("false", "false", true),
            ("F", "false", true),
            ("true", "false", false),
            ("1.1", "1.1", true),
            ("0", "0", true),
            ("false", "0", false),
            ("OFF", "off", true),
            ("", "", false),
        ] {
            assert_eq!(means(text, default), expected, "{text} {default}");
        }
    }
}
