//! Clients for tests: HTTP/1.1 over any stream, HTTP/2, TLS that trusts anything.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use fairlead::proxy::AnyCertificate;
use h2::client::SendRequest;
use rustls::pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// A client connection that speaks HTTP/1.1.
pub struct H1<S> {
    stream: S,
    input: Vec<u8>,
    /// The last answer said `Connection: close`.
    pub closes: bool,
    /// Head of the last answer.
    pub head: String,
    /// Further lines of every request, each with its end.
    pub lines: String,
}

impl<S: AsyncRead + AsyncWrite + Unpin> H1<S> {
    /// Over `stream`.
    pub fn new(stream: S) -> H1<S> {
        H1 { stream, input: Vec::new(), closes: false, head: String::new(), lines: String::new() }
    }

    /// Sends a request and reads its answer: status and body. Panics when the connection breaks.
    pub async fn request(&mut self, method: &str, host: &str, path: &str, body: &[u8]) -> (u16, Vec<u8>) {
        self.send(method, host, path, body).await;
        self.answer(path).await
    }

    /// Sends a request, whether those before it are answered or not.
    pub async fn send(&mut self, method: &str, host: &str, path: &str, body: &[u8]) {
        let mut request = format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\n{}", self.lines);
        if !body.is_empty() {
            request += &format!("Content-Length: {}\r\n", body.len());
        }
        request += "\r\n";
        let mut bytes = request.into_bytes();
        bytes.extend_from_slice(body);
        self.stream.write_all(&bytes).await.unwrap();
        self.stream.flush().await.unwrap();
    }

    /// Reads the next answer, which should be the one to `path`: status and body.
    pub async fn answer(&mut self, path: &str) -> (u16, Vec<u8>) {
        let end = loop {
            if let Some(end) = self.input.windows(4).position(|window| window == b"\r\n\r\n") {
                break end + 4;
            }
            self.read(path).await;
        };
        self.head = String::from_utf8(self.input.drain(..end).collect()).unwrap();
        let field = |name: &str| {
            self.head.lines().find_map(|line| {
                let (n, value) = line.split_once(':')?;
                n.eq_ignore_ascii_case(name).then(|| value.trim().to_owned())
            })
        };
        self.closes = field("connection").is_some_and(|value| value == "close");
        let status = self.head.split(' ').nth(1).unwrap().parse().unwrap();
        let length = field("content-length").map(|value| value.parse::<usize>().unwrap());
        let body = match length {
            Some(length) => {
                while self.input.len() < length {
                    self.read(path).await;
                }
                self.input.drain(..length).collect()
            }
            None if field("transfer-encoding").is_some() => self.chunks(path).await,
            None => Vec::new(),
        };
        (status, body)
    }

    async fn chunks(&mut self, path: &str) -> Vec<u8> {
        let mut body = Vec::new();
        loop {
            let end = loop {
                if let Some(end) = self.input.windows(2).position(|window| window == b"\r\n") {
                    break end;
                }
                self.read(path).await;
            };
            let line: Vec<u8> = self.input.drain(..end + 2).collect();
            let size = usize::from_str_radix(str::from_utf8(&line[..end]).unwrap(), 16).unwrap();
            while self.input.len() < size + 2 {
                self.read(path).await;
            }
            body.extend(self.input.drain(..size));
            self.input.drain(..2);
            if size == 0 {
                return body;
            }
        }
    }

    async fn read(&mut self, path: &str) {
        let mut piece = [0; 16 << 10];
        let n = self.stream.read(&mut piece).await.unwrap();
        assert!(n > 0, "the connection closed before the answer to {path}");
        self.input.extend_from_slice(&piece[..n]);
    }
}

/// A TLS connection that trusts any certificate and must agree on `alpn`.
pub async fn tls(address: SocketAddr, name: &str, alpn: &[u8]) -> TlsStream<TcpStream> {
    let mut config =
        rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(AnyCertificate))
            .with_no_client_auth();
    config.alpn_protocols = vec![alpn.to_vec()];
    let socket = TcpStream::connect(address).await.unwrap();
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let stream = TlsConnector::from(Arc::new(config)).connect(name, socket).await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(alpn));
    stream
}

/// A handshake with these versions of TLS, and a request: the cipher suite, or why it failed.
pub async fn shake(
    address: SocketAddr,
    name: &str,
    versions: &[&'static rustls::SupportedProtocolVersion],
) -> std::io::Result<Option<rustls::CipherSuite>> {
    let stream = shaken(address, name, versions).await?;
    Ok(stream.get_ref().1.negotiated_cipher_suite().map(|suite| suite.suite()))
}

/// The group in which keys are exchanged with a client that offers all.
pub async fn group_of(
    address: SocketAddr,
    version: &'static rustls::SupportedProtocolVersion,
) -> std::io::Result<Option<rustls::NamedGroup>> {
    let stream = shaken(address, "a.example", &[version]).await?;
    Ok(stream.get_ref().1.negotiated_key_exchange_group().map(|group| group.name()))
}

async fn shaken(
    address: SocketAddr,
    name: &str,
    versions: &[&'static rustls::SupportedProtocolVersion],
) -> std::io::Result<TlsStream<TcpStream>> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AnyCertificate))
        .with_no_client_auth();
    let socket = TcpStream::connect(address).await.unwrap();
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let mut stream = TlsConnector::from(Arc::new(config)).connect(name, socket).await?;
    // In TLS 1.3 a server may refuse after the client believes that all is well.
    stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await?;
    stream.read_u8().await?;
    Ok(stream)
}

/// An HTTP/2 connection over `stream`; its driver runs on the current `LocalSet`. Before the other side said how many
/// streams it admits, it opens 100 at most, which every side should admit (RFC 9113 6.5.2).
pub async fn h2<S: AsyncRead + AsyncWrite + Unpin + 'static>(stream: S) -> SendRequest<Bytes> {
    let (client, connection) =
        h2::client::Builder::new().initial_max_send_streams(100).handshake(stream).await.unwrap();
    tokio::task::spawn_local(async move {
        // The test's end closes it under the driver; what matters was asserted on the streams.
        let _closed = connection.await;
    });
    client
}

/// GET over HTTP/2: status and body.
pub async fn h2_get(client: &mut SendRequest<Bytes>, url: &str) -> (u16, Vec<u8>) {
    let mut ready = client.clone().ready().await.unwrap();
    let request = http::Request::get(url).body(()).unwrap();
    let (response, _) = ready.send_request(request, true).unwrap();
    let response = response.await.unwrap();
    let status = response.status().as_u16();
    let mut body = response.into_body();
    let mut bytes = Vec::new();
    while let Some(data) = body.data().await {
        let data = data.unwrap();
        body.flow_control().release_capacity(data.len()).unwrap();
        bytes.extend_from_slice(&data);
    }
    (status, bytes)
}

/// A Secret `name` of type `kubernetes.io/tls` with a fresh certificate for `host`, and that certificate.
pub fn tls_secret(name: &str, host: &str) -> (String, CertificateDer<'static>) {
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate = rcgen::CertificateParams::new(vec![host.to_owned()]).unwrap().self_signed(&key).unwrap();
    let indent = |pem: &str| pem.replace('\n', "\n    ");
    let secret = format!(
        "apiVersion: v1\nkind: Secret\nmetadata: {{name: {name}}}\ntype: kubernetes.io/tls\nstringData:\n  tls.crt: |\n    {}\n  tls.key: |\n    {}\n---\n",
        indent(certificate.pem().trim()),
        indent(key.serialize_pem().trim()),
    );
    (secret, certificate.der().clone())
}
