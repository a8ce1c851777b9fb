//! Who has a port, for the error message.

use std::fs;
use std::path::Path;

/// `nginx (process 4711)`: a process with a listening TCP socket on `port`, as far as `/proc` lets us see. Slow: it reads
/// the open files of every process.
pub fn port_holder(port: u16) -> Option<String> {
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"].map(|path| fs::read_to_string(path).unwrap_or_default());
    let links: Vec<String> =
        tables.iter().flat_map(|table| inodes(table, port)).map(|n| format!("socket:[{n}]")).collect();
    if links.is_empty() {
        return None;
    }
    let mut processes = fs::read_dir("/proc").ok()?.flatten().map(|entry| entry.path()).filter(|path| is_process(path));
    let process = processes.find(|path| holds(path, &links))?;
    let id = process.file_name()?.to_str()?.to_owned();
    let name = fs::read_to_string(process.join("comm")).unwrap_or_default();
    Some(format!("{} (process {id})", name.trim_end()))
}

/// Inodes of the sockets that listen on `port`, from the text of `/proc/net/tcp`.
fn inodes(table: &str, port: u16) -> impl Iterator<Item = &str> {
    let suffix = format!(":{port:04X}");
    table.lines().skip(1).filter_map(move |line| {
        let mut columns = line.split_ascii_whitespace();
        let local = columns.nth(1)?;
        let state = columns.nth(1)?;
        let inode = columns.nth(5)?;
        (local.ends_with(&suffix) && state == LISTEN).then_some(inode)
    })
}

/// Leaves out `/proc/self`, which is a process too, but says nothing.
fn is_process(path: &Path) -> bool {
    path.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.bytes().all(|b| b.is_ascii_digit()))
}

fn holds(process: &Path, links: &[String]) -> bool {
    let Ok(files) = fs::read_dir(process.join("fd")) else { return false };
    files
        .flatten()
        .any(|file| fs::read_link(file.path()).is_ok_and(|link| links.iter().any(|wanted| Path::new(wanted) == link)))
}

/// TCP_LISTEN, as `/proc/net/tcp` prints it.
const LISTEN: &str = "0A";

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn only_listening_sockets_of_the_port_count() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n   \
             0: 00000000:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 101 1\n   \
             1: 0100007F:1F90 0100007F:C350 01 00000000:00000000 00:00000000 00000000     0        0 102 1\n   \
             2: 00000000:1F91 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 103 1\n";
        assert_eq!(inodes(table, 8080).collect::<Vec<_>>(), ["101"]);
    }

    #[test]
    fn a_process_finds_its_own_port() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let holder = port_holder(listener.local_addr().unwrap().port()).unwrap();
        assert!(holder.ends_with(&format!("(process {})", std::process::id())), "{holder}");
    }
}
