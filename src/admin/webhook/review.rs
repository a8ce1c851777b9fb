//! One AdmissionReview judged: the Ingress is put into a copy of the snapshot, which is compiled as it would be served.
//!
//! What lies in the Ingress itself is refused. What is missing around it (a Service, a Secret, a class that comes later)
//! and what an older Ingress takes is a warning: objects are applied in any order.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::compile::Compiler;
use crate::controller::Snapshots;
use crate::ir::{Kind, Object, Problem, Reason, Severity};
use crate::settings::CompileOptions;
use crate::snapshot::api::{Arrived, Content, Reader};
use crate::snapshot::{Received, Snapshot};

/// Longest wait for the snapshot, and for the verdict.
const PATIENCE: Duration = Duration::from_secs(8);
/// The API server shows about 4 KiB of warnings, and 256 bytes of each.
const WARNINGS: usize = 15;
const WARNING_BYTES: usize = 256;
/// Problems that a refusal names.
const REFUSALS: usize = 10;

/// Judges Ingresses against what is served.
pub struct Reviewer {
    options: CompileOptions,
    watch_namespace: Option<Arc<str>>,
    snapshots: Snapshots,
    /// Remembers what it compiled for the last review.
    compiler: Arc<Mutex<Compiler>>,
}

/// `admission.k8s.io/v1 AdmissionReview`, as far as it is read.
#[derive(Deserialize)]
struct Review {
    request: Option<Request>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Request {
    uid: String,
    #[serde(default)]
    operation: String,
    #[serde(default)]
    namespace: String,
    #[serde(default)]
    name: String,
    #[serde(default)]
    object: Value,
}

/// What the API server is told.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
struct Verdict {
    /// Why it is refused; empty = allowed.
    refusals: Vec<String>,
    warnings: Vec<String>,
}

/// Why there is no verdict.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum NoVerdict {
    /// The body is no review: a sentence part.
    BadRequest(String),
    /// Nothing to compare with, or no time.
    Unavailable(&'static str),
}

impl Reviewer {
    /// A reviewer that has seen nothing yet. `watch_namespace`: Ingresses of others are not ours.
    pub fn new(options: &CompileOptions, watch_namespace: Option<Arc<str>>, snapshots: Snapshots) -> Reviewer {
        Reviewer { options: options.clone(), watch_namespace, snapshots, compiler: Arc::default() }
    }

    /// The AdmissionReview that answers the one in `body`.
    pub(super) async fn answer(&self, body: &[u8]) -> Result<Value, NoVerdict> {
        let review: Review = serde_json::from_slice(body).map_err(|error| NoVerdict::BadRequest(error.to_string()))?;
        let Some(request) = review.request else {
            return Err(NoVerdict::BadRequest("request is missing".to_owned()));
        };
        let uid = request.uid.clone();
        let verdict = match self.object(request) {
            None => Verdict::default(),
            Some(arrived) => {
                timeout(PATIENCE, self.judge(arrived)).await.map_err(|_| NoVerdict::Unavailable("no time"))??
            }
        };
        let Verdict { refusals, warnings } = verdict;
        let mut response = json!({"uid": uid, "allowed": refusals.is_empty()});
        if let (Some(response), false) = (response.as_object_mut(), warnings.is_empty()) {
            response.insert("warnings".to_owned(), json!(warnings));
        }
        if let (Some(response), false) = (response.as_object_mut(), refusals.is_empty()) {
            let message = refusals.join("\n");
            response.insert("status".to_owned(), json!({"code": 422, "reason": "Invalid", "message": message}));
        }
        Ok(json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response}))
    }

    /// The Ingress of a request, if it is for us to judge.
    fn object(&self, request: Request) -> Option<Arrived> {
        let Request { operation, namespace, name, mut object, .. } = request;
        if !matches!(operation.as_str(), "CREATE" | "UPDATE") {
            return None;
        }
        if self.watch_namespace.as_ref().is_some_and(|watched| **watched != namespace) {
            return None;
        }
        let metadata = object.get_mut("metadata")?.as_object_mut()?;
        metadata.entry("namespace").or_insert(Value::from(namespace));
        // A name that the API server still has to make up.
        let generated = metadata.get("generateName").and_then(Value::as_str).map(|prefix| format!("{prefix}0"));
        let name = if name.is_empty() { generated.unwrap_or_default() } else { name };
        metadata.entry("name").or_insert(Value::from(name));
        // Without a time it would count as the oldest.
        let now = jiff::Timestamp::from_second(crate::controller::seconds_since_epoch()).unwrap_or_default();
        metadata.entry("creationTimestamp").or_insert(Value::from(now.to_string()));
        Some(Reader::new(&self.options.annotations_prefix).ingress(object))
    }

    async fn judge(&self, arrived: Arrived) -> Result<Verdict, NoVerdict> {
        let snapshot =
            self.snapshots.ask().await.ok_or(NoVerdict::Unavailable("nothing is known of the cluster yet"))?;
        let (compiler, options) = (Arc::clone(&self.compiler), self.options.clone());
        // A long compile must not fail a probe, which this thread answers too.
        let is_hidden = snapshot.selected.as_ref().is_some_and(|selected| !selected.contains(&*arrived.name.namespace));
        if is_hidden {
            return Ok(Verdict::default());
        }
        let judged = tokio::task::spawn_blocking(move || {
            let mut compiler = compiler.lock().unwrap_or_else(PoisonError::into_inner);
            judge(&mut compiler, &snapshot, arrived, &options)
        });
        judged.await.map_err(|_| NoVerdict::Unavailable("the objects cannot be compiled"))
    }
}

/// What would be wrong with `arrived` among the objects of `snapshot`, and with others because of it.
fn judge(compiler: &mut Compiler, snapshot: &Snapshot, arrived: Arrived, options: &CompileOptions) -> Verdict {
    let Arrived { name, content, .. } = arrived;
    let ingress = match content {
        Content::Object(Received::Ingress(ingress)) => ingress,
        Content::Broken(why) => return Verdict { refusals: vec![shown_text(&why)], warnings: Vec::new() },
        Content::Named | Content::Object(_) => return Verdict::default(),
    };
    let before = compiler.compile(snapshot, options).problems;
    let mut with = snapshot.clone();
    with.ingresses.insert(name.clone(), ingress);
    let after = compiler.compile(&with, options).problems;
    let mut verdict = Verdict::default();
    for problem in &after {
        let is_own = problem.object.kind == Kind::Ingress && problem.object.name == name;
        let stood = before.iter().any(|known| is_same(known, problem));
        match (is_own, stood) {
            (true, false) if is_unknown_secret(problem, &before) => {}
            // An object that is broken already can still be labelled.
            (true, false) if lies_in_object(problem) => verdict.refusals.push(shown(problem, None)),
            (true, _) => verdict.warnings.push(shown(problem, None)),
            (false, false) if problem.severity != Severity::Info => {
                verdict.warnings.push(shown(problem, Some(&problem.object)));
            }
            (false, _) => {}
        }
    }
    shorten(&mut verdict.refusals, REFUSALS);
    shorten(&mut verdict.warnings, WARNINGS);
    verdict
}

/// Whether only a change of the Ingress itself can put it right.
fn lies_in_object(problem: &Problem) -> bool {
    problem.severity == Severity::Error
        && match problem.reason {
            // What is named may come later, and what is in the way may go.
            Reason::ServiceNotFound
            | Reason::PortNotFound
            | Reason::SecretNotFound
            | Reason::SecretForbidden
            | Reason::CertificateUnusable
            | Reason::CertificateMismatch
            | Reason::ClassNotFound
            | Reason::ExternalNameRefused
            | Reason::ExternalNameUnresolved
            | Reason::NoEndpoints
            | Reason::HostConflict
            | Reason::PathConflict => false,
            _ => true,
        }
}

fn is_same(one: &Problem, other: &Problem) -> bool {
    one.object.name == other.object.name
        && one.object.kind == other.object.kind
        && one.reason == other.reason
        && one.message == other.message
}

/// A Secret is read only once an Ingress names it, so before nothing can be said of it. The message names the Secret.
fn is_unknown_secret(problem: &Problem, before: &[Problem]) -> bool {
    let is_known = |known: &Problem| known.reason == problem.reason && known.message == problem.message;
    problem.reason == Reason::SecretNotFound && !before.iter().any(is_known)
}

fn shown(problem: &Problem, of: Option<&Object>) -> String {
    let Problem { reason, field, message, hint, .. } = problem;
    let place = match (of, field.is_empty()) {
        (Some(object), _) => format!("{object}: "),
        (None, false) => format!("{field}: "),
        (None, true) => String::new(),
    };
    shown_text(&format!("{place}{message} ({reason}); {hint}"))
}

/// Text of the object comes back to a terminal.
fn shown_text(text: &str) -> String {
    let mut text: String = text.chars().map(|c| if c.is_control() { '?' } else { c }).collect();
    if text.len() > WARNING_BYTES {
        let end = (0..=WARNING_BYTES - '…'.len_utf8()).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
        text.truncate(end);
        text.push('…');
    }
    text
}

fn shorten(lines: &mut Vec<String>, most: usize) {
    if let Some(more) = lines.len().checked_sub(most).filter(|more| *more > 0) {
        lines.truncate(most);
        lines.push(format!("and {more} more"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::yaml;

    const SHOP: &str = "
{apiVersion: networking.k8s.io/v1, kind: IngressClass, metadata: {name: fairlead}, spec: {controller: fairlead.dev/ingress-controller}}
---
{apiVersion: v1, kind: Service, metadata: {name: web, namespace: shop}, spec: {ports: [{port: 80}]}}
---
{apiVersion: networking.k8s.io/v1, kind: Ingress, metadata: {name: old, namespace: shop, creationTimestamp: 2020-01-01T00:00:00Z},
 spec: {ingressClassName: fairlead, rules: [{host: old.example, http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: web, port: {number: 80}}}}]}}]}}
";

    fn object(host: &str, service: &str, annotations: Value) -> Value {
        json!({
            "metadata": {"name": "new", "namespace": "shop", "annotations": annotations},
            "spec": {"ingressClassName": "fairlead", "rules": [{"host": host, "http": {"paths": [
                {"path": "/", "pathType": "Prefix", "backend": {"service": {"name": service, "port": {"number": 80}}}}
            ]}}]},
        })
    }

    fn verdict(compiler: &mut Compiler, snapshot: &Snapshot, operation: &str, object: Value) -> Verdict {
        let options = CompileOptions { folder: false, ..CompileOptions::default() };
        let reviewer = Reviewer::new(&options, Some("shop".into()), Snapshots::new().0);
        let namespace = object["metadata"]["namespace"].as_str().unwrap_or_default().to_owned();
        let request =
            Request { uid: "u".to_owned(), operation: operation.to_owned(), namespace, name: "new".to_owned(), object };
        match reviewer.object(request) {
            Some(arrived) => judge(compiler, snapshot, arrived, &options),
            None => Verdict::default(),
        }
    }

    fn shop() -> Snapshot {
        let parsed = yaml::read(SHOP, "shop.yaml");
        assert!(parsed.problems.is_empty(), "{:?}", parsed.problems);
        parsed.into_snapshot()
    }

    #[test]
    fn what_lies_in_the_ingress_is_refused_and_what_is_around_it_is_a_warning() {
        let nginx = |name: &str, value: &str| json!({format!("nginx.ingress.kubernetes.io/{name}"): value});
        let mut compiler = Compiler::default();
        for (object, refusal, warning) in [
            (object("a.example", "web", json!({})), "", ""),
            (object("a..example", "web", json!({})), "HostInvalid", ""),
            (object("a.example", "web", nginx("server-snippet", "if ($a) { return 403; }")), "SnippetRefused", ""),
            (object("a.example", "none", json!({})), "", "ServiceNotFound"),
            (object("a.example", "web", nginx("no-such", "1")), "", "AnnotationUnknown"),
            (object("a.example", "web", nginx("proxy-body-size", "much")), "", "AnnotationInvalid"),
            (object("old.example", "web", json!({})), "", "is shadowed by older ingress shop/old"),
        ] {
            let Verdict { refusals, warnings } = verdict(&mut compiler, &shop(), "CREATE", object.clone());
            assert_eq!(refusals.is_empty(), refusal.is_empty(), "{object}: {refusals:?}");
            assert!(refusals.iter().all(|line| line.contains(refusal)), "{object}: {refusals:?}");
            assert_eq!(warnings.is_empty(), warning.is_empty(), "{object}: {warnings:?}");
            assert!(warnings.iter().all(|line| line.contains(warning)), "{object}: {warnings:?}");
        }
    }

    #[test]
    fn what_another_ingress_loses_is_a_warning() {
        let mut older = object("old.example", "web", json!({}));
        older["metadata"]["creationTimestamp"] = json!("2019-01-01T00:00:00Z");
        let Verdict { refusals, warnings } = verdict(&mut Compiler::default(), &shop(), "CREATE", older);
        assert!(refusals.is_empty(), "{refusals:?}");
        assert!(
            warnings[0].starts_with("ingress shop/old: path ^ / of host old.example is shadowed by"),
            "{warnings:?}"
        );
    }

    #[test]
    fn an_ingress_that_is_broken_already_can_still_be_changed() {
        let mut compiler = Compiler::default();
        let broken = object("a..example", "web", json!({}));
        let mut snapshot = shop();
        let arrived = Reader::new("nginx.ingress.kubernetes.io").ingress(broken.clone());
        let Content::Object(Received::Ingress(ingress)) = arrived.content else { panic!("an Ingress") };
        snapshot.ingresses.insert(arrived.name, ingress);
        let mut labelled = broken;
        labelled["metadata"]["annotations"] = json!({"fairlead.dev/proxy-body-size": "1m"});
        let Verdict { refusals, warnings } = verdict(&mut compiler, &snapshot, "UPDATE", labelled);
        assert!(refusals.is_empty() && warnings[0].contains("HostInvalid"), "{refusals:?} {warnings:?}");
        let worse = verdict(&mut compiler, &snapshot, "UPDATE", object("b..example", "web", json!({})));
        assert!(worse.refusals[0].contains("HostInvalid"), "{worse:?}");
    }

    #[test]
    fn a_secret_that_nobody_named_before_is_not_called_missing() {
        let with_tls = |host: &str, secret: &str| {
            let mut object = object(host, "web", json!({}));
            object["spec"]["tls"] = json!([{"hosts": [host], "secretName": secret}]);
            object
        };
        let mut snapshot = shop();
        let mut compiler = Compiler::default();
        assert_eq!(verdict(&mut compiler, &snapshot, "CREATE", with_tls("a.example", "new")), Verdict::default());
        let mut other = with_tls("b.example", "missing");
        other["metadata"]["name"] = json!("other");
        let arrived = Reader::new("nginx.ingress.kubernetes.io").ingress(other);
        let Content::Object(Received::Ingress(ingress)) = arrived.content else { panic!("an Ingress") };
        snapshot.ingresses.insert(arrived.name, ingress);
        let Verdict { refusals, warnings } =
            verdict(&mut compiler, &snapshot, "CREATE", with_tls("a.example", "missing"));
        assert!(refusals.is_empty() && warnings[0].contains("no Secret shop/missing"), "{refusals:?} {warnings:?}");
    }

    #[test]
    fn what_is_not_ours_is_not_judged() {
        let bad = || object("a..example", "web", json!({}));
        let mut elsewhere = bad();
        elsewhere["metadata"]["namespace"] = json!("other");
        let mut foreign = bad();
        foreign["spec"]["ingressClassName"] = json!("nginx-of-others");
        let mut compiler = Compiler::default();
        for (operation, object) in [("DELETE", bad()), ("CREATE", elsewhere), ("CREATE", Value::Null)] {
            assert_eq!(verdict(&mut compiler, &shop(), operation, object), Verdict::default());
        }
        let foreign = verdict(&mut compiler, &shop(), "CREATE", foreign);
        assert!(foreign.refusals.is_empty(), "{foreign:?}");
    }

    #[test]
    fn text_of_the_object_is_short_and_safe_for_a_terminal() {
        assert_eq!(shown_text("a\u{1b}[31m\n"), "a?[31m?");
        assert!(shown_text(&"ü".repeat(1000)).len() <= WARNING_BYTES);
        let mut lines: Vec<String> = (0..20).map(|number| number.to_string()).collect();
        shorten(&mut lines, WARNINGS);
        assert_eq!((lines.len(), lines[WARNINGS].as_str()), (WARNINGS + 1, "and 5 more"));
    }
}
