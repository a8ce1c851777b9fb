//! What is shown of endpoints in other zones.

use super::*;
use crate::live::Fault;

fn endpoint(number: u8, elsewhere: bool) -> ir::Endpoint {
    ir::Endpoint { elsewhere, ..super::endpoint(number) }
}

#[test]
fn endpoints_of_other_zones_are_shown_as_such_while_requests_stay_in_ours() {
    let view = shop();
    let id = ir::BackendId::new(Name::new("shop", "api"), ir::PortKey::Number(80));
    let endpoints = vec![endpoint(7, false), endpoint(8, true)];
    view.registry.set_endpoints(&id, &ir::EndpointSet::of(endpoints));
    let told = || {
        let asked = Asked::new("GET", "https://a.example/api").unwrap();
        let told = explain(&view.table.load(), &view.listeners, &asked);
        let steps = told.steps.iter().filter(|step| step.stage == "endpoint").map(|step| step.text.clone());
        let reasons = told.endpoints.iter().map(|shown| (shown.state.clone(), shown.reason.clone()));
        (steps.collect::<Vec<_>>(), reasons.collect::<Vec<_>>())
    };
    let (steps, shown) = told();
    assert_eq!(steps, ["10.0.0.7:8080", "not 10.0.0.8:8080, in another zone"]);
    let ready = "ready".to_owned();
    assert_eq!(shown, [(ready.clone(), None), (ready, Some("in another zone".to_owned()))]);
    let backend = view.registry.backend(&id);
    let ours = Arc::clone(&backend.endpoints.load().candidates[0]);
    backend.judge(&ours, false, "status 503".into(), Instant::now());
    assert_eq!(told().1[1].1, None, "it is used now");
    backend.judge(&ours, true, "checks succeed".into(), Instant::now());
    let theirs = Arc::clone(&backend.endpoints.load().elsewhere[0]);
    let fail = |eject| {
        let settings = ir::PassiveCheck { consecutive: 1, eject, ..ir::PassiveCheck::default() };
        let now = Instant::now();
        backend.failed(&mut Arc::clone(&theirs).begin(), Fault::Connect, &settings, now, now);
    };
    fail(Duration::ZERO);
    let (ready, reason) = ("ready".to_owned(), "in another zone".to_owned());
    assert_eq!(told().1[1], (ready, Some(reason)), "nobody comes by and ends it, but it is over");
    fail(Duration::from_secs(60));
    let reason = "connect failure; in another zone".to_owned();
    assert_eq!(told().1[1], ("ejected".to_owned(), Some(reason)), "nothing of requests that it does not get");
}

#[test]
fn an_endpoint_of_another_zone_that_is_new_says_so_too() {
    let view = shop();
    let id = ir::BackendId::new(Name::new("shop", "api"), ir::PortKey::Number(80));
    let slow_start = Duration::from_secs(60);
    view.registry.set_starting(&id, &ir::EndpointSet::of(vec![endpoint(7, false)]), slow_start, Instant::now());
    let endpoints = vec![endpoint(7, false), endpoint(8, true)];
    view.registry.set_starting(&id, &ir::EndpointSet::of(endpoints), slow_start, Instant::now());
    let asked = Asked::new("GET", "https://a.example/api").unwrap();
    let told = explain(&view.table.load(), &view.listeners, &asked);
    let reason = Some("weight at 10 %; in another zone".to_owned());
    assert_eq!((&*told.endpoints[1].state, &told.endpoints[1].reason), ("starting", &reason));
}
