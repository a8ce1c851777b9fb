//! Keys about TLS to clients.

use super::Read;
use super::table::{Row, sets};
use crate::compile::ciphers;
use crate::compile::ingress::annotations::SWITCH;
use crate::compile::ingress::annotations::{Refusal, Value, shorten};
use crate::ir::Group;

pub(super) const ROWS: &[Row] = &[
    sets(
        "ssl-ciphers",
        "",
        ciphers,
        "write a list of OpenSSL, as in ECDHE-RSA-AES128-GCM-SHA256:ECDHE+CHACHA20:!aNULL",
        "cipher suites of TLS 1.2, in their order: ECDHE with AES-GCM or ChaCha20; all of them if not set",
    ),
    sets(
        "ssl-ecdh-curve",
        "auto",
        groups,
        "write auto, or names of OpenSSL with colons between, as in X25519:prime256v1",
        "groups for the exchange of keys, out of X25519MLKEM768, X25519, prime256v1, secp384r1; of those the client chooses",
    ),
    sets(
        "ssl-protocols",
        "TLSv1.2 TLSv1.3",
        protocols,
        "write TLSv1.2, TLSv1.3 or both",
        "versions of TLS; older ones than 1.2 are never spoken",
    ),
    sets(
        "ssl-reject-handshake",
        "false",
        |value, to| value.boolean().map(|is| to.globals.tls.rejects_unknown = is),
        SWITCH,
        "end handshakes for names that no Ingress has, rather than serve the default certificate",
    ),
    sets(
        "ssl-session-cache",
        "true",
        |value, to| value.boolean().map(|is| to.globals.tls.no_cache = !is),
        SWITCH,
        "keep sessions in memory where there are no tickets",
    ),
    sets(
        "ssl-session-tickets",
        "true",
        |value, to| value.boolean().map(|is| to.globals.tls.no_tickets = !is),
        SWITCH,
        "give clients tickets by which they resume a session",
    ),
];

fn protocols(value: &Value<'_>, to: &mut Read) -> Result<(), Refusal> {
    let words: Vec<&str> = value.words()?.collect();
    let has = |word: &str| words.iter().any(|own| own.eq_ignore_ascii_case(word));
    let (has_12, has_13) = (has("TLSv1.2"), has("TLSv1.3"));
    if !has_12 && !has_13 {
        return Err(Refusal::Invalid("has no version that is spoken".to_owned()));
    }
    (to.globals.tls.no_tls12, to.globals.tls.no_tls13) = (!has_12, !has_13);
    let is_known = |word: &&&str| ["TLSv1.2", "TLSv1.3"].iter().any(|known| known.eq_ignore_ascii_case(word));
    match words.iter().find(|word| !is_known(word)) {
        None => Ok(()),
        Some(other) => Err(Refusal::Ignored(
            format!("{:?} is not spoken; the rest is", shorten(other)),
            "leave it out; TLS 1.2 and 1.3 are safe",
        )),
    }
}

fn ciphers(value: &Value<'_>, to: &mut Read) -> Result<(), Refusal> {
    ciphers::take(value, |suites| to.globals.tls.ciphers = ciphers::unless_all(suites))
}

fn groups(value: &Value<'_>, to: &mut Read) -> Result<(), Refusal> {
    let names: Vec<&str> = value.plain()?.split([':', ',', ' ']).filter(|name| !name.is_empty()).collect();
    if names.iter().all(|name| name.eq_ignore_ascii_case("auto")) {
        return Ok(());
    }
    let known: Vec<Group> = names.iter().filter_map(|name| Group::named(name)).collect();
    if known.is_empty() {
        return Err(Refusal::Invalid("has no group that is offered".to_owned()));
    }
    to.globals.tls.groups = Some(known.into());
    match names.iter().find(|name| Group::named(name).is_none()) {
        None => Ok(()),
        Some(name) => Err(Refusal::Ignored(
            format!("{:?} is not offered; the rest is", shorten(name)),
            "leave it out; X25519MLKEM768, X25519, prime256v1 and secp384r1 are offered",
        )),
    }
}
