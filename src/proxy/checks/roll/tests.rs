//! Which endpoints are checked, and what their cells are told.

use std::time::Duration;

use super::*;
use crate::ir::{self, Probe};
use crate::live::standing::ASIDE;
use crate::live::{Key, Registry};

/// Backends with a clock that the test moves and back ends that answer as it says.
struct Bed {
    registry: Registry,
    roll: Roll,
    now: Instant,
}

impl Bed {
    fn new() -> Bed {
        Bed { registry: Registry::new(1), roll: Roll::new(fastrand::Rng::with_seed(5)), now: Instant::now() }
    }

    /// The endpoints of a Service; a minus before the number: it drains.
    fn set(&mut self, service: &str, numbers: &[i8]) {
        let endpoint = |&number: &i8| endpoint(number.unsigned_abs(), "pod", number < 0);
        let set = ir::EndpointSet::of(numbers.iter().map(endpoint).collect());
        self.registry.set_endpoints(&id(service), &set);
        self.roll.look(self.now);
    }

    fn follow(&mut self, checks: &[(&str, ActiveCheck)]) {
        let checked = |(service, check): &(&str, ActiveCheck)| Checked {
            backend: self.registry.backend(&id(service)),
            check: Arc::new(check.clone()),
            identity: None,
        };
        let list: Vec<Checked> = checks.iter().map(checked).collect();
        self.roll.follow(&list, self.now);
    }

    /// Lets time pass; each check that becomes due is answered at once by `answer`, which gets the last number of the
    /// address. Gives those numbers in order.
    fn pass(&mut self, seconds: u64, answer: impl Fn(u8) -> Result<(), Failure>) -> Vec<u8> {
        let end = self.now + Duration::from_secs(seconds);
        let mut asked = Vec::new();
        while let Some(due) = self.roll.next_due().filter(|due| *due <= end) {
            self.now = self.now.max(due);
            while let Some(task) = self.roll.take_due(self.now) {
                asked.push(number(task.address));
                self.roll.ended(task.ticket, self.now, Some(answer(number(task.address))), self.now);
            }
        }
        self.now = end;
        asked
    }

    fn standings(&self, service: &str) -> Vec<&'static str> {
        let backend = self.registry.backend(&id(service));
        backend.endpoints.load().iter().map(|endpoint| endpoint.standing().as_str()).collect()
    }

    fn cell(&self, service: &str, place: usize) -> Arc<Endpoint> {
        Arc::clone(&self.registry.backend(&id(service)).endpoints.load().candidates[place])
    }
}

fn endpoint(number: u8, pod: &str, draining: bool) -> ir::Endpoint {
    ir::Endpoint {
        address: ([10, 0, 0, number], 80).into(),
        pod: Some(pod.into()),
        weight: 1,
        key: None,
        draining,
        elsewhere: false,
    }
}

fn number(address: SocketAddr) -> u8 {
    match address.ip() {
        std::net::IpAddr::V4(ip) => ip.octets()[3],
        std::net::IpAddr::V6(_) => 0,
    }
}

fn id(service: &str) -> BackendId {
    BackendId::new(ir::Name::new("shop", service), ir::PortKey::Number(80))
}

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

fn good(_: u8) -> Result<(), Failure> {
    Ok(())
}

fn bad(_: u8) -> Result<(), Failure> {
    Err(Failure::Status(503))
}

#[test]
fn an_endpoint_is_in_use_until_its_first_check_fails() {
    let mut bed = Bed::new();
    bed.set("web", &[1, 2]);
    bed.follow(&[("web", check())]);
    assert_eq!(bed.standings("web"), ["ready", "ready"]);
    assert!(bed.roll.next_due().unwrap() <= bed.now + Duration::from_secs(1));
    let mut asked = bed.pass(1, |number| if number == 1 { bad(1) } else { Ok(()) });
    asked.sort_unstable();
    assert_eq!(asked[..2], [1, 2]);
    assert_eq!(bed.standings("web"), ["unhealthy", "ready"]);
    assert_eq!(&*bed.cell("web", 0).history().unwrap().reason, "status 503");
    assert_eq!(bed.registry.backend(&id("web")).endpoints.load().aside(ASIDE), 1);
}

#[test]
fn so_many_failures_in_a_row_set_it_aside_and_so_many_successes_bring_it_back() {
    let mut bed = Bed::new();
    bed.set("web", &[1]);
    bed.follow(&[("web", check())]);
    assert_eq!(bed.pass(1, good).len(), 1);
    // Within 6 s there is one check, or two.
    let mut failed = 0;
    while bed.standings("web") == ["ready"] {
        failed += bed.pass(1, bad).len();
    }
    assert_eq!(failed, 3);
    let mut succeeded = 0;
    while bed.standings("web") == ["unhealthy"] {
        succeeded += bed.pass(1, good).len();
    }
    assert_eq!(succeeded, 2);
    assert_eq!(&*bed.cell("web", 0).history().unwrap().reason, "checks succeed");
}

#[test]
fn each_check_is_seen_at_the_endpoint_with_its_time() {
    let mut bed = Bed::new();
    bed.set("web", &[1]);
    bed.follow(&[("web", check())]);
    let backend = bed.registry.backend(&id("web"));
    assert_eq!(backend.last_check(&bed.cell("web", 0)), None);
    bed.pass(1, good);
    let last = backend.last_check(&bed.cell("web", 0)).unwrap();
    assert!(bed.now.saturating_duration_since(last) <= Duration::from_millis(1_100));
}

#[test]
fn an_equal_check_goes_on_and_another_begins_anew() {
    let mut bed = Bed::new();
    bed.set("web", &[1]);
    bed.follow(&[("web", check())]);
    bed.pass(1, good);
    let due = bed.roll.next_due();
    bed.follow(&[("web", check()), ("api", check())]);
    bed.follow(&[("web", check())]);
    bed.set("web", &[1]);
    assert_eq!(bed.roll.next_due(), due, "nothing that concerns it changed");
    bed.follow(&[("web", ActiveCheck { interval: Duration::from_secs(60), ..check() })]);
    let anew = bed.roll.next_due().unwrap();
    assert!(anew < due.unwrap() && anew <= bed.now + Duration::from_secs(1), "first checked within a second");
}

#[test]
fn failures_are_counted_on_through_changes_of_anything_else() {
    let mut bed = Bed::new();
    bed.set("web", &[1, 2]);
    bed.follow(&[("web", check())]);
    bed.pass(1, good);
    let mut failed = 0;
    while failed < 2 {
        failed += bed.pass(1, |number| if number == 1 { bad(1) } else { Ok(()) }).iter().filter(|n| **n == 1).count();
        bed.set("web", &[1, 2, 3 + failed as i8]);
        bed.set("api", &[9]);
        bed.follow(&[("web", check()), ("api", check())]);
    }
    assert_eq!(bed.standings("web")[0], "ready");
    while failed < 3 {
        failed += bed.pass(1, |number| if number == 1 { bad(1) } else { Ok(()) }).iter().filter(|n| **n == 1).count();
    }
    assert_eq!(bed.standings("web")[0], "unhealthy");
}

#[test]
fn checks_go_on_when_keys_of_cookies_come_and_go() {
    let mut bed = Bed::new();
    let with_key = |bed: &mut Bed, key: Option<Key>| {
        let set = ir::EndpointSet::of(vec![ir::Endpoint { key, ..endpoint(1, "pod", false) }]);
        bed.registry.set_endpoints(&id("web"), &set);
        bed.roll.look(bed.now);
    };
    with_key(&mut bed, None);
    bed.follow(&[("web", check())]);
    bed.pass(1, good);
    let due = bed.roll.next_due();
    for key in [Some([1; 12]), None, Some([1; 12])] {
        with_key(&mut bed, key);
        assert_eq!(bed.roll.next_due(), due, "{key:?}");
    }
    while bed.pass(1, bad).is_empty() {}
    assert_eq!(bed.standings("web"), ["ready"], "one failure is not the first answer");
    with_key(&mut bed, Some([2; 12]));
    assert!(bed.roll.next_due().unwrap() <= bed.now + Duration::from_secs(1), "a Pod that was made anew is another");
}

#[test]
fn endpoints_of_other_zones_are_checked_too() {
    let mut bed = Bed::new();
    let elsewhere = ir::Endpoint { elsewhere: true, ..endpoint(2, "pod", false) };
    let set = ir::EndpointSet::of(vec![endpoint(1, "pod", false), elsewhere]);
    bed.registry.set_endpoints(&id("web"), &set);
    bed.follow(&[("web", check())]);
    let mut asked = bed.pass(1, good);
    asked.sort_unstable();
    assert_eq!((asked, bed.cell("web", 0).address), (vec![1, 2], set.endpoints[0].address));
}

#[test]
fn an_answer_says_nothing_about_the_pod_that_has_the_address_since() {
    let mut bed = Bed::new();
    bed.set("web", &[1]);
    bed.follow(&[("web", check())]);
    bed.now = bed.roll.next_due().unwrap();
    let task = bed.roll.take_due(bed.now).unwrap();
    let set = ir::EndpointSet::of(vec![endpoint(1, "another", false)]);
    bed.registry.set_endpoints(&id("web"), &set);
    bed.roll.ended(task.ticket, bed.now, Some(bad(1)), bed.now);
    assert_eq!(bed.standings("web"), ["ready"]);
    bed.roll.look(bed.now);
    assert_eq!(bed.pass(1, bad)[..1], [1], "it is asked for itself");
    assert_eq!(bed.standings("web"), ["unhealthy"]);
}

#[test]
fn what_the_old_check_found_stands_until_the_new_one_has_an_answer() {
    let mut bed = Bed::new();
    bed.set("web", &[1]);
    bed.follow(&[("web", check())]);
    bed.pass(1, bad);
    bed.follow(&[("web", ActiveCheck { port: Some(81), ..check() })]);
    assert_eq!(bed.standings("web"), ["unhealthy"]);
    assert_eq!(bed.pass(1, good).len(), 1);
    assert_eq!(bed.standings("web"), ["ready"], "its first answer decides");
}

#[test]
fn where_nothing_is_checked_any_more_nothing_is_unhealthy() {
    let mut bed = Bed::new();
    bed.set("web", &[1, 2]);
    bed.follow(&[("web", check())]);
    bed.pass(1, bad);
    bed.follow(&[]);
    assert_eq!(bed.standings("web"), ["ready", "ready"]);
    assert_eq!(bed.registry.backend(&id("web")).endpoints.load().aside(ASIDE), 0);
    assert_eq!(bed.roll.next_due(), None);
}

#[test]
fn an_endpoint_that_leaves_is_forgotten() {
    let mut bed = Bed::new();
    bed.set("web", &[1, 2]);
    bed.follow(&[("web", check())]);
    bed.pass(1, good);
    let cell = Arc::downgrade(&bed.cell("web", 0));
    bed.set("web", &[2]);
    bed.registry.sweep();
    assert!(cell.upgrade().is_none(), "nothing holds it");
    assert_eq!(bed.roll.entries.len(), 1);
    assert!(bed.pass(30, good).iter().all(|number| *number == 2));
}

#[test]
fn an_answer_that_comes_after_its_endpoint_left_has_no_effect() {
    let mut bed = Bed::new();
    bed.set("web", &[1]);
    bed.follow(&[("web", check())]);
    bed.now += Duration::from_secs(1);
    let task = bed.roll.take_due(bed.now).unwrap();
    bed.set("web", &[]);
    bed.set("web", &[1]);
    bed.roll.ended(task.ticket, bed.now, Some(bad(1)), bed.now);
    assert_eq!(bed.standings("web"), ["ready"]);
    assert_eq!(bed.roll.due.len(), 1, "its new check is due once");
}

#[test]
fn another_pod_at_the_address_is_another_endpoint() {
    let mut bed = Bed::new();
    bed.set("web", &[1]);
    bed.follow(&[("web", check())]);
    bed.pass(1, bad);
    let other = ir::EndpointSet::of(vec![endpoint(1, "another", false)]);
    bed.registry.set_endpoints(&id("web"), &other);
    assert_eq!(bed.standings("web"), ["ready"], "it serves at once");
    bed.roll.look(bed.now);
    assert!(bed.roll.next_due().unwrap() <= bed.now + Duration::from_secs(1));
    bed.pass(1, bad);
    assert_eq!(bed.standings("web"), ["unhealthy"], "its first answer decides");
}

#[test]
fn what_drains_is_not_touched() {
    let mut bed = Bed::new();
    bed.set("web", &[1, 2]);
    bed.follow(&[("web", check())]);
    bed.pass(1, good);
    bed.set("web", &[1, -2]);
    assert!(bed.pass(60, bad).iter().all(|number| *number == 1));
    assert_eq!(bed.standings("web"), ["unhealthy", "ready"]);
}

#[test]
fn one_endpoint_of_two_services_has_two_checks_and_the_port_that_is_asked_for() {
    let mut bed = Bed::new();
    bed.set("web", &[1]);
    bed.set("api", &[1]);
    bed.follow(&[("web", check()), ("api", ActiveCheck { port: Some(8081), ..check() })]);
    bed.now += Duration::from_secs(1);
    let mut asked: Vec<u16> =
        std::iter::from_fn(|| bed.roll.take_due(bed.now)).map(|task| task.address.port()).collect();
    asked.sort_unstable();
    assert_eq!(asked, [80, 8081]);
    assert_eq!(bed.roll.next_due(), None, "both are under way");
}

#[test]
fn a_check_that_we_could_not_make_says_nothing_about_the_endpoint() {
    let mut bed = Bed::new();
    bed.set("web", &[1]);
    bed.follow(&[("web", check())]);
    bed.now += Duration::from_secs(1);
    let task = bed.roll.take_due(bed.now).unwrap();
    bed.roll.ended(task.ticket, bed.now, None, bed.now);
    assert_eq!(bed.standings("web"), ["ready"]);
    assert!(bed.roll.next_due().is_some());
}

#[test]
fn a_backend_whose_endpoints_hang_leaves_room_for_others() {
    let mut bed = Bed::new();
    bed.set("hangs", &(1..=100).collect::<Vec<i8>>());
    bed.set("web", &[101]);
    bed.follow(&[("hangs", check()), ("web", check())]);
    let now = bed.now + Duration::from_secs(1);
    let mut under_way: Vec<Task> = std::iter::from_fn(|| bed.roll.take_due(now)).collect();
    assert_eq!(under_way.len(), MOST_OF_ONE + 1);
    assert!(under_way.iter().any(|task| number(task.address) == 101));
    for _ in 0..2 {
        let Task { ticket, .. } = under_way.remove(0);
        bed.roll.ended(ticket, now, Some(good(1)), now);
    }
    let later = now + check().timeout;
    let next: Vec<Task> = std::iter::from_fn(|| bed.roll.take_due(later)).collect();
    assert!((1..=2).contains(&next.len()), "as many as there are places, not {}", next.len());
}

#[test]
fn another_identity_is_shown_from_the_next_check_on_and_restarts_none() {
    let mut bed = Bed::new();
    bed.set("web", &[1]);
    let follow = |bed: &mut Bed, name: &str| {
        let settings = Arc::new(ir::BackendTls { name: Some(name.into()), ..ir::BackendTls::default() });
        let identity = Some(bed.registry.identity(&settings));
        let backend = bed.registry.backend(&id("web"));
        bed.roll.follow(&[Checked { backend, check: Arc::new(check()), identity }], bed.now);
    };
    follow(&mut bed, "a.example");
    assert_eq!(bed.pass(1, good), [1]);
    let due = bed.roll.next_due();
    follow(&mut bed, "b.example");
    assert_eq!(bed.roll.next_due(), due);
    let task = bed.roll.take_due(due.unwrap()).unwrap();
    assert_eq!(task.identity.unwrap().settings.name.as_deref(), Some("b.example"));
}
