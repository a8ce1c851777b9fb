//! Certificates of clients: asked for in the handshake, never needed to finish it, judged for each connection with what is
//! believed at that time.

use std::cell::{OnceCell, RefCell};
use std::fmt;
use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{DigitallySignedStruct, DistinguishedName, SignatureScheme};

use super::downstream::Peer;
use super::edits::Edits;
use super::reply::Reply;
use crate::filter::Request;
use crate::filter::certificate::{self, Verdict};
use crate::ir::{ClientAuth, ClientMode, Demand};
use crate::table::RoutingTable;
use crate::telemetry::Failure;
use crate::uri;

/// Takes any certificate whose key the client has.
pub(super) struct AnyClient {
    names: Vec<DistinguishedName>,
    provider: Arc<CryptoProvider>,
}

impl AnyClient {
    /// Names the authorities of `demand` to clients.
    pub(super) fn new(demand: &Demand, provider: Arc<CryptoProvider>) -> AnyClient {
        let name = |anchor: &rustls::pki_types::TrustAnchor<'_>| DistinguishedName::in_sequence(&anchor.subject);
        AnyClient { names: demand.by.anchors().iter().map(name).collect(), provider }
    }
}

impl fmt::Debug for AnyClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AnyClient")
    }
}

impl ClientCertVerifier for AnyClient {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &self.names
    }

    fn verify_client_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// What a client showed on a connection on which it was asked.
pub struct Presented {
    chain: Box<[CertificateDer<'static>]>,
    /// What was made of it, and of which demand: another one is judged anew.
    judged: RefCell<(Arc<Demand>, Rc<Judged>)>,
    escaped: OnceCell<Bytes>,
}

/// What was made of what a client showed.
#[derive(Debug)]
struct Judged {
    verdict: Verdict,
    subject: Bytes,
    issuer: Bytes,
}

impl fmt::Debug for Presented {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} certificates", self.chain.len())
    }
}

impl Presented {
    /// Judges what a client showed, which may be nothing.
    pub(super) fn new(demand: Arc<Demand>, chain: &[CertificateDer<'static>]) -> Presented {
        let judged = judge(chain, &demand);
        Presented { chain: chain.into(), judged: RefCell::new((demand, Rc::new(judged))), escaped: OnceCell::new() }
    }

    fn judged(&self, demand: &Arc<Demand>) -> Rc<Judged> {
        let mut judged = self.judged.borrow_mut();
        if judged.0 != *demand {
            *judged = (Arc::clone(demand), Rc::new(judge(&self.chain, demand)));
        }
        Rc::clone(&judged.1)
    }

    fn escaped(&self) -> Option<Bytes> {
        let own = self.chain.first()?;
        Some(self.escaped.get_or_init(|| certificate::escaped(own).into()).clone())
    }
}

fn judge(chain: &[CertificateDer<'_>], demand: &Demand) -> Judged {
    let verdict = certificate::of_client(chain, &demand.by, demand.depth, UnixTime::now());
    let (subject, issuer) = chain.first().map(certificate::names).unwrap_or_default();
    Judged { verdict, subject: subject.into(), issuer: issuer.into() }
}

/// What the backend hears of the client's certificate; nothing on hosts that do not ask.
#[derive(Clone, Debug, Default)]
pub struct Told(Option<Rc<Shown>>);

#[derive(Debug)]
struct Shown {
    verify: Bytes,
    subject: Bytes,
    issuer: Bytes,
    certificate: Option<Bytes>,
}

impl Told {
    /// Adds the fields `ssl-client-*`. Those that a client sends never pass (`http1::fields`).
    pub fn add(&self, edits: &mut Edits) {
        let Some(shown) = &self.0 else { return };
        let Shown { verify, subject, issuer, certificate } = &**shown;
        edits.add("ssl-client-verify", verify.clone());
        for (name, value) in [("ssl-client-subject-dn", subject), ("ssl-client-issuer-dn", issuer)] {
            if !value.is_empty() {
                edits.add(name, value.clone());
            }
        }
        if let Some(certificate) = certificate {
            edits.add("ssl-client-cert", certificate.clone());
        }
    }
}

/// Whether a request may come in, by the certificate of its client. To be asked before anything else about the
/// host (the order is nginx's: the certificate, then the subject, then the Secret).
pub fn admit(table: &RoutingTable, peer: &Peer, request: &Request<'_>) -> Result<Told, Box<Reply>> {
    if !table.asks_clients() {
        return Ok(Told::default());
    }
    let auth = table.client_auth(&uri::host::lookup(request.host()));
    let Some(tls) = &peer.tls else {
        // In clear text nobody can show anything; who wants that refused redirects to https.
        return match auth {
            Some(auth) if auth.subject.is_some() => Err(unauthorized()),
            Some(auth) if auth.demand.is_none() => Err(Box::new(Reply::failed(403, Failure::Denied))),
            Some(_) | None => Ok(Told::default()),
        };
    };
    let greeted = table.client_auth(tls.server_name.as_deref().unwrap_or_default()).and_then(|auth| auth.asked());
    let asked = auth.and_then(|auth| auth.asked());
    let must = asked.is_some_and(|demand| demand.mode == ClientMode::On);
    let is_misled = greeted != asked && (tls.server_name.is_some() || must);
    // A connection from before somebody asked cannot answer.
    if is_misled || (must && tls.presented.is_none()) {
        return Err(Box::new(Reply::failed(421, Failure::Misdirected)));
    }
    let Some(auth) = auth else { return Ok(Told::default()) };
    let judged = asked.zip(tls.presented.as_ref()).map(|(demand, presented)| (presented.judged(demand), presented));
    let verdict = judged.as_ref().map_or(Verdict::Missing, |(judged, _)| judged.verdict.clone());
    if let Some(demand) = asked {
        refused(auth, demand.mode, &verdict)?;
    }
    let subject = judged.as_ref().map(|(judged, _)| judged.subject.clone()).unwrap_or_default();
    if auth.subject.as_ref().is_some_and(|asked| !asked.is_found_soon(&subject)) {
        return Err(unauthorized());
    }
    if auth.demand.is_none() {
        return Err(Box::new(Reply::failed(403, Failure::Denied)));
    }
    Ok(Told(Some(Rc::new(Shown {
        verify: match verdict {
            Verdict::Good => Bytes::from_static(b"SUCCESS"),
            Verdict::Missing => Bytes::from_static(b"NONE"),
            Verdict::Bad(why) | Verdict::Unknown(why) => format!("FAILED:{why}").into(),
        },
        subject,
        issuer: judged.as_ref().map(|(judged, _)| judged.issuer.clone()).unwrap_or_default(),
        certificate: judged.filter(|_| auth.passes_certificate).and_then(|(_, presented)| presented.escaped()),
    }))))
}

/// Refuses what the mode does not let in.
fn refused(auth: &ClientAuth, mode: ClientMode, verdict: &Verdict) -> Result<(), Box<Reply>> {
    let detail = match (mode, verdict) {
        (_, Verdict::Good) | (ClientMode::Off, _) => return Ok(()),
        (ClientMode::Optional | ClientMode::OptionalNoCa, Verdict::Missing) => return Ok(()),
        (ClientMode::OptionalNoCa, Verdict::Unknown(_)) => return Ok(()),
        (ClientMode::On, Verdict::Missing) => "No required SSL certificate was sent",
        (_, Verdict::Bad(_) | Verdict::Unknown(_)) => "The SSL certificate error",
    };
    let mut reply = Reply::failed(if auth.error_page.is_some() { 302 } else { 400 }, Failure::AuthFailed);
    match &auth.error_page {
        Some(page) => reply.fields.push(("Location", Bytes::copy_from_slice(page.as_bytes()))),
        None => reply.detail = Some(detail.to_owned()),
    }
    Err(Box::new(reply))
}

fn unauthorized() -> Box<Reply> {
    let body = (Bytes::from_static(b"client certificate unauthorized"), "text/html".into());
    Box::new(Reply { body: Some(body), ..Reply::failed(403, Failure::Denied) })
}
