//! Who may come in.

use std::net::IpAddr;

use super::Reply;
use crate::ir::Access;

/// The client's address is not one that may come in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused;

/// Whether the lists of addresses let the client in: the deny list first, then the allow list.
pub fn admits(access: &Access, client: IpAddr) -> Result<(), Refused> {
    let is_denied = access.denied.as_ref().is_some_and(|denied| denied.contains(client));
    let is_allowed = access.allowed.as_ref().is_none_or(|allowed| allowed.contains(client));
    if is_denied || !is_allowed { Err(Refused) } else { Ok(()) }
}

impl From<Refused> for Reply {
    fn from(_: Refused) -> Reply {
        Reply::denied(403)
    }
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
            assert_eq!(admits(&access, client.parse().unwrap()).is_ok(), is_in, "{denied} {allowed} {client}");
        }
    }
}
