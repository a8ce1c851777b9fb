//! What the access log has of requests, and which of them, as the ConfigMap says.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use fairlead::ir::Name;
use fairlead::settings::{Limits, LogFormat};
use fairlead::telemetry::AccessLog;

use super::config::{global, map, web};
use super::plain::talk;
use crate::bed::{Bed, ingress, service};
use crate::clients::{h2, h2_get, tls};
use crate::origin::Origin;

/// An access log, and what will have been written to it.
fn read_log() -> (Arc<AccessLog>, JoinHandle<std::io::Result<String>>) {
    read_log_as(LogFormat::Text)
}

fn read_log_as(format: LogFormat) -> (Arc<AccessLog>, JoinHandle<std::io::Result<String>>) {
    let (mut reader, writer) = std::io::pipe().unwrap();
    let reading = std::thread::spawn(move || {
        let mut text = String::new();
        reader.read_to_string(&mut text).map(|_| text)
    });
    (AccessLog::start(writer, format, Arc::default()).unwrap(), reading)
}

/// What of these requests is logged under these keys: one that a route takes, one for a host of nobody.
fn logged(keys: &str) -> String {
    let origin = Origin::start("web");
    let (log, reading) = read_log();
    let config = global(&format!("log-format-upstream: '$host $status', {keys}"));
    let bed = Bed::with(&(web(origin.address) + &config), Limits::default(), 1, Some(Arc::clone(&log)));
    for host in ["a.example", "b.example"] {
        talk(bed.http, &format!("GET /x HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"));
    }
    drop(bed);
    assert!(log.settle(Duration::from_secs(10)));
    drop(log);
    reading.join().unwrap().unwrap()
}

#[test]
fn what_is_logged_and_where_the_keys_say() {
    let (both, one) = ("a.example 200\nb.example 404\n", "a.example 200\n");
    for (keys, expected) in [
        ("", one),
        ("enable-access-log-for-default-backend: 'true'", both),
        ("enable-access-log-for-default-backend: 'false'", one),
        ("enable-access-log-for-default-backend: 'no'", one),
        ("access-log-path: 'off'", ""),
        ("access-log-path: /dev/stdout", one),
        ("access-log-path: /tmp/x.log", one),
        ("access-log-path: 'off', http-access-log-path: /dev/stdout", one),
        ("http-access-log-path: /dev/null", ""),
    ] {
        assert_eq!(logged(keys), expected, "{keys}");
    }
}

#[test]
fn the_access_log_is_written_as_the_keys_say() {
    let origin = Origin::start("web");
    let (log, reading) = read_log();
    let format = "$remote_addr ${request_method} $uri?$args $status \\\"$http_x_quoted\\\" $service_name $nonsense [$http_absent]";
    let mut bed = {
        let config = global(&format!("log-format-upstream: \"{format}\", skip-access-log-urls: '/ping,/live'"));
        Bed::with(&(web(origin.address) + &config), Limits::default(), 1, Some(Arc::clone(&log)))
    };
    let ask = |bed: &Bed, path: &str| {
        talk(
            bed.http,
            &format!("GET {path} HTTP/1.1\r\nHost: a.example\r\nX-Quoted: a\"b\r\nConnection: close\r\n\r\n"),
        )
    };
    ask(&bed, "/ping");
    ask(&bed, "/live");
    ask(&bed, "/x?y=1");
    let json = global(
        "log-format-upstream: '{\"q\":\"$http_x_quoted\",\"a\":\"$http_absent\"}', log-format-escape-json: 'true'",
    );
    bed.apply(&(web(origin.address) + &json));
    ask(&bed, "/x");
    bed.apply(&(web(origin.address) + &global("disable-access-log: 'true'")));
    ask(&bed, "/x");
    drop(bed);
    assert!(log.settle(Duration::from_secs(10)));
    drop(log);
    let expected = "127.0.0.1 GET /x?y=1 200 \"a\\x22b\" web - [-]\n{\"q\":\"a\\\"b\",\"a\":\"\"}\n";
    assert_eq!(reading.join().unwrap().unwrap(), expected);
}

/// The lines that `ask` causes, under these keys.
fn lines(address: SocketAddr, config: &str, ask: impl FnOnce(&Bed)) -> Vec<String> {
    let (log, reading) = read_log();
    let bed = Bed::with(&(web(address) + config), Limits::default(), 1, Some(Arc::clone(&log)));
    ask(&bed);
    drop(bed);
    assert!(log.settle(Duration::from_secs(10)));
    drop(log);
    reading.join().unwrap().unwrap().lines().map(str::to_owned).collect()
}

/// Sends these requests over one connection, one after the other. Gives our own port.
fn in_turn(to: SocketAddr, requests: &[&str]) -> u16 {
    let mut socket = TcpStream::connect(to).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    for request in requests {
        socket.write_all(request.as_bytes()).unwrap();
        let mut seen = Vec::new();
        while !seen.ends_with(b"done") {
            let mut piece = [0; 1024];
            let length = socket.read(&mut piece).unwrap();
            assert_ne!(length, 0, "{}", seen.escape_ascii());
            seen.extend_from_slice(&piece[..length]);
        }
    }
    socket.local_addr().unwrap().port()
}

const DONE: &str =
    "HTTP/1.1 200 OK\r\nContent-Length: 4\r\nContent-Type: text/plain\r\nX-Mine: a\"b\r\nX-Secret: s\r\n\r\ndone";

#[test]
fn variables_of_connection_and_answer_have_the_values_that_nginx_gives_them() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let backend = std::thread::spawn(move || {
        let (mut socket, _) = listener.accept().unwrap();
        let mut piece = [0; 4096];
        while socket.read(&mut piece).is_ok_and(|length| length > 0) {
            socket.write_all(DONE.as_bytes()).unwrap();
        }
    });
    let format = "{\"port\":$server_port,\"from\":$remote_port,\"c\":$connection,\"n\":$connection_requests,\
                  \"addr\":\"$server_addr\",\"on\":\"$hostname\",\"type\":\"$sent_http_content_type\",\
                  \"length\":$sent_http_content_length,\"added\":\"$sent_http_x_set\",\"hidden\":\"$sent_http_x_secret\",\
                  \"theirs\":\"$upstream_http_x_secret\",\"quoted\":\"$upstream_http_x_mine\",\"cookie\":\"$cookie_Session\",\
                  \"arg\":\"$arg_id\",\"host\":\"$best_http_host\",\"path\":\"$location_path\",\"cipher\":\"$ssl_cipher\",\
                  \"done\":\"$request_completion\",\"connect\":$upstream_connect_time,\"header\":$upstream_header_time,\
                  \"doc\":\"$document_uri\"}";
    let keys = format!(
        "log-format-upstream: '{format}', log-format-escape-json: 'true', hide-headers: x-secret, \
         add-headers: default/added"
    );
    let config = global(&keys) + &map("added", "X-Set: ours");
    let request = "GET /x?id=7&ID=8 HTTP/1.1\r\nHost: a.example:81\r\nCookie: a=1; session=s\r\n\r\n";
    let (mut from, mut to) = (0, 0);
    let lines = lines(address, &config, |bed| {
        to = bed.http.port();
        from = in_turn(bed.http, &[request, request]);
    });
    backend.join().unwrap();
    let [first, second] = &*lines else { panic!("{lines:?}") };
    let [first, second] = [first, second]
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap_or_else(|error| panic!("{error}: {line}")));
    let own = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap().trim().to_ascii_lowercase();
    for (name, value) in [
        ("addr", "127.0.0.1"),
        ("on", &own),
        ("type", "text/plain"),
        ("added", "ours"),
        ("hidden", ""),
        ("theirs", "s"),
        ("quoted", "a\"b"),
        ("cookie", "s"),
        ("arg", "7"),
        ("host", "a.example:81"),
        ("path", "/"),
        ("cipher", ""),
        ("done", "OK"),
        ("doc", "/x"),
    ] {
        assert_eq!(first[name], value, "{name}: {first}");
    }
    assert_eq!((&first["port"], &first["from"], &first["length"]), (&to.into(), &from.into(), &4.into()), "{first}");
    assert_eq!((&first["n"], &second["n"]), (&1.into(), &2.into()));
    assert!(first["c"].as_u64() > Some(0) && first["c"] == second["c"], "{first} {second}");
    assert!(first["header"].as_f64().is_some_and(|time| time < 10.0) && second["connect"] == 0.0, "{first} {second}");
}

#[test]
fn the_default_backend_is_called_what_ingress_nginx_calls_it() {
    let (web, rest) = (Origin::start("web"), Origin::start("rest"));
    let path = |name: &str, host: &str, more: &str| ingress(name, host, "/shop", "web", more);
    let manifests = service("web", &[web.address])
        + &service("rest", &[rest.address])
        + &path("web", "a.example", "")
        + &path("closed", "c.example", "nginx.ingress.kubernetes.io/auth-type: digest")
        + &path("own", "d.example", "")
            .replace("spec:\n", "spec:\n  defaultBackend: {service: {name: rest, port: {name: http}}}\n")
        + &global(
            "log-format-upstream: '$host $proxy_upstream_name [$namespace/$ingress_name] $status', \
             enable-access-log-for-default-backend: 'true', add-headers: default/added",
        )
        + &map("added", "X-Where: '$namespace/$ingress_name $proxy_upstream_name'");
    for is_there in [true, false] {
        let (log, reading) = read_log();
        let bed = Bed::told(&manifests, Limits::default(), 1, Some(Arc::clone(&log)), |options| {
            options.default_backend_service = is_there.then(|| Name::new("default", "rest"));
        });
        let answers: Vec<_> = [("a", "/shop"), ("a", "/"), ("b", "/"), ("c", "/"), ("d", "/")]
            .map(|(host, path)| {
                talk(bed.http, &format!("GET {path} HTTP/1.1\r\nHost: {host}.example\r\nConnection: close\r\n\r\n"))
            })
            .into();
        let status = if is_there { 200 } else { 404 };
        let default = "upstream-default-backend";
        let closed = if is_there { "- [default/closed] 503" } else { "upstream-default-backend [default/closed] 404" };
        let expected = format!(
            "a.example default-web-http [default/web] 200\na.example {default} [default/web] {status}\n\
             b.example {default} [-/-] {status}\nc.example {closed}\nd.example default-rest-http [default/own] 200\n"
        );
        assert!(answers[1].contains(&format!("\r\nX-Where: default/web {default}\r\n")), "{}", answers[1]);
        if is_there {
            assert!(answers[2].contains(&format!("\r\nX-Where: / {default}\r\n")), "{}", answers[2]);
        }
        drop(bed);
        assert!(log.settle(Duration::from_secs(10)));
        drop(log);
        assert_eq!(reading.join().unwrap().unwrap(), expected);
    }
}

#[test]
fn a_format_may_stand_on_several_lines() {
    let origin = Origin::start("web");
    let keys = global("log-format-upstream: \"{\\n  $status,\\r\\n\\t$request_method }\\n\"");
    let lines = lines(origin.address, &keys, |bed| {
        talk(bed.http, "GET / HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n");
    });
    assert_eq!(lines, ["{ 200, GET }"]);
}

#[test]
fn the_default_line_is_escaped_as_the_keys_say() {
    let origin = Origin::start("web");
    let asked = |keys: &str| {
        let lines = lines(origin.address, &global(keys), |bed| {
            talk(bed.http, "GET / HTTP/1.1\r\nHost: a.example\r\nUser-Agent: a \"q\"\r\nConnection: close\r\n\r\n");
        });
        lines.into_iter().next().unwrap()
    };
    for (keys, user, referer, agent) in [
        ("log-format-escape-json: 'false'", "- - [", "\"-\" ", r#""a \x22q\x22""#),
        ("log-format-escape-json: 'true'", "-  [", "\"\" ", r#""a \"q\"""#),
        ("log-format-escape-none: 'true'", "-  [", "\"\" ", r#""a "q"""#),
    ] {
        let line = asked(keys);
        assert!(
            line.starts_with(&format!("127.0.0.1 {user}")) && line.contains(&format!("{referer}{agent} ")),
            "{line}"
        );
        assert!(line.contains(" [default-web-http] [] 127.0.0.1:"), "{line}");
    }
    // A line in JSON has no other escapes.
    let (log, reading) = read_log_as(LogFormat::Json);
    let config = web(origin.address) + &global("log-format-escape-none: 'true'");
    let bed = Bed::with(&config, Limits::default(), 1, Some(Arc::clone(&log)));
    talk(bed.http, "GET / HTTP/1.1\r\nHost: a.example\r\nUser-Agent: a \"q\"\r\nConnection: close\r\n\r\n");
    drop(bed);
    assert!(log.settle(Duration::from_secs(10)));
    drop(log);
    let line: serde_json::Value = serde_json::from_str(&reading.join().unwrap().unwrap()).unwrap();
    assert_eq!(line["user_agent"], "a \"q\"");
}

#[test]
fn over_http2_each_request_has_its_own_number_and_answer() {
    let origin = Origin::start("web");
    let format = "$server_protocol $connection $connection_requests $request_uri $status [$sent_http_x_set] \
                  [$sent_http_content_length] $ssl_protocol $request_completion";
    let config = global(&format!("log-format-upstream: '{format}', add-headers: default/added"))
        + &map("added", "X-Set: '$request_uri'");
    let mut lines = lines(origin.address, &config, |bed| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        tokio::task::LocalSet::new().block_on(&runtime, async {
            let client = h2(tls(bed.https, "a.example", b"h2").await).await;
            let (mut slow, mut quick) = (client.clone(), client);
            // The slow one was asked first, and ends last.
            let slow = h2_get(&mut slow, "https://a.example/slow/20");
            let quick = async {
                tokio::time::sleep(Duration::from_millis(50)).await;
                h2_get(&mut quick, "https://a.example/quick").await
            };
            let (slow, quick) = tokio::join!(slow, quick);
            assert_eq!((slow.0, quick.0), (200, 200));
        });
    });
    lines.sort();
    let mut split = lines.iter().map(|line| line.split(' ').collect::<Vec<_>>());
    let (Some(slow), Some(quick), None) = (split.next(), split.next(), split.next()) else { panic!("{lines:?}") };
    assert_eq!(slow[1], quick[1], "one connection");
    assert_eq!(
        (slow[0], &slow[2..]),
        ("HTTP/2.0", &["1", "/slow/20", "200", "[/slow/20]", "[-]", "TLSv1.3", "OK"][..])
    );
    assert_eq!((quick[0], &quick[2..]), ("HTTP/2.0", &["2", "/quick", "200", "[/quick]", "[10]", "TLSv1.3", "OK"][..]));
}

#[test]
fn requests_are_skipped_by_the_whole_target_in_any_letter_case_or_by_an_expression_found_in_it() {
    let origin = Origin::start("web");
    let all = ["/Health", "/health?x", "/healthz", "/Probe/12?a=1", "/probe/12", "/a/metrics?b", "/METRICS"];
    let skipped = |urls: &str| {
        let config = global(&format!("log-format-upstream: '$request_uri', skip-access-log-urls: '{urls}'"));
        lines(origin.address, &config, |bed| {
            for target in all {
                talk(bed.http, &format!("GET {target} HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n"));
            }
        })
    };
    for (urls, gone) in [
        ("/health", &["/Health"][..]),
        ("/HEALTH?X", &["/health?x"]),
        ("~^/Probe/[0-9]+,/nobody", &["/Probe/12?a=1"]),
        ("~metrics", &["/a/metrics?b"]),
        ("~*metrics", &["/a/metrics?b", "/METRICS"]),
        ("/health,~[a,~b=1$", &["/Health"]),
        ("health", &[]),
    ] {
        let left: Vec<_> = all.iter().filter(|target| !gone.contains(target)).collect();
        assert_eq!(skipped(urls).iter().collect::<Vec<_>>(), left, "{urls}");
    }
}
