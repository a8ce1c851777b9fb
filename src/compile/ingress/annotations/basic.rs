//! Annotations about passwords.

use std::sync::Arc;

use super::Settings;
use super::table::Effect::Honoured;
use super::table::{Guard, Row, both};
use super::value::{Refusal, Value};
use crate::compile::said::Told;
use crate::ir::Kind;

/// What they say.
#[derive(Clone, Debug, Default, PartialEq)]
pub(in crate::compile) struct Said {
    /// `auth-type: basic`.
    pub(in crate::compile) is_on: bool,
    /// `auth-secret`, as written.
    pub(in crate::compile) secret: Option<Told<Arc<str>>>,
    /// `auth-secret-type: auth-map`: each key of the Secret is a user.
    pub(in crate::compile) is_map: bool,
    /// `auth-realm`.
    pub(in crate::compile) realm: Option<Arc<str>>,
}

pub(super) const ROWS: &[Row] = &[
    both("auth-realm", Honoured(realm))
        .takes("write letters, digits, spaces and - . _ ~ / :")
        .guarding(Guard::Authentication)
        .medium()
        .does("", "what browsers show"),
    both("auth-secret", Honoured(secret))
        .takes("write the name of a Secret")
        .guarding(Guard::Authentication)
        .names(Kind::Secret)
        .medium()
        .does("", "the passwords"),
    both("auth-secret-type", Honoured(secret_type))
        .takes("one of: auth-file, auth-map")
        .guarding(Guard::Authentication)
        .does("auth-file", "`auth-file`: its key `auth` is an htpasswd file; `auth-map`: each key is a user"),
    both("auth-type", Honoured(kind))
        .takes("one of: basic")
        .guarding(Guard::Authentication)
        .does("", "asks for a password"),
];

fn kind(value: &Value<'_>, to: &mut Settings) -> Result<(), Refusal> {
    match value.plain()? {
        "basic" => to.basic.is_on = true,
        "digest" => {
            let hint = "write basic, and serve the host over TLS only".to_owned();
            return Err(Refusal::Mistaken("is not honoured".to_owned(), hint));
        }
        _ => return Err(Refusal::Invalid("is no kind of authentication".to_owned())),
    }
    Ok(())
}

fn secret(value: &Value<'_>, to: &mut Settings) -> Result<(), Refusal> {
    to.basic.secret = Some(value.told(value.plain()?.into()));
    Ok(())
}

fn secret_type(value: &Value<'_>, to: &mut Settings) -> Result<(), Refusal> {
    to.basic.is_map = match value.plain()? {
        "auth-file" => false,
        "auth-map" => true,
        _ => return Err(Refusal::Invalid("is neither auth-file nor auth-map".to_owned())),
    };
    Ok(())
}

/// `off` would switch authentication off in nginx; its author may have meant that, or the word.
fn realm(value: &Value<'_>, to: &mut Settings) -> Result<(), Refusal> {
    let text = value.plain()?;
    if text == "off" {
        let hint = "remove auth-type to serve without passwords, or write another realm".to_owned();
        return Err(Refusal::Mistaken("is no realm".to_owned(), hint));
    }
    if !text.bytes().all(|octet| octet.is_ascii_alphanumeric() || b" -._~/:,!?()".contains(&octet)) {
        return Err(Refusal::Invalid("has a character that a realm must not have".to_owned()));
    }
    to.basic.realm = Some(text.into());
    Ok(())
}
