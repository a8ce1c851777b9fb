//! Copies of requests for another service (`mirror-target` of ingress-nginx). No client waits for one, or notices it.

use std::rc::Rc;

use http::Method;
use tokio::time::Instant;

use super::attempt;
use super::downstream::Peer;
use super::edits::Edits;
use super::forward::Outgoing;
use super::hops;
use super::nobody::Nobody;
use super::note::Note;
use super::respond;
use super::upload::{BodyRules, Upload};
use super::worker::Worker;
use crate::filter::{Request, text};
use crate::http1::{Framing, RequestHead};
use crate::ir::Mirror;
use crate::settings::Limit;
use crate::table::{Pinned, RouteRef};
use crate::telemetry::Copied;

/// A request that is copied, with all that its exchange may let go of before the copy has an answer.
struct Copy {
    table: Rc<Pinned>,
    at: RouteRef,
    head: RequestHead,
    edits: Edits,
    method: Method,
    target: Vec<u8>,
    host: Vec<u8>,
    forwarded_host: Vec<u8>,
    prefix: Option<Vec<u8>>,
    request_id: Vec<u8>,
    peer: Peer,
    upload: Upload,
}

/// Sends a copy of the request, unless its body was too long to be held or as many are under way as may be.
pub fn send(
    worker: &Rc<Worker>,
    table: &Rc<Pinned>,
    at: RouteRef,
    mirror: &Mirror,
    request: &Request<'_>,
    outgoing: &Outgoing<'_>,
    upload: &Upload,
) {
    let body = match mirror.has_body {
        true => upload.copy(),
        false => Some(Upload::new(Framing::None, BodyRules::NONE)),
    };
    let Some(upload) = body else {
        return worker.metrics().copied(Copied::BodyTooLong);
    };
    let Some(counted) = worker.copies().begin(worker.limits().mirror_copies) else {
        worker.metrics().limit_hit(Limit::mirror_copies);
        return worker.metrics().copied(Copied::TooMany);
    };
    let expanded = |template| text::visible(text::expand(template, request));
    let copy = Copy {
        table: Rc::clone(table),
        at,
        head: outgoing.head.clone(),
        edits: outgoing.edits.elsewhere(),
        method: outgoing.method.clone(),
        target: expanded(&mirror.target),
        host: expanded(&mirror.host),
        forwarded_host: outgoing.forwarded_host.to_vec(),
        prefix: outgoing.prefix.map(<[u8]>::to_vec),
        request_id: outgoing.request_id.to_vec(),
        peer: outgoing.peer.clone(),
        upload,
    };
    let worker = Rc::clone(worker);
    tokio::task::spawn_local(async move {
        let _counted = counted;
        let became = if copy.run(&worker).await { Copied::Answered } else { Copied::Failed };
        worker.metrics().copied(became);
    });
}

impl Copy {
    /// Asks the service, and throws its answer away; whether there was one.
    async fn run(mut self, worker: &Rc<Worker>) -> bool {
        let route = self.table.route(self.at);
        let Some(backend) = route.aside.as_ref().and_then(|aside| aside.mirror.as_ref()) else { return false };
        let (path, query) = self.target.split_at(memchr::memchr(b'?', &self.target).unwrap_or(self.target.len()));
        let outgoing = Outgoing {
            head: &self.head,
            edits: &self.edits,
            method: &self.method,
            path,
            query,
            prefix: self.prefix.as_deref(),
            host: &self.host,
            forwarded_host: &self.forwarded_host,
            request_id: &self.request_id,
            peer: &self.peer,
            rules: &self.table.globals().requests,
            route: Some(&route.rule),
            framing: self.upload.own_framing(),
            is_http10: false,
            upgrade: None,
            te_trailers: false,
            passed: hops::passed(backend, &self.head),
            withheld: &[],
        };
        let nobody = Nobody::new(&self.peer);
        let mut note = Note::new(Instant::now());
        let reached = attempt::reach(worker, &nobody, route, backend, &outgoing, &mut self.upload, &mut note).await;
        let Ok(answered) = reached else { return false };
        respond::drain(worker, answered.upstream, route.rule.policy.timeouts.read).await;
        true
    }
}

/// Copies of one worker that are under way: each holds on to one of these.
#[derive(Default)]
pub struct Copies(Rc<()>);

impl Copies {
    /// Counts one more until it is dropped, unless there are `most`.
    fn begin(&self, most: u64) -> Option<Rc<()>> {
        let under_way = Rc::strong_count(&self.0) - 1;
        (u64::try_from(under_way).unwrap_or(u64::MAX) < most).then(|| Rc::clone(&self.0))
    }
}
