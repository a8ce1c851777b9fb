//! The real match with a recorder: why a request goes where it goes.

use super::{RouteRef, RoutingTable};

/// One stage of a decision and what was decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// `listener`, `host`, `path`, a filter, `backend`, `endpoint`.
    pub stage: &'static str,
    /// What was decided, as a sentence part.
    pub text: String,
}

/// A route of the same host that did not answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lost {
    /// The route.
    pub route: RouteRef,
    /// Why not: `shorter prefix`.
    pub why: String,
}

/// The answer to "why does this request go there".
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trace {
    /// The route that answers.
    pub route: Option<RouteRef>,
    /// Decisions in order.
    pub steps: Vec<Step>,
    /// Candidates that lost.
    pub lost: Vec<Lost>,
}

/// Matches `host` and `path` as [`RoutingTable::find`] does, with every decision written down.
pub fn explain(table: &RoutingTable, host: &str, path: &str) -> Trace {
    let _ = (table, host, path);
    unimplemented!()
}
