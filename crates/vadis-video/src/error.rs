//! What can go wrong while reading or writing video.

use std::path::PathBuf;
use std::time::Duration;

/// An error of this crate; the variants say what happened, [`VideoError::hint`] what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VideoError {
    /// Nothing lies at the path.
    #[error("{}: no such file or folder", path.display())]
    NotFound {
        /// What was asked for.
        path: PathBuf,
    },
    /// A file without a byte.
    #[error("{}: the file is empty", path.display())]
    EmptyFile {
        /// The file.
        path: PathBuf,
    },
    /// A folder in which nothing can be read as video.
    #[error("{}: no video and no numbered images in this folder", path.display())]
    NothingInFolder {
        /// The folder.
        path: PathBuf,
    },
    /// A folder deeper or fuller than [`crate::discover`] walks.
    #[error("{}: more than {limit} entries below this folder", path.display())]
    FolderTooLarge {
        /// The folder.
        path: PathBuf,
        /// Entries walked at most.
        limit: usize,
    },
    /// A stream address whose scheme is not one of the network protocols read here.
    #[error("{address}: streams of scheme '{scheme}' are not read")]
    UnknownScheme {
        /// The address, without user and password.
        address: String,
        /// What stood before `://`.
        scheme: String,
    },
    /// The command is not installed, or not where it was said to be.
    #[error("the command '{command}' was not found")]
    MissingCommand {
        /// `ffmpeg`, `ffprobe`, or the path configured for it.
        command: String,
    },
    /// The source opens as no container that is read here.
    #[error("{name}: not a video that can be read: {detail}")]
    Unreadable {
        /// The file or address.
        name: String,
        /// What the decoder said.
        detail: String,
    },
    /// A container without a moving picture.
    #[error("{name}: no video stream in it")]
    NoVideoStream {
        /// The file or address.
        name: String,
    },
    /// A picture larger than is read here.
    #[error(
        "{name}: a picture of {width}×{height} is larger than the limit of {max_side} a side and {max_bytes} bytes"
    )]
    TooLarge {
        /// The file, address or image.
        name: String,
        /// Declared width in pixels.
        width: u64,
        /// Declared height in pixels.
        height: u64,
        /// Longest side accepted.
        max_side: usize,
        /// Largest decoded picture accepted.
        max_bytes: usize,
    },
    /// An option of no use.
    #[error("{option} cannot be {value}")]
    BadOption {
        /// Its name.
        option: &'static str,
        /// What it was set to.
        value: f64,
    },
    /// A part of a live stream was asked for.
    #[error("{name}: a live stream has no earlier part to show")]
    NotSeekable {
        /// The address, without user and password.
        name: String,
    },
    /// A size of zero was asked for, or one beyond the limits.
    #[error("a frame of {width}×{height} cannot be made")]
    BadSize {
        /// Pixels a row.
        width: usize,
        /// Rows.
        height: usize,
    },
    /// Not a byte arrived for the time allowed.
    #[error("{name}: nothing arrived for {:.1} s, after frame {frame}", waited.as_secs_f64())]
    Timeout {
        /// The file or address.
        name: String,
        /// Frames yielded before.
        frame: u64,
        /// How long was waited.
        waited: Duration,
    },
    /// The file is broken; every frame that could be decoded was yielded before this error.
    #[error("{name}: broken, {frame} frames read: {detail}")]
    Damaged {
        /// The file or address.
        name: String,
        /// Frames yielded.
        frame: u64,
        /// What the decoder complained of first.
        detail: String,
    },
    /// An image of a folder could not be decoded.
    #[error("{}: image {frame} of the folder cannot be read: {detail}", path.display())]
    BadImage {
        /// The image.
        path: PathBuf,
        /// Its index in the folder, from 0.
        frame: u64,
        /// What the decoder said.
        detail: String,
    },
    /// A frame whose size or colour differs from what the writer was made for.
    #[error("frame {frame}: {got} given to a writer of {expected}")]
    WrongFrame {
        /// Frames written before.
        frame: u64,
        /// Size and colour of the writer.
        expected: String,
        /// Size and colour of the frame.
        got: String,
    },
    /// The encoder failed or is not part of the installed `ffmpeg`.
    #[error("{}: cannot be written as {codec}: {detail}", path.display())]
    Encode {
        /// The file to be made.
        path: PathBuf,
        /// Name of the encoder.
        codec: String,
        /// What the encoder said.
        detail: String,
    },
    /// A command answered in a way that is not understood.
    #[error("'{command}' gave an answer that is not understood: {detail}")]
    Protocol {
        /// The command.
        command: String,
        /// What was odd.
        detail: String,
    },
    /// The operating system refused.
    #[error("{what}: {source}")]
    Io {
        /// What was attempted, with the path.
        what: String,
        /// The refusal.
        source: std::io::Error,
    },
}

impl VideoError {
    /// What the user can do about it, where something helps.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::MissingCommand { .. } => Some(
                "install it (Debian and Ubuntu: apt-get install ffmpeg; Fedora: dnf install ffmpeg-free; \
                 macOS: brew install ffmpeg), or set VADIS_FFMPEG and VADIS_FFPROBE to where they are",
            ),
            Self::NothingInFolder { .. } => Some(
                "videos are known by their extension (.mp4, .avi, .mkv …); images are .tif, .png, .jpg, .bmp",
            ),
            Self::UnknownScheme { .. } => Some(
                "rtsp, rtsps, rtmp, rtmps, http, https, udp, tcp, rtp and srt are read; a file is given by its path",
            ),
            Self::Unreadable { .. } => Some(
                "playlists and lists of files are not followed; convert unusual files with: ffmpeg -i FILE -c:v ffv1 OUT.mkv",
            ),
            Self::NoVideoStream { .. } => Some("is it a sound recording, or a still picture?"),
            Self::Timeout { .. } => {
                Some("is the camera on and the address right? a longer timeout can be set")
            }
            Self::Damaged { .. } => {
                Some("what was read before is kept; try to repair it: ffmpeg -i FILE -c copy OUT.mkv")
            }
            Self::Encode { .. } => Some(
                "is the disk full, or was ffmpeg built without this encoder? `ffmpeg -encoders` lists them",
            ),
            _ => None,
        }
    }

    pub(crate) fn io(what: impl Into<String>, source: std::io::Error) -> Self {
        Self::Io { what: what.into(), source }
    }
}
