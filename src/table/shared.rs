//! The table that is served now, handed from the control thread to the workers.

use std::cell::RefCell;
use std::ops::Deref;
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwap;

use super::RoutingTable;

/// The current table, and those before it that somebody still uses.
pub struct SharedTable {
    generation: AtomicU64,
    current: ArcSwap<RoutingTable>,
    /// Kept so that the last reference is always dropped here: freeing a large table takes milliseconds.
    retired: Mutex<Vec<Arc<RoutingTable>>>,
}

impl SharedTable {
    /// Serves `first`; [`RoutingTable::empty`] until there is a real one.
    pub fn new(first: Arc<RoutingTable>) -> SharedTable {
        SharedTable {
            generation: AtomicU64::new(first.generation),
            current: ArcSwap::new(first),
            retired: Mutex::default(),
        }
    }

    /// Serves `table` from now on; requests that began keep theirs.
    pub fn publish(&self, table: Arc<RoutingTable>) {
        let generation = table.generation;
        let before = self.current.swap(table);
        self.generation.store(generation, Ordering::Release);
        self.retired().push(before);
    }

    /// The generation of the current table; 0 before the first real one. One atomic load.
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// The current table.
    pub fn load(&self) -> Arc<RoutingTable> {
        self.current.load_full()
    }

    /// Frees the tables that nobody uses any more; gives how many are left. For the control thread, every 100 ms.
    pub fn sweep(&self) -> usize {
        let mut retired = self.retired();
        let (unused, used): (Vec<_>, Vec<_>) = retired.drain(..).partition(|table| Arc::strong_count(table) == 1);
        *retired = used;
        let left = retired.len();
        drop(retired);
        drop(unused);
        left
    }

    fn retired(&self) -> MutexGuard<'_, Vec<Arc<RoutingTable>>> {
        self.retired.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A table that a worker holds; a request clones the `Rc` around it, so no reference count is shared between workers.
pub struct Pinned {
    table: Arc<RoutingTable>,
}

impl Deref for Pinned {
    type Target = RoutingTable;

    fn deref(&self) -> &RoutingTable {
        &self.table
    }
}

/// A worker's view of the current table.
pub struct Pin {
    shared: Arc<SharedTable>,
    pinned: RefCell<Rc<Pinned>>,
}

impl Pin {
    /// Pins the current table.
    pub fn new(shared: Arc<SharedTable>) -> Pin {
        let pinned = RefCell::new(Rc::new(Pinned { table: shared.load() }));
        Pin { shared, pinned }
    }

    /// The current table: one atomic load, and one more pin if it changed. To be called once for each request, and now
    /// and then by an idle worker, which else keeps an old table.
    pub fn table(&self) -> Rc<Pinned> {
        let mut pinned = self.pinned.borrow_mut();
        if pinned.generation != self.shared.generation() {
            *pinned = Rc::new(Pinned { table: self.shared.load() });
        }
        Rc::clone(&pinned)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ir::Algorithm::LeastConn;
    use crate::table::fixture::{World, config};

    fn next(world: &World, shared: &SharedTable) -> Arc<RoutingTable> {
        Arc::new(world.build(&config(LeastConn, "a.example ^ / web"), Some(&shared.load())))
    }

    #[test]
    fn a_request_keeps_its_table_and_the_next_one_sees_the_new_one() {
        let world = World::new();
        let shared = Arc::new(SharedTable::new(Arc::new(RoutingTable::empty(&world.self_made))));
        let pin = Pin::new(Arc::clone(&shared));
        let request = pin.table();
        assert_eq!((shared.generation(), request.generation), (0, 0));
        assert!(request.find("a.example", "/").is_none());
        shared.publish(next(&world, &shared));
        assert!(request.find("a.example", "/").is_none());
        assert!(pin.table().find("a.example", "/").is_some());
        assert_eq!((shared.generation(), pin.table().generation), (1, 1));
        assert!(Rc::ptr_eq(&pin.table(), &pin.table()));
    }

    #[test]
    fn a_table_is_freed_by_sweep_alone_and_only_when_nobody_uses_it() {
        let world = World::new();
        let shared = Arc::new(SharedTable::new(Arc::new(RoutingTable::empty(&world.self_made))));
        let pin = Pin::new(Arc::clone(&shared));
        shared.publish(next(&world, &shared));
        let request = pin.table();
        let weak = Arc::downgrade(&request.table);
        for _ in 0..3 {
            shared.publish(next(&world, &shared));
        }
        pin.table();
        assert_eq!(shared.sweep(), 1, "the request holds one of the four");
        drop(request);
        assert!(weak.upgrade().is_some(), "the worker's drop frees nothing");
        assert_eq!(shared.sweep(), 0);
        assert!(weak.upgrade().is_none());
    }
}
