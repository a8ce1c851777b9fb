//! One endpoint's check: when it is due, and what its answers mean together. Pure: time and chance are arguments.

use std::time::{Duration, Instant};

use crate::ir::ActiveCheck;

/// The first check comes within this time; so many that become due at once do not come at once.
const FIRST: Duration = Duration::from_millis(500);
/// Checks that follow a failed first one are no further apart.
const START_PACE: Duration = Duration::from_secs(1);

/// How far the check of one endpoint is.
#[derive(Debug)]
pub(super) struct Course {
    /// When the next check is due.
    due: Instant,
    /// What the last one said; `None` = there was none.
    last: Option<bool>,
    /// How many in a row said the same.
    row: u32,
    /// How many of those to come keep the pace of a start.
    hurried: u32,
}

impl Course {
    /// Of an endpoint that appeared at `now`. `random` is in `0..1`.
    pub(super) fn new(now: Instant, random: f64) -> Course {
        Course { due: now + FIRST.mul_f64(random), last: None, row: 0, hurried: 0 }
    }

    /// When the next check is due.
    pub(super) fn due(&self) -> Instant {
        self.due
    }

    /// It is made later.
    pub(super) fn wait(&mut self, until: Instant) {
        self.due = until;
    }

    /// A check that began at `began` ended at `now`. `Some(true)`: the endpoint is healthy, `Some(false)`: it is not,
    /// whatever it was before; `None`: it stays what it was. `random` is in `0..1`.
    ///
    /// The first answer decides alone. Until it comes the endpoint is in use, and nothing speaks for it that one failure
    /// would have to outweigh; thresholds are there to keep what is known, and nothing is. So an endpoint that is dead at
    /// the start of the process is out within a second and a time-out, and not after `fall` intervals. In case that one
    /// failure was chance, the checks that may bring it back follow quickly.
    pub(super) fn ended(
        &mut self,
        is_success: bool,
        check: &ActiveCheck,
        began: Instant,
        now: Instant,
        random: f64,
    ) -> Option<bool> {
        let is_first = self.last.is_none();
        self.row = if self.last == Some(is_success) { self.row.saturating_add(1) } else { 1 };
        self.last = Some(is_success);
        if is_first && !is_success {
            self.hurried = check.rise;
        }
        let pace = if self.hurried > 0 { check.interval.min(START_PACE) } else { check.interval };
        self.hurried = self.hurried.saturating_sub(1);
        // An answer may take longer than the interval.
        self.due = (began + pace.mul_f64(0.9 + 0.2 * random)).max(now);
        let enough = if is_success { check.rise } else { check.fall };
        (is_first || self.row >= enough).then_some(is_success)
    }

    /// The check of `began` came to no answer, for a reason that is not the endpoint's.
    pub(super) fn skipped(&mut self, check: &ActiveCheck, began: Instant, now: Instant, random: f64) {
        self.due = (began + check.interval.mul_f64(0.9 + 0.2 * random)).max(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ir::Probe;

    fn check() -> ActiveCheck {
        ActiveCheck {
            probe: Probe::Tcp,
            port: None,
            interval: Duration::from_secs(5),
            timeout: Duration::from_secs(2),
            fall: 3,
            rise: 2,
        }
    }

    /// What a row of answers settles, each given at once: `+` healthy, `-` not, `.` nothing.
    fn settles(answers: &str) -> String {
        let now = Instant::now();
        let mut course = Course::new(now, 0.5);
        let mut settle = |answer| match course.ended(answer == '+', &check(), now, now, 0.5) {
            Some(true) => '+',
            Some(false) => '-',
            None => '.',
        };
        answers.chars().map(&mut settle).collect()
    }

    /// Seconds from one check to the next.
    fn distances(answers: &str, took: Duration, random: f64) -> Vec<f64> {
        let mut course = Course::new(Instant::now(), 0.5);
        let mut distance = |answer| {
            let began = course.due();
            course.ended(answer == '+', &check(), began, began + took, random);
            (course.due() - began).as_secs_f64()
        };
        answers.chars().map(&mut distance).collect()
    }

    #[test]
    fn the_first_check_comes_within_a_second() {
        let now = Instant::now();
        for random in [0.0, 0.3, 0.999_999] {
            let wait = Course::new(now, random).due() - now;
            assert!(wait < Duration::from_millis(501), "{wait:?}");
        }
        assert_eq!(Course::new(now, 0.0).due(), now);
    }

    #[test]
    fn the_first_answer_decides_alone() {
        assert_eq!(settles("+"), "+");
        assert_eq!(settles("-"), "-");
    }

    #[test]
    fn so_many_failures_in_a_row_settle_it_and_fewer_do_not() {
        assert_eq!(settles("+--+--+---"), "+........-");
        assert_eq!(settles("+----"), "+..--", "and each that follows says it again");
    }

    #[test]
    fn so_many_successes_in_a_row_settle_it_and_fewer_do_not() {
        assert_eq!(settles("-+-+-++"), "-.....+");
    }

    #[test]
    fn thresholds_of_one_settle_it_each_time() {
        let now = Instant::now();
        let check = ActiveCheck { fall: 1, rise: 1, ..check() };
        let mut course = Course::new(now, 0.5);
        for answer in [true, false, false, true, false] {
            assert_eq!(course.ended(answer, &check, now, now, 0.5), Some(answer));
        }
    }

    #[test]
    fn checks_begin_an_interval_apart_give_or_take_a_tenth() {
        for (random, distance) in [(0.0, 4.5), (0.5, 5.0), (1.0, 5.5)] {
            let found = distances("++-+", Duration::from_millis(3), random);
            assert!(found.iter().all(|found| (found - distance).abs() < 1e-6), "{found:?}");
        }
    }

    #[test]
    fn an_answer_that_takes_longer_than_the_interval_is_followed_at_once() {
        assert_eq!(distances("+-", Duration::from_secs(9), 0.5), [9.0, 9.0]);
    }

    #[test]
    fn after_a_failed_first_check_those_that_may_bring_it_back_follow_quickly() {
        assert_eq!(distances("-++++", Duration::ZERO, 0.5), [1.0, 1.0, 5.0, 5.0, 5.0]);
        assert_eq!(distances("-----", Duration::ZERO, 0.5), [1.0, 1.0, 5.0, 5.0, 5.0], "but not for ever");
        assert_eq!(distances("+----", Duration::ZERO, 0.5), [5.0; 5], "and only at the start");
    }

    #[test]
    fn a_check_without_an_answer_changes_nothing_but_the_time() {
        let now = Instant::now();
        let mut course = Course::new(now, 0.5);
        course.skipped(&check(), now, now, 0.5);
        assert_eq!(course.due(), now + Duration::from_secs(5));
        assert_eq!(course.ended(false, &check(), now, now, 0.5), Some(false), "the next is still the first");
    }
}
