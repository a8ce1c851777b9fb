//! Another backend's answer in the place of an error (`custom-http-errors`, `default-backend` of ingress-nginx).

use std::rc::Rc;

use bytes::Bytes;
use tokio::time::Instant;

use super::attempt;
use super::downstream::Client;
use super::edits::Edits;
use super::forward::Outgoing;
use super::hops;
use super::note::Note;
use super::outlet::Way;
use super::reply::{Reply, Stop};
use super::respond;
use super::upload::{BodyRules, Upload};
use super::worker::Worker;
use crate::http1::{Framing, RequestHead};
use crate::table::{BackendRef, Route};
use crate::telemetry::Failure;

/// What the backend that answers errors is told of the request.
pub fn tell(edits: &mut Edits, head: &RequestHead, route: &Route, status: u16) {
    let object = &route.rule.origin.object.name;
    edits.set(head, "X-Code", status.to_string().into());
    match head.fields.find("accept") {
        Some(accept) => edits.set(head, "X-Format", Bytes::copy_from_slice(accept)),
        None => edits.remove(head, "X-Format"),
    }
    edits.set(head, "X-Namespace", Bytes::copy_from_slice(object.namespace.as_bytes()));
    edits.set(head, "X-Ingress-Name", Bytes::copy_from_slice(object.name.as_bytes()));
    edits.set(head, "X-Service-Name", Bytes::copy_from_slice(route.service.as_bytes()));
    edits.set(head, "X-Service-Port", Bytes::copy_from_slice(route.port.as_bytes()));
}

/// The backend that answers in place of `reply` on this route, if one does.
pub fn instead<'r>(route: &'r Route, reply: &Reply) -> Option<&'r BackendRef> {
    let errors = route.rule.filters.errors.as_ref()?;
    errors.statuses.binary_search(&reply.status).ok()?;
    route.aside.as_ref()?.errors.as_ref()
}

/// Sends that backend's answer. `Err`: it has none, so that the error itself is to be sent.
pub async fn answer<C: Client>(
    worker: &Rc<Worker>,
    client: &C,
    head: &RequestHead,
    backend: &BackendRef,
    reply: &Reply,
    close: bool,
    note: &mut Note,
) -> Result<(), Stop> {
    let Some(table) = note.table() else { return Err(Reply::plain(reply.status).into()) };
    let route = table.route();
    let seen = note.seen.clone();
    let mut edits = Edits::default();
    tell(&mut edits, head, route, reply.status);
    edits.set(head, "X-Original-URI", [head.path(), head.query()].concat().into());
    if let Some(access) = &route.rule.filters.access {
        edits.withhold(access, head);
    }
    let globals = table.table().globals();
    let host = note.told_host(globals, head).unwrap_or_else(|| head.part(head.authority));
    let (id, method) = (note.id, &head.method);
    let outgoing = Outgoing {
        head,
        edits: &edits,
        method,
        path: b"/",
        query: head.query(),
        host,
        forwarded_host: host,
        prefix: None,
        request_id: id.octets(Some(head)),
        peer: seen.as_deref().unwrap_or_else(|| client.peer()),
        rules: &globals.requests,
        route: Some(&route.rule),
        framing: Framing::None,
        is_http10: false,
        upgrade: None,
        te_trailers: false,
        passed: hops::passed(backend, head),
        withheld: &[],
    };
    let mut upload = Upload::new(Framing::None, BodyRules::NONE);
    let mut answered = attempt::reach(worker, client, route, backend, &outgoing, &mut upload, note).await?;
    // A session belongs to the Service of the route, whose cookie may have the same name.
    answered.cookie = None;
    note.failure = reply.failure;
    // Who is not let in must not get what looks like success, or caches and programs would take it for that.
    let is_refusal = matches!(reply.failure, Some(Failure::AuthFailed | Failure::AuthError | Failure::Denied));
    if is_refusal && answered.response.status < 400 {
        answered.response.status = reply.status;
    }
    note.attempt_ended(Instant::now());
    let way =
        Way { request: &outgoing, route, globals, close, refusal: &reply.fields, cookies: &[], cache_status: None };
    respond::forward(worker, client, way, answered, &mut upload, note).await
}
