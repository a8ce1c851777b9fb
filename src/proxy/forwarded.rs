//! What trusted proxies before us say of a client: its address, and how it came to them.

use std::net::{IpAddr, SocketAddr};

use super::downstream::{Peer, Told};
use crate::http1::RequestHead;
use crate::ir::Trust;

/// A request as its client made it, by the word of the proxy that sent it to us.
#[derive(Debug)]
pub struct Seen<'a> {
    /// The client.
    pub peer: Peer,
    /// The host that it asked for, port included, where the proxy says one.
    pub host: Option<&'a [u8]>,
    /// `X-Forwarded-Prefix`.
    pub prefix: Option<&'a [u8]>,
}

/// What `head` says of its client, if the peer that sent it is one to believe.
pub fn seen<'a>(trust: &Trust, peer: &Peer, head: &'a RequestHead) -> Option<Seen<'a>> {
    if !trust.networks.contains(peer.hop) {
        return None;
    }
    let first = |name: &str| first(head, name);
    let chain: Vec<&[u8]> = named(head, &trust.field).flat_map(|value| value.split(|octet| *octet == b',')).collect();
    // The address of a PROXY header is nearer to the client's socket than any field, which counts where that is a proxy too.
    let is_client = peer.is_told && !trust.networks.contains(peer.client());
    let client = if is_client {
        None
    } else {
        client(trust, chain.iter().rev().filter(|part| !part.trim_ascii().is_empty()).map_while(|part| address(part)))
    };
    let mut way = Told::default();
    let (mut host, mut prefix) = (None, None);
    if trust.forwarded {
        match first("x-forwarded-proto") {
            Some(scheme) if scheme.eq_ignore_ascii_case(b"https") => way.is_https = Some(true),
            Some(scheme) if scheme.eq_ignore_ascii_case(b"http") => way.is_https = Some(false),
            // WebSocket over TLS is https that says what it is for.
            Some(scheme) => {
                way.scheme = self::scheme(scheme);
                way.is_https = scheme.eq_ignore_ascii_case(b"wss").then_some(true);
            }
            None => {}
        }
        let port = |value: &[u8]| str::from_utf8(value).ok()?.parse().ok();
        way.port = first("x-forwarded-port").and_then(port);
        host = self::host(trust, head);
        prefix = named(head, "x-forwarded-prefix").next();
    }
    let list = trust.full_chain && trust.forwarded;
    let list = list.then(|| {
        let mut list: Vec<&[u8]> = chain.iter().map(|part| part.trim_ascii()).filter(|part| !part.is_empty()).collect();
        let hop = peer.hop.to_string();
        list.push(hop.as_bytes());
        String::from_utf8_lossy(&list.join(&b", "[..])).into_owned()
    });
    Some(Seen { peer: peer.seen(client, list, way), host, prefix })
}

/// The host that a proxy which is believed says.
pub fn host<'a>(trust: &Trust, head: &'a RequestHead) -> Option<&'a [u8]> {
    let host = first(head, &trust.host_field).filter(|_| trust.forwarded)?;
    crate::uri::host::split(host).is_some().then_some(host)
}

/// The first word of a list.
fn first<'a>(head: &'a RequestHead, name: &str) -> Option<&'a [u8]> {
    let first = named(head, name).next()?.split(|octet| *octet == b',').next()?.trim_ascii();
    (!first.is_empty()).then_some(first)
}

/// A scheme (RFC 3986 3.1), in the words of whoever names it.
fn scheme(text: &[u8]) -> Option<Box<str>> {
    let is_letter = |octet: &u8| octet.is_ascii_alphanumeric() || b"+-.".contains(octet);
    let is_scheme = text.len() <= 32 && text.first()?.is_ascii_alphabetic() && text.iter().all(is_letter);
    is_scheme.then(|| str::from_utf8(text).ok().map(Box::from)).flatten()
}

/// The values of all fields of a name, in order.
fn named<'a>(head: &'a RequestHead, name: &str) -> impl Iterator<Item = &'a [u8]> {
    let fields = head.fields.iter().filter(move |(_, own, _)| own.eq_ignore_ascii_case(name.as_bytes()));
    fields.map(|(_, _, value)| value)
}

/// The first address that is not one of ours, else the last, of the chain from the right: everybody may write what stands left
/// of it, and of what is no address.
fn client(trust: &Trust, chain: impl Iterator<Item = IpAddr>) -> Option<IpAddr> {
    let mut last = None;
    for address in chain {
        last = Some(address);
        if !trust.networks.contains(address) {
            break;
        }
    }
    last
}

/// An address, with a port or not.
fn address(text: &[u8]) -> Option<IpAddr> {
    let text = str::from_utf8(text).ok()?.trim();
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    let address = bare.parse().ok().or_else(|| text.parse().ok().map(|socket: SocketAddr| socket.ip()))?;
    Some(IpAddr::to_canonical(&address))
}
