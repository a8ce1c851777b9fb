//! Which requests an answer with `Vary` is for (RFC 9111 4.1).

use smallvec::SmallVec;

use crate::http1::{Fields, Known, options};
use crate::live::Selecting;

/// The fields of `request` that chose the answer with the fields `response`, in one form for all who mean the same. `None`
/// where nothing tells which requests it is for.
pub fn selecting(response: &Fields, request: &Fields) -> Option<Selecting> {
    let mut names: Vec<Box<[u8]>> = Vec::new();
    for (_, name, value) in response.iter() {
        if name.len() != 4 || !name.eq_ignore_ascii_case(b"vary") {
            continue;
        }
        for option in options(value) {
            if option == b"*" || is_ours(option) {
                return None;
            }
            names.push(option.to_ascii_lowercase().into());
        }
    }
    names.sort_unstable();
    names.dedup();
    let value = |name: Box<[u8]>| {
        let value = normal(request, &name);
        (name, value)
    };
    Some(names.into_iter().map(value).collect())
}

/// Whether an answer that was chosen by `stored` is for `request`.
pub fn matches(stored: &Selecting, request: &Fields) -> bool {
    Asking::new(request).matches(stored)
}

/// A name, and what a request says in that field.
type Said<'s> = (&'s [u8], Option<Box<[u8]>>);

/// A request that looks for its answer among several. What it says in a field is read once.
pub struct Asking<'r, 's> {
    request: &'r Fields,
    known: SmallVec<[Said<'s>; 2]>,
}

impl<'r, 's> Asking<'r, 's> {
    /// Nothing read yet.
    pub fn new(request: &'r Fields) -> Asking<'r, 's> {
        Asking { request, known: SmallVec::new() }
    }

    /// Whether an answer that was chosen by `stored` is for it.
    pub fn matches(&mut self, stored: &'s Selecting) -> bool {
        stored.iter().all(|(name, value)| self.said(name) == value.as_deref())
    }

    fn said(&mut self, name: &'s [u8]) -> Option<&[u8]> {
        let at = self.known.iter().position(|(known, _)| *known == name).unwrap_or_else(|| {
            self.known.push((name, normal(self.request, name)));
            self.known.len() - 1
        });
        self.known.get(at)?.1.as_deref()
    }
}

/// Fields in which the backend sees another value than the client sent, one that is not part of the key either.
fn is_ours(name: &[u8]) -> bool {
    match Known::of(name) {
        Known::Forwarded | Known::SslClient | Known::XForwardedFor | Known::XRequestId => true,
        Known::XForwardedOther => {
            let of_the_key: [&[u8]; 3] = [b"x-forwarded-proto", b"x-forwarded-scheme", b"x-scheme"];
            !of_the_key.iter().any(|known| name.eq_ignore_ascii_case(known))
        }
        _ => false,
    }
}

/// All lines of a field as one list without optional white space; `None` without one. What a client accepts is in lower
/// case and ordered by weight, since order means nothing there (RFC 9110 12.5).
fn normal(request: &Fields, name: &[u8]) -> Option<Box<[u8]>> {
    // A line that the client took out with `Connection` does not reach the backend.
    let mut lines = request.passed().filter(|(_, own, _)| own.eq_ignore_ascii_case(name)).peekable();
    lines.peek()?;
    let mut members: Vec<Vec<u8>> = lines.flat_map(|(_, _, value)| options(value)).map(<[u8]>::to_vec).collect();
    if matches!(name, b"accept-language" | b"accept-encoding" | b"accept-charset") {
        for member in &mut members {
            member.make_ascii_lowercase();
            member.retain(|octet| !octet.is_ascii_whitespace());
        }
        members.sort_by_cached_key(|member| {
            let (own, weight) = crate::filter::compress::weighed(member);
            (std::cmp::Reverse(weight), own.to_vec())
        });
    }
    Some(members.join(&b',').into())
}

#[cfg(test)]
mod tests {
    use super::super::tests::fields;
    use super::*;

    fn is_same(vary: &str, one: &[(&str, &str)], other: &[(&str, &str)]) -> bool {
        let stored = selecting(&fields(&[("Vary", vary)]), &fields(one)).unwrap();
        matches(&stored, &fields(other))
    }

    #[test]
    fn an_answer_is_for_requests_that_say_the_same() {
        assert!(is_same("Foo", &[("foo", "1")], &[("Foo", "1"), ("Other", "2")]));
        assert!(!is_same("Foo", &[("Foo", "1")], &[("Foo", "2")]));
        assert!(!is_same("Foo", &[("Foo", "1")], &[]));
        assert!(!is_same("Foo", &[], &[("Foo", "1")]));
        assert!(!is_same("Foo", &[], &[("Foo", "")]));
        assert!(is_same("Foo, Bar", &[("Foo", "1")], &[("Foo", "1")]));
        assert!(!is_same("Foo, Bar", &[("Foo", "1"), ("Bar", "abc")], &[("Foo", "1"), ("Bar", "abcd")]));
    }

    #[test]
    fn lines_white_space_and_the_order_of_what_is_accepted_mean_nothing() {
        assert!(is_same("Foo", &[("Foo", "1, 2")], &[("Foo", "1"), ("Foo", "2")]));
        assert!(is_same("Foo", &[("Foo", "1,2")], &[("Foo", " 1,  2 ")]));
        assert!(!is_same("Foo", &[("Foo", "1,2")], &[("Foo", "2,1")]));
        assert!(is_same("Accept-Language", &[("Accept-Language", "en, de")], &[("accept-language", "dE,eN")]));
        assert!(!is_same("Accept-Language", &[("Accept-Language", "en, de;q=0.5")], &[("Accept-Language", "de, en")]));
    }

    #[test]
    fn what_cannot_be_told_apart_is_not_kept() {
        for vary in ["*", "Foo, *", ", *", "X-Forwarded-For", "x-real-ip", "X-Request-ID"] {
            assert_eq!(selecting(&fields(&[("Vary", vary)]), &fields(&[])), None, "{vary}");
        }
        assert!(selecting(&fields(&[("Vary", "X-Forwarded-Proto, Origin")]), &fields(&[])).is_some());
    }
}
