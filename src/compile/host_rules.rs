//! What is said in nginx's words of a whole host (`server-snippet`), on the routes of all its Ingresses.

use std::sync::Arc;

use super::ground::Ground;
use super::ingress::annotations::snippet::Rules;
use super::names;
use super::shared::Shared;
use crate::ir::{Access, AnswerAct, AnswerRule, Filters, RequestEdits, ResponseEdits, Route};

/// What is said of a host, with what the ConfigMap says of all; `None` if nothing is.
pub(super) fn of(own: Option<&Rules>, ground: &Ground) -> Option<Rules> {
    let keys = &ground.keys;
    let mut rules = own.cloned().unwrap_or_default().and(&keys.server);
    if rules.access.is_empty() {
        rules.access.clone_from(&keys.http.access);
    }
    let access = std::mem::take(&mut rules.access);
    let rules = Rules { access, ..Rules { access: Vec::new(), ..keys.http.clone() }.and(&rules) };
    (rules != Rules::default()).then_some(rules)
}

/// Puts the rules before those of each route that is meant.
pub(super) fn apply(rules: &Rules, routes: &mut [Arc<Route>], shared: &mut Shared, is_meant: impl Fn(&Route) -> bool) {
    for route in routes.iter_mut().filter(|route| is_meant(route)) {
        let mut filters = within(rules, &route.filters);
        names::fill(&mut filters, route);
        let filters = shared.filters(filters);
        if filters != route.filters {
            *route = Arc::new(Route { filters, ..Route::clone(route) });
        }
    }
}

/// What is said of a path goes on from what is said of its host, as far as nginx's words are passed on to paths.
fn within(rules: &Rules, filters: &Filters) -> Filters {
    let Rules { reply, answers, input, sends: _, host: _, access, asks_as_client: _ } = rules;
    let external = filters.access.as_ref().and_then(|access| access.external.as_ref());
    let response = answers_of(answers, filters.response.as_deref(), external.is_some());
    if reply.is_some() {
        let Filters { hsts, errors, is_silent, .. } = filters.clone();
        return Filters { reply: reply.clone(), response, hsts, errors, is_silent, ..Filters::default() };
    }
    let mut edits = filters.request.as_deref().cloned().unwrap_or_default();
    let own = std::mem::take(&mut edits.input);
    let is_said = |name: &str| own.iter().any(|own| own.name.eq_ignore_ascii_case(name) && !own.only_present);
    edits.input = input.iter().filter(|edit| !is_said(&edit.name)).chain(own.iter()).cloned().collect();
    let mut filters = filters.clone();
    filters.response = response;
    filters.request = (edits != RequestEdits::default()).then(|| Arc::new(edits));
    let is_listed = |access: &Access| access.allowed.is_some() || access.denied.is_some() || !access.rules.is_empty();
    if !access.is_empty() && !filters.access.as_deref().is_some_and(is_listed) {
        let own = filters.access.as_deref().cloned().unwrap_or_default();
        filters.access = Some(Arc::new(Access { rules: access.clone().into(), ..own }));
    }
    filters
}

/// One `add_header` of a path makes nginx forget those of the host; a service that is asked comes with one.
fn answers_of(rules: &[AnswerRule], own: Option<&ResponseEdits>, is_asked: bool) -> Option<Arc<ResponseEdits>> {
    let mut edits = own.cloned().unwrap_or_default();
    let is_added = |rule: &AnswerRule| matches!(rule.act, AnswerAct::Add(_));
    let forgets = is_asked || edits.rules.iter().any(is_added);
    let passed = rules.iter().filter(|rule| !forgets || !is_added(rule)).cloned();
    edits.rules = passed.chain(std::mem::take(&mut edits.rules)).collect();
    (edits != ResponseEdits::default()).then(|| Arc::new(edits))
}
