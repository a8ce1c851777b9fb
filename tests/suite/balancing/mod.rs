//! What the algorithms and the passive checks are worth: a service of ten endpoints in virtual time, with the picks and the
//! standings of the proxy itself. `BALANCING_WRITE=1` writes table and plot of `docs/balancing.md` anew.

mod page;
mod service;

use std::sync::{Arc, LazyLock};

use fairlead::ir::{Algorithm, PassiveCheck, Template};

use self::service::{Outcome, Scenario, simulate};

/// Every algorithm, as the page names it.
fn algorithms() -> [(&'static str, Algorithm); 8] {
    let by = || Arc::new(Template { parts: [].into() });
    [
        ("round_robin", Algorithm::RoundRobin),
        ("least_conn", Algorithm::LeastConn),
        ("random", Algorithm::Random),
        ("random_two", Algorithm::RandomTwo),
        ("ewma", Algorithm::Ewma),
        ("ip_hash", Algorithm::IpHash),
        ("hash", Algorithm::Hash(by())),
        ("hash, subsets of 3", Algorithm::HashSubset { by: by(), size: 3 }),
    ]
}

/// What became of each algorithm in each scenario.
struct Row {
    name: &'static str,
    alike: Outcome,
    slow: Outcome,
    failing: Outcome,
    ejecting: Outcome,
}

const ALIKE: Scenario = Scenario { slowdown: 1.0, failing: 0.0, on_5xx: false };
const SLOW: Scenario = Scenario { slowdown: 10.0, ..ALIKE };
const FAILING: Scenario = Scenario { failing: 0.3, ..ALIKE };
const EJECTING: Scenario = Scenario { on_5xx: true, ..FAILING };

static ROWS: LazyLock<Vec<Row>> = LazyLock::new(|| {
    let row = |(name, algorithm): (&'static str, Algorithm)| Row {
        name,
        alike: simulate(&algorithm, &ALIKE),
        slow: simulate(&algorithm, &SLOW),
        failing: simulate(&algorithm, &FAILING),
        ejecting: simulate(&algorithm, &EJECTING),
    };
    algorithms().into_iter().map(row).collect()
});

fn row(name: &str) -> &'static Row {
    ROWS.iter().find(|row| row.name == name).unwrap()
}

#[test]
fn those_that_look_at_load_or_latency_beat_round_robin_twice_where_one_endpoint_is_slow() {
    println!("{}", page::table(&ROWS));
    let round_robin = row("round_robin").slow.p99;
    for name in ["least_conn", "random_two", "ewma"] {
        let p99 = row(name).slow.p99;
        assert!(p99 * 2.0 <= round_robin, "{name}: {p99:.1} ms, round robin {round_robin:.1} ms");
    }
}

#[test]
fn no_algorithm_is_worse_than_another_where_all_are_alike() {
    for row in &*ROWS {
        assert_eq!(row.alike.errors, 0.0, "{}", row.name);
        assert!(row.alike.p99 < row_of_one_endpoint() * 1.25, "{}: {:.1} ms", row.name, row.alike.p99);
    }
}

/// The 99th percentile of the service time, in milliseconds: what nobody who waits for nothing stays below.
fn row_of_one_endpoint() -> f64 {
    service::MEAN_MS * 100_f64.ln()
}

#[test]
fn passive_checks_on_5xx_bring_errors_under_one_percent_after_the_first_seconds() {
    for row in &*ROWS {
        // To whoever goes by latency, what fails looks slow.
        let is_warned = row.name == "ewma";
        assert!(is_warned || row.failing.errors > 0.02, "{}: without them {:.4}", row.name, row.failing.errors);
        assert!(row.ejecting.errors < 0.01, "{}: {:.4}", row.name, row.ejecting.errors);
    }
}

#[test]
fn the_page_has_the_table_and_the_plot() {
    if std::env::var_os("BALANCING_WRITE").is_some() {
        page::write(&ROWS);
    }
    page::assert_is_current(&ROWS);
}

#[test]
fn the_defaults_that_the_page_explains_are_the_defaults() {
    let PassiveCheck { consecutive, eject, max_ejected, on_5xx } = PassiveCheck::default();
    assert_eq!((consecutive, eject.as_secs(), max_ejected, on_5xx), (5, 10, 50, false));
    page::assert_says("consecutive=5, eject=10s, max-ejected=50%");
}
