//! Finds the cell of an identity again, and forgets it when nothing refers to it any more.

use std::sync::Arc;

use super::Backend;
use crate::ir;

/// Every live cell, by identity. Used by the control thread; workers reach cells through the table.
pub struct Registry {}

impl Registry {
    /// No cells.
    pub fn new(workers: usize) -> Registry {
        let _ = workers;
        unimplemented!()
    }

    /// The cell of a backend, made if there is none.
    pub fn backend(&self, id: &ir::BackendId) -> Arc<Backend> {
        let _ = id;
        unimplemented!()
    }

    /// The second road: replaces the endpoints of one backend. Endpoints that stay keep their counters; one that leaves
    /// keeps them until its last request ended.
    pub fn set_endpoints(&self, id: &ir::BackendId, set: &ir::EndpointSet) {
        let _ = (id, set);
        unimplemented!()
    }

    /// Forgets cells that no table refers to and that have no request in flight.
    pub fn sweep(&self) {
        unimplemented!()
    }

    /// Every backend, sorted by identity.
    pub fn backends(&self) -> Vec<Arc<Backend>> {
        unimplemented!()
    }
}
