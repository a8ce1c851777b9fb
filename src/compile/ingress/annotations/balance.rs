//! Annotations about choosing a backend and an endpoint.

use super::Settings;
use super::table::Effect::Honoured;
use super::table::{Row, both, differs, differs_unless, nginx, ours, tunes_nothing};
use super::value::{Refusal, Value};
use crate::ir::Algorithm;

const CHECKS: &str = "endpoints are judged by their readiness and by failed requests";
const COOKIE: &str = "remove it, or keep sessions where every endpoint finds them";
const MAINLINE: &str = "it means something on a canary only";

pub(super) const ROWS: &[Row] = &[
    both("affinity", differs(COOKIE)),
    both("affinity-canary-behavior", tunes_nothing(MAINLINE)),
    both("affinity-mode", differs(COOKIE)),
    both("canary", Honoured(|value, to| value.boolean().map(|is| to.canary = Some(is)))).takes("one of: true, false"),
    both("canary-by-cookie", tunes_nothing(MAINLINE)),
    both("canary-by-header", tunes_nothing(MAINLINE)),
    both("canary-by-header-pattern", tunes_nothing(MAINLINE)),
    both("canary-by-header-value", tunes_nothing(MAINLINE)),
    both("canary-weight", tunes_nothing(MAINLINE)),
    both("canary-weight-total", tunes_nothing(MAINLINE)),
    ours("hash-by", differs("endpoints are chosen by load-balance")).and_on_services(),
    ours("health-check-expected-status", differs(CHECKS)).and_on_services(),
    ours("health-check-healthy-threshold", differs(CHECKS)).and_on_services(),
    ours("health-check-host", differs(CHECKS)).and_on_services(),
    ours("health-check-interval", differs(CHECKS)).and_on_services(),
    ours("health-check-path", differs(CHECKS)).and_on_services(),
    ours("health-check-port", differs(CHECKS)).and_on_services(),
    ours("health-check-protocol", differs(CHECKS)).and_on_services(),
    ours("health-check-timeout", differs(CHECKS)).and_on_services(),
    ours("health-check-unhealthy-threshold", differs(CHECKS)).and_on_services(),
    both("load-balance", Honoured(load_balance)).takes("one of: least_conn, round_robin").and_on_services(),
    ours("locality", differs_unless("off", "endpoints of all zones are used")),
    ours("max-in-flight", differs("requests in flight are not limited")).and_on_services(),
    ours("panic-threshold", differs(CHECKS)).and_on_services(),
    ours("passive-health", differs(CHECKS)).and_on_services(),
    both("service-upstream", differs_unless("false", "requests go to endpoints directly")),
    both("session-cookie-change-on-failure", differs(COOKIE)),
    both("session-cookie-conditional-samesite-none", differs(COOKIE)),
    both("session-cookie-domain", differs(COOKIE)),
    both("session-cookie-expires", differs(COOKIE)),
    both("session-cookie-max-age", differs(COOKIE)),
    both("session-cookie-name", differs(COOKIE)),
    both("session-cookie-path", differs(COOKIE)),
    both("session-cookie-samesite", differs(COOKIE)),
    both("session-cookie-secure", differs(COOKIE)),
    ours("slow-start", differs("a new endpoint gets its full share at once")).and_on_services(),
    nginx("upstream-hash-by", differs("endpoints are chosen by load-balance")),
    both("upstream-hash-by-subset", differs_unless("false", "endpoints are chosen by load-balance")),
    both("upstream-hash-by-subset-size", differs("endpoints are chosen by load-balance")),
];

fn load_balance(value: &Value<'_>, to: &mut Settings) -> Result<(), Refusal> {
    let word = value.word()?;
    to.balance = match word.as_str() {
        "least_conn" => Some(Algorithm::LeastConn),
        "round_robin" => Some(Algorithm::RoundRobin),
        "random" | "random_two" | "ewma" | "ip_hash" | "hash" | "chash" | "chashsubset" | "sticky_balanced"
        | "sticky_persistent" => {
            let default = Algorithm::default().as_str();
            return Err(Refusal::Ignored(format!("{word} is not honoured; the default, {default}, serves")));
        }
        _ => return Err(Refusal::Invalid("is no way to choose an endpoint".to_owned())),
    };
    Ok(())
}
