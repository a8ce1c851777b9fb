//! Whether a client's password is right, without keeping a worker from its other requests.

use std::cell::RefCell;
use std::collections::HashSet;
use std::rc::Rc;

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tokio::sync::Semaphore;

use super::worker::Worker;
use crate::filter::password;
use crate::http1::{Known, RequestHead};
use crate::ir::{Basic, Password};

/// So many right passwords are remembered; then all are forgotten.
const REMEMBERED: usize = 4096;

/// What one worker knows of passwords: those that were right, as keyed hashes.
pub struct Passwords {
    key: Option<hmac::Key>,
    right: RefCell<HashSet<[u8; 32], foldhash::fast::RandomState>>,
    /// A comparison takes a whole processor for a while, so there is one at a time.
    turn: Semaphore,
}

impl Passwords {
    /// Nothing is known. Where the machine has no randomness nothing will be remembered.
    pub fn new() -> Passwords {
        let key = hmac::Key::generate(hmac::HMAC_SHA256, &aws_lc_rs::rand::SystemRandom::new()).ok();
        Passwords { key, right: RefCell::default(), turn: Semaphore::new(1) }
    }

    /// Stands for a password of a user and what it was compared with.
    fn mark(&self, user: &[u8], given: &[u8], stored: &Password) -> Option<[u8; 32]> {
        let mut context = hmac::Context::with_key(self.key.as_ref()?);
        let (first, second): (&[u8], &[u8]) = match stored {
            Password::Bcrypt(hash) | Password::ShaCrypt(hash) => (hash.as_bytes(), b""),
            Password::Md5 { magic: _, salt, digest } => (salt.as_bytes(), digest.as_bytes()),
            Password::Sha1 { digest, salt } => (salt, digest),
            Password::Plain(text) => (text, b""),
        };
        for part in [user, given, first, second] {
            context.update(&(part.len() as u64).to_be_bytes());
            context.update(part);
        }
        context.sign().as_ref().try_into().ok()
    }

    fn remember(&self, mark: [u8; 32]) {
        let mut right = self.right.borrow_mut();
        if right.len() >= REMEMBERED {
            right.clear();
        }
        right.insert(mark);
    }
}

/// Whether the request has a user's name and password (RFC 7617).
pub async fn is_known(worker: &Rc<Worker>, basic: &Basic, head: &RequestHead) -> bool {
    let Some((user, given)) = credentials(head) else { return false };
    let Some(stored) = basic.users.0.get(&*user) else { return false };
    if stored.is_quick() {
        return password::is_right(&given, stored);
    }
    let passwords = worker.passwords();
    let mark = passwords.mark(&user, &given, stored);
    let is_remembered = || mark.is_some_and(|mark| passwords.right.borrow().contains(&mark));
    if is_remembered() {
        return true;
    }
    let Ok(_turn) = passwords.turn.acquire().await else { return false };
    if is_remembered() {
        return true;
    }
    let stored = stored.clone();
    let is_right = tokio::task::spawn_blocking(move || password::is_right(&given, &stored)).await.unwrap_or(false);
    if let Some(mark) = mark.filter(|_| is_right) {
        passwords.remember(mark);
    }
    is_right
}

/// The name of the user whom the request gives, if there is such a one. The password is not compared.
pub fn named(basic: &Basic, head: &RequestHead) -> Option<Vec<u8>> {
    let (user, _) = credentials(head)?;
    basic.users.0.contains_key(&*user).then_some(user)
}

/// Name and password of `Authorization: Basic`.
fn credentials(head: &RequestHead) -> Option<(Vec<u8>, Vec<u8>)> {
    let value = head.fields.get(Known::Authorization)?;
    let (scheme, rest) = value.split_at_checked(6)?;
    if !scheme.eq_ignore_ascii_case(b"basic ") {
        return None;
    }
    let mut user = STANDARD.decode(rest.trim_ascii()).ok()?;
    let colon = memchr::memchr(b':', &user)?;
    let mut given = user.split_off(colon);
    given.remove(0);
    Some((user, given))
}
