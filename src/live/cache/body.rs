//! A body that is read while it comes in, by anybody, from any thread.

use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;

/// Bodies up to this size become one piece when they are whole, octets.
const ONE_PIECE: usize = 64 << 10;
/// Pieces are put together up to this size, octets: a back end may send octet by octet, and a piece takes far more memory than
/// an octet.
const SMALL: usize = 4096;

/// The octets of a body.
#[derive(Debug, Default)]
pub struct Body {
    /// Set once it is whole; from then on no lock is taken.
    whole: OnceLock<Box<[Piece]>>,
    coming: Mutex<Coming>,
}

/// Octets that stand together.
#[derive(Debug)]
struct Piece {
    /// Where they end in the body.
    end: u64,
    octets: Bytes,
}

#[derive(Debug, Default)]
struct Coming {
    pieces: Vec<Piece>,
    length: u64,
    end: Option<Next>,
    wakers: Vec<Waker>,
}

/// What follows in a body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// It breaks off.
    Broken,
    /// Its end.
    End,
    /// It became too long to be kept; whoever began to fetch it has the rest.
    Given,
    /// Octets.
    Part(Bytes),
}

impl Body {
    /// Appends a copy of `data`: parts of a read buffer would keep all of it.
    pub fn push(&self, data: &[u8]) {
        let mut coming = self.coming();
        coming.length += data.len() as u64;
        let end = coming.length;
        let mut octets = Bytes::copy_from_slice(data);
        // Only with one that is no longer, so that no octet is copied more than a few times.
        let is_joined = |before: usize, now: usize| before <= now && before + now <= SMALL;
        while let Some(before) = coming.pieces.pop_if(|before| is_joined(before.octets.len(), octets.len())) {
            octets = [before.octets, octets].concat().into();
        }
        coming.pieces.push(Piece { end, octets });
        wake(coming);
    }

    /// Nothing follows: it is whole, or `why` not.
    pub fn end(&self, why: Next) {
        let mut coming = self.coming();
        if why == Next::End {
            let pieces = std::mem::take(&mut coming.pieces);
            // It is ended once.
            let _is_first = self.whole.set(in_one_piece(pieces, coming.length));
        }
        coming.end = Some(why);
        wake(coming);
    }

    /// What follows after the first `from` octets: as many as stand together.
    pub fn poll_next(&self, cx: &mut Context<'_>, from: u64) -> Poll<Next> {
        if let Some(whole) = self.whole.get() {
            return Poll::Ready(after(whole, from).map_or(Next::End, Next::Part));
        }
        let mut coming = self.coming();
        if let Some(part) = after(&coming.pieces, from) {
            return Poll::Ready(Next::Part(part));
        }
        if let Some(whole) = self.whole.get() {
            return Poll::Ready(after(whole, from).map_or(Next::End, Next::Part));
        }
        match &coming.end {
            Some(end) => Poll::Ready(end.clone()),
            None => {
                if !coming.wakers.iter().any(|waker| waker.will_wake(cx.waker())) {
                    coming.wakers.push(cx.waker().clone());
                }
                Poll::Pending
            }
        }
    }

    /// Whether all of it is there.
    pub fn is_whole(&self) -> bool {
        self.whole.get().is_some()
    }

    /// Octets that are there.
    pub fn length(&self) -> u64 {
        self.coming().length
    }

    fn coming(&self) -> MutexGuard<'_, Coming> {
        self.coming.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Wakes who waits, without the lock.
fn wake(mut coming: MutexGuard<'_, Coming>) {
    let wakers = std::mem::take(&mut coming.wakers);
    drop(coming);
    wakers.into_iter().for_each(Waker::wake);
}

/// What stands behind the first `from` octets in the piece that holds them.
fn after(pieces: &[Piece], from: u64) -> Option<Bytes> {
    let Piece { end, octets } = pieces.get(pieces.partition_point(|piece| piece.end <= from))?;
    let left = usize::try_from(end - from).unwrap_or(usize::MAX).min(octets.len());
    Some(octets.slice(octets.len() - left..))
}

fn in_one_piece(pieces: Vec<Piece>, end: u64) -> Box<[Piece]> {
    if pieces.len() <= 1 || end > ONE_PIECE as u64 {
        return pieces.into();
    }
    let octets = pieces.into_iter().map(|piece| piece.octets).collect::<Vec<_>>().concat().into();
    [Piece { end, octets }].into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn next(body: &Body, from: u64) -> Poll<Next> {
        body.poll_next(&mut Context::from_waker(Waker::noop()), from)
    }

    fn part(text: &'static str) -> Poll<Next> {
        Poll::Ready(Next::Part(Bytes::from_static(text.as_bytes())))
    }

    #[test]
    fn it_is_read_while_it_comes_in_and_after() {
        let body = Body::default();
        assert_eq!(next(&body, 0), Poll::Pending);
        body.push(b"abc");
        body.push(b"de");
        assert_eq!((next(&body, 0), next(&body, 2), next(&body, 3)), (part("abc"), part("c"), part("de")));
        assert_eq!((next(&body, 5), body.is_whole()), (Poll::Pending, false));
        body.end(Next::End);
        assert_eq!(
            (next(&body, 0), next(&body, 4), next(&body, 5)),
            (part("abcde"), part("e"), Poll::Ready(Next::End))
        );
        assert_eq!((body.is_whole(), body.length()), (true, 5));
    }

    #[test]
    fn one_that_comes_octet_by_octet_takes_few_pieces() {
        let body = Body::default();
        for place in 0..200_000_u32 {
            body.push(&[place as u8]);
            let found = next(&body, place.into());
            assert_eq!(found, Poll::Ready(Next::Part(vec![place as u8].into())), "{place}");
        }
        assert!(body.coming().pieces.len() < 200, "{} pieces", body.coming().pieces.len());
        body.end(Next::End);
        let mut at = 0;
        while let Poll::Ready(Next::Part(octets)) = next(&body, at) {
            assert!(octets.iter().zip(at..).all(|(octet, place)| *octet == place as u8), "{at}");
            at += octets.len() as u64;
        }
        assert_eq!(at, 200_000);
    }

    #[test]
    fn one_that_breaks_off_is_never_whole() {
        for end in [Next::Broken, Next::Given] {
            let body = Body::default();
            body.push(b"abc");
            body.end(end.clone());
            assert_eq!((next(&body, 1), next(&body, 3), body.is_whole()), (part("bc"), Poll::Ready(end), false));
        }
    }
}
