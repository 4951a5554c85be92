//! Videos out, through `ffmpeg`.

use std::ffi::OsString;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, Command, Stdio};
use std::time::Duration;

use tempfile::TempPath;

use crate::ffmpeg::encode::{best_h264, h264_options};
use crate::ffmpeg::{Dialect, Process, Tools, ffmpeg, is_valid_size};
use crate::{Colour, Frame, VideoError};

/// Time an encoder may take to write the rest once all frames are given.
const PATIENCE: Duration = Duration::from_secs(600);
/// Ticks a second where frames bring their own time.
const MICROSECONDS: u32 = 1_000_000;

/// How pictures are coded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Codec {
    /// H.264, 4:2:0, which every browser plays; odd sizes grow by one repeated line. Takes grey and colour.
    /// Where `ffmpeg` has no H.264 encoder, MPEG-4: see [`VideoWriter::encoder`].
    H264 {
        /// Constant rate factor, 0 (best) to 51; 23 is usual.
        crf: u8,
    },
    /// As `H264` in its baseline profile, for small clips inside a page.
    H264Baseline {
        /// Constant rate factor, 0 (best) to 51.
        crf: u8,
    },
    /// FFV1, lossless, grey. Matroska only.
    Ffv1Grey,
    /// FFV1, lossless, RGB. Matroska only.
    Ffv1Rgb,
}

impl Codec {
    fn colour(self) -> Colour {
        match self {
            Self::Ffv1Grey => Colour::Grey,
            _ => Colour::Rgb,
        }
    }

    fn is_lossless(self) -> bool {
        matches!(self, Self::Ffv1Grey | Self::Ffv1Rgb)
    }
}

/// When the frames of a video are shown.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Timing {
    /// At a constant rate, in frames a second; `Frame::time_s` is not looked at.
    Constant(f64),
    /// At their own `Frame::time_s`, to the microsecond (Matroska keeps milliseconds).
    OfFrames,
}

/// What a [`VideoWriter`] is to make.
#[derive(Debug, Clone, PartialEq)]
pub struct WriterSpec {
    /// Pixels a row of every frame.
    pub width: usize,
    /// Rows of every frame.
    pub height: usize,
    /// When frames are shown.
    pub timing: Timing,
    /// How they are coded.
    pub codec: Codec,
    /// Which `ffmpeg` to run.
    pub tools: Tools,
}

/// Encodes frames into a file, which appears under its name only when it is complete.
///
/// Dropping it before [`VideoWriter::finish`] leaves nothing behind.
pub struct VideoWriter {
    input: Option<BufWriter<ChildStdin>>,
    // Ends before its file is removed.
    process: Process,
    part: Option<TempPath>,
    path: PathBuf,
    spec: WriterSpec,
    encoder: &'static str,
    frames: u64,
    last_tick: Option<u64>,
}

impl VideoWriter {
    /// Begins `path` (`.mp4`, `.m4v`, `.mov` or `.mkv`) at a constant number of frames a second.
    ///
    /// # Errors
    /// As [`VideoWriter::with_spec`].
    pub fn create(
        path: &Path,
        width: usize,
        height: usize,
        fps: f64,
        codec: Codec,
    ) -> Result<Self, VideoError> {
        let timing = Timing::Constant(fps);
        Self::with_spec(path, WriterSpec { width, height, timing, codec, tools: Tools::default() })
    }

    /// Begins `path` with frames shown at their own times, so that it runs as its source does.
    ///
    /// # Errors
    /// As [`VideoWriter::with_spec`].
    pub fn create_timed(path: &Path, width: usize, height: usize, codec: Codec) -> Result<Self, VideoError> {
        let timing = Timing::OfFrames;
        Self::with_spec(path, WriterSpec { width, height, timing, codec, tools: Tools::default() })
    }

    /// Begins a file as specified.
    ///
    /// # Errors
    /// [`VideoError::BadSize`], [`VideoError::BadOption`] for a rate that is not positive, [`VideoError::Encode`] for
    /// an extension that is not known or cannot hold the codec, [`VideoError::MissingCommand`], [`VideoError::Io`].
    pub fn with_spec(path: &Path, spec: WriterSpec) -> Result<Self, VideoError> {
        if !is_valid_size(spec.width, spec.height) {
            return Err(VideoError::BadSize { width: spec.width, height: spec.height });
        }
        let rate = rate(spec.timing)?;
        let container = container(path, spec.codec)?;
        let encoder = match spec.codec {
            Codec::H264 { .. } | Codec::H264Baseline { .. } => best_h264(&spec.tools, path)?,
            Codec::Ffv1Grey | Codec::Ffv1Rgb => "ffv1",
        };
        let part = part_file(path)?;
        let dialect = Dialect::of_tools(&spec.tools)?;
        let command = command(&spec, encoder, container, dialect, rate, &part);
        let mut process = Process::start(command, Stdio::piped(), Stdio::null())?;
        let input = process.child().stdin.take().map(|pipe| BufWriter::with_capacity(1 << 16, pipe));
        let path = path.to_path_buf();
        let (frames, last_tick) = (0, None);
        let mut writer = Self { input, process, part: Some(part), path, spec, encoder, frames, last_tick };
        writer.send(&ivf_header(&writer.spec, rate))?;
        Ok(writer)
    }

    /// The encoder in use: `libx264`, `ffv1`, or a fallback (`libopenh264`, `h264_videotoolbox`, `mpeg4`).
    pub fn encoder(&self) -> &str {
        self.encoder
    }

    /// Adds a frame. Grey frames are coded as colour where the codec is one of colour.
    ///
    /// # Errors
    /// [`VideoError::WrongFrame`] for another size, or colour where the codec is grey; [`VideoError::Encode`] when
    /// the encoder has given up.
    pub fn write(&mut self, frame: &Frame) -> Result<(), VideoError> {
        let fits = (frame.width, frame.height) == (self.spec.width, self.spec.height);
        let colour = self.spec.codec.colour();
        let length = frame.width * frame.height * frame.colour.channels();
        let is_narrowing = (frame.colour, colour) == (Colour::Rgb, Colour::Grey);
        if !fits || is_narrowing || frame.data.len() != length {
            return Err(self.wrong(frame));
        }
        let tick = self.tick(frame.time_s);
        match (frame.colour, colour) {
            (Colour::Grey, Colour::Rgb) => self.send_frame(tick, &frame.to_rgb().data),
            _ => self.send_frame(tick, &frame.data),
        }?;
        self.frames += 1;
        self.last_tick = Some(tick);
        Ok(())
    }

    /// Completes the file and puts it in its place.
    ///
    /// # Errors
    /// [`VideoError::Encode`] if the encoder failed or no frame was written, [`VideoError::Io`] if it cannot be put there.
    pub fn finish(mut self) -> Result<(), VideoError> {
        if self.frames == 0 {
            return Err(self.failed("no frame was given".to_owned()));
        }
        let flushed = self.input.take().map_or(Ok(()), |mut input| input.flush());
        let status = self.process.finish(PATIENCE);
        let status = status.map_err(|e| VideoError::io(format!("write {}", self.path.display()), e))?;
        if flushed.is_err() || !status.is_some_and(|s| s.success()) {
            return Err(self.failed(self.reason()));
        }
        let Some(part) = self.part.take() else { return Ok(()) };
        part.persist(&self.path)
            .map_err(|e| VideoError::io(format!("write {}", self.path.display()), e.error))
    }

    /// When to show the next frame, in ticks, later than the one before.
    fn tick(&self, time_s: f64) -> u64 {
        let wanted = match self.spec.timing {
            Timing::Constant(_) => self.frames,
            // A cast from a negative or undefined time gives 0.
            Timing::OfFrames => (time_s * f64::from(MICROSECONDS)).round() as u64,
        };
        wanted.max(self.last_tick.map_or(0, |t| t + 1))
    }

    fn send_frame(&mut self, tick: u64, data: &[u8]) -> Result<(), VideoError> {
        let mut header = [0; 12];
        // A frame is at most 2^28 bytes.
        header[..4].copy_from_slice(&(data.len() as u32).to_le_bytes());
        header[4..].copy_from_slice(&tick.to_le_bytes());
        self.send(&header)?;
        self.send(data)
    }

    fn send(&mut self, bytes: &[u8]) -> Result<(), VideoError> {
        let written = self.input.as_mut().map_or(Ok(()), |input| input.write_all(bytes));
        written.map_err(|_| {
            // The pipe is closed: the encoder has ended, and says why.
            let _ = self.process.finish(Duration::from_secs(2));
            self.failed(self.reason())
        })
    }

    fn reason(&self) -> String {
        self.process.complaints().first().unwrap_or_else(|| "the encoder ended early".to_owned())
    }

    fn failed(&self, detail: String) -> VideoError {
        VideoError::Encode { path: self.path.clone(), codec: self.encoder.to_owned(), detail }
    }

    fn wrong(&self, frame: &Frame) -> VideoError {
        let shown = |w, h, c| format!("{w}×{h} {}", if c == Colour::Grey { "grey" } else { "colour" });
        VideoError::WrongFrame {
            frame: self.frames,
            expected: shown(self.spec.width, self.spec.height, self.spec.codec.colour()),
            got: shown(frame.width, frame.height, frame.colour),
        }
    }
}

/// The clock of the file: ticks a second as a ratio.
fn rate(timing: Timing) -> Result<(u32, u32), VideoError> {
    let fps = match timing {
        Timing::OfFrames => return Ok((MICROSECONDS, 1)),
        Timing::Constant(fps) => fps,
    };
    if !(fps.is_finite() && (0.001..=100_000.0).contains(&fps)) {
        return Err(VideoError::BadOption { option: "fps", value: fps });
    }
    // Television's rates are multiples of 1000/1001.
    let ntsc = fps * 1.001;
    if (ntsc - ntsc.round()).abs() < 1e-4 && (fps - fps.round()).abs() > 1e-4 {
        return Ok((ntsc.round() as u32 * 1000, 1001));
    }
    Ok(((fps * 1000.0).round() as u32, 1000))
}

fn container(path: &Path, codec: Codec) -> Result<&'static str, VideoError> {
    let extension = path.extension().map(|e| e.to_string_lossy().to_ascii_lowercase());
    match extension.as_deref() {
        Some("mkv") => Ok("matroska"),
        Some("mp4" | "m4v" | "mov") if !codec.is_lossless() => Ok("mp4"),
        _ => Err(VideoError::Encode {
            path: path.to_path_buf(),
            codec: if codec.is_lossless() { "FFV1".to_owned() } else { "H.264".to_owned() },
            detail: "FFV1 is written to .mkv, H.264 to .mp4, .m4v, .mov or .mkv".to_owned(),
        }),
    }
}

/// A file beside the one to be, hidden.
fn part_file(path: &Path) -> Result<TempPath, VideoError> {
    let failed = |e| VideoError::io(format!("write {}", path.display()), e);
    let absolute = std::path::absolute(path).map_err(failed)?;
    let folder = absolute.parent().unwrap_or(Path::new("/"));
    let mut builder = tempfile::Builder::new();
    builder.prefix(".vadis-").suffix(".part");
    #[cfg(unix)]
    {
        // What a plain file would get; the umask applies.
        use std::os::unix::fs::PermissionsExt;
        builder.permissions(std::fs::Permissions::from_mode(0o666));
    }
    Ok(builder.tempfile_in(folder).map_err(failed)?.into_temp_path())
}

fn command(
    spec: &WriterSpec,
    encoder: &str,
    container: &str,
    dialect: Dialect,
    (num, den): (u32, u32),
    part: &Path,
) -> Command {
    let mut command = ffmpeg(&spec.tools);
    command.args(["-f", "ivf", "-c:v", "rawvideo", "-i", "pipe:0", "-map", "0:v:0"]);
    command.args([dialect.frame_rate_mode, "passthrough"]);
    match (spec.codec, spec.timing) {
        // A finer clock than a phone's decoder likes is of no use in MP4.
        (Codec::H264 { .. } | Codec::H264Baseline { .. }, Timing::OfFrames) => {
            command.args(["-enc_time_base", "1:90000"]);
        }
        _ => {
            command.args(["-enc_time_base", &format!("{den}:{num}")]);
        }
    }
    match spec.codec {
        Codec::H264 { crf } => command.args(h264_options(encoder, crf, false)),
        Codec::H264Baseline { crf } => command.args(h264_options(encoder, crf, true)),
        Codec::Ffv1Grey => command.args(["-c:v", "ffv1", "-pix_fmt", "gray"]),
        Codec::Ffv1Rgb => command.args(["-c:v", "ffv1", "-pix_fmt", "bgr0"]),
    };
    if !spec.codec.is_lossless() {
        let (right, bottom) = (spec.width % 2, spec.height % 2);
        let grow = format!("pad=iw+{right}:ih+{bottom},fillborders=right={right}:bottom={bottom}:mode=smear");
        if right + bottom > 0 {
            command.args(["-vf", &grow]);
        }
        // What swscale converts RGB to, told to the player.
        command.args([
            "-colorspace",
            "smpte170m",
            "-color_range",
            "tv",
            "-sws_flags",
            "bicubic+accurate_rnd",
        ]);
    }
    // The same frames make the same file: no time of day, no random identifier in it.
    command.args(["-fflags", "+bitexact", "-flags:v", "+bitexact"]);
    if container == "mp4" {
        command.args(["-movflags", "+faststart"]);
    }
    let mut address = OsString::from("file:");
    address.push(part);
    command.args(["-f", container, "-y"]).arg(address);
    command
}

/// IVF's file header (32 bytes): raw frames may follow under it, each with its length and its time in ticks.
fn ivf_header(spec: &WriterSpec, (num, den): (u32, u32)) -> [u8; 32] {
    let fourcc = match spec.codec.colour() {
        Colour::Grey => b"Y800",
        Colour::Rgb => b"RGB\x18",
    };
    let mut header = [0; 32];
    header[..4].copy_from_slice(b"DKIF");
    header[6..8].copy_from_slice(&32u16.to_le_bytes());
    header[8..12].copy_from_slice(fourcc);
    // Sides are at most 2^14.
    header[12..14].copy_from_slice(&(spec.width as u16).to_le_bytes());
    header[14..16].copy_from_slice(&(spec.height as u16).to_le_bytes());
    header[16..20].copy_from_slice(&num.to_le_bytes());
    header[20..24].copy_from_slice(&den.to_le_bytes());
    header
}
