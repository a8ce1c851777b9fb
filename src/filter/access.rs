//! Who may come in.

use std::net::IpAddr;

use crate::ir::Access;

/// What the lists of addresses come to for a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ByAddress {
    /// It is in, whatever else is asked for (`satisfy: any`).
    Admitted,
    /// The other rules decide.
    Open,
    /// It is not.
    Refused,
}

/// Judges by the lists of addresses, where there are any.
pub fn by_address(access: &Access, client: IpAddr) -> ByAddress {
    if access.denied.is_none() && access.allowed.is_none() {
        return ByAddress::Open;
    }
    let asks = access.basic.is_some() || access.external.is_some();
    match admits(access, client) {
        true if access.any => ByAddress::Admitted,
        true => ByAddress::Open,
        false if access.any && asks => ByAddress::Open,
        false => ByAddress::Refused,
    }
}

/// Whether the lists of addresses let the client in: the deny list first, then the allow list.
fn admits(access: &Access, client: IpAddr) -> bool {
    let is_denied = access.denied.as_ref().is_some_and(|denied| denied.contains(client));
    let is_allowed = access.allowed.as_ref().is_none_or(|allowed| allowed.contains(client));
    !is_denied && is_allowed
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ir::Networks;
    use crate::ir::networks::network;

    fn set(text: &str) -> Option<Networks> {
        (!text.is_empty()).then(|| Networks::new(text.split(',').map(|part| network(part).unwrap())))
    }

    #[test]
    fn the_deny_list_comes_before_the_allow_list() {
        for (denied, allowed, client, is_in) in [
            ("", "", "192.0.2.1", true),
            ("192.0.2.0/24", "", "192.0.2.1", false),
            ("192.0.2.0/24", "", "198.51.100.1", true),
            ("", "192.0.2.0/24", "192.0.2.1", true),
            ("", "192.0.2.0/24", "198.51.100.1", false),
            ("192.0.2.1", "192.0.2.0/24", "192.0.2.1", false),
            ("192.0.2.1", "192.0.2.0/24", "192.0.2.2", true),
        ] {
            let access = Access { denied: set(denied), allowed: set(allowed), ..Access::default() };
            assert_eq!(admits(&access, client.parse().unwrap()), is_in, "{denied} {allowed} {client}");
        }
    }
}
