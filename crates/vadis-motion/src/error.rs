use thiserror::Error;

/// What can be wrong with the pictures or settings handed in.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum MotionError {
    /// Two pictures that are compared pixel by pixel differ in size.
    #[error("frame {index} is {width}×{height}, the frames before it {expected_width}×{expected_height}")]
    SizeChanged {
        /// Index of the frame that differs.
        index: u64,
        /// Its pixels a row.
        width: usize,
        /// Its rows.
        height: usize,
        /// Pixels a row of what it is compared with.
        expected_width: usize,
        /// Rows of what it is compared with.
        expected_height: usize,
    },
    /// A picture's data is not as long as its size says.
    #[error("a picture of {width}×{height} needs {expected} values and has {actual}")]
    WrongLength {
        /// Pixels a row.
        width: usize,
        /// Rows.
        height: usize,
        /// `width * height * channels`; `usize::MAX` where that overflows.
        expected: usize,
        /// Values given.
        actual: usize,
    },
    /// A picture without pixels has no mean.
    #[error("a picture of {width}×{height} has no pixels")]
    NoPixels {
        /// Pixels a row.
        width: usize,
        /// Rows.
        height: usize,
    },
    /// A map holds NaN or an infinity.
    #[error("the value at column {x}, row {y} is not finite")]
    NotFinite {
        /// Column.
        x: usize,
        /// Row.
        y: usize,
    },
    /// A patch must have at least one pixel.
    #[error("the patch side must be at least 1 pixel")]
    NoPatch,
    /// A picture has more pixels than memory is kept for.
    #[error("a picture of {width}×{height} has more than {limit} pixels")]
    TooLarge {
        /// Pixels a row.
        width: usize,
        /// Rows.
        height: usize,
        /// Most pixels.
        limit: usize,
    },
    /// A frame is grey where those before it have colour, or the reverse.
    #[error("frame {index} differs in colour from the frames before it")]
    ColourChanged {
        /// Index of the frame that differs.
        index: u64,
    },
    /// A setting is out of its range.
    #[error("`{name}` must be {range}")]
    Setting {
        /// The setting.
        name: &'static str,
        /// What it may be.
        range: &'static str,
    },
}
