//! The webhook over TLS: few connections, small requests, short lives.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, StatusCode, header};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::review::NoVerdict;
use super::{Reviewer, Webhook};
use crate::admin::answer::{Answered, error, json};
use crate::admin::server::{ACCEPT_PAUSE, Crowd, HEAD_BYTES, HEAD_FIELDS};

/// The path that the chart writes into the configuration; ingress-nginx's too.
const PATH: &str = "/networking/v1/ingresses";
/// Largest body: an old and a new object of at most 3 MB each, and room.
const BODY_BYTES: usize = 9 << 20;
/// Longest wait for the handshake, and for a request head.
const HEAD_TIME: Duration = Duration::from_secs(5);
/// Longest life of a connection. An API server waits 30 s at most.
const CONNECTION_TIME: Duration = Duration::from_secs(30);
/// Connections at a time; each may hold a body.
const CONNECTIONS: usize = 32;

/// Accepts for ever, on the runtime that it is called in, and keeps the certificate up to date.
pub(in crate::admin) fn serve(webhook: Webhook) -> io::Result<()> {
    let Webhook { sockets, key, reviewer, cluster } = webhook;
    let acceptor = TlsAcceptor::from(key.server_config());
    let crowd = Arc::new(Crowd::new(CONNECTIONS, HEAD_TIME));
    for socket in sockets {
        let socket = TcpListener::from_std(socket)?;
        tokio::spawn(accept(socket, acceptor.clone(), Arc::clone(&crowd), Arc::clone(&reviewer)));
    }
    tokio::spawn(key.renew(cluster));
    Ok(())
}

async fn accept(socket: TcpListener, acceptor: TlsAcceptor, crowd: Arc<Crowd>, reviewer: Arc<Reviewer>) {
    loop {
        let Ok((stream, _)) = socket.accept().await else {
            tokio::time::sleep(ACCEPT_PAUSE).await;
            continue;
        };
        let Some((permit, place)) = crowd.admit().await else { return };
        let (acceptor, reviewer) = (acceptor.clone(), Arc::clone(&reviewer));
        tokio::spawn(async move {
            let place = &place;
            let exchange = async {
                // What goes wrong here is the client's to see.
                let Ok(Ok(stream)) = tokio::time::timeout(HEAD_TIME, acceptor.accept(stream)).await else { return };
                let service = service_fn(|request| {
                    place.head_came();
                    let reviewer = Arc::clone(&reviewer);
                    async move { Ok::<_, Infallible>(answer(&reviewer, request).await) }
                });
                let connection = http1::Builder::new()
                    .keep_alive(false)
                    .timer(TokioTimer::new())
                    .header_read_timeout(HEAD_TIME)
                    .max_buf_size(HEAD_BYTES)
                    .max_headers(HEAD_FIELDS)
                    .serve_connection(TokioIo::new(stream), service);
                let _ = connection.await;
            };
            tokio::select! {
                _ = tokio::time::timeout(CONNECTION_TIME, exchange) => {}
                () = place.dismissed() => {}
            }
            drop(permit);
        });
    }
}

/// Takes in as much again of what is too long: closing with unread bytes would reset the connection and take the answer with it.
async fn discard(mut body: Incoming) {
    let mut left = BODY_BYTES;
    while let Some(Ok(frame)) = body.frame().await
        && let Some(less) = left.checked_sub(frame.data_ref().map_or(1, Bytes::len))
    {
        left = less;
    }
}

async fn answer(reviewer: &Reviewer, request: Request<Incoming>) -> Answered {
    if request.uri().path() != PATH {
        return error(StatusCode::NOT_FOUND, &format!("no such path; there is {PATH}"));
    }
    if request.method() != Method::POST {
        return error(StatusCode::METHOD_NOT_ALLOWED, "only POST is answered here");
    }
    let content_type = request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let media_type = content_type.and_then(|text| text.split(';').next()).map(str::trim);
    if media_type != Some("application/json") {
        return error(StatusCode::UNSUPPORTED_MEDIA_TYPE, "an AdmissionReview comes as application/json");
    }
    let mut body = request.into_body();
    let body = match Limited::new(&mut body, BODY_BYTES).collect().await {
        Ok(body) => body.to_bytes(),
        Err(why) if why.is::<LengthLimitError>() => {
            discard(body).await;
            return error(StatusCode::PAYLOAD_TOO_LARGE, "the review is larger than 9 MiB");
        }
        Err(_) => return error(StatusCode::BAD_REQUEST, "the body broke off"),
    };
    match reviewer.answer(&body).await {
        Ok(review) => json(StatusCode::OK, &review),
        Err(NoVerdict::BadRequest(why)) => error(StatusCode::BAD_REQUEST, &format!("no AdmissionReview: {why}")),
        Err(NoVerdict::Unavailable(why)) => error(StatusCode::SERVICE_UNAVAILABLE, why),
    }
}
