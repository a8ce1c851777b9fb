//! Certificates of others: whether they are believed, and what they say.

use std::fmt::Write;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls_pki_types::{CertificateDer, TrustAnchor, UnixTime};
use webpki::{
    ALL_VERIFICATION_ALGS, CertRevocationList, EndEntityCert, Error, ExpirationPolicy, KeyUsage,
    RevocationOptionsBuilder, VerifiedPath,
};
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;
use x509_parser::time::ASN1Time;
use x509_parser::x509::X509Name;

use crate::ir::Authorities;

/// What became of a client's certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is believed.
    Good,
    /// There is none.
    Missing,
    /// It is not believed, and why, in OpenSSL's words.
    Bad(&'static str),
    /// Nobody knows whose it is, and it is not bad else.
    Unknown(&'static str),
}

/// Judges the certificate of a client with the chain that it showed.
pub fn of_client(chain: &[CertificateDer<'_>], by: &Authorities, depth: u32, now: UnixTime) -> Verdict {
    let Some((own, others)) = chain.split_first() else { return Verdict::Missing };
    match verify(own, others, by, depth, Usage::Client, now) {
        Ok(()) => Verdict::Good,
        Err(Error::UnknownIssuer) => Verdict::Unknown("unable to get local issuer certificate"),
        Err(Error::CaUsedAsEndEntity) => Verdict::Unknown("self-signed certificate"),
        Err(error) => Verdict::Bad(words(&error)),
    }
}

/// Whose certificate it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Usage {
    /// A client's.
    Client,
    /// A server's.
    Server,
}

/// Whether a certificate is believed: of one of the authorities, with at most `depth` certificates between, none of them
/// out of its time or taken back. Where lists of what was taken back are given, every certificate of the path needs one. As
/// with OpenSSL an authority may show its own certificate.
pub fn verify(
    own: &CertificateDer<'_>,
    others: &[CertificateDer<'_>],
    by: &Authorities,
    depth: u32,
    usage: Usage,
    now: UnixTime,
) -> Result<(), Error> {
    let judged = verify_path(&EndEntityCert::try_from(own)?, others, by, depth, usage, now);
    match judged {
        Err(Error::CaUsedAsEndEntity) if by.revoked().is_empty() && is_anchor(own, by, usage, now) => Ok(()),
        judged => judged,
    }
}

/// Whether the certificate is that of an authority, in its time, and for this use if it says for which: whoever has its key
/// could make any other.
fn is_anchor(own: &CertificateDer<'_>, by: &Authorities, usage: Usage, now: UnixTime) -> bool {
    let Ok(anchor) = webpki::anchor_from_trusted_cert(own) else { return false };
    let is_it = |known: &TrustAnchor<'_>| {
        known.subject == anchor.subject && known.subject_public_key_info == anchor.subject_public_key_info
    };
    let Ok((_, certificate)) = X509Certificate::from_der(own) else { return false };
    let seconds = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
    let is_in_time = ASN1Time::from_timestamp(seconds).is_ok_and(|now| certificate.validity().is_valid_at(now));
    let is_for_use = match certificate.extended_key_usage() {
        Ok(None) => true,
        Ok(Some(uses)) => match usage {
            Usage::Client => uses.value.client_auth,
            Usage::Server => uses.value.server_auth,
        },
        Err(_) => false,
    };
    is_in_time && is_for_use && by.anchors().iter().any(is_it)
}

fn verify_path(
    own: &EndEntityCert<'_>,
    others: &[CertificateDer<'_>],
    by: &Authorities,
    depth: u32,
    usage: Usage,
    now: UnixTime,
) -> Result<(), Error> {
    let usage = match usage {
        Usage::Client => KeyUsage::client_auth(),
        Usage::Server => KeyUsage::server_auth(),
    };
    let lists: Vec<&CertRevocationList<'_>> = by.revoked().iter().collect();
    let revocation = match RevocationOptionsBuilder::new(&lists) {
        Ok(options) => Some(options.with_expiration_policy(ExpirationPolicy::Enforce).build()),
        Err(_) => None,
    };
    let is_short = |path: &VerifiedPath<'_>| {
        let between = path.intermediate_certificates().count();
        if u32::try_from(between).is_ok_and(|between| between <= depth) {
            Ok(())
        } else {
            Err(Error::MaximumPathDepthExceeded)
        }
    };
    let judged =
        own.verify_for_usage(ALL_VERIFICATION_ALGS, by.anchors(), others, now, usage, revocation, Some(&is_short));
    judged.map(|_| ())
}

/// OpenSSL's words for what is wrong (`X509_verify_cert_error_string`).
fn words(error: &Error) -> &'static str {
    match error {
        Error::CertExpired { .. } => "certificate has expired",
        Error::CertNotValidYet { .. } => "certificate is not yet valid",
        Error::CertRevoked => "certificate revoked",
        Error::CrlExpired { .. } => "CRL has expired",
        Error::UnknownRevocationStatus => "unable to get certificate CRL",
        Error::MaximumPathDepthExceeded => "certificate chain too long",
        Error::PathLenConstraintViolated => "path length constraint exceeded",
        Error::RequiredEkuNotFoundContext(_) => "unsuitable certificate purpose",
        Error::InvalidSignatureForPublicKey => "certificate signature failure",
        Error::NameConstraintViolation => "permitted subtree violation",
        _ => "certificate rejected",
    }
}

/// Subject and issuer of a certificate, as RFC 2253 writes them; empty for one that cannot be read.
pub fn names(certificate: &CertificateDer<'_>) -> (String, String) {
    match X509Certificate::from_der(certificate) {
        Ok((_, certificate)) => (rfc2253(certificate.subject()), rfc2253(certificate.issuer())),
        Err(_) => Default::default(),
    }
}

/// Whether a certificate without any alternative name is for this name by its common name, as OpenSSL takes it.
pub fn has_common_name(certificate: &CertificateDer<'_>, name: &str) -> bool {
    let Ok((_, certificate)) = X509Certificate::from_der(certificate) else { return false };
    if !matches!(certificate.subject_alternative_name(), Ok(None)) {
        return false;
    }
    let mut common = certificate.subject().iter_common_name().filter_map(|name| name.as_str().ok());
    common.any(|common| common.eq_ignore_ascii_case(name))
}

/// The certificate as PEM, escaped as part of a URL (nginx's `$ssl_client_escaped_cert`).
pub fn escaped(certificate: &CertificateDer<'_>) -> String {
    const LINE: usize = 64;
    let encoded = STANDARD.encode(certificate);
    let mut pem = String::from("-----BEGIN CERTIFICATE-----\n");
    for (place, character) in encoded.chars().enumerate() {
        if place > 0 && place % LINE == 0 {
            pem.push('\n');
        }
        pem.push(character);
    }
    pem.push_str("\n-----END CERTIFICATE-----\n");
    let mut out = String::with_capacity(pem.len() * 3 / 2);
    for octet in pem.bytes() {
        if octet.is_ascii_alphanumeric() || b"-._~".contains(&octet) {
            out.push(char::from(octet));
        } else {
            let _ = write!(out, "%{octet:02X}");
        }
    }
    out
}

/// The last part first; `,+"\<>;`, spaces at the ends and all octets outside ASCII escaped, as OpenSSL does.
fn rfc2253(name: &X509Name<'_>) -> String {
    let mut out = String::new();
    let parts: Vec<_> = name.iter().collect();
    for (place, part) in parts.into_iter().rev().enumerate() {
        if place > 0 {
            out.push(',');
        }
        for (place, attribute) in part.iter().enumerate() {
            if place > 0 {
                out.push('+');
            }
            let id = attribute.attr_type().to_id_string();
            out.push_str(abbreviated(&id).unwrap_or(&id));
            out.push('=');
            value(&mut out, attribute.attr_value().data);
        }
    }
    out
}

fn value(out: &mut String, octets: &[u8]) {
    let last = octets.len().saturating_sub(1);
    for (place, octet) in octets.iter().enumerate() {
        match octet {
            b',' | b'+' | b'"' | b'\\' | b'<' | b'>' | b';' => {
                out.push('\\');
                out.push(char::from(*octet));
            }
            b' ' if place == 0 || place == last => out.push_str("\\ "),
            b'#' if place == 0 => out.push_str("\\#"),
            b' '..=b'~' => out.push(char::from(*octet)),
            _ => {
                let _ = write!(out, "\\{octet:02X}");
            }
        }
    }
}

/// Short names as OpenSSL has them.
fn abbreviated(id: &str) -> Option<&'static str> {
    Some(match id {
        "2.5.4.3" => "CN",
        "2.5.4.4" => "SN",
        "2.5.4.5" => "serialNumber",
        "2.5.4.6" => "C",
        "2.5.4.7" => "L",
        "2.5.4.8" => "ST",
        "2.5.4.9" => "street",
        "2.5.4.10" => "O",
        "2.5.4.11" => "OU",
        "2.5.4.12" => "title",
        "2.5.4.42" => "GN",
        "0.9.2342.19200300.100.1.1" => "UID",
        "0.9.2342.19200300.100.1.25" => "DC",
        "1.2.840.113549.1.9.1" => "emailAddress",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DnType, KeyPair};

    use super::*;

    fn certificate(name: &[(DnType, &str)]) -> CertificateDer<'static> {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name = rcgen::DistinguishedName::new();
        for (kind, value) in name {
            params.distinguished_name.push(kind.clone(), *value);
        }
        params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().clone()
    }

    #[test]
    fn names_are_written_last_part_first_and_escaped() {
        let organization =
            [(DnType::CountryName, "DE"), (DnType::OrganizationName, " A, B "), (DnType::CommonName, "ö=x")];
        let (subject, issuer) = names(&certificate(&organization));
        assert_eq!(subject, "CN=\\C3\\B6=x,O=\\ A\\, B\\ ,C=DE");
        assert_eq!(issuer, subject, "it is self-signed");
        assert_eq!(names(&CertificateDer::from(vec![1, 2, 3])), Default::default());
    }

    #[test]
    fn an_authority_may_show_its_own_certificate() {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec!["a.example".to_owned()]).unwrap();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        params.not_before = rcgen::date_time_ymd(2020, 1, 1);
        params.not_after = rcgen::date_time_ymd(2030, 1, 1);
        let own = params.self_signed(&key).unwrap().der().clone();
        params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ClientAuth];
        let of_clients = params.self_signed(&key).unwrap().der().clone();
        let other = params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().clone();
        let anchor = webpki::anchor_from_trusted_cert(&own).unwrap().to_owned();
        let by = Authorities::new([anchor].into(), Box::default(), [0; 32]);
        let year = |years: u64| UnixTime::since_unix_epoch(std::time::Duration::from_secs(years * 31_557_600));
        for (shown, usage, years, is_believed) in [
            (&own, Usage::Server, 55, true),
            (&own, Usage::Client, 55, true),
            (&own, Usage::Server, 49, false),
            (&own, Usage::Server, 61, false),
            (&of_clients, Usage::Client, 55, true),
            (&of_clients, Usage::Server, 55, false),
            (&other, Usage::Client, 55, false),
        ] {
            let judged = verify(shown, &[], &by, 0, usage, year(years));
            assert_eq!(judged.is_ok(), is_believed, "{usage:?} {years}: {judged:?}");
        }
    }

    #[test]
    fn a_certificate_is_escaped_as_nginx_does() {
        let text = escaped(&CertificateDer::from(vec![0xff; 60]));
        assert!(text.starts_with("-----BEGIN%20CERTIFICATE-----%0A"), "{text}");
        assert!(text.ends_with("%0A-----END%20CERTIFICATE-----%0A"), "{text}");
        assert!(text.contains("%2F%2F") && !text.contains('/'), "{text}");
    }

    #[test]
    fn a_common_name_counts_only_without_alternative_names() {
        assert!(has_common_name(&certificate(&[(DnType::CommonName, "A.example")]), "a.example"));
        assert!(!has_common_name(&certificate(&[(DnType::CommonName, "b.example")]), "a.example"));
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec!["b.example".to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, "a.example");
        assert!(!has_common_name(params.self_signed(&key).unwrap().der(), "a.example"));
    }
}
