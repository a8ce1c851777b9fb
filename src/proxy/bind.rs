//! Traffic sockets: bound at start, so that errors come early; listening only when the first table is there.
//!
//! Each worker has its own socket for each address and port (SO_REUSEPORT), and all live as long as the process: closing
//! one would reset what the kernel queued on it.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};

use socket2::{Domain, Protocol, Socket, Type};

use super::port_holder::port_holder;

/// A port that cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Another process has it.
    #[error("cannot listen on {address}: the port is in use{}", by(.holder.as_deref()))]
    InUse {
        /// What was asked for.
        address: SocketAddr,
        /// Name and process id of the holder, when it can be seen.
        holder: Option<String>,
    },
    /// Ports under 1024 need a right or a sysctl.
    #[error(
        "cannot listen on {0}: permission denied; ports under 1024 need the sysctl net.ipv4.ip_unprivileged_port_start=0 or CAP_NET_BIND_SERVICE"
    )]
    Denied(SocketAddr),
    /// Anything else the kernel says.
    #[error("cannot listen on {address}: {error}")]
    Other {
        /// What was asked for.
        address: SocketAddr,
        /// What the kernel says.
        error: io::Error,
    },
}

fn by(holder: Option<&str>) -> String {
    holder.map(|holder| format!(" by {holder}")).unwrap_or_default()
}

/// A bound socket that refuses connections as yet.
#[derive(Debug)]
pub struct Bound {
    socket: Socket,
    address: SocketAddr,
}

impl Bound {
    /// The address with the port that the kernel gave.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Connections are queued from here on.
    pub fn listen(self) -> io::Result<TcpListener> {
        self.socket.listen(BACKLOG)?;
        Ok(self.socket.into())
    }
}

/// Binds `port` on each of `addresses` once for every worker; without addresses on all of IPv4 and, where the machine has
/// it, IPv6. Port 0 takes one free port for all. The result has one list of sockets for each worker.
pub fn bind(addresses: &[IpAddr], port: u16, workers: usize) -> Result<Vec<Vec<Bound>>, BindError> {
    let mut attempts = if port == 0 { FREE_PORT_ATTEMPTS } else { 1 };
    loop {
        attempts -= 1;
        match bind_once(addresses, port, workers) {
            // The port that was free on the first address may be taken on the next.
            Err(BindError::InUse { .. }) if attempts > 0 => {}
            done => return done,
        }
    }
}

/// Binds one address for one thread and listens on it at once: for health and admin, which answer from the start.
pub fn bind_one(address: SocketAddr) -> Result<TcpListener, BindError> {
    bind_socket(address, false)?.listen().map_err(|error| BindError::Other { address, error })
}

fn bind_once(addresses: &[IpAddr], port: u16, workers: usize) -> Result<Vec<Vec<Bound>>, BindError> {
    let every: [IpAddr; 2] = [Ipv4Addr::UNSPECIFIED.into(), Ipv6Addr::UNSPECIFIED.into()];
    let wanted = if addresses.is_empty() { &every[..] } else { addresses };
    let mut sockets: Vec<Vec<Bound>> = (0..workers).map(|_| Vec::new()).collect();
    let mut port = port;
    for ip in wanted {
        if addresses.is_empty() && ip.is_ipv6() && !has_ipv6() {
            continue;
        }
        if port != 0 {
            // With SO_REUSEPORT two processes of one user would share the port silently.
            bind_socket(SocketAddr::new(*ip, port), false)?;
        }
        for list in &mut sockets {
            let bound = bind_socket(SocketAddr::new(*ip, port), true)?;
            port = bound.address.port();
            list.push(bound);
        }
    }
    Ok(sockets)
}

fn bind_socket(address: SocketAddr, is_shared: bool) -> Result<Bound, BindError> {
    let bound = || {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
        socket.set_reuse_address(true)?;
        socket.set_reuse_port(is_shared)?;
        if address.is_ipv6() {
            socket.set_only_v6(true)?;
        }
        socket.set_nonblocking(true)?;
        socket.bind(&address.into())?;
        let address = socket.local_addr()?.as_socket().unwrap_or(address);
        Ok(Bound { socket, address })
    };
    bound().map_err(|error: io::Error| match error.kind() {
        io::ErrorKind::AddrInUse => BindError::InUse { address, holder: port_holder(address.port()) },
        io::ErrorKind::PermissionDenied => BindError::Denied(address),
        _ => BindError::Other { address, error },
    })
}

fn has_ipv6() -> bool {
    bind_socket(SocketAddr::new(Ipv6Addr::LOCALHOST.into(), 0), false).is_ok()
}

/// Connections that wait to be accepted, for each socket; the kernel lowers it to `net.core.somaxconn`.
const BACKLOG: i32 = 4096;
const FREE_PORT_ATTEMPTS: u32 = 16;

#[cfg(test)]
mod tests {
    use std::net::TcpStream;

    use super::*;

    const LOOPBACK: &[IpAddr] = &[IpAddr::V4(Ipv4Addr::LOCALHOST)];

    #[test]
    fn workers_share_one_free_port_and_nobody_is_served_before_listen() {
        let bound = bind(LOOPBACK, 0, 3).unwrap();
        let address = bound[0][0].address();
        assert_ne!(address.port(), 0);
        assert!(bound.iter().flatten().all(|socket| socket.address() == address), "{bound:?}");
        assert_eq!(TcpStream::connect(address).unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
        let listeners: Vec<_> = bound.into_iter().flatten().map(|socket| socket.listen().unwrap()).collect();
        TcpStream::connect(address).unwrap();
        drop(listeners);
    }

    #[test]
    fn without_addresses_both_families_get_the_same_port() {
        let bound = bind(&[], 0, 2).unwrap();
        let ports: Vec<u16> = bound.iter().flatten().map(|socket| socket.address().port()).collect();
        assert!(ports.iter().all(|port| port == &ports[0]), "{ports:?}");
        assert_eq!(bound[0].len(), if has_ipv6() { 2 } else { 1 });
    }

    #[test]
    fn a_port_that_is_in_use_is_named_with_its_holder() {
        let holder = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = holder.local_addr().unwrap();
        let error = bind(LOOPBACK, address.port(), 2).unwrap_err().to_string();
        assert!(error.contains(&address.to_string()), "{error}");
        assert!(error.contains(&format!("process {}", std::process::id())), "{error}");
    }

    #[test]
    fn a_port_of_a_second_copy_of_ourselves_is_in_use() {
        let first = bind(LOOPBACK, 0, 1).unwrap().remove(0).remove(0);
        let port = first.address().port();
        let _listening = first.listen().unwrap();
        assert!(matches!(bind(LOOPBACK, port, 1), Err(BindError::InUse { .. })));
    }
}
