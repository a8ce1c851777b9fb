//! The names of a route's Ingress, Service and path, in the place of their variables: no request knows them.

use std::sync::Arc;

use crate::ir::{
    AnswerAct, AnswerRule, External, Filters, FixedContent, Mirror, Part, Piece, Rewrite, Route, SignIn, Template,
    Wording,
};

/// Writes the names of `route` into all texts of `filters`.
pub(super) fn fill(filters: &mut Filters, route: &Route) {
    // Nearly no text has such a variable, and what has none stays shared.
    if has_any(filters) {
        Names(route).fill(filters);
    }
}

struct Names<'a>(&'a Route);

impl Names<'_> {
    fn fill(&self, filters: &mut Filters) {
        if let Some(reply) = &mut filters.reply {
            match &mut Arc::make_mut(reply).content {
                FixedContent::Page => {}
                FixedContent::Location(text) | FixedContent::Text { text, .. } => self.write(text),
            }
        }
        if let Some(rewrite) = &mut filters.rewrite {
            let Rewrite { path, query, prefix, .. } = Arc::make_mut(rewrite);
            [Some(path), query.as_mut(), prefix.as_mut()].into_iter().flatten().for_each(|wording| self.word(wording));
        }
        if let Some(mirror) = &mut filters.mirror {
            let Mirror { host, target, .. } = Arc::make_mut(mirror);
            [host, target].into_iter().for_each(|text| self.write(text));
        }
        if let Some(edits) = &mut filters.request {
            let edits = Arc::make_mut(edits);
            edits.host.iter_mut().for_each(|text| self.write(text));
            edits.fields.iter_mut().for_each(|(_, text)| self.write(text));
            edits.input.iter_mut().filter_map(|edit| edit.value.as_mut()).for_each(|text| self.write(text));
        }
        if let Some(edits) = &mut filters.response {
            let edits = Arc::make_mut(edits);
            edits.location.iter_mut().for_each(|(_, text)| self.write(text));
            for rule in &mut edits.rules {
                match &mut rule.act {
                    AnswerAct::Add(text) | AnswerAct::Set(text) => self.write(text),
                    AnswerAct::Clear | AnswerAct::Hide => {}
                }
            }
        }
        if let Some(access) = &mut filters.access {
            let access = Arc::make_mut(access);
            if let Some(external) = &mut access.external {
                let External { target, redirect, sends, cache, .. } = Arc::make_mut(external);
                let sends = sends.iter_mut().map(|(_, text)| text);
                let cache = cache.iter_mut().map(|cache| &mut cache.key);
                [target].into_iter().chain(redirect).chain(sends).chain(cache).for_each(|text| self.write(text));
            }
            if let Some(sign_in) = &mut access.sign_in {
                self.write(&mut Arc::make_mut(sign_in).url);
            }
        }
    }

    fn word(&self, wording: &mut Wording) {
        for piece in &mut wording.0 {
            if let Piece::Other(part) = piece
                && let Some(name) = self.0.name(part)
            {
                *part = Part::Text(name);
            }
        }
    }

    fn write(&self, template: &mut Template) {
        for part in &mut template.parts {
            if let Some(name) = self.0.name(part) {
                *part = Part::Text(name);
            }
        }
    }
}

fn has_any(filters: &Filters) -> bool {
    let has = |text: &Template| text.parts.iter().any(Part::is_name);
    let Filters { reply, request, response, access, rewrite, mirror, .. } = filters;
    let of_rewrite = || {
        rewrite.as_deref().is_some_and(|Rewrite { path, query, prefix, .. }| {
            let mut pieces = [path].into_iter().chain(query).chain(prefix).flat_map(|wording| &wording.0);
            pieces.any(|piece| matches!(piece, Piece::Other(part) if part.is_name()))
        })
    };
    let of_mirror = || mirror.as_deref().is_some_and(|Mirror { host, target, .. }| has(host) || has(target));
    let of_reply = || match reply.as_deref().map(|reply| &reply.content) {
        Some(FixedContent::Location(text) | FixedContent::Text { text, .. }) => has(text),
        Some(FixedContent::Page) | None => false,
    };
    let of_request = || {
        request.as_deref().is_some_and(|edits| {
            edits.host.as_ref().is_some_and(has)
                || edits.fields.iter().any(|(_, text)| has(text))
                || edits.input.iter().filter_map(|edit| edit.value.as_ref()).any(has)
        })
    };
    let of_answers = || {
        response.as_deref().is_some_and(|edits| {
            let of_rule = |rule: &AnswerRule| match &rule.act {
                AnswerAct::Add(text) | AnswerAct::Set(text) => has(text),
                AnswerAct::Clear | AnswerAct::Hide => false,
            };
            edits.location.as_ref().is_some_and(|(_, text)| has(text)) || edits.rules.iter().any(of_rule)
        })
    };
    let of_access = || {
        access.as_deref().is_some_and(|access| {
            let of_external = |external: &External| {
                let External { target, redirect, sends, cache, .. } = external;
                has(target)
                    || redirect.as_ref().is_some_and(has)
                    || sends.iter().any(|(_, text)| has(text))
                    || cache.as_ref().is_some_and(|cache| has(&cache.key))
            };
            access.external.as_deref().is_some_and(of_external)
                || access.sign_in.as_deref().is_some_and(|SignIn { url, .. }| has(url))
        })
    };
    of_reply() || of_request() || of_answers() || of_access() || of_rewrite() || of_mirror()
}
