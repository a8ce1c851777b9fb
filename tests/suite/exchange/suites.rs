//! Cipher suites of a host: its own list and whose order counts, by server name.

use std::sync::Arc;

use rustls::CipherSuite::{
    self, TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256 as AES128, TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384 as AES256,
    TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256 as CHACHA20, TLS13_AES_128_GCM_SHA256,
};
use rustls::ClientConfig;
use rustls::version::{TLS12, TLS13};

use super::authority::Connection;
use super::filters::{Echo, nginx, status};
use crate::bed::{Bed, ingress, service};
use crate::clients::shake;

/// a.example with these annotations, and b.example without.
fn text(echo: &Echo, pairs: &[(&str, &str)]) -> String {
    service("web", &[echo.address])
        + &ingress("web", "a.example", "/", "web", &nginx(pairs))
        + &ingress("other", "b.example", "/", "web", "")
}

/// What is agreed on with a client that offers AES-256, AES-128 and ChaCha20, in this order.
fn agreed(bed: &Bed, name: &str, version: &'static rustls::SupportedProtocolVersion) -> Option<CipherSuite> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(shake(bed.https, name, &[version])).unwrap()
}

#[test]
fn a_host_has_the_suites_of_its_list_in_their_order_and_others_have_theirs() {
    let echo = Echo::start("");
    for (pairs, expected) in [
        (&[][..], AES128),
        (&[("ssl-ciphers", "ECDHE-ECDSA-AES256-GCM-SHA384:DHE-RSA-AES128-GCM-SHA256")], AES256),
        (&[("ssl-ciphers", "ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-ECDSA-AES256-GCM-SHA384")], CHACHA20),
        (&[("ssl-ciphers", "HIGH:!aNULL:!AES128")], AES256),
        (&[("ssl-ciphers", "ALL:@STRENGTH")], AES256),
        (&[("ssl-ciphers", "RC4-SHA:DES-CBC3-SHA")], AES128),
        (&[("ssl-prefer-server-ciphers", "false")], AES256),
        (&[("ssl-prefer-server-ciphers", "true")], AES128),
        (&[("ssl-prefer-server-ciphers", "on")], AES128),
        (&[("ssl-prefer-server-ciphers", "false"), ("ssl-ciphers", "ECDHE+AES128:ECDHE+CHACHA20")], AES128),
        (&[("ssl-prefer-server-ciphers", "false"), ("ssl-ciphers", "ECDHE+CHACHA20:ECDHE+AES128")], AES128),
        (&[("ssl-prefer-server-ciphers", "true"), ("ssl-ciphers", "ECDHE+CHACHA20:ECDHE+AES128")], CHACHA20),
    ] {
        let bed = Bed::start(&text(&echo, pairs));
        assert_eq!(agreed(&bed, "a.example", &TLS12), Some(expected), "{pairs:?}");
        assert_eq!(agreed(&bed, "b.example", &TLS12), Some(AES128), "{pairs:?}");
        assert_eq!(agreed(&bed, "c.example", &TLS12), Some(AES128), "{pairs:?}");
        if !pairs.iter().any(|(name, _)| *name == "ssl-prefer-server-ciphers") {
            assert_eq!(agreed(&bed, "a.example", &TLS13), Some(TLS13_AES_128_GCM_SHA256), "{pairs:?}");
        }
    }
}

#[test]
fn the_oldest_ingress_decides_and_a_list_of_the_host_goes_before_that_of_all() {
    let echo = Echo::start("");
    let map = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: global}\ndata: {ssl-ciphers: ECDHE+CHACHA20}\n---\n";
    // Of two of the same age the larger name is the older.
    let younger = ingress("more", "a.example", "/more", "web", &nginx(&[("ssl-ciphers", "ECDHE+AES128")]));
    let bed = Bed::start(&(text(&echo, &[("ssl-ciphers", "ECDHE+AES256")]) + &younger + map));
    assert_eq!(agreed(&bed, "a.example", &TLS12), Some(AES256));
    assert_eq!(agreed(&bed, "b.example", &TLS12), Some(CHACHA20));
    assert_eq!(bed.problems("SettingShadowed"), 1);
    let bed = Bed::start(&(text(&echo, &[("ssl-ciphers", "RC4")]) + map));
    assert_eq!(agreed(&bed, "a.example", &TLS12), Some(CHACHA20), "none of the list is left");
    assert_eq!(bed.problems("AnnotationInvalid"), 1);
}

#[test]
fn a_session_is_not_resumed_under_another_list() {
    let echo = Echo::start("");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let client = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS12])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(fairlead::proxy::AnyCertificate))
        .with_no_client_auth();
    let client = Arc::new(client);
    let mut bed = Bed::start(&text(&echo, &[("ssl-ciphers", "ECDHE+AES256")]));
    let resumed = |bed: &Bed| {
        let mut connection = Connection::new(bed.https, &client, "a.example");
        assert_eq!(status(&connection.get("a.example", "/")), 200);
        connection.is_resumed()
    };
    assert_eq!([resumed(&bed), resumed(&bed)], [false, true]);
    bed.apply(&text(&echo, &[("ssl-ciphers", "ECDHE+AES256:ECDHE+CHACHA20")]));
    assert_eq!([resumed(&bed), resumed(&bed)], [false, true]);
    bed.apply(&text(&echo, &[("ssl-ciphers", "ECDHE+AES256:ECDHE+CHACHA20"), ("proxy-body-size", "9m")]));
    assert!(resumed(&bed), "a table with the same list keeps the sessions");
    bed.apply(&text(&echo, &[]));
    assert_eq!([resumed(&bed), resumed(&bed)], [false, true]);
}
