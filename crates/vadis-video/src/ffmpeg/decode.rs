//! Frames from a running `ffmpeg`.

use std::io::{self, BufReader, Read};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

use super::nut::{NutFrame, NutReader};
use super::probe::Probed;
use super::{BASE_MEMORY, Dialect, Input, MAX_BYTES, Process, check_size, ffmpeg};
use crate::{Colour, Frame, ReadOptions, VideoError, VideoInfo};

/// Frames decoded ahead of the consumer.
const AHEAD: usize = 2;
/// How `swscale` converts, where the source is not in the colour asked for: the same bits on every processor.
const SCALER: &str = "bicubic+accurate_rnd+full_chroma_int+full_chroma_inp+bitexact";

/// Decodes one file or stream at its native size.
pub(crate) struct Decoder {
    input: Input,
    process: Process,
    messages: Receiver<Message>,
    arrived: Arc<AtomicU64>,
    options: ReadOptions,
    colour: Colour,
    size: (usize, usize),
    /// When the last frame must be shown at the earliest, for containers that say it reliably.
    expected_end_s: Option<f64>,
    first_s: Option<f64>,
    last_s: f64,
    frames: u64,
    done: bool,
}

enum Message {
    Header(u64, u64),
    Frame(NutFrame),
    End,
    Failed(io::Error),
}

impl Decoder {
    /// Starts decoding; returns once the size of the pictures is known.
    pub(crate) fn open(
        input: Input,
        colour: Colour,
        probed: &Probed,
        options: &ReadOptions,
    ) -> Result<Self, VideoError> {
        let dialect = Dialect::of_tools(&options.tools)?;
        let command = command(&input, colour, dialect, probed, options);
        let mut process = Process::start(command, Stdio::null(), Stdio::piped())?;
        process.limit_memory(memory(&probed.info));
        let (sender, messages) = sync_channel(AHEAD);
        let arrived = Arc::new(AtomicU64::new(0));
        if let Some(pipe) = process.child().stdout.take() {
            let pipe = Counted { inner: pipe, count: arrived.clone() };
            thread::spawn(move || pump(pipe, &sender));
        }
        let mut decoder = Self {
            input,
            process,
            messages,
            arrived,
            options: options.clone(),
            colour,
            size: (0, 0),
            expected_end_s: expected_end(&probed.info, options),
            first_s: None,
            last_s: 0.0,
            frames: 0,
            done: false,
        };
        match decoder.receive()? {
            Message::Header(width, height) => decoder.size = check_size(&decoder.input.name, width, height)?,
            _ => return Err(decoder.never_began()),
        }
        Ok(decoder)
    }

    /// Pixels a row and rows of every frame.
    pub(crate) fn size(&self) -> (usize, usize) {
        self.size
    }

    /// The next message, however slowly its bytes come, unless none comes for the whole timeout.
    fn receive(&mut self) -> Result<Message, VideoError> {
        let waited = self.options.timeout;
        let mut before = self.arrived.load(Ordering::Relaxed);
        loop {
            match self.messages.recv_timeout(waited) {
                Ok(message) => return Ok(message),
                Err(RecvTimeoutError::Disconnected) => return Ok(Message::End),
                Err(RecvTimeoutError::Timeout) => {
                    let now = self.arrived.load(Ordering::Relaxed);
                    if now == before {
                        let name = self.input.name.clone();
                        return Err(VideoError::Timeout { name, frame: self.frames, waited });
                    }
                    before = now;
                }
            }
        }
    }

    fn never_began(&mut self) -> VideoError {
        // The reason is complete only once the process has ended.
        let _ = self.process.finish(Duration::from_secs(2));
        let reason = self.process.complaints().first();
        let detail = reason.map_or_else(|| "no picture in it".to_owned(), |r| self.input.without_address(&r));
        VideoError::Unreadable { name: self.input.name.clone(), detail }
    }

    fn frame(&mut self, raw: NutFrame) -> Result<Frame, VideoError> {
        let (width, height) = self.size;
        if raw.data.len() != width * height * self.colour.channels() {
            return Err(self.damaged(format!("a frame of {} bytes", raw.data.len())));
        }
        let first_s = *self.first_s.get_or_insert(raw.time_s);
        self.last_s = raw.time_s;
        let time_s =
            if self.options.start_s > 0.0 { self.options.start_s + raw.time_s } else { raw.time_s - first_s };
        let index = self.frames;
        self.frames += 1;
        Ok(Frame { index, time_s, width, height, colour: self.colour, data: raw.data })
    }

    /// Whether the end reached is the file's proper one.
    fn verdict(&mut self) -> Option<VideoError> {
        let status = match self.process.finish(self.options.timeout) {
            Ok(status) => status,
            Err(e) => return Some(VideoError::io(format!("read {}", self.input.name), e)),
        };
        let complaint = self.process.complaints().first();
        let failed = !status.is_some_and(|s| s.success());
        let is_file = self.input.path.is_some();
        if failed || (is_file && complaint.is_some()) {
            let detail =
                complaint.map_or_else(|| "the decoder failed".to_owned(), |c| self.input.without_address(&c));
            return Some(self.damaged(detail));
        }
        if is_file && self.frames == 0 && self.options.start_s == 0.0 {
            return Some(self.damaged("no picture could be decoded".to_owned()));
        }
        let end_s = self.last_s - self.first_s.unwrap_or(0.0);
        let expected_s = self.expected_end_s.filter(|&e| end_s < e)?;
        Some(self.damaged(format!("ends at {end_s:.1} s, where {expected_s:.1} s are declared")))
    }

    fn damaged(&self, detail: String) -> VideoError {
        VideoError::Damaged { name: self.input.name.clone(), frame: self.frames, detail }
    }
}

impl Iterator for Decoder {
    type Item = Result<Frame, VideoError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.done || self.options.max_frames.is_some_and(|max| self.frames >= max) {
            return None;
        }
        let item = match self.receive() {
            Ok(Message::Frame(raw)) => Some(self.frame(raw)),
            Ok(Message::Header(..) | Message::End) => self.verdict().map(Err),
            // A process that died mid-frame: its own words say more than ours.
            Ok(Message::Failed(e)) => {
                Some(Err(self.verdict().unwrap_or_else(|| self.damaged(e.to_string()))))
            }
            Err(e) => Some(Err(e)),
        };
        self.done = !matches!(item, Some(Ok(_)));
        item
    }
}

/// AVI's header keeps its frame count when the file is cut, and the demuxer says nothing; others complain themselves.
fn expected_end(info: &VideoInfo, options: &ReadOptions) -> Option<f64> {
    let whole = options.start_s == 0.0 && options.duration_s.is_none();
    let frames = info.frames.filter(|_| whole && info.container == "avi")?;
    let end_s = frames as f64 / info.fps;
    // The last pictures may be declared as repeated.
    Some(end_s - (0.02 * end_s).max(1.0))
}

/// What decoding may take: a codec's reference frames and the pipeline's own, at 8 bytes a pixel (16-bit 4:4:4 padded).
fn memory(info: &VideoInfo) -> u64 {
    const FRAMES: u64 = 40;
    BASE_MEMORY + FRAMES * 8 * (info.width * info.height) as u64
}

fn command(
    input: &Input,
    colour: Colour,
    dialect: Dialect,
    probed: &Probed,
    options: &ReadOptions,
) -> Command {
    let threads = options.threads.max(1).to_string();
    let mut command = ffmpeg(&options.tools);
    command.args(["-filter_threads", "1", "-threads", &threads, "-flags", "+bitexact"]);
    if options.start_s > 0.0 {
        command.args(["-ss", &format!("{:.6}", options.start_s + probed.lead_s)]);
    }
    if let Some(duration_s) = options.duration_s {
        command.args(["-t", &format!("{duration_s:.6}")]);
    }
    input.give_to(&mut command);
    command.args(["-map", "0:V:0", "-an", "-sn", "-dn", "-map_metadata", "-1", "-map_chapters", "-1"]);
    // Every decoded frame once, at the container's own time.
    command.args([dialect.frame_rate_mode, "passthrough", "-enc_time_base", dialect.demuxer_time_base]);
    let pixels = match colour {
        Colour::Grey => "gray",
        Colour::Rgb => "rgb24",
    };
    command.args(["-sws_flags", SCALER, "-c:v", "rawvideo", "-pix_fmt", pixels]);
    command.args(["-flush_packets", "1", "-f", "nut", "pipe:1"]);
    command
}

/// Reads frames until the end, an error, or nobody wants more.
fn pump(pipe: impl Read, sender: &SyncSender<Message>) {
    let mut nut = match NutReader::open(BufReader::with_capacity(1 << 16, pipe), MAX_BYTES) {
        Ok(nut) => nut,
        Err(e) => return drop(sender.send(Message::Failed(e))),
    };
    let (width, height) = nut.size();
    let mut wanted = sender.send(Message::Header(width, height)).is_ok();
    while wanted {
        let message = match nut.next_frame() {
            Ok(Some(frame)) => Message::Frame(frame),
            Ok(None) => Message::End,
            Err(e) => Message::Failed(e),
        };
        let last = !matches!(message, Message::Frame(_));
        wanted = sender.send(message).is_ok() && !last;
    }
}

/// Counts the bytes that arrive, so that slow and dead can be told apart.
struct Counted<R> {
    inner: R,
    count: Arc<AtomicU64>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.count.fetch_add(read as u64, Ordering::Relaxed);
        Ok(read)
    }
}
