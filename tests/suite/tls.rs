//! TLS to clients and to back ends.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use fairlead::settings::Limits;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use crate::bed::{Bed, ingress, service};
use crate::clients::{H1, h2, h2_get, tls};
use crate::origin::Origin;

fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let test = async { tokio::time::timeout(Duration::from_secs(20), test).await };
    tokio::task::LocalSet::new().block_on(&runtime, test).expect("the test hangs");
}

#[test]
fn both_protocols_are_served_by_alpn_and_without_it_http1() {
    let origin = Origin::start("web");
    let bed = Bed::start(&(service("web", &[origin.address]) + &ingress("web", "a.example", "/", "web", "")));
    run(async {
        let mut client = H1::new(tls(bed.https, "a.example", b"http/1.1").await);
        assert_eq!(client.request("GET", "a.example", "/1", b"").await, (200, b"web /1".to_vec()));
        let mut client = h2(tls(bed.https, "a.example", b"h2").await).await;
        assert_eq!(h2_get(&mut client, "https://a.example/2").await, (200, b"web /2".to_vec()));
    });
}

#[test]
fn a_handshake_that_does_not_come_ends_in_time() {
    let limits = Limits { tls_handshake_time: Duration::from_millis(50), ..Limits::default() };
    let bed = Bed::with("", limits, 1, None);
    run(async {
        let mut socket = TcpStream::connect(bed.https).await.unwrap();
        let mut byte = [0];
        assert_eq!(socket.read(&mut byte).await.unwrap(), 0);
    });
}

#[test]
fn http_without_tls_on_the_https_port_is_told_so_and_reaches_nobody() {
    let origin = Origin::start("web");
    let bed = Bed::start(&(service("web", &[origin.address]) + &ingress("web", "a.example", "/", "web", "")));
    run(async {
        let words = "<p>The plain HTTP request was sent to HTTPS port</p>";
        for request in [
            "GET /1 HTTP/1.1\r\nHost: a.example\r\n\r\n",
            "post /1 HTTP/1.1\r\nHost: a.example\r\nContent-Length: 3\r\n\r\nabc",
            "GET /1 HTTP/1.1\r\nHost: a.example\r\n\r\nGET /2 HTTP/1.1\r\nHost: a.example\r\n\r\n",
            "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        ] {
            let mut socket = TcpStream::connect(bed.https).await.unwrap();
            socket.write_all(request.as_bytes()).await.unwrap();
            let mut answer = String::new();
            socket.read_to_string(&mut answer).await.unwrap();
            assert!(answer.starts_with("HTTP/1.1 400 Bad Request\r\n"), "{request}: {answer}");
            assert!(answer.contains("\r\nConnection: close\r\n") && answer.contains(words), "{request}: {answer}");
            assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{request}: {answer}");
        }
        // What is neither TLS nor HTTP is a handshake that fails, as before.
        let mut socket = TcpStream::connect(bed.https).await.unwrap();
        socket.write_all(b"\0\0\0\0\0").await.unwrap();
        let mut answer = Vec::new();
        let _closed = socket.read_to_end(&mut answer).await;
        assert!(!answer.starts_with(b"HTTP"), "{answer:?}");
    });
    assert_eq!(origin.answered.load(Ordering::Relaxed), 0);
}

/// Accepts one TLS connection with an odd certificate (no name of ours, long expired), and tells the server name and the
/// protocol that the client asked for, and the first line.
async fn odd_backend() -> (SocketAddr, tokio::task::JoinHandle<(Option<String>, Option<Vec<u8>>, String)>) {
    let key = rcgen::KeyPair::generate().unwrap();
    let mut parameters = rcgen::CertificateParams::new(vec!["nobody.invalid".to_owned()]).unwrap();
    parameters.not_after = rcgen::date_time_ymd(1999, 1, 1);
    let certificate = parameters.self_signed(&key).unwrap();
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key)
        .unwrap();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let seen = tokio::spawn(async move {
        let (socket, _) = listener.accept().await.unwrap();
        let mut stream = TlsAcceptor::from(Arc::new(config)).accept(socket).await.unwrap();
        let session = stream.get_ref().1;
        let (name, alpn) = (session.server_name().map(str::to_owned), session.alpn_protocol().map(<[u8]>::to_vec));
        let mut received = vec![0; 4096];
        let n = stream.read(&mut received).await.unwrap();
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nodd!").await.unwrap();
        let line = String::from_utf8_lossy(&received[..n]).lines().next().unwrap_or_default().to_owned();
        (name, alpn, line)
    });
    (address, seen)
}

#[test]
fn a_back_end_over_tls_is_neither_verified_nor_named() {
    run(async {
        let (address, seen) = odd_backend().await;
        let annotation = "nginx.ingress.kubernetes.io/backend-protocol: HTTPS";
        let bed = Bed::start(&(service("web", &[address]) + &ingress("web", "a.example", "/", "web", annotation)));
        let mut client = H1::new(TcpStream::connect(bed.http).await.unwrap());
        assert_eq!(client.request("GET", "a.example", "/", b"").await, (200, b"odd!".to_vec()));
        let (name, alpn, line) = seen.await.unwrap();
        assert_eq!((name, alpn, &*line), (None, Some(b"http/1.1".to_vec()), "GET / HTTP/1.1"));
    });
}

#[test]
fn grpc_over_tls_asks_for_http2() {
    run(async {
        let (address, seen) = odd_backend().await;
        let annotation = "nginx.ingress.kubernetes.io/backend-protocol: GRPCS";
        let bed = Bed::start(&(service("web", &[address]) + &ingress("web", "a.example", "/", "web", annotation)));
        let mut client = h2(TcpStream::connect(bed.http).await.unwrap()).await;
        // It answers in HTTP/1.1 all the same, which is no answer.
        assert_eq!(h2_get(&mut client, "http://a.example/").await.0, 502);
        let (name, alpn, line) = seen.await.unwrap();
        assert_eq!((name, alpn, &*line), (None, Some(b"h2".to_vec()), "PRI * HTTP/2.0"));
    });
}
