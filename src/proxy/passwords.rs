//! Whether a client's password is right, without keeping a worker from its other requests.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, HashSet};
use std::future::Future;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use super::downstream::Client;
use super::reply::{Reply, Stop};
use super::worker::Worker;
use crate::filter::password;
use crate::http1::{Known, RequestHead};
use crate::ir::{Basic, Name, Password};
use crate::settings::Limit;
use crate::telemetry::Failure;

/// So many right passwords are remembered; then all are forgotten.
const REMEMBERED: usize = 4096;

/// What one worker knows of passwords: those that were right, as keyed hashes.
pub struct Passwords {
    key: Option<hmac::Key>,
    right: RefCell<HashSet<[u8; 32], foldhash::fast::RandomState>>,
    /// A comparison takes a whole processor for a while, so there is one at a time. It has its turn to its end, also when
    /// nobody waits for it any more.
    turn: Arc<Semaphore>,
    /// By Ingress: those of one must not keep those of another waiting.
    queues: RefCell<HashMap<Name, Rc<Queue>>>,
}

/// Requests for one Ingress that wait for a comparison.
struct Queue {
    /// Only the first of them waits for the turn, so Ingresses have it by turns.
    first: Arc<Semaphore>,
    waiting: Cell<u64>,
}

/// One comparison at a time: of its Ingress, and of the worker.
struct Turn {
    _of_all: OwnedSemaphorePermit,
    _of_own: OwnedSemaphorePermit,
}

impl Passwords {
    /// Nothing is known. Where the machine has no randomness nothing will be remembered.
    pub fn new() -> Passwords {
        let key = hmac::Key::generate(hmac::HMAC_SHA256, &aws_lc_rs::rand::SystemRandom::new()).ok();
        Passwords { key, right: RefCell::default(), turn: Arc::new(Semaphore::new(1)), queues: RefCell::default() }
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

    /// The queue of an Ingress. Those that nobody needs any more are forgotten.
    fn queue(&self, ingress: &Name) -> Rc<Queue> {
        let mut queues = self.queues.borrow_mut();
        queues.retain(|_, queue| Arc::strong_count(&queue.first) > 1);
        let new = || Rc::new(Queue { first: Arc::new(Semaphore::new(1)), waiting: Cell::new(0) });
        Rc::clone(queues.entry(ingress.clone()).or_insert_with(new))
    }

    fn remember(&self, mark: [u8; 32]) {
        let mut right = self.right.borrow_mut();
        if right.len() >= REMEMBERED {
            right.clear();
        }
        right.insert(mark);
    }
}

/// Whether the request has a user's name and password (RFC 7617). `Err`: too many wait to be told that of the same Ingress, or
/// it would wait for too long; or the client went away.
pub async fn is_known<C: Client>(
    worker: &Rc<Worker>,
    client: &C,
    ingress: &Name,
    basic: &Basic,
    head: &RequestHead,
) -> Result<bool, Stop> {
    let Some((user, given)) = credentials(head) else { return Ok(false) };
    let Some(stored) = basic.users.0.get(&*user) else { return Ok(false) };
    if stored.is_quick() {
        return Ok(password::is_right(&given, stored));
    }
    let passwords = worker.passwords();
    let mark = passwords.mark(&user, &given, stored);
    let is_remembered = || mark.is_some_and(|mark| passwords.right.borrow().contains(&mark));
    if is_remembered() {
        return Ok(true);
    }
    let turn = turn(worker, client, ingress).await?;
    if is_remembered() {
        return Ok(true);
    }
    let stored = stored.clone();
    let compared = tokio::task::spawn_blocking(move || {
        let is_right = password::is_right(&given, &stored);
        drop(turn);
        is_right
    });
    let is_right = unless_gone(client, None, compared).await?.is_some_and(|compared| compared.unwrap_or(false));
    if let Some(mark) = mark.filter(|_| is_right) {
        passwords.remember(mark);
    }
    Ok(is_right)
}

/// Waits for the turn to compare.
async fn turn<C: Client>(worker: &Rc<Worker>, client: &C, ingress: &Name) -> Result<Turn, Stop> {
    let passwords = worker.passwords();
    let limits = worker.limits();
    let queue = passwords.queue(ingress);
    if queue.waiting.get() >= limits.password_queue {
        return Err(busy(Limit::password_queue).into());
    }
    let _counted = Waiting::new(&queue.waiting);
    let until = Instant::now() + limits.password_time;
    let both = async {
        let own = Arc::clone(&queue.first).acquire_owned().await?;
        let all = Arc::clone(&passwords.turn).acquire_owned().await?;
        Ok::<_, AcquireError>(Turn { _of_all: all, _of_own: own })
    };
    match unless_gone(client, Some(until), both).await? {
        Some(Ok(turn)) => Ok(turn),
        // Nobody closes them.
        Some(Err(_)) | None => Err(busy(Limit::password_time).into()),
    }
}

/// The answer where passwords cannot be compared as fast as they come. A comparison takes a fraction of a second.
fn busy(limit: Limit) -> Reply {
    let mut reply = Reply { limit: Some(limit), ..Reply::failed(503, Failure::Shed) };
    reply.fields.push(("Retry-After", Bytes::from_static(b"1")));
    reply
}

/// What comes of `work`; `None` if that takes longer than `until`.
async fn unless_gone<C: Client, T>(
    client: &C,
    until: Option<Instant>,
    work: impl Future<Output = T>,
) -> Result<Option<T>, Stop> {
    let mut work = pin!(work);
    std::future::poll_fn(|cx| {
        if let Poll::Ready(done) = work.as_mut().poll(cx) {
            return Poll::Ready(Ok(Some(done)));
        }
        if client.poll_gone(cx).is_ready() {
            return Poll::Ready(Err(Stop::ClientGone));
        }
        match until {
            Some(until) => client.timer().poll(cx, until).map(|()| Ok(None)),
            None => Poll::Pending,
        }
    })
    .await
}

/// Counts a request among those that wait, until dropped.
struct Waiting<'a>(&'a Cell<u64>);

impl Waiting<'_> {
    fn new(waiting: &Cell<u64>) -> Waiting<'_> {
        waiting.set(waiting.get() + 1);
        Waiting(waiting)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.set(self.0.get().saturating_sub(1));
    }
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
