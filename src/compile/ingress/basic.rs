//! Who has a password: the Secret that `auth-secret` names.

use std::collections::BTreeMap;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::annotations::{self, Settings};
use crate::compile::claim::problem;
use crate::compile::view::View;
use crate::ir::{Basic, Object, Password, Problem, Reason, Severity, Users};
use crate::snapshot::{Ingress, SecretContent, SecretParts};

/// The passwords that the annotations ask for. `Err`: they ask for some that are not there, so that nobody may come in.
pub(super) fn basic(
    settings: &Settings,
    ingress: &Ingress,
    view: &mut View<'_>,
    problems: &mut Vec<Problem>,
) -> Result<Option<Arc<Basic>>, ()> {
    let said = &settings.basic;
    if !said.is_on {
        return Ok(None);
    }
    let object = &ingress.meta.object;
    let mut broken = |reason, field: String, message: String, hint: &str| {
        let message = format!("{message}, so the paths of this Ingress answer 503");
        problems.push(problem(object, Severity::Error, reason, field, message, hint));
    };
    let Some(secret) = &said.secret else {
        let (message, hint) = ("auth-type: basic needs auth-secret", "name the Secret with the passwords");
        broken(Reason::AccessRuleBroken, "metadata.annotations".to_owned(), message.to_owned(), hint);
        return Err(());
    };
    let field = annotations::field(&secret.annotation);
    let own = &object.name.namespace;
    let Some(name) = annotations::reference(&secret.value, own) else {
        let message = format!("{:?} is no name of a Secret", &*secret.value);
        broken(Reason::AccessRuleBroken, field, message, "name the Secret with the passwords");
        return Err(());
    };
    if name.namespace != *own && !view.ground.keys.crosses_namespaces {
        let message = format!("Secret {name} is in another namespace");
        broken(Reason::CrossNamespace, field, message, "name a Secret of the namespace of the Ingress");
        return Err(());
    }
    let Some(found) = view.secret(&name) else {
        broken(Reason::SecretNotFound, field, format!("there is no Secret {name}"), "create it");
        return Err(());
    };
    if let SecretContent::Forbidden(why) = &found.current {
        let message = format!("Secret {name} cannot be read: {why}");
        broken(Reason::SecretForbidden, field, message, "let the controller get Secrets");
        return Err(());
    }
    let (users, unusable) = match users(&found.others, said.is_map) {
        Ok(read) => read,
        Err(why) => {
            broken(Reason::AccessRuleBroken, field, format!("Secret {name} {why}"), HINT);
            return Err(());
        }
    };
    for user in unusable {
        let message = format!("the password of {user:?} in Secret {name} cannot be read, so {user:?} cannot log in");
        problems.push(unreadable(object, &field, message));
    }
    let challenge = format!("Basic realm=\"{}\"", said.realm.as_deref().unwrap_or_default());
    Ok(Some(Arc::new(Basic { challenge: challenge.into(), users })))
}

/// A comparison that costs more would keep all other users waiting for seconds: 2^14 rounds of bcrypt.
const MOST_COST: u32 = 14;
/// The same for SHA-crypt.
const MOST_ROUNDS: u32 = 1_000_000;

const HINT: &str = "write its key auth with htpasswd, or set auth-secret-type: auth-map for one key a user";

fn unreadable(object: &Arc<Object>, field: &str, message: String) -> Problem {
    let hint = "write it with htpasswd -B";
    problem(object, Severity::Warning, Reason::AnnotationInvalid, field, message, hint)
}

/// Users with their passwords, and names of those whose password cannot be read.
fn users(parts: &SecretParts, is_map: bool) -> Result<(Users, Vec<String>), &'static str> {
    let (mut users, mut unusable) = (BTreeMap::new(), Vec::new());
    let mut add = |name: &[u8], stored: &[u8]| match password(stored) {
        // The first of several counts, as in nginx.
        Some(password) => drop(users.entry(name.into()).or_insert(password)),
        None => unusable.push(String::from_utf8_lossy(name).chars().take(64).collect()),
    };
    if is_map {
        parts.iter().for_each(|(name, stored)| add(name.as_bytes(), stored.trim_ascii()));
    } else {
        let file = parts.get("auth").ok_or("has no key auth")?;
        for line in file.split(|octet| *octet == b'\n').map(<[u8]>::trim_ascii).filter(|line| !line.is_empty()) {
            let mut fields = line.split(|octet| *octet == b':');
            match (fields.next(), fields.next()) {
                (Some([b'#', ..]), _) => {}
                (Some(name), Some(stored)) => add(name, stored),
                (name, _) => add(name.unwrap_or_default(), b""),
            }
        }
    }
    if users.is_empty() && unusable.is_empty() {
        return Err("names no user");
    }
    Ok((Users(users), unusable))
}

/// What is stored of a password, in the forms that htpasswd and nginx know. `None` for others, crypt(3) of DES included.
fn password(stored: &[u8]) -> Option<Password> {
    let text = str::from_utf8(stored).ok()?;
    let decode = |text: &str| STANDARD.decode(text).ok();
    if let Some(plain) = text.strip_prefix("{PLAIN}") {
        return Some(Password::Plain(plain.as_bytes().into()));
    }
    if let Some(digest) = text.strip_prefix("{SHA}").and_then(decode).filter(|digest| digest.len() == 20) {
        return Some(Password::Sha1 { digest: digest.into(), salt: Box::default() });
    }
    if let Some(both) = text.strip_prefix("{SSHA}").and_then(decode) {
        let (digest, salt) = both.split_at_checked(20)?;
        return Some(Password::Sha1 { digest: digest.into(), salt: salt.into() });
    }
    for magic in ["$apr1$", "$1$"] {
        if let Some(rest) = text.strip_prefix(magic) {
            let (salt, digest) = rest.split_once('$')?;
            let is_right = salt.len() <= 8 && digest.len() == 22 && digest.is_ascii();
            return is_right.then(|| Password::Md5 { magic, salt: salt.into(), digest: digest.into() });
        }
    }
    let starts = |magics: &[&str]| magics.iter().any(|magic| text.starts_with(magic)) && text.is_ascii();
    if starts(&["$2a$", "$2b$", "$2y$", "$2x$"]) {
        let cost: u32 = text.get(4..6)?.parse().ok()?;
        return (text.len() == 60 && cost <= MOST_COST).then(|| Password::Bcrypt(text.into()));
    }
    let rounds = text.get(3..)?.strip_prefix("rounds=").and_then(|rest| rest.split('$').next());
    let is_bounded = rounds.is_none_or(|rounds| rounds.parse::<u32>().is_ok_and(|rounds| rounds <= MOST_ROUNDS));
    (starts(&["$5$", "$6$"]) && is_bounded).then(|| Password::ShaCrypt(text.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_read_in_the_forms_of_htpasswd() {
        for (stored, is_read) in [
            ("$apr1$abcdefgh$h9FWgUz3n9YxylKLlR5SQ/", true),
            ("$1$abcdefgh$h9FWgUz3n9YxylKLlR5SQ/", true),
            ("$apr1$abcdefgh$short", false),
            ("$apr1$ninechars$h9FWgUz3n9YxylKLlR5SQ/", false),
            ("$2y$04$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW", true),
            ("$2y$04$abc", false),
            ("$2y$31$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW", false),
            ("$6$rounds=999999999$saltsalt$x", false),
            ("$6$rounds=5000$saltsalt$x", true),
            ("{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=", true),
            ("{SHA}5en6", false),
            ("{SSHA}5en6G6MezRroT3XKqkdPOmY/BfRzYWx0", true),
            ("{SSHA}%", false),
            ("{PLAIN}secret", true),
            ("$6$saltsalt$x", true),
            ("rqXexS6ZhobKA", false),
            ("", false),
        ] {
            assert_eq!(password(stored.as_bytes()).is_some(), is_read, "{stored}");
        }
    }

    #[test]
    fn a_file_has_a_user_a_line_and_a_map_a_user_a_key() {
        let parts = |text: &str| SecretParts::of([("auth".to_owned(), text.as_bytes().to_vec())].into());
        let (found, bad) =
            users(&parts("# x\nann:{PLAIN}a\r\nbob:{PLAIN}b:comment\n\neve:junk\nnone\n"), false).unwrap();
        assert_eq!(found.0.keys().map(|name| str::from_utf8(name).unwrap()).collect::<Vec<_>>(), ["ann", "bob"]);
        assert_eq!(bad, ["eve", "none"]);
        assert_eq!(users(&parts("{PLAIN}x"), true).unwrap().0.0.len(), 1);
        assert_eq!(users(&parts(""), false).unwrap_err(), "names no user");
        assert_eq!(users(&SecretParts::default(), false).unwrap_err(), "has no key auth");
    }
}
