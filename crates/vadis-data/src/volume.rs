//! Clips stored as MATLAB arrays.

use std::path::{Path, PathBuf};

use vadis_video::{Colour, Frame};

use crate::error::DataError;
use crate::labels::temporary;
use crate::masks::mat;
use crate::mat::{Class, MatFile, Numeric, Planes};

/// The frames of a `.mat` file whose variable `vol` is `[height, width, frames]`, one in memory at a time.
///
/// Integers are grey values from 0 to 255. Floating-point volumes whose first frame does not exceed 1
/// are intensities from 0 to 1, others grey values. Nothing tells the time: frame *n* is at *n* / 25 s,
/// Avenue's frame rate.
pub struct Volume {
    path: PathBuf,
    planes: Planes,
    next: u64,
    /// What a stored value is multiplied by; set by the first frame.
    scale: Option<f64>,
}

impl Volume {
    /// Opens a volume; only its header is read.
    ///
    /// # Errors
    /// [`DataError::Mat`].
    pub fn open(path: &Path) -> Result<Self, DataError> {
        let planes = MatFile::open(path).and_then(|file| file.planes("vol")).map_err(mat(path))?;
        Ok(Self { path: path.to_owned(), planes, next: 0, scale: None })
    }

    /// Height and width of a frame.
    pub fn size(&self) -> (usize, usize) {
        self.planes.size()
    }

    /// Frames not yet read.
    pub fn frames_left(&self) -> usize {
        self.planes.left()
    }

    /// Writes the frames as `000001.png` … into `folder` and returns the files in order.
    ///
    /// The folder appears whole or not at all; if it is there already, its files are returned.
    ///
    /// # Errors
    /// The volume's own, [`DataError::Io`] and [`DataError::Image`].
    pub fn unpack(self, folder: &Path) -> Result<Vec<PathBuf>, DataError> {
        let count = self.frames_left();
        let files =
            |folder: &Path| (1..=count).map(|n| folder.join(format!("{n:06}.png"))).collect::<Vec<_>>();
        let done = files(folder);
        if done.last().is_some_and(|last| last.is_file()) {
            return Ok(done);
        }
        let work = temporary(folder);
        std::fs::create_dir_all(&work).map_err(DataError::io(&work))?;
        let written = self.write(&files(&work));
        let finished = written.and_then(|()| std::fs::rename(&work, folder).map_err(DataError::io(folder)));
        if finished.is_err() {
            // The half-written folder is of no use; the first error is the one to tell.
            let _ = std::fs::remove_dir_all(&work);
        }
        finished.map(|()| done)
    }

    fn write(self, files: &[PathBuf]) -> Result<(), DataError> {
        self.zip(files).try_for_each(|(frame, path)| {
            let frame = frame?;
            let (width, height) = (frame.width as u32, frame.height as u32);
            image::save_buffer(path, &frame.data, width, height, image::ExtendedColorType::L8)
                .map_err(|source| DataError::Image { path: path.clone(), source })
        })
    }

    fn frame(&mut self, plane: &Numeric) -> Frame {
        let (height, width) = self.planes.size();
        let scale = *self.scale.get_or_insert_with(|| scale_of(plane));
        let grey =
            |row: usize, column: usize| (plane.data[column * height + row] * scale).round().clamp(0.0, 255.0);
        let data =
            (0..height).flat_map(|row| (0..width).map(move |column| grey(row, column) as u8)).collect();
        let index = self.next;
        self.next += 1;
        Frame { index, time_s: index as f64 / 25.0, width, height, colour: Colour::Grey, data }
    }
}

fn scale_of(plane: &Numeric) -> f64 {
    let fraction =
        matches!(plane.class, Class::Double | Class::Single) && plane.data.iter().all(|&v| v <= 1.0);
    if fraction || plane.logical { 255.0 } else { 1.0 }
}

impl Iterator for Volume {
    type Item = Result<Frame, DataError>;

    fn next(&mut self) -> Option<Self::Item> {
        let plane = self.planes.next()?;
        Some(match plane {
            Ok(plane) => Ok(self.frame(&plane)),
            Err(source) => Err(DataError::Mat { path: self.path.clone(), source }),
        })
    }
}
