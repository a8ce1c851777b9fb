//! A certificate authority for tests, clients that show its certificates, and a back end over TLS that looks at them.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use fairlead::proxy::AnyCertificate;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyIdMethod, KeyPair, KeyUsagePurpose, RevokedCertParams, SerialNumber, date_time_ymd,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, HandshakeKind, RootCertStore, ServerConfig, SupportedProtocolVersion};

/// An authority, itself or below another one.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    /// Its certificate.
    pub pem: String,
    der: CertificateDer<'static>,
    /// The certificates between its own and the root's, its own first.
    between: Vec<CertificateDer<'static>>,
}

/// A certificate with its key.
#[derive(Clone)]
pub struct Identity {
    chain: Vec<CertificateDer<'static>>,
    key: Vec<u8>,
    /// Certificate in PEM.
    pub pem: String,
    /// Key in PEM.
    pub key_pem: String,
    serial: SerialNumber,
}

fn authority_params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

impl Authority {
    /// One that is believed by itself.
    pub fn root(name: &str) -> Authority {
        let (params, key) = (authority_params(name), KeyPair::generate().unwrap());
        let certificate = params.self_signed(&key).unwrap();
        let (pem, der) = (certificate.pem(), certificate.der().clone());
        Authority { issuer: Issuer::new(params, key), pem, der, between: Vec::new() }
    }

    /// One below this one.
    pub fn below(&self, name: &str) -> Authority {
        let (params, key) = (authority_params(name), KeyPair::generate().unwrap());
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let (pem, der) = (certificate.pem(), certificate.der().clone());
        let mut between = vec![der.clone()];
        between.extend(self.between.iter().cloned());
        Authority { issuer: Issuer::new(params, key), pem, der, between }
    }

    /// A certificate for `name`, as common name and alternative name.
    pub fn issue(&self, name: &str, usage: ExtendedKeyUsagePurpose, last_year: i32) -> Identity {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.distinguished_name.push(DnType::OrganizationName, "Shop, Ltd");
        params.extended_key_usages = vec![usage];
        params.not_after = date_time_ymd(last_year, 1, 1);
        let serial = SerialNumber::from(fastrand::u64(1..u64::MAX / 2));
        params.serial_number = Some(serial.clone());
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let mut chain = vec![certificate.der().clone()];
        chain.extend(self.between.iter().cloned());
        Identity { chain, key: key.serialize_der(), pem: certificate.pem(), key_pem: key.serialize_pem(), serial }
    }

    /// The certificate of a client.
    pub fn client(&self, name: &str) -> Identity {
        self.issue(name, ExtendedKeyUsagePurpose::ClientAuth, 2200)
    }

    /// The certificate of a server.
    pub fn server(&self, name: &str) -> Identity {
        self.issue(name, ExtendedKeyUsagePurpose::ServerAuth, 2200)
    }

    /// What it took back, in PEM.
    pub fn list(&self, revoked: &[&Identity], until: i32) -> String {
        let one = |identity: &&Identity| RevokedCertParams {
            serial_number: identity.serial.clone(),
            revocation_time: date_time_ymd(2020, 1, 1),
            reason_code: None,
            invalidity_date: None,
        };
        let list = CertificateRevocationListParams {
            this_update: date_time_ymd(2020, 1, 1),
            next_update: date_time_ymd(until, 1, 1),
            crl_number: SerialNumber::from(1_u64),
            issuing_distribution_point: None,
            revoked_certs: revoked.iter().map(one).collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        list.signed_by(&self.issuer).unwrap().pem().unwrap()
    }
}

impl Identity {
    fn key(&self) -> PrivateKeyDer<'static> {
        PrivateKeyDer::from(PrivatePkcs8KeyDer::from(self.key.clone()))
    }
}

/// A Secret of these keys.
pub fn secret(name: &str, keys: &[(&str, &str)]) -> String {
    let mut text = format!("apiVersion: v1\nkind: Secret\nmetadata: {{name: {name}}}\nstringData:\n");
    for (key, value) in keys {
        text += &format!("  {key}: |\n    {}\n", value.trim().replace('\n', "\n    "));
    }
    text + "---\n"
}

/// How a client speaks TLS; connections of one resume its sessions.
pub fn client(identity: Option<&Identity>) -> Arc<ClientConfig> {
    let builder = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AnyCertificate));
    Arc::new(match identity {
        None => builder.with_no_client_auth(),
        Some(identity) => builder.with_client_auth_cert(identity.chain.clone(), identity.key()).unwrap(),
    })
}

/// A connection of a client.
pub struct Connection {
    stream: rustls::StreamOwned<rustls::ClientConnection, TcpStream>,
}

impl Connection {
    /// To `address`, naming `name`; an address is not named.
    pub fn new(address: SocketAddr, config: &Arc<ClientConfig>, name: &str) -> Connection {
        Connection::on(TcpStream::connect(address).unwrap(), config, name)
    }

    /// The same over a socket on which something may have been said.
    pub fn on(socket: TcpStream, config: &Arc<ClientConfig>, name: &str) -> Connection {
        socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        let name = ServerName::try_from(name.to_owned()).unwrap();
        let session = rustls::ClientConnection::new(Arc::clone(config), name).unwrap();
        Connection { stream: rustls::StreamOwned::new(session, socket) }
    }

    /// The answer to a request for `path` at `host`, head and body.
    pub fn get(&mut self, host: &str, path: &str) -> String {
        self.get_with(host, path, "")
    }

    /// The same with further lines.
    pub fn get_with(&mut self, host: &str, path: &str, lines: &str) -> String {
        write!(self.stream, "GET {path} HTTP/1.1\r\nHost: {host}\r\n{lines}\r\n").unwrap();
        let mut answer = Vec::new();
        loop {
            let mut piece = [0; 4096];
            let count = self.stream.read(&mut piece).unwrap();
            assert!(count > 0, "closed before the end of an answer");
            answer.extend_from_slice(&piece[..count]);
            let text = String::from_utf8_lossy(&answer);
            if let Some((head, body)) = text.split_once("\r\n\r\n") {
                let length = super::filters::field(head, "Content-Length").map_or(0, |length| length.parse().unwrap());
                if body.len() >= length {
                    return text.into_owned();
                }
            }
        }
    }

    /// Whether it goes on with the session of an earlier one.
    pub fn is_resumed(&self) -> bool {
        self.stream.conn.handshake_kind() == Some(HandshakeKind::Resumed)
    }
}

/// How a server speaks TLS that shows `own`. With `clients`, only certificates of that authority are let in, or also none at
/// all.
pub fn server(
    own: &Identity,
    clients: Option<(&Authority, bool)>,
    versions: &[&'static SupportedProtocolVersion],
) -> ServerConfig {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider)).with_protocol_versions(versions).unwrap();
    let builder = match clients {
        None => builder.with_no_client_auth(),
        Some((authority, may_be_none)) => {
            let mut roots = RootCertStore::empty();
            roots.add(authority.der.clone()).unwrap();
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
            let verifier = if may_be_none { verifier.allow_unauthenticated() } else { verifier };
            builder.with_client_cert_verifier(verifier.build().unwrap())
        }
    };
    builder.with_single_cert(own.chain.clone(), own.key()).unwrap()
}

/// What a back end saw of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// The server name.
    pub name: Option<String>,
    /// A certificate came.
    pub has_certificate: bool,
    /// TLS 1.3 was spoken.
    pub is_tls13: bool,
}

/// A back end over TLS that answers everything with 200 and notes each request with what its connection was.
pub struct TlsEcho {
    /// Where it listens.
    pub address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
    suites: Arc<Mutex<Vec<String>>>,
    is_over: Arc<AtomicBool>,
}

impl TlsEcho {
    /// Shows `own`. With `clients`, only certificates of that authority are let in, or also none at all.
    pub fn start(
        own: &Identity,
        clients: Option<(&Authority, bool)>,
        versions: &[&'static SupportedProtocolVersion],
    ) -> TlsEcho {
        let config = Arc::new(server(own, clients, versions));
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (seen, suites, is_over) = (Arc::default(), Arc::default(), Arc::new(AtomicBool::new(false)));
        let (noted, named, over) = (Arc::clone(&seen), Arc::clone(&suites), Arc::clone(&is_over));
        thread::spawn(move || {
            for socket in listener.incoming() {
                if over.load(Ordering::Relaxed) {
                    return;
                }
                let (socket, config) = (socket.unwrap(), Arc::clone(&config));
                let (noted, named) = (Arc::clone(&noted), Arc::clone(&named));
                thread::spawn(move || serve(socket, config, &noted, &named));
            }
        });
        TlsEcho { address, seen, suites, is_over }
    }

    /// The requests since the last time.
    pub fn seen(&self) -> Vec<Seen> {
        std::mem::take(&mut self.seen.lock().unwrap())
    }

    /// The cipher suites of the requests since the last time.
    pub fn suites(&self) -> Vec<String> {
        std::mem::take(&mut self.suites.lock().unwrap())
    }
}

impl Drop for TlsEcho {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        let _ = TcpStream::connect(self.address);
    }
}

fn serve(socket: TcpStream, config: Arc<ServerConfig>, noted: &Mutex<Vec<Seen>>, named: &Mutex<Vec<String>>) {
    let mut stream = rustls::StreamOwned::new(rustls::ServerConnection::new(config).unwrap(), socket);
    let (mut received, mut piece) = (Vec::new(), [0; 4096]);
    loop {
        while let Some(end) = received.windows(4).position(|window| window == b"\r\n\r\n") {
            received.drain(..end + 4);
            let session = &stream.conn;
            let suite = session.negotiated_cipher_suite().unwrap().suite();
            named.lock().unwrap().push(format!("{suite:?}"));
            noted.lock().unwrap().push(Seen {
                name: session.server_name().map(str::to_owned),
                has_certificate: session.peer_certificates().is_some(),
                is_tls13: session.protocol_version() == Some(rustls::ProtocolVersion::TLSv1_3),
            });
            if stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nfine").is_err() {
                return;
            }
        }
        match stream.read(&mut piece) {
            Ok(count) if count > 0 => received.extend_from_slice(&piece[..count]),
            _ => return,
        }
    }
}
