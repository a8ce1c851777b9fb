//! The sticky cookie: which endpoint it names, and the one that is given out.

use std::fmt::Write;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::forward::Outgoing;
use crate::http1::{Known, RequestHead};
use crate::ir::{Affinity, Cookie, SameSite};
use crate::live::{Endpoint, Key};
use crate::table::{BackendRef, Route};

/// Octets of a tag in base64url.
const TAG: usize = 8;
/// Octets of a key in base64url.
const KEY: usize = 16;

/// The endpoint that the request's cookie names. A cookie of another backend or of another proxy names none; a client may
/// send several of the same name, for different paths.
pub fn named(head: &RequestHead, affinity: &Affinity) -> Option<Key> {
    let name = affinity.cookie.name.as_bytes();
    let own = |(cookie, value): (&[u8], &[u8])| if cookie == name { parse(value, affinity.tag) } else { None };
    head.cookies().find_map(own)
}

fn parse(value: &[u8], own: [u8; 6]) -> Option<Key> {
    let (tag, key) = value.split_at_checked(TAG)?;
    let key = key.strip_prefix(b".").filter(|key| key.len() == KEY)?;
    let (mut read, mut named) = ([0; 6], Key::default());
    URL_SAFE_NO_PAD.decode_slice(tag, &mut read).ok()?;
    URL_SAFE_NO_PAD.decode_slice(key, &mut named).ok()?;
    (read == own).then_some(named)
}

/// The value of `Set-Cookie` for a client whose cookie named `pinned` and whom `served` answered. `None` where the route
/// gives out no cookie and where the client has to keep the one that it has: its endpoint is still there and may fail only
/// for a while (`session-cookie-change-on-failure`).
pub fn cookie(
    route: &Route,
    backend: &BackendRef,
    affinity: &Affinity,
    request: &Outgoing<'_>,
    pinned: Option<Key>,
    served: &Endpoint,
) -> Option<Box<[u8]>> {
    let key = served.key().filter(|_| route.rule.policy.sticky)?;
    let keeps = |pinned: Key| {
        let is_there = || backend.live.endpoints.load().keyed(&pinned).is_some();
        pinned == key || (!affinity.cookie.change_on_failure && is_there())
    };
    if pinned.is_some_and(keeps) {
        return None;
    }
    let agent = request.head.fields.get(Known::UserAgent).unwrap_or_default();
    let is_tls = request.peer.is_https();
    let text = write(affinity, &key, route.rule.path.start(), is_tls, agent, SystemTime::now());
    Some(text.into_bytes().into())
}

/// Name, value and attributes, the latter in the order that ingress-nginx has.
fn write(affinity: &Affinity, key: &Key, path: &str, is_tls: bool, agent: &[u8], now: SystemTime) -> String {
    let Affinity { tag, cookie } = affinity;
    let Cookie { name, path: own, domain, expires, max_age, same_site, conditional_none, secure, .. } = &**cookie;
    let mut text = format!("{name}={}.{}", URL_SAFE_NO_PAD.encode(tag), URL_SAFE_NO_PAD.encode(key));
    let attribute = |text: &mut String, name: &str, value: &str| {
        // A path may hold what would end the attribute (RFC 6265 4.1.1, path-value); clients then take their default.
        if !value.bytes().any(|octet| octet == b';' || octet.is_ascii_control()) {
            // Writing to a String cannot fail.
            let _ = write!(text, "; {name}={value}");
        }
    };
    if let Some(seconds) = expires {
        attribute(&mut text, "Expires", &date(now + Duration::from_secs((*seconds).into())));
    }
    if let Some(seconds) = max_age {
        attribute(&mut text, "Max-Age", &seconds.to_string());
    }
    if let Some(domain) = domain {
        attribute(&mut text, "Domain", domain);
    }
    attribute(&mut text, "Path", own.as_deref().unwrap_or(path));
    if secure.unwrap_or(is_tls) {
        text.push_str("; Secure");
    }
    text.push_str("; HttpOnly");
    if let Some(same_site) = same_site
        && !(*conditional_none && *same_site == SameSite::None && misreads_none(agent))
    {
        attribute(&mut text, "SameSite", same_site.as_str());
    }
    text
}

/// `Thu, 26-Nov-26 12:00:00 GMT`: the form of Netscape's cookies as nginx writes it, with the year in full from 2038 on
/// (RFC 6265 5.1.1 takes two digits for years up to 2069).
fn date(time: SystemTime) -> String {
    let second = time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let time = i64::try_from(second).ok().and_then(|second| jiff::Timestamp::from_second(second).ok());
    let time = time.unwrap_or(jiff::Timestamp::MAX);
    let is_late = time.to_zoned(jiff::tz::TimeZone::UTC).year() > 2037;
    let form = if is_late { "%a, %d-%b-%Y %H:%M:%S GMT" } else { "%a, %d-%b-%y %H:%M:%S GMT" };
    time.strftime(form).to_string()
}

/// Whether a browser takes `SameSite=None` for `Strict` or drops the cookie: Chrome 50 to 69, everything on iOS 12, Safari
/// on macOS 10.14.
fn misreads_none(agent: &[u8]) -> bool {
    let agent = String::from_utf8_lossy(agent);
    let has = |part: &str| agent.contains(part);
    let chrome = agent.split_once("Chrome/").map(|(_, rest)| rest.split(|c: char| !c.is_ascii_digit()).next());
    let version = chrome.flatten().and_then(|version| version.parse::<u32>().ok());
    version.is_some_and(|version| (50..70).contains(&version))
        || has("iPhone OS 12_")
        || has("iPad; CPU OS 12_")
        || (has("Mac OS X 10_14") && has("Safari/") && !has("Chrome/") && !has("Chromium/"))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bytes::BytesMut;

    use super::*;

    const TAG_OCTETS: [u8; 6] = [0xff; 6];
    const KEY_OCTETS: Key = [1; 12];
    const VALUE: &str = "________.AQEBAQEBAQEBAQEB";

    fn affinity(cookie: Cookie) -> Affinity {
        Affinity { tag: TAG_OCTETS, cookie: Arc::new(cookie) }
    }

    fn plain() -> Cookie {
        Cookie {
            name: "INGRESSCOOKIE".into(),
            path: None,
            domain: None,
            expires: None,
            max_age: None,
            same_site: None,
            conditional_none: false,
            secure: None,
            change_on_failure: false,
        }
    }

    #[test]
    fn only_a_cookie_of_this_backend_names_an_endpoint() {
        for (cookies, expected) in [
            (format!("INGRESSCOOKIE={VALUE}"), true),
            (format!("a=b; INGRESSCOOKIE={VALUE};c=d"), true),
            (format!("INGRESSCOOKIE=________.AQEBAQEBAQEBAQEB, INGRESSCOOKIE={VALUE}"), false),
            (format!("INGRESSCOOKIE=AAAAAAAA.AQEBAQEBAQEBAQEB; INGRESSCOOKIE={VALUE}"), true),
            (format!("INGRESSCOOKIE=AAAAAAAA.AQEBAQEBAQEBAQEB\r\nCookie: INGRESSCOOKIE={VALUE}"), true),
            (format!("ingresscookie={VALUE}"), false),
            (format!("OTHER={VALUE}"), false),
            (format!("INGRESSCOOKIE=\"{VALUE}\""), false),
            (format!("INGRESSCOOKIE={VALUE}A"), false),
            ("INGRESSCOOKIE=AAAAAAAA.AQEBAQEBAQEBAQEB".to_owned(), false),
            ("INGRESSCOOKIE=________-AQEBAQEBAQEBAQEB".to_owned(), false),
            ("INGRESSCOOKIE=________.AQEBAQEBAQEBAQE=".to_owned(), false),
            ("INGRESSCOOKIE=________.AQEBAQEBAQEBAQ".to_owned(), false),
            ("INGRESSCOOKIE=1707744000.123.45.678901|8d8b4959".to_owned(), false),
            ("INGRESSCOOKIE=".to_owned(), false),
            ("INGRESSCOOKIE".to_owned(), false),
            ("x=y".to_owned(), false),
        ] {
            let sent = format!("GET / HTTP/1.1\r\nHost: a\r\nCookie: {cookies}\r\n\r\n");
            let head = RequestHead::parse(&mut BytesMut::from(&*sent), sent.len()).unwrap();
            assert_eq!(named(&head, &affinity(plain())), expected.then_some(KEY_OCTETS), "{cookies}");
        }
    }

    #[test]
    fn the_attributes_are_those_that_were_asked_for() {
        let now = UNIX_EPOCH + Duration::from_secs(784_111_777);
        let full = Cookie {
            name: "route".into(),
            path: Some("/shop".into()),
            domain: Some(".example".into()),
            expires: Some(60),
            max_age: Some(3600),
            same_site: Some(SameSite::Strict),
            secure: Some(true),
            ..plain()
        };
        for (cookie, path, is_tls, expected) in [
            (plain(), "/", false, format!("INGRESSCOOKIE={VALUE}; Path=/; HttpOnly")),
            (plain(), "/a", true, format!("INGRESSCOOKIE={VALUE}; Path=/a; Secure; HttpOnly")),
            (plain(), "/a;b", false, format!("INGRESSCOOKIE={VALUE}; HttpOnly")),
            (
                full,
                "/a",
                false,
                format!(
                    "route={VALUE}; Expires=Sun, 06-Nov-94 08:50:37 GMT; Max-Age=3600; Domain=.example; Path=/shop; \
                     Secure; HttpOnly; SameSite=Strict"
                ),
            ),
        ] {
            assert_eq!(write(&affinity(cookie), &KEY_OCTETS, path, is_tls, b"", now), expected);
        }
    }

    #[test]
    fn a_year_has_two_digits_as_long_as_everybody_knows_the_century() {
        for (second, written) in
            [(2_145_916_799, "Thu, 31-Dec-37 23:59:59 GMT"), (2_145_916_800, "Fri, 01-Jan-2038 00:00:00 GMT")]
        {
            assert_eq!(date(UNIX_EPOCH + Duration::from_secs(second)), written);
        }
    }

    #[test]
    fn what_was_written_is_read_again() {
        let written = write(&affinity(plain()), &KEY_OCTETS, "/", false, b"", UNIX_EPOCH);
        let value = written.split(['=', ';']).nth(1).unwrap();
        assert_eq!(parse(value.as_bytes(), TAG_OCTETS), Some(KEY_OCTETS));
    }

    #[test]
    fn browsers_that_misread_none_do_not_get_it_if_asked() {
        let mac = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_14_6) AppleWebKit/605.1.15 (KHTML, like Gecko)";
        for (agent, understands) in [
            (
                "Mozilla/5.0 (X11) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/50.0.2661.75 Safari/537.36".to_owned(),
                false,
            ),
            ("Mozilla/5.0 (X11) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/69.0 Safari/537.36".to_owned(), false),
            ("Mozilla/5.0 (X11) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/70.0 Safari/537.36".to_owned(), true),
            ("Mozilla/5.0 (X11) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/500.0 Safari/537.36".to_owned(), true),
            ("Mozilla/5.0 (iPhone; CPU iPhone OS 12_0 like Mac OS X) AppleWebKit/605.1.15".to_owned(), false),
            ("Mozilla/5.0 (iPad; CPU OS 12_4 like Mac OS X) AppleWebKit/605.1.15".to_owned(), false),
            ("Mozilla/5.0 (iPhone; CPU iPhone OS 13_0 like Mac OS X) AppleWebKit/605.1.15".to_owned(), true),
            (format!("{mac} Version/12.1.2 Safari/605.1.15"), false),
            (format!("{mac} Chrome/96.0.4664.110 Safari/537.36"), true),
            (String::new(), true),
        ] {
            for conditional_none in [true, false] {
                let cookie = Cookie { same_site: Some(SameSite::None), conditional_none, ..plain() };
                let text = write(&affinity(cookie), &KEY_OCTETS, "/", true, agent.as_bytes(), UNIX_EPOCH);
                let expected = understands || !conditional_none;
                assert_eq!(text.ends_with("; SameSite=None"), expected, "{agent} {conditional_none}");
            }
        }
    }
}
