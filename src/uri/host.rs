//! `Host` and `:authority` (RFC 9110 7.2, RFC 3986 3.2.2).

use std::borrow::Cow;

/// A host with its port, both as received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HostPort<'a> {
    /// Name or address, brackets included.
    pub name: &'a str,
    /// Port, when one is written.
    pub port: Option<u16>,
}

/// Parses `uri-host [ ":" [ port ] ]`. `None` for anything else: empty, user information, a port that is no number, an
/// open bracket, an address in brackets that is none, an octet no name may have.
pub fn parse(value: &[u8]) -> Option<HostPort<'_>> {
    let _ = value;
    unimplemented!()
}

/// The form hosts are looked up by: lower case, no trailing dot. Borrows when it is already so.
pub fn lookup(name: &str) -> Cow<'_, str> {
    let _ = name;
    unimplemented!()
}
