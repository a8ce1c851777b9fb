//! The routing form of a request path (RFC 3986 6.2.2, with the choices of a proxy that must not be fooled).

use std::borrow::Cow;

use super::Fault;

/// A request path in the two forms that are used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoutingPath<'a> {
    /// What is sent upstream: the bytes received if nothing was decoded or removed, else the routing form.
    pub forward: Cow<'a, str>,
    /// What routes are matched against: the routing form with runs of `/` as one.
    pub matching: Cow<'a, str>,
}

/// The forms of `raw`, a path as received: begins with `/`, no query. Borrows when `raw` is in routing form already.
/// Unreserved octets are decoded, other escapes upper-cased, dot segments (also as `%2e`) removed; `%2F`, `%5C` and a raw
/// backslash are never slashes. A bad escape, `%00`, climbing above `/`, an octet outside visible ASCII is a fault.
pub fn normalise(raw: &[u8]) -> Result<RoutingPath<'_>, Fault> {
    let _ = raw;
    unimplemented!()
}
