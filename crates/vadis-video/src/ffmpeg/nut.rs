//! Reads NUT, the container in which `ffmpeg` hands over raw frames together with their exact timestamps.
//!
//! Raw video on a pipe has no timestamps, and Matroska rounds them to milliseconds; NUT keeps each stream's own time
//! base. Only what FFmpeg's muxer writes for one raw video stream is read, after the public specification ("NUT Open
//! Container Format", 2013). The other end is a process that has parsed untrusted input, so every length is bounded
//! before anything is allocated.

use std::io::{self, Read};

const FILE_ID: &[u8; 25] = b"nut/multimedia container\0";
const MAIN: u64 = 0x4E4D_7A56_1F5F_04AD;
const STREAM: u64 = 0x4E53_1140_5BF2_F9DB;
const SYNCPOINT: u64 = 0x4E4B_E4AD_EECA_4569;
const INDEX: u64 = 0x4E58_DD67_2F23_E64E;
const INFO: u64 = 0x4E49_AB68_B596_BA78;

const FLAG_EOR: u64 = 1 << 1;
const FLAG_CODED_PTS: u64 = 1 << 3;
const FLAG_STREAM_ID: u64 = 1 << 4;
const FLAG_SIZE_MSB: u64 = 1 << 5;
const FLAG_CHECKSUM: u64 = 1 << 6;
const FLAG_RESERVED: u64 = 1 << 7;
const FLAG_SIDE_DATA: u64 = 1 << 8;
const FLAG_HEADER_INDEX: u64 = 1 << 10;
const FLAG_MATCH_TIME: u64 = 1 << 11;
const FLAG_CODED: u64 = 1 << 12;
const FLAG_INVALID: u64 = 1 << 13;

/// Longest header packet accepted; FFmpeg's are a few hundred bytes.
const MAX_HEADER: u64 = 1 << 20;
/// Longest elided frame beginning, by the specification.
const MAX_ELISION: usize = 256;
/// Most time bases in a main header; FFmpeg writes one a stream.
const MAX_TIME_BASES: u64 = 64;

/// A NUT stream holding one raw video stream.
pub(crate) struct NutReader<R> {
    input: R,
    codes: Vec<FrameCode>,
    elisions: Vec<Vec<u8>>,
    time_bases: Vec<(u64, u64)>,
    broadcast: bool,
    stream: Stream,
    last_pts: i64,
    max_bytes: usize,
}

/// What the stream header says.
#[derive(Debug, Clone, Copy, Default)]
struct Stream {
    width: u64,
    height: u64,
    time_base: usize,
    msb_pts_shift: u32,
}

/// A packet of the stream: one raw frame.
pub(crate) struct NutFrame {
    /// Presentation time in seconds, as the container has it.
    pub(crate) time_s: f64,
    /// The frame's bytes.
    pub(crate) data: Vec<u8>,
}

/// How a frame's first byte abbreviates its header.
#[derive(Debug, Clone, Copy, Default)]
struct FrameCode {
    flags: u64,
    stream: u64,
    size_mul: u64,
    size_lsb: u64,
    pts_delta: i64,
    reserved: u64,
    header: u64,
}

impl<R: Read> NutReader<R> {
    /// Reads the headers. No frame of more than `max_bytes` will be accepted.
    ///
    /// Nothing at all on the pipe is [`io::ErrorKind::UnexpectedEof`], as is an early end; anything that is not the
    /// NUT expected is [`io::ErrorKind::InvalidData`].
    pub(crate) fn open(mut input: R, max_bytes: usize) -> io::Result<Self> {
        let mut id = [0; FILE_ID.len()];
        input.read_exact(&mut id)?;
        if &id != FILE_ID {
            return Err(invalid("no NUT file id"));
        }
        if read_u64(&mut input)? != MAIN {
            return Err(invalid("no NUT main header"));
        }
        let main = main_header(&read_packet(&mut input)?)?;
        if read_u64(&mut input)? != STREAM {
            return Err(invalid("no NUT stream header"));
        }
        let stream = stream_header(&read_packet(&mut input)?, main.time_bases.len())?;
        let MainHeader { codes, elisions, time_bases, broadcast } = main;
        Ok(Self { input, codes, elisions, time_bases, broadcast, stream, last_pts: 0, max_bytes })
    }

    /// Pixels a row and rows, as declared.
    pub(crate) fn size(&self) -> (u64, u64) {
        (self.stream.width, self.stream.height)
    }

    /// The next frame; `None` at a proper end.
    pub(crate) fn next_frame(&mut self) -> io::Result<Option<NutFrame>> {
        loop {
            let mut code = [0];
            if self.input.read(&mut code)? == 0 {
                return Ok(None);
            }
            if code[0] == b'N' {
                self.other_packet()?;
                continue;
            }
            if let Some(frame) = self.frame(code[0])? {
                return Ok(Some(frame));
            }
        }
    }

    /// A syncpoint, a repeated header, an index or an info packet, whose first byte is already read.
    fn other_packet(&mut self) -> io::Result<()> {
        let mut rest = [0; 8];
        rest[0] = b'N';
        self.input.read_exact(&mut rest[1..])?;
        match u64::from_be_bytes(rest) {
            SYNCPOINT => {
                let payload = read_packet(&mut self.input)?;
                self.syncpoint(&payload)
            }
            MAIN | STREAM | INFO => read_packet(&mut self.input).map(drop),
            INDEX => skip_packet(&mut self.input),
            _ => Err(invalid("unknown NUT packet")),
        }
    }

    /// Sets the time against which the following frames' times are coded.
    fn syncpoint(&mut self, mut payload: &[u8]) -> io::Result<()> {
        let coded = read_v(&mut payload)?;
        read_v(&mut payload)?;
        if self.broadcast {
            read_v(&mut payload)?;
        }
        let count = self.time_bases.len() as u64;
        let (num, den) = self.time_bases[(coded % count) as usize];
        let (to_num, to_den) = self.time_bases[self.stream.time_base];
        let ticks = u128::from(coded / count) * u128::from(num) * u128::from(to_den);
        let ticks = ticks / (u128::from(den) * u128::from(to_num));
        self.last_pts = i64::try_from(ticks).map_err(|_| invalid("NUT time out of range"))?;
        Ok(())
    }

    fn frame(&mut self, code: u8) -> io::Result<Option<NutFrame>> {
        let FrameCode { mut flags, mut stream, size_mul, size_lsb, pts_delta, mut reserved, mut header } =
            self.codes[usize::from(code)];
        let input = &mut self.input;
        if flags & FLAG_INVALID != 0 {
            return Err(invalid("invalid NUT frame code"));
        }
        if flags & FLAG_CODED != 0 {
            flags ^= read_v(input)?;
        }
        if flags & FLAG_STREAM_ID != 0 {
            stream = read_v(input)?;
        }
        let pts = if flags & FLAG_CODED_PTS != 0 {
            full_pts(read_v(input)?, self.last_pts, self.stream.msb_pts_shift)?
        } else {
            self.last_pts.checked_add(pts_delta).ok_or_else(|| invalid("NUT time out of range"))?
        };
        let mut size = size_lsb;
        if flags & FLAG_SIZE_MSB != 0 {
            let msb = read_v(input)?.checked_mul(size_mul).and_then(|m| m.checked_add(size));
            size = msb.ok_or_else(|| invalid("NUT frame size out of range"))?;
        }
        if flags & FLAG_MATCH_TIME != 0 {
            read_v(input)?;
        }
        if flags & FLAG_HEADER_INDEX != 0 {
            header = read_v(input)?;
        }
        if flags & FLAG_RESERVED != 0 {
            reserved = read_v(input)?;
        }
        for _ in 0..reserved {
            read_v(input)?;
        }
        if flags & FLAG_CHECKSUM != 0 {
            input.read_exact(&mut [0; 4])?;
        }
        if stream != 0 || flags & FLAG_SIDE_DATA != 0 {
            return Err(invalid("more in the NUT stream than one raw video"));
        }
        self.last_pts = pts;
        let data = self.frame_data(size, header)?;
        if data.is_empty() && flags & FLAG_EOR != 0 {
            return Ok(None);
        }
        Ok(Some(NutFrame { time_s: self.seconds(pts), data }))
    }

    /// The frame's bytes; a beginning common to many frames is elided and put back here.
    fn frame_data(&mut self, size: u64, header: u64) -> io::Result<Vec<u8>> {
        let elided = usize::try_from(header).ok().and_then(|i| self.elisions.get(i));
        let elided = elided.ok_or_else(|| invalid("unknown NUT elision header"))?;
        let size = usize::try_from(size).ok().filter(|&s| s <= self.max_bytes && s >= elided.len());
        let size = size.ok_or_else(|| invalid("NUT frame size out of range"))?;
        let mut data = vec![0; size];
        data[..elided.len()].copy_from_slice(elided);
        self.input.read_exact(&mut data[elided.len()..])?;
        Ok(data)
    }

    fn seconds(&self, pts: i64) -> f64 {
        let (num, den) = self.time_bases[self.stream.time_base];
        // One rounding only: the product is exact below 2^53.
        pts as f64 * num as f64 / den as f64
    }
}

/// Reads bytes as a NUT stream of small frames to its end: the entry of the fuzz target. Returns the frames.
pub fn fuzz_nut(bytes: &[u8]) -> u64 {
    let Ok(mut nut) = NutReader::open(bytes, 1 << 16) else { return 0 };
    let mut frames = 0;
    while let Ok(Some(_)) = nut.next_frame() {
        frames += 1;
    }
    frames
}

struct MainHeader {
    codes: Vec<FrameCode>,
    elisions: Vec<Vec<u8>>,
    time_bases: Vec<(u64, u64)>,
    broadcast: bool,
}

fn main_header(mut p: &[u8]) -> io::Result<MainHeader> {
    let p = &mut p;
    let version = read_v(p)?;
    if !(2..=4).contains(&version) {
        return Err(invalid("unknown NUT version"));
    }
    if version > 3 {
        read_v(p)?;
    }
    if read_v(p)? != 1 {
        return Err(invalid("more than one stream in NUT"));
    }
    read_v(p)?;
    let count = read_v(p)?;
    if count == 0 || count > MAX_TIME_BASES {
        return Err(invalid("NUT time bases out of range"));
    }
    let mut time_bases = Vec::new();
    for _ in 0..count {
        let (num, den) = (read_v(p)?, read_v(p)?);
        if num == 0 || den == 0 || num > u64::from(u32::MAX) || den > u64::from(u32::MAX) {
            return Err(invalid("NUT time base out of range"));
        }
        time_bases.push((num, den));
    }
    let codes = frame_codes(p)?;
    let elisions = elision_headers(p)?;
    let main_flags = if p.is_empty() { 0 } else { read_v(p)? };
    Ok(MainHeader { codes, elisions, time_bases, broadcast: main_flags & 1 != 0 })
}

/// The table of 256 frame codes, run-length coded; each field keeps its last value where a run does not state it.
fn frame_codes(p: &mut &[u8]) -> io::Result<Vec<FrameCode>> {
    let mut codes = Vec::with_capacity(256);
    let mut last = FrameCode { size_mul: 1, ..FrameCode::default() };
    while codes.len() < 256 {
        let flags = read_v(p)?;
        let fields = read_v(p)?;
        if fields > 0 {
            last.pts_delta = read_s(p)?;
        }
        if fields > 1 {
            last.size_mul = read_v(p)?;
        }
        if fields > 2 {
            last.stream = read_v(p)?;
        }
        let size = if fields > 3 { read_v(p)? } else { 0 };
        last.reserved = if fields > 4 { read_v(p)? } else { 0 };
        let count = if fields > 5 { read_v(p)? } else { last.size_mul.saturating_sub(size) };
        if fields > 6 {
            read_s(p)?;
        }
        if fields > 7 {
            last.header = read_v(p)?;
        }
        for _ in 8..fields {
            read_v(p)?;
        }
        if count == 0 || count > 256 {
            return Err(invalid("NUT frame codes out of range"));
        }
        push_run(&mut codes, FrameCode { flags, ..last }, size, count);
    }
    Ok(codes)
}

/// `count` codes whose sizes count up; the place of `N`, which begins other packets, is left out of the counting.
fn push_run(codes: &mut Vec<FrameCode>, code: FrameCode, size: u64, count: u64) {
    let mut done = 0;
    while done < count && codes.len() < 256 {
        if codes.len() == usize::from(b'N') {
            codes.push(FrameCode { flags: FLAG_INVALID, ..FrameCode::default() });
            continue;
        }
        codes.push(FrameCode { size_lsb: size.saturating_add(done), ..code });
        done += 1;
    }
    if codes.len() == usize::from(b'N') {
        codes.push(FrameCode { flags: FLAG_INVALID, ..FrameCode::default() });
    }
}

/// The frame beginnings that may be left out; number 0 is the empty one.
fn elision_headers(p: &mut &[u8]) -> io::Result<Vec<Vec<u8>>> {
    let mut headers = vec![Vec::new()];
    let more = if p.is_empty() { 0 } else { read_v(p)? };
    for _ in 0..more.min(128) {
        let length = read_v(p)? as usize;
        if length == 0 || length >= MAX_ELISION || length > p.len() {
            return Err(invalid("NUT elision header out of range"));
        }
        let (header, rest) = p.split_at(length);
        headers.push(header.to_vec());
        *p = rest;
    }
    Ok(headers)
}

fn stream_header(mut p: &[u8], time_bases: usize) -> io::Result<Stream> {
    let p = &mut p;
    let (id, class) = (read_v(p)?, read_v(p)?);
    if id != 0 || class != 0 {
        return Err(invalid("the NUT stream is not video"));
    }
    skip_bytes(p)?; // fourcc
    let time_base = read_v(p)? as usize;
    let msb_pts_shift = read_v(p)?;
    if time_base >= time_bases || msb_pts_shift >= 16 {
        return Err(invalid("NUT stream header out of range"));
    }
    for _ in 0..3 {
        read_v(p)?; // max_pts_distance, decode_delay, stream_flags
    }
    skip_bytes(p)?; // codec-specific data
    let (width, height) = (read_v(p)?, read_v(p)?);
    Ok(Stream { width, height, time_base, msb_pts_shift: msb_pts_shift as u32 })
}

/// The timestamp nearest after the last one that ends in the bits coded, or the one coded in full.
fn full_pts(coded: u64, last: i64, shift: u32) -> io::Result<i64> {
    let coded = i64::try_from(coded).map_err(|_| invalid("NUT time out of range"))?;
    let range = 1i64 << shift;
    if coded >= range {
        return Ok(coded - range);
    }
    let mask = range - 1;
    let delta = last.wrapping_sub(mask / 2);
    Ok((coded.wrapping_sub(delta) & mask).wrapping_add(delta))
}

/// A packet's payload, after its start code, without its checksum.
fn read_packet(input: &mut impl Read) -> io::Result<Vec<u8>> {
    let length = packet_length(input)?;
    if !(4..=MAX_HEADER).contains(&length) {
        return Err(invalid("NUT header size out of range"));
    }
    let mut payload = vec![0; length as usize];
    input.read_exact(&mut payload)?;
    payload.truncate(length as usize - 4);
    Ok(payload)
}

fn skip_packet(input: &mut impl Read) -> io::Result<()> {
    let length = packet_length(input)?;
    io::copy(&mut input.take(length), &mut io::sink()).map(drop)
}

fn packet_length(input: &mut impl Read) -> io::Result<u64> {
    let length = read_v(input)?;
    if length > 4096 {
        input.read_exact(&mut [0; 4])?;
    }
    Ok(length)
}

fn skip_bytes(p: &mut &[u8]) -> io::Result<()> {
    let length = usize::try_from(read_v(p)?).unwrap_or(usize::MAX);
    if length > p.len() {
        return Err(invalid("NUT field longer than its packet"));
    }
    *p = &p[length..];
    Ok(())
}

fn read_u64(input: &mut impl Read) -> io::Result<u64> {
    let mut bytes = [0; 8];
    input.read_exact(&mut bytes)?;
    Ok(u64::from_be_bytes(bytes))
}

/// An unsigned number, seven bits a byte, most significant first.
fn read_v(input: &mut impl Read) -> io::Result<u64> {
    let mut value = 0u64;
    for _ in 0..10 {
        let mut byte = [0];
        input.read_exact(&mut byte)?;
        if value >> 57 != 0 {
            break;
        }
        value = value << 7 | u64::from(byte[0] & 0x7F);
        if byte[0] & 0x80 == 0 {
            return Ok(value);
        }
    }
    Err(invalid("NUT number out of range"))
}

/// A signed number: 0, 1, −1, 2, −2 …
fn read_s(input: &mut impl Read) -> io::Result<i64> {
    let v = read_v(input)?;
    let magnitude = (v / 2 + v % 2) as i64;
    Ok(if v % 2 == 1 { magnitude } else { -magnitude })
}

fn invalid(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A NUT stream of one raw video as FFmpeg 5.1 writes it; see `tests/scripts/nut.sh`.
    const SAMPLE: &[u8] = include_bytes!("../../tests/fixtures/sample.nut");

    fn read(bytes: &[u8]) -> io::Result<Vec<(f64, Vec<u8>)>> {
        let mut nut = NutReader::open(bytes, 1 << 16)?;
        let mut frames = Vec::new();
        while let Some(frame) = nut.next_frame()? {
            frames.push((frame.time_s, frame.data));
        }
        Ok(frames)
    }

    #[test]
    fn reads_what_ffmpeg_writes() {
        let nut = NutReader::open(SAMPLE, 1 << 16).unwrap();
        assert_eq!(nut.size(), (8, 4));
        let frames = read(SAMPLE).unwrap();
        // Frame n at n² tenths of a second, its pixels 16·n.
        assert_eq!(frames.len(), 12);
        for (n, (time_s, data)) in frames.iter().enumerate() {
            assert!((time_s - (n * n) as f64 / 10.0).abs() < 1e-12, "frame {n} at {time_s}");
            assert!(data.iter().all(|&v| usize::from(v) == 16 * n) && data.len() == 32, "frame {n}");
        }
    }

    #[test]
    fn every_cut_is_an_end_or_an_error() {
        let whole = read(SAMPLE).unwrap();
        for length in 0..SAMPLE.len() {
            match read(&SAMPLE[..length]) {
                Ok(frames) => assert!(whole.starts_with(&frames)),
                Err(e) => assert_eq!(e.kind(), io::ErrorKind::UnexpectedEof, "cut at {length}: {e}"),
            }
        }
    }

    #[test]
    fn a_frame_larger_than_allowed_is_refused() {
        let mut nut = NutReader::open(SAMPLE, 31).unwrap();
        assert_eq!(nut.next_frame().err().map(|e| e.kind()), Some(io::ErrorKind::InvalidData));
    }

    #[test]
    fn numbers() {
        for (bytes, value) in [(&[0u8][..], 0), (&[0x7F], 127), (&[0x81, 0], 128), (&[0xFF, 0x7F], 16_383)] {
            assert_eq!(read_v(&mut &*bytes).unwrap(), value);
        }
        assert!(read_v(&mut &[0xFF; 11][..]).is_err());
        let signed: Vec<i64> = (0u8..5).map(|v| read_s(&mut &[v][..]).unwrap()).collect();
        assert_eq!(signed, [0, 1, -1, 2, -2]);
        // 7 bits kept: the nearest time after half a range back from the last one.
        assert_eq!(full_pts(5, 130, 7).unwrap(), 133);
        assert_eq!(full_pts(127, 130, 7).unwrap(), 127);
        assert_eq!(full_pts(128 + 9, 130, 7).unwrap(), 9);
    }

    proptest! {
        #[test]
        fn changed_bytes_never_panic(changes in prop::collection::vec((0..SAMPLE.len(), any::<u8>()), 1..12)) {
            let mut bytes = SAMPLE.to_vec();
            changes.into_iter().for_each(|(at, value)| bytes[at] = value);
            if let Ok(frames) = read(&bytes) {
                prop_assert!(frames.iter().all(|(_, data)| data.len() <= 1 << 16));
            }
        }

        #[test]
        fn any_bytes_never_panic(tail in prop::collection::vec(any::<u8>(), 0..600)) {
            let _ = read(&[FILE_ID.as_slice(), &MAIN.to_be_bytes(), &tail].concat());
        }
    }
}
