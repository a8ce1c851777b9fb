//! A TLS Secret's bytes into a certificate that can be served.

use std::collections::BTreeMap;
use std::sync::Arc;

use aws_lc_rs::digest;
use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::{CertifiedKey, SigningKey};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer;
use x509_parser::public_key::PublicKey;
use x509_parser::x509::SubjectPublicKeyInfo;

use super::SecretContent;
use crate::ir::{Certificate, CertificateOrigin, Name};

/// RSA keys below this many bits are refused by today's clients, so they are not served.
const RSA_BITS: usize = 2048;

/// What a Secret holds, from its decoded `data`.
pub fn read(name: &Name, data: &BTreeMap<String, Vec<u8>>) -> SecretContent {
    let part = |key: &str| match data.get(key) {
        None => Err(format!("{key} is missing")),
        Some(bytes) if bytes.is_empty() => Err(format!("{key} is empty")),
        Some(bytes) => Ok(bytes.as_slice()),
    };
    let parts = part("tls.crt").and_then(|chain| Ok((chain, part("tls.key")?)));
    match parts.and_then(|(chain, key)| certificate(CertificateOrigin::Secret(name.clone()), chain, key)) {
        Ok(certificate) => SecretContent::Certificate(Arc::new(certificate)),
        Err(why) => SecretContent::Unusable(why),
    }
}

/// A certificate from a chain and a key in PEM. The leaf is the first of the chain, which is served as stored; the key is
/// PKCS#8, PKCS#1 or SEC1. `Err` says as a sentence part why it cannot be served, and never holds a byte of the key.
///
/// Leaf and key are compared here rather than by rustls, which refuses certificates of X.509 v1.
pub fn certificate(origin: CertificateOrigin, chain: &[u8], key: &[u8]) -> Result<Certificate, String> {
    let chain = read_chain(chain)?;
    let mut leaves = Vec::with_capacity(chain.len());
    for (index, der) in chain.iter().enumerate() {
        let (_, parsed) = X509Certificate::from_der(der)
            .map_err(|error| format!("certificate {} in tls.crt cannot be read: {error}", index + 1))?;
        leaves.push(parsed);
    }
    let Some(leaf) = leaves.first() else { return Err("tls.crt holds no certificate".to_owned()) };
    check_strength(leaf)?;
    let key_der = read_key(key)?;
    let signing = any_supported_type(&key_der).map_err(|_| {
        "tls.key is not a key that can be used: RSA, ECDSA (P-256, P-384, P-521) and Ed25519 are".to_owned()
    })?;
    check_pair(&leaves, signing.as_ref())?;

    let mut hash = digest::Context::new(&digest::SHA256);
    for der in &chain {
        hash.update(der);
    }
    hash.update(key_der.secret_der());
    let fingerprint = <[u8; 32]>::try_from(hash.finish().as_ref()).unwrap_or_default();
    let (names, serial) = (names(leaf), hexadecimal(leaf.raw_serial()));
    let (not_before, not_after) = (leaf.validity().not_before.timestamp(), leaf.validity().not_after.timestamp());
    drop(leaves);
    let key = Arc::new(CertifiedKey::new(chain, signing));
    Ok(Certificate { origin, names, serial, not_before, not_after, fingerprint, key })
}

/// The certificate served where nobody gave another: self-signed, with the names of ingress-nginx's, by which people and
/// monitors know it, new at every start, valid from the day before `now` (seconds since the epoch) for ten years. `Err` if
/// the machine has no randomness.
pub fn self_made(now: i64) -> Result<Certificate, String> {
    let failed = |error: rcgen::Error| format!("cannot make the default certificate: {error}");
    let mut params = rcgen::CertificateParams::new(vec!["ingress.local".to_owned()]).map_err(failed)?;
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(rcgen::DnType::OrganizationName, "Acme Co");
    params.distinguished_name.push(rcgen::DnType::CommonName, "Kubernetes Ingress Controller Fake Certificate");
    limit_validity(&mut params, now, 3652);
    let key = rcgen::KeyPair::generate().map_err(failed)?;
    let made = params.self_signed(&key).map_err(failed)?;
    certificate(CertificateOrigin::SelfMade, made.pem().as_bytes(), key.serialize_pem().as_bytes())
}

/// Makes a certificate valid from the day before `now` (seconds since the epoch) until `days` after it.
pub fn limit_validity(params: &mut rcgen::CertificateParams, now: i64, days: u16) {
    const DAY: i64 = 86_400;
    let midnight = |seconds| {
        let time = jiff::Timestamp::from_second(seconds).unwrap_or_default();
        let day = time.to_zoned(jiff::tz::TimeZone::UTC).date();
        rcgen::date_time_ymd(day.year().into(), day.month().unsigned_abs(), day.day().unsigned_abs())
    };
    params.not_before = midnight(now - DAY);
    params.not_after = midnight(now + i64::from(days) * DAY);
}

fn read_chain(bytes: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(bytes).collect();
    match chain {
        Ok(chain) if chain.is_empty() => Err("tls.crt holds no PEM certificate".to_owned()),
        Ok(chain) => Ok(chain),
        Err(error) => Err(format!("tls.crt is not PEM: {}", fault(&error))),
    }
}

fn read_key(bytes: &[u8]) -> Result<PrivateKeyDer<'static>, String> {
    match PrivateKeyDer::from_pem_slice(bytes) {
        Ok(key) => Ok(key),
        Err(pem::Error::NoItemsFound) if memchr::memmem::find(bytes, b"ENCRYPTED PRIVATE KEY").is_some() => {
            Err("tls.key is encrypted".to_owned())
        }
        Err(pem::Error::NoItemsFound) => Err("tls.key holds no PEM private key".to_owned()),
        Err(error) => Err(format!("tls.key is not PEM: {}", fault(&error))),
    }
}

/// What is wrong with a PEM text, without a byte of it.
fn fault(error: &pem::Error) -> &'static str {
    match error {
        pem::Error::MissingSectionEnd { .. } => "a section has no END line",
        pem::Error::IllegalSectionStart { .. } => "a BEGIN line is malformed",
        pem::Error::Base64Decode(_) => "a section is not base64",
        pem::Error::SectionTooLarge => "a section is too large",
        _ => "it cannot be read",
    }
}

fn check_strength(leaf: &X509Certificate<'_>) -> Result<(), String> {
    match leaf.public_key().parsed() {
        Ok(PublicKey::RSA(rsa)) if rsa.key_size() < RSA_BITS => {
            Err(format!("its RSA key has {} bits, and clients refuse fewer than {RSA_BITS}", rsa.key_size()))
        }
        _ => Ok(()),
    }
}

fn check_pair(chain: &[X509Certificate<'_>], key: &dyn SigningKey) -> Result<(), String> {
    let spki = key.public_key().ok_or("tls.key does not give its public key")?;
    let (_, public) = SubjectPublicKeyInfo::from_der(&spki).map_err(|_| "tls.key does not give its public key")?;
    let owner = chain.iter().position(|one| one.public_key().subject_public_key == public.subject_public_key);
    match owner {
        Some(0) => Ok(()),
        Some(index) => Err(format!(
            "tls.key belongs to certificate {} in tls.crt; the one it belongs to must stand first",
            index + 1
        )),
        None => Err("tls.key does not belong to tls.crt".to_owned()),
    }
}

/// DNS names of the subject alternative names; without any, the common name.
fn names(leaf: &X509Certificate<'_>) -> Vec<Arc<str>> {
    let mut names: Vec<Arc<str>> = Vec::new();
    if let Ok(Some(extension)) = leaf.subject_alternative_name() {
        for name in &extension.value.general_names {
            if let GeneralName::DNSName(dns) = name {
                names.push(dns.to_ascii_lowercase().into());
            }
        }
    }
    if names.is_empty() {
        let common = leaf.subject().iter_common_name().filter_map(|name| name.as_str().ok());
        names.extend(common.map(|name| Arc::from(name.to_ascii_lowercase())));
    }
    names.sort();
    names.dedup();
    names
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    macro_rules! file {
        ($name:literal) => {
            include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/certificates/", $name))
        };
    }

    fn made(name: &str, algorithm: &'static rcgen::SignatureAlgorithm) -> (String, String) {
        let key = rcgen::KeyPair::generate_for(algorithm).unwrap();
        let params = rcgen::CertificateParams::new(vec![name.to_owned()]).unwrap();
        (params.self_signed(&key).unwrap().pem(), key.serialize_pem())
    }

    fn read_parts(chain: Option<&str>, key: Option<&str>) -> Result<Arc<Certificate>, String> {
        let parts = [("tls.crt", chain), ("tls.key", key)];
        let data = parts.into_iter().filter_map(|(name, part)| Some((name.to_owned(), part?.as_bytes().to_vec())));
        match read(&Name::new("shop", "tls"), &data.collect()) {
            SecretContent::Certificate(certificate) => Ok(certificate),
            SecretContent::Forbidden(why) | SecretContent::Unusable(why) => Err(why),
        }
    }

    #[test]
    fn our_own_certificate_has_the_names_of_the_one_it_takes_the_place_of() {
        let made = self_made(1_795_000_000).unwrap();
        assert_eq!(made.names, [Arc::<str>::from("ingress.local")]);
        let der = made.key.end_entity_cert().unwrap();
        let (_, read) = x509_parser::parse_x509_certificate(der).unwrap();
        let name = "O=Acme Co, CN=Kubernetes Ingress Controller Fake Certificate";
        assert_eq!((read.subject().to_string(), read.issuer().to_string()), (name.to_owned(), name.to_owned()));
    }

    #[test]
    fn every_kind_of_key_is_served() {
        let (p256, p256_key) = made("a.example", &rcgen::PKCS_ECDSA_P256_SHA256);
        let (p384, p384_key) = made("a.example", &rcgen::PKCS_ECDSA_P384_SHA384);
        let (ed25519, ed25519_key) = made("a.example", &rcgen::PKCS_ED25519);
        for (chain, key, names) in [
            (p256.as_str(), p256_key.as_str(), "a.example"),
            (&p384, &p384_key, "a.example"),
            (&ed25519, &ed25519_key, "a.example"),
            (&format!("{p256}{p384}"), &format!("some words\n{p256_key}"), "a.example"),
            (file!("rsa-pkcs1.crt"), file!("rsa-pkcs1.key"), "*.a.example b.example"),
            (file!("ec-v1.crt"), file!("ec-v1.key"), "v1.example"),
        ] {
            let certificate = read_parts(Some(chain), Some(key)).unwrap();
            assert_eq!(certificate.names.join(" "), names);
            assert_eq!(certificate.origin, CertificateOrigin::Secret(Name::new("shop", "tls")));
            assert!(!certificate.serial.is_empty() && certificate.not_before < certificate.not_after);
            assert_eq!(certificate.key.cert.len(), chain.matches("BEGIN").count());
        }
    }

    #[test]
    fn what_cannot_be_served_says_why_and_shows_no_key() {
        let (chain, key) = made("a.example", &rcgen::PKCS_ECDSA_P256_SHA256);
        let (other, other_key) = made("b.example", &rcgen::PKCS_ECDSA_P256_SHA256);
        let block = |label: &str, body: &str| format!("-----BEGIN {label}-----\n{body}\n-----END {label}-----\n");
        let huge = "x".repeat(1 << 20);
        for (chain, key, why) in [
            (None, Some(key.as_str()), "tls.crt is missing"),
            (Some(chain.as_str()), None, "tls.key is missing"),
            (Some(""), Some(&key), "tls.crt is empty"),
            (Some(&chain), Some(""), "tls.key is empty"),
            (Some("junk"), Some(&key), "tls.crt holds no PEM certificate"),
            (Some(&huge), Some(&key), "tls.crt holds no PEM certificate"),
            (Some(&key), Some(&key), "tls.crt holds no PEM certificate"),
            (Some(&chain), Some(&chain), "tls.key holds no PEM private key"),
            (Some(&chain[..60]), Some(&key), "tls.crt is not PEM: a section has no END line"),
            (Some(&chain), Some(&key[..60]), "tls.key is not PEM: a section has no END line"),
            (Some(&block("CERTIFICATE", "%%")), Some(&key), "tls.crt is not PEM: a section is not base64"),
            (Some(&block("CERTIFICATE", "AAAA")), Some(&key), "certificate 1 in tls.crt cannot be read"),
            (
                Some(&format!("{chain}{}", block("CERTIFICATE", "AAAA"))),
                Some(&key),
                "certificate 2 in tls.crt cannot be read",
            ),
            (
                Some(&chain),
                Some(&block("PRIVATE KEY", "AAAA")),
                "tls.key is not a key that can be used: RSA, ECDSA (P-256, P-384, P-521) and Ed25519 are",
            ),
            (Some(&chain), Some(file!("encrypted.key")), "tls.key is encrypted"),
            (Some(&chain), Some(&other_key), "tls.key does not belong to tls.crt"),
            (
                Some(&format!("{other}{chain}")),
                Some(&key),
                "tls.key belongs to certificate 2 in tls.crt; the one it belongs to must stand first",
            ),
            (
                Some(file!("weak-rsa.crt")),
                Some(file!("weak-rsa.key")),
                "its RSA key has 1024 bits, and clients refuse fewer than 2048",
            ),
        ] {
            let said = read_parts(chain, key).unwrap_err();
            assert!(said.starts_with(why), "{said:?} should begin with {why:?}");
        }
    }

    #[test]
    fn the_fingerprint_tells_keys_and_chains_apart() {
        let (chain, key) = made("a.example", &rcgen::PKCS_ECDSA_P256_SHA256);
        let (other, _) = made("b.example", &rcgen::PKCS_ECDSA_P256_SHA256);
        let one = read_parts(Some(&chain), Some(&key)).unwrap();
        assert_eq!(one, read_parts(Some(&chain), Some(&key)).unwrap());
        assert_ne!(one, read_parts(Some(&format!("{chain}{other}")), Some(&key)).unwrap());
        assert!(!format!("{one:?}").contains("key"));
    }

    #[test]
    fn the_default_certificate_is_valid_from_yesterday_for_ten_years() {
        const DAY: i64 = 86_400;
        let now = 1_767_323_045;
        let made = self_made(now).unwrap();
        assert_eq!(made.origin, CertificateOrigin::SelfMade);
        assert!(made.not_before < now - DAY && now - 3 * DAY < made.not_before);
        assert!((now + 3650 * DAY..now + 3653 * DAY).contains(&made.not_after));
        assert_ne!(made.fingerprint, self_made(now).unwrap().fingerprint);
    }
}
