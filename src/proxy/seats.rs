//! The places that a connection of a client takes among those that an Ingress allows it (`connections-per-client`).

use std::cell::{Cell, RefCell};
use std::sync::Arc;

use crate::live::Limits;
use crate::live::limits::Held;

/// The places of one connection, until it is dropped.
#[derive(Debug, Default)]
pub struct Seats {
    /// By the limits of an Ingress; most connections have none, few more than one.
    taken: RefCell<Vec<(Arc<Limits>, Held)>>,
    is_refused: Cell<bool>,
}

impl Clone for Seats {
    /// None: places are a connection's, not those of whoever speaks of it.
    fn clone(&self) -> Seats {
        Seats::default()
    }
}

impl Seats {
    /// Takes a place, unless the connection has it already. `most` connections of the client may have one, and at most
    /// `room` clients are remembered. `Err`: there is none left. `Ok(false)`: no room to remember the client.
    pub fn take(&self, limits: &Arc<Limits>, key: u64, most: u32, room: u64) -> Result<bool, ()> {
        let mut taken = self.taken.borrow_mut();
        if taken.iter().any(|(own, _)| Arc::ptr_eq(own, limits)) {
            return Ok(true);
        }
        let Some(held) = limits.connect(key, most, room) else {
            self.is_refused.set(true);
            return Err(());
        };
        let is_counted = held.is_counted();
        taken.push((Arc::clone(limits), held));
        Ok(is_counted)
    }

    /// A request was refused for want of a place, so the connection is to end.
    pub fn is_refused(&self) -> bool {
        self.is_refused.get()
    }
}
