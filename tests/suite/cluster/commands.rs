//! The commands that look at a cluster, as the real binary under the name of the kubectl plugin.

use std::fs;
use std::os::unix::fs::symlink;
use std::process::Command;

use fairlead::app::{Logs, Running};
use fairlead::settings::flags::SERVE;
use fairlead::settings::{Given, Settings};
use tempfile::TempDir;

use super::*;

/// A folder that is served, with a kubeconfig and the plugin in it.
struct Desk {
    fake: Fake,
    folder: TempDir,
    /// They run until the end of the test.
    replicas: Vec<Running>,
}

impl Desk {
    async fn new() -> Desk {
        let fake = Fake::start().await;
        let folder = TempDir::new().unwrap();
        let server = fake.settings().apiserver_host.unwrap();
        let kubeconfig = format!(
            "{{apiVersion: v1, kind: Config, current-context: c, users: [{{name: u, user: {{}}}}],\n clusters: [{{name: c, \
             cluster: {{server: \"{server}\"}}}}], contexts: [{{name: c, context: {{cluster: c, user: u, namespace: n}}}}]}}\n"
        );
        fs::write(folder.path().join("kubeconfig"), kubeconfig).unwrap();
        symlink(env!("CARGO_BIN_EXE_fairlead"), folder.path().join("kubectl-fairlead")).unwrap();
        Desk { fake, folder, replicas: Vec::new() }
    }

    /// One more Pod, which serves these objects.
    fn replica(&mut self, name: &str, objects: &str) {
        let path = self.folder.path().join(name);
        fs::create_dir(&path).unwrap();
        fs::write(path.join("objects.yaml"), objects).unwrap();
        let said = [
            ("manifests", path.display().to_string()),
            ("http-port", "18080".to_owned()),
            ("https-port", "18443".to_owned()),
            ("health-port", "0".to_owned()),
            ("admin-address", "127.0.0.1:0".to_owned()),
            ("workers", "1".to_owned()),
        ];
        let mut settings = Settings::read(&Given::of(SERVE, &said).unwrap()).unwrap();
        (settings.http_port, settings.https_port) = (Some(0), None);
        settings.bind_addresses = vec!["127.0.0.1".parse().unwrap()];
        let running = Running::start(settings, Logs::Quiet).unwrap();
        self.pod(name, running.addresses().admin.port());
        self.replicas.push(running);
    }

    fn pod(&self, name: &str, port: u16) {
        self.fake.apply(&format!(
            "---\n{{apiVersion: v1, kind: Pod, metadata: {{name: {name}, namespace: edge}}, status: {{phase: Running}},\n \
             spec: {{containers: [{{name: c, args: [serve, \"--admin-address=127.0.0.1:{port}\"]}}]}}}}\n"
        ));
    }

    /// Exit code, standard output, standard error.
    async fn run(&self, words: &[&str]) -> (i32, String, String) {
        let mut command = Command::new(self.folder.path().join("kubectl-fairlead"));
        command
            .args(words)
            .env("KUBECONFIG", self.folder.path().join("kubeconfig"))
            .env_remove("KUBERNETES_SERVICE_HOST");
        let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
    }
}

fn web(host: &str) -> String {
    let ingress = format!(
        "---\n{{apiVersion: networking.k8s.io/v1, kind: Ingress, metadata: {{name: web}}, spec: {{ingressClassName: fairlead,\n \
         rules: [{{host: {host}, http: {{paths: [{{path: /, pathType: Prefix, backend: {{service: {{name: web, port: \
         {{number: 80}}}}}}}}]}}}}]}}}}\n"
    );
    format!("{ingress}{}{}", service("web"), slice("web", "10.0.0.7"))
        .replace("{kind: Service", "{apiVersion: v1, kind: Service")
        .replace("{kind: EndpointSlice", "{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice")
}

#[tokio::test]
async fn replicas_that_agree_answer_once_and_a_difference_is_told() {
    let mut desk = Desk::new().await;
    desk.replica("one", &web("a.example"));
    desk.replica("two", &web("a.example"));
    for (words, part) in [
        (&["routes"][..], "a.example   prefix   /      default/web:80   <none>    ingress default/web"),
        (&["backends"], "default/web:80   http1      least_conn   10.0.0.7:8080"),
        (&["certificates"], "ingress.local"),
        (&["problems"], "SEVERITY"),
        (&["routes", "-o", "json"], "\"host\": \"a.example\""),
    ] {
        let (code, out, err) = desk.run(words).await;
        // The http ports of the two are not the same, as they would be in Pods.
        if words[0] != "routes" {
            assert_eq!((code, err.as_str()), (0, ""), "{words:?}: {out}");
            assert!(out.contains(part) && !out.contains('#'), "{words:?}: {out}");
        }
        let (code, out, err) = desk.run(&[words, &["--pod", "edge/one"]].concat()).await;
        assert_eq!((code, err.as_str()), (0, ""), "{words:?}: {out}");
        assert!(out.contains(part), "{words:?}: {out}");
    }
    let (code, out, err) = desk.run(&["explain", "http://a.example/x", "--pod", "two"]).await;
    assert_eq!((code, err.as_str()), (0, ""), "{out}");
    assert!(out.starts_with("GET http://a.example/x → 200 default/web:80"), "{out}");

    desk.replica("three", &web("b.example").replace("10.0.0.7", "10.0.0.8"));
    let (code, out, err) = desk.run(&["backends"]).await;
    assert_eq!(code, 1, "{out}");
    assert_eq!(err, "kubectl fairlead: the replicas disagree: edge/one, edge/two against edge/three\n");
    assert!(out.contains("# edge/one, edge/two\n") && out.contains("10.0.0.7") && out.contains("10.0.0.8"), "{out}");
    let (code, out, _) = desk.run(&["backends", "-o", "json"]).await;
    assert_eq!((code, out.as_str()), (1, ""), "nobody reads one of two answers for both");
    let (code, out, _) = desk.run(&["explain", "http://b.example/"]).await;
    assert!(code == 2 && out.contains("# edge/one\nGET http://b.example/ → 404 no route"), "{code} {out}");
}

#[tokio::test]
async fn whoever_cannot_be_asked_is_one_line() {
    let mut desk = Desk::new().await;
    let no_pod = "kubectl fairlead: no Pod has the labels app.kubernetes.io/name=fairlead,";
    let (code, out, err) = desk.run(&["routes"]).await;
    assert!(code == 1 && out.is_empty() && err.starts_with(no_pod) && err.lines().count() == 1, "{err}");

    desk.replica("one", &web("a.example"));
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    desk.pod("deaf", free);
    let (code, out, err) = desk.run(&["backends"]).await;
    assert!(code == 1 && out.contains("10.0.0.7"), "who answers is shown: {out} {err}");
    assert!(err.contains("edge/deaf cannot be asked: Connection refused") && err.lines().count() == 1, "{err}");

    for (what, status, part) in [
        ("portforward/edge/one", 403, "edge/one cannot be asked: "),
        ("pods", 403, "cannot list the Pods of Fairlead: as told: 403; give --controller-namespace"),
        ("pods", 401, "cannot list the Pods of Fairlead: as told: 401"),
    ] {
        desk.fake.fail(move |ask| (ask.what == what).then_some(Fault::Status(status)));
        let (code, out, err) = desk.run(&["routes", "--pod=one"]).await;
        assert!(code == 1 && out.is_empty() && err.contains(part) && err.lines().count() == 1, "{what}: {err}");
    }
    let (code, _, err) = desk.run(&["routes", "--kubeconfig", "/no/such/file"]).await;
    assert!(code == 2 && err.contains("--kubeconfig /no/such/file") && err.lines().count() == 1, "{err}");
    let (code, _, err) = desk.run(&["routes", "--cluster", "--admin", "127.0.0.1:1"]).await;
    assert!(code == 2 && err.contains("exclude each other"), "{err}");
}

#[tokio::test]
async fn check_compiles_what_the_cluster_holds() {
    let desk = Desk::new().await;
    desk.fake.apply(&format!("{CLASS}{}", web("a.example")));
    let (code, out, err) = desk.run(&["check"]).await;
    assert_eq!((code, err.as_str()), (0, ""), "{out}");
    assert!(out.contains("a.example") && out.ends_with("\n0 errors, 0 warnings\n"), "{out}");

    desk.fake.apply(&ingress("bad", "missing"));
    let (code, out, _) = desk.run(&["check", "--cluster", "-o", "json"]).await;
    assert!(code == 1 && out.contains("SecretNotFound"), "{out}");

    desk.fake.fail(|ask| ask.what.starts_with("secrets").then_some(Fault::Status(403)));
    let (code, out, _) = desk.run(&["check"]).await;
    assert!(code == 1 && out.contains("refuses to watch secrets") && out.contains("SecretForbidden"), "{out}");

    desk.fake.fail(|ask| (ask.what == "ingresses").then_some(Fault::Status(403)));
    let (code, out, err) = desk.run(&["check"]).await;
    assert_eq!((code, out.as_str()), (1, ""));
    assert_eq!(err, "kubectl fairlead: cannot list Ingresses: as told: 403\n");
    let (code, _, err) = desk.run(&["check", "--cluster", "/tmp"]).await;
    assert!(code == 2 && err.contains("give one of them"), "{err}");
}

#[tokio::test]
async fn the_report_on_an_ingress_nginx_follows_the_flags_of_its_controller() {
    let desk = Desk::new().await;
    let class = CLASS.replace("fairlead.dev/ingress-controller", "k8s.io/ingress-nginx").replace("fairlead", "nginx");
    desk.fake.apply(&class);
    desk.fake.apply(
        "{apiVersion: apps/v1, kind: Deployment, metadata: {name: controller, namespace: edge, labels: \
         {app.kubernetes.io/name: ingress-nginx}}, spec: {selector: {}, template: {spec: {containers: [{name: c, args: \
         [/nginx-ingress-controller, --configmap=$(POD_NAMESPACE)/settings, --ingress-class=nginx]}]}}}}",
    );
    desk.fake.apply(
        "{apiVersion: v1, kind: ConfigMap, metadata: {name: settings, namespace: edge}, data: {keep-alive: '5'}}",
    );
    let annotated =
        ingress("a", "tls").replace("name: a}", "name: a, annotations: {nginx.ingress.kubernetes.io/ANY: x}}");
    desk.fake.apply(&annotated.replace("ANY", "auth-tls-match-cn").replace("fairlead,", "nginx,"));
    desk.fake.apply(&ingress("b", "tls").replace("fairlead,", "other,"));
    let (code, out, err) = desk.run(&["check", "--from-ingress-nginx"]).await;
    assert_eq!((code, err.as_str()), (1, ""), "{out}");
    for part in [
        "ConfigMap edge/settings\n  honoured  keep-alive: 5\n",
        "Deployment edge/controller\n  honoured  --configmap: edge/settings\n",
        "Ingress default/a\n  refused   auth-tls-match-cn: x\n",
        "1 Ingress of class other not looked at\n",
    ] {
        assert!(out.contains(part), "{part}: {out}");
    }

    desk.fake.fail(|ask| (ask.what == "deployments").then_some(Fault::Status(403)));
    let (_, out, err) = desk.run(&["check", "--from-ingress-nginx", "--configmap", "edge/settings"]).await;
    assert!(err.is_empty() && out.contains("cannot list Deployments") && out.contains("keep-alive: 5"), "{out}{err}");
}
