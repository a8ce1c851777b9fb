//! Single requests to the API server, JSON in and out.

use std::time::{Duration, Instant};

use http::{Method, Request, header};
use kube::Client;
use kube::client::Body;
use serde_json::Value;
use tokio::time::timeout;
use tracing::warn;

use crate::snapshot::api::Status;
use crate::telemetry::Metrics;

/// Whoever asks, and how long it waits for an answer.
#[derive(Clone)]
pub(super) struct Api {
    client: Client,
    patience: Duration,
}

/// Why a request did nothing, as far as one knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// The server says no: the HTTP status, and its words.
    Status(u16, String),
    /// No answer, or none that can be read.
    Unreachable(String),
}

impl Refusal {
    /// The HTTP status; 0 without an answer.
    pub(super) fn code(&self) -> u16 {
        match self {
            Refusal::Status(code, _) => *code,
            Refusal::Unreachable(_) => 0,
        }
    }

    /// What the server says, or what went wrong.
    pub(super) fn words(&self) -> &str {
        match self {
            Refusal::Status(_, words) | Refusal::Unreachable(words) => words,
        }
    }

    /// The same request may succeed in a while, without anything being changed.
    pub(super) fn is_passing(&self) -> bool {
        matches!(self.code(), 0 | 408 | 429 | 500..)
    }
}

/// How a body changes an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Patch<'a> {
    /// Server-side apply by this manager, taking over what others own.
    Apply(&'a str),
    /// RFC 7386.
    Merge,
}

impl Api {
    /// Requests that wait `patience` at most.
    pub(super) fn new(client: &Client, patience: Duration) -> Api {
        Api { client: client.clone(), patience }
    }

    /// Reads.
    pub(super) async fn read(&self, path: &str) -> Result<Value, Refusal> {
        self.ask(Request::get(path), None, "").await
    }

    /// Creates.
    pub(super) async fn create(&self, path: &str, object: &Value) -> Result<Value, Refusal> {
        self.ask(Request::post(path), Some(object), JSON).await
    }

    /// Replaces, if the `resourceVersion` in `object` is still the present one.
    pub(super) async fn replace(&self, path: &str, object: &Value) -> Result<Value, Refusal> {
        self.ask(Request::put(path), Some(object), JSON).await
    }

    /// Changes.
    pub(super) async fn patch(&self, path: &str, how: Patch<'_>, object: &Value) -> Result<Value, Refusal> {
        let (path, kind) = match how {
            Patch::Apply(manager) => {
                (format!("{path}?fieldManager={manager}&force=true"), "application/apply-patch+yaml")
            }
            Patch::Merge => (path.to_owned(), "application/merge-patch+json"),
        };
        self.ask(Request::builder().method(Method::PATCH).uri(path), Some(object), kind).await
    }

    async fn ask(
        &self,
        request: http::request::Builder,
        object: Option<&Value>,
        kind: &'static str,
    ) -> Result<Value, Refusal> {
        let mut request = request.header(header::ACCEPT, JSON);
        if object.is_some() {
            request = request.header(header::CONTENT_TYPE, kind);
        }
        let body = object.map(|object| Body::from(object.to_string().into_bytes())).unwrap_or_else(Body::empty);
        let request = request.body(body).map_err(|error| Refusal::Unreachable(error.to_string()))?;
        let answer = async {
            let response = self.client.send(request).await.map_err(|error| Refusal::Unreachable(error.to_string()))?;
            let code = response.status();
            let text = response.into_body().collect_bytes().await;
            let text = text.map_err(|error| Refusal::Unreachable(error.to_string()))?;
            if !code.is_success() {
                return Err(Refusal::Status(code.as_u16(), Status::of(code.as_u16(), &text).message));
            }
            serde_json::from_slice(&text).map_err(|error| Refusal::Unreachable(error.to_string()))
        };
        match timeout(self.patience, answer).await {
            Ok(answer) => answer,
            Err(_) => Err(Refusal::Unreachable(format!("no answer in {} s", self.patience.as_secs_f32()))),
        }
    }
}

/// What stands at a JSON pointer; null where nothing does.
pub(super) fn at<'v>(value: &'v Value, pointer: &str) -> &'v Value {
    value.pointer(pointer).unwrap_or(&Value::Null)
}

const JSON: &str = "application/json";

/// The same complaint is logged this often.
const REPEAT: Duration = Duration::from_secs(60);

/// Complaints of one kind.
#[derive(Debug, Default)]
pub(super) struct Complaint(Option<Instant>);

impl Complaint {
    /// Logs that the API server does not do what is asked, unless it was logged in the last minute; counted it is always.
    pub(super) fn log(
        &mut self,
        verb: &'static str,
        resource: &'static str,
        refusal: &Refusal,
        metrics: &Metrics,
        now: Instant,
    ) {
        if let Refusal::Status(code, _) = refusal {
            metrics.api_refused(verb, resource, *code);
        }
        if self.0.is_some_and(|last| now.saturating_duration_since(last) < REPEAT) {
            return;
        }
        self.0 = Some(now);
        let (code, error) = (refusal.code(), refusal.words());
        let hint = (code == 403).then_some("grant the service account of Fairlead this verb on this resource");
        warn!(verb, resource, code, error, hint, "the API server does not do what is asked");
    }
}
