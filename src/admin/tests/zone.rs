//! What is shown of endpoints in other zones.

use super::*;
use crate::live::Fault;

#[test]
fn endpoints_of_other_zones_are_shown_as_such_while_requests_stay_in_ours() {
    let view = shop();
    let id = ir::BackendId::new(Name::new("shop", "api"), ir::PortKey::Number(80));
    let endpoint = |number: u8, elsewhere| ir::Endpoint {
        address: ([10, 0, 0, number], 8080).into(),
        pod: None,
        weight: 1,
        key: None,
        draining: false,
        elsewhere,
    };
    let endpoints = vec![endpoint(7, false), endpoint(8, true)];
    view.registry.set_endpoints(&id, &ir::EndpointSet { endpoints });
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
    let settings = ir::PassiveCheck { consecutive: 1, eject: Duration::ZERO, ..ir::PassiveCheck::default() };
    let (mut flight, now) = (Arc::clone(&backend.endpoints.load().elsewhere[0]).begin(), Instant::now());
    backend.failed(&mut flight, Fault::Connect, &settings, now, now);
    let reason = "connect failure; in another zone".to_owned();
    assert_eq!(told().1[1], ("ejected".to_owned(), Some(reason)), "nothing of requests that it does not get");
}
