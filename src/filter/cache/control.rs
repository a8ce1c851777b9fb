//! `Cache-Control` of requests and responses (RFC 9111 5.2, RFC 5861).

use smallvec::SmallVec;

use crate::http1::{Fields, Known};

/// What the directives say. Times are in seconds; one that is said wrongly counts as 0, and of two the shorter one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Control {
    /// `max-age`.
    pub max_age: Option<u64>,
    /// `max-stale`, `u64::MAX` without a number.
    pub max_stale: Option<u64>,
    /// `min-fresh`.
    pub min_fresh: Option<u64>,
    /// `must-revalidate`.
    pub must_revalidate: bool,
    /// `must-understand`.
    pub must_understand: bool,
    /// `no-cache` without names.
    pub no_cache: bool,
    /// `no-store`.
    pub no_store: bool,
    /// `only-if-cached`.
    pub only_if_cached: bool,
    /// `private` without names.
    pub private: bool,
    /// `proxy-revalidate`.
    pub proxy_revalidate: bool,
    /// `public`.
    pub public: bool,
    /// `s-maxage`.
    pub s_maxage: Option<u64>,
    /// `stale-if-error`.
    pub stale_if_error: Option<u64>,
    /// `stale-while-revalidate`.
    pub stale_while_revalidate: Option<u64>,
    /// Names of fields that `no-cache` and `private` take out of what is kept, in lower case.
    pub taken_out: SmallVec<[Box<[u8]>; 1]>,
}

impl Control {
    /// Reads every `Cache-Control` line.
    pub fn read(fields: &Fields) -> Control {
        let mut control = Control::default();
        if !fields.has(Known::CacheControl) {
            return control;
        }
        for (field, _, value) in fields.iter() {
            if field.known == Known::CacheControl {
                for (name, argument) in Directives(value) {
                    control.directive(name, argument);
                }
            }
        }
        control
    }

    fn directive(&mut self, name: &[u8], argument: Option<&[u8]>) {
        let shorter = |known: &mut Option<u64>| {
            let said = argument.map_or(0, seconds);
            *known = Some(known.map_or(said, |known| known.min(said)));
        };
        match &*name.to_ascii_lowercase() {
            b"max-age" => shorter(&mut self.max_age),
            b"max-stale" => self.max_stale = Some(argument.map_or(u64::MAX, seconds)),
            b"min-fresh" => self.min_fresh = Some(argument.map_or(0, seconds)),
            b"must-revalidate" => self.must_revalidate = true,
            b"must-understand" => self.must_understand = true,
            b"no-cache" => self.no_cache |= !self.take_out(argument),
            b"no-store" => self.no_store = true,
            b"only-if-cached" => self.only_if_cached = true,
            b"private" => self.private |= !self.take_out(argument),
            b"proxy-revalidate" => self.proxy_revalidate = true,
            b"public" => self.public = true,
            b"s-maxage" => shorter(&mut self.s_maxage),
            b"stale-if-error" => shorter(&mut self.stale_if_error),
            b"stale-while-revalidate" => shorter(&mut self.stale_while_revalidate),
            _ => {}
        }
    }

    /// Whether names were given.
    fn take_out(&mut self, names: Option<&[u8]>) -> bool {
        let names = names.unwrap_or_default().split(|octet| *octet == b',').map(<[u8]>::trim_ascii);
        let mut names = names.filter(|name| !name.is_empty()).peekable();
        let are_given = names.peek().is_some();
        self.taken_out.extend(names.map(|name| name.to_ascii_lowercase().into_boxed_slice()));
        are_given
    }
}

/// A delta-seconds (RFC 9111 1.2.2): digits, at most 2^31; anything else is 0.
pub(super) fn seconds(text: &[u8]) -> u64 {
    if text.is_empty() || !text.iter().all(u8::is_ascii_digit) {
        return 0;
    }
    text.iter().fold(0, |sum: u64, digit| (sum * 10 + u64::from(digit - b'0')).min(1 << 31))
}

/// Directives of one line with their arguments, without quotes.
struct Directives<'a>(&'a [u8]);

impl<'a> Iterator for Directives<'a> {
    type Item = (&'a [u8], Option<&'a [u8]>);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if self.0.is_empty() {
                return None;
            }
            let end = end_of_member(self.0);
            let (member, rest) = self.0.split_at_checked(end)?;
            self.0 = rest.get(1..).unwrap_or_default();
            let member = member.trim_ascii();
            if member.is_empty() {
                continue;
            }
            let Some(at) = memchr::memchr(b'=', member) else { return Some((member, None)) };
            let (name, argument) = member.split_at_checked(at)?;
            let argument = argument.get(1..).unwrap_or_default();
            let argument = match argument {
                [b'"', inner @ .., b'"'] => inner,
                plain => plain,
            };
            return Some((name, Some(argument)));
        }
    }
}

/// The comma that ends the first member, or the end: commas within quotes end nothing.
fn end_of_member(list: &[u8]) -> usize {
    let (mut is_quoted, mut is_escaped) = (false, false);
    for (at, octet) in list.iter().enumerate() {
        match octet {
            _ if is_escaped => is_escaped = false,
            b'\\' if is_quoted => is_escaped = true,
            b'"' => is_quoted = !is_quoted,
            b',' if !is_quoted => return at,
            _ => {}
        }
    }
    list.len()
}

#[cfg(test)]
mod tests {
    use super::super::tests::fields;
    use super::*;

    fn read(value: &str) -> Control {
        Control::read(&fields(&[("Cache-Control", value)]))
    }

    #[test]
    fn times_are_digits_and_what_is_wrong_is_no_time() {
        for (value, expected) in [
            ("max-age=3600", Some(3600)),
            ("MaX-aGe=3600", Some(3600)),
            ("foo, max-age=003600", Some(3600)),
            ("max-age=\"3600\"", Some(3600)),
            ("max-age='3600'", Some(0)),
            ("max-age=-1", Some(0)),
            ("max-age=1.5", Some(0)),
            ("max-age", Some(0)),
            ("max-age=99999999999999999999", Some(1 << 31)),
            ("max-age=10, max-age=5", Some(5)),
            ("x=\"max-age=3600\", max-age=1", Some(1)),
            ("x=\"a\\\", max-age=3600\"", None),
            ("max-age =5", None),
            ("", None),
        ] {
            assert_eq!(read(value).max_age, expected, "{value}");
        }
    }

    #[test]
    fn names_behind_no_cache_and_private_take_fields_out_and_nothing_else() {
        let control = read("no-cache=\"A, b\", private=\"c\"");
        assert!(!control.no_cache && !control.private);
        let names: Vec<&[u8]> = control.taken_out.iter().map(|name| &**name).collect();
        assert_eq!(names, [&b"a"[..], b"b", b"c"]);
        let control = read("No-Cache, private=\"\", no-store, public");
        assert!(control.no_cache && control.private && control.no_store && control.public);
    }

    #[test]
    fn max_stale_needs_no_number() {
        assert_eq!(read("max-stale").max_stale, Some(u64::MAX));
        assert_eq!(read("max-stale=5, min-fresh=3, only-if-cached").max_stale, Some(5));
        assert!(read("only-if-cached").only_if_cached);
    }
}
