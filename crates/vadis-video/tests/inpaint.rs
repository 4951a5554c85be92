//! Filling against OpenCV's.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use vadis_video::inpaint::{DiffuseFill, Inpaint};
use vadis_video::{Colour, Frame, Mask};

const WIDTH: usize = 48;
const HEIGHT: usize = 40;

/// Made by `tests/scripts/telea.py`. OpenCV carries values along the direction of the gradients and not, as Eq. 2 of the
/// paper has it, along the gradients, so that the two are not the same; what was there before judges both.
#[test]
fn a_fill_from_the_rim_is_as_near_the_truth_as_opencvs() {
    let bytes = include_bytes!("fixtures/telea.bin");
    let [picture, hole, theirs, truth] =
        [0, 1, 2, 3].map(|i| bytes[i * WIDTH * HEIGHT..][..WIDTH * HEIGHT].to_vec());
    let frame = Frame { data: picture, ..Frame::filled(WIDTH, HEIGHT, Colour::Grey, 0) };
    let holes = [Mask { width: WIDTH, height: HEIGHT, data: hole }];
    let mut rng = ChaCha8Rng::seed_from_u64(0);
    let ours = DiffuseFill::default().fill(&[frame], &holes, &mut rng).unwrap().remove(0).data;
    let error = |filled: &[u8]| {
        let sum: u32 = filled.iter().zip(&truth).map(|(a, b)| u32::from(a.abs_diff(*b))).sum();
        f64::from(sum) / holes[0].area() as f64
    };
    let (ours, theirs) = (error(&ours), error(&theirs));
    assert!(ours <= theirs && ours < 12.0, "ours {ours}, theirs {theirs}");
}
