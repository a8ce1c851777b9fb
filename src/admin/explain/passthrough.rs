//! TLS that is passed on unopened: who gets it.

use super::{endpoints, tell};
use crate::admin::Listener;
use crate::admin::shape::{self, Answer, Explanation, Route, Step};
use crate::table::{self, RoutingTable, Target};

/// The story of a connection that names `host`, whose TLS goes by `route`.
pub(super) fn explain(
    story: &mut Explanation,
    table: &RoutingTable,
    listener: &Listener,
    host: &str,
    route: &table::Route,
) {
    let trace = table::explain(table, host, "/");
    let told = trace.steps.into_iter().filter(|step| step.stage == "host");
    story.steps.extend(told.map(|step| Step { stage: step.stage.to_owned(), text: step.text }));
    let unseen = "TLS is passed on unopened (ssl-passthrough), so no path and nothing that is set for requests counts";
    tell(story, "host", unseen.to_owned());
    story.route = trace.route.map(|at| Route::passed_on(listener, table.host_of(at), &route.rule));
    let backend = match &route.target {
        Target::Backend(backend) => backend,
        Target::Closed(reason) => return tell(story, "backend", format!("closed: {reason}; the connection closes")),
        Target::NotFound => return,
    };
    let (id, algorithm) = (&backend.settings.id, &backend.settings.balancing.algorithm);
    tell(story, "backend", format!("{id}, the bytes as they come, {}", algorithm.as_str()));
    let set = backend.live.endpoints.load();
    story.endpoints = shape::endpoints(backend, &set);
    let told = endpoints::tell(backend, &set, &story.endpoints, None);
    told.into_iter().for_each(|text| tell(story, "endpoint", text));
    if set.candidates.is_empty() {
        return tell(story, "endpoint", "the connection closes".to_owned());
    }
    (story.status, story.answer) = (200, Answer::Routed);
}
