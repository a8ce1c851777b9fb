//! `grpc.health.v1.Health/Check` (gRPC Health Checking Protocol): one call over HTTP/2.

use std::io::ErrorKind;
use std::pin::pin;

use bytes::Bytes;
use h2::RecvStream;
use h2::client::{Builder, SendRequest};
use http::header::{CONTENT_TYPE, TE, USER_AGENT};
use http::uri::{PathAndQuery, Scheme};
use http::{HeaderMap, Request, Uri};
use tokio::io::{AsyncRead, AsyncWrite};

use super::{Authority, Failure};

/// An answer is a few bytes long.
const MOST_BYTES: usize = 1 << 10;
/// The longest list of fields that is taken.
const MOST_FIELD_BYTES: u32 = 16 << 10;
/// A length-prefixed message without compression, whose only field, the name of a service, is empty: the server as a whole.
const QUESTION: &[u8] = &[0, 0, 0, 0, 0];

/// Whether the server says that it serves.
pub(super) async fn serves(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    scheme: Scheme,
    host: &Authority<'_>,
) -> Result<(), Failure> {
    let mut builder = Builder::new();
    builder.enable_push(false).max_header_list_size(MOST_FIELD_BYTES);
    let (send, connection) = builder.handshake::<_, Bytes>(stream).await.map_err(failure)?;
    let mut answer = pin!(ask(send, scheme, host));
    tokio::select! {
        biased;
        answer = &mut answer => return answer,
        _ended = connection => {}
    }
    // A server may close right behind its answer; then all that will ever come is there.
    answer.await
}

async fn ask(send: SendRequest<Bytes>, scheme: Scheme, host: &Authority<'_>) -> Result<(), Failure> {
    let mut send = send.ready().await.map_err(failure)?;
    let (response, mut body) = send.send_request(request(scheme, host)?, false).map_err(failure)?;
    body.send_data(Bytes::from_static(QUESTION), true).map_err(failure)?;
    let (head, mut body) = response.await.map_err(failure)?.into_parts();
    if head.status.as_u16() != 200 {
        return Err(Failure::Status(head.status.as_u16()));
    }
    // An answer without message has its status in the head.
    if let Some(failed) = grpc_status(&head.headers)? {
        return Err(failed);
    }
    let message = message(&mut body).await?;
    let trailers = body.trailers().await.map_err(failure)?.ok_or(invalid("it has no grpc-status"))?;
    match grpc_status(&trailers)? {
        Some(failed) => return Err(failed),
        None if !trailers.contains_key(GRPC_STATUS) => return Err(invalid("it has no grpc-status")),
        None => {}
    }
    match serving_status(&message) {
        Some(1) => Ok(()),
        Some(status) => Err(Failure::NotServing(name(status))),
        None => Err(invalid("its message is none")),
    }
}

fn request(scheme: Scheme, host: &Authority<'_>) -> Result<Request<()>, Failure> {
    let authority = host.to_string().parse().map_err(|_| invalid("the host of the check is none"))?;
    let mut parts = http::uri::Parts::default();
    parts.scheme = Some(scheme);
    parts.authority = Some(authority);
    parts.path_and_query = Some(PathAndQuery::from_static("/grpc.health.v1.Health/Check"));
    let uri = Uri::from_parts(parts).map_err(|_| invalid("the host of the check is none"))?;
    let request = Request::post(uri).header(TE, "trailers").header(CONTENT_TYPE, "application/grpc");
    request.header(USER_AGENT, super::USER_AGENT).body(()).map_err(|_| invalid("the host of the check is none"))
}

/// All of the body.
async fn message(body: &mut RecvStream) -> Result<Vec<u8>, Failure> {
    let mut message = Vec::new();
    while let Some(data) = body.data().await {
        let data = data.map_err(failure)?;
        if message.len() + data.len() > MOST_BYTES {
            return Err(invalid("its message is too long"));
        }
        message.extend_from_slice(&data);
        body.flow_control().release_capacity(data.len()).map_err(failure)?;
    }
    Ok(message)
}

const GRPC_STATUS: &str = "grpc-status";

/// The failure that `grpc-status` names, if it names one.
fn grpc_status(fields: &HeaderMap) -> Result<Option<Failure>, Failure> {
    let Some(status) = fields.get(GRPC_STATUS) else { return Ok(None) };
    match status.to_str().ok().and_then(|status| status.parse().ok()) {
        Some(0) => Ok(None),
        Some(status) => Ok(Some(Failure::GrpcStatus(status))),
        None => Err(invalid("its grpc-status is no number")),
    }
}

/// Field 1 of the one length-prefixed message `bytes`, 0 where it is left out (protobuf's encoding). `None`: it is no
/// such message.
fn serving_status(bytes: &[u8]) -> Option<u64> {
    let (prefix, mut rest) = bytes.split_first_chunk::<5>()?;
    let &[is_compressed, a, b, c, d] = prefix;
    if is_compressed != 0 || usize::try_from(u32::from_be_bytes([a, b, c, d])).ok()? != rest.len() {
        return None;
    }
    let mut status = 0;
    while !rest.is_empty() {
        let tag = varint(&mut rest)?;
        match (tag >> 3, tag & 7) {
            // Of several the last counts.
            (1, 0) => status = varint(&mut rest)?,
            (_, 0) => _ = varint(&mut rest)?,
            (_, 1) => rest = rest.get(8..)?,
            (_, 2) => {
                let length = usize::try_from(varint(&mut rest)?).ok()?;
                rest = rest.get(length..)?;
            }
            (_, 5) => rest = rest.get(4..)?,
            _ => return None,
        }
    }
    Some(status)
}

/// A number in groups of seven bits, the lowest first.
fn varint(rest: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let (&octet, behind) = rest.split_first()?;
        *rest = behind;
        number |= u64::from(octet & 0x7f) << shift;
        if octet & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

/// The name of a `HealthCheckResponse.ServingStatus`.
fn name(status: u64) -> &'static str {
    match status {
        1 => "SERVING",
        2 => "NOT_SERVING",
        3 => "SERVICE_UNKNOWN",
        _ => "UNKNOWN",
    }
}

fn failure(error: h2::Error) -> Failure {
    match error.get_io() {
        Some(io) if matches!(io.kind(), ErrorKind::BrokenPipe | ErrorKind::UnexpectedEof) => Failure::Closed,
        // As in `From<io::Error>`.
        Some(io) if io.kind() == ErrorKind::InvalidData => Failure::Tls,
        Some(io) => Failure::Io(io.kind()),
        None if error.is_remote() => invalid("the call was refused"),
        None => invalid("it is not HTTP/2"),
    }
}

fn invalid(why: &'static str) -> Failure {
    Failure::Invalid { protocol: "gRPC", why }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn framed(message: &[u8]) -> Vec<u8> {
        [&[0][..], &u32::try_from(message.len()).unwrap().to_be_bytes(), message].concat()
    }

    #[test]
    fn the_status_is_field_one_wherever_it_stands() {
        for (message, status) in [
            (&[][..], Some(0)),
            (&[0x08, 1], Some(1)),
            (&[0x08, 0x82, 0x00], Some(2)),
            (&[0x08, 2, 0x08, 1], Some(1)),
            (&[0x12, 2, b'h', b'i', 0x08, 3, 0x1d, 1, 2, 3, 4, 0x21, 1, 2, 3, 4, 5, 6, 7, 8, 0x28, 9], Some(3)),
            (&[0x08], None),
            (&[0x12, 9, 1], None),
            (&[0x0b], None),
            (&[0xff; 11], None),
        ] {
            assert_eq!(serving_status(&framed(message)), status, "{message:?}");
        }
    }

    #[test]
    fn a_message_has_a_true_length_and_no_compression() {
        let whole = framed(&[0x08, 1]);
        for wrong in [&[][..], &whole[..4], &whole[..6], &[&whole[..], &whole[..]].concat()] {
            assert_eq!(serving_status(wrong), None, "{wrong:?}");
        }
        let mut compressed = whole;
        compressed[0] = 1;
        assert_eq!(serving_status(&compressed), None);
    }

    proptest! {
        #[test]
        fn no_message_breaks_the_reader(message in prop::collection::vec(any::<u8>(), 0..64)) {
            let _either = serving_status(&framed(&message));
            let _either = serving_status(&message);
        }
    }
}
