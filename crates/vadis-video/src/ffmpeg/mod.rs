//! The `ffmpeg` and `ffprobe` commands: where they are, how they are run on input that nobody vouches for.
//!
//! No shell is involved. Every input is opened with an allow-list of containers (none that names other files: no
//! playlist, concatenation list, image pattern or session description) and of protocols (`file` alone for files,
//! network ones alone for streams), under the `file:` prefix and an absolute path, so that neither a name nor a
//! file's content can make the command open anything else or be taken for an option.

pub(crate) mod decode;
pub(crate) mod encode;
pub(crate) mod nut;
pub(crate) mod probe;
mod process;

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

pub(crate) use process::{BASE_MEMORY, Process, run};

use crate::source::{scheme, stream};
use crate::{Source, SourceKind, VideoError};

/// Where the two commands are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tools {
    /// The `ffmpeg` command: a name looked up in `PATH`, or a path.
    pub ffmpeg: PathBuf,
    /// The `ffprobe` command.
    pub ffprobe: PathBuf,
}

impl Default for Tools {
    /// The environment variables `VADIS_FFMPEG` and `VADIS_FFPROBE`, or `ffmpeg` and `ffprobe` from `PATH`.
    fn default() -> Self {
        let from_env = |key, name: &str| std::env::var_os(key).map_or_else(|| name.into(), PathBuf::from);
        Self { ffmpeg: from_env("VADIS_FFMPEG", "ffmpeg"), ffprobe: from_env("VADIS_FFPROBE", "ffprobe") }
    }
}

/// What `ffmpeg -version` says in its first line, such as `5.1.9-0+deb12u1`.
///
/// # Errors
/// [`VideoError::MissingCommand`], [`VideoError::Timeout`] or [`VideoError::Protocol`].
pub fn ffmpeg_version() -> Result<String, VideoError> {
    version_of(&Tools::default().ffmpeg)
}

/// [`ffmpeg_version`] of a given command (`ffprobe` answers in the same way).
///
/// # Errors
/// As [`ffmpeg_version`].
pub fn version_of(command: &Path) -> Result<String, VideoError> {
    let mut query = Command::new(command);
    query.arg("-version");
    let output = run(query, &command.display().to_string(), Duration::from_secs(10), 1 << 16)?;
    let text = String::from_utf8_lossy(&output.stdout);
    let version = text.split_whitespace().skip_while(|w| *w != "version").nth(1);
    version.map(str::to_owned).ok_or_else(|| VideoError::Protocol {
        command: command.display().to_string(),
        detail: "no version in its first line".to_owned(),
    })
}

/// Options whose spelling changed between releases.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Dialect {
    /// `-fps_mode`, or `-vsync` before 5.1.
    pub(crate) frame_rate_mode: &'static str,
    /// The encoder's time base taken from the demuxer: `demux`, or `-1` before 6.1.
    pub(crate) demuxer_time_base: &'static str,
}

impl Dialect {
    /// That of the command in use, asked for once.
    pub(crate) fn of_tools(tools: &Tools) -> Result<Self, VideoError> {
        static KNOWN: Mutex<BTreeMap<PathBuf, Dialect>> = Mutex::new(BTreeMap::new());
        let known = || KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(dialect) = known().get(&tools.ffmpeg) {
            return Ok(*dialect);
        }
        let dialect = Self::of(&version_of(&tools.ffmpeg)?);
        known().insert(tools.ffmpeg.clone(), dialect);
        Ok(dialect)
    }

    /// The spelling of a release; that of the newest for a build without a number (`N-112…-g…`).
    pub(crate) fn of(version: &str) -> Self {
        let mut numbers = version.trim_start_matches('n').split(['.', '-', '~', '+']).map(str::parse::<u32>);
        let release = match (numbers.next(), numbers.next()) {
            (Some(Ok(major)), Some(Ok(minor))) => (major, minor),
            (Some(Ok(major)), _) => (major, 0),
            _ => (u32::MAX, 0),
        };
        Self {
            frame_rate_mode: if release >= (5, 1) { "-fps_mode" } else { "-vsync" },
            demuxer_time_base: if release >= (6, 1) { "demux" } else { "-1" },
        }
    }
}

/// Containers read from files: those that hold their pictures themselves and are known by their content.
///
/// Left out on purpose: whatever names other files or addresses (hls, dash, concat, image2, imf, sdp, rtsp, mpl …),
/// devices, virtual inputs (lavfi), text art (tty, ansi), and raw formats known by extension only.
const FILE_FORMATS: &str = "3dostr,4xm,amv,apng,asf,asf_o,av1,avi,cavsvideo,dhav,dirac,dnxhd,dv,evc,flic,flv,gif,gif_pipe,gxf,h261,\
h263,h264,hevc,ifv,ivf,jpeg_pipe,jpegxl_anim,kux,live_flv,lmlm4,lxf,m4v,matroska,webm,mjpeg,mjpeg_2000,mov,mp4,\
m4a,3gp,3g2,mj2,mpeg,mpegts,mpegvideo,mpjpeg,mxf,nsv,nut,nuv,obu,ogg,png_pipe,rm,smjpeg,swf,vc1,vc1test,viv,vvc,\
webp_pipe,wtv,xmv,yuv4mpegpipe";

/// Containers read from network streams; a playlist of an address the user gave may be followed over the network.
const STREAM_FORMATS: &str = "asf,avi,flv,live_flv,h264,hevc,hls,matroska,webm,mjpeg,mjpeg_2000,mov,mp4,m4a,3gp,3g2,\
mj2,mpeg,mpegts,mpegvideo,mpjpeg,nut,ogg,rtp,rtsp";

/// Longest side of a picture, in pixels.
pub(crate) const MAX_SIDE: usize = 16_384;
/// Largest decoded picture, in bytes.
pub(crate) const MAX_BYTES: usize = 1 << 28;
/// Largest picture in pixels, so that it fits in [`MAX_BYTES`] in colour.
pub(crate) const MAX_PIXELS: usize = MAX_BYTES / 3;
/// Largest single allocation of `ffmpeg`, in bytes; a decoder's padded 16-bit picture of [`MAX_PIXELS`] fits.
const MAX_ALLOC: usize = 1 << 30;

/// An input as `ffmpeg` and `ffprobe` are to open it.
#[derive(Debug, Clone)]
pub(crate) struct Input {
    /// What error messages call it.
    pub(crate) name: String,
    options: Vec<&'static str>,
    address: OsString,
    /// The path, for files.
    pub(crate) path: Option<PathBuf>,
}

impl Input {
    /// The input of a file or a stream; `None` for images, which are read without `ffmpeg`.
    pub(crate) fn of(source: &Source) -> Result<Option<Self>, VideoError> {
        match &source.kind {
            SourceKind::File(path) => Self::file(path).map(Some),
            SourceKind::Stream(address) => Self::stream(address).map(Some),
            SourceKind::Images(_) => Ok(None),
        }
    }

    fn file(path: &Path) -> Result<Self, VideoError> {
        let name = path.display().to_string();
        let meta = std::fs::metadata(path).map_err(|e| match e.kind() {
            std::io::ErrorKind::NotFound => VideoError::NotFound { path: path.to_path_buf() },
            _ => VideoError::io(format!("open {name}"), e),
        })?;
        if meta.is_dir() {
            return Err(VideoError::Unreadable { name, detail: "it is a folder".to_owned() });
        }
        if meta.is_file() && meta.len() == 0 {
            return Err(VideoError::EmptyFile { path: path.to_path_buf() });
        }
        let absolute = std::path::absolute(path).map_err(|e| VideoError::io(format!("open {name}"), e))?;
        let mut address = OsString::from("file:");
        address.push(&absolute);
        let options = vec!["-protocol_whitelist", "file", "-format_whitelist", FILE_FORMATS];
        Ok(Self { name, options, address, path: Some(path.to_path_buf()) })
    }

    fn stream(address: &str) -> Result<Self, VideoError> {
        let name = stream(address)?.location();
        let mut options = vec!["-protocol_whitelist", protocols(&scheme(address).unwrap_or_default())];
        options.extend(["-format_whitelist", STREAM_FORMATS]);
        if scheme(address).is_some_and(|s| s.starts_with("rtsp")) {
            // Over UDP, lost packets would be scored as anomalies.
            options.extend(["-rtsp_transport", "tcp"]);
        }
        Ok(Self { name, options, address: address.into(), path: None })
    }

    /// A complaint without the address, which may hold a password, and without the prefix we gave.
    pub(crate) fn without_address(&self, complaint: &str) -> String {
        let complaint = complaint.replace(self.address.to_string_lossy().as_ref(), &self.name);
        // Who says it stands before it already.
        let named = complaint.strip_prefix(&self.name).and_then(|rest| rest.strip_prefix(": "));
        named.map_or(complaint.clone(), str::to_owned)
    }

    /// Gives a command this input, with the limits on what is read from it.
    pub(crate) fn give_to(&self, command: &mut Command) {
        let pixels = MAX_PIXELS.to_string();
        command.args(&self.options).args(["-max_pixels", &pixels]).arg("-i").arg(&self.address);
    }
}

/// What a stream of this scheme needs, and no protocol that reads local files.
fn protocols(scheme: &str) -> &'static str {
    match scheme {
        "rtsp" | "rtsps" => "rtsp,rtp,rtcp,srtp,udp,tcp,tls,http,https",
        "rtp" => "rtp,rtcp,srtp,udp",
        "rtmp" | "rtmps" => "rtmp,rtmps,rtmpt,rtmpts,tcp,tls",
        "http" | "https" => "http,https,httpproxy,tcp,tls,crypto",
        "srt" => "srt,udp",
        "tcp" => "tcp",
        _ => "udp",
    }
}

/// `ffmpeg` with what every use of it needs: no terminal, errors only, bounded allocations.
pub(crate) fn ffmpeg(tools: &Tools) -> Command {
    let mut command = base(&tools.ffmpeg);
    command.args(["-nostdin", "-nostats", "-max_alloc", &MAX_ALLOC.to_string()]);
    command
}

/// `ffprobe` likewise.
pub(crate) fn ffprobe(tools: &Tools) -> Command {
    let mut command = base(&tools.ffprobe);
    command.args(["-max_alloc", &MAX_ALLOC.to_string()]);
    command
}

fn base(program: &(impl AsRef<OsStr> + ?Sized)) -> Command {
    let mut command = Command::new(program);
    // FFREPORT makes ffmpeg write a log file; AV_LOG_FORCE_COLOR puts escapes into what is parsed here.
    command.env_remove("FFREPORT").env_remove("AV_LOG_FORCE_COLOR").args(["-hide_banner", "-v", "error"]);
    command
}

/// True if a frame of this size may be made.
pub(crate) fn is_valid_size(width: usize, height: usize) -> bool {
    (1..=MAX_SIDE).contains(&width) && (1..=MAX_SIDE).contains(&height) && width * height <= MAX_PIXELS
}

/// Refuses a picture of no pixels or of more than is read here.
pub(crate) fn check_size(name: &str, width: u64, height: u64) -> Result<(usize, usize), VideoError> {
    let side = MAX_SIDE as u64;
    if width > side || height > side || width * height > MAX_PIXELS as u64 {
        let name = name.to_owned();
        return Err(VideoError::TooLarge { name, width, height, max_side: MAX_SIDE, max_bytes: MAX_BYTES });
    }
    if width == 0 || height == 0 {
        return Err(VideoError::Unreadable {
            name: name.to_owned(),
            detail: "a picture without pixels".to_owned(),
        });
    }
    Ok((width as usize, height as usize))
}
