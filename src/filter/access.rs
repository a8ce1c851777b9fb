//! Who may come in.

use std::net::IpAddr;

use crate::ir::{Access, AccessRule};

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
    let asks = access.basic.is_some() || access.external.is_some();
    match standing(access, client) {
        Standing::Allowed if access.any => ByAddress::Admitted,
        Standing::Allowed | Standing::Unsaid => ByAddress::Open,
        Standing::Denied if access.any && asks => ByAddress::Open,
        Standing::Denied => ByAddress::Refused,
    }
}

/// What lists of addresses say of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    /// It may come in.
    Allowed,
    /// It may not.
    Denied,
    /// Nothing, so that they keep nobody out; but where one rule is enough, that is not it.
    Unsaid,
}

/// What the lists say: the deny list first, then the allow list, which decides about everybody, then the rules in their order.
fn standing(access: &Access, client: IpAddr) -> Standing {
    let decided = |allows| if allows { Standing::Allowed } else { Standing::Denied };
    if access.denied.as_ref().is_some_and(|denied| denied.contains(client)) {
        return Standing::Denied;
    }
    if let Some(allowed) = &access.allowed {
        return decided(allowed.contains(client));
    }
    let holds = |rule: &&AccessRule| rule.clients.as_ref().is_none_or(|clients| clients.contains(client));
    access.rules.iter().find(holds).map_or(Standing::Unsaid, |rule| decided(rule.allows))
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
    fn the_deny_list_comes_before_the_allow_list_and_the_first_rule_decides_the_rest() {
        use Standing::{Allowed, Denied, Unsaid};
        for (denied, allowed, rules, client, expected) in [
            ("", "", "", "192.0.2.1", Unsaid),
            ("192.0.2.0/24", "", "", "192.0.2.1", Denied),
            ("192.0.2.0/24", "", "", "198.51.100.1", Unsaid),
            ("", "192.0.2.0/24", "", "192.0.2.1", Allowed),
            ("", "192.0.2.0/24", "", "198.51.100.1", Denied),
            ("192.0.2.1", "192.0.2.0/24", "", "192.0.2.1", Denied),
            ("192.0.2.1", "192.0.2.0/24", "", "192.0.2.2", Allowed),
            ("", "", "-192.0.2.1 +192.0.2.0/24 -all", "192.0.2.1", Denied),
            ("", "", "-192.0.2.1 +192.0.2.0/24 -all", "192.0.2.2", Allowed),
            ("", "", "-192.0.2.1 +192.0.2.0/24 -all", "198.51.100.1", Denied),
            ("", "", "+192.0.2.1", "198.51.100.1", Unsaid),
            ("", "", "+all -all", "198.51.100.1", Allowed),
            ("192.0.2.1", "", "+all", "192.0.2.1", Denied),
            ("", "192.0.2.1", "+all", "192.0.2.2", Denied),
        ] {
            let rule = |text: &str| {
                let (sign, clients) = text.split_at(1);
                AccessRule { allows: sign == "+", clients: if clients == "all" { None } else { set(clients) } }
            };
            let rules = rules.split_ascii_whitespace().map(rule).collect();
            let access = Access { denied: set(denied), allowed: set(allowed), rules, ..Access::default() };
            assert_eq!(standing(&access, client.parse().unwrap()), expected, "{denied} {allowed} {client}");
        }
    }
}
