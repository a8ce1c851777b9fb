//! The standing of endpoints over time, and the count of those set aside.

mod zone;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use proptest::prelude::*;

use crate::ir::{self, PassiveCheck};
use crate::live::standing::{ASIDE, EJECTED, PROBING, UNHEALTHY};
use crate::live::{Backend, Endpoint, EndpointSet, Fault, InFlight, Registry, Standing};

/// A backend with a clock that the test moves.
struct Bed {
    registry: Registry,
    backend: Arc<Backend>,
    settings: PassiveCheck,
    now: Instant,
}

impl Bed {
    fn new(endpoints: u8) -> Bed {
        let registry = Registry::new(1);
        let backend = registry.backend(&id());
        registry.set_endpoints(&id(), &set(0..endpoints));
        Bed { registry, backend, settings: PassiveCheck::default(), now: Instant::now() }
    }

    fn endpoint(&self, place: usize) -> Arc<Endpoint> {
        Arc::clone(&self.backend.endpoints.load().candidates[place])
    }

    fn after(&mut self, seconds: u64) -> &mut Bed {
        self.now += Duration::from_secs(seconds);
        self
    }

    /// A request to an endpoint, if it may be picked.
    fn pick(&self, place: usize) -> Option<InFlight> {
        let endpoint = self.endpoint(place);
        let is_open = endpoint.is_open(ASIDE, || self.backend.micros(self.now));
        is_open.then(|| endpoint.claim(ASIDE, None)).flatten()
    }

    fn fail(&self, place: usize, times: u32) -> &Bed {
        for _ in 0..times {
            let mut flight = self.endpoint(place).begin();
            self.backend.failed(&mut flight, Fault::Connect, &self.settings, self.now, self.now);
        }
        self
    }

    fn succeed(&self, mut flight: InFlight) {
        self.backend.succeeded(&mut flight, self.now, self.now, true);
    }

    fn standings(&self) -> Vec<&'static str> {
        self.backend.endpoints.load().candidates.iter().map(|endpoint| endpoint.standing().as_str()).collect()
    }

    /// How many seconds the endpoint stays ejected from now on.
    fn ejected_for(&mut self, place: usize) -> u64 {
        let start = self.now;
        let found = (0..1_000).find(|seconds| {
            self.now = start + Duration::from_secs(*seconds);
            self.endpoint(place).is_open(ASIDE, || self.backend.micros(self.now))
        });
        self.now = start;
        found.unwrap()
    }

    #[track_caller]
    fn assert_count_is_exact(&self) {
        assert_eq!(self.backend.endpoints.load().aside(ASIDE), aside(&self.backend.endpoints.load()));
    }
}

fn aside(set: &EndpointSet) -> usize {
    set.candidates.iter().filter(|endpoint| endpoint.standing.load(Ordering::Relaxed) & ASIDE != 0).count()
}

fn id() -> ir::BackendId {
    ir::BackendId::new(ir::Name::new("shop", "web"), ir::PortKey::Number(80))
}

fn set(numbers: impl IntoIterator<Item = u8>) -> ir::EndpointSet {
    let endpoint = |number| ir::Endpoint {
        address: ([10, 0, 0, number], 80).into(),
        pod: Some("pod".into()),
        weight: 1,
        key: None,
        draining: false,
        elsewhere: false,
    };
    ir::EndpointSet::of(numbers.into_iter().map(endpoint).collect())
}

#[test]
fn so_many_failures_in_a_row_eject() {
    let bed = Bed::new(3);
    bed.fail(0, 4);
    assert_eq!(bed.standings(), ["ready", "ready", "ready"]);
    bed.fail(0, 1);
    assert_eq!(bed.standings(), ["ejected", "ready", "ready"]);
    assert_eq!(&*bed.endpoint(0).history().unwrap().reason, "5 connect failures");
    assert!(bed.pick(0).is_none() && bed.pick(1).is_some());
    bed.assert_count_is_exact();
}

#[test]
fn what_may_not_be_ejected_is_failing_until_it_answers_and_that_is_told_once_in_a_while() {
    let mut bed = Bed::new(1);
    let mut heard = bed.registry.transitions().unwrap();
    let failing = |bed: &Bed| bed.endpoint(0).failing().map(|(since, why)| (bed.now - since, why.to_string()));
    bed.fail(0, 7);
    assert_eq!(failing(&bed), Some((Duration::ZERO, "5 connect failures".to_owned())));
    bed.after(2);
    bed.succeed(bed.pick(0).unwrap());
    assert_eq!(failing(&bed), None);
    bed.fail(0, 5);
    assert_eq!(failing(&bed), None, "told a moment ago");
    bed.after(8).fail(0, 1);
    assert_eq!(failing(&bed), Some((Duration::ZERO, "6 connect failures".to_owned())));
    let told: Vec<_> = std::iter::from_fn(|| heard.try_recv().ok()).map(|told| told.to).collect();
    assert_eq!(told, [Standing::Failing, Standing::Ready, Standing::Failing]);
    assert_eq!((bed.standings(), bed.backend.endpoints.load().has_aside()), (vec!["ready"], false));
}

#[test]
fn an_answer_from_before_says_nothing_of_what_is_failing_nor_does_what_was_before_it_was_away() {
    let mut bed = Bed::new(1);
    let before = bed.now;
    bed.after(1).fail(0, 5);
    let mut old = bed.endpoint(0).begin();
    bed.backend.succeeded(&mut old, before, bed.now, true);
    assert!(bed.endpoint(0).failing().is_some());
    bed.registry.set_endpoints(&id(), &set([]));
    bed.registry.set_endpoints(&id(), &set([0]));
    assert!(bed.endpoint(0).failing().is_none());
    bed.after(10).fail(0, 4);
    assert!(bed.endpoint(0).failing().is_none(), "the row began anew");
}

#[test]
fn that_changes_were_more_than_could_be_told_is_told() {
    let bed = Bed::new(1);
    let mut heard = bed.registry.transitions().unwrap();
    let lone = bed.endpoint(0);
    for turn in 0..2_000 {
        assert!(bed.backend.judge(&lone, turn % 2 == 1, "x".into(), bed.now));
    }
    assert_eq!([bed.registry.lost_transitions(), bed.registry.lost_transitions()], [true, false]);
    while heard.try_recv().is_ok() {}
    assert!(bed.backend.judge(&lone, false, "x".into(), bed.now) && !bed.registry.lost_transitions());
}

#[test]
fn what_is_failing_is_ejected_as_soon_as_it_may_be() {
    let mut bed = Bed::new(2);
    bed.fail(0, 5).fail(1, 5);
    assert_eq!(bed.standings(), ["ejected", "ready"]);
    assert!(bed.endpoint(1).failing().is_some());
    bed.after(10);
    bed.succeed(bed.pick(0).unwrap());
    bed.fail(1, 1);
    assert_eq!(bed.standings(), ["ready", "ejected"]);
    assert!(bed.endpoint(1).failing().is_none(), "it is more than that now");
    bed.assert_count_is_exact();
}

#[test]
fn a_success_ends_the_row() {
    let bed = Bed::new(3);
    bed.fail(0, 4);
    bed.succeed(bed.pick(0).unwrap());
    bed.fail(0, 4);
    assert_eq!(bed.standings(), ["ready"; 3]);
}

#[test]
fn each_ejection_is_twice_as_long_up_to_five_minutes() {
    let mut bed = Bed::new(3);
    bed.fail(0, 5);
    let mut lengths = Vec::new();
    for _ in 0..7 {
        let length = bed.ejected_for(0);
        lengths.push(length);
        // It comes back, and its first request fails.
        let mut probe = bed.after(length).pick(0).unwrap();
        bed.backend.failed(&mut probe, Fault::Timeout, &bed.settings, bed.now, bed.now);
        assert_eq!(&*bed.endpoint(0).history().unwrap().reason, "time-out");
    }
    assert_eq!(lengths, [10, 20, 40, 80, 160, 300, 300]);
    bed.assert_count_is_exact();
}

#[test]
fn time_in_use_is_forgiving() {
    for (in_use, length) in [(1, 20), (9, 20), (10, 10), (500, 10)] {
        let mut bed = Bed::new(3);
        bed.fail(0, 5);
        bed.after(10);
        bed.succeed(bed.pick(0).unwrap());
        bed.after(in_use).fail(0, 5);
        assert_eq!(bed.ejected_for(0), length, "after {in_use} s in use");
    }
}

#[test]
fn one_that_came_back_is_on_trial_until_it_is_forgiven() {
    for (in_use, failures, standing) in [(9, 2, "ready"), (9, 3, "ejected"), (10, 4, "ready"), (10, 5, "ejected")] {
        let mut bed = Bed::new(3);
        bed.fail(0, 5);
        bed.after(10);
        bed.succeed(bed.pick(0).unwrap());
        bed.after(in_use).fail(0, failures);
        assert_eq!(bed.standings()[0], standing, "{failures} failures after {in_use} s in use");
    }
}

#[test]
fn no_more_than_a_share_is_ejected_and_never_a_lone_one() {
    for (endpoints, most) in [(1, 0), (2, 1), (3, 1), (10, 5)] {
        let bed = Bed::new(endpoints);
        for place in 0..usize::from(endpoints) {
            bed.fail(place, 20);
        }
        assert_eq!(bed.standings().iter().filter(|standing| **standing == "ejected").count(), most, "of {endpoints}");
        assert!(!bed.backend.endpoints.load().is_panic(ASIDE, 50), "of {endpoints}");
        bed.assert_count_is_exact();
    }
    let mut lone = Bed::new(1);
    lone.settings.max_ejected = 100;
    lone.fail(0, 20);
    assert_eq!(lone.standings(), ["ready"]);
}

#[test]
fn one_request_at_a_time_tries_an_ejected_endpoint_when_its_time_is_over() {
    let mut bed = Bed::new(3);
    bed.fail(0, 5);
    let probe = bed.after(10).pick(0).unwrap();
    assert!(bed.pick(0).is_none(), "somebody tries it");
    bed.succeed(probe);
    assert_eq!(bed.standings(), ["ready"; 3]);
    let both = (bed.pick(0), bed.pick(0));
    assert!(both.0.is_some() && both.1.is_some());
    bed.assert_count_is_exact();
}

#[test]
fn a_probe_that_is_abandoned_lets_another_try() {
    let mut bed = Bed::new(3);
    bed.fail(0, 5);
    bed.after(10);
    drop(bed.pick(0).unwrap());
    assert_eq!(bed.standings()[0], "ejected");
    let probe = bed.pick(0).unwrap();
    assert_eq!(bed.endpoint(0).standing.load(Ordering::Relaxed), EJECTED | PROBING);
    bed.succeed(probe);
    assert_eq!(bed.endpoint(0).standing.load(Ordering::Relaxed), 0);
}

#[test]
fn requests_from_before_the_ejection_say_nothing_about_the_time_after() {
    let mut bed = Bed::new(3);
    let began = bed.now;
    let mut old: Vec<InFlight> = (0..20).map(|_| bed.pick(0).unwrap()).collect();
    bed.after(1).fail(0, 5);
    bed.after(30);
    let (now, settings) = (bed.now, bed.settings.clone());
    old.iter_mut().for_each(|flight| bed.backend.failed(flight, Fault::Timeout, &settings, began, now));
    assert_eq!(bed.ejected_for(0), 0, "its time is over and was not made longer");
    bed.backend.succeeded(&mut old[0], began, now, true);
    assert_eq!(bed.standings()[0], "ejected", "a late success does not take it back");
    bed.succeed(bed.pick(0).unwrap());
    old.iter_mut().for_each(|flight| bed.backend.failed(flight, Fault::Timeout, &settings, began, now));
    assert_eq!(bed.standings(), ["ready"; 3], "nor do late failures eject it again");
}

#[test]
fn requests_of_the_pod_before_say_nothing_about_the_one_that_has_its_address() {
    let mut bed = Bed::new(3);
    let began = bed.now;
    let mut old: Vec<InFlight> = (0..20).map(|_| bed.pick(0).unwrap()).collect();
    bed.after(1);
    let mut next = set(0..3);
    next.endpoints[0].pod = Some("another".into());
    bed.registry.set_starting(&id(), &next, Duration::ZERO, bed.now);
    bed.after(1);
    let (now, settings) = (bed.now, bed.settings.clone());
    old.iter_mut().for_each(|flight| bed.backend.failed(flight, Fault::Timeout, &settings, began, now));
    assert_eq!(bed.standings(), ["ready"; 3]);
    bed.fail(0, 5);
    assert_eq!(bed.standings()[0], "ejected", "its own failures count");
}

#[test]
fn an_endpoint_comes_back_at_once_where_ejections_do_not_count_any_more() {
    let bed = Bed::new(3);
    bed.fail(0, 5);
    let mut flight = bed.endpoint(0).claim(0, None).unwrap();
    bed.backend.succeeded(&mut flight, bed.now, bed.now, false);
    assert_eq!(bed.standings(), ["ready"; 3]);
    bed.assert_count_is_exact();
}

#[test]
fn a_probe_ends_with_its_answer_if_another_request_brought_the_endpoint_back() {
    let mut bed = Bed::new(3);
    bed.fail(0, 5);
    bed.after(10);
    let mut tunnel = bed.pick(0).unwrap();
    let mut other = bed.endpoint(0).claim(0, None).unwrap();
    bed.backend.succeeded(&mut other, bed.now, bed.now, true);
    bed.backend.succeeded(&mut tunnel, bed.now, bed.now, true);
    bed.after(1).fail(0, 5);
    assert_eq!(bed.standings()[0], "ejected");
    bed.after(60);
    assert!(bed.pick(0).is_some(), "the tunnel goes on, and does not stand for the next probe");
    drop(tunnel);
}

#[test]
fn what_is_not_judged_does_not_count_as_set_aside() {
    let bed = Bed::new(4);
    for place in 0..3 {
        bed.backend.judge(&bed.endpoint(place), false, "status 500".into(), bed.now);
    }
    bed.fail(0, 5);
    let set = bed.backend.endpoints.load();
    assert_eq!([ASIDE, UNHEALTHY, EJECTED, 0].map(|judged| set.aside(judged)), [3, 3, 1, 0]);
    assert_eq!([ASIDE, UNHEALTHY, EJECTED, 0].map(|judged| set.is_panic(judged, 50)), [true, true, false, false]);
    assert_eq!(set.weight_aside(UNHEALTHY), set.weight / 4 * 3);
}

#[test]
fn an_endpoint_that_returns_is_not_unhealthy_by_an_old_check() {
    let bed = Bed::new(3);
    let _runs = bed.endpoint(0).begin();
    bed.backend.judge(&bed.endpoint(0), false, "status 500".into(), bed.now);
    bed.registry.set_endpoints(&id(), &set(1..3));
    bed.registry.set_endpoints(&id(), &set(0..3));
    assert_eq!(bed.standings(), ["ready"; 3]);
    bed.assert_count_is_exact();
}

#[test]
fn checks_and_requests_set_aside_on_their_own() {
    let mut bed = Bed::new(4);
    bed.fail(0, 5);
    assert!(bed.backend.judge(&bed.endpoint(0), false, "status 500".into(), bed.now));
    assert!(!bed.backend.judge(&bed.endpoint(0), false, "status 500".into(), bed.now), "it is already");
    assert_eq!(bed.standings()[0], "unhealthy");
    bed.assert_count_is_exact();
    bed.after(10);
    assert!(bed.pick(0).is_none(), "a check took it out, a check takes it back");
    assert!(bed.backend.judge(&bed.endpoint(0), true, "2 successes".into(), bed.now));
    assert_eq!(bed.standings()[0], "ejected");
    bed.succeed(bed.pick(0).unwrap());
    assert_eq!(bed.standings(), ["ready"; 4]);
    bed.assert_count_is_exact();
}

#[test]
fn a_check_that_fails_does_not_bring_forgiven_ejections_back() {
    let mut bed = Bed::new(4);
    for seconds in [10, 20, 40] {
        bed.fail(0, 5);
        bed.after(seconds);
        bed.succeed(bed.pick(0).unwrap());
    }
    assert_eq!(bed.standings(), ["ready"; 4], "ejected three times, and back");
    bed.after(70);
    for is_healthy in [false, true] {
        bed.backend.judge(&bed.endpoint(0), is_healthy, "a check".into(), bed.now);
        bed.after(1);
    }
    bed.fail(0, 4);
    assert_eq!(bed.standings(), ["ready"; 4], "half the credit would be for one that is not forgiven");
    bed.fail(0, 1);
    assert_eq!(bed.ejected_for(0), 10, "as for the first time");
}

#[test]
fn while_a_check_keeps_it_out_nothing_is_forgiven() {
    let mut bed = Bed::new(4);
    bed.fail(0, 5);
    bed.after(10);
    bed.succeed(bed.pick(0).unwrap());
    bed.after(4);
    bed.backend.judge(&bed.endpoint(0), false, "a check".into(), bed.now);
    bed.after(100).fail(0, 3);
    bed.backend.judge(&bed.endpoint(0), true, "a check".into(), bed.now);
    assert_eq!(bed.ejected_for(0), 20, "it was in use for 4 s of the 10 that the ejection took");
}

#[test]
fn fewer_in_use_than_the_threshold_is_panic() {
    let bed = Bed::new(4);
    let panics: Vec<bool> = (0..4)
        .map(|place| {
            bed.backend.judge(&bed.endpoint(place), false, "refused".into(), bed.now);
            bed.backend.endpoints.load().is_panic(ASIDE, 50)
        })
        .collect();
    assert_eq!(panics, [false, false, true, true]);
    assert!(bed.backend.endpoints.load().is_panic(ASIDE, 0), "with none in use all are used");
}

#[test]
fn control_is_told_of_each_change_and_never_waited_for() {
    let mut bed = Bed::new(2);
    let mut heard = bed.registry.transitions().unwrap();
    assert!(bed.registry.transitions().is_none(), "one listens");
    bed.fail(0, 5);
    bed.after(10);
    bed.succeed(bed.pick(0).unwrap());
    let mut next = || heard.try_recv().ok().map(|told| (told.from, told.to, told.reason.to_string(), told.in_use));
    assert_eq!(next(), Some((Standing::Ready, Standing::Ejected, "5 connect failures".to_owned(), 1)));
    assert_eq!(next(), Some((Standing::Ejected, Standing::Ready, "a request succeeded".to_owned(), 2)));
    assert_eq!(next(), None);
    for change in 0..5_000 {
        bed.backend.judge(&bed.endpoint(0), change % 2 == 1, "flaps".into(), bed.now);
    }
    assert_eq!(std::iter::from_fn(next).count(), 1_024, "the rest is dropped");
}

#[test]
fn standing_stays_with_an_address_until_another_pod_has_it() {
    let bed = Bed::new(4);
    bed.fail(0, 5);
    bed.registry.set_endpoints(&id(), &set([0, 1, 7]));
    assert_eq!(bed.standings(), ["ejected", "ready", "ready"]);
    let flight = bed.endpoint(0).begin();
    bed.registry.set_endpoints(&id(), &set([1, 7]));
    assert_eq!(bed.backend.endpoints.load().aside(ASIDE), 0);
    bed.registry.set_endpoints(&id(), &set([0, 1, 7]));
    assert_eq!((bed.standings()[0], bed.backend.endpoints.load().aside(ASIDE)), ("ejected", 1));
    let mut other = set([0, 1, 7]);
    other.endpoints[0].pod = Some("another".into());
    bed.registry.set_endpoints(&id(), &other);
    assert_eq!((bed.standings()[0], bed.backend.endpoints.load().aside(ASIDE)), ("ready", 0));
    drop(flight);
}

#[test]
fn the_count_is_exact_while_sets_and_standings_change_at_once() {
    let bed = Bed::new(20);
    let settings = PassiveCheck { consecutive: 1, eject: Duration::ZERO, max_ejected: 100, on_5xx: false };
    std::thread::scope(|scope| {
        for thread in 0..2 {
            let (bed, settings) = (&bed, &settings);
            scope.spawn(move || {
                let mut random = fastrand::Rng::with_seed(thread);
                for _ in 0..20_000 {
                    let set = bed.backend.endpoints.load_full();
                    let endpoint = random.choice(set.iter().collect::<Vec<_>>()).unwrap();
                    let mut flight = Arc::clone(endpoint).begin();
                    if random.bool() {
                        bed.backend.failed(&mut flight, Fault::Reset, settings, bed.now, bed.now);
                    } else {
                        bed.backend.succeeded(&mut flight, bed.now, bed.now, true);
                    }
                    bed.backend.judge(endpoint, random.bool(), "check".into(), bed.now);
                }
            });
        }
        let mut layouts = [0; 2];
        for round in 0..500_u32 {
            let mut next = set((0..20).filter(|number| (round >> (number % 5)) & 1 == 0 || *number < 3));
            next.endpoints.iter_mut().skip(8).for_each(|endpoint| endpoint.elsewhere = true);
            bed.registry.set_endpoints(&id(), &next);
            layouts[usize::from(bed.backend.endpoints.load().stays_in_zone())] += 1;
        }
        assert!(layouts.iter().all(|count| *count > 20), "requests leave our zone and come back: {layouts:?}");
    });
    bed.assert_count_is_exact();
    assert!(bed.backend.endpoints.load().settled().is_none(), "they are where they belong");
}

proptest! {
    #[test]
    fn whatever_happens_the_count_is_exact_and_the_share_is_kept(
        steps in prop::collection::vec((0_u8..6, 0_usize..8, 1_u64..40), 1..200),
        max_ejected in 0_u8..=100,
    ) {
        let mut bed = Bed::new(8);
        bed.settings.max_ejected = max_ejected;
        for (step, place, seconds) in steps {
            match step {
                0..=2 => _ = bed.fail(place, 3),
                3 => bed.pick(place).into_iter().for_each(|flight| bed.succeed(flight)),
                4 => drop(bed.pick(place)),
                _ => _ = bed.after(seconds),
            }
            bed.assert_count_is_exact();
            let ejected = bed.backend.endpoints.load().aside(ASIDE);
            let most = (8 * usize::from(max_ejected) / 100).max(usize::from(max_ejected > 0));
            prop_assert!(ejected <= most, "{ejected} of 8");
            prop_assert!(bed.backend.endpoints.load().candidates.iter()
                .all(|endpoint| endpoint.standing.load(Ordering::Relaxed) & PROBING == 0));
        }
        prop_assert_eq!(bed.backend.in_flight(), 0);
    }
}
