//! What is shown of endpoints, and what `explain` says of them.

use super::*;
use crate::admin::state::{self, State};
use crate::live::Fault;

#[test]
fn explain_tells_which_endpoints_are_candidates_and_why_the_others_are_not() {
    let told = |failed: &[usize]| {
        let view = checked(failed);
        let told = explain(&view.table.load(), &view.listeners, &Asked::new("GET", "https://a.example/api").unwrap());
        let texts = told.steps.iter().filter(|step| step.stage == "endpoint").map(|step| step.text.clone());
        (told.status, texts.collect::<Vec<_>>())
    };
    let drains = "not 10.0.0.9:8080, draining";
    assert_eq!(told(&[]), (200, ["one of 10.0.0.7:8080, 10.0.0.8:8080", drains].map(str::to_owned).to_vec()));
    let fails = "not 10.0.0.8:8080, unhealthy: status 503";
    assert_eq!(told(&[1]), (200, ["10.0.0.7:8080", fails, drains].map(str::to_owned).to_vec()));
    let (status, texts) = told(&[0, 1]);
    assert_eq!((status, &*texts[0]), (200, "one of 10.0.0.7:8080, 10.0.0.8:8080"));
    let all = "every endpoint fails; all of them are used all the same, since to try one is better than to answer 503";
    let each = ["10.0.0.7:8080 is unhealthy: status 503", "10.0.0.8:8080 is unhealthy: status 503"];
    assert_eq!(texts[1..], [&[all][..], &each, &[drains]].concat());
}

/// What `explain` says of the endpoints of the shop's API.
fn told(view: &View) -> Vec<String> {
    let told = explain(&view.table.load(), &view.listeners, &Asked::new("GET", "https://a.example/api").unwrap());
    told.steps.into_iter().filter(|step| step.stage == "endpoint").map(|step| step.text).collect()
}

fn endpoint(number: u8, draining: bool) -> ir::Endpoint {
    ir::Endpoint { draining, ..super::endpoint(number) }
}

/// State and reason of the endpoints of the shop's API.
fn shown(view: &View) -> Vec<(String, Option<String>)> {
    let told: Value = serde_json::from_str(&get(view, "/api/v1/backends?namespace=shop").1).unwrap();
    let endpoints = told["backends"][0]["endpoints"].as_array().unwrap().iter();
    let reason = |shown: &Value| shown.get("reason").map(|reason| reason.as_str().unwrap().to_owned());
    endpoints.map(|shown| (shown["state"].as_str().unwrap().to_owned(), reason(shown))).collect()
}

/// Sets an endpoint of the shop's API aside for a minute.
fn eject(view: &View, endpoint: &Arc<crate::live::Endpoint>) {
    let settings = ir::PassiveCheck { consecutive: 1, eject: Duration::from_secs(60), ..ir::PassiveCheck::default() };
    let now = Instant::now();
    let api = view.registry.backend(&backend_id("shop", "api"));
    api.failed(&mut Arc::clone(endpoint).begin(), Fault::Connect, &settings, now, now);
}

fn unready(number: u8, terminating: bool) -> ir::Unready {
    ir::Unready { address: ([10, 0, 0, number], 8080).into(), terminating }
}

#[test]
fn explain_says_why_those_that_fail_are_used_while_too_few_work() {
    let view = checked(&[0]);
    let set = ir::EndpointSet::of((1..=3).map(|number| endpoint(number, false)).collect());
    view.registry.set_endpoints(&backend_id("shop", "api"), &set);
    let api = view.registry.backend(&backend_id("shop", "api"));
    let present = api.endpoints.load_full();
    api.judge(&present.candidates[0], false, "status 503".into(), Instant::now());
    eject(&view, &present.candidates[1]);
    assert_eq!(
        told(&view),
        [
            "one of 10.0.0.2:8080, 10.0.0.3:8080",
            "those too are used all the same that only failed requests set aside: only 1 of 3 work, fewer than the \
             panic-threshold of 50 %",
            "10.0.0.2:8080 is ejected: connect failure",
            "not 10.0.0.1:8080, unhealthy: status 503",
        ]
    );
}

#[test]
fn what_fails_and_may_not_be_ejected_says_so() {
    let (view, id) = (shop(), backend_id("shop", "api"));
    view.registry.set_endpoints(&id, &ir::EndpointSet::of(vec![endpoint(1, false)]));
    let lone = Arc::clone(&view.registry.backend(&id).endpoints.load().candidates[0]);
    assert_eq!(shown(&view), [("ready".to_owned(), None)]);
    eject(&view, &lone);
    let reason = "connect failure; used all the same, since no more may be ejected";
    assert_eq!(shown(&view), [("ready".to_owned(), Some(reason.to_owned()))]);
    assert_eq!(told(&view), ["10.0.0.1:8080", "10.0.0.1:8080 fails: connect failure, and no more may be ejected"]);
}

#[test]
fn explain_says_of_endpoints_that_are_not_ready_why_they_get_nothing() {
    let (view, id) = (shop(), backend_id("shop", "api"));
    let mut set = ir::EndpointSet::of(vec![endpoint(1, false), endpoint(2, true)]);
    set.unready = vec![unready(3, false), unready(4, true)];
    view.registry.set_endpoints(&id, &set);
    let idle = ["not 10.0.0.3:8080, not ready", "not 10.0.0.4:8080, terminating and not serving"];
    assert_eq!(told(&view), [&["10.0.0.1:8080", "not 10.0.0.2:8080, draining"][..], &idle].concat());
    set.endpoints.clear();
    view.registry.set_endpoints(&id, &set);
    view.registry.ramp(&id, Duration::ZERO, Instant::now());
    assert_eq!(told(&view), [&["none is ready"][..], &idle].concat());
    assert!(get(&view, "/api/v1/backends?namespace=shop").1.contains(r#""endpoints":[]"#), "they are no endpoints");
}

#[test]
fn endpoints_that_are_used_since_none_is_ready_say_so() {
    let (view, id) = (shop(), backend_id("shop", "api"));
    let mut set = ir::EndpointSet::of(vec![endpoint(1, true), endpoint(2, true)]);
    set.unready = vec![unready(3, false)];
    let slow_start = Duration::from_secs(60);
    view.registry.set_starting(&id, &set, slow_start, Instant::now());
    assert_eq!(
        told(&view),
        [
            "one of 10.0.0.1:8080, 10.0.0.2:8080",
            "no endpoint is ready, so those are used that still serve",
            "not 10.0.0.3:8080, not ready"
        ]
    );
    let why = "not ready, used since no endpoint is";
    let starting = ("starting".to_owned(), Some(format!("weight at 10 %; {why}")));
    assert_eq!(shown(&view), [starting.clone(), starting]);
    view.registry.set_endpoints(&id, &set);
    let api = view.registry.backend(&id);
    let failed = Arc::clone(&api.endpoints.load().candidates[1]);
    eject(&view, &failed);
    let ready = ("ready".to_owned(), Some(why.to_owned()));
    assert_eq!(shown(&view)[0], ready);
    assert_eq!(shown(&view)[1], ("ejected".to_owned(), Some("connect failure".to_owned())), "it gets nothing");
    set.endpoints[0].draining = false;
    view.registry.set_endpoints(&id, &set);
    assert_eq!(shown(&view)[0], ("ready".to_owned(), None));
}

#[test]
fn an_endpoint_is_in_its_state_since_what_brought_it_there() {
    let (view, id) = (shop(), backend_id("shop", "api"));
    let api = view.registry.backend(&id);
    let balancing = |passive| ir::Balancing { passive, ..ir::Balancing::default() };
    let (minded, unminded) = (balancing(Some(ir::PassiveCheck::default())), balancing(None));
    let set = api.endpoints.load_full();
    let cell = &set.candidates[0];
    let since = |state, balancing| state::since(state, balancing, &api, &api.endpoints.load(), cell).unwrap();
    let came = api.came(cell);
    assert_eq!([State::Ready, State::Starting].map(|state| since(state, &minded)), [came; 2]);
    eject(&view, cell);
    let ejected = cell.history().unwrap().since;
    assert!(ejected >= came);
    assert_eq!(since(State::Ejected, &minded), ejected);
    assert_eq!(since(State::Ready, &unminded), came, "what does not count changed nothing");
    let over = api.ejected_until(cell);
    assert!(over > ejected + Duration::from_secs(59) && over < ejected + Duration::from_secs(61));
    assert_eq!(since(State::Ready, &minded), over, "in another zone: nobody ends the ejection");
    let back = Instant::now() + Duration::from_secs(70);
    api.succeeded(&mut Arc::clone(cell).begin(), back, back, true);
    assert_eq!(since(State::Ready, &minded), back);
}
