//! The real binary: flags, errors, exit codes, `check`, `explain`, and the demo's own curl lines.

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Output, Stdio};

use tempfile::TempDir;

/// Runs the binary; exit code, standard output, standard error.
fn run(words: &[&str]) -> (i32, String, String) {
    told(Command::new(BINARY).args(words).output().unwrap())
}

fn told(output: Output) -> (i32, String, String) {
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap_or(-1), text(output.stdout), text(output.stderr))
}

const BINARY: &str = env!("CARGO_BIN_EXE_fairlead");

#[test]
fn what_cannot_be_used_is_one_line_on_stderr_and_exit_2() {
    for (words, part) in [
        (&["serve", "--no-such-flag"][..], "unknown flag --no-such-flag"),
        (&["serve", "-no-such-flag=1"], "unknown flag --no-such-flag"),
        (&["serve", "--http-prot=80"], "did you mean --http-port?"),
        (&["serve", "--manifests", "/no/such/folder"], "/no/such/folder does not exist"),
        (&["serve", "--kubeconfig", "/no/such/file"], "--kubeconfig /no/such/file: "),
        (&["serve", "--kubeconfig", "/dev/null"], "--kubeconfig /dev/null: "),
        (&["serve", "--apiserver-host", "10.0.0.1"], "--apiserver-host 10.0.0.1: write it as https://HOST:PORT"),
        (
            &["serve", "--apiserver-host=https://10.0.0.1", "--certificate-authority=/no/such/file"],
            "--certificate-authority /no/such/file: ",
        ),
        (&["serve", "--manifests", "/tmp", "--workers", "0"], "--workers"),
        (&["serve", "--manifests", "/tmp", "--http-port=0", "--https-port=0"], "nothing would be served"),
        (&["serve", "--http-port"], "--http-port"),
        (&["serve", "stray"], "unknown argument stray"),
        (&["sreve"], "did you mean serve?"),
        (&["servers"], "did you mean serve?"),
        (&["preserved"], "unknown command preserved (see"),
        (&["serve", "--manifests", "/tmp", "--metrics-compat", "x"], "--metrics-compat: \"x\" is not nginx"),
        (&[], "no command"),
        (&["check"], "PATH"),
        (&["check", "/no/such/folder"], "/no/such/folder does not exist"),
        (&["check", "/dev/null"], "/dev/null is neither file nor folder"),
        (&["check", "-o", "xml", "/tmp"], "text, json"),
        (&["check", "--cluster", "/tmp"], "--cluster is about a cluster"),
        (&["explain", "a.example", "--manifests", "/tmp"], "http://host/path"),
        (&["explain", "http://a/", "--client-ip", "me"], "--client-ip"),
        (&["explain", "http://a/", "-H", "nonsense"], "NAME: VALUE"),
        (&["explain", "http://a/", "-H", "Content-Length: -1"], "no length in bytes"),
        (&["explain", "http://a/\u{1b}[31m"], "the URL holds the control character '\\u{1b}'"),
        (&["explain", "http://a/", "-H", "Host: b\u{7}"], "-H holds the control character '\\u{7}'"),
        (&["routes", "--admin", "nowhere"], "--admin"),
        (&["demo", "--http-port", "x"], "--http-port"),
    ] {
        let (code, out, err) = run(words);
        assert_eq!((code, out.as_str()), (2, ""), "{words:?}: {err}");
        assert!(err.contains(part) && err.lines().count() == 1, "{words:?}: {err}");
    }
}

#[test]
fn help_of_every_command_is_complete_and_version_is_one_line() {
    let (code, top, _) = run(&["--help"]);
    assert_eq!(code, 0);
    for command in ["serve", "demo", "check", "explain", "routes", "backends", "certificates", "problems"] {
        assert!(top.contains(&format!("  {command} ")), "{top}");
        let (code, help, _) = run(&[command, "--help"]);
        assert!(code == 0 && help.contains("Usage: fairlead"), "{command}: {help}");
        assert!(help.contains("Exit codes: 0 ") || command == "demo", "{command}: {help}");
        assert_eq!(
            run(&[command, "--version"]),
            (0, format!("fairlead {}\n", env!("CARGO_PKG_VERSION")), String::new())
        );
    }
    let (_, help, _) = run(&["serve", "-help"]);
    for flag in fairlead::settings::flags::SERVE {
        assert!(help.contains(&format!("--{}", flag.name)), "{}", flag.name);
    }
}

#[test]
fn the_names_of_the_image_and_of_the_kubectl_plugin_work() {
    let folder = TempDir::new().unwrap();
    let called = |name: &str, words: &[&str]| {
        let path = folder.path().join(name);
        fs::hard_link(BINARY, &path).or_else(|_| fs::copy(BINARY, &path).map(drop)).unwrap();
        told(Command::new(path).args(words).output().unwrap())
    };
    assert_eq!(called("wait-shutdown", &[]), (0, String::new(), String::new()));
    let (code, help, _) = called("kubectl-fairlead", &["routes", "--help"]);
    assert!(code == 0 && help.contains("Usage: kubectl fairlead routes"), "{help}");
}

#[test]
fn an_admin_address_where_nobody_is_fails_with_exit_1() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    for command in ["routes", "backends", "certificates", "problems"] {
        let (code, out, err) = run(&[command, "--admin", &free]);
        assert_eq!((code, out.as_str(), err.lines().count()), (1, "", 1), "{command}: {err}");
        assert!(err.contains(&free), "{err}");
    }
}

/// A Service, an Ingress with a good path and one that names no Service; what is put into `annotations` is added.
fn manifests(annotations: &str) -> TempDir {
    let folder = TempDir::new().unwrap();
    let text = format!(
        r#"apiVersion: v1
kind: Service
metadata: {{name: web, namespace: shop}}
spec: {{ports: [{{name: http, port: 80}}]}}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {{name: web-1, namespace: shop, labels: {{kubernetes.io/service-name: web}}}}
addressType: IPv4
ports: [{{name: http, port: 8080}}]
endpoints: [{{addresses: ["127.0.0.1"]}}]
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {{name: web, namespace: shop, annotations: {{{annotations}}}}}
spec:
  rules:
  - host: a.example
    http:
      paths:
      - {{path: /, pathType: Prefix, backend: {{service: {{name: web, port: {{name: http}}}}}}}}
"#
    );
    fs::write(folder.path().join("shop.yaml"), text).unwrap();
    folder
}

#[test]
fn check_ends_with_the_counts_and_its_exit_code_says_whether_there_is_an_error() {
    let folder =
        manifests(r#"nginx.ingress.kubernetes.io/proxy-body-size: 8m, nginx.ingress.kubernetes.io/no-such: "1""#);
    let path = folder.path().to_str().unwrap();
    let (code, out, err) = run(&["check", path]);
    assert_eq!((code, err.as_str()), (0, ""), "{out}");
    assert!(out.contains("^ /  → shop/web:http  body=8m  ingress shop/web"), "{out}");
    assert!(out.contains("nginx.ingress.kubernetes.io/proxy-body-size  honoured"), "{out}");
    assert_eq!(out.lines().last(), Some("0 errors, 1 warning"));

    fs::write(folder.path().join("bad.yaml"), "][\n").unwrap();
    let (code, out, _) = run(&["check", path]);
    assert!(code == 1 && out.contains("bad.yaml:1:"), "{out}");
    assert_eq!(out.lines().last(), Some("1 error, 1 warning"));

    let (code, out, _) = run(&["check", "-o", "json", path]);
    let report: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, &report["errors"], &report["warnings"]), (1, &1.into(), &1.into()));
    assert_eq!(report["routes"][0]["backend"], "shop/web:http");
    let fates: Vec<&str> =
        report["annotations"].as_array().unwrap().iter().map(|row| row["fate"].as_str().unwrap()).collect();
    assert_eq!(fates, ["ignored", "honoured"]);
}

#[test]
fn check_lists_what_is_passed_on_as_the_one_route_of_its_host_over_tls() {
    let folder = manifests("nginx.ingress.kubernetes.io/ssl-passthrough: 'true', fairlead.dev/enable-cors: 'true'");
    let path = folder.path().to_str().unwrap();
    let more = "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {name: more, namespace: shop}\n\
        spec: {rules: [{host: a.example, http: {paths: [{path: /x, pathType: Prefix, backend: {service: {name: web, port: \
        {name: http}}}}]}}]}\n";
    fs::write(folder.path().join("more.yaml"), more).unwrap();
    let routes = |arguments: &[&str]| {
        let (code, out, _) = run(&[&["check", "-o", "json", path], arguments].concat());
        assert_eq!(code, 0, "{out}");
        let report: serde_json::Value = serde_json::from_str(&out).unwrap();
        let row = |route: &serde_json::Value| format!("{} {} {}", route["listener"], route["path"], route["filters"]);
        report["routes"].as_array().unwrap().iter().map(row).collect::<Vec<_>>()
    };
    let http = [r#""http:80" "/x" []"#, r#""http:80" "/" ["enable-cors"]"#];
    assert_eq!(
        routes(&["--enable-ssl-passthrough"]),
        [&http[..], &[r#""https:443" "/" ["ssl-passthrough"]"#]].concat()
    );
    assert_eq!(routes(&[]).len(), 4);
    let (_, out, _) = run(&["explain", "https://a.example/x", "--manifests", path, "--enable-ssl-passthrough"]);
    assert!(out.starts_with("GET https://a.example/x → 200 shop/web:http (ingress shop/web, ^ /)\n"), "{out}");
    let (_, out, _) = run(&["check", path]);
    assert!(out.contains("start with --enable-ssl-passthrough"), "{out}");
}

#[test]
fn check_tells_what_is_wrong_with_an_annotation_of_an_ingress_that_serves_nothing() {
    let folder = manifests("");
    let shadowed = "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {name: late, namespace: shop, \
        creationTimestamp: 2026-01-01T00:00:00Z, annotations: {fairlead.dev/proxy-body-size: much, fairlead.dev/upgrade: any}}\n\
        spec: {rules: [{host: a.example, http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: web, port: \
        {name: http}}}}]}}]}\n";
    fs::write(folder.path().join("late.yaml"), shadowed).unwrap();
    let (_, out, _) = run(&["check", folder.path().to_str().unwrap()]);
    assert!(out.contains("fairlead.dev/proxy-body-size  ignored: proxy-body-size: \"much\" is not a size"), "{out}");
    assert!(out.contains("fairlead.dev/upgrade  ignored: shadowed by older ingress shop/web"), "{out}");
}

#[test]
fn explain_names_the_route_and_its_exit_code_says_whether_one_answers() {
    let folder = manifests("");
    let path = folder.path().to_str().unwrap();
    let (code, out, _) = run(&["explain", "http://a.example/x", "--manifests", path]);
    assert_eq!(
        (code, out.lines().next()),
        (0, Some("GET http://a.example/x → 200 shop/web:http (ingress shop/web, ^ /)"))
    );
    let (code, out, _) = run(&["explain", "http://127.0.0.1/x", "-H", "Host: a.example", "-XPUT", "--manifests", path]);
    assert!(code == 0 && out.starts_with("PUT http://a.example/x → 200"), "{out}");
    let (code, out, _) = run(&[
        "explain",
        "http://a.example/x",
        "-H",
        "content-length: 2000000",
        "-H",
        "X-Forwarded-Proto: https",
        "--client-ip",
        "192.0.2.1",
        "--manifests",
        path,
    ]);
    assert!(code == 1 && out.starts_with("GET http://a.example/x → 413"), "{out}");
    assert!(
        out.contains("  filters   a body of 2000000 bytes is longer than proxy-body-size, 1048576 bytes\n"),
        "{out}"
    );
    assert!(
        out.contains("  client    192.0.2.1 is not believed, so what it says of other clients is removed\n"),
        "{out}"
    );
    let list = manifests("nginx.ingress.kubernetes.io/allowlist-source-range: 192.0.2.0/24");
    for (client, code, told) in [
        ("192.0.2.1", 0, "filters   let 192.0.2.1 on by its address"),
        ("198.51.100.1", 1, "filters   answer 403: 198.51.100.1 is not in allowlist-source-range"),
    ] {
        let path = list.path().to_str().unwrap();
        let (found, out, _) = run(&["explain", "http://a.example/x", "--client-ip", client, "--manifests", path]);
        assert_eq!(found, code, "{out}");
        assert!(out.contains(told), "{out}");
    }
    let (code, out, _) = run(&["explain", "http://b.example/", "--manifests", path]);
    assert!(code == 1 && out.starts_with("GET http://b.example/ → 404 no route"), "{out}");
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let (code, out, err) = run(&["explain", "http://a.example/x", "--admin", &free]);
    assert!(code == 2 && out.is_empty() && err.contains("nothing answers on"), "{code} {out} {err}");
}

#[test]
fn explain_names_what_closed_a_path() {
    let n = "nginx.ingress.kubernetes.io";
    for (annotations, path, closed) in [
        (
            format!("{n}/whitelist-source-range: office, {n}/proxy-body-size: much"),
            "/",
            &[("AccessRuleBroken", "whitelist-source-range", "\"office\" has")][..],
        ),
        (
            format!("{n}/auth-type: basic, {n}/auth-secret: users, {n}/server-snippet: 'load x;'"),
            "/",
            &[("AccessRuleBroken", "auth-secret", "there is no Secret"), ("", "server-snippet", "\"load x;\" is not")],
        ),
        (
            format!("{n}/use-regex: 'true'"),
            "/(?!a)",
            &[("RegexInvalid", "spec.rules[0].http.paths[0]", "is no regular expression")],
        ),
    ] {
        let folder = manifests(&annotations);
        let text = fs::read_to_string(folder.path().join("shop.yaml")).unwrap();
        let text =
            text.replace("path: /, pathType: Prefix", &format!("path: {path}, pathType: ImplementationSpecific"));
        fs::write(folder.path().join("shop.yaml"), text).unwrap();
        let words = ["explain", "http://a.example/x", "--manifests", folder.path().to_str().unwrap()];
        let (code, out, _) = run(&words);
        let told: Vec<&str> = out.lines().filter(|line| line.starts_with("  backend ")).collect();
        assert!(code == 1 && told[0].ends_with(&format!("closed: {}", closed[0].0)), "{out}");
        assert_eq!(told.len() - 1, closed.len(), "{out}");
        for (_, place, why) in closed {
            let names =
                |line: &&&str| line.starts_with("  backend   by ") && line.contains(place) && line.contains(why);
            assert_eq!(told.iter().filter(names).count(), 1, "{place} in {out}");
        }
    }
}

#[test]
fn names_of_this_machine_are_known_without_dns_as_when_serving() {
    let folder = manifests("nginx.ingress.kubernetes.io/auth-url: http://gate.localhost:81/");
    let text = fs::read_to_string(folder.path().join("shop.yaml")).unwrap();
    let external = "spec: {type: ExternalName, externalName: web.localhost, ports: [{name: http, port: 80}]}";
    let text = text.replace("spec: {ports: [{name: http, port: 80}]}", external);
    fs::write(folder.path().join("shop.yaml"), text).unwrap();
    let path = folder.path().to_str().unwrap();
    let (code, out, _) = run(&["check", path]);
    assert!(code == 0 && !out.contains("ExternalNameUnresolved") && !out.contains("NoEndpoints"), "{out}");
    let (code, out, _) = run(&["explain", "http://a.example/x", "--manifests", path]);
    assert!(code == 0 && out.contains("one of 127.0.0.1:80, [::1]:80"), "{code} {out}");
}

#[test]
fn a_port_in_use_is_told_with_its_holder_and_exit_1() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let (folder, flag) = (manifests(""), format!("--http-port={port}"));
    let path = folder.path().to_str().unwrap();
    let rest = ["--https-port=0", "--health-port=0", "--bind-address=127.0.0.1", "--admin-address=127.0.0.1:0"];
    let (code, _, err) = run(&[&["serve", "--manifests", path, &flag], &rest[..]].concat());
    let holder = format!("(process {})", std::process::id());
    assert!(code == 1 && err.contains(&format!(":{port}")) && err.contains(&holder), "{code} {err}");

    let (code, _, err) = run(&["demo", &flag, "--https-port=0", "--health-port=0", "--admin-address=127.0.0.1:0"]);
    assert!(code == 1 && err.contains("--http-port") && err.lines().count() == 1, "{code} {err}");
}

#[test]
fn every_curl_line_of_the_demo_works_as_pasted_and_ctrl_c_leaves_nothing_behind() {
    let temporary = TempDir::new().unwrap();
    let ports = ["--http-port=0", "--https-port=0", "--health-port=0", "--admin-address=127.0.0.1:0"];
    let mut command = Command::new(BINARY);
    command.arg("demo").args(ports).env("TMPDIR", temporary.path()).stdout(Stdio::piped());
    let mut demo = Ended(command.spawn().unwrap());
    let mut lines = BufReader::new(demo.0.stdout.take().unwrap()).lines().map(Result::unwrap);
    let mut curls = Vec::new();
    for line in lines.by_ref().take_while(|line| !line.starts_with("Ctrl-C")) {
        curls.extend(line.trim().starts_with("curl ").then(|| line.trim().to_owned()));
    }
    assert_eq!(curls.len(), 4);
    let servers: Vec<String> = curls.iter().map(|line| pasted(line)).collect();
    assert!(servers[0].contains("A static site"), "{servers:?}");
    assert!(servers[1].contains(r#""host":"blue.tenants.localhost""#), "{servers:?}");
    assert!(servers[2].contains(r#""server":"web""#), "{servers:?}");
    let heavy = servers[3].matches("api-heavy").count();
    let light = servers[3].matches("api-light").count();
    assert!(heavy + light == 8 && heavy > light && light > 0, "{servers:?}");

    let folder = fs::read_dir(temporary.path()).unwrap().next().unwrap().unwrap().path();
    let shop = fs::read_to_string(folder.join("shop.yaml")).unwrap();
    fs::write(folder.join("shop.yaml"), shop.replace("/api", "/v2")).unwrap();
    let told: Vec<String> =
        lines.by_ref().filter(|line| line.contains("/v2") || line.contains("/api")).take(2).collect();
    assert_eq!(told, ["+ shop.localhost ^ /v2 → shop/api:http", "- shop.localhost ^ /api"]);

    let id = rustix::process::Pid::from_child(&demo.0);
    rustix::process::kill_process(id, rustix::process::Signal::INT).unwrap();
    assert!(demo.0.wait().unwrap().success());
    assert_eq!(fs::read_dir(temporary.path()).unwrap().count(), 0);
}

/// What a line prints when it is pasted into a shell; an answer of 400 and more is an error.
fn pasted(line: &str) -> String {
    let line = line.replacen("curl -s ", "curl -sSf --max-time 20 ", 1);
    let (code, out, err) = told(Command::new("sh").args(["-c", &line]).output().unwrap());
    assert_eq!(code, 0, "{line}: {err} (curl must be installed)");
    out
}

/// A process that does not outlive its test.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
