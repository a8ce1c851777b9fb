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
        Kind::ConfigMap => &snapshot.config_maps.get(name)?.meta,
        Kind::Ingress => &snapshot.ingresses.get(name)?.meta,
        Kind::IngressClass => &snapshot.classes.get(name)?.meta,
        Kind::Pod => &snapshot.pods.get(name)?.meta,
        Kind::Secret => &snapshot.secrets.get(name)?.meta,
        Kind::Service => &snapshot.services.get(name)?.meta,
        Kind::EndpointSlice | Kind::File | Kind::Flag | Kind::Namespace | Kind::Node => return None,
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::{Meta, Received, Secret, SecretContent, SecretParts, Version, secret, yaml};

    const INGRESSES: &str = "---\n{apiVersion: networking.k8s.io/v1, kind: IngressClass, metadata: {name: fairlead},\n \
         spec: {controller: fairlead.dev/ingress-controller}}\n---\n\
         {apiVersion: networking.k8s.io/v1, kind: Ingress, metadata: {name: a, uid: u-a},\n \
         spec: {ingressClassName: fairlead, tls: [{secretName: t}, {hosts: [x.example]}]}}\n---\n\
         {apiVersion: networking.k8s.io/v1, kind: Ingress, metadata: {name: foreign, uid: u-f},\n \
         spec: {ingressClassName: other, tls: [{secretName: t}]}}\n";

    /// A snapshot with a certificate, and when that ends.
    fn snapshot() -> (Snapshot, i64) {
        let parsed = yaml::read(INGRESSES, "f.yaml");
        assert!(parsed.problems.is_empty(), "{:?}", parsed.problems);
        let mut snapshot = parsed.into_snapshot();
        let certificate = Arc::new(secret::self_made(1_767_323_045).unwrap());
        let end = certificate.not_after;
        let object = Object { kind: Kind::Secret, name: Name::new("default", "t"), file: None, line: None };
        let meta = Meta { object: Arc::new(object), uid: "u-t".into(), created: None, version: Version::default() };
        let secret = Secret::new(meta, SecretContent::Certificate(certificate), SecretParts::default(), None);
        assert!(snapshot.insert(Received::Secret(Arc::new(secret))));
        (snapshot, end)
    }

    fn problem(kind: Kind, name: &str, severity: Severity) -> Problem {
        Problem {
            object: Arc::new(Object { kind, name: Name::new("default", name), file: None, line: None }),
            severity,
            reason: Reason::PathInvalid,
            field: String::new(),
            message: String::new(),
            hint: String::new(),
        }
    }

    #[test]
    fn a_certificate_is_complained_about_in_other_words_at_21_days_at_7_and_when_it_ended() {
        let (snapshot, end) = snapshot();
        let said = |left: i64| -> Vec<(String, String, String)> {
            let options = CompileOptions::default();
            let account = Account::of(&snapshot, &options, [].iter(), end - left);
            let words = |Trouble { uid, problem }| {
                (uid.to_string(), problem.field, problem.message.split(" at ").next().unwrap_or_default().to_owned())
            };
            account.troubles.into_iter().map(words).collect()
        };
        let one = |rest: &str| {
            let message = format!("the certificate of Secret default/t {rest}");
            vec![("u-a".to_owned(), "spec.tls[0].secretName".to_owned(), message)]
        };
        for (left, expected) in [
            (21 * DAY, vec![]),
            (21 * DAY - 1, one("ends in less than 21 days,")),
            (7 * DAY, one("ends in less than 21 days,")),
            (7 * DAY - 1, one("ends in less than 7 days,")),
            (0, one("ended")),
        ] {
            assert_eq!(said(left), expected, "{left} s left");
        }
    }

    #[test]
    fn only_ours_is_told_and_only_what_is_wrong_with_an_object_of_the_cluster() {
        let (snapshot, _) = snapshot();
        let problems = [
            problem(Kind::Ingress, "a", Severity::Error),
            problem(Kind::Secret, "t", Severity::Warning),
            problem(Kind::Ingress, "a", Severity::Info),
            problem(Kind::Flag, "--x", Severity::Warning),
            problem(Kind::Service, "not-there", Severity::Error),
        ];
        let account = Account::of(&snapshot, &CompileOptions::default(), problems.iter(), 0);
        let ours: Vec<&str> = account.ingresses.iter().map(|ingress| &*ingress.meta.object.name.name).collect();
        assert_eq!(ours, ["a"]);
        let uids: Vec<&str> = account.troubles.iter().map(|trouble| &*trouble.uid).collect();
        assert_eq!(uids, ["u-a", "u-t"]);
    }
}
