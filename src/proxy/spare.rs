//! Buffers that one worker lends to connections while they have something to read or write: an idle connection holds
//! none, and a busy one costs no allocation.

use std::cell::RefCell;

use bytes::BytesMut;

/// Octets of a buffer that is lent.
pub const LENT: usize = 8 << 10;
/// Buffers of each kind that are kept.
const KEPT: usize = 64;

/// One worker's spare buffers.
#[derive(Default)]
pub struct Spare {
    inputs: RefCell<Vec<BytesMut>>,
    outputs: RefCell<Vec<Vec<u8>>>,
}

impl Spare {
    /// An empty buffer to read into, with room for [`LENT`] octets.
    pub fn input(&self) -> BytesMut {
        let mut input = self.inputs.borrow_mut().pop().unwrap_or_default();
        // Takes back the whole memory, unless a part of it is still in use; then there is new memory.
        input.reserve(LENT);
        input
    }

    /// Takes an empty input buffer back.
    pub fn keep_input(&self, input: BytesMut) {
        let mut inputs = self.inputs.borrow_mut();
        if inputs.len() < KEPT && input.capacity() > 0 {
            inputs.push(input);
        }
    }

    /// An empty buffer to write into.
    pub fn output(&self) -> Vec<u8> {
        self.outputs.borrow_mut().pop().unwrap_or_else(|| Vec::with_capacity(LENT / 2))
    }

    /// Takes an output buffer back; what it holds is forgotten. Large ones are let go.
    pub fn keep_output(&self, mut output: Vec<u8>) {
        let mut outputs = self.outputs.borrow_mut();
        if outputs.len() < KEPT && (1..=2 * LENT).contains(&output.capacity()) {
            output.clear();
            outputs.push(output);
        }
    }
}
