//! Training footage on disk: small frames of one format, read back in any order.
//!
//! Training visits frames at random and many times, and footage may be longer than memory, so the resized
//! frames lie in an unlinked temporary file: nothing is left behind, whatever happens.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use vadis_video::Frame;

use crate::{InputFormat, SystemError};

/// Where a stored frame came from.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StoredFrame {
    /// Which source, in the order they were added.
    pub clip: usize,
    /// Index in its source.
    pub index: u64,
    /// Seconds from its source's first frame.
    pub time_s: f64,
}

/// A [`FrameStore`] being filled.
pub struct FrameStoreWriter {
    file: BufWriter<File>,
    folder: PathBuf,
    format: InputFormat,
    capacity: usize,
    frames: Vec<StoredFrame>,
}

/// Frames of one format on disk.
#[derive(Debug)]
pub struct FrameStore {
    file: File,
    folder: PathBuf,
    format: InputFormat,
    frames: Vec<StoredFrame>,
}

impl FrameStoreWriter {
    /// An empty store in `folder`, for at most `capacity` frames.
    ///
    /// # Errors
    /// [`SystemError::Store`] if the folder cannot be written.
    pub fn create(folder: &Path, format: InputFormat, capacity: usize) -> Result<Self, SystemError> {
        let file = tempfile::tempfile_in(folder)
            .map_err(|source| SystemError::Store { folder: folder.to_owned(), source })?;
        let file = BufWriter::with_capacity(1 << 20, file);
        Ok(Self { file, folder: folder.to_owned(), format, capacity, frames: Vec::new() })
    }

    /// Frames stored.
    pub fn len(&self) -> usize {
        self.frames.len()
    }

    /// True before the first frame.
    pub fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    /// True once no more frames are taken.
    pub fn is_full(&self) -> bool {
        self.frames.len() >= self.capacity
    }

    /// Appends a frame of source `clip`; beyond the capacity frames are passed over.
    ///
    /// # Errors
    /// [`SystemError::Shape`] for another format, [`SystemError::Store`] for a full disk.
    pub fn push(&mut self, clip: usize, frame: &Frame) -> Result<(), SystemError> {
        check_format(frame, self.format)?;
        if self.is_full() {
            return Ok(());
        }
        self.file.write_all(&frame.data).map_err(|source| self.error(source))?;
        self.frames.push(StoredFrame { clip, index: frame.index, time_s: frame.time_s });
        Ok(())
    }

    /// Closes the store.
    ///
    /// # Errors
    /// [`SystemError::Store`] for a full disk.
    pub fn finish(self) -> Result<FrameStore, SystemError> {
        let Self { file, folder, format, frames, .. } = self;
        match file.into_inner() {
            Ok(file) => Ok(FrameStore { file, folder, format, frames }),
            Err(error) => Err(SystemError::Store { folder, source: error.into_error() }),
        }
    }

    fn error(&self, source: std::io::Error) -> SystemError {
        SystemError::Store { folder: self.folder.clone(), source }
    }
}

impl FrameStore {
    /// The frames' format.
    pub fn format(&self) -> InputFormat {
        self.format
    }

    /// Where each frame came from, in order.
    pub fn frames(&self) -> &[StoredFrame] {
        &self.frames
    }

    /// Frames stored.
    pub fn len(&self) -> usize {
        self.frames.len()
    }

    /// True if there is none.
    pub fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    /// The frames at `places`, one after another, as bytes.
    ///
    /// # Errors
    /// [`SystemError::Store`] if the file cannot be read.
    ///
    /// # Panics
    /// If a place is past the end: a bug in the caller.
    pub fn read(&self, places: &[usize]) -> Result<Vec<u8>, SystemError> {
        let size = self.format.frame_bytes();
        let mut bytes = vec![0; size * places.len()];
        for (slot, &place) in bytes.chunks_exact_mut(size).zip(places) {
            assert!(place < self.frames.len(), "frame {place} of {}", self.frames.len());
            read_at(&self.file, slot, (place * size) as u64)
                .map_err(|source| SystemError::Store { folder: self.folder.clone(), source })?;
        }
        Ok(bytes)
    }

    /// The frame at `place`.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub fn frame(&self, place: usize) -> Result<Frame, SystemError> {
        let InputFormat { width, height, colour } = self.format;
        let StoredFrame { index, time_s, .. } = self.frames[place];
        Ok(Frame { index, time_s, width, height, colour, data: self.read(&[place])? })
    }

    /// At most `count` places, evenly spread.
    pub fn spread(&self, count: usize) -> Vec<usize> {
        let n = self.len();
        let count = count.min(n);
        (0..count).map(|i| i * n / count.max(1)).collect()
    }
}

pub(crate) fn check_format(frame: &Frame, format: InputFormat) -> Result<(), SystemError> {
    let InputFormat { width, height, colour } = format;
    if (frame.width, frame.height, frame.colour) == (width, height, colour)
        && frame.data.len() == format.frame_bytes()
    {
        return Ok(());
    }
    Err(SystemError::Shape {
        frame: frame.index,
        got: format!("{}×{} {:?}", frame.width, frame.height, frame.colour),
        expected: format!("{width}×{height} {colour:?}"),
    })
}

#[cfg(unix)]
fn read_at(file: &File, buffer: &mut [u8], offset: u64) -> std::io::Result<()> {
    std::os::unix::fs::FileExt::read_exact_at(file, buffer, offset)
}

#[cfg(windows)]
fn read_at(file: &File, buffer: &mut [u8], offset: u64) -> std::io::Result<()> {
    let mut done = 0;
    while done < buffer.len() {
        match std::os::windows::fs::FileExt::seek_read(file, &mut buffer[done..], offset + done as u64)? {
            0 => return Err(std::io::ErrorKind::UnexpectedEof.into()),
            n => done += n,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use vadis_video::Colour;

    use super::*;

    const FORMAT: InputFormat = InputFormat { width: 3, height: 2, colour: Colour::Rgb };

    fn filled(value: u8) -> Frame {
        Frame { index: u64::from(value), ..Frame::filled(3, 2, Colour::Rgb, value) }
    }

    #[test]
    fn frames_come_back_in_any_order() {
        let folder = tempfile::tempdir().unwrap();
        let mut writer = FrameStoreWriter::create(folder.path(), FORMAT, 100).unwrap();
        (0..10).for_each(|v| writer.push(usize::from(v > 4), &filled(v)).unwrap());
        let store = writer.finish().unwrap();
        assert_eq!(store.read(&[7, 0]).unwrap(), [[7u8; 18], [0u8; 18]].concat());
        assert_eq!((store.frame(6).unwrap(), store.frames()[6].clip), (filled(6), 1));
        assert_eq!(store.spread(3), [0, 3, 6]);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "the file has no name");
    }

    #[test]
    fn a_full_store_and_a_wrong_format_are_told() {
        let folder = tempfile::tempdir().unwrap();
        let mut writer = FrameStoreWriter::create(folder.path(), FORMAT, 2).unwrap();
        (0..5).for_each(|v| writer.push(0, &filled(v)).unwrap());
        assert!(writer.is_full() && writer.len() == 2);
        let wrong = writer.push(0, &Frame::filled(3, 2, Colour::Grey, 0));
        assert!(matches!(wrong, Err(SystemError::Shape { .. })));
    }
}
