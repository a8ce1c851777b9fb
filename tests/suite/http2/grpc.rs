//! HTTP/2 to back ends: gRPC as it looks on the wire, without its library.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use h2::server::SendResponse;
use h2::{Reason, RecvStream};
use http::{HeaderMap, Method, Request, Response};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;

use super::run;
use crate::bed::{Bed, ingress, service};
use crate::clients::h2;

/// A back end that speaks HTTP/2 in clear text, until dropped.
struct Grpc {
    address: SocketAddr,
    connections: Arc<AtomicUsize>,
    _stop: oneshot::Sender<()>,
}

impl Grpc {
    fn start() -> Grpc {
        Grpc::admitting(100)
    }

    /// Admits so many streams at a time on one connection.
    fn admitting(streams: u32) -> Grpc {
        Grpc::silent_at_first(0, streams)
    }

    /// Says nothing on the first `silent` connections.
    fn silent_at_first(silent: usize, streams: u32) -> Grpc {
        let (stop, mut stopped) = oneshot::channel::<()>();
        let (tell, told) = std::sync::mpsc::channel();
        let connections = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&connections);
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async move {
                let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
                tell.send(listener.local_addr().unwrap()).unwrap();
                let mut held = Vec::new();
                loop {
                    tokio::select! {
                        _ = &mut stopped => return,
                        accepted = listener.accept() => {
                            let socket = accepted.unwrap().0;
                            if count.fetch_add(1, Ordering::Relaxed) < silent {
                                held.push(socket);
                            } else {
                                tokio::spawn(serve(socket, streams));
                            }
                        }
                    }
                }
            });
        });
        Grpc { address: told.recv().unwrap(), connections, _stop: stop }
    }

    fn bed(&self) -> Bed {
        self.bed_with_tries(3)
    }

    /// A proxy in front that tries so often.
    fn bed_with_tries(&self, tries: u32) -> Bed {
        let annotations = format!(
            "nginx.ingress.kubernetes.io/backend-protocol: GRPC, \
             nginx.ingress.kubernetes.io/proxy-connect-timeout: '5', \
             nginx.ingress.kubernetes.io/proxy-read-timeout: '5', \
             nginx.ingress.kubernetes.io/proxy-next-upstream-tries: '{tries}'"
        );
        Bed::with(
            &(service("web", &[self.address]) + &ingress("web", "a.example", "/", "web", &annotations)),
            fairlead::settings::Limits::default(),
            1,
            None,
        )
    }
}

async fn serve(socket: TcpStream, streams: u32) {
    let handshake = h2::server::Builder::new().max_concurrent_streams(streams).handshake(socket);
    let Ok(mut connection) = handshake.await else { return };
    let mut refused = false;
    while let Some(Ok((request, mut respond))) = connection.accept().await {
        if request.uri().path() == "/refuse-once" && !std::mem::replace(&mut refused, true) {
            respond.send_reset(Reason::REFUSED_STREAM);
            continue;
        }
        tokio::spawn(answer(request, respond));
    }
}

/// Echoes each message as it comes, then the status in trailers; `/only-trailers` has nothing else; `/break` breaks off
/// when told; `/body-of-none` sends a body where there is none.
async fn answer(request: Request<RecvStream>, mut respond: SendResponse<Bytes>) {
    let te = request.headers().get("te").map_or("", |te| te.to_str().unwrap()).to_owned();
    let authority = request.uri().authority().unwrap().to_string();
    let head = Response::builder().header("content-type", "application/grpc").header("x-te", te);
    let head = head.header("x-authority", authority);
    if request.uri().path() == "/body-of-none" {
        let status = if request.method() == Method::HEAD { 200 } else { 204 };
        let mut send = respond.send_response(head.status(status).body(()).unwrap(), false).unwrap();
        let _gone = send.send_data(Bytes::from("HTTP/1.1 200 INJECTED\r\n\r\n"), true);
        return;
    }
    if request.uri().path() == "/only-trailers" {
        respond.send_response(head.header("grpc-status", "5").body(()).unwrap(), true).unwrap();
        return;
    }
    if request.uri().path() == "/small" {
        // More small messages than a client that reads nothing lets through.
        let mut send = respond.send_response(head.body(()).unwrap(), false).unwrap();
        send.reserve_capacity(25 * 20_000);
        for _ in 0..20_000 {
            if send.send_data(Bytes::from_static(&[7; 25]), false).is_err() {
                return;
            }
        }
        return std::future::pending().await;
    }
    if request.uri().path() == "/silent" {
        return std::future::pending().await;
    }
    let breaks = request.uri().path() == "/break";
    let mut body = request.into_body();
    let mut send = respond.send_response(head.body(()).unwrap(), false).unwrap();
    while let Some(Ok(data)) = body.data().await {
        let _gone = body.flow_control().release_capacity(data.len());
        if breaks && data == "break" {
            send.send_reset(Reason::CANCEL);
            return;
        }
        let _gone = send.send_data(data, false);
    }
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", "0".parse().unwrap());
    let _gone = send.send_trailers(trailers);
}

fn post(path: &str) -> Request<()> {
    Request::post(format!("http://a.example{path}"))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(())
        .unwrap()
}

#[test]
fn messages_pass_in_both_directions_one_by_one_and_trailers_at_the_end() {
    let grpc = Grpc::start();
    let bed = grpc.bed();
    run(async {
        let client = h2(TcpStream::connect(bed.http).await.unwrap()).await;
        let (response, mut send) = client.ready().await.unwrap().send_request(post("/echo"), false).unwrap();
        let response = response.await.unwrap();
        assert_eq!(response.headers()["x-te"], "trailers");
        assert_eq!(response.headers()["x-authority"], "a.example");
        let mut body = response.into_body();
        for message in ["one", "two", "three"] {
            send.send_data(Bytes::from(message), false).unwrap();
            assert_eq!(body.data().await.unwrap().unwrap(), message);
        }
        send.send_data(Bytes::new(), true).unwrap();
        assert!(body.data().await.is_none());
        assert_eq!(body.trailers().await.unwrap().unwrap()["grpc-status"], "0");
    });
}

#[test]
fn an_answer_of_trailers_only_stays_one_frame() {
    let grpc = Grpc::start();
    let bed = grpc.bed();
    run(async {
        let client = h2(TcpStream::connect(bed.http).await.unwrap()).await;
        let (response, _) = client.ready().await.unwrap().send_request(post("/only-trailers"), true).unwrap();
        let response = response.await.unwrap();
        assert_eq!(response.headers()["grpc-status"], "5");
        assert!(response.body().is_end_stream());
        assert!(!response.headers().contains_key("content-length"));
    });
}

#[test]
fn an_answer_of_trailers_only_has_a_length_of_nothing_in_http1() {
    let grpc = Grpc::start();
    let bed = grpc.bed();
    run(async {
        let mut client = TcpStream::connect(bed.http).await.unwrap();
        let request = "POST /only-trailers HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n";
        client.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        client.read_to_string(&mut answer).await.unwrap();
        assert!(answer.contains("\r\nContent-Length: 0\r\n") && answer.contains("grpc-status: 5"), "{answer}");
    });
}

#[test]
fn a_body_after_an_answer_that_has_none_reaches_nobody() {
    let grpc = Grpc::start();
    let bed = grpc.bed();
    run(async {
        for method in ["GET", "HEAD"] {
            let mut client = TcpStream::connect(bed.http).await.unwrap();
            let request = format!(
                "{method} /body-of-none HTTP/1.1\r\nHost: a.example\r\n\r\n\
                 GET /only-trailers HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n"
            );
            client.write_all(request.as_bytes()).await.unwrap();
            let mut answer = String::new();
            client.read_to_string(&mut answer).await.unwrap();
            assert_eq!(answer.matches("HTTP/1.1 20").count(), 2, "{answer}");
            assert!(!answer.contains("INJECTED") && answer.contains("grpc-status: 5"), "{answer}");
        }
    });
}

#[test]
fn an_answer_that_the_back_end_resets_is_reset() {
    let grpc = Grpc::start();
    let bed = grpc.bed();
    run(async {
        let client = h2(TcpStream::connect(bed.http).await.unwrap()).await;
        let (response, mut send) = client.ready().await.unwrap().send_request(post("/break"), false).unwrap();
        send.send_data(Bytes::from("x"), false).unwrap();
        let mut body = response.await.unwrap().into_body();
        assert_eq!(body.data().await.unwrap().unwrap(), "x");
        send.send_data(Bytes::from("break"), false).unwrap();
        let error = loop {
            match body.data().await {
                Some(Ok(_)) => {}
                Some(Err(error)) => break error,
                None => panic!("a broken answer ended"),
            }
        };
        assert_eq!(error.reason(), Some(Reason::INTERNAL_ERROR));
    });
}

#[test]
fn many_calls_share_one_connection() {
    let grpc = Grpc::start();
    let bed = grpc.bed();
    run(async {
        let client = h2(TcpStream::connect(bed.http).await.unwrap()).await;
        let calls = (0..50).map(|i| {
            let client = client.clone();
            async move {
                let (response, mut send) = client.ready().await.unwrap().send_request(post("/echo"), false).unwrap();
                send.send_data(Bytes::from(format!("call {i}")), true).unwrap();
                let mut body = response.await.unwrap().into_body();
                assert_eq!(body.data().await.unwrap().unwrap(), format!("call {i}"));
                assert!(body.trailers().await.unwrap().is_some());
            }
        });
        futures::future::join_all(calls).await;
    });
    assert_eq!(grpc.connections.load(Ordering::Relaxed), 1);
}

#[test]
fn a_connection_that_breaks_counts_once_however_many_calls_wait_for_it() {
    let broken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = broken.local_addr().unwrap();
    let grpc = Grpc::start();
    let annotations = "nginx.ingress.kubernetes.io/backend-protocol: GRPC";
    let manifests = service("web", &[address, grpc.address]) + &ingress("web", "a.example", "/", "web", annotations);
    let bed = Bed::with(&manifests, fairlead::settings::Limits::default(), 1, None);
    let back_end = std::thread::spawn(move || {
        use std::io::{Read, Write};
        for _ in 0..5 {
            let (mut socket, _) = broken.accept().unwrap();
            // SETTINGS, so that streams are begun; then silence until they are, and a reset.
            socket.write_all(&[0, 0, 0, 4, 0, 0, 0, 0, 0]).unwrap();
            std::thread::sleep(Duration::from_millis(300));
            socket.read_exact(&mut [0; 24]).unwrap();
        }
    });
    run(async {
        let client = h2(TcpStream::connect(bed.http).await.unwrap()).await;
        for breaks in 1..=5 {
            let calls = (0..40).map(|_| {
                let client = client.clone();
                async move {
                    let (response, _) = client.ready().await.unwrap().send_request(post("/echo"), true).unwrap();
                    response.await.unwrap().status().as_u16()
                }
            });
            let statuses = futures::future::join_all(calls).await;
            let failed = statuses.iter().filter(|status| **status == 502).count();
            assert!(failed > 10, "it had many of them: {statuses:?}");
            let expected = if breaks < 5 { "ready" } else { "ejected" };
            assert_eq!(bed.standing(address).0, expected, "{breaks} breaks");
        }
    });
    back_end.join().unwrap();
}

#[test]
fn a_back_end_that_admits_no_streams_gets_no_storm_of_connections() {
    let grpc = Grpc::admitting(0);
    let bed = grpc.bed();
    run(async {
        let client = h2(TcpStream::connect(bed.http).await.unwrap()).await;
        let calls = (0..20).map(|_| {
            let client = client.clone();
            async move {
                let (response, _) = client.ready().await.unwrap().send_request(post("/echo"), true).unwrap();
                assert_eq!(response.await.unwrap().status(), 504);
            }
        });
        futures::future::join_all(calls).await;
    });
    let connections = grpc.connections.load(Ordering::Relaxed);
    assert!(connections <= 4, "{connections}");
}

#[test]
fn a_connection_on_which_the_back_end_says_nothing_stands_in_the_way_of_no_other() {
    let grpc = Grpc::silent_at_first(1, 100);
    let bed = grpc.bed_with_tries(1);
    run(async {
        let client = h2(TcpStream::connect(bed.http).await.unwrap()).await;
        let (stuck, _) = client.clone().ready().await.unwrap().send_request(post("/echo"), true).unwrap();
        let (response, _) = client.clone().ready().await.unwrap().send_request(post("/echo"), true).unwrap();
        assert_eq!(response.await.unwrap().status(), 200);
        assert_eq!(stuck.await.unwrap().status(), 504);
    });
}

#[test]
fn calls_beyond_what_the_connections_admit_wait_their_turn_and_none_is_refused() {
    for streams in [1, 2] {
        let grpc = Grpc::admitting(streams);
        let bed = grpc.bed_with_tries(1);
        run(async {
            let client = h2(TcpStream::connect(bed.http).await.unwrap()).await;
            let calls = (0..50).map(|i| {
                let client = client.clone();
                async move {
                    let (response, mut send) =
                        client.ready().await.unwrap().send_request(post("/echo"), false).unwrap();
                    send.send_data(Bytes::from(format!("call {i}")), true).unwrap();
                    let response = response.await.unwrap();
                    assert_eq!(response.status(), 200);
                    assert_eq!(response.into_body().data().await.unwrap().unwrap(), format!("call {i}"));
                }
            });
            futures::future::join_all(calls).await;
        });
        let connections = grpc.connections.load(Ordering::Relaxed);
        assert!(connections <= 16, "{connections}");
    }
}

#[test]
fn clients_that_do_not_read_end_and_hold_up_no_call_of_others() {
    let grpc = Grpc::start();
    let bed = grpc.bed_with_tries(1);
    run(async {
        let client = h2(TcpStream::connect(bed.http).await.unwrap()).await;
        let mut unread = Vec::new();
        for _ in 0..8 {
            let (response, _) = client.clone().ready().await.unwrap().send_request(post("/small"), true).unwrap();
            unread.push(response.await.unwrap().into_body());
        }
        let other = h2(TcpStream::connect(bed.http).await.unwrap()).await;
        for call in 0..50 {
            let (response, mut send) = other.clone().ready().await.unwrap().send_request(post("/echo"), false).unwrap();
            send.send_data(Bytes::from(format!("call {call}")), true).unwrap();
            let mut body = response.await.unwrap().into_body();
            assert_eq!(body.data().await.unwrap().unwrap(), format!("call {call}"));
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        assert_eq!(grpc.connections.load(Ordering::Relaxed), 1, "all calls share the connection");
    });
}

#[test]
fn a_call_whose_client_and_back_end_are_both_silent_ends_with_the_read_timeout() {
    let grpc = Grpc::start();
    let bed = grpc.bed_with_tries(1);
    run(async {
        let client = h2(TcpStream::connect(bed.http).await.unwrap()).await;
        let (response, _open) = client.ready().await.unwrap().send_request(post("/silent"), false).unwrap();
        assert_eq!(response.await.unwrap().status(), 504);
    });
}

#[test]
fn a_stream_that_the_back_end_refused_is_sent_again() {
    let grpc = Grpc::start();
    let bed = grpc.bed();
    run(async {
        let client = h2(TcpStream::connect(bed.http).await.unwrap()).await;
        let (response, _) = client.ready().await.unwrap().send_request(post("/refuse-once"), true).unwrap();
        assert_eq!(response.await.unwrap().status(), 200);
    });
}
