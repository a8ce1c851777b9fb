//! The admission webhook of a whole process, asked over TLS as the API server asks.

use std::net::SocketAddr;

use fairlead::app::{Logs, Running};
use fairlead::settings::flags::SERVE;
use fairlead::settings::{Given, Settings};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;
use crate::clients::tls;

/// A process with the webhook on, on a fake cluster that holds a class and a Service.
struct Desk {
    running: Running,
    folder: TempDir,
    _fake: Fake,
}

impl Desk {
    async fn start() -> Desk {
        let fake = Fake::start().await;
        fake.apply(&format!("{CLASS}{}", service("web")));
        let folder = TempDir::new().unwrap();
        write_certificate(&folder);
        let file = |name: &str| folder.path().join(name).display().to_string();
        let said = [
            ("apiserver-host", fake.settings().apiserver_host.unwrap()),
            ("http-port", "1".to_owned()),
            ("https-port", "0".to_owned()),
            ("health-port", "0".to_owned()),
            ("admin-address", "127.0.0.1:0".to_owned()),
            ("workers", "1".to_owned()),
            ("validating-webhook", "127.0.0.1:0".to_owned()),
            ("validating-webhook-certificate", file("cert")),
            ("validating-webhook-key", file("key")),
        ];
        let mut settings = Settings::read(&Given::of(SERVE, &said).unwrap()).unwrap();
        settings.http_port = Some(0);
        settings.options.folder = false;
        settings.bind_addresses = vec!["127.0.0.1".parse().unwrap()];
        let running = tokio::task::spawn_blocking(|| Running::start(settings, Logs::Quiet).unwrap()).await.unwrap();
        Desk { running, folder, _fake: fake }
    }

    fn address(&self) -> SocketAddr {
        self.running.addresses().webhook[0]
    }

    /// Status and body.
    async fn post(&self, path: &str, content_type: &str, body: &[u8]) -> (u16, Value) {
        let mut stream = tls(self.address(), "web.edge.svc", b"http/1.1").await;
        let length = body.len();
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: w\r\nContent-Type: {content_type}\r\nContent-Length: {length}\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        // Of what is too long the rest may not be taken any more.
        let _ = stream.write_all(body).await;
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        let answer = String::from_utf8(answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").expect(&answer);
        (head.split(' ').nth(1).unwrap().parse().unwrap(), serde_json::from_str(body).unwrap())
    }

    async fn review(&self, host: &str, annotations: Value) -> Value {
        let object = json!({
            "metadata": {"name": "a", "namespace": "default", "annotations": annotations},
            "spec": {"ingressClassName": "fairlead", "rules": [{"host": host, "http": {"paths": [
                {"path": "/", "pathType": "Prefix", "backend": {"service": {"name": "web", "port": {"number": 80}}}}
            ]}}]},
        });
        let request =
            json!({"uid": "u1", "operation": "CREATE", "namespace": "default", "name": "a", "object": object});
        let review = json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request});
        let (status, answer) = self.post(PATH, "application/json", review.to_string().as_bytes()).await;
        assert_eq!(
            (status, &answer["kind"], &answer["response"]["uid"]),
            (200, &json!("AdmissionReview"), &json!("u1"))
        );
        answer["response"].clone()
    }
}

const PATH: &str = "/networking/v1/ingresses";

fn write_certificate(folder: &TempDir) -> Vec<u8> {
    let key = rcgen::KeyPair::generate().unwrap();
    let made = rcgen::CertificateParams::new(vec!["web.edge.svc".to_owned()]).unwrap().self_signed(&key).unwrap();
    std::fs::write(folder.path().join("cert"), made.pem()).unwrap();
    std::fs::write(folder.path().join("key"), key.serialize_pem()).unwrap();
    made.der().to_vec()
}

#[tokio::test]
async fn an_ingress_is_allowed_refused_or_warned_of() {
    let desk = Desk::start().await;
    assert_eq!(desk.review("a.example", json!({})).await, json!({"uid": "u1", "allowed": true}));
    let warned = desk.review("a.example", json!({"nginx.ingress.kubernetes.io/no-such": "1"})).await;
    assert_eq!(warned["allowed"], true);
    assert!(warned["warnings"][0].as_str().unwrap().contains("AnnotationUnknown"), "{warned}");
    let refused = desk.review("a..example", json!({})).await;
    assert_eq!((&refused["allowed"], &refused["status"]["code"]), (&json!(false), &json!(422)));
    assert!(refused["status"]["message"].as_str().unwrap().contains("HostInvalid"), "{refused}");
}

#[tokio::test]
async fn what_is_no_review_is_said_so_and_a_body_has_a_limit() {
    let desk = Desk::start().await;
    for (path, content_type, body, status) in [
        ("/", "application/json", "{}", 404),
        (PATH, "text/plain", "{}", 415),
        (PATH, "application/json", "", 400),
        (PATH, "application/json", "{}", 400),
        (PATH, "application/json; charset=utf-8", "{\"request\":{}}", 400),
    ] {
        let (answered, body) = desk.post(path, content_type, body.as_bytes()).await;
        assert!(answered == status && body["error"].is_string(), "{path} {content_type}: {answered} {body}");
    }
    let (answered, _) = desk.post(PATH, "application/json", &vec![b' '; (9 << 20) + 1]).await;
    assert_eq!(answered, 413);
    assert_eq!(desk.review("a.example", json!({})).await["allowed"], true);
}

#[tokio::test]
async fn a_replaced_certificate_file_is_served_without_a_restart() {
    let desk = Desk::start().await;
    let expected = write_certificate(&desk.folder);
    let served = async {
        loop {
            let stream = tls(desk.address(), "web.edge.svc", b"http/1.1").await;
            if stream.get_ref().1.peer_certificates().unwrap()[0].as_ref() == expected {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    timeout(PATIENCE, served).await.expect("the new certificate is served");
}
