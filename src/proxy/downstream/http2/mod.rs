//! HTTP/2 to clients.

use std::rc::Rc;

use bytes::Bytes;

use super::Peer;
use crate::proxy::io::Stream;
use crate::proxy::worker::Worker;

/// Serves a connection until it ends. `read` is what was read of it already.
pub async fn serve(worker: Rc<Worker>, stream: Stream, peer: Peer, read: Bytes) {
    drop((worker, stream, peer, read));
}
