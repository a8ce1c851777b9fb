//! Whether requests stay in our zone while endpoints there, or elsewhere, are set aside.

use super::*;

/// The endpoints of our zone, from 0 on, and those elsewhere, from 100 on.
fn zones(ours: u8, others: u8) -> Bed {
    let bed = Bed::new(0);
    bed.registry.set_endpoints(&id(), &both(ours, others));
    bed
}

fn both(ours: u8, others: u8) -> ir::EndpointSet {
    let mut all = set((0..ours).chain(100..100 + others));
    for endpoint in all.endpoints.iter_mut().skip(ours.into()) {
        endpoint.elsewhere = true;
    }
    all
}

impl Bed {
    /// How many get requests, and how many of other zones do not.
    fn layout(&self) -> (usize, usize) {
        let set = self.backend.endpoints.load();
        (set.candidates.len(), set.elsewhere.len())
    }

    fn judge_all(&self, places: std::ops::Range<usize>, is_healthy: bool) {
        let cells: Vec<Arc<Endpoint>> = self.backend.endpoints.load().iter().cloned().collect();
        for cell in &cells[places] {
            self.backend.judge(cell, is_healthy, "a check".into(), self.now);
        }
        self.assert_count_is_exact();
    }
}

#[test]
fn requests_stay_where_enough_are_and_go_to_all_where_few_are() {
    let layouts = [(1, 2), (1, 3), (2, 5), (3, 40), (0, 3), (2, 0)].map(|(ours, others)| zones(ours, others).layout());
    assert_eq!(layouts, [(1, 2), (4, 0), (7, 0), (3, 40), (3, 0), (2, 0)]);
}

#[test]
fn a_zone_that_fails_is_left_by_what_becomes_of_requests_alone() {
    for (ours, others) in [(1, 2), (2, 4), (3, 3), (4, 4), (10, 10)] {
        let bed = zones(ours, others);
        assert_eq!(bed.layout(), (ours.into(), others.into()));
        for place in 0..usize::from(ours) {
            bed.fail(place, 5);
        }
        assert_eq!(bed.layout(), (usize::from(ours + others), 0), "{ours} of ours, {others} of others");
        bed.assert_count_is_exact();
    }
}

#[test]
fn a_zone_of_which_most_is_set_aside_is_left_even_if_three_are_in_use() {
    let bed = zones(8, 8);
    bed.judge_all(0..4, false);
    assert_eq!(bed.layout(), (8, 8), "half of it is in use");
    bed.judge_all(4..5, false);
    assert_eq!(bed.layout(), (16, 0));
    bed.judge_all(4..5, true);
    assert_eq!(bed.layout(), (8, 8));
}

#[test]
fn where_all_zones_fail_all_are_used() {
    let bed = zones(3, 3);
    bed.judge_all(0..6, false);
    assert_eq!(bed.layout(), (6, 0));
    bed.judge_all(3..6, true);
    assert_eq!(bed.layout(), (6, 0), "ours still fails");
    bed.judge_all(0..3, true);
    assert_eq!(bed.layout(), (3, 3));
}

#[test]
fn those_of_other_zones_are_known_while_requests_stay_in_ours() {
    let mut bed = zones(3, 3);
    let slow_start = Duration::from_secs(60);
    bed.registry.set_starting(&id(), &both(3, 3), slow_start, bed.now);
    bed.judge_all(3..4, false);
    assert_eq!(bed.layout(), (3, 3));
    bed.after(60);
    bed.registry.ramp(&id(), slow_start, bed.now);
    bed.judge_all(0..2, false);
    let set = bed.backend.endpoints.load_full();
    assert_eq!((set.candidates.len(), set.aside(ASIDE)), (6, 3), "one of them is known to fail");
    assert_eq!(set.weights(), [10; 6], "none is new");
}

#[test]
fn an_ejection_in_another_zone_neither_draws_requests_into_ours_nor_lasts_for_ever() {
    for (ours, others) in [(1, 3), (2, 5)] {
        let bed = zones(ours, others);
        bed.fail(usize::from(ours), 5);
        assert_eq!(bed.standings()[usize::from(ours)], "ejected");
        assert_eq!(bed.layout(), (usize::from(ours + others), 0));
    }
    let mut bed = zones(3, 7);
    bed.settings.max_ejected = 10;
    bed.judge_all(0..2, false);
    bed.fail(3, 5);
    bed.judge_all(0..2, true);
    assert_eq!(bed.layout(), (3, 7));
    bed.fail(0, 50);
    assert_eq!(bed.standings(), ["ready"; 3], "a tenth of all is ejected already");
    bed.after(10).fail(0, 5);
    assert_eq!(bed.standings()[0], "ejected");
    bed.succeed(bed.pick(3).expect("its time is over"));
    assert_eq!(bed.endpoint(3).standing(), Standing::Ready);
}

#[test]
fn checks_that_fail_in_another_zone_draw_nothing_into_a_few_of_ours() {
    let bed = zones(1, 30);
    bed.judge_all(1..31, false);
    assert_eq!(bed.layout(), (31, 0), "it would get what thirty had, though the checks are the likelier cause");
}

#[test]
fn a_cookie_leads_to_another_zone() {
    let bed = Bed::new(0);
    let mut endpoints = both(3, 2);
    for (endpoint, number) in endpoints.endpoints.iter_mut().zip(0..) {
        endpoint.key = Some([number; 12]);
    }
    endpoints.endpoints[1].draining = true;
    bed.registry.set_endpoints(&id(), &endpoints);
    let found = |number: u8| {
        let set = bed.backend.endpoints.load_full();
        set.keyed(&[number; 12]).map(|(cell, is_candidate)| (cell.address.to_string(), is_candidate))
    };
    let expected = [("0", true), ("1", false), ("2", true), ("100", false), ("101", false)];
    for ((last, is_candidate), number) in expected.into_iter().zip(0..) {
        assert_eq!(found(number), Some((format!("10.0.0.{last}:80"), is_candidate)));
    }
    bed.judge_all(0..2, false);
    assert_eq!(found(4), Some(("10.0.0.101:80".to_owned(), true)), "it gets new clients now");
    assert_eq!(found(1), Some(("10.0.0.1:80".to_owned(), false)));
}

#[test]
fn control_is_told_when_requests_leave_and_when_they_come_back() {
    let bed = zones(2, 2);
    let mut heard = bed.registry.transitions().unwrap();
    bed.judge_all(0..2, false);
    bed.judge_all(0..2, true);
    let told: Vec<_> = std::iter::from_fn(|| heard.try_recv().ok())
        .map(|told| (told.in_use, told.candidates, told.stays_in_zone))
        .collect();
    assert_eq!(told, [(1, 2, None), (2, 4, Some(false)), (1, 2, Some(true)), (2, 2, None)]);
}
