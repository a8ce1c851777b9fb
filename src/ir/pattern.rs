//! Regular expressions that requests are compared with: compiled within bounds, and in time linear in what they are
//! compared with.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use regex::bytes;

/// Memory that a compiled expression may take, bytes: what most take, and the most that one may.
const SIZES: [usize; 2] = [USUAL, LARGEST];
/// Memory that most compiled expressions take, bytes. A larger one may be slow: it is linear in what it is compared with, but
/// each octet may cost as much as the expression is large.
pub const USUAL: usize = 16 << 10;
/// Memory that one compiled expression may take at most, bytes.
pub const LARGEST: usize = 128 << 10;
/// The longest text that a client sends which is compared with an expression that may be slow, octets.
pub const SLOW_TEXT: usize = 1024;
/// Memory for the states that one search at a time remembers, bytes.
const REMEMBERED: usize = 1 << 18;

/// An expression that is searched for anywhere in a text. Compared by its text.
#[derive(Clone)]
pub struct Regex(Arc<Searched>);

struct Searched {
    text: Arc<str>,
    compiled: bytes::Regex,
    cost: usize,
}

impl Regex {
    /// The expression `text`, letter case of ASCII ignored or not. `Err` is why there is none, in one line.
    pub fn new(text: &str, ignores_case: bool) -> Result<Regex, String> {
        let (compiled, cost) = compile(text, ignores_case)?;
        Ok(Regex(Arc::new(Searched { text: text.into(), compiled, cost })))
    }

    /// Memory that it takes at most, bytes.
    pub fn cost(&self) -> usize {
        self.0.cost
    }

    /// Whether it is found in `octets`.
    pub fn is_match(&self, octets: &[u8]) -> bool {
        self.0.compiled.is_match(octets)
    }

    /// As [`Regex::is_match`], of an expression that anybody may have written: it is found in nothing that it would take long
    /// to look through.
    pub fn is_found_soon(&self, octets: &[u8]) -> bool {
        (self.0.cost <= USUAL || octets.len() <= SLOW_TEXT) && self.is_match(octets)
    }

    /// As written.
    pub fn as_str(&self) -> &str {
        &self.0.text
    }
}

/// What an Ingress path means on a host with regular expressions, as in ingress-nginx: it is searched for at the start of
/// the request path, in any letter case, and need not reach its end. Compared by its text.
#[derive(Clone)]
pub struct PathPattern(Arc<Anchored>);

struct Anchored {
    text: Arc<str>,
    /// What every path that is taken begins with, in any letter case.
    literal: Box<[u8]>,
    /// `None` where the literal says it all; else with the memory that it takes at most, bytes.
    compiled: Option<(bytes::Regex, usize)>,
}

impl PathPattern {
    /// The pattern `^text`. `Err` is why there is none, in one line.
    pub fn new(text: &str) -> Result<PathPattern, String> {
        let literal = literal(text);
        let compiled = if literal.len() == text.len() { None } else { Some(compile(&anchored(text), true)?) };
        Ok(PathPattern(Arc::new(Anchored { text: text.into(), literal: literal.as_bytes().into(), compiled })))
    }

    /// What can be said of a pattern that cannot be compiled: it takes every path that begins as it does.
    pub fn beginning(text: &str) -> PathPattern {
        let literal = literal(text).as_bytes().into();
        PathPattern(Arc::new(Anchored { text: text.into(), literal, compiled: None }))
    }

    /// Memory that the automaton takes at most, bytes; 0 without one.
    pub fn cost(&self) -> usize {
        self.0.compiled.as_ref().map_or(0, |(_, cost)| *cost)
    }

    /// Whether a request for `path`, in the form matched, is taken.
    pub fn matches(&self, path: &str) -> bool {
        let Anchored { text: _, literal, compiled } = &*self.0;
        let begins = path.as_bytes().get(..literal.len()).is_some_and(|start| start.eq_ignore_ascii_case(literal));
        begins && compiled.as_ref().is_none_or(|(compiled, _)| compiled.is_match(path.as_bytes()))
    }

    /// The parts of `path` that the groups took, from the first on; a group that took none is empty. `None` where the path
    /// is not taken.
    pub fn groups<'p>(&self, path: &'p str) -> Option<Groups<'p>> {
        if !self.matches(path) {
            return None;
        }
        let Some((compiled, _)) = &self.0.compiled else { return Some(Groups::default()) };
        let found = compiled.captures(path.as_bytes())?;
        let group = |at| found.get(at).and_then(|group| path.get(group.range())).unwrap_or_default();
        Some(Groups(std::array::from_fn(|at| group(at + 1))))
    }

    /// Whether somebody else has it too.
    pub fn is_shared(&self) -> bool {
        Arc::strong_count(&self.0) > 1
    }

    /// As written, without the anchor.
    pub fn as_str(&self) -> &str {
        &self.0.text
    }

    /// What every path that is taken begins with.
    pub fn start(&self) -> &str {
        str::from_utf8(&self.0.literal).unwrap_or_default()
    }
}

/// What the first nine groups of a pattern took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Groups<'p>([&'p str; 9]);

impl<'p> Groups<'p> {
    /// What the group took that `$number` means; empty where there is none.
    pub fn get(&self, number: u8) -> &'p str {
        number.checked_sub(1).and_then(|at| self.0.get(usize::from(at))).copied().unwrap_or_default()
    }
}

/// The automaton, and the memory that it takes at most. The sizes are tried one after the other, since a compiled expression
/// does not tell its own.
fn compile(text: &str, ignores_case: bool) -> Result<(bytes::Regex, usize), String> {
    for size in SIZES {
        let mut builder = bytes::RegexBuilder::new(text);
        builder.case_insensitive(ignores_case).unicode(false).size_limit(size).dfa_size_limit(REMEMBERED);
        match builder.build() {
            Ok(compiled) => return Ok((compiled, size)),
            Err(regex::Error::CompiledTooBig(_)) => {}
            Err(other) => {
                // The last line says what is wrong, those before show where.
                let text = other.to_string();
                return Err(text.lines().last().unwrap_or_default().trim().trim_start_matches("error: ").to_owned());
            }
        }
    }
    Err("it takes too much memory".to_owned())
}

/// The beginning of an expression that stands for itself. Empty where that differs between alternatives.
fn literal(text: &str) -> &str {
    if alternatives(text).nth(1).is_some() {
        return "";
    }
    let is_special =
        |c: char| matches!(c, '\\' | '.' | '+' | '*' | '?' | '(' | ')' | '[' | ']' | '{' | '}' | '|' | '^' | '$');
    let Some(end) = text.find(is_special) else { return text };
    let (start, rest) = text.split_at(end);
    // What may be missing is no part of the beginning.
    let may_be_missing = rest.starts_with(['*', '?', '{']);
    let last = start.chars().next_back().filter(|_| may_be_missing).map_or(0, char::len_utf8);
    start.get(..start.len() - last).unwrap_or_default()
}

/// The expression with nginx's anchor in front. The anchor belongs to the first alternative; the others are found
/// anywhere, which is the same as being at the start behind anything.
fn anchored(text: &str) -> String {
    let mut alternatives = alternatives(text);
    let first = alternatives.next().unwrap_or_default();
    let others: String = alternatives.map(|alternative| format!("|^(?s:.*?){alternative}")).collect();
    format!("^{first}{others}")
}

/// The alternatives of an expression, as far as they stand outside of groups.
fn alternatives(text: &str) -> impl Iterator<Item = &str> {
    let (mut is_escaped, mut in_class, mut depth) = (false, false, 0_u32);
    text.split(move |c: char| {
        if std::mem::take(&mut is_escaped) {
            return false;
        }
        match c {
            '\\' => is_escaped = true,
            ']' => in_class = false,
            _ if in_class => {}
            '[' => in_class = true,
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            '|' => return depth == 0,
            _ => {}
        }
        false
    })
}

macro_rules! compared_by_text {
    ($type:ident) => {
        impl PartialEq for $type {
            fn eq(&self, other: &Self) -> bool {
                Arc::ptr_eq(&self.0, &other.0) || self.cmp(other).is_eq()
            }
        }

        impl Eq for $type {}

        impl PartialOrd for $type {
            fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
                Some(self.cmp(other))
            }
        }

        impl Ord for $type {
            fn cmp(&self, other: &Self) -> Ordering {
                self.0.text.cmp(&other.0.text)
            }
        }

        impl Hash for $type {
            fn hash<H: Hasher>(&self, state: &mut H) {
                self.0.text.hash(state);
            }
        }

        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", self.0.text)
            }
        }
    };
}

compared_by_text!(PathPattern);
compared_by_text!(Regex);

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(text: &str, path: &str) -> bool {
        PathPattern::new(text).unwrap().matches(path)
    }

    #[test]
    fn a_pattern_is_anchored_at_the_start_only_and_takes_any_letter_case() {
        for (text, path, expected) in [
            ("/foo", "/foo", true),
            ("/foo", "/FOObar", true),
            ("/foo", "/x/foo", false),
            ("/foo", "/fo", false),
            ("/", "/anything", true),
            ("/foo/.*", "/foo/", true),
            ("/foo/.+", "/foo/", false),
            ("/Foo/[a-z]{3}", "/foo/BAR/x", true),
            ("/api(/|$)(.*)", "/api", true),
            ("/api(/|$)(.*)", "/api/v1", true),
            ("/api(/|$)(.*)", "/apis", false),
            ("/api/?", "/api", true),
            ("/apix*", "/api", true),
            ("/api\\.v1", "/api.v1", true),
            ("/api\\.v1", "/apixv1", false),
            ("/a%2Fb", "/a%2Fb", true),
            ("/(?:a|b)/c", "/b/c", true),
            ("/[a|b]x", "/|x", true),
        ] {
            assert_eq!(matches(text, path), expected, "{text} on {path}");
        }
    }

    #[test]
    fn the_anchor_belongs_to_the_first_alternative_as_in_nginx() {
        for (path, expected) in [("/a", true), ("/b", true), ("/x/b", true), ("/x/a", false), ("/x", false)] {
            assert_eq!(matches("/a|/b", path), expected, "{path}");
        }
        let groups = |path| {
            PathPattern::new("/a/(.*)|/b/(.*)").unwrap().groups(path).map(|groups| (groups.get(1), groups.get(2)))
        };
        assert_eq!(groups("/a/x"), Some(("x", "")));
        assert_eq!(groups("/b/x"), Some(("", "x")));
    }

    #[test]
    fn groups_that_took_nothing_are_empty() {
        let pattern = PathPattern::new("/app(/|$)(.*)").unwrap();
        let groups = pattern.groups("/App/x/Y%2Fz").unwrap();
        assert_eq!((groups.get(1), groups.get(2), groups.get(3), groups.get(0)), ("/", "x/Y%2Fz", "", ""));
        assert_eq!(pattern.groups("/app").unwrap().get(2), "");
        assert_eq!(pattern.groups("/apple"), None);
        assert_eq!(PathPattern::new("/plain").unwrap().groups("/plain/x"), Some(Groups::default()));
    }

    #[test]
    fn what_cannot_be_compiled_says_why_and_takes_what_begins_like_it() {
        for (text, why, start) in [
            ("/a(b", "unclosed group", "/a"),
            ("/a(?!b)", "look-around, including look-ahead and look-behind, is not supported", "/a"),
            ("/(a)\\1", "backreferences are not supported", "/"),
            ("/abc*{", "unclosed counted repetition", "/ab"),
            ("/a(b{900}){900}", "it takes too much memory", "/a"),
        ] {
            assert_eq!(PathPattern::new(text).unwrap_err(), why, "{text}");
            let pattern = PathPattern::beginning(text);
            assert_eq!(pattern.start(), start);
            assert!(pattern.matches(start) && pattern.matches(&format!("{}/x", start.to_uppercase())));
        }
    }

    #[test]
    fn an_expression_for_texts_is_found_anywhere() {
        let search = |text, ignores_case, octets: &[u8]| Regex::new(text, ignores_case).unwrap().is_match(octets);
        assert!(search("b+", false, b"abc"));
        assert!(!search("B", false, b"abc"));
        assert!(search("B", true, b"abc"));
        assert!(search("^[^a]", false, b"\xff"));
    }

    #[test]
    fn an_expression_that_may_be_slow_is_found_in_short_texts_only() {
        for (text, is_slow) in [(".*a", false), (".*a[ab]{400}|a", true)] {
            let expression = Regex::new(text, false).unwrap();
            assert_eq!(expression.cost() > USUAL, is_slow, "{text}: {}", expression.cost());
            assert!(expression.is_found_soon(&[b'a'; SLOW_TEXT]), "{text}");
            assert_eq!(expression.is_found_soon(&[b'a'; SLOW_TEXT + 1]), !is_slow, "{text}");
        }
    }
}
