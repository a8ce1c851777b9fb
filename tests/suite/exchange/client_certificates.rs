//! Certificates of clients: asked for by host, judged for each connection, told to the back end.

use rcgen::ExtendedKeyUsagePurpose;

use super::authority::{Authority, Connection, Identity, client, secret};
use super::filters::{Echo, ask, field, status};
use crate::bed::{Bed, ingress, service};
use crate::clients::{h2, h2_get, tls};

const PREFIX: &str = "nginx.ingress.kubernetes.io/auth-tls-";

fn annotations(pairs: &[(&str, &str)]) -> String {
    let pair = |(name, value): &(&str, &str)| format!("{PREFIX}{name}: '{value}'");
    pairs.iter().map(pair).collect::<Vec<_>>().join(", ")
}

/// a.example with these annotations and b.example without, and a Secret `ca`.
fn manifests(echo: &Echo, pairs: &[(&str, &str)], secret: &str) -> String {
    service("web", &[echo.address])
        + &ingress("web", "a.example", "/", "web", &annotations(pairs))
        + &ingress("open", "b.example", "/", "web", "")
        + secret
}

fn get(bed: &Bed, identity: Option<&Identity>) -> String {
    Connection::new(bed.https, &client(identity), "a.example").get("a.example", "/")
}

#[test]
fn a_mode_decides_who_comes_in_and_the_back_end_hears_of_it() {
    let (root, foreign) = (Authority::root("root"), Authority::root("foreign"));
    let good = root.client("ann");
    let expired = root.issue("ann", ExtendedKeyUsagePurpose::ClientAuth, 2001);
    let other_use = root.server("ann");
    let unknown = foreign.client("ann");
    let echo = Echo::start("");
    let ca = secret("ca", &[("ca.crt", &root.pem)]);
    let unknown_authority = "FAILED:unable to get local issuer certificate";
    for (mode, expected, told) in [
        (&[][..], [400, 200, 400, 400, 400], &["SUCCESS"][..]),
        (&[("verify-client", "on")], [400, 200, 400, 400, 400], &["SUCCESS"]),
        (&[("verify-client", "optional")], [200, 200, 400, 400, 400], &["NONE", "SUCCESS"]),
        (&[("verify-client", "optional_no_ca")], [200, 200, 200, 400, 400], &["NONE", "SUCCESS", unknown_authority]),
        (&[("verify-client", "off")], [200, 200, 200, 200, 200], &["NONE"; 5]),
        (&[("verify-client", "yes")], [400, 200, 400, 400, 400], &["SUCCESS"]),
    ] {
        let bed = Bed::start(&manifests(&echo, &[&[("secret", "default/ca")], mode].concat(), &ca));
        let clients = [None, Some(&good), Some(&unknown), Some(&expired), Some(&other_use)];
        let found = clients.map(|identity| status(&get(&bed, identity)));
        assert_eq!(found, expected, "{mode:?}");
        let heads = echo.heads();
        let words: Vec<_> = heads.iter().map(|head| field(head, "ssl-client-verify").unwrap()).collect();
        assert_eq!(words, told, "{mode:?}");
    }
}

#[test]
fn the_back_end_gets_names_and_if_it_wants_the_certificate_and_never_the_clients_word_for_it() {
    let root = Authority::root("root");
    let ann = root.client("ann");
    let echo = Echo::start("");
    let ca = secret("ca", &[("ca.crt", &root.pem)]);
    let lie = "ssl-client-verify: SUCCESS\r\nSSL-Client-Subject-DN: CN=eve\r\nssl-client-cert: x\r\n";
    for (more, has_certificate) in [(&[][..], false), (&[("pass-certificate-to-upstream", "true")], true)] {
        let bed = Bed::start(&manifests(&echo, &[&[("secret", "ca")], more].concat(), &ca));
        let mut connection = Connection::new(bed.https, &client(Some(&ann)), "a.example");
        assert_eq!(status(&connection.get_with("a.example", "/", lie)), 200);
        let heads = echo.heads();
        assert_eq!(field(&heads[0], "ssl-client-subject-dn"), Some("O=Shop\\, Ltd,CN=ann"));
        assert_eq!(field(&heads[0], "ssl-client-issuer-dn"), Some("CN=root"));
        assert_eq!(heads[0].to_ascii_lowercase().matches("ssl-client-verify").count(), 1);
        let escaped = field(&heads[0], "ssl-client-cert").map(|text| text.replace("%0A", "\n").replace("%20", " "));
        let escaped = escaped.map(|text| text.replace("%2B", "+").replace("%2F", "/").replace("%3D", "="));
        let pem = ann.pem.replace("\r\n", "\n");
        assert_eq!(escaped, has_certificate.then_some(pem));
        let mut connection = Connection::new(bed.https, &client(Some(&ann)), "b.example");
        connection.get_with("b.example", "/", lie);
        assert!(!echo.heads()[0].to_ascii_lowercase().contains("ssl-client"), "b.example asks nobody");
    }
}

#[test]
fn what_was_taken_back_no_longer_comes_in_neither_resumed_nor_on_an_open_connection() {
    let root = Authority::root("root");
    let (ann, bob) = (root.client("ann"), root.client("bob"));
    let echo = Echo::start("");
    let with = |revoked: &[&Identity]| secret("ca", &[("ca.crt", &root.pem), ("ca.crl", &root.list(revoked, 2200))]);
    let mut bed = Bed::start(&manifests(&echo, &[("secret", "ca")], &with(&[&bob])));
    assert_eq!(status(&get(&bed, Some(&bob))), 400);
    let config = client(Some(&ann));
    let mut first = Connection::new(bed.https, &config, "a.example");
    assert_eq!(status(&first.get("a.example", "/")), 200);
    let mut second = Connection::new(bed.https, &config, "a.example");
    assert_eq!(status(&second.get("a.example", "/")), 200);
    assert!(second.is_resumed());
    assert!(echo.heads().iter().all(|head| field(head, "ssl-client-verify") == Some("SUCCESS")));
    bed.apply(&manifests(&echo, &[("secret", "ca")], &with(&[&ann])));
    assert_eq!(status(&first.get("a.example", "/")), 400);
    let mut third = Connection::new(bed.https, &config, "a.example");
    assert_eq!(status(&third.get("a.example", "/")), 400);
    assert_eq!(status(&get(&bed, Some(&bob))), 200);
    bed.apply(&manifests(&echo, &[("secret", "ca")], &secret("ca", &[("ca.crt", &Authority::root("new").pem)])));
    assert_eq!(status(&first.get("a.example", "/")), 400, "the authority is another");
    let old = secret("ca", &[("ca.crt", &root.pem), ("ca.crl", &root.list(&[], 2021))]);
    bed.apply(&manifests(&echo, &[("secret", "ca")], &old));
    assert_eq!(status(&get(&bed, Some(&ann))), 400, "a list that is out of its time says nothing");
}

#[test]
fn a_session_of_one_host_is_not_resumed_on_a_host_that_asks_for_more() {
    let (root, other) = (Authority::root("root"), Authority::root("other"));
    let echo = Echo::start("");
    let secrets = secret("ca", &[("ca.crt", &root.pem)]) + &secret("strict", &[("ca.crt", &other.pem)]);
    let text = manifests(&echo, &[("secret", "ca")], &secrets)
        + &ingress("c", "c.example", "/", "web", &annotations(&[("secret", "strict")]));
    let bed = Bed::start(&text);
    let config = client(Some(&root.client("ann")));
    for (host, expected) in [("a.example", 200), ("c.example", 400), ("a.example", 200), ("b.example", 200)] {
        let mut connection = Connection::new(bed.https, &config, host);
        assert_eq!(status(&connection.get(host, "/")), expected, "{host}");
    }
}

#[test]
fn the_depth_counts_certificates_between() {
    let root = Authority::root("root");
    let below = root.below("below");
    let deep = below.below("deep");
    let echo = Echo::start("");
    let ca = secret("ca", &[("ca.crt", &root.pem)]);
    for (depth, expected) in
        [("0", [200, 400, 400]), ("1", [200, 200, 400]), ("2", [200, 200, 200]), ("x", [200, 200, 400])]
    {
        let bed = Bed::start(&manifests(&echo, &[("secret", "ca"), ("verify-depth", depth)], &ca));
        let found = [&root, &below, &deep].map(|authority| status(&get(&bed, Some(&authority.client("ann")))));
        assert_eq!(found, expected, "depth {depth}");
    }
}

#[test]
fn a_page_takes_the_place_of_the_refusal_and_a_subject_is_searched_in() {
    let root = Authority::root("root");
    let (ann, eve) = (root.client("ann"), root.client("eve"));
    let echo = Echo::start("");
    let ca = secret("ca", &[("ca.crt", &root.pem)]);
    let page = [("secret", "ca"), ("error-page", "https://a.example/sorry?x=1")];
    let bed = Bed::start(&manifests(&echo, &page, &ca));
    let answer = get(&bed, None);
    assert_eq!((status(&answer), field(&answer, "Location")), (302, Some("https://a.example/sorry?x=1")));
    assert_eq!(status(&get(&bed, Some(&ann))), 200);
    let bed = Bed::start(&manifests(&echo, &[("secret", "ca"), ("error-page", "@sorry")], &ca));
    assert_eq!(status(&get(&bed, None)), 400);
    let bed = Bed::start(&manifests(&echo, &[("secret", "ca"), ("match-cn", "CN=(ann|bob)")], &ca));
    assert_eq!(status(&get(&bed, Some(&ann))), 200);
    let answer = get(&bed, Some(&eve));
    assert_eq!(status(&answer), 403);
    assert!(answer.ends_with("\r\n\r\nclient certificate unauthorized"), "{answer}");
    assert_eq!(status(&get(&bed, None)), 400);
    assert_eq!(status(&ask(&bed, "GET /", "")), 403, "in clear text nobody has a subject");
    for bad in [
        [("secret", "ca"), ("match-cn", "ann")],
        [("secret", "ca"), ("match-cn", "CN=(")],
        [("secret", "ca"), ("error-page", "sorry")],
    ] {
        let bed = Bed::start(&manifests(&echo, &bad, &ca));
        assert_eq!(status(&get(&bed, Some(&ann))), 403, "{bad:?}");
    }
}

#[test]
fn without_the_authority_nobody_reaches_the_host() {
    let root = Authority::root("root");
    let ann = root.client("ann");
    let echo = Echo::start("");
    let ca = secret("ca", &[("ca.crt", &root.pem)]);
    let junk = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----";
    for (name, objects) in [
        ("missing", ca.clone()),
        ("other/ca", ca.clone()),
        ("ca", secret("ca", &[("tls.crt", &root.pem)])),
        ("ca", secret("ca", &[("ca.crt", "junk")])),
        ("ca", secret("ca", &[("ca.crt", junk)])),
        ("ca", secret("ca", &[("ca.crt", &root.pem), ("ca.crl", "junk")])),
    ] {
        let more = ingress("more", "a.example", "/more", "web", "");
        let bed = Bed::start(&(manifests(&echo, &[("secret", name)], &objects) + &more));
        for path in ["/", "/more"] {
            let mut connection = Connection::new(bed.https, &client(Some(&ann)), "a.example");
            assert_eq!(status(&connection.get("a.example", path)), 403, "{name} {path}");
        }
        assert_eq!(status(&ask(&bed, "GET /", "")), 403, "in clear text too");
        assert!(echo.heads().is_empty());
        let mut connection = Connection::new(bed.https, &client(None), "b.example");
        assert_eq!(status(&connection.get("b.example", "/")), 200, "other hosts serve");
        echo.heads();
    }
    for alone in [&[("verify-client", "on")][..], &[("match-cn", "CN=ann")]] {
        let bed = Bed::start(&manifests(&echo, alone, &ca));
        assert_eq!(status(&get(&bed, Some(&ann))), 503, "{alone:?}");
    }
}

#[test]
fn a_wrong_value_closes_the_whole_host_the_paths_of_other_ingresses_too() {
    let root = Authority::root("root");
    let ann = root.client("ann");
    let echo = Echo::start("");
    let ca = secret("ca", &[("ca.crt", &root.pem)]);
    for (pairs, is_closed) in [
        (&[("secret", "ca"), ("match-cn", "CN=(")][..], true),
        (&[("secret", "ca"), ("match-cn", "ann")], true),
        (&[("secret", "ca"), ("error-page", "sorry")], true),
        (&[("secret", "ca"), ("match-cn", "CN=ann")], false),
        (&[("match-cn", "CN=(")], false),
    ] {
        let other = ingress("aa", "a.example", "/other", "web", "");
        let bed = Bed::start(&(manifests(&echo, pairs, &ca) + &other));
        let mut connection = Connection::new(bed.https, &client(Some(&ann)), "a.example");
        assert_eq!(status(&connection.get("a.example", "/other")), if is_closed { 403 } else { 200 }, "{pairs:?}");
        let own = match () {
            () if is_closed => 403,
            () if pairs.len() == 1 => 503,
            () => 200,
        };
        assert_eq!(status(&get(&bed, Some(&ann))), own, "{pairs:?}");
        let mut connection = Connection::new(bed.https, &client(None), "b.example");
        assert_eq!(status(&connection.get("b.example", "/")), 200, "another host is open");
    }
}

#[test]
fn a_request_for_another_host_than_greeted_is_misdirected_only_where_they_ask_differently() {
    let root = Authority::root("root");
    let ann = root.client("ann");
    let echo = Echo::start("");
    let ca = secret("ca", &[("ca.crt", &root.pem)]);
    let same = ingress("same", "same.example", "/", "web", &annotations(&[("secret", "ca")]));
    let maybe = annotations(&[("secret", "ca"), ("verify-client", "optional")]);
    let maybe = ingress("maybe", "maybe.example", "/", "web", &maybe);
    let open = ingress("c", "c.example", "/", "web", "");
    let bed = Bed::start(&(manifests(&echo, &[("secret", "ca")], &ca) + &same + &maybe + &open));
    let config = client(Some(&ann));
    for (greeted, host, expected) in [
        ("a.example", "a.example", 200),
        ("a.example", "same.example", 200),
        ("a.example", "b.example", 421),
        ("b.example", "a.example", 421),
        ("a.example", "maybe.example", 421),
        ("b.example", "c.example", 200),
        ("b.example", "nobody.example", 404),
        ("a.example", "nobody.example", 421),
        ("127.0.0.1", "a.example", 421),
        ("127.0.0.1", "maybe.example", 200),
        ("127.0.0.1", "b.example", 200),
    ] {
        let mut connection = Connection::new(bed.https, &config, greeted);
        assert_eq!(status(&connection.get(host, "/")), expected, "{greeted} then {host}");
    }
    assert_eq!(status(&ask(&bed, "GET /", "")), 200, "clear text is not guarded");
}

#[test]
fn a_connection_from_before_anybody_asked_is_sent_away() {
    let root = Authority::root("root");
    let echo = Echo::start("");
    let ca = secret("ca", &[("ca.crt", &root.pem)]);
    let mut bed = Bed::start(&manifests(&echo, &[], &ca));
    let mut early = Connection::new(bed.https, &client(Some(&root.client("ann"))), "a.example");
    assert_eq!(status(&early.get("a.example", "/")), 200);
    bed.apply(&manifests(&echo, &[("secret", "ca")], &ca));
    assert_eq!(status(&early.get("a.example", "/")), 421);
    assert_eq!(status(&get(&bed, Some(&root.client("ann")))), 200);
}

#[test]
fn the_service_that_is_asked_who_may_come_in_hears_of_the_certificate_too() {
    let root = Authority::root("root");
    let (echo, asked) = (Echo::start(""), Echo::start(""));
    let ca = secret("ca", &[("ca.crt", &root.pem)]);
    let url = format!("nginx.ingress.kubernetes.io/auth-url: 'http://{}/'", asked.address);
    let text = service("web", &[echo.address])
        + &ingress("web", "a.example", "/", "web", &format!("{}, {url}", annotations(&[("secret", "ca")])))
        + &ca;
    let bed = Bed::start(&text);
    assert_eq!(status(&get(&bed, Some(&root.client("ann")))), 200);
    for heads in [asked.heads(), echo.heads()] {
        let names = ["ssl-client-verify", "ssl-client-subject-dn", "ssl-client-issuer-dn"];
        let told = names.map(|name| field(&heads[0], name).map(str::to_owned).unwrap_or_default());
        assert_eq!(told, ["SUCCESS", "O=Shop\\, Ltd,CN=ann", "CN=root"]);
    }
    assert_eq!(status(&get(&bed, None)), 400);
    assert!(asked.heads().is_empty(), "nobody is asked about a client without a certificate");
}

#[test]
fn requests_over_http2_are_judged_one_by_one() {
    let root = Authority::root("root");
    let echo = Echo::start("");
    let ca = secret("ca", &[("ca.crt", &root.pem)]);
    let bed = Bed::start(&manifests(&echo, &[("secret", "ca")], &ca));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let test = async {
        let mut open = h2(tls(bed.https, "b.example", b"h2").await).await;
        assert_eq!(h2_get(&mut open, "https://b.example/").await.0, 200);
        assert_eq!(h2_get(&mut open, "https://a.example/").await.0, 421);
        let mut without = h2(tls(bed.https, "a.example", b"h2").await).await;
        assert_eq!(h2_get(&mut without, "https://a.example/").await.0, 400);
        assert_eq!(h2_get(&mut without, "https://b.example/").await.0, 421);
    };
    tokio::task::LocalSet::new().block_on(&runtime, test);
}
