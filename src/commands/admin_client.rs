//! One GET to the admin API of a running Fairlead.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::Value;

use super::Stop;

/// Longest wait for the connection, and for each part of the answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// Whoever answers as `who` is no Fairlead.
pub(super) fn foreign(who: &str) -> Stop {
    Stop::failed(format!("{who} does not answer as Fairlead's admin API"))
}

/// The body that `address` answers for `path` with its query. A failure says what to do.
pub(super) fn get(address: SocketAddr, path: &str) -> Result<String, Stop> {
    let answer = exchange(address, path).map_err(|error| {
        Stop::failed(match error.kind() {
            ErrorKind::ConnectionRefused => {
                format!("nothing answers on {address}; is Fairlead running, and is --admin its admin address?")
            }
            ErrorKind::TimedOut | ErrorKind::WouldBlock => format!("{address} does not answer within 10s"),
            _ => format!("cannot ask {address}: {error}"),
        })
    })?;
    body(&address.to_string(), &answer)
}

/// The body of a whole answer of `who`, if it is the right one.
pub(super) fn body(who: &str, answer: &str) -> Result<String, Stop> {
    let (head, body) = answer.split_once("\r\n\r\n").ok_or_else(|| foreign(who))?;
    let status = head.split(' ').nth(1).and_then(|status| status.parse::<u16>().ok());
    let status = status.ok_or_else(|| foreign(who))?;
    if length(head).is_some_and(|length| length != body.len()) {
        return Err(Stop::failed(format!("the answer of {who} broke off")));
    }
    if status == 200 {
        return Ok(body.to_owned());
    }
    let told = serde_json::from_str::<Value>(body).ok();
    let reason = told.as_ref().and_then(|told| told.get("error")).and_then(Value::as_str);
    let line = reason.map_or_else(|| format!("{who} answers {status}"), |reason| format!("{who}: {reason}"));
    // 400: the words that were typed here cannot be used.
    Err(if status == 400 { Stop::unusable(line) } else { Stop::failed(line) })
}

/// Whether an answer that is still being read has come to its end. One without a length ends with the connection.
pub(super) fn is_whole(answer: &[u8]) -> bool {
    let Some(end) = memchr::memmem::find(answer, b"\r\n\r\n") else { return false };
    let head = answer.get(..end).and_then(|head| std::str::from_utf8(head).ok());
    head.and_then(length).is_some_and(|length| answer.len() - end - 4 >= length)
}

fn length(head: &str) -> Option<usize> {
    head.lines().filter_map(|line| line.split_once(':')).find_map(|(name, value)| {
        if name.eq_ignore_ascii_case("content-length") { value.trim().parse().ok() } else { None }
    })
}

/// The request to `host` for `path`: as HTTP/1.0, so that the answer is never in chunks and ends with the connection.
pub(super) fn request(host: &str, path: &str) -> String {
    format!("GET {path} HTTP/1.0\r\nHost: {host}\r\n\r\n")
}

fn exchange(address: SocketAddr, path: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    stream.write_all(request(&address.to_string(), path).as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

/// `text` as one value of a query (RFC 3986 2.1).
pub(super) fn escape(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    text.bytes().map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::thread;

    use super::*;

    fn answered(answer: &'static str) -> Result<String, Stop> {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let server = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = [0; 1024];
            let count = stream.read(&mut request).unwrap();
            stream.write_all(answer.as_bytes()).unwrap();
            String::from_utf8_lossy(&request[..count]).into_owned()
        });
        let result = get(address, "/api/v1/routes");
        assert!(server.join().unwrap().starts_with("GET /api/v1/routes HTTP/1.0\r\nHost: 127.0.0.1:"));
        result
    }

    #[test]
    fn each_way_an_answer_can_be_wrong_is_one_line_that_says_so() {
        assert_eq!(answered("HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\n{}").ok(), Some("{}".to_owned()));
        for (answer, code, part) in [
            ("HTTP/1.0 200 OK\r\nContent-Length: 9\r\n\r\n{}", 1, "broke off"),
            ("SSH-2.0\r\n", 1, "does not answer as"),
            ("HTTP/1.0 404 Not Found\r\n\r\n", 1, "answers 404"),
            ("HTTP/1.0 400 Bad\r\n\r\n{\"error\":\"no url\"}", 2, "no url"),
        ] {
            let Err(stop) = answered(answer) else { panic!("{answer}") };
            assert!(stop.code == code && stop.line.contains(part), "{answer}: {} {}", stop.code, stop.line);
        }
        let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let Err(stop) = get(free, "/") else { panic!("nobody listens") };
        assert!(stop.line.contains("nothing answers on"), "{}", stop.line);
    }

    #[test]
    fn an_answer_is_whole_when_its_length_is_there() {
        let answer = b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\n{}";
        for end in 0..answer.len() {
            assert!(!is_whole(&answer[..end]), "{end}");
        }
        assert!(is_whole(answer));
        assert!(!is_whole(b"HTTP/1.0 200 OK\r\n\r\n{}"), "it ends with the connection");
    }

    #[test]
    fn a_url_is_one_value_of_a_query() {
        assert_eq!(escape("http://a/?b=c&d"), "http%3A%2F%2Fa%2F%3Fb%3Dc%26d");
    }
}
