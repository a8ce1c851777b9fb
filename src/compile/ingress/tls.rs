//! `spec.tls`: which Secret's certificate a host gets.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use crate::compile::claim::{CertificateClaim, problem};
use crate::compile::view::View;
use crate::ir::{Certificate, HostPattern, Name, Object, Problem, Reason, Severity};
use crate::snapshot::{Ingress, IngressTls, Secret, SecretContent};
use crate::uri;

/// What `ingress` asks for on `host`: the entry that lists it, by its own name before a wildcard, else any entry whose
/// certificate covers it. `None` without a `tls` section.
pub(super) fn claim(
    ingress: &Ingress,
    host: &HostPattern,
    listed: &mut Listed<'_>,
    view: &mut View<'_>,
) -> Option<CertificateClaim> {
    if ingress.tls.is_empty() {
        return None;
    }
    let object = &ingress.meta.object;
    let name = host.to_string();
    // Entries without Secret ask for the default certificate, and then getting it is no problem.
    let asks = ingress.tls.iter().any(|entry| secret_name(ingress, entry).is_some());
    let default = |message: String, hint: String| CertificateClaim {
        field: "spec.tls".into(),
        secret: None,
        certificate: None,
        problems: if asks {
            vec![problem(object, Severity::Error, Reason::CertificateMismatch, "spec.tls", message, hint)]
        } else {
            Vec::new()
        },
    };
    if *host == HostPattern::Any {
        let mut claim = default(
            "a rule without host has no server name, so the default certificate is served".to_owned(),
            "give the rule a host, or use --default-ssl-certificate".to_owned(),
        );
        if view.options.default_ssl_certificate.is_some() {
            claim.problems.clear();
        }
        return Some(claim);
    }
    let entry = listed.listing(host).or_else(|| listed.covering(ingress, &name, view));
    let Some((index, entry)) = entry.and_then(|index| Some((index, ingress.tls.get(index)?))) else {
        return Some(default(
            format!("no entry lists {name} and no certificate covers it, so the default certificate is served"),
            format!("add {name} to the hosts of an entry"),
        ));
    };
    let field = format!("spec.tls[{index}]");
    let mut claim =
        CertificateClaim { field: field.as_str().into(), secret: None, certificate: None, problems: Vec::new() };
    // An entry without Secret asks for the default certificate.
    let Some(secret) = secret_name(ingress, entry) else { return Some(claim) };
    let chosen = choose(view.secret(&secret), &secret, &name, object, &field);
    claim.secret = Some(secret);
    claim.certificate = chosen.0;
    claim.problems = chosen.1;
    Some(claim)
}

/// The certificate of `--default-ssl-certificate`, for no host in particular.
pub(in crate::compile) fn default_certificate(
    secret: Option<&Secret>,
    name: &Name,
    flag: &Arc<Object>,
) -> (Option<Arc<Certificate>>, Vec<Problem>) {
    usable(secret, name, flag, "", "the self-made certificate is served")
}

/// The entries of an Ingress by what they are for, so that one with many hosts is not gone through for each of them.
pub(super) struct Listed<'a> {
    /// The first entry that lists a name, or behind `*.` a wildcard.
    by_name: HashMap<Cow<'a, str>, usize>,
    /// The first entry of each Secret with a certificate; looked at when it is needed.
    certificates: Option<Vec<(usize, Arc<Certificate>)>>,
}

impl<'a> Listed<'a> {
    /// Those of `ingress`.
    pub(super) fn of(ingress: &'a Ingress) -> Listed<'a> {
        let mut by_name = HashMap::new();
        for (index, entry) in ingress.tls.iter().enumerate() {
            for listed in &entry.hosts {
                by_name.entry(uri::host::lookup(listed)).or_insert(index);
            }
        }
        Listed { by_name, certificates: None }
    }

    /// The entry that lists the host by its own name, else by a wildcard.
    fn listing(&self, host: &HostPattern) -> Option<usize> {
        let own = self.by_name.get(&*host.to_string());
        let wildcard = || match host {
            HostPattern::Exact(name) => self.by_name.get(&*format!("*.{}", name.split_once('.')?.1)),
            HostPattern::Wildcard(_) | HostPattern::Any => None,
        };
        own.or_else(wildcard).copied()
    }

    /// The entry whose certificate is for the name.
    fn covering(&mut self, ingress: &Ingress, name: &str, view: &mut View<'_>) -> Option<usize> {
        let certificates = self.certificates.get_or_insert_with(|| {
            let mut seen = HashSet::new();
            let named = ingress.tls.iter().enumerate().filter_map(|(index, entry)| {
                let secret = secret_name(ingress, entry).filter(|secret| seen.insert(secret.clone()))?;
                Some((index, Arc::clone(view.secret(&secret).and_then(Secret::certificate)?)))
            });
            named.collect()
        });
        certificates.iter().find(|(_, certificate)| certificate.covers(name)).map(|(index, _)| *index)
    }
}

/// The Secrets that an Ingress names, each in its own namespace.
pub(in crate::compile) fn secrets(ingress: &Ingress) -> impl Iterator<Item = Name> {
    ingress.tls.iter().filter_map(|entry| secret_name(ingress, entry))
}

fn secret_name(ingress: &Ingress, entry: &IngressTls) -> Option<Name> {
    let name = entry.secret.as_ref().filter(|name| !name.is_empty())?;
    Some(Name { namespace: Arc::clone(&ingress.meta.object.name.namespace), name: Arc::clone(name) })
}

fn choose(
    secret: Option<&Secret>,
    secret_name: &Name,
    host: &str,
    object: &Arc<Object>,
    entry: &str,
) -> (Option<Arc<Certificate>>, Vec<Problem>) {
    let field = format!("{entry}.secretName");
    let (certificate, mut problems) = usable(secret, secret_name, object, &field, "the default certificate is served");
    let Some(certificate) = certificate else { return (None, problems) };
    if certificate.covers(host) {
        return (Some(certificate), problems);
    }
    problems.push(problem(
        object,
        Severity::Error,
        Reason::CertificateMismatch,
        field,
        format!("the certificate of Secret {secret_name} is not for {host}, so the default certificate is served"),
        format!("use a certificate for {host}; this one is for {}", names(&certificate)),
    ));
    (None, problems)
}

fn names(certificate: &Certificate) -> String {
    const SHOWN: usize = 5;
    let shown: Vec<&str> = certificate.names.iter().take(SHOWN).map(Arc::as_ref).collect();
    match certificate.names.len() {
        0 => "no name".to_owned(),
        count if count > SHOWN => format!("{} and {} more", shown.join(", "), count - SHOWN),
        _ => shown.join(", "),
    }
}

fn usable(
    secret: Option<&Secret>,
    name: &Name,
    object: &Arc<Object>,
    field: &str,
    instead: &str,
) -> (Option<Arc<Certificate>>, Vec<Problem>) {
    let Some(secret) = secret else {
        let missing = problem(
            object,
            Severity::Error,
            Reason::SecretNotFound,
            field,
            format!("no Secret {name}, so {instead}"),
            "create it, of type kubernetes.io/tls, in the same namespace",
        );
        return (None, vec![missing]);
    };
    let why = match &secret.current {
        SecretContent::Certificate(certificate) => return (Some(Arc::clone(certificate)), Vec::new()),
        SecretContent::Forbidden(why) => {
            let forbidden = problem(
                object,
                Severity::Error,
                Reason::SecretForbidden,
                field,
                format!("Secret {name} may not be read, so {instead}: {why}"),
                "grant the service account of Fairlead the right to get Secrets there",
            );
            return (None, vec![forbidden]);
        }
        SecretContent::Unusable(why) => why,
    };
    let (severity, served) = match &secret.last_good {
        Some(last) => (Severity::Warning, format!("the last good one, serial {}, is served", last.serial)),
        None => (Severity::Error, instead.to_owned()),
    };
    let broken = problem(
        object,
        severity,
        Reason::CertificateUnusable,
        field,
        format!("the certificate of Secret {name} cannot be served: {why}; {served}"),
        "put a certificate chain into tls.crt and its key into tls.key",
    );
    (secret.last_good.clone(), vec![broken])
}
