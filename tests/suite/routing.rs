//! The table answers what a linear scan in order of precedence answers, whatever the configuration.

use std::collections::BTreeMap;
use std::sync::Arc;

use fairlead::ir::{HostPattern, PathKind, PathMatch, PathPattern};
use fairlead::table::{BackendRef, RoutingTable, Target, explain};
use fairlead::telemetry::Metrics;
use fairlead::{ir, live};
use proptest::collection::{btree_map, btree_set, vec};
use proptest::prelude::*;
use proptest::sample::select;

use self::fixture::{World, backend, route};

#[allow(dead_code, reason = "the tests of the table itself use more of it")]
#[path = "../../src/table/fixture.rs"]
pub mod fixture;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn table_equals_linear_scan(config in config(), requests in requests()) {
        let table = World::new().build(&config, None);
        for (host, path) in &requests {
            let found = table.find(host, path);
            let scanned = scan(&config, host, path);
            prop_assert_eq!(
                found.map(|at| (table.host_of(at), &table.route(at).rule)),
                scanned.as_ref().map(|(host, rule)| (*host, rule)),
                "{}{}", host, path
            );
            let owned = config.hosts.keys().any(|pattern| *pattern != HostPattern::Any && pattern.matches(host));
            prop_assert_eq!(table.owns_host(host), owned, "{}", host);
        }
    }

    #[test]
    fn explain_gives_what_find_gives(config in config(), requests in requests()) {
        let table = World::new().build(&config, None);
        for (host, path) in &requests {
            let trace = explain(&table, host, path);
            prop_assert_eq!(trace.route, table.find(host, path), "{}{}", host, path);
            let Some((place, _)) = scan_host(&config, host) else { continue };
            let routes = config.hosts[place].routes.len();
            prop_assert_eq!(trace.lost.len() + usize::from(trace.route.is_some()), routes, "each route won or lost");
            for lost in &trace.lost {
                let rule = &table.route(lost.route).rule;
                let other = ["exact path differs", "prefix of other segments", "does not match"];
                let matched = !other.contains(&&*lost.why);
                prop_assert_eq!(matched, rule.path.matches(path), "{}: {}", rule.path, lost.why);
            }
        }
    }

    #[test]
    fn built_with_a_previous_table_equals_built_from_nothing(
        configs in vec(config(), 2..5),
        requests in requests(),
    ) {
        let world = World::new();
        let mut previous: Option<RoutingTable> = None;
        for config in configs {
            let config = match &previous {
                Some(previous) => shared_with(previous.config(), &config),
                None => config,
            };
            let built = world.build(&config, previous.as_ref());
            let alone = world.build(&config, None);
            for (host, path) in &requests {
                prop_assert_eq!(view(&built, host, path), view(&alone, host, path), "{}{}", host, path);
            }
            let all = |table: &RoutingTable| {
                table.routes().map(|(_, host, route)| format!("{host} {}", route.rule.path)).collect::<Vec<_>>()
            };
            prop_assert_eq!(all(&built), all(&alone));
            previous = Some(built);
        }
    }

    #[test]
    fn a_further_host_changes_no_other_answer(config in config(), requests in requests(), routes in routes()) {
        let world = World::new();
        let before = world.build(&config, None);
        let mut more = ir::Config::clone(&config);
        let pattern = HostPattern::Exact("unrelated.test".into());
        add(&mut more, pattern, routes);
        let after = world.build(&Arc::new(more), Some(&before));
        for (host, path) in &requests {
            let rule = |table: &RoutingTable| table.find(host, path).map(|at| Arc::clone(&table.route(at).rule));
            prop_assert_eq!(rule(&before), rule(&after), "{}{}", host, path);
        }
    }
}

/// What the Ingress API says, read off the rules: the most specific host that means the name, then of its routes that
/// match the one of least rank.
fn scan<'a>(config: &'a ir::Config, host: &str, path: &str) -> Option<(&'a HostPattern, Arc<ir::Route>)> {
    let (pattern, found) = scan_host(config, host)?;
    let matching = found.routes.iter().filter(|route| route.path.matches(path));
    matching.min_by_key(|route| route.path.rank(path)).map(|route| (pattern, Arc::clone(route)))
}

fn scan_host<'a>(config: &'a ir::Config, host: &str) -> Option<(&'a HostPattern, &'a Arc<ir::VirtualHost>)> {
    config.hosts.iter().find(|(pattern, _)| pattern.matches(host))
}

/// Everything that a request takes from a table.
fn view(table: &RoutingTable, host: &str, path: &str) -> Option<String> {
    table.find(host, path).map(|at| {
        let route = table.route(at);
        let target = match &route.target {
            Target::Backend(backend) => {
                format!("{:p} {:p}", Arc::as_ptr(&backend.settings), Arc::as_ptr(&backend.live))
            }
            Target::Closed(reason) => reason.to_string(),
            Target::NotFound => "404".to_owned(),
        };
        format!("{} {:p} {target} {}:{}", table.host_of(at), Arc::as_ptr(&route.rule), route.service, route.port)
    })
}

/// `config` with every host and backend of `before` that is equal, as the compiler gives them.
fn shared_with(before: &ir::Config, config: &ir::Config) -> Arc<ir::Config> {
    let mut config = config.clone();
    for (pattern, host) in &mut config.hosts {
        if let Some(old) = before.hosts.get(pattern).filter(|old| *old == host) {
            *host = Arc::clone(old);
        }
    }
    for (id, backend) in Arc::make_mut(&mut config.backends) {
        if let Some(old) = before.backends.get(id).filter(|old| *old == backend) {
            *backend = Arc::clone(old);
        }
    }
    Arc::new(config)
}

type Routes = BTreeMap<PathMatch, (u16, ir::Algorithm)>;

/// Few words, so that hosts, paths and requests meet often.
fn config() -> impl Strategy<Value = Arc<ir::Config>> {
    let pattern = prop_oneof![
        2 => host().prop_map(|name| HostPattern::Exact(name.into())),
        2 => select(vec!["x", "a.x", "b.a.x"]).prop_map(|suffix| HostPattern::Wildcard(suffix.into())),
        1 => Just(HostPattern::Any),
    ];
    btree_map(pattern, routes(), 0..6).prop_map(|hosts| {
        let mut config = ir::Config::default();
        for (pattern, routes) in hosts {
            add(&mut config, pattern, routes);
        }
        Arc::new(config)
    })
}

#[expect(clippy::mutable_key_type, reason = "paths are compared by their text, which never changes")]
fn add(config: &mut ir::Config, pattern: HostPattern, routes: Routes) {
    let mut host = ir::VirtualHost {
        host: pattern.clone(),
        routes: Vec::new(),
        redirect: None,
        client_auth: None,
        tls: None,
        passthrough: None,
    };
    for (path, (port, balance)) in routes {
        let id = ir::BackendId::new(ir::Name::new("shop", "web"), ir::PortKey::Number(port));
        let target = match port {
            0 => ir::Target::NotFound,
            1 => ir::Target::Closed(ir::Reason::PathInvalid),
            _ => ir::Target::Backend(id.clone()),
        };
        if let ir::Target::Backend(id) = &target {
            Arc::make_mut(&mut config.backends).entry(id.clone()).or_insert_with(|| backend(id, balance));
        }
        host.routes.push(Arc::new(route(path, false, target)));
    }
    config.hosts.insert(pattern, Arc::new(host));
}

/// The routes of one host: all of them regular expressions, or none.
fn routes() -> impl Strategy<Value = Routes> {
    let path = (prop_oneof![Just(PathKind::Exact), Just(PathKind::Prefix)], path());
    let path = path.prop_map(|(kind, path)| PathMatch { kind, path: path.into() });
    let target = || (0..6u16, prop_oneof![Just(ir::Algorithm::LeastConn), Just(ir::Algorithm::RoundRobin)]);
    prop_oneof![3 => btree_map(path, target(), 0..14), 1 => btree_map(regex(), target(), 1..14)]
}

/// A path as ingress-nginx takes it on a host with regular expressions; also one that cannot be compiled.
fn regex() -> impl Strategy<Value = PathMatch> {
    let tail = select(vec!["", ".*", "(/|$)(.*)", "[ab]+", "|/b/.", "/?", "(?!b)"]);
    (path(), tail).prop_map(|(path, tail)| {
        let text = path.to_uppercase() + tail;
        let pattern = PathPattern::new(&text).unwrap_or_else(|_| PathPattern::beginning(&text));
        PathMatch { kind: PathKind::Regex(pattern), path: text.into() }
    })
}

fn requests() -> impl Strategy<Value = Vec<(String, String)>> {
    btree_set((host(), path()), 1..24).prop_map(|requests| requests.into_iter().collect())
}

fn host() -> impl Strategy<Value = String> {
    vec(select(vec!["a", "b", "x"]), 1..5).prop_map(|labels| labels.join("."))
}

/// A path in routing form.
fn path() -> impl Strategy<Value = String> {
    (vec(select(vec!["a", "aa", "b", "c", "d", "e", "a%2Fb"]), 0..5), any::<bool>()).prop_map(|(segments, slash)| {
        let slash = if slash || segments.is_empty() { "/" } else { "" };
        let below: String = segments.iter().map(|segment| format!("/{segment}")).collect();
        below + slash
    })
}
