//! TLS on both sides: configurations for clients by what is asked of them, and connections to backends.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use arc_swap::ArcSwap;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::{Acceptor, ClientHello, NoServerSessionStorage, ResolvesServerCert, ServerSessionMemoryCache};
use rustls::sign::CertifiedKey;
use rustls::version::{TLS12, TLS13};
use rustls::{
    CipherSuite, ClientConfig, DigitallySignedStruct, HandshakeKind, ProtocolVersion, ServerConfig, SignatureScheme,
    SupportedCipherSuite,
};
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_rustls::{LazyConfigAcceptor, TlsConnector, client, server};

use super::backend_tls;
use super::client_auth::AnyClient;
use super::passthrough::{self, Destination, Greeting, Unopened};
use crate::ir;
use crate::live::TlsIdentity;
use crate::table::RoutingTable;
use crate::telemetry::WorkerMetrics;

/// The configurations of every listener of every worker, so that a session begun on one is resumed on another. What the
/// table of the moment sets of TLS decides which configuration a handshake gets.
pub(crate) struct ServerConfigs {
    current: Current,
    made: ArcSwap<(Made, Arc<ServerConfig>)>,
    /// Those of hosts that have their own, each with tickets of its own: no session passes from one to the other.
    own: Mutex<BTreeMap<Wish, Own>>,
}

/// What a host wants of a handshake.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Wish {
    /// What is asked of clients.
    demand: Option<ir::Demand>,
    /// How it is spoken.
    tls: Option<ir::HostTls>,
}

/// A configuration, as long as a table has its wish.
struct Own {
    demand: Option<Weak<ir::Demand>>,
    tls: Option<Weak<ir::HostTls>>,
    made: Made,
    config: Arc<ServerConfig>,
}

impl Own {
    fn is_used(&self) -> bool {
        self.demand.as_ref().is_none_or(|demand| demand.strong_count() > 0)
            && self.tls.as_ref().is_none_or(|tls| tls.strong_count() > 0)
    }
}

/// What a configuration was made from.
type Made = (ir::Tls, bool);

/// Where the table of the moment is had.
pub(crate) type Current = Arc<dyn Fn() -> Option<Arc<RoutingTable>> + Send + Sync>;

impl ServerConfigs {
    /// The configuration where nothing is set.
    pub(crate) fn new(current: Current) -> Result<ServerConfigs, rustls::Error> {
        let made = Made::default();
        let asked = Arc::clone(&current);
        let config = server_config(move || asked(), &made.0, made.1, &Wish::default())?;
        let own = Mutex::default();
        Ok(ServerConfigs { current, made: ArcSwap::from_pointee((made, config)), own })
    }

    /// The configuration for the next handshake. What cannot be made is not taken over.
    pub(crate) fn config(&self) -> Arc<ServerConfig> {
        let present = self.made.load();
        let Some(table) = (self.current)() else { return Arc::clone(&present.1) };
        let globals = table.globals();
        let ((tls, no_http2), config) = &**present;
        if *tls == globals.tls && *no_http2 == globals.clients.no_http2 {
            return Arc::clone(config);
        }
        let made = (globals.tls.clone(), globals.clients.no_http2);
        let current = Arc::clone(&self.current);
        match server_config(move || current(), &made.0, made.1, &Wish::default()) {
            Ok(config) => {
                self.made.store(Arc::new((made, Arc::clone(&config))));
                config
            }
            Err(_) => Arc::clone(config),
        }
    }
}

impl ServerConfigs {
    /// The configuration for a handshake with a host that asks its clients for certificates, or has TLS spoken in a way of its
    /// own. One that cannot be made is that of other handshakes: then no certificate comes, and requests are refused.
    pub(crate) fn of(&self, demand: Option<&Arc<ir::Demand>>, tls: Option<&Arc<ir::HostTls>>) -> Arc<ServerConfig> {
        if demand.is_none() && tls.is_none() {
            return self.config();
        }
        let Some(table) = (self.current)() else { return self.config() };
        let globals = table.globals();
        let wish = Wish { demand: demand.map(|demand| (**demand).clone()), tls: tls.map(|tls| (**tls).clone()) };
        let used = (demand.map(Arc::downgrade), tls.map(Arc::downgrade));
        let mut known = self.own.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(own) = known.get_mut(&wish)
            && own.made.0 == globals.tls
            && own.made.1 == globals.clients.no_http2
        {
            // An equal wish of a later table keeps it.
            (own.demand, own.tls) = used;
            return Arc::clone(&own.config);
        }
        let made = (globals.tls.clone(), globals.clients.no_http2);
        let current = Arc::clone(&self.current);
        let Ok(config) = server_config(move || current(), &made.0, made.1, &wish) else { return self.config() };
        known.retain(|_, own| own.is_used());
        let own = Own { demand: used.0, tls: used.1, made, config: Arc::clone(&config) };
        known.insert(wish, own);
        config
    }
}

/// TLS 1.2 and 1.3, tickets with keys that change every six hours, no early data, but for what is set. `current` is asked for
/// the table at each handshake. What a host wishes goes before what is set for all.
pub(crate) fn server_config<F>(
    current: F,
    tls: &ir::Tls,
    no_http2: bool,
    wish: &Wish,
) -> Result<Arc<ServerConfig>, rustls::Error>
where
    F: Fn() -> Option<Arc<RoutingTable>> + Send + Sync + 'static,
{
    let versions: Vec<_> =
        [(&TLS13, tls.no_tls13), (&TLS12, tls.no_tls12)].into_iter().filter(|(_, is_off)| !is_off).collect();
    let versions: Vec<_> = versions.into_iter().map(|(version, _)| version).collect();
    let ciphers = wish.tls.as_ref().and_then(|own| own.ciphers.as_ref()).or(tls.ciphers.as_ref());
    let provider = grouped(limited(ciphers.map(|ciphers| &**ciphers)), tls.groups.as_deref());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider)).with_protocol_versions(&versions)?;
    let builder = match &wish.demand {
        None => builder.with_no_client_auth(),
        Some(demand) => builder.with_client_cert_verifier(Arc::new(AnyClient::new(demand, provider))),
    };
    let mut config = builder.with_cert_resolver(Arc::new(ByServerName { current }));
    config.alpn_protocols = vec![HTTP2.to_vec(), HTTP11.to_vec()];
    if no_http2 {
        config.alpn_protocols.remove(0);
    }
    config.ignore_client_order = !wish.tls.as_ref().is_some_and(|own| own.client_order);
    config.send_tls13_tickets = 1;
    match (tls.no_tickets, tls.no_cache) {
        (false, _) => config.ticketer = aws_lc_rs::Ticketer::new()?,
        (true, false) => config.session_storage = ServerSessionMemoryCache::new(SESSIONS),
        (true, true) => {
            config.session_storage = Arc::new(NoServerSessionStorage {});
            config.send_tls13_tickets = 0;
        }
    }
    Ok(Arc::new(config))
}

/// Sessions that are remembered where there are no tickets.
const SESSIONS: usize = 4096;

/// The provider with the cipher suites that are set, in their order.
pub(super) fn limited(ciphers: Option<&[ir::Cipher]>) -> Arc<CryptoProvider> {
    let all = provider();
    let Some(ciphers) = ciphers else { return all };
    let mut provider = CryptoProvider::clone(&all);
    let place = |suite: &SupportedCipherSuite| match suite.tls13() {
        Some(_) => Some(0),
        None => ciphers.iter().position(|cipher| cipher.number == u16::from(suite.suite())).map(|place| place + 1),
    };
    provider.cipher_suites.retain(|suite| place(suite).is_some());
    provider.cipher_suites.sort_by_key(place);
    Arc::new(provider)
}

/// The provider with the groups that are set; with its own if it has none of them.
fn grouped(provider: Arc<CryptoProvider>, groups: Option<&[ir::Group]>) -> Arc<CryptoProvider> {
    let Some(groups) = groups else { return provider };
    let find = |group: &ir::Group| provider.kx_groups.iter().find(|own| u16::from(own.name()) == group.number).copied();
    let kx_groups: Vec<_> = groups.iter().filter_map(find).collect();
    if kx_groups.is_empty() {
        return provider;
    }
    Arc::new(CryptoProvider { kx_groups, ..CryptoProvider::clone(&provider) })
}

/// A client's connection after the handshake.
pub(crate) struct Accepted {
    /// The connection.
    pub(crate) stream: server::TlsStream<TcpStream>,
    /// The version as the log prints it.
    pub(crate) version: &'static str,
    /// The cipher suite, likewise.
    pub(crate) cipher: &'static str,
    /// Server name the client asked for, lower case.
    pub(crate) server_name: Option<Box<str>>,
    /// Whether HTTP/2 was negotiated.
    pub(crate) is_http2: bool,
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HandshakeError {
    /// The client did not finish in time.
    #[error("TLS handshake took too long")]
    Late,
    /// The client spoke something else, found nothing in common or went away.
    #[error("TLS handshake failed: {0}")]
    Failed(#[from] std::io::Error),
}

/// A client's connection after the handshake, or before it where it is not ours to open.
pub(super) type Begun = Result<Accepted, Box<Unopened>>;

/// The server side of a handshake, ended at `deadline`; counted in `metrics`. `choose` gets the server name, in lower case and
/// without a dot at its end; so does `elsewhere`, which says whose connections are not ours to open. `None`: nobody's.
pub(super) async fn accept(
    choose: impl FnOnce(Option<&str>) -> Arc<ServerConfig>,
    elsewhere: Option<Destination<'_>>,
    stream: TcpStream,
    deadline: Instant,
    metrics: &WorkerMetrics,
) -> Result<Begun, HandshakeError> {
    let handshake = async {
        let started = match elsewhere {
            None => LazyConfigAcceptor::new(Acceptor::default(), stream).await?,
            Some(destination) => match passthrough::greet(stream, destination).await? {
                Greeting::Ours(started) => *started,
                Greeting::Others(unopened) => return Ok(Err(unopened)),
            },
        };
        let name = started.client_hello().server_name().map(lookup_form);
        started.into_stream(choose(name.as_deref())).await.map(Ok)
    };
    let begun = tokio::time::timeout_at(deadline, handshake)
        .await
        .map_err(|_| HandshakeError::Late)
        .and_then(|done| Ok(done?))
        .inspect_err(|_| {
            metrics.handshake("", false, false);
        })?;
    let stream = match begun {
        Ok(stream) => stream,
        Err(unopened) => return Ok(Err(unopened)),
    };
    let session = stream.get_ref().1;
    let version = version_name(session.protocol_version());
    metrics.handshake(version, session.handshake_kind() == Some(HandshakeKind::Resumed), true);
    let server_name = session.server_name().map(|name| lookup_form(name).into());
    let is_http2 = session.alpn_protocol() == Some(HTTP2);
    let cipher = session.negotiated_cipher_suite().map_or("", |suite| cipher_name(suite.suite()));
    Ok(Ok(Accepted { stream, version, cipher, server_name, is_http2 }))
}

/// A server name as hosts are looked up.
pub(super) fn lookup_form(name: &str) -> String {
    name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase()
}

/// As OpenSSL, and so nginx, names it.
fn cipher_name(suite: CipherSuite) -> &'static str {
    match suite {
        CipherSuite::TLS13_AES_128_GCM_SHA256 => "TLS_AES_128_GCM_SHA256",
        CipherSuite::TLS13_AES_256_GCM_SHA384 => "TLS_AES_256_GCM_SHA384",
        CipherSuite::TLS13_CHACHA20_POLY1305_SHA256 => "TLS_CHACHA20_POLY1305_SHA256",
        older => {
            ir::Cipher::ALL.iter().find(|cipher| cipher.number == u16::from(older)).map_or("", |cipher| cipher.name)
        }
    }
}

fn version_name(version: Option<ProtocolVersion>) -> &'static str {
    match version {
        Some(ProtocolVersion::TLSv1_2) => "TLSv1.2",
        Some(ProtocolVersion::TLSv1_3) => "TLSv1.3",
        _ => "",
    }
}

/// Finds the certificate for a server name in the table of the moment.
struct ByServerName<F> {
    current: F,
}

impl<F> fmt::Debug for ByServerName<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ByServerName")
    }
}

impl<F: Fn() -> Option<Arc<RoutingTable>> + Send + Sync> ResolvesServerCert for ByServerName<F> {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let name = hello.server_name().map(lookup_form);
        let table = (self.current)()?;
        let is_known = || name.as_deref().is_some_and(|name| table.owns_host(name));
        if table.globals().tls.rejects_unknown && !is_known() {
            return None;
        }
        Some(Arc::clone(table.certificate(name.as_deref())))
    }
}

/// Connections to backends over TLS. Where nothing is asked for: any certificate, any signature, no server name (as
/// ingress-nginx does).
#[derive(Clone)]
pub(crate) struct BackendTls {
    http1: TlsConnector,
    http2: TlsConnector,
}

impl BackendTls {
    /// The two configurations, by protocol.
    pub(crate) fn new() -> Result<BackendTls, rustls::Error> {
        let connector = |alpn: &[u8]| {
            let mut config = ClientConfig::builder_with_provider(provider())
                .with_safe_default_protocol_versions()?
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(AnyCertificate))
                .with_no_client_auth();
            config.enable_sni = false;
            config.alpn_protocols = vec![alpn.to_vec()];
            Ok::<_, rustls::Error>(TlsConnector::from(Arc::new(config)))
        };
        Ok(BackendTls { http1: connector(HTTP11)?, http2: connector(HTTP2)? })
    }

    /// The client side of a handshake with the endpoint at `address`. The caller bounds its time.
    pub(crate) async fn connect(
        &self,
        stream: TcpStream,
        address: IpAddr,
        is_http2: bool,
        identity: Option<&TlsIdentity>,
    ) -> std::io::Result<client::TlsStream<TcpStream>> {
        // Where it is not sent, the name is the key of the session cache.
        let address = ServerName::IpAddress(address.into());
        let Some(identity) = identity else {
            let connector = if is_http2 { &self.http2 } else { &self.http1 };
            return connector.connect(address, stream).await;
        };
        let made = identity.configs(backend_tls::configs);
        let Some([http1, http2]) = made else { return Err(std::io::ErrorKind::Unsupported.into()) };
        let name = identity.settings.name.as_deref().and_then(|name| ServerName::try_from(name.to_owned()).ok());
        let config = if is_http2 { http2 } else { http1 };
        TlsConnector::from(Arc::clone(config)).connect(name.unwrap_or(address), stream).await
    }
}

/// Accepts whatever a server shows: pods have odd self-signed certificates, and the route asked for no verification.
/// Public for the clients of tests and benchmarks.
#[derive(Debug)]
pub struct AnyCertificate;

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![
            SignatureScheme::ECDSA_NISTP256_SHA256,
            SignatureScheme::ECDSA_NISTP384_SHA384,
            SignatureScheme::ECDSA_NISTP521_SHA512,
            SignatureScheme::ED25519,
            SignatureScheme::ED448,
            SignatureScheme::RSA_PSS_SHA256,
            SignatureScheme::RSA_PSS_SHA384,
            SignatureScheme::RSA_PSS_SHA512,
            SignatureScheme::RSA_PKCS1_SHA256,
            SignatureScheme::RSA_PKCS1_SHA384,
            SignatureScheme::RSA_PKCS1_SHA512,
            SignatureScheme::ECDSA_SHA1_Legacy,
            SignatureScheme::RSA_PKCS1_SHA1,
        ]
    }
}

/// aws-lc-rs with AES-128-GCM first: as safe as its rivals and the cheapest where the processor has AES.
fn provider() -> Arc<CryptoProvider> {
    let mut provider = aws_lc_rs::default_provider();
    provider.cipher_suites.sort_by_key(|suite| {
        !matches!(
            suite.suite(),
            CipherSuite::TLS13_AES_128_GCM_SHA256
                | CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256
                | CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256
        )
    });
    Arc::new(provider)
}

pub(super) const HTTP2: &[u8] = b"h2";
pub(super) const HTTP11: &[u8] = b"http/1.1";

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::io::AsyncReadExt;
    use tokio::net::TcpListener;

    use super::*;
    use crate::ir::{CertificateOrigin, Config, Name};
    use crate::table::fixture::{World, certificate, pattern};
    use crate::telemetry::Metrics;

    /// The configuration for a table in which `*.shop.example` has a certificate of its own.
    fn config(world: &World) -> (Arc<ServerConfig>, [Arc<CertifiedKey>; 2]) {
        let own = certificate(CertificateOrigin::Secret(Name::new("shop", "tls")), "*.shop.example");
        let keys = [Arc::clone(&own.key), Arc::clone(&world.self_made.key)];
        let mut config = Config::default();
        Arc::make_mut(&mut config.certificates).insert(pattern("*.shop.example"), own);
        let table = Arc::new(world.build(&Arc::new(config), None));
        (server_config(move || Some(Arc::clone(&table)), &ir::Tls::default(), false, &Wish::default()).unwrap(), keys)
    }

    /// A client that prefers what we like least.
    fn client(version: &'static rustls::SupportedProtocolVersion, alpn: &[&[u8]]) -> ClientConfig {
        let mut provider = (*provider()).clone();
        provider.cipher_suites.reverse();
        let mut config = ClientConfig::builder_with_provider(Arc::new(provider))
            .with_protocol_versions(&[version])
            .unwrap()
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(AnyCertificate))
            .with_no_client_auth();
        config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
        config
    }

    async fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (near, far) = tokio::join!(TcpStream::connect(listener.local_addr().unwrap()), listener.accept());
        (near.unwrap(), far.unwrap().0)
    }

    /// The server side of a handshake where no connection is passed on.
    async fn accepted(
        server: &Arc<ServerConfig>,
        stream: TcpStream,
        metrics: &Metrics,
    ) -> Result<Accepted, HandshakeError> {
        let choose = |_: Option<&str>| Arc::clone(server);
        match accept(choose, None, stream, Instant::now() + Duration::from_secs(10), metrics.worker(0)).await? {
            Ok(accepted) => Ok(accepted),
            Err(_) => panic!("nothing is passed on"),
        }
    }

    /// One handshake; what each side knows of it.
    async fn shake(
        server: &Arc<ServerConfig>,
        client: &Arc<ClientConfig>,
        name: &str,
        metrics: &Metrics,
    ) -> (client::TlsStream<TcpStream>, Accepted) {
        let (near, far) = pair().await;
        let connector = TlsConnector::from(Arc::clone(client));
        let name = ServerName::try_from(name.to_owned()).unwrap();
        let accepting = accepted(server, far, metrics);
        let (near, far) = tokio::join!(connector.connect(name, near), accepting);
        (near.unwrap(), far.unwrap())
    }

    fn served(stream: &client::TlsStream<TcpStream>) -> &CertificateDer<'static> {
        &stream.get_ref().1.peer_certificates().unwrap()[0]
    }

    #[tokio::test]
    async fn the_server_name_chooses_the_certificate() {
        let world = World::new();
        let (server, [own, self_made]) = config(&world);
        let client = Arc::new(client(&TLS13, &[]));
        for (name, expected) in [("a.shop.example", &own), ("A.Shop.Example", &own), ("b.example", &self_made)] {
            let (near, far) = shake(&server, &client, name, &world.metrics).await;
            assert!(served(&near) == &expected.cert[0], "{name}");
            assert_eq!(far.server_name.as_deref(), Some(&*name.to_ascii_lowercase()));
        }
        let (near, far) = shake(&server, &client, "127.0.0.1", &world.metrics).await;
        assert!(served(&near) == &self_made.cert[0] && far.server_name.is_none());
    }

    #[tokio::test]
    async fn both_versions_negotiate_http2_first_and_aes_128() {
        let world = World::new();
        let (server, _) = config(&world);
        let cases: [(_, &[&[u8]], _, _, _); 4] = [
            (&TLS13, &[HTTP2, HTTP11], true, "TLSv1.3", CipherSuite::TLS13_AES_128_GCM_SHA256),
            (&TLS12, &[HTTP11, HTTP2], true, "TLSv1.2", CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256),
            (&TLS13, &[HTTP11], false, "TLSv1.3", CipherSuite::TLS13_AES_128_GCM_SHA256),
            (&TLS12, &[], false, "TLSv1.2", CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256),
        ];
        for (version, alpn, is_http2, name, suite) in cases {
            let (near, far) = shake(&server, &Arc::new(client(version, alpn)), "a.shop.example", &world.metrics).await;
            assert_eq!((far.is_http2, far.version), (is_http2, name));
            let names = ["TLS_AES_128_GCM_SHA256", "ECDHE-ECDSA-AES128-GCM-SHA256"];
            assert_eq!(far.cipher, names[usize::from(name == "TLSv1.2")]);
            assert_eq!(near.get_ref().1.negotiated_cipher_suite().unwrap().suite(), suite);
        }
    }

    #[test]
    fn suites_are_offered_in_the_order_of_the_list_and_by_default_in_that_of_all() {
        let of = |provider: &CryptoProvider| -> Vec<u16> {
            let old = provider.cipher_suites.iter().filter(|suite| suite.tls13().is_none());
            old.map(|suite| u16::from(suite.suite())).collect()
        };
        let all = ir::Cipher::ALL.map(|cipher| cipher.number);
        assert_eq!(of(&provider()), all);
        let mut list = ir::Cipher::ALL;
        list.reverse();
        assert!(of(&limited(Some(&list))).iter().eq(all.iter().rev()));
        assert_eq!(limited(Some(&list[..1])).cipher_suites.len(), 4);
    }

    #[tokio::test]
    async fn a_ticket_resumes_a_session_once_it_was_read() {
        let world = World::new();
        let (server, _) = config(&world);
        for version in [&TLS12, &TLS13] {
            let client = Arc::new(client(version, &[HTTP11]));
            let (mut near, far) = shake(&server, &client, "a.shop.example", &world.metrics).await;
            drop(far);
            let _cut = near.read(&mut [0]).await;
            let (near, _) = shake(&server, &client, "a.shop.example", &world.metrics).await;
            assert_eq!(near.get_ref().1.handshake_kind(), Some(HandshakeKind::Resumed), "{version:?}");
        }
    }

    #[tokio::test]
    async fn a_silent_client_is_late_and_a_babbling_one_fails() {
        let world = World::new();
        let (server, _) = config(&world);
        let (_near, far) = pair().await;
        tokio::time::pause();
        let late = accepted(&server, far, &world.metrics).await;
        assert!(matches!(late, Err(HandshakeError::Late)));
        tokio::time::resume();
        let (near, far) = pair().await;
        near.try_write(b"GET / HTTP/1.1\r\n\r\n").unwrap();
        let failed = accepted(&server, far, &world.metrics).await;
        assert!(matches!(failed, Err(HandshakeError::Failed(_))));
    }

    #[tokio::test]
    async fn a_backend_needs_no_name_and_no_trust() {
        let world = World::new();
        let (server, _) = config(&world);
        let backends = BackendTls::new().unwrap();
        for is_http2 in [false, true] {
            let (near, far) = pair().await;
            let address = near.peer_addr().unwrap().ip();
            let accepting = accepted(&server, far, &world.metrics);
            let (near, far) = tokio::join!(backends.connect(near, address, is_http2, None), accepting);
            near.unwrap();
            let far = far.unwrap();
            assert_eq!((far.server_name, far.is_http2), (None, is_http2));
        }
    }
}
