//! The service of `global-auth-url`, which is asked where an Ingress names none.

use super::filters::{Echo, ask, field, nginx, status};
use crate::bed::{Bed, ingress, service};

fn config(keys: &str) -> String {
    format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: global}}\ndata: {{{keys}}}\n---\n")
}

fn url(auth: &Echo) -> String {
    format!("http://127.0.0.1:{}/verify", auth.address.port())
}

/// Paths of `a.example`: `/` says nothing, `/own` names `own`, `/free` is exempt, `/open` is a place where nobody logs in.
fn manifests(web: &Echo, own: &Echo, keys: &str) -> String {
    let own = nginx(&[("auth-url", &url(own))]);
    let free = nginx(&[("enable-global-auth", "false")]);
    let paths = [("web", "/", ""), ("own", "/own", &own), ("free", "/free", &free), ("open", "/open/x", "")];
    let ingresses = paths.map(|(name, path, annotations)| ingress(name, "a.example", path, "web", annotations));
    service("web", &[web.address]) + &ingresses.concat() + &config(keys)
}

fn statuses(bed: &Bed) -> [u16; 4] {
    ["/", "/own", "/free", "/open/x"].map(|path| status(&ask(bed, &format!("GET {path}"), "")))
}

#[test]
fn it_is_asked_where_an_ingress_names_no_service_and_nothing_exempts_the_path() {
    let (web, yes) = (Echo::start(""), Echo::start("X-User: ann\r\n"));
    let no = Echo::answering("401 No", "WWW-Authenticate: Bearer\r\n", "no");
    let open = "no-auth-locations: /open";
    let bed = Bed::start(&manifests(&web, &yes, &format!("global-auth-url: '{}', {open}", url(&no))));
    assert_eq!(statuses(&bed), [401, 200, 200, 200]);
    assert_eq!((no.heads().len(), yes.heads().len(), web.heads().len()), (1, 1, 3));
    let answer = ask(&bed, "GET /nobody/declared?x=1", "");
    assert_eq!((status(&answer), field(&answer, "WWW-Authenticate")), (401, Some("Bearer")));
    assert_eq!(field(&no.heads()[0], "X-Original-URL"), Some("http://a.example/nobody/declared?x=1"));

    let keys = format!("global-auth-url: '{}', global-auth-response-headers: 'X-User, X-Groups'", url(&yes));
    let bed = Bed::start(&manifests(&web, &no, &format!("{keys}, {open}")));
    assert_eq!(statuses(&bed), [200, 401, 200, 200]);
    web.heads();
    ask(&bed, "GET /", "X-User: eve\r\nX-Groups: admin\r\n");
    let sent = web.heads().remove(0);
    assert_eq!((field(&sent, "X-User"), field(&sent, "X-Groups")), (Some("ann"), None), "{sent}");
}

#[test]
fn how_it_is_asked_and_what_becomes_of_its_answer_the_other_keys_say() {
    let web = Echo::answering("500 Broken", "", "");
    let auth = Echo::start("Set-Cookie: session=1\r\n");
    let base = format!("global-auth-url: '{}'", url(&auth));
    for (keys, is_passed) in [("", None), ("global-auth-always-set-cookie: 'true'", Some("session=1"))] {
        let more = format!("{base}, global-auth-method: POST, global-auth-request-redirect: 'to $host', {keys}");
        let bed = Bed::start(&manifests(&web, &auth, &more));
        auth.heads();
        let answer = ask(&bed, "GET /x", "");
        assert_eq!((status(&answer), field(&answer, "Set-Cookie")), (500, is_passed), "{keys}");
        let asked = auth.heads().remove(0);
        assert!(asked.starts_with("POST /verify HTTP/1.1\r\n"), "{asked}");
        assert_eq!(field(&asked, "X-Auth-Request-Redirect"), Some("to a.example"));
        // The key is the default of the annotation.
        assert_eq!(field(&ask(&bed, "GET /own", ""), "Set-Cookie"), is_passed, "{keys}");
    }
    let no = Echo::answering("401 No", "", "no");
    for (parameter, location) in [("", "rd"), (", global-auth-signin-redirect-param: to", "to")] {
        let sign_in = "global-auth-signin: 'https://sign.example/in'";
        let bed = Bed::start(&manifests(&web, &no, &format!("global-auth-url: '{}', {sign_in}{parameter}", url(&no))));
        let expected = format!("https://sign.example/in?{location}=http://a.example%2Fx");
        let answer = ask(&bed, "GET /x", "");
        assert_eq!((status(&answer), field(&answer, "Location")), (302, Some(&*expected)));
        assert_eq!(status(&ask(&bed, "GET /own", "")), 401, "where to sign in is said of the other service");
    }
}

#[test]
fn its_word_is_remembered_by_the_key() {
    let (web, auth) = (Echo::start(""), Echo::start(""));
    let keys = format!(
        "global-auth-url: '{}', global-auth-cache-key: $http_x_user, global-auth-cache-duration: '200 1h'",
        url(&auth)
    );
    let manifests = manifests(&web, &auth, &keys);
    let bed = Bed::with(&manifests, fairlead::settings::Limits::default(), 1, None);
    for (user, path) in [("ann", "/"), ("bob", "/"), ("ann", "/"), ("bob", "/"), ("ann", "/open/x")] {
        assert_eq!(status(&ask(&bed, &format!("GET {path}"), &format!("X-User: {user}\r\n"))), 200);
    }
    assert_eq!(auth.heads().len(), 3, "twice for one path, and once for the other");
}

#[test]
fn a_wrong_key_closes_the_paths_that_it_would_guard_and_no_others() {
    let (web, yes) = (Echo::start(""), Echo::start(""));
    let right = format!("global-auth-url: '{}'", url(&yes));
    for wrong in [
        "global-auth-url: auth.example".to_owned(),
        "global-auth-url: 'http://169.254.169.254/'".to_owned(),
        "global-auth-url: 'http://$remote_addr/'".to_owned(),
        format!("{right}, global-auth-method: GETX"),
        format!("{right}, global-auth-response-headers: 'a b;'"),
        format!("{right}, global-auth-cache-duration: '200 soon'"),
        format!("{right}, global-auth-request-redirect: $nothing"),
        format!("{right}, global-auth-always-set-cookie: maybe"),
    ] {
        let mut bed = Bed::start(&manifests(&web, &yes, &format!("{wrong}, no-auth-locations: /open")));
        assert_eq!(statuses(&bed), [503, 200, 200, 200], "{wrong}");
        assert_eq!(bed.problems("AccessRuleBroken"), 1, "{wrong}");
        bed.apply(&manifests(&web, &yes, &right));
        assert_eq!((statuses(&bed), bed.problems("AccessRuleBroken")), ([200; 4], 0), "mended, {wrong}");
    }
    // These only tune.
    for wrong in ["global-auth-signin: $nothing", "global-auth-cache-key: $nothing"] {
        let bed = Bed::start(&manifests(&web, &yes, &format!("{right}, {wrong}")));
        assert_eq!((statuses(&bed), bed.problems("ConfigKeyInvalid")), ([200; 4], 1), "{wrong}");
    }
    // Without a URL there is nothing to guard.
    let bed = Bed::start(&manifests(&web, &yes, "global-auth-method: GETX"));
    assert_eq!(statuses(&bed), [200; 4]);
}

#[test]
fn a_service_that_is_reached_through_us_is_not_asked_about_itself() {
    let web = Echo::start("");
    let circle = |port: u16| {
        let keys = format!("global-auth-url: 'http://127.0.0.1:{port}/verify'");
        let any = ingress("any", "a.example", "/", "web", "").replace("host: \"a.example\"\n    http", "http");
        service("web", &[web.address]) + &any + &config(&keys)
    };
    let mut bed = Bed::start(&circle(1));
    bed.apply(&circle(bed.http.port()));
    assert_eq!(status(&ask(&bed, "GET /", "")), 500);
    assert!(web.heads().is_empty());
}
