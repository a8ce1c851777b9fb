//! Secrets that annotations name for TLS, and the authorities in them.

use std::sync::Arc;

use aws_lc_rs::digest;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, CertificateRevocationListDer};
use webpki::{BorrowedCertRevocationList, anchor_from_trusted_cert};

use super::annotations;
use crate::compile::said::Told;
use crate::compile::view::View;
use crate::ir::{Authorities, Name, Reason};
use crate::snapshot::{Ingress, Secret, SecretContent, SecretParts};

/// Why a Secret cannot be used: the reason, what is wrong and what to do.
pub(super) type Fault = (Reason, String, &'static str);

/// The Secret that an annotation names, if the Ingress may name it and it can be read.
pub(super) fn secret<'v>(
    told: &Told<Arc<str>>,
    ingress: &Ingress,
    view: &mut View<'v>,
) -> Result<(Name, &'v Secret), Fault> {
    let own = &ingress.meta.object.name.namespace;
    let Some(name) = annotations::reference(&told.value, own) else {
        let message = format!("{:?} is no name of a Secret", &*told.value);
        return Err((Reason::AccessRuleBroken, message, "write name or namespace/name"));
    };
    if name.namespace != *own && !view.ground.keys.crosses_namespaces {
        let message = format!("Secret {name} is in another namespace");
        return Err((Reason::CrossNamespace, message, "name a Secret of the namespace of the Ingress"));
    }
    let Some(found) = view.secret(&name) else {
        return Err((Reason::SecretNotFound, format!("there is no Secret {name}"), "create it"));
    };
    if let SecretContent::Forbidden(why) = &found.current {
        let message = format!("Secret {name} cannot be read: {why}");
        return Err((Reason::SecretForbidden, message, "let the controller get Secrets"));
    }
    Ok((name, found))
}

/// The authorities of a Secret: `ca.crt`, and with `lists` what they took back, `ca.crl`. `None` without `ca.crt`; `Err` is
/// what is wrong, as a sentence part. One that cannot be read makes all of it wrong: whoever it was meant to keep out must
/// not come in.
pub(super) fn authorities(parts: &SecretParts, lists: bool) -> Result<Option<Authorities>, String> {
    let Some(certificates) = parts.get("ca.crt") else { return Ok(None) };
    let lists = parts.get("ca.crl").filter(|_| lists);
    let mut anchors = Vec::new();
    for certificate in CertificateDer::pem_slice_iter(certificates) {
        let certificate = certificate.map_err(|_| "has a ca.crt that is not PEM".to_owned())?;
        let anchor = anchor_from_trusted_cert(&certificate);
        anchors.push(anchor.map_err(|error| format!("has a ca.crt that cannot be read: {error}"))?.to_owned());
    }
    if anchors.is_empty() {
        return Err("has a ca.crt without a certificate".to_owned());
    }
    let mut revoked = Vec::new();
    for list in lists.into_iter().flat_map(CertificateRevocationListDer::pem_slice_iter) {
        let list = list.map_err(|_| "has a ca.crl that is not PEM".to_owned())?;
        let read = BorrowedCertRevocationList::from_der(&list).and_then(|list| list.to_owned());
        revoked.push(read.map_err(|error| format!("has a ca.crl that cannot be read: {error}"))?.into());
    }
    if lists.is_some() && revoked.is_empty() {
        return Err("has a ca.crl without a list".to_owned());
    }
    let mut hash = digest::Context::new(&digest::SHA256);
    hash.update(&(certificates.len() as u64).to_be_bytes());
    hash.update(certificates);
    hash.update(lists.unwrap_or_default());
    let fingerprint = <[u8; 32]>::try_from(hash.finish().as_ref()).unwrap_or_default();
    Ok(Some(Authorities::new(anchors.into(), revoked.into(), fingerprint)))
}
