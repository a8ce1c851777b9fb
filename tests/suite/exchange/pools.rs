//! Idle connections to back ends, and the end of all connections, as the keys of the ConfigMap say.

use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use fairlead::app::{Ended, Logs, Running, Signals};
use fairlead::settings::flags::SERVE;
use fairlead::settings::{Given, Limits, Settings};

use super::filters::{Echo, ask, status};
use crate::bed::{Bed, ingress, service};

fn config(keys: &str) -> String {
    format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: global}}\ndata: {{{keys}}}\n---\n")
}

#[test]
fn a_connection_to_a_back_end_is_used_again_as_often_and_as_long_as_the_keys_say() {
    let web = Echo::start("");
    for (keys, connections) in [
        ("upstream-keepalive-connections: '320'", 1),
        ("upstream-keepalive-connections: '0'", 4),
        ("upstream-keepalive-requests: '2'", 2),
        ("upstream-keepalive-time: 1ms", 4),
        ("upstream-keepalive-timeout: 1ms", 4),
        // These cannot be read, so the defaults serve.
        ("upstream-keepalive-connections: few", 1),
        ("upstream-keepalive-requests: '0'", 1),
        ("upstream-keepalive-time: soon", 1),
        ("upstream-keepalive-timeout: '0'", 1),
    ] {
        let manifests = service("web", &[web.address]) + &ingress("web", "a.example", "/", "web", "") + &config(keys);
        let bed = Bed::with(&manifests, Limits::default(), 1, None);
        web.connections();
        for _ in 0..4 {
            assert_eq!(status(&ask(&bed, "GET /", "")), 200);
            // Longer than a connection may be idle or grow old above.
            thread::sleep(Duration::from_millis(5));
        }
        assert_eq!(web.connections(), connections, "{keys}");
    }
}

#[test]
fn a_drain_waits_for_open_requests_as_long_as_the_config_map_says_or_the_flag() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let web = service("web", &[listener.local_addr().unwrap()]) + &ingress("web", "a.example", "/", "web", "");
    for (key, flag) in [("100ms", None), ("1h", Some("100ms"))] {
        let folder = tempfile::TempDir::new().unwrap();
        let text = web.clone() + &config(&format!("worker-shutdown-timeout: {key}"));
        std::fs::write(folder.path().join("objects.yaml"), text).unwrap();
        let mut said = vec![
            ("manifests", folder.path().display().to_string()),
            ("configmap", "default/global".to_owned()),
            ("http-port", "18080".to_owned()),
            ("health-port", "0".to_owned()),
            ("admin-address", "127.0.0.1:0".to_owned()),
            ("workers", "1".to_owned()),
        ];
        said.extend(flag.map(|time| ("drain-timeout", time.to_owned())));
        let mut settings = Settings::read(&Given::of(SERVE, &said).unwrap()).unwrap();
        (settings.http_port, settings.https_port) = (Some(0), None);
        settings.bind_addresses = vec!["127.0.0.1".parse().unwrap()];
        let running = Running::start(settings, Logs::Quiet).unwrap();
        let mut client = TcpStream::connect(running.addresses().http[0]).unwrap();
        client.write_all(b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n").unwrap();
        let _under_way = listener.accept().unwrap();
        let signals = Signals::catch().unwrap();
        let begun = Instant::now();
        assert_eq!(running.drain(&signals), Ended::Drained, "{key} {flag:?}");
        let took = begun.elapsed();
        assert!(took >= Duration::from_millis(100) && took < Duration::from_secs(60), "{key} {flag:?}: {took:?}");
    }
}
