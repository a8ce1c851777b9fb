//! OpenSSL's lists of cipher suites (ciphers(1)), as far as they are about suites that are here.

use super::ingress::annotations::{Refusal, Value, shorten};
use crate::ir::Cipher;

/// What is said of suites that are not here.
const HINT: &str = "leave it out; suites with ECDHE and AES-GCM or ChaCha20 are offered";
/// So many of them are told by name.
const MOST_TOLD: usize = 5;

/// Takes a list from `value`. What of it is not here is told, and the rest counts; where nothing is left, none of it does.
pub(super) fn take(value: &Value<'_>, set: impl FnOnce(Box<[Cipher]>)) -> Result<(), Refusal> {
    let List { suites, others } = read(value.plain()?);
    if suites.is_empty() {
        return Err(Refusal::Invalid("has no cipher suite that is offered".to_owned()));
    }
    set(suites.into());
    if others.is_empty() {
        return Ok(());
    }
    let told: Vec<String> = others.iter().take(MOST_TOLD).map(|other| format!("{:?}", shorten(other))).collect();
    let more = others.len().saturating_sub(told.len());
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    let verb = if others.len() == 1 { "is" } else { "are" };
    Err(Refusal::Ignored(format!("{}{more} {verb} not offered; the rest is", told.join(", ")), HINT))
}

/// The suites, where they are not all there are, in their own order.
pub(super) fn unless_all(suites: Box<[Cipher]>) -> Option<Box<[Cipher]>> {
    (*suites != Cipher::ALL).then_some(suites)
}

/// What a list comes to.
#[derive(Debug, Default, PartialEq)]
struct List<'a> {
    /// In its order.
    suites: Vec<Cipher>,
    /// What it asks for that is not here.
    others: Vec<&'a str>,
}

fn read(text: &str) -> List<'_> {
    let mut list = List::default();
    let mut killed = Vec::new();
    let mut least_bits = 0;
    for element in text.split([':', ',', ' ', ';']) {
        // A command needs no separator before it.
        let mut commands = element.split('@');
        let words = commands.next().unwrap_or_default();
        list.apply(words, &mut killed);
        for command in commands {
            match command.split_once('=') {
                // Stronger ones first, else as they stand.
                None if command == "STRENGTH" => list.suites.sort_by_key(|suite| std::cmp::Reverse(bits(*suite))),
                // SSL_CTX_set_security_level(3): all of them come to level 3.
                Some(("SECLEVEL", level)) if matches!(level.parse(), Ok(0..=5_u8)) => {
                    least_bits = if matches!(level, "4" | "5") { 192 } else { 0 };
                }
                _ => list.others.push(element),
            }
        }
    }
    list.suites.retain(|suite| bits(*suite) >= least_bits);
    list
}

impl<'a> List<'a> {
    /// Adds, takes away or moves what an element names. What was killed never comes back.
    fn apply(&mut self, element: &'a str, killed: &mut Vec<Cipher>) {
        let (act, words) = match element.split_at_checked(1) {
            Some((act @ ("!" | "-" | "+"), words)) => (act, words),
            _ => ("", element),
        };
        let List { suites, others } = self;
        let selected: Vec<Cipher> = Cipher::ALL.into_iter().filter(|suite| is(*suite, words)).collect();
        match act {
            _ if words.is_empty() => {}
            "!" => {
                suites.retain(|suite| !selected.contains(suite));
                killed.extend(selected);
            }
            "-" => suites.retain(|suite| !selected.contains(suite)),
            "+" => suites.sort_by_key(|suite| selected.contains(suite)),
            _ if selected.is_empty() && !is_of_tls13(words) => others.push(element),
            _ => {
                let is_new = |suite: &Cipher| !suites.contains(suite) && !killed.contains(suite);
                let new: Vec<Cipher> = selected.into_iter().filter(is_new).collect();
                suites.extend(new);
            }
        }
    }
}

/// Those are offered whatever the list says.
fn is_of_tls13(name: &str) -> bool {
    ["TLS_AES_", "TLS_CHACHA20_"].iter().any(|start| name.starts_with(start))
}

/// Whether all words between the plus signs are true of a suite.
fn is(suite: Cipher, words: &str) -> bool {
    let has = |part: &str| suite.name.split('-').any(|own| own == part);
    words.split('+').all(|word| match word {
        "ALL" | "DEFAULT" | "HIGH" | "TLSv1.2" | "ECDHE" | "EECDH" | "ECDH" | "kECDHE" | "kEECDH" => true,
        "aECDSA" | "ECDSA" => has("ECDSA"),
        "aRSA" => has("RSA"),
        "AES" | "AESGCM" => has("GCM"),
        "FIPS" => !has("CHACHA20"),
        "AES128" | "AES256" | "CHACHA20" => has(word),
        _ => suite.name.eq_ignore_ascii_case(word),
    })
}

/// Bits of its key.
fn bits(suite: Cipher) -> u16 {
    if suite.name.contains("AES128") { 128 } else { 256 }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ECDSA: [&str; 3] =
        ["ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-ECDSA-AES256-GCM-SHA384", "ECDHE-ECDSA-CHACHA20-POLY1305"];
    const RSA: [&str; 3] =
        ["ECDHE-RSA-AES128-GCM-SHA256", "ECDHE-RSA-AES256-GCM-SHA384", "ECDHE-RSA-CHACHA20-POLY1305"];

    /// Suites as in `E1 R2 EC`, then after a bar what is not here.
    fn short(text: &str) -> String {
        let List { suites, others } = read(text);
        let name = |suite: &Cipher| {
            let place = |names: &[&str; 3]| names.iter().position(|name| *name == suite.name);
            let (kind, at) = place(&ECDSA).map(|at| ('E', at)).or(place(&RSA).map(|at| ('R', at))).unwrap();
            format!("{kind}{}", ["1", "2", "C"][at])
        };
        let suites: Vec<String> = suites.iter().map(name).collect();
        format!("{}|{}", suites.join(" "), others.join(" "))
    }

    #[test]
    fn a_list_is_read_as_openssl_reads_it() {
        for (text, expected) in [
            ("ECDHE-RSA-AES256-GCM-SHA384:ECDHE-RSA-AES128-GCM-SHA256", "R2 R1|"),
            ("ecdhe-rsa-aes256-gcm-sha384", "R2|"),
            ("HIGH", "E1 R1 E2 EC R2 RC|"),
            ("DEFAULT:!aNULL:!MD5:!kRSA", "E1 R1 E2 EC R2 RC|"),
            ("EECDH+AESGCM:EDH+AESGCM", "E1 R1 E2 R2|EDH+AESGCM"),
            ("ECDHE+CHACHA20:ECDHE+AES256", "EC RC E2 R2|"),
            ("HIGH:!ECDSA:!CHACHA20", "R1 R2|"),
            ("ALL:-AES128:ECDHE-RSA-AES128-GCM-SHA256", "E2 EC R2 RC R1|"),
            ("ALL:!AES128:ECDHE-RSA-AES128-GCM-SHA256", "E2 EC R2 RC|"),
            ("ALL:+AES128", "E2 EC R2 RC E1 R1|"),
            ("ALL:@STRENGTH", "E2 EC R2 RC E1 R1|"),
            ("HIGH:!aRSA@STRENGTH", "E2 EC E1|"),
            ("ALL:@SECLEVEL=3", "E1 R1 E2 EC R2 RC|"),
            ("@SECLEVEL=5:ALL", "E2 EC R2 RC|"),
            ("ALL:@SECLEVEL=9", "E1 R1 E2 EC R2 RC|@SECLEVEL=9"),
            ("FIPS+aRSA, AES128-SHA RC4-SHA", "R1 R2|AES128-SHA RC4-SHA"),
            ("TLS_AES_128_GCM_SHA256:aECDSA+AES", "E1 E2|"),
            ("RC4:DHE:kRSA", "|RC4 DHE kRSA"),
            ("HIGH:!ALL", "|"),
            ("+:!:-::+", "|"),
        ] {
            assert_eq!(short(text), expected, "{text}");
        }
    }
}
