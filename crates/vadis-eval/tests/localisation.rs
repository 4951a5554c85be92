//! Regions, tracks and the pixel criterion on cases worked out by hand, and against a plain sweep of all thresholds
//! (`scripts/localisation.py`).

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use proptest::prelude::*;
use serde::Deserialize;
use vadis_eval::localisation::{
    Bounds, Detection, HeatMap, LocalisationError, Localiser, PixelCriterion, RegionCriterion, TrackLinker,
    TrueRegion, TruthMask, heat_regions,
};
use vadis_eval::run::Protocol;

fn boxed(x: u32, y: u32, width: u32, height: u32) -> Bounds {
    Bounds { x, y, width, height }
}

fn region(bounds: Bounds, track: usize) -> TrueRegion {
    TrueRegion { bounds, track }
}

fn detection(bounds: Bounds, score: f64) -> Detection {
    Detection { bounds, score }
}

/// A picture of text: `.` is 0, a digit its value.
fn picture<T: AsRef<str>>(rows: &[T]) -> (usize, usize, Vec<f32>) {
    let value = |c: u8| if c.is_ascii_digit() { f32::from(c - b'0') } else { 0.0 };
    (
        rows[0].as_ref().len(),
        rows.len(),
        rows.iter().flat_map(|row| row.as_ref().bytes().map(value)).collect(),
    )
}

fn mask_of<T: AsRef<str>>(rows: &[T]) -> (usize, usize, Vec<u8>) {
    let (width, height, data) = picture(rows);
    (width, height, data.into_iter().map(|v| u8::from(v > 0.0)).collect())
}

#[track_caller]
fn close(got: f64, want: f64) {
    assert!((got - want).abs() < 1e-12, "{got} instead of {want}");
}

#[test]
fn corners_connect_and_specks_are_dropped() {
    let (width, height, data) = picture(&["5...3", ".5...", "..9..", "....."]);
    let heat = HeatMap::new(width, height, &data).unwrap();
    let all = heat_regions(&heat, 1.0, 1);
    assert_eq!(all.len(), 2);
    assert_eq!((all[0].bounds, all[0].area, all[0].peak), (boxed(0, 0, 3, 3), 3, 9.0));
    assert!((all[0].mean - 19.0 / 3.0).abs() < 1e-6);
    assert_eq!(all[1].bounds, boxed(4, 0, 1, 1));
    assert_eq!(heat_regions(&heat, 1.0, 2).len(), 1);
    assert_eq!(heat_regions(&heat, 5.0, 1).len(), 1, "a region is above its threshold, not at it");
    assert!(heat_regions(&heat, 9.0, 1).is_empty());
}

#[test]
fn what_does_not_fill_the_picture_is_refused() {
    assert!(matches!(HeatMap::new(2, 2, &[0.0; 3]), Err(LocalisationError::Size { got: 3, .. })));
    assert!(HeatMap::new(0, 0, &[]).is_err());
    assert!(HeatMap::new(usize::MAX, 2, &[0.0]).is_err());
    assert!(TruthMask::new(2, 1, &[0]).is_err());
    let error = HeatMap::new(2, 2, &[0.0, 0.0, f32::NAN, 0.0]).unwrap_err();
    assert!(matches!(error, LocalisationError::NotFinite { x: 0, y: 1, .. }), "{error}");
}

#[test]
fn boxes_overlap_and_scale() {
    close(boxed(0, 0, 4, 4).iou(&boxed(2, 0, 4, 4)), 8.0 / 24.0);
    close(boxed(0, 0, 4, 4).iou(&boxed(4, 0, 4, 4)), 0.0);
    close(boxed(3, 3, 2, 2).iou(&boxed(3, 3, 2, 2)), 1.0);
    assert_eq!(boxed(1, 1, 2, 1).scaled((4, 4), (8, 12)), boxed(2, 3, 4, 3));
    assert_eq!(boxed(1, 0, 1, 1).scaled((3, 1), (4, 1)), boxed(1, 0, 2, 1));
    assert_eq!(boxed(2, 0, 1, 1).scaled((8, 1), (2, 1)), boxed(0, 0, 1, 1));
}

/// Two frames, two true regions of one track. Detections: one true at .9, one wrong at .8, one true at .7.
/// Points (false positives a frame, regions): (0, 1/2), (1/2, 1/2), (1/2, 1); area ½·½ + ½·1 = .75.
/// The track is found from .9 on: (0, 1), area 1.
#[test]
fn region_and_track_areas() {
    let mut criterion = RegionCriterion::default();
    let (here, far) = (boxed(0, 0, 10, 10), boxed(50, 50, 5, 5));
    criterion.push(&[region(here, 0)], &[detection(here, 0.9), detection(far, 0.8)]);
    criterion.push(&[region(here, 0)], &[detection(here, 0.7)]);
    let figures = criterion.figures().unwrap();
    close(figures.rbdc, 0.75);
    close(figures.tbdc, 1.0);
    assert_eq!((figures.regions, figures.tracks, figures.frames), (2, 1, 2));
}

/// One frame. Wrong at .9 (1 a frame), wrong at .8 (2 a frame) and true at .8: past one false positive a frame nothing
/// counts, and up to it nothing is found.
#[test]
fn nothing_counts_beyond_one_false_positive_a_frame() {
    let mut criterion = RegionCriterion::default();
    let (here, far, off) = (boxed(0, 0, 10, 10), boxed(50, 50, 5, 5), boxed(70, 70, 5, 5));
    let found = [detection(far, 0.9), detection(off, 0.8), detection(here, 0.8)];
    criterion.push(&[region(here, 0)], &found);
    close(criterion.figures().unwrap().rbdc, 0.0);
}

/// A tie of three wrong and one true detection on two frames: the segment from (0, 0) to (3/2, 1) is cut at 1, where it
/// has risen to 2/3: area 1/3.
#[test]
fn a_segment_is_cut_at_one_false_positive_a_frame() {
    let mut criterion = RegionCriterion::default();
    let (here, far) = (boxed(0, 0, 10, 10), boxed(50, 50, 5, 5));
    criterion.push(&[region(here, 0)], &[detection(here, 0.5), detection(far, 0.5), detection(far, 0.5)]);
    criterion.push(&[], &[detection(far, 0.5)]);
    close(criterion.figures().unwrap().rbdc, 1.0 / 3.0);
}

#[test]
fn a_detection_meets_a_region_from_a_tenth_of_overlap() {
    let of_overlap = |shift: u32| {
        let mut criterion = RegionCriterion::default();
        criterion.push(&[region(boxed(0, 0, 11, 10), 0)], &[detection(boxed(shift, 0, 11, 10), 0.5)]);
        criterion.figures().unwrap().rbdc
    };
    close(of_overlap(9), 1.0); // 20 of 200 pixels
    close(of_overlap(10), 0.0); // 10 of 210
}

/// Twenty-one regions need three detected ones, a tenth rounded up: the third best score decides.
#[test]
fn a_track_is_found_at_a_tenth_of_its_regions() {
    let here = boxed(0, 0, 10, 10);
    let with = |detected: usize| {
        let mut criterion = RegionCriterion::default();
        for frame in 0..21 {
            let found = if frame < detected { vec![detection(here, 0.5)] } else { Vec::new() };
            criterion.push(&[region(here, 4)], &found);
        }
        criterion.figures().unwrap().tbdc
    };
    close(with(2), 0.0);
    close(with(3), 1.0);
}

#[test]
fn without_truth_there_is_no_region_figure() {
    let mut criterion = RegionCriterion::default();
    criterion.push(&[], &[detection(boxed(0, 0, 1, 1), 0.5)]);
    assert_eq!(criterion.figures(), None);
}

#[test]
fn parts_that_overlap_are_one_track() {
    let mut linker = TrackLinker::default();
    let mut tracks = |rows: &[&str]| {
        let (width, height, data) = mask_of(rows);
        let regions = linker.link(&TruthMask::new(width, height, &data).unwrap());
        regions.iter().map(|region| region.track).collect::<Vec<_>>()
    };
    assert_eq!(tracks(&["11....11", "11....11"]), [0, 1]);
    assert_eq!(tracks(&[".11..11.", ".11..11."]), [0, 1], "both move inwards");
    assert_eq!(tracks(&[".111111.", "........"]), [0], "they merge: the first of equal overlaps goes on");
    assert_eq!(tracks(&[".1..111.", "........"]), [2, 0], "it splits: the larger part goes on");
    assert_eq!(tracks(&["........", "........"]), Vec::<usize>::new());
    assert_eq!(tracks(&[".1......", "........"]), [3]);
}

/// Five true pixels, two of which reach 7: 40 % is covered from 7 on. A normal frame's highest heat is 8, another's 6.
/// So at 8 a false positive comes first, and the AUC is ½.
#[test]
fn a_frame_counts_when_two_fifths_are_covered() {
    let (width, height, truth) = mask_of(&["11111...", "........"]);
    let mask = TruthMask::new(width, height, &truth).unwrap();
    let mut criterion = PixelCriterion::default();
    let mut push = |rows: &[&str], mask: Option<&TruthMask<'_>>| {
        let (width, height, data) = picture(rows);
        criterion.push(&HeatMap::new(width, height, &data).unwrap(), mask);
    };
    // the 9 outside the truth does not help
    push(&["97311..9", "........"], Some(&mask));
    push(&["........", "...8...."], None);
    push(&["........", ".6......"], None);
    assert_eq!(criterion.figures().auc, Some(0.5));
}

#[test]
fn a_heat_map_may_be_smaller_than_the_mask() {
    let (width, height, truth) = mask_of(&["..11", "..11", "....", "...."]);
    let mask = TruthMask::new(width, height, &truth).unwrap();
    let mut localiser = Localiser::new(1.0, 1);
    let (_, _, heat) = picture(&[".9", ".."]);
    localiser.push("a", &HeatMap::new(2, 2, &heat).unwrap(), Some(&mask));
    let (_, _, calm) = picture(&["..", ".1"]);
    localiser.push("a", &HeatMap::new(2, 2, &calm).unwrap(), None);
    let (regions, pixels) = localiser.finish();
    assert_eq!(regions.map(|r| (r.rbdc, r.tbdc, r.regions, r.tracks, r.frames)), Some((1.0, 1.0, 1, 1, 2)));
    assert_eq!((pixels.auc, pixels.eer), (Some(1.0), Some(0.0)));
}

#[test]
fn tracks_end_with_their_video_and_figures_say_whose_they_are() {
    let (width, height, data) = picture(&["99..", "99.."]);
    let (_, _, truth) = mask_of(&["99..", "99.."]);
    let heat = HeatMap::new(width, height, &data).unwrap();
    let mask = TruthMask::new(width, height, &truth).unwrap();
    let mut localiser = Localiser::new(1.0, 1);
    for video in ["a", "a", "b"] {
        localiser.push(video, &heat, Some(&mask));
    }
    assert_eq!(localiser.finish().0.map(|r| r.tracks), Some(2));
    let protocol = Protocol {
        name: "paper".to_owned(),
        score: "heat".to_owned(),
        normalisation: "none".to_owned(),
        smoothing: "none".to_owned(),
        edges: "keep".to_owned(),
        labels: "masks".to_owned(),
        tuned_on_test: false,
    };
    let figures = localiser.figures(&protocol);
    let names: Vec<&str> = figures.iter().map(|figure| figure.metric.as_str()).collect();
    assert_eq!(names, ["rbdc", "tbdc"], "every frame is abnormal: there is no pixel-level ROC");
    assert_eq!(figures[1].note, "2 own tracks, not comparable");
}

#[derive(Deserialize)]
struct Fixture {
    threshold: f32,
    min_area: usize,
    videos: Vec<Vec<Drawn>>,
    rbdc: f64,
    tbdc: f64,
    pixel_auc: f64,
    regions: usize,
    tracks: usize,
}

#[derive(Deserialize)]
struct Drawn {
    heat: Vec<String>,
    mask: Vec<String>,
}

#[test]
fn drifting_blobs_score_as_in_a_plain_sweep() {
    let fixture: Fixture = serde_json::from_str(include_str!("fixtures/localisation.json")).unwrap();
    let mut localiser = Localiser::new(fixture.threshold, fixture.min_area);
    for (index, video) in fixture.videos.iter().enumerate() {
        for frame in video {
            let (width, height, heat) = picture(&frame.heat);
            let (_, _, mask) = mask_of(&frame.mask);
            let mask = TruthMask::new(width, height, &mask).unwrap();
            localiser.push(&index.to_string(), &HeatMap::new(width, height, &heat).unwrap(), Some(&mask));
        }
    }
    let (regions, pixels) = localiser.finish();
    let regions = regions.unwrap();
    assert_eq!((regions.regions, regions.tracks), (fixture.regions, fixture.tracks));
    close(regions.rbdc, fixture.rbdc);
    close(regions.tbdc, fixture.tbdc);
    close(pixels.auc.unwrap(), fixture.pixel_auc);
}

/// Connected parts by repeated merging of neighbours' names.
fn brute_force_parts(width: usize, height: usize, set: &[bool]) -> usize {
    let mut names: Vec<usize> = (0..set.len()).collect();
    for _ in 0..set.len() {
        for at in 0..set.len() {
            for other in 0..set.len() {
                let near =
                    (at % width).abs_diff(other % width) <= 1 && (at / width).abs_diff(other / width) <= 1;
                if set[at] && set[other] && near {
                    names[at] = names[at].min(names[other]);
                }
            }
        }
    }
    assert_eq!(width * height, set.len());
    (0..set.len()).filter(|&at| set[at] && names[at] == at).count()
}

proptest! {
    #[test]
    fn parts_are_the_connected_components(set in prop::collection::vec(any::<bool>(), 30)) {
        let data: Vec<f32> = set.iter().map(|&s| f32::from(u8::from(s))).collect();
        let regions = heat_regions(&HeatMap::new(6, 5, &data).unwrap(), 0.5, 1);
        prop_assert_eq!(regions.len(), brute_force_parts(6, 5, &set));
        let area: usize = regions.iter().map(|region| region.area).sum();
        prop_assert_eq!(area, set.iter().filter(|&&s| s).count());
    }

    #[test]
    fn a_perfect_map_is_perfect(set in prop::collection::vec(any::<bool>(), 24)) {
        prop_assume!(set.iter().any(|&s| s));
        let heat: Vec<f32> = set.iter().map(|&s| f32::from(u8::from(s))).collect();
        let mask: Vec<u8> = set.iter().map(|&s| u8::from(s)).collect();
        let mut localiser = Localiser::new(0.5, 1);
        localiser.push("a", &HeatMap::new(6, 4, &heat).unwrap(), Some(&TruthMask::new(6, 4, &mask).unwrap()));
        localiser.push("a", &HeatMap::new(6, 4, &[0.0; 24]).unwrap(), None);
        let (regions, pixels) = localiser.finish();
        prop_assert_eq!(regions.map(|r| (r.rbdc, r.tbdc)), Some((1.0, 1.0)));
        prop_assert_eq!(pixels.auc, Some(1.0));
    }
}
