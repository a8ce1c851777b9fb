//! Encoders that compress bodies, bounded in memory; those of gzip and zstd are used again within a worker.

use std::cell::{Cell, RefCell};
use std::io::{self, Write};

use brotli::CompressorWriter;
use brotli::enc::BrotliEncoderParams;
use bytes::Bytes;
use flate2::{Compress, FlushCompress, Status};
use zstd::stream::raw::{CParameter, Encoder as Zstd, InBuffer, Operation, OutBuffer};

use crate::ir::{Coding, Tuning};

/// Memory that one worker's encoders at work may hold, octets. Over it answers go out as they are.
const ROOM: usize = 64 << 20;
/// States of each coding that are kept for the next answer, beside that memory.
const KEPT: usize = 8;
/// Room made for output at a time, octets.
const PIECE: usize = 16 << 10;
/// What others call level 1 is 2 in zlib-rs: its 1 is quicker than that, and leaves a fifth more.
const LEAST_GZIP: u8 = 2;
/// Largest window of brotli as a power of two, as nginx's module has it.
const BROTLI_WINDOW: u32 = 19;
/// Largest window of zstd as a power of two: browsers refuse more than 8 MiB (RFC 9659).
const ZSTD_WINDOW: u32 = 21;

/// One worker's encoders.
pub struct Encoders {
    room: Cell<usize>,
    gzip: RefCell<Vec<(u8, Compress)>>,
    zstd: RefCell<Vec<(u8, Zstd<'static>)>>,
}

impl Default for Encoders {
    fn default() -> Encoders {
        Encoders { room: Cell::new(ROOM), gzip: RefCell::default(), zstd: RefCell::default() }
    }
}

impl Encoders {
    /// An encoder for a body of `length` octets, if that is known; `None` when there is no room for one.
    pub fn encoder(&self, coding: Coding, tuning: &Tuning, length: Option<u64>) -> Option<Encoder<'_>> {
        let cost = cost(coding, tuning.level);
        let left = self.room.get().checked_sub(cost)?;
        let state = self.state(coding, tuning.level, length).ok()?;
        self.room.set(left);
        Some(Encoder { home: self, state: Some(state), cost, level: tuning.level, output: Vec::new(), holds: false })
    }

    fn state(&self, coding: Coding, level: u8, length: Option<u64>) -> io::Result<State> {
        Ok(match coding {
            Coding::Gzip => State::Gzip(
                take(&self.gzip, level)
                    .unwrap_or_else(|| Compress::new_gzip(flate2::Compression::new(level.max(LEAST_GZIP).into()), 15)),
            ),
            Coding::Brotli => {
                let window = length.map_or(u64::BITS, |length| u64::BITS - length.leading_zeros());
                let params = BrotliEncoderParams {
                    quality: level.into(),
                    lgwin: window.clamp(10, BROTLI_WINDOW).cast_signed(),
                    size_hint: length.and_then(|length| usize::try_from(length).ok()).unwrap_or(0),
                    ..BrotliEncoderParams::default()
                };
                State::Brotli(Box::new(CompressorWriter::with_params(Vec::new(), PIECE, &params)))
            }
            Coding::Zstd => {
                let mut zstd = match take(&self.zstd, level) {
                    Some(zstd) => zstd,
                    None => {
                        let mut zstd = Zstd::new(level.into())?;
                        zstd.set_parameter(CParameter::WindowLog(ZSTD_WINDOW))?;
                        zstd
                    }
                };
                zstd.set_pledged_src_size(length)?;
                State::Zstd(zstd)
            }
        })
    }
}

fn take<T>(kept: &RefCell<Vec<(u8, T)>>, level: u8) -> Option<T> {
    let mut kept = kept.borrow_mut();
    let at = kept.iter().position(|(of, _)| *of == level)?;
    Some(kept.swap_remove(at).1)
}

fn keep<T>(kept: &RefCell<Vec<(u8, T)>>, level: u8, state: T) {
    let mut kept = kept.borrow_mut();
    if kept.len() >= KEPT {
        // The oldest may be of a level that nobody asks for any more.
        kept.remove(0);
    }
    kept.push((level, state));
}

/// Octets that an encoder holds, about.
fn cost(coding: Coding, level: u8) -> usize {
    let kib = match (coding, level) {
        (Coding::Gzip, _) => 340,
        (Coding::Brotli, 0 | 1) => 128,
        (Coding::Brotli, 2..10) => 3 << 10,
        (Coding::Brotli, _) => 24 << 10,
        (Coding::Zstd, 0..=1) => 640,
        (Coding::Zstd, 2..=4) => 1400,
        (Coding::Zstd, 5..=12) => 12 << 10,
        (Coding::Zstd, _) => 48 << 10,
    };
    kib << 10
}

/// One body being compressed. What comes out of it is taken piece by piece.
pub struct Encoder<'w> {
    home: &'w Encoders,
    /// Taken at the end.
    state: Option<State>,
    cost: usize,
    level: u8,
    output: Vec<u8>,
    /// Something went in that may not have come out.
    holds: bool,
}

enum State {
    Brotli(Box<CompressorWriter<Vec<u8>>>),
    Gzip(Compress),
    Zstd(Zstd<'static>),
}

impl Encoder<'_> {
    /// Takes in a part of the body.
    pub fn write(&mut self, data: &[u8]) -> io::Result<()> {
        self.holds = true;
        match &mut self.state {
            Some(State::Brotli(brotli)) => brotli.write_all(data)?,
            Some(State::Gzip(gzip)) => deflate(gzip, data, &mut self.output, FlushCompress::None)?,
            Some(State::Zstd(zstd)) => {
                let mut input = InBuffer::around(data);
                while input.pos() < data.len() {
                    with_room(&mut self.output, |output| zstd.run(&mut input, output))?;
                }
            }
            None => return Err(io::ErrorKind::UnexpectedEof.into()),
        }
        Ok(())
    }

    /// Lets out everything that went in, so that the client can read it. Whether there was anything.
    pub fn flush(&mut self) -> io::Result<bool> {
        if !std::mem::take(&mut self.holds) {
            return Ok(false);
        }
        match &mut self.state {
            Some(State::Brotli(brotli)) => brotli.flush()?,
            Some(State::Gzip(gzip)) => deflate(gzip, &[], &mut self.output, FlushCompress::Sync)?,
            Some(State::Zstd(zstd)) => while with_room(&mut self.output, |output| zstd.flush(output))? > 0 {},
            None => return Err(io::ErrorKind::UnexpectedEof.into()),
        }
        Ok(true)
    }

    /// Ends the body.
    pub fn finish(&mut self) -> io::Result<()> {
        match self.state.take() {
            Some(State::Brotli(brotli)) => self.output = brotli.into_inner(),
            Some(State::Gzip(mut gzip)) => {
                deflate(&mut gzip, &[], &mut self.output, FlushCompress::Finish)?;
                gzip.reset();
                keep(&self.home.gzip, self.level, gzip);
            }
            Some(State::Zstd(mut zstd)) => {
                while with_room(&mut self.output, |output| zstd.finish(output, true))? > 0 {}
                zstd.reinit()?;
                keep(&self.home.zstd, self.level, zstd);
            }
            None => return Err(io::ErrorKind::UnexpectedEof.into()),
        }
        Ok(())
    }

    /// What came out so far.
    pub fn take(&mut self) -> Bytes {
        match &mut self.state {
            Some(State::Brotli(brotli)) => std::mem::take(brotli.get_mut()).into(),
            _ => std::mem::take(&mut self.output).into(),
        }
    }
}

impl Drop for Encoder<'_> {
    fn drop(&mut self) {
        self.home.room.set(self.home.room.get() + self.cost);
    }
}

/// Runs `data` through a deflate stream, and as much as `flush` asks for out of it.
fn deflate(gzip: &mut Compress, data: &[u8], output: &mut Vec<u8>, flush: FlushCompress) -> io::Result<()> {
    let mut left = data;
    loop {
        if output.capacity() - output.len() < PIECE / 8 {
            output.reserve(PIECE);
        }
        let before = gzip.total_in();
        let status = gzip.compress_vec(left, output, flush).map_err(io::Error::other)?;
        let taken = usize::try_from(gzip.total_in() - before).unwrap_or(usize::MAX);
        left = left.get(taken..).unwrap_or_default();
        let has_room = output.len() < output.capacity();
        let is_done = match flush {
            FlushCompress::None => left.is_empty(),
            FlushCompress::Finish => status == Status::StreamEnd,
            // Nothing is held back once there was room for more (zlib.h, `deflate`).
            _ => left.is_empty() && has_room,
        };
        if is_done {
            return Ok(());
        }
    }
}

/// Calls `step` with room behind what is in `output`.
fn with_room<T>(
    output: &mut Vec<u8>,
    step: impl FnOnce(&mut OutBuffer<'_, Vec<u8>>) -> io::Result<T>,
) -> io::Result<T> {
    if output.capacity() - output.len() < PIECE / 8 {
        output.reserve(PIECE);
    }
    let at = output.len();
    step(&mut OutBuffer::around_pos(output, at))
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;
    use crate::ir::Compression;

    const ALL: [Coding; 3] = [Coding::Brotli, Coding::Gzip, Coding::Zstd];

    fn text(length: usize) -> Vec<u8> {
        let mut state = 7u32;
        let word = |state: &mut u32| {
            *state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            format!("word{} ", *state >> 22)
        };
        std::iter::from_fn(|| Some(word(&mut state))).flat_map(String::into_bytes).take(length).collect()
    }

    /// What a client has read after so many octets; the stream may go on.
    fn decoded(coding: Coding, octets: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        let mut piece = [0; 4096];
        let mut reader: Box<dyn Read + '_> = match coding {
            Coding::Brotli => Box::new(brotli::Decompressor::new(octets, 4096)),
            Coding::Gzip => Box::new(flate2::read::GzDecoder::new(octets)),
            Coding::Zstd => Box::new(zstd::stream::read::Decoder::new(octets).unwrap()),
        };
        while let Ok(n @ 1..) = reader.read(&mut piece) {
            out.extend_from_slice(&piece[..n]);
        }
        out
    }

    fn tuning(coding: Coding) -> Tuning {
        Compression::default().tuning(coding).clone()
    }

    #[test]
    fn what_is_flushed_can_be_read_before_the_end() {
        let home = Encoders::default();
        for coding in ALL {
            let mut encoder = home.encoder(coding, &tuning(coding), None).unwrap();
            let mut sent = Vec::new();
            for (i, part) in ["data: 1\n\n", "data: 2\n\n", "data: 3\n\n"].iter().enumerate() {
                encoder.write(part.as_bytes()).unwrap();
                assert!(encoder.flush().unwrap() && !encoder.flush().unwrap(), "{coding}");
                sent.extend_from_slice(&encoder.take());
                assert_eq!(decoded(coding, &sent).len(), (i + 1) * 9, "{coding} after part {i}");
            }
            encoder.finish().unwrap();
            sent.extend_from_slice(&encoder.take());
            assert_eq!(decoded(coding, &sent), b"data: 1\n\ndata: 2\n\ndata: 3\n\n", "{coding}");
        }
    }

    #[test]
    fn bodies_of_all_sizes_come_back_whole_and_states_are_used_again() {
        let home = Encoders::default();
        for length in [0, 1, 300, 70_000, 1_000_000] {
            for (coding, is_known) in ALL.into_iter().flat_map(|coding| [(coding, true), (coding, false)]) {
                let body = text(length);
                let known = is_known.then_some(length as u64);
                let mut encoder = home.encoder(coding, &tuning(coding), known).unwrap();
                let mut sent = Vec::new();
                for part in body.chunks(7001) {
                    encoder.write(part).unwrap();
                    sent.extend_from_slice(&encoder.take());
                }
                encoder.finish().unwrap();
                sent.extend_from_slice(&encoder.take());
                assert!(decoded(coding, &sent) == body, "{coding} {length} {is_known}");
                assert!(length < 300 || sent.len() < length, "{coding} {length}: {}", sent.len());
            }
        }
        assert_eq!((home.gzip.borrow().len(), home.zstd.borrow().len()), (1, 1));
        assert_eq!(home.room.get(), ROOM);
    }

    #[test]
    fn there_is_room_for_so_many_and_no_more() {
        let home = Encoders::default();
        let tuning = tuning(Coding::Brotli);
        let held: Vec<_> = std::iter::from_fn(|| home.encoder(Coding::Brotli, &tuning, None)).collect();
        assert_eq!(held.len(), ROOM / cost(Coding::Brotli, 4));
        drop(held);
        assert!(home.encoder(Coding::Brotli, &tuning, None).is_some());
    }
}
