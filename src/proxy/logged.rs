//! What the access log may say of an exchange beside its record: worked out only where the format names it.

use std::net::IpAddr;
use std::sync::Arc;

use super::downstream::{Answer, BodySize, Peer};
use super::forwarded;
use crate::filter::text;
use crate::http1::{RequestHead, ResponseHead};
use crate::ir::{Logging, Trust};
use crate::telemetry::access_log::Further;

/// Fields of an answer that the format names.
pub type Kept = Vec<(Arc<str>, Box<[u8]>)>;

/// Those that go to the client.
pub fn sent(rules: &Logging, answer: &Answer<'_>) -> Kept {
    let names = rules.format.as_ref().map_or(&[][..], |format| &format.sent);
    if names.is_empty() {
        return Kept::new();
    }
    let passed = || answer.fields.into_iter().flat_map(|fields| fields.passed().map(|(_, name, value)| (name, value)));
    let length = match answer.body {
        BodySize::None { length } => length,
        BodySize::Length(length) => Some(length),
        BodySize::Empty => Some(0),
        BodySize::Unknown => None,
    };
    let length = length.map(|length| length.to_string());
    let framing = || length.iter().map(|length| (&b"content-length"[..], length.as_bytes()));
    let extra = || answer.extra.iter().map(|(name, value)| (name.as_bytes(), *value));
    kept(names, || passed().chain(extra()).chain(framing()))
}

/// Those that came from the back end.
pub fn received(rules: &Logging, response: &ResponseHead) -> Kept {
    let names = rules.format.as_ref().map_or(&[][..], |format| &format.received);
    kept(names, || response.fields.iter().map(|(_, name, value)| (name, value)))
}

/// The values of several lines of a name are joined as one line would have them (RFC 9110 5.3).
fn kept<'a, I: Iterator<Item = (&'a [u8], &'a [u8])>>(names: &[Arc<str>], lines: impl Fn() -> I) -> Kept {
    let mut kept = Kept::new();
    for name in names {
        let own = lines().filter(|(own, _)| own.eq_ignore_ascii_case(name.as_bytes()));
        let values: Vec<&[u8]> = own.map(|(_, value)| value).collect();
        if !values.is_empty() {
            kept.push((Arc::clone(name), values.join(&b", "[..]).into()));
        }
    }
    kept
}

/// An exchange, as its line of the log asks of it.
pub struct Logged<'a> {
    /// The head of the request, if it could be read.
    pub head: Option<&'a RequestHead>,
    /// The client.
    pub peer: &'a Peer,
    /// Whose word is taken for the host, where the request came from such a proxy.
    pub trust: Option<&'a Trust>,
    /// The path of the rule.
    pub rule: Option<&'a str>,
    /// Which request of its connection it was, from 1 on.
    pub number: u64,
    /// What [`sent`] kept.
    pub sent: &'a Kept,
    /// What [`received`] kept.
    pub received: &'a Kept,
}

impl Further for Logged<'_> {
    fn field(&self, name: &str) -> Option<&[u8]> {
        let head = self.head?;
        // HTTP/2 has it elsewhere.
        if name == "host" { Some(head.part(head.authority)) } else { head.fields.find(name) }
    }

    fn cookie(&self, name: &str) -> Option<&[u8]> {
        text::cookie(self.head?, name)
    }

    fn argument(&self, name: &str) -> Option<&[u8]> {
        text::argument(text::query(self.head?), name)
    }

    fn sent(&self, name: &str) -> Option<&[u8]> {
        found(self.sent, name)
    }

    fn received(&self, name: &str) -> Option<&[u8]> {
        found(self.received, name)
    }

    fn authority(&self) -> Option<&[u8]> {
        let head = self.head?;
        let told = self.trust.and_then(|trust| forwarded::host(trust, head));
        Some(told.unwrap_or_else(|| head.part(head.authority)))
    }

    fn rule(&self) -> Option<&str> {
        self.rule
    }

    fn cipher(&self) -> Option<&str> {
        Some(self.peer.tls.as_ref()?.cipher)
    }

    fn server(&self) -> Option<(IpAddr, &str)> {
        Some((self.peer.local.ip().to_canonical(), self.peer.port_text()))
    }

    fn client_port(&self) -> u16 {
        self.peer.address.port()
    }

    fn connection(&self) -> (u64, u64) {
        (self.peer.serial, self.number)
    }
}

fn found<'a>(kept: &'a Kept, name: &str) -> Option<&'a [u8]> {
    kept.iter().find(|(own, _)| **own == *name).map(|(_, value)| &**value)
}
