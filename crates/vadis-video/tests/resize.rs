//! The resize against OpenCV (`scripts/resize.py`), and its properties.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use proptest::prelude::*;
use vadis_video::{Colour, Frame, VideoError, resize};

const GOLDEN: &[u8] = include_bytes!("fixtures/resize.bin");

fn take<'a>(bytes: &mut &'a [u8], length: usize) -> &'a [u8] {
    let (head, rest) = bytes.split_at(length);
    *bytes = rest;
    head
}

#[test]
fn equals_opencv() {
    let mut bytes = GOLDEN;
    let (mut cases, mut values, mut off) = (0, 0, 0);
    while !bytes.is_empty() {
        let header: Vec<usize> =
            take(&mut bytes, 10).chunks_exact(2).map(|b| u16::from_le_bytes([b[0], b[1]]).into()).collect();
        let [channels, width, height, to_width, to_height] = header[..] else { unreachable!() };
        let colour = if channels == 1 { Colour::Grey } else { Colour::Rgb };
        let data = take(&mut bytes, width * height * channels).to_vec();
        let expected = take(&mut bytes, to_width * to_height * channels);
        let frame = Frame { index: 3, time_s: 0.5, width, height, colour, data };
        let scaled = resize(&frame, to_width, to_height).unwrap();
        assert_eq!((scaled.index, scaled.time_s, scaled.data.len()), (3, 0.5, expected.len()));
        for (got, want) in scaled.data.iter().zip(expected) {
            off += usize::from(got != want);
        }
        values += expected.len();
        cases += 1;
    }
    assert_eq!(cases, 15);
    assert_eq!(off, 0, "of {values} values");
}

#[test]
fn refuses_what_is_no_size() {
    let frame = Frame::filled(4, 4, Colour::Grey, 9);
    for (w, h) in [(0, 4), (4, 0), (1 << 20, 1), (16_384, 16_384)] {
        assert!(matches!(resize(&frame, w, h), Err(VideoError::BadSize { .. })));
    }
    assert!(resize(&Frame::filled(0, 0, Colour::Grey, 0), 4, 4).is_err());
}

proptest! {
    #[test]
    fn stays_within_the_source_range(
        (width, height, data) in (1usize..24, 1usize..24)
            .prop_flat_map(|(w, h)| (Just(w), Just(h), prop::collection::vec(any::<u8>(), w * h * 3))),
        to_width in 1usize..40,
        to_height in 1usize..40,
    ) {
        let (low, high) = (*data.iter().min().unwrap(), *data.iter().max().unwrap());
        let frame = Frame { index: 0, time_s: 0.0, width, height, colour: Colour::Rgb, data };
        let scaled = resize(&frame, to_width, to_height).unwrap();
        prop_assert_eq!(scaled.data.len(), to_width * to_height * 3);
        prop_assert!(scaled.data.iter().all(|v| (low..=high).contains(v)));
    }

    #[test]
    fn one_value_stays_that_value(value: u8, w in 1usize..50, h in 1usize..50, to_w in 1usize..50, to_h in 1usize..50) {
        let scaled = resize(&Frame::filled(w, h, Colour::Grey, value), to_w, to_h).unwrap();
        prop_assert!(scaled.data.iter().all(|&v| v == value));
    }

    #[test]
    fn same_size_is_the_same_picture(w in 1usize..20, h in 1usize..20, seed: u8) {
        let mut frame = Frame::filled(w, h, Colour::Grey, 0);
        frame.data.iter_mut().enumerate().for_each(|(i, v)| *v = (i as u8).wrapping_mul(seed));
        prop_assert_eq!(resize(&frame, w, h).unwrap(), frame);
    }
}
