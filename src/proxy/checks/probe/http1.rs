//! GET over HTTP/1.1: the head of the answer is read, its body never.

use std::sync::LazyLock;

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::{Authority, Failure, USER_AGENT};
use crate::http1::{HeadLimits, HeadScan, Refusal, ResponseHead};
use crate::settings::Limits;

/// Room for a response head.
const HEAD_SIZE: usize = 1 << 10;
/// Interim answers (RFC 9110 15.2) that may come before the final one.
const MOST_INTERIM: usize = 8;

/// Checks hold answers to the limits that hold for every back end by default.
static LIMITS: LazyLock<HeadLimits> = LazyLock::new(|| HeadLimits::response(&Limits::default()));

/// The status of the answer to GET `path`. The caller closes the connection, whatever follows on it.
pub(super) async fn status(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    path: &str,
    host: &Authority<'_>,
) -> Result<u16, Failure> {
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: {USER_AGENT}\r\nAccept: */*\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await?;
    stream.flush().await?;
    let mut input = BytesMut::with_capacity(HEAD_SIZE);
    for _ in 0..=MOST_INTERIM {
        let head = head(stream, &mut input).await?;
        // After 101 no other answer comes.
        if head.status >= 200 || head.status == 101 {
            return Ok(head.status);
        }
    }
    Err(invalid("interim answers only"))
}

async fn head(stream: &mut (impl AsyncRead + Unpin), input: &mut BytesMut) -> Result<ResponseHead, Failure> {
    let mut scan = HeadScan::default();
    loop {
        if let Some(length) = scan.advance(input, &LIMITS).map_err(refused)? {
            return ResponseHead::parse(input, length, false).map_err(refused);
        }
        if !ResponseHead::may_begin(input) {
            return Err(invalid("no status line"));
        }
        if input.capacity() - input.len() < HEAD_SIZE / 2 {
            input.reserve(HEAD_SIZE);
        }
        if stream.read_buf(input).await? == 0 {
            return Err(if input.is_empty() { Failure::Closed } else { invalid("its head breaks off") });
        }
    }
}

fn refused(refusal: Refusal) -> Failure {
    invalid(refusal.why)
}

fn invalid(why: &'static str) -> Failure {
    Failure::Invalid { protocol: "HTTP/1.1", why }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    /// What is made of an answer, and the request that it is given to.
    fn given(answer: &str) -> (Result<u16, Failure>, String) {
        let (mut near, mut far) = tokio::io::duplex(1 << 20);
        let exchange = async {
            far.write_all(answer.as_bytes()).await.unwrap();
            far.shutdown().await.unwrap();
            let host = Authority { given: None, address: "10.0.0.7:8080".parse().unwrap(), default_port: 80 };
            let status = status(&mut near, "/healthz?full", &host).await;
            drop(near);
            let mut request = String::new();
            far.read_to_string(&mut request).await.unwrap();
            (status, request)
        };
        exchange.now_or_never().unwrap()
    }

    #[test]
    fn the_request_names_path_and_host_and_closes() {
        let (status, request) = given("HTTP/1.1 204 No Content\r\n\r\n");
        assert_eq!(status, Ok(204));
        assert_eq!(
            request,
            "GET /healthz?full HTTP/1.1\r\nHost: 10.0.0.7:8080\r\nUser-Agent: fairlead-check\r\nAccept: */*\r\n\
             Connection: close\r\n\r\n"
        );
    }

    #[test]
    fn the_final_status_counts_and_no_body_is_waited_for() {
        let answer = "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 503 Busy\r\nContent-Length: 900\r\n\r\n";
        assert_eq!(given(answer).0, Ok(503));
        assert_eq!(given("HTTP/1.0 200 OK\r\n\r\nbody").0, Ok(200));
        assert_eq!(given("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n").0, Ok(101));
    }

    #[test]
    fn what_is_no_answer_is_named() {
        assert_eq!(given("").0, Err(Failure::Closed));
        assert_eq!(given("HTTP/1.1 200 OK\r\nServ").0, Err(invalid("its head breaks off")));
        assert_eq!(given(&"HTTP/1.1 100 Continue\r\n\r\n".repeat(20)).0, Err(invalid("interim answers only")));
        for garbage in ["220 mail ESMTP\r\n\r\n", "\0\x01\x02\r\n\r\n", "HTTP/1.1 OK\r\n\r\n", "HTTP/1.1 200 OK\n\n"] {
            assert!(matches!(given(garbage).0, Err(Failure::Invalid { .. })), "{garbage:?}");
        }
        assert_eq!(given("SSH-2.0-OpenSSH_10.0\r\n").0, Err(invalid("no status line")), "without waiting for more");
        let endless = format!("HTTP/1.1 200 OK\r\nA: {}", "a".repeat(900_000));
        assert!(matches!(given(&endless).0, Err(Failure::Invalid { .. })), "a head has an end");
    }
}
