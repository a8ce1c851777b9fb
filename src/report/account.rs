//! What is served and what is wrong, as much of it as is written back.

use std::sync::Arc;

use jiff::Timestamp;

use crate::compile;
use crate::ir::{Kind, Name, Object, Problem, Reason, Severity};
use crate::settings::CompileOptions;
use crate::snapshot::{Ingress, Snapshot};

/// Before this much time a certificate begins to be complained about, and again before the second.
const EXPIRY_DAYS: [i64; 2] = [7, 21];
const DAY: i64 = 24 * 3600;

/// What is served and what is wrong.
#[derive(Clone, Debug, Default)]
pub struct Account {
    /// The Ingresses of our class.
    pub ingresses: Vec<Arc<Ingress>>,
    /// What is wrong with objects that are in the cluster.
    pub troubles: Vec<Trouble>,
}

/// A problem with an object in the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// `metadata.uid` of the object to blame.
    pub uid: Arc<str>,
    /// The problem: an error or a warning.
    pub problem: Problem,
}

impl Account {
    /// The account of a snapshot that is served, and of the problems that it has. `now` is seconds since the epoch.
    pub fn of<'p>(
        snapshot: &Snapshot,
        options: &CompileOptions,
        problems: impl Iterator<Item = &'p Problem>,
        now: i64,
    ) -> Account {
        let ingresses: Vec<Arc<Ingress>> = compile::ours(snapshot, options).cloned().collect();
        let expiring = ingresses.iter().flat_map(|ingress| expiring(ingress, snapshot, now));
        let problems = problems.filter(|problem| problem.severity != Severity::Info).cloned().chain(expiring);
        let trouble = |problem: Problem| Some(Trouble { uid: uid(&problem.object, snapshot)?, problem });
        let troubles = problems.filter_map(trouble).collect();
        Account { ingresses, troubles }
    }
}

/// `None` for a flag, a file, and what the cluster does not have.
fn uid(object: &Object, snapshot: &Snapshot) -> Option<Arc<str>> {
    let name = &object.name;
    let meta = match object.kind {
        Kind::Ingress => &snapshot.ingresses.get(name)?.meta,
        Kind::IngressClass => &snapshot.classes.get(name)?.meta,
        Kind::Pod => &snapshot.pods.get(name)?.meta,
        Kind::Secret => &snapshot.secrets.get(name)?.meta,
        Kind::Service => &snapshot.services.get(name)?.meta,
        Kind::ConfigMap | Kind::EndpointSlice | Kind::File | Kind::Flag | Kind::Namespace => return None,
    };
    Some(Arc::clone(&meta.uid)).filter(|uid| !uid.is_empty())
}

/// Certificates of an Ingress that end soon. The words change only where there is something new to say.
fn expiring<'a>(ingress: &'a Ingress, snapshot: &'a Snapshot, now: i64) -> impl Iterator<Item = Problem> + 'a {
    let object = &ingress.meta.object;
    ingress.tls.iter().enumerate().filter_map(move |(index, entry)| {
        let secret = Name { namespace: Arc::clone(&object.name.namespace), name: Arc::clone(entry.secret.as_ref()?) };
        let certificate = snapshot.secrets.get(&secret)?.certificate()?;
        let left = certificate.not_after.saturating_sub(now);
        let days = EXPIRY_DAYS.iter().find(|days| left < **days * DAY)?;
        let end = Timestamp::from_second(certificate.not_after).ok()?;
        let when = if left <= 0 { "ended".to_owned() } else { format!("ends in less than {days} days,") };
        Some(Problem {
            object: Arc::clone(object),
            severity: Severity::Warning,
            reason: Reason::CertificateExpiring,
            field: format!("spec.tls[{index}].secretName"),
            message: format!("the certificate of Secret {secret} {when} at {end}"),
            hint: "renew it, and see why it was not renewed by itself".to_owned(),
        })
    })
}
