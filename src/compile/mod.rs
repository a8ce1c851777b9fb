//! From objects to meaning: pure, total, and the same bytes out for the same objects in any order.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::ir;
use crate::settings::CompileOptions;
use crate::snapshot::Snapshot;

/// What compiling gives: what is served, and what was wrong.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Compiled {
    /// What is served.
    pub config: Arc<ir::Config>,
    /// What was wrong, sorted, each problem once.
    pub problems: Vec<ir::Problem>,
}

/// Compiles with memory: an Ingress whose object and every object it looked at (absent ones too) are unchanged is not
/// compiled again, and a virtual host whose parts are unchanged is the same `Arc` as before.
#[derive(Default)]
pub struct Compiler {}

impl Compiler {
    /// The configuration of `snapshot`. Never fails: a broken object loses its own routes and gains a problem.
    pub fn compile(&mut self, snapshot: &Snapshot, options: &CompileOptions) -> Compiled {
        let _ = (snapshot, options);
        unimplemented!()
    }
}

/// Compiles from nothing.
pub fn compile(snapshot: &Snapshot, options: &CompileOptions) -> Compiled {
    Compiler::default().compile(snapshot, options)
}

/// Addresses that a DNS name resolved to, with the port left to the backend. Absent = never answered.
pub type Resolved = BTreeMap<Arc<str>, Vec<std::net::IpAddr>>;

/// The second road: the endpoints of one backend, with no new table. The problem says why there is none.
pub fn endpoints(
    snapshot: &Snapshot,
    backend: &ir::Backend,
    resolved: &Resolved,
) -> (ir::EndpointSet, Vec<ir::Problem>) {
    let _ = (snapshot, backend, resolved);
    unimplemented!()
}
