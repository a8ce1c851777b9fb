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
