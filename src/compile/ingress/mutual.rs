//! TLS towards the backends of an Ingress, and client certificates on its hosts: what the annotations say, with the Secrets
//! that they name.

use std::sync::Arc;

use super::annotations::{self, Guard, Settings};
use super::authorities::{self, Fault};
use crate::compile::claim::problem;
use crate::compile::said::{AskedTls, Told};
use crate::compile::view::View;
use crate::ir::{BackendTls, ClientAuth, Demand, Object, Problem, Reason, Severity, Verified};
use crate::snapshot::{Ingress, Secret, SecretContent};

/// Certificates between the last and the authority's, where nothing is said (as nginx counts).
const DEPTH: u32 = 1;

/// What the settings ask for with Secrets is looked up and put into them. What cannot be had closes the paths, or for client
/// certificates the host.
pub(super) fn prepare(settings: &mut Settings, ingress: &Ingress, view: &mut View<'_>, problems: &mut Vec<Problem>) {
    backend(settings, ingress, view, problems);
    client(settings, ingress, view, problems);
}

fn backend(settings: &mut Settings, ingress: &Ingress, view: &mut View<'_>, problems: &mut Vec<Problem>) {
    let said = std::mem::take(&mut settings.backend_tls);
    let annotations::BackendTlsSaid { secret, verify, depth, name, sends_name, versions, ciphers } = said;
    let first = [
        secret.as_ref().map(|told| &told.annotation),
        verify.as_ref().map(|told| &told.annotation),
        name.as_ref().map(|told| &told.annotation),
        sends_name.as_ref().map(|told| &told.annotation),
        versions.as_ref().map(|told| &told.annotation),
        ciphers.as_ref().map(|told| &told.annotation),
        depth.as_ref().map(|told| &told.annotation),
    ];
    let Some(annotation) = first.into_iter().flatten().next().cloned() else { return };
    let object = &ingress.meta.object;
    let mut closed = |annotation: &str, (reason, message, hint): Fault| {
        problems.push(broken(object, annotation, reason, &format!("{message}, so {CLOSED}"), hint));
        settings.close(Guard::Access);
    };
    let (mut certificate, mut by) = (None, None);
    if let Some(told) = &secret {
        match authorities::secret(told, ingress, view).and_then(|(name, found)| {
            let unusable = |why: String| (Reason::AccessRuleBroken, format!("Secret {name} {why}"), SHOWN);
            let by = authorities::authorities(&found.others, false).map_err(unusable)?;
            let certificate = shown(found, by.is_some()).map_err(unusable)?;
            Ok((certificate, by))
        }) {
            Ok(found) => (certificate, by) = found,
            Err(fault) => return closed(&told.annotation, fault),
        }
    }
    let verified = match verify.filter(|told| told.value) {
        None => None,
        Some(told) => match by {
            Some(by) => Some(Verified { by, depth: depth.map_or(DEPTH, |told| told.value) }),
            None => {
                let message = "proxy-ssl-verify: there is no CA to verify with".to_owned();
                let hint = "name a Secret with ca.crt by proxy-ssl-secret, or switch it off";
                return closed(&told.annotation, (Reason::AccessRuleBroken, message, hint));
            }
        },
    };
    let (tls12, tls13) = versions.map_or((true, true), |told| told.value);
    let value = AskedTls {
        tls: BackendTls {
            certificate,
            verified,
            name: name.map(|told| told.value),
            sends_name: false,
            no_tls12: !tls12,
            no_tls13: !tls13,
            ciphers: ciphers.map(|told| told.value),
        },
        sends_name: sends_name.map(|told| told.value),
    };
    settings.backend.tls = Some(Told { value, annotation });
}

const CLOSED: &str = "the paths of this Ingress answer 503";
const SHOWN: &str = "put a client certificate into tls.crt and tls.key, or CAs into ca.crt";

/// The certificate to show to backends, if the Secret has one. `Err`: it has one that cannot be used, or nothing at all.
fn shown(secret: &Secret, has_authorities: bool) -> Result<Option<Arc<crate::ir::Certificate>>, String> {
    match &secret.current {
        SecretContent::Certificate(certificate) => Ok(Some(Arc::clone(certificate))),
        SecretContent::Unusable(why) if why == "tls.crt is missing" && has_authorities => Ok(None),
        SecretContent::Forbidden(why) | SecretContent::Unusable(why) => match &secret.last_good {
            Some(last) => Ok(Some(Arc::clone(last))),
            None => Err(format!("cannot be used: {why}")),
        },
    }
}

fn client(settings: &mut Settings, ingress: &Ingress, view: &mut View<'_>, problems: &mut Vec<Problem>) {
    let said = std::mem::take(&mut settings.client_auth);
    let annotations::ClientAuthSaid {
        secret,
        mode,
        depth,
        error_page,
        subject,
        passes_certificate,
        is_asked: _,
        broken: wrong,
    } = said;
    let object = &ingress.meta.object;
    let Some(secret) = secret else {
        if let Some(annotation) = wrong {
            // That of the Secret itself.
            let nobody = ClientAuth { demand: None, error_page: None, subject: None, passes_certificate: false };
            settings.front.client_auth = Some(Told { value: Arc::new(nobody), annotation });
            return;
        }
        let mode = mode.filter(|told| told.value != crate::ir::ClientMode::Off).map(|told| told.annotation);
        if let Some(annotation) = mode.or(subject.map(|told| told.annotation)) {
            let name = annotation.split_once('/').map_or(&*annotation, |(_, name)| name);
            let message = format!("{name} needs auth-tls-secret, so {CLOSED}");
            let hint = "name the Secret with ca.crt by auth-tls-secret, or remove it";
            problems.push(broken(object, &annotation, Reason::AccessRuleBroken, &message, hint));
            settings.close(Guard::Access);
        }
        return;
    };
    let found = authorities::secret(&secret, ingress, view).and_then(|(name, found)| {
        let unusable = |why: String| {
            let hint = "put the CAs of clients into ca.crt, and what they took back into ca.crl";
            (Reason::AccessRuleBroken, format!("Secret {name} {why}"), hint)
        };
        let by = authorities::authorities(&found.others, true).map_err(unusable)?;
        by.ok_or_else(|| unusable("has no ca.crt".to_owned()))
    });
    let demand = match found {
        // What is wrong was told already.
        Ok(_) if wrong.is_some() => None,
        Ok(by) => Some(Arc::new(Demand {
            by,
            mode: mode.map(|told| told.value).unwrap_or_default(),
            depth: depth.map_or(DEPTH, |told| told.value),
        })),
        Err((reason, message, hint)) => {
            let message = format!("{message}, so the hosts of this Ingress answer 403");
            problems.push(broken(object, &secret.annotation, reason, &message, hint));
            None
        }
    };
    let value = Arc::new(ClientAuth {
        demand,
        error_page: error_page.map(|told| told.value),
        subject: subject.map(|told| told.value),
        passes_certificate: passes_certificate.is_some_and(|told| told.value),
    });
    settings.front.client_auth = Some(Told { value, annotation: secret.annotation });
}

fn broken(object: &Arc<Object>, annotation: &str, reason: Reason, message: &str, hint: &str) -> Problem {
    problem(object, Severity::Error, reason, annotations::field(annotation), message, hint)
}
