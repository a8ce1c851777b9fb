//! What filters look at in a request.

use std::net::IpAddr;

use crate::http1::RequestHead;
use crate::ir::Route;

/// A request, before any back end is asked.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// Its head.
    pub head: &'a RequestHead,
    /// The client's address; an IPv4 client on an IPv6 socket is an IPv4 client.
    pub client: IpAddr,
    /// The same, printed.
    pub client_text: &'a str,
    /// It came over TLS, to us or to a proxy before us that is believed.
    pub is_tls: bool,
    /// It came in clear text, and no proxy that is believed says anything else.
    pub is_clear: bool,
    /// The host that the client asked for, port included, where a proxy that is believed says another.
    pub forwarded_host: Option<&'a [u8]>,
    /// X-Request-ID; empty where there is none.
    pub request_id: &'a [u8],
    /// X-Forwarded-Port.
    pub port: &'a str,
    /// A proxy that is believed says so.
    pub is_port_told: bool,
    /// The route that took it, for texts that are not a route's own.
    pub route: Option<&'a Route>,
}

impl<'a> Request<'a> {
    /// Host as received, without port; an IPv6 address in its brackets.
    pub fn host(&self) -> &'a str {
        str::from_utf8(self.head.part(self.head.host)).unwrap_or_default()
    }

    /// The host that the client sees, with its port.
    pub fn authority(&self) -> &'a [u8] {
        self.forwarded_host.unwrap_or_else(|| self.head.part(self.head.authority))
    }

    /// The host that the client sees, without port.
    pub fn public_host(&self) -> &'a str {
        let named = self.forwarded_host.and_then(|host| Some(crate::uri::host::split(host)?.0));
        named.and_then(|name| str::from_utf8(name).ok()).unwrap_or_else(|| self.host())
    }

    /// The port that stands behind it, where one does.
    pub fn public_port(&self) -> Option<u16> {
        let told = self.forwarded_host.and_then(crate::uri::host::split);
        told.map_or(self.head.port, |(_, port)| port)
    }

    /// Path as received.
    pub fn path(&self) -> &'a [u8] {
        self.head.path()
    }

    /// Query as received, with its `?`; empty when there is none.
    pub fn query(&self) -> &'a [u8] {
        self.head.query()
    }

    /// `https` or `http`.
    pub fn scheme(&self) -> &'static str {
        if self.is_tls { "https" } else { "http" }
    }
}
