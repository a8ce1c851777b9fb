//! Sets of client addresses.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A set of addresses and networks. The two families are apart: `::/0` holds no IPv4 client.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Networks {
    v4: Runs,
    v6: Runs,
}

/// First and last address of each run: sorted, none touches another.
type Runs = Box<[(u128, u128)]>;

impl Networks {
    /// The set of all these networks: an address and how many of its bits count.
    pub fn new(networks: impl IntoIterator<Item = (IpAddr, u8)>) -> Networks {
        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        for (address, bits) in networks {
            match address {
                IpAddr::V4(address) => v4.push(range(address.to_bits().into(), 32, bits)),
                IpAddr::V6(address) => match (address.to_ipv4_mapped(), bits.checked_sub(96)) {
                    (Some(address), Some(bits)) => v4.push(range(address.to_bits().into(), 32, bits)),
                    _ => v6.push(range(address.to_bits(), 128, bits)),
                },
            }
        }
        Networks { v4: merge(v4), v6: merge(v6) }
    }

    /// Whether the address is in the set; an IPv4 address mapped into IPv6 is an IPv4 address.
    pub fn contains(&self, address: IpAddr) -> bool {
        let (runs, number) = match address.to_canonical() {
            IpAddr::V4(address) => (&self.v4, address.to_bits().into()),
            IpAddr::V6(address) => (&self.v6, address.to_bits()),
        };
        let after = runs.partition_point(|(first, _)| *first <= number);
        let run = after.checked_sub(1).and_then(|before| runs.get(before));
        run.is_some_and(|(_, last)| number <= *last)
    }
}

/// Reads `10.0.0.0/8`, `10.1.2.3`, `fd00::/8`. Bits behind the prefix do not count. `None` if it is none of these.
pub fn network(text: &str) -> Option<(IpAddr, u8)> {
    let (address, bits) = match text.split_once('/') {
        Some((address, bits)) => (address, Some(bits)),
        None => (text, None),
    };
    let address: IpAddr = address.parse().ok()?;
    let most = if address.is_ipv4() { 32 } else { 128 };
    let bits = match bits {
        None => most,
        Some(bits) if bits.bytes().all(|octet| octet.is_ascii_digit()) => bits.parse().ok()?,
        Some(_) => return None,
    };
    (bits <= most).then_some((address, bits))
}

fn range(address: u128, width: u32, bits: u8) -> (u128, u128) {
    let hosts = hosts(width.saturating_sub(bits.into()));
    (address & !hosts, address | hosts)
}

/// So many bits set, from the lowest on.
fn hosts(bits: u32) -> u128 {
    u128::MAX.checked_shr(128 - bits).unwrap_or(0)
}

fn merge(mut all: Vec<(u128, u128)>) -> Runs {
    all.sort_unstable();
    let mut runs: Vec<(u128, u128)> = Vec::with_capacity(all.len());
    for (first, last) in all {
        match runs.last_mut() {
            Some((_, end)) if first <= end.saturating_add(1) => *end = last.max(*end),
            _ => runs.push((first, last)),
        }
    }
    runs.into()
}

/// The fewest networks that make up the runs: first address and bits that count.
fn networks(runs: &[(u128, u128)], width: u32) -> impl Iterator<Item = (u128, u32)> {
    runs.iter().flat_map(move |&(first, last)| {
        let mut next = Some(first);
        std::iter::from_fn(move || {
            let first = next?;
            // The largest network that begins here and does not go beyond the end.
            let most = first.trailing_zeros().min(width);
            let size = (0..=most).rev().find(|&size| hosts(size) <= last - first).unwrap_or(0);
            next = first.checked_add(hosts(size)).and_then(|end| end.checked_add(1)).filter(|next| *next <= last);
            Some((first, width - size))
        })
    })
}

impl fmt::Display for Networks {
    /// The fewest networks that make the set: `10.0.0.0/8,fd00::/8`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let v4 = networks(&self.v4, 32).map(|(first, bits)| (Ipv4Addr::from_bits(first as u32).into(), bits, 32));
        let v6 = networks(&self.v6, 128).map(|(first, bits)| (Ipv6Addr::from_bits(first).into(), bits, 128));
        for (place, (address, bits, width)) in v4.chain(v6).enumerate() {
            let comma = if place == 0 { "" } else { "," };
            let address: IpAddr = address;
            match bits == width {
                true => write!(f, "{comma}{address}")?,
                false => write!(f, "{comma}{address}/{bits}")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(text: &str) -> Networks {
        Networks::new(text.split(',').map(|part| network(part).unwrap()))
    }

    #[test]
    fn a_set_holds_what_its_networks_hold() {
        let networks = set("10.0.0.0/8,192.168.1.7,fd00::/8,10.5.0.0/16,::1,::ffff:172.16.0.0/108");
        for (address, is_in) in [
            ("10.0.0.0", true),
            ("10.255.255.255", true),
            ("11.0.0.0", false),
            ("9.255.255.255", false),
            ("192.168.1.7", true),
            ("192.168.1.8", false),
            ("172.31.255.255", true),
            ("172.32.0.0", false),
            ("::ffff:10.1.2.3", true),
            ("fd12::1", true),
            ("fe00::", false),
            ("::1", true),
            ("::2", false),
        ] {
            assert_eq!(networks.contains(address.parse().unwrap()), is_in, "{address}");
        }
        assert!(!Networks::default().contains(Ipv4Addr::LOCALHOST.into()));
    }

    #[test]
    fn all_of_one_family_is_nothing_of_the_other() {
        for (all, own, other) in [("0.0.0.0/0", "255.255.255.255", "2001:db8::1"), ("::/0", "2001:db8::1", "192.0.2.1")]
        {
            assert!(set(all).contains(own.parse().unwrap()));
            assert!(!set(all).contains(other.parse().unwrap()));
        }
    }

    #[test]
    fn what_is_printed_is_the_same_set_in_the_fewest_networks() {
        for (text, printed) in [
            ("10.0.0.7/8", "10.0.0.0/8"),
            ("10.0.0.0/9,10.128.0.0/9", "10.0.0.0/8"),
            ("192.0.2.1,192.0.2.2", "192.0.2.1,192.0.2.2"),
            ("192.0.2.0,192.0.2.1", "192.0.2.0/31"),
            ("::/0,0.0.0.0/0", "0.0.0.0/0,::/0"),
            ("fd00::/8,::1/128", "::1,fd00::/8"),
            ("255.255.255.255,255.255.255.254", "255.255.255.254/31"),
        ] {
            assert_eq!(set(text).to_string(), printed);
        }
    }

    #[test]
    fn what_is_no_network_is_none() {
        for text in ["", "10.0.0.0/33", "10.0.0/8", "::/129", "10.0.0.0/", "10.0.0.0/+8", "a", "10.0.0.1 ", "/8"] {
            assert_eq!(network(text), None, "{text}");
        }
    }
}
