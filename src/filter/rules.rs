//! Changes to fields of answers that look at the answer and the request (`more_set_headers`, `add_header` of nginx).

use std::sync::Arc;

use bytes::Bytes;
use smallvec::SmallVec;

use super::{Request, text};
use crate::ir::{AnswerAct, AnswerRule, ResponseEdits};

/// What rules make of one answer.
#[derive(Debug, Default)]
pub struct Ruled<'a> {
    set: SmallVec<[(&'a str, Bytes); 4]>,
    gone: SmallVec<[&'a str; 4]>,
    hidden: SmallVec<[&'a str; 2]>,
    added: SmallVec<[(&'a str, Bytes); 4]>,
    /// Fields that are set after the rules, as in nginx's order.
    fixed: &'a [(Arc<str>, Arc<str>)],
}

/// Looks at an answer with its rules, if there are any. `media_type`: its `Content-Type`.
pub fn judge<'a>(
    edits: &'a ResponseEdits,
    status: u16,
    media_type: Option<&[u8]>,
    request: &Request<'_>,
) -> Option<Ruled<'a>> {
    if edits.rules.is_empty() {
        return None;
    }
    let mut ruled = Ruled { fixed: &edits.fields, ..Ruled::default() };
    for AnswerRule { name, act, statuses, types } in &edits.rules {
        let is_meant = (statuses.is_empty() || statuses.binary_search(&status).is_ok())
            && (types.is_empty() || types.iter().any(|own| is_type(media_type, own)));
        if is_meant {
            ruled.apply(name, act, request);
        }
    }
    Some(ruled)
}

impl<'a> Ruled<'a> {
    fn apply(&mut self, name: &'a str, act: &AnswerAct, request: &Request<'_>) {
        match act {
            AnswerAct::Add(template) => {
                let value = text::field_value(template, request);
                if !value.is_empty() {
                    self.added.push((name, value.into()));
                }
            }
            AnswerAct::Hide => self.hidden.push(name),
            AnswerAct::Clear => self.clear(name),
            AnswerAct::Set(template) => {
                self.clear(name);
                let value = text::field_value(template, request);
                if !value.is_empty() && !self.is_fixed(name.as_bytes()) {
                    self.set.push((name, value.into()));
                }
            }
        }
    }

    fn clear(&mut self, name: &'a str) {
        self.set.retain(|(own, _)| !is_named(name, own.as_bytes()));
        self.gone.push(name);
    }

    fn is_fixed(&self, name: &[u8]) -> bool {
        self.fixed.iter().any(|(own, _)| own.as_bytes().eq_ignore_ascii_case(name))
    }

    /// Whether a field of the back end goes on.
    pub fn passes(&self, name: &[u8]) -> bool {
        !self.gone.iter().chain(&self.hidden).any(|pattern| is_named(pattern, name))
    }

    /// Whether a field that is set for other reasons is sent.
    pub fn keeps(&self, name: &[u8]) -> bool {
        self.is_fixed(name) || !self.gone.iter().any(|pattern| is_named(pattern, name))
    }

    /// The fields to send beside those that are left.
    pub fn fields(&self) -> impl Iterator<Item = (&'a str, &Bytes)> {
        self.set.iter().chain(&self.added).map(|(name, value)| (*name, value))
    }
}

/// Whether a field is the one meant; a star at the end stands for anything.
pub fn is_named(pattern: &str, name: &[u8]) -> bool {
    match pattern.strip_suffix('*') {
        Some(begin) => name.get(..begin.len()).is_some_and(|own| own.eq_ignore_ascii_case(begin.as_bytes())),
        None => name.eq_ignore_ascii_case(pattern.as_bytes()),
    }
}

fn is_type(media_type: Option<&[u8]>, own: &str) -> bool {
    let essence = media_type.and_then(|text| text.split(|octet| *octet == b';').next());
    essence.is_some_and(|essence| essence.trim_ascii().eq_ignore_ascii_case(own.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::filter::tests::{head, request};
    use crate::ir::{Part, Template};

    fn template(part: Part) -> Template {
        Template { parts: [part].into() }
    }

    fn plain(text: &str) -> Template {
        template(Part::Text(text.into()))
    }

    fn rule(name: &str, act: AnswerAct) -> AnswerRule {
        AnswerRule { name: name.into(), act, statuses: Box::default(), types: Box::default() }
    }

    /// What is sent of `own` fields of the back end and of one that is set, `X-Set`, and what beside.
    fn sent(rules: Vec<AnswerRule>, status: u16, own: &[&str]) -> (String, bool, String) {
        let head = head("GET /", "a.example", "X-A: b\x01c \r\n");
        let edits = ResponseEdits {
            fields: [("X-Fixed".into(), "always".into())].into(),
            rules: rules.into(),
            ..ResponseEdits::default()
        };
        let ruled = judge(&edits, status, Some(b"text/html; charset=utf-8"), &request(&head, false)).unwrap();
        let passed: Vec<_> = own.iter().filter(|name| ruled.passes(name.as_bytes())).copied().collect();
        let fields: Vec<_> = ruled.fields().map(|(name, value)| format!("{name}:{}", value.escape_ascii())).collect();
        (passed.join(" "), ruled.keeps(b"x-set"), fields.join(" "))
    }

    #[test]
    fn fields_are_set_cleared_hidden_and_added_in_nginxs_order() {
        use AnswerAct::{Add, Clear, Hide, Set};
        for (rules, expected) in [
            (vec![rule("X-A", Set(plain("1")))], ("X-B", true, "X-A:1")),
            (vec![rule("X-A", Set(plain("1"))), rule("x-a", Set(plain("2")))], ("X-B", true, "x-a:2")),
            (vec![rule("X-A", Add(plain("1"))), rule("X-A", Set(plain("2")))], ("X-B", true, "X-A:2 X-A:1")),
            (vec![rule("X-A", Set(plain("1"))), rule("X-*", Clear)], ("", false, "")),
            (vec![rule("X-*", Clear), rule("X-A", Set(plain("1")))], ("", false, "X-A:1")),
            (vec![rule("X-A", Hide), rule("X-Set", Hide)], ("X-B", true, "")),
            (vec![rule("X-Set", Set(plain("1")))], ("X-A X-B", false, "X-Set:1")),
            (vec![rule("X-A", Set(template(Part::Argument("no".into()))))], ("X-B", true, "")),
            (vec![rule("X-C", Add(template(Part::Argument("no".into()))))], ("X-A X-B", true, "")),
            (vec![rule("X-Fixed", Set(plain("mine")))], ("X-A X-B", true, "")),
        ] {
            let (passed, keeps, fields) = sent(rules, 200, &["X-A", "X-B"]);
            assert_eq!((&*passed, keeps, &*fields), expected);
        }
    }

    #[test]
    fn a_rule_may_be_for_some_statuses_and_types_only() {
        let mut only = rule("X-A", AnswerAct::Set(plain("1")));
        only.statuses = [404, 500].into();
        assert_eq!(sent(vec![only.clone()], 404, &[]).2, "X-A:1");
        assert_eq!(sent(vec![only.clone()], 200, &[]).2, "");
        only.statuses = Box::default();
        only.types = ["text/plain".into(), "text/HTML".into()].into();
        assert_eq!(sent(vec![only.clone()], 200, &[]).2, "X-A:1");
        only.types = ["text/htm".into()].into();
        assert_eq!(sent(vec![only], 200, &[]).2, "");
    }

    #[test]
    fn what_is_fixed_is_not_taken_away() {
        let edits = ResponseEdits {
            fields: [("X-Fixed".into(), "always".into())].into(),
            rules: [rule("X-*", AnswerAct::Clear)].into(),
            ..ResponseEdits::default()
        };
        let head = head("GET /", "a.example", "");
        let ruled = judge(&edits, 200, None, &request(&head, false)).unwrap();
        assert!(ruled.keeps(b"x-fixed") && !ruled.keeps(b"x-other") && !ruled.passes(b"x-fixed"));
    }
}
