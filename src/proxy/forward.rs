//! The request as it goes upstream: whose headers are believed, which are ours.

use http::Method;

use super::downstream::Peer;
use super::edits::Edits;
use super::hops;
use crate::filter::{Request, text};
use crate::http1::{Fields, Framing, Known, RequestHead, serialise};
use crate::ir::{Requests, Route, SetField};

/// A request on its way to an endpoint.
#[derive(Clone, Copy)]
pub struct Outgoing<'a> {
    /// The client's head.
    pub head: &'a RequestHead,
    /// What is changed in it.
    pub edits: &'a Edits,
    /// Method to send.
    pub method: &'a Method,
    /// Path to send (`uri::path`, `forward`).
    pub path: &'a [u8],
    /// Query to send, with its `?`; empty when there is none.
    pub query: &'a [u8],
    /// Host to send, port included.
    pub host: &'a [u8],
    /// Host that the client asked for.
    pub forwarded_host: &'a [u8],
    /// X-Request-ID.
    pub request_id: &'a [u8],
    /// The client.
    pub peer: &'a Peer,
    /// How the body is sent.
    pub framing: Framing,
    /// HTTP/1.0 is spoken: one request a connection.
    pub is_http10: bool,
    /// Ask the upstream to switch to this protocol.
    pub upgrade: Option<&'a [u8]>,
    /// X-Forwarded-Prefix: that of the route, or of a proxy that is believed.
    pub prefix: Option<&'a [u8]>,
    /// What is done to every request.
    pub rules: &'a Requests,
    /// The route that took it.
    pub route: Option<&'a Route>,
    /// Tell a gRPC back end that trailers are taken.
    pub te_trailers: bool,
    /// How often it passed us, where it may come back (`hops`).
    pub passed: Option<u32>,
    /// Fields of ours that are not for whoever is asked.
    pub withheld: &'static [&'static str],
}

impl<'a> Outgoing<'a> {
    /// The client's request, as texts with variables see it.
    pub fn asked(&self) -> Request<'a> {
        let Outgoing { head, forwarded_host, request_id, peer, route, .. } = *self;
        Request { forwarded_host: Some(forwarded_host), request_id, route, ..peer.request(head) }
    }

    /// The fields that we set ourselves, in the order of [`Outgoing::write_http1`], which has most of them written
    /// already. What a client sent under these names has been left out.
    pub fn each_addition(&self, mut write: impl FnMut(&str, &[u8])) {
        let set = self.rules.set.as_deref().unwrap_or_default();
        let is_set = |name: &str| set.iter().any(|field| field.name.eq_ignore_ascii_case(name));
        let mut add = |name: &str, value: &[u8]| {
            if !is_set(name) && !self.withheld.contains(&name) {
                write(name, value);
            }
        };
        if !self.request_id.is_empty() {
            add("X-Request-ID", self.request_id);
        }
        self.peer.client_fields().into_iter().for_each(|(name, value)| add(name, value.as_bytes()));
        add("X-Forwarded-Host", self.forwarded_host);
        self.peer.way_fields().into_iter().for_each(|(name, value)| add(name, value.as_bytes()));
        self.each_original(add);
        let request = self.asked();
        for SetField { name, value } in set {
            let text = text::field_value(value, &request);
            if !text.is_empty() {
                write(name, &text);
            }
        }
    }

    /// The client's fields, as far as they are sent.
    pub fn fields(&self) -> &Fields {
        self.edits.fields(self.head)
    }

    /// What the client said of proxies before us, under names that nobody takes for our word, what a proxy said that is
    /// believed, and how often we had the request.
    fn each_original(&self, mut add: impl FnMut(&str, &[u8])) {
        if let Some(prefix) = self.prefix {
            add("X-Forwarded-Prefix", prefix);
        }
        if self.rules.original_uri {
            add("X-Original-URI", self.head.part(self.head.target));
        }
        for (known, name) in
            [(Known::XForwardedFor, "X-Original-Forwarded-For"), (Known::XForwardedHost, "X-Original-Forwarded-Host")]
        {
            if self.head.fields.has(known) {
                add(name, &self.head.fields.joined(known));
            }
        }
        if let Some(passed) = self.passed {
            add(hops::FIELD, hops::value(passed).as_bytes());
        }
    }

    /// What [`Outgoing::each_addition`] says where nobody sets anything, most of it printed before.
    fn write_additions(&self, out: &mut Vec<u8>) {
        if !self.request_id.is_empty() {
            serialise::field(out, b"X-Request-ID", self.request_id);
        }
        out.extend_from_slice(&self.peer.client_lines);
        serialise::field(out, b"X-Forwarded-Host", self.forwarded_host);
        out.extend_from_slice(&self.peer.way_lines);
        self.each_original(|name, value| serialise::field(out, name.as_bytes(), value));
    }

    /// Appends the head in HTTP/1.1: one Host first, then what the client sent, ours, and the framing.
    pub fn write_http1(&self, out: &mut Vec<u8>) {
        out.reserve(self.head.fields.bytes.len() + 512);
        serialise::request_line(out, self.method.as_str(), self.path, self.query, self.is_http10);
        serialise::field(out, b"Host", self.host);
        serialise::fields(out, self.fields());
        for (name, value) in self.edits.added() {
            serialise::field(out, name.as_bytes(), value);
        }
        if self.rules.set.is_some() || !self.withheld.is_empty() {
            self.each_addition(|name, value| serialise::field(out, name.as_bytes(), value));
        } else {
            self.write_additions(out);
        }
        if self.te_trailers {
            out.extend_from_slice(b"TE: trailers\r\n");
        }
        let connection = if self.is_http10 { Some("close") } else { self.edits.connection() };
        match (connection, self.upgrade) {
            (Some(connection), _) => serialise::field(out, b"Connection", connection.as_bytes()),
            (None, Some(_)) => out.extend_from_slice(b"Connection: upgrade\r\n"),
            (None, None) => {}
        }
        if let Some(token) = self.upgrade {
            serialise::field(out, b"Upgrade", token);
        }
        serialise::framing(out, self.framing);
        out.extend_from_slice(b"\r\n");
    }
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;

    use super::*;

    #[test]
    fn both_protocols_add_the_same_fields_in_the_same_order() {
        let sent = b"GET / HTTP/1.1\r\nHost: a.example\r\nX-Forwarded-For: x\r\nX-Forwarded-Host: y\r\n\r\n";
        let head = RequestHead::parse(&mut BytesMut::from(&sent[..]), sent.len()).unwrap();
        let peer = Peer::new("192.0.2.1:1".parse().unwrap(), "192.0.2.2:8080".parse().unwrap(), None);
        let outgoing = Outgoing {
            head: &head,
            edits: &Edits::default(),
            method: &head.method,
            path: b"/",
            query: b"",
            host: b"a.example",
            forwarded_host: b"a.example",
            request_id: b"id",
            peer: &peer,
            framing: Framing::None,
            is_http10: false,
            upgrade: None,
            prefix: Some(b"/shop"),
            rules: &Requests::default(),
            route: None,
            te_trailers: false,
            passed: Some(1),
            withheld: &[],
        };
        let mut expected = b"GET / HTTP/1.1\r\nHost: a.example\r\n".to_vec();
        outgoing.each_addition(|name, value| serialise::field(&mut expected, name.as_bytes(), value));
        expected.extend_from_slice(b"\r\n");
        let mut written = Vec::new();
        outgoing.write_http1(&mut written);
        assert_eq!(written.escape_ascii().to_string(), expected.escape_ascii().to_string());
        assert_eq!(written.windows(2).filter(|pair| pair == b"\r\n").count(), 2 + 12 + 1);
    }
}
