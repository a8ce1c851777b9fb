//! The PROXY header at the begin of a connection, versions 1 and 2 (haproxy.org, "The PROXY protocol", 2020-03-05): octets in,
//! addresses out. It says how many octets may be read, so that none behind the header is.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Longest line of version 1, with its end.
const LONGEST_LINE: usize = 107;
/// Longest header of version 2 that is taken; what stands behind the addresses is not read.
const LONGEST: usize = 4096;
/// The octets by which the versions are told apart, and which both have.
const FIRST: usize = 12;
const SIGNATURE: &[u8; FIRST] = b"\r\n\r\n\0\r\nQUIT\n";
/// The signature, version and command, family, and length.
const FIXED: usize = 16;

/// What is known after some octets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// So many octets of the header are to come at least.
    More(usize),
    /// The header is whole. The client, and what it connected to; `None`: the header names nobody, as in the health checks of
    /// the proxy itself.
    Done(Option<(SocketAddr, SocketAddr)>),
}

/// It is no PROXY header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

/// What `bytes`, all octets of a connection so far, say.
pub fn step(bytes: &[u8]) -> Result<Step, Malformed> {
    let begins = |with: &[u8]| bytes.iter().zip(with).all(|(a, b)| a == b);
    match bytes.len() {
        length if length < FIRST => {
            let is_possible = begins(SIGNATURE) || begins(b"PROXY ");
            is_possible.then_some(Step::More(FIRST - length)).ok_or(Malformed)
        }
        _ if begins(SIGNATURE) => version_2(bytes),
        _ if begins(b"PROXY ") => version_1(bytes),
        _ => Err(Malformed),
    }
}

fn version_1(bytes: &[u8]) -> Result<Step, Malformed> {
    let Some(line) = bytes.strip_suffix(b"\r\n") else {
        // Octet by octet, since nobody says where it ends.
        let is_open = bytes.len() < LONGEST_LINE && !bytes.contains(&b'\n');
        return is_open.then_some(Step::More(1)).ok_or(Malformed);
    };
    let line = str::from_utf8(line).map_err(|_| Malformed)?;
    let mut words = line.split(' ').skip(1);
    let family = words.next();
    if family == Some("UNKNOWN") {
        return Ok(Step::Done(None));
    }
    let mut address = || words.next()?.parse::<IpAddr>().ok();
    let (from, to) = (address().ok_or(Malformed)?, address().ok_or(Malformed)?);
    let mut port = || {
        let text = words.next()?;
        text.bytes().all(|octet| octet.is_ascii_digit()).then(|| text.parse::<u16>().ok()).flatten()
    };
    let (from_port, to_port) = (port().ok_or(Malformed)?, port().ok_or(Malformed)?);
    let is_right = match family {
        Some("TCP4") => from.is_ipv4() && to.is_ipv4(),
        Some("TCP6") => from.is_ipv6() && to.is_ipv6(),
        _ => false,
    };
    if !is_right || words.next().is_some() {
        return Err(Malformed);
    }
    Ok(Step::Done(Some((SocketAddr::new(from, from_port), SocketAddr::new(to, to_port)))))
}

fn version_2(bytes: &[u8]) -> Result<Step, Malformed> {
    let Some((fixed, rest)) = bytes.split_first_chunk::<FIXED>() else {
        return Ok(Step::More(FIXED - bytes.len()));
    };
    let [.., command, family, high, low] = *fixed;
    let length = usize::from(u16::from_be_bytes([high, low]));
    if command >> 4 != 2 || FIXED + length > LONGEST {
        return Err(Malformed);
    }
    if rest.len() < length {
        return Ok(Step::More(length - rest.len()));
    }
    let addresses = match (command & 15, family) {
        (0, _) => None,
        (1, 0x11) => Some(addresses::<4>(rest).ok_or(Malformed)?),
        (1, 0x21) => Some(addresses::<16>(rest).ok_or(Malformed)?),
        // Other families than TCP over IP: nobody can be told by an address.
        (1, _) => None,
        _ => return Err(Malformed),
    };
    Ok(Step::Done(addresses))
}

/// Two addresses of so many octets, and their ports.
fn addresses<const N: usize>(bytes: &[u8]) -> Option<(SocketAddr, SocketAddr)> {
    let (from, rest) = bytes.split_first_chunk::<N>()?;
    let (to, rest) = rest.split_first_chunk::<N>()?;
    let (from_port, rest) = rest.split_first_chunk::<2>()?;
    let (to_port, _) = rest.split_first_chunk::<2>()?;
    let port = |octets: &[u8; 2]| u16::from_be_bytes(*octets);
    Some((SocketAddr::new(address(from)?, port(from_port)), SocketAddr::new(address(to)?, port(to_port))))
}

fn address(octets: &[u8]) -> Option<IpAddr> {
    match octets.len() {
        4 => Some(Ipv4Addr::from(<[u8; 4]>::try_from(octets).ok()?).into()),
        _ => Some(Ipv6Addr::from(<[u8; 16]>::try_from(octets).ok()?).into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads as a connection would, never more than is asked for; what was told, and how many octets were read.
    fn read(bytes: &[u8]) -> Result<(Option<(SocketAddr, SocketAddr)>, usize), Malformed> {
        let mut length = 0;
        loop {
            match step(&bytes[..length])? {
                Step::Done(told) => return Ok((told, length)),
                Step::More(more) if length + more > bytes.len() => panic!("asks for more than there is"),
                Step::More(more) => length += more,
            }
        }
    }

    fn told(from: &str, to: &str) -> Option<(SocketAddr, SocketAddr)> {
        Some((from.parse().unwrap(), to.parse().unwrap()))
    }

    #[test]
    fn version_1_is_read_to_the_end_of_its_line_and_no_further() {
        for (line, expected) in [
            ("PROXY TCP4 192.0.2.7 198.51.100.1 56324 443\r\n", told("192.0.2.7:56324", "198.51.100.1:443")),
            ("PROXY TCP6 2001:db8::7 2001:db8::1 1 2\r\n", told("[2001:db8::7]:1", "[2001:db8::1]:2")),
            ("PROXY UNKNOWN\r\n", None),
            ("PROXY UNKNOWN ff:ff 65535\r\n", None),
        ] {
            let text = format!("{line}GET / HTTP/1.1\r\n");
            assert_eq!(read(text.as_bytes()), Ok((expected, line.len())), "{line}");
        }
    }

    fn binary(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
        let length = u16::try_from(rest.len()).unwrap().to_be_bytes();
        [&SIGNATURE[..], &[command, family], &length, rest].concat()
    }

    #[test]
    fn version_2_is_read_to_its_length_and_no_further() {
        let four = [192, 0, 2, 7, 198, 51, 100, 1, 0xdc, 4, 1, 187];
        let more = [&four[..], &[4, 0, 1, 9]].concat();
        let six =
            [&[0x20, 1, 13, 184][..], &[0; 11], &[7], &[0x20, 1, 13, 184], &[0; 11], &[1], &[0, 1, 0, 2]].concat();
        for (header, expected) in [
            (binary(0x21, 0x11, &four), told("192.0.2.7:56324", "198.51.100.1:443")),
            (binary(0x21, 0x11, &more), told("192.0.2.7:56324", "198.51.100.1:443")),
            (binary(0x21, 0x21, &six), told("[2001:db8::7]:1", "[2001:db8::1]:2")),
            (binary(0x20, 0x11, &four), None),
            (binary(0x20, 0, &[]), None),
            (binary(0x21, 0x31, &[0; 216]), None),
        ] {
            let bytes = [&header[..], b"GET / HTTP/1.1\r\n"].concat();
            assert_eq!(read(&bytes), Ok((expected, header.len())), "{header:?}");
        }
    }

    #[test]
    fn what_is_no_header_is_refused_as_soon_as_it_shows() {
        for bytes in [
            &b"GET / HTTP/1.1\r\n"[..],
            b"\x16\x03\x01\x02\0\x01",
            b"PROXY TCP4 192.0.2.7 2001:db8::1 1 2\r\n",
            b"PROXY TCP4 192.0.2.7 198.51.100.1 1\r\n",
            b"PROXY TCP4 192.0.2.7 198.51.100.1 1 65536\r\n",
            b"PROXY TCP4 192.0.2.7 198.51.100.1 +1 2\r\n",
            b"PROXY TCP4 192.0.2.7 198.51.100.1 1 2 3\r\n",
            b"PROXY TCP5 192.0.2.7 198.51.100.1 1 2\r\n",
            b"PROXY TCP4 192.0.2.7\n198.51.100.1 1 2\r\n",
            &[b"PROXY UNKNOWN ", &[b'a'; 107][..]].concat(),
            &binary(0x31, 0x11, &[0; 12]),
            &binary(0x22, 0x11, &[0; 12]),
            &binary(0x21, 0x11, &[0; 11]),
            &binary(0x21, 0x11, &[0; 5000]),
        ] {
            assert_eq!(read(bytes), Err(Malformed), "{}", bytes.escape_ascii());
        }
    }
}
