//! The time of day, read once a second where that is enough.

use std::cell::{Cell, RefCell};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::telemetry::moment;

/// One worker's clock.
pub struct Clock {
    date: RefCell<String>,
    second: Cell<u64>,
}

impl Default for Clock {
    fn default() -> Self {
        Clock { date: RefCell::default(), second: Cell::new(u64::MAX) }
    }
}

impl Clock {
    /// Nanoseconds since the epoch.
    pub fn now_nanos(&self) -> i64 {
        moment::nanos()
    }

    /// Milliseconds since the epoch.
    pub fn now_millis(&self) -> u64 {
        self.now_nanos().cast_unsigned() / 1_000_000
    }

    /// Calls `with` with the present `Date` (RFC 9110 5.6.7).
    pub fn with_date(&self, with: impl FnOnce(&[u8])) {
        let second = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        if self.second.replace(second) != second {
            *self.date.borrow_mut() = http_date(second);
        }
        with(self.date.borrow().as_bytes());
    }
}

fn http_date(second: u64) -> String {
    let Ok(time) = jiff::Timestamp::from_second(second.cast_signed()) else { return String::new() };
    time.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_is_in_the_fixed_form() {
        assert_eq!(http_date(784_111_777), "Sun, 06 Nov 1994 08:49:37 GMT");
    }
}
