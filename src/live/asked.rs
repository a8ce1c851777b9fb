//! How a service answers that is asked who may come in.

use std::sync::atomic::{AtomicU32, Ordering};

/// Questions in a row without a word that counts, after which the service is taken for broken.
const MANY: u32 = 5;

/// What a service that is asked who may come in said last.
#[derive(Debug, Default)]
pub struct Asked(AtomicU32);

/// What is wrong with its answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Silence {
    /// There are none.
    NoAnswer,
    /// They have this status, which says neither yes nor no.
    Status(u16),
}

impl Asked {
    /// It said yes or no.
    pub fn answered(&self) {
        if self.0.load(Ordering::Relaxed) != 0 {
            self.0.store(0, Ordering::Relaxed);
        }
    }

    /// It did not. Of failures that several workers see at once one may go uncounted.
    pub fn failed(&self, how: Silence) {
        let count = (self.0.load(Ordering::Relaxed) >> 16).saturating_add(1).min(MANY);
        let status = match how {
            Silence::NoAnswer => 0,
            Silence::Status(status) => status,
        };
        self.0.store(count << 16 | u32::from(status), Ordering::Relaxed);
    }

    /// What is wrong, once it failed often enough since it last said yes or no.
    pub fn fault(&self) -> Option<Silence> {
        let word = self.0.load(Ordering::Relaxed);
        let [high, low] = [word >> 16, word & 0xffff];
        (high >= MANY).then(|| match u16::try_from(low).unwrap_or(0) {
            0 => Silence::NoAnswer,
            status => Silence::Status(status),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn five_failures_in_a_row_are_a_fault_until_it_answers() {
        let asked = Asked::default();
        let fail = |how| (0..4).for_each(|_| asked.failed(how));
        fail(Silence::NoAnswer);
        asked.answered();
        fail(Silence::NoAnswer);
        assert_eq!(asked.fault(), None);
        asked.failed(Silence::NoAnswer);
        assert_eq!(asked.fault(), Some(Silence::NoAnswer));
        asked.failed(Silence::Status(404));
        assert_eq!(asked.fault(), Some(Silence::Status(404)));
        asked.answered();
        assert_eq!(asked.fault(), None);
    }
}
