//! What becomes of a request that nobody sends, for `explain`: decided by the code that serves, without asking anybody.

use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;

use super::client_auth::{self, Presented};
use super::downstream::TlsFacts;
use super::{affinity, external, passwords};
use crate::filter::Request;
use crate::http1::RequestHead;
use crate::ir::{Basic, SignIn};
use crate::live::Key;
use crate::table::{BackendRef, RoutingTable};
use crate::uri;

pub use super::canary::{Choice, consider};
pub use super::downstream::Peer;
pub use super::exchange::prepare;
pub use super::forwarded::{Seen, seen};

/// A client at `client` that came to our `port`, over TLS with the name of `host` or in clear text. It shows no certificate
/// where it is asked for one.
pub fn peer(table: &RoutingTable, client: IpAddr, port: u16, host: &str, is_tls: bool) -> Peer {
    let name = uri::host::lookup(host);
    let facts = || {
        let demand = table.client_auth(&name).and_then(|auth| auth.asked());
        TlsFacts {
            version: "TLSv1.3",
            cipher: "",
            server_name: Some((*name).into()),
            is_self_made: table.is_self_made(Some(&name)),
            presented: demand.map(|demand| Rc::new(Presented::new(Arc::clone(demand), &[]))),
        }
    };
    Peer::new((client, 0).into(), (client, port).into(), is_tls.then(facts))
}

/// What a client without a certificate gets where one is asked for: a status, and where it is sent.
pub fn unasked(table: &RoutingTable, peer: &Peer, request: &Request<'_>) -> Option<(u16, Option<String>)> {
    let reply = client_auth::admit(table, peer, request).err()?;
    let location = reply.fields.iter().find(|(name, _)| *name == "Location");
    Some((reply.status, location.map(|(_, value)| String::from_utf8_lossy(value).into_owned())))
}

/// The user whose name the request has, if there is such a one. The password is not compared: that takes as long as the hash
/// wants.
pub fn user(basic: &Basic, head: &RequestHead) -> Option<String> {
    passwords::named(basic, head).map(|user| String::from_utf8_lossy(&user).into_owned())
}

/// The key of the endpoint that the request's cookie names.
pub fn pinned(backend: &BackendRef, head: &RequestHead) -> Option<Key> {
    affinity::named(head, backend.settings.affinity.as_ref()?)
}

/// Where a client is sent that is not known.
pub fn sign_in(sign_in: &SignIn, request: &Request<'_>) -> String {
    String::from_utf8_lossy(&external::sign_in_url(sign_in, request)).into_owned()
}
