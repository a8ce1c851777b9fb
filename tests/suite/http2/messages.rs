//! Requests and answers in HTTP/2: what passes, what is refused, and what an answer that breaks off looks like.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use fairlead::proxy::Phase;
use fairlead::settings::Limits;
use http::{Method, Request, StatusCode};
use tokio::net::TcpStream;

use super::frames::{
    ACK, CONTINUATION, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, INTERNAL_ERROR, NO_ERROR, PING, PROTOCOL_ERROR,
    RST_STREAM, Raw, SETTINGS, WINDOW_UPDATE, block,
};
use super::run;
use crate::bed::{Bed, ingress, service};
use crate::clients::{h2, h2_get, tls};
use crate::exchange::plain::answer_once;
use crate::origin::Origin;

fn bed(address: SocketAddr) -> Bed {
    Bed::start(&(service("web", &[address]) + &ingress("web", "a.example", "/", "web", "")))
}

async fn connect(address: SocketAddr) -> h2::client::SendRequest<Bytes> {
    h2(TcpStream::connect(address).await.unwrap()).await
}

#[test]
fn over_tls_and_in_clear_text_many_streams_are_answered() {
    let origin = Origin::start("web");
    let bed = bed(origin.address);
    run(async {
        let clear = connect(bed.http).await;
        let secret = h2(tls(bed.https, "a.example", b"h2").await).await;
        for client in [clear, secret] {
            let requests = (0..200).map(|i| {
                let mut client = client.clone();
                async move { h2_get(&mut client, &format!("http://a.example/{i}")).await }
            });
            for (i, (status, body)) in futures::future::join_all(requests).await.into_iter().enumerate() {
                assert_eq!((status, String::from_utf8(body).unwrap()), (200, format!("web /{i}")));
            }
        }
    });
}

#[test]
fn a_request_reaches_an_http1_back_end_in_its_form() {
    let (address, backend) = answer_once(b"HTTP/1.1 204 No Content\r\nX-Case: Kept\r\nKeep-Alive: x\r\n\r\n", 5);
    let bed = bed(address);
    run(async {
        let client = connect(bed.http).await;
        let request = Request::builder()
            .method(Method::PUT)
            .uri("http://a.example/x?y")
            .header("cookie", "a=1")
            .header("cookie", "b=2")
            .header("content-length", "5")
            .header("te", "trailers")
            .body(())
            .unwrap();
        let (response, mut body) = client.ready().await.unwrap().send_request(request, false).unwrap();
        body.send_data(Bytes::from_static(b"hello"), true).unwrap();
        let response = response.await.unwrap();
        assert_eq!(response.status(), StatusCode::NO_CONTENT);
        assert_eq!(response.headers()["x-case"], "Kept");
        assert!(!response.headers().contains_key("keep-alive") && !response.headers().contains_key("content-length"));
        assert!(response.body().is_end_stream(), "no DATA frame follows");
    });
    let received = backend.join().unwrap();
    assert!(received.starts_with("PUT /x?y HTTP/1.1\r\nHost: a.example\r\ncookie: a=1; b=2\r\n"), "{received}");
    assert!(received.contains("\r\nContent-Length: 5\r\n") && received.ends_with("\r\n\r\nhello"), "{received}");
    assert!(!received.contains("te: trailers"), "{received}");
}

#[test]
fn interim_answers_and_trailers_pass() {
    let (address, _backend) = answer_once(
        b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX-Sum: 9\r\n\r\n",
        0,
    );
    let bed = bed(address);
    run(async {
        let client = connect(bed.http).await;
        let request = Request::get("http://a.example/").body(()).unwrap();
        let (mut response, _) = client.ready().await.unwrap().send_request(request, true).unwrap();
        let early = std::future::poll_fn(|cx| response.poll_informational(cx)).await.unwrap().unwrap();
        assert_eq!((early.status().as_u16(), &early.headers()["link"]), (103, &"</a>".parse().unwrap()));
        let mut body = response.await.unwrap().into_body();
        assert_eq!(body.data().await.unwrap().unwrap(), "hello");
        assert!(body.data().await.is_none());
        assert_eq!(body.trailers().await.unwrap().unwrap()["x-sum"], "9");
    });
}

#[test]
fn an_answer_that_breaks_off_is_reset_and_never_ended() {
    let answers: [&'static [u8]; 2] = [
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
    ];
    for answer in answers {
        let (address, _backend) = answer_once(answer, 0);
        let bed = bed(address);
        let mut client = Raw::connect(bed.http);
        client.get(1, "a.example", "/", &[]);
        let frame = loop {
            let frame = client.read().expect("the connection outlives the stream");
            assert!(frame.kind == RST_STREAM || frame.stream == 0 || frame.flags & 1 == 0, "ended: {frame:?}");
            if frame.kind == RST_STREAM {
                break frame;
            }
        };
        assert_eq!((frame.stream, frame.code()), (1, INTERNAL_ERROR));
    }
}

#[test]
fn what_the_crate_lets_pass_is_reset_as_malformed() {
    let origin = Origin::start("web");
    let bed = bed(origin.address);
    let cases: [(&str, &[(&str, &str)]); 5] = [
        ("host that differs from :authority", &[("host", "b.example")]),
        ("two hosts", &[("host", "a.example"), ("host", "a.example")]),
        ("leading space", &[("x", " v")]),
        ("trailing tab", &[("x", "v\t")]),
        ("two lengths", &[("content-length", "0"), ("content-length", "0")]),
    ];
    for (name, fields) in cases {
        let mut client = Raw::connect(bed.http);
        client.get(1, "a.example", "/", fields);
        let frame = client.read_kind(&[RST_STREAM, HEADERS]).unwrap();
        assert_eq!((frame.kind, frame.stream), (RST_STREAM, 1), "{name}");
        assert_eq!(frame.code(), PROTOCOL_ERROR, "{name}");
        client.get(3, "a.example", "/", &[]);
        assert_eq!(client.status(), 200, "the connection goes on after {name}");
    }
    assert_eq!(origin.answered.load(std::sync::atomic::Ordering::Relaxed), 5);
}

#[test]
fn refusals_are_answered_and_the_connection_goes_on() {
    let origin = Origin::start("web");
    let bed = bed(origin.address);
    let mut client = Raw::connect(bed.http);
    let long = "v".repeat(17 << 10);
    let mut stream = 1;
    for (host, path, fields, expected) in [
        ("other.example", "/", vec![], 404),
        ("a.example", "/%zz", vec![], 400),
        ("", "/", vec![], 400),
        ("user@a.example", "/", vec![], 400),
        ("a.example", "/", vec![("expect", "tea")], 417),
        ("a.example", "/", vec![], 200),
    ] {
        client.get(stream, host, path, &fields);
        assert_eq!(client.status(), expected, "{host} {path} {fields:?}");
        stream += 2;
    }
    let block = block("GET", "a.example", "/", &[("x", &long)]);
    let (first, second) = block.split_at(16 << 10);
    client.frame(HEADERS, 1, stream, first);
    client.frame(CONTINUATION, 4, stream, second);
    assert_eq!(client.status(), 431);
}

#[test]
fn a_client_that_resets_ends_the_work_upstream() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let bed = bed(listener.local_addr().unwrap());
    let mut client = Raw::connect(bed.http);
    client.get(1, "a.example", "/", &[]);
    let (mut upstream, _) = listener.accept().unwrap();
    upstream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    upstream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf").unwrap();
    client.read_kind(&[HEADERS]).unwrap();
    client.frame(RST_STREAM, 0, 1, &8_u32.to_be_bytes());
    let mut received = Vec::new();
    upstream.read_to_end(&mut received).unwrap();
    client.frame(PING, 0, 0, &[7; 8]);
    assert_eq!(client.read_kind(&[PING]).unwrap().payload, [7; 8]);
}

#[test]
fn a_large_upload_and_download_keep_to_the_windows() {
    let size = 3 << 20;
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let backend = thread::spawn(move || {
        let (mut socket, _) = listener.accept().unwrap();
        let mut received = Vec::new();
        let mut piece = vec![0; 64 << 10];
        while received.len() < size {
            let n = socket.read(&mut piece).unwrap();
            received.extend_from_slice(&piece[..n]);
        }
        let end = received.windows(4).position(|w| w == b"\r\n\r\n").unwrap() + 4;
        while received.len() < end + size {
            let n = socket.read(&mut piece).unwrap();
            received.extend_from_slice(&piece[..n]);
        }
        let body = received.split_off(end);
        socket.write_all(format!("HTTP/1.1 200 OK\r\nContent-Length: {size}\r\n\r\n").as_bytes()).unwrap();
        socket.write_all(&body).unwrap();
    });
    let manifests = service("web", &[address])
        + &ingress("web", "a.example", "/", "web", "nginx.ingress.kubernetes.io/proxy-body-size: 8m");
    let bed = Bed::start(&manifests);
    let sent: Vec<u8> = (0..size).map(|i| (i % 251) as u8).collect();
    run(async {
        let client = connect(bed.http).await;
        let request = Request::post("http://a.example/").header("content-length", size).body(()).unwrap();
        let (response, mut upload) = client.ready().await.unwrap().send_request(request, false).unwrap();
        let mut rest = Bytes::from(sent.clone());
        let up = async {
            while !rest.is_empty() {
                upload.reserve_capacity(rest.len().min(64 << 10));
                let room = std::future::poll_fn(|cx| upload.poll_capacity(cx)).await.unwrap().unwrap();
                let piece = rest.split_to(room.min(rest.len()));
                upload.send_data(piece, rest.is_empty()).unwrap();
            }
        };
        let down = async {
            let mut body = response.await.unwrap().into_body();
            let mut got = Vec::new();
            while let Some(data) = body.data().await {
                let data = data.unwrap();
                body.flow_control().release_capacity(data.len()).unwrap();
                got.extend_from_slice(&data);
            }
            got
        };
        let (_, got) = tokio::join!(up, down);
        assert!(got == sent);
    });
    backend.join().unwrap();
}

#[test]
fn a_connection_carries_only_so_many_requests() {
    let origin = Origin::start("web");
    let manifests = service("web", &[origin.address]) + &ingress("web", "a.example", "/", "web", "");
    let bed = Bed::with(&manifests, Limits { requests_per_connection: 3, ..Limits::default() }, 1, None);
    let mut client = Raw::connect(bed.http);
    for stream in [1, 3] {
        client.get(stream, "a.example", "/", &[]);
        assert_eq!(client.status(), 200);
    }
    client.get(5, "a.example", "/", &[]);
    assert_eq!(client.read_kind(&[GOAWAY, HEADERS]).unwrap().code(), NO_ERROR);
    assert_eq!(client.status(), 200);
}

#[test]
fn a_drain_says_goodbye_and_lets_open_streams_end() {
    let origin = Origin::start("web");
    let mut bed = bed(origin.address);
    let mut client = Raw::connect(bed.http);
    client.get(1, "a.example", "/slow/30", &[]);
    assert_eq!(client.status(), 200);
    bed.workers().enter(Phase::Farewell);
    assert_eq!(client.read_kind(&[GOAWAY]).unwrap().code(), NO_ERROR);
    let reader = thread::spawn(move || {
        let mut ended = 0;
        while let Some(frame) = client.read() {
            if frame.kind == PING && frame.flags == 0 {
                client.frame(PING, 1, 0, &frame.payload);
            }
            if frame.kind == GOAWAY {
                assert_eq!(frame.code(), NO_ERROR);
            }
            if frame.kind == DATA && frame.flags & END_STREAM != 0 {
                ended += 1;
            }
        }
        ended
    });
    assert!(bed.drain(Duration::from_secs(10)));
    assert_eq!(reader.join().unwrap(), 1, "the open stream ends before the connection");
}

#[test]
fn an_idle_connection_is_told_to_go_and_then_closed() {
    let origin = Origin::start("web");
    let manifests = service("web", &[origin.address]) + &ingress("web", "a.example", "/", "web", "");
    let limits = Limits { h2_idle: Duration::from_millis(50), ..Limits::default() };
    let bed = Bed::with(&manifests, limits, 1, None);
    let mut client = Raw::connect(bed.http);
    client.get(1, "a.example", "/", &[]);
    assert_eq!(client.status(), 200);
    assert_eq!(client.goaway(), Some(NO_ERROR));
}

#[test]
fn a_client_that_does_not_read_loses_its_connection_and_the_work_upstream() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let manifests = service("web", &[listener.local_addr().unwrap()]) + &ingress("web", "a.example", "/", "web", "");
    let limits = Limits { write_stall: Duration::from_millis(100), ..Limits::default() };
    let bed = Bed::with(&manifests, limits, 1, None);
    let mut client = Raw::connect(bed.http);
    // Windows as wide as they get, so that only the socket holds the answer back.
    client.frame(SETTINGS, 0, 0, &[0, 4, 0x7f, 0xff, 0xff, 0xff]);
    client.frame(WINDOW_UPDATE, 0, 0, &0x7000_0000_u32.to_be_bytes());
    client.get(1, "a.example", "/", &[]);
    let (mut upstream, _) = listener.accept().unwrap();
    upstream.set_write_timeout(Some(Duration::from_secs(10))).unwrap();
    upstream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n").unwrap();
    let piece = vec![b'x'; 1 << 20];
    let error = (0..1000).find_map(|_| upstream.write_all(&piece).err()).expect("nobody takes a gigabyte");
    assert_ne!(error.kind(), std::io::ErrorKind::WouldBlock, "the upstream connection is still open");
}

#[test]
fn an_upload_gets_new_window_as_the_back_end_takes_it() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let annotation = "nginx.ingress.kubernetes.io/proxy-body-size: \"0\"";
    let manifests =
        service("web", &[listener.local_addr().unwrap()]) + &ingress("web", "a.example", "/", "web", annotation);
    let bed = Bed::with(&manifests, Limits::default(), 1, None);
    let mut client = Raw::connect(bed.http);
    // The stream's window counts once it is acknowledged, the connection's once it came.
    client.read_kind(&[SETTINGS]).unwrap();
    client.frame(SETTINGS, ACK, 0, &[]);
    client.read_kind(&[WINDOW_UPDATE]).unwrap();
    client.frame(HEADERS, END_HEADERS, 1, &block("POST", "a.example", "/", &[]));
    let window = 256 << 10;
    let mut sent = 0;
    while sent < window {
        client.frame(DATA, 0, 1, &[b'x'; 8 << 10]);
        sent += 8 << 10;
    }
    // The window is used up, and opens again as bytes go on.
    let (mut upstream, _) = listener.accept().unwrap();
    upstream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let mut received = 0;
    let mut piece = vec![0; 64 << 10];
    while received < window {
        let n = upstream.read(&mut piece).unwrap();
        assert!(n > 0, "the upload breaks off");
        received += n;
    }
    let update = client.read_kind(&[WINDOW_UPDATE]).unwrap();
    assert!(update.stream <= 1);
}
