//! The messages that most scripts are made of.

/// The fields that the proxy adds to a request.
pub(super) const OURS: &str = "X-Request-ID: {id}\r\nX-Real-IP: 127.0.0.1\r\nX-Forwarded-For: 127.0.0.1\r\n\
    X-Forwarded-Host: a.example\r\nX-Forwarded-Port: {digits}\r\nX-Forwarded-Proto: http\r\n\
    X-Forwarded-Scheme: http\r\nX-Scheme: http\r\n";

/// What the upstream answers where the answer does not matter.
pub(super) const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// [`OK`] as it comes to the client.
pub(super) const OK_RELAYED: &str = "HTTP/1.1 200 OK\r\nDate: {date}\r\nContent-Length: 2\r\n\r\nok";

/// [`OK`] as it comes to the client when the connection ends with it.
pub(super) const OK_CLOSE: &str = "HTTP/1.1 200 OK\r\nDate: {date}\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok";

/// A request for `a.example`: its line without version, further fields with their CRLF, its body.
pub(super) fn request(line: &str, fields: &str, body: &str) -> String {
    format!("{line} HTTP/1.1\r\nHost: a.example\r\n{fields}\r\n{body}")
}

/// `GET /` with these fields.
pub(super) fn get(fields: &str) -> String {
    request("GET /", fields, "")
}

/// `POST /` with these fields and this body.
pub(super) fn post(fields: &str, body: &str) -> String {
    request("POST /", fields, body)
}

/// A request as it comes to the upstream: the client's fields that are passed on, then ours, then the framing.
pub(super) fn passed(line: &str, fields: &str, framing: &str, body: &str) -> String {
    format!("{line} HTTP/1.1\r\nHost: a.example\r\n{fields}{OURS}{framing}\r\n{body}")
}

/// `GET /` as it comes to the upstream.
pub(super) fn passed_get(fields: &str) -> String {
    passed("GET /", fields, "", "")
}

/// `POST /` with a body of known length as it comes to the upstream.
pub(super) fn passed_post(fields: &str, body: &str) -> String {
    passed("POST /", fields, &format!("Content-Length: {}\r\n", body.len()), body)
}

/// An answer without Date as it comes to the client.
pub(super) fn relayed(status: &str, fields: &str, framing: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\n{fields}Date: {{date}}\r\n{framing}\r\n{body}")
}

/// Our own answer; the connection stays open.
pub(super) fn failed(status: u16) -> String {
    own(status, "", "")
}

/// Our own answer; the connection ends with it.
pub(super) fn refused(status: u16) -> String {
    own(status, "", "Connection: close\r\n")
}

/// Our own answer with further fields, and those behind the length.
pub(super) fn own(status: u16, fields: &str, last: &str) -> String {
    let phrase = match status {
        400 => "Bad Request",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        413 => "Request Entity Too Large",
        414 => "Request-URI Too Large",
        417 => "Expectation Failed",
        431 => "Request Header Fields Too Large",
        502 => "Bad Gateway",
        503 => "Service Temporarily Unavailable",
        504 => "Gateway Time-out",
        505 => "HTTP Version Not Supported",
        _ => "",
    };
    let title = format!("{status} {phrase}");
    let page =
        format!("<html><head><title>{title}</title></head><body><center><h1>{title}</h1></center></body></html>");
    format!(
        "HTTP/1.1 {title}\r\nDate: {{date}}\r\nContent-Type: text/html\r\nX-Request-ID: {{id}}\r\n{fields}\
         Content-Length: {}\r\n{last}\r\n{page}",
        page.len()
    )
}
