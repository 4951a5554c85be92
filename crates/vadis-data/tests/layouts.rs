//! Every adapter on a small tree of its layout, whole and with the faults that a check must name.

#![allow(clippy::unwrap_used, reason = "test code")]

mod trees;

use std::collections::HashSet;

use trees::{Tree, check, faults};
use vadis_data::{
    CheckOptions, Clip, ClipSource, DataError, Dataset, LabelSource, OpenOptions, Split, layouts,
};

fn names(dataset: &Dataset, split: Split) -> Vec<&str> {
    dataset.split(split).map(|clip| clip.name.as_str()).collect()
}

fn clip<'a>(dataset: &'a Dataset, name: &str) -> &'a Clip {
    dataset.clips.iter().find(|clip| clip.name == name).unwrap()
}

fn labels(dataset: &Dataset, name: &str, frames: usize) -> Vec<u8> {
    dataset.labels(clip(dataset, name), frames).unwrap().unwrap()
}

fn one(faults: &[String], part: &str) {
    assert!(faults.iter().any(|f| f.contains(part)), "{part} is not among {faults:#?}");
}

#[test]
fn every_layout_is_described_once() {
    let keys: HashSet<&str> = layouts().iter().map(|layout| layout.key).collect();
    assert_eq!(keys.len(), layouts().len());
    for layout in layouts() {
        assert!(!layout.about.is_empty() && !layout.label_sets.is_empty(), "{}", layout.key);
        let empty = Tree::new();
        let error = Dataset::open(layout.key, empty.root(), &OpenOptions::default()).unwrap_err();
        assert!(!error.to_string().is_empty());
    }
}

#[test]
fn an_unknown_key_names_the_known_ones() {
    let error = Dataset::open("ped3", "/".as_ref(), &OpenOptions::default()).unwrap_err();
    assert!(error.to_string().contains("ped1, ped2, avenue"), "{error}");
    assert!(error.hint().is_some());
}

#[test]
fn whole_trees_have_no_faults() {
    let trees = [
        ("ped2", trees::ped2()),
        ("avenue", trees::avenue()),
        ("shanghaitech", trees::shanghaitech()),
        ("ubnormal", trees::ubnormal()),
        ("corridor", trees::corridor()),
        ("ucf-crime", trees::ucf_crime()),
        ("ubi-fights", trees::ubi_fights()),
        ("lv", trees::lv()),
        ("upcam", trees::upcam()),
        ("folder", trees::folder()),
    ];
    for (key, tree) in trees {
        let report = tree.check(key);
        assert_eq!(faults(&report), Vec::<String>::new(), "{key}");
        assert_eq!(report.train.uncounted + report.test.uncounted, 0, "{key}");
        assert!(report.test.clips > 0 && report.test.labelled == report.test.clips, "{key}");
    }
}

#[test]
fn an_incomplete_benchmark_fails_by_its_totals() {
    let report = trees::ped2().check("ped2");
    assert!(!report.passed());
    let totals: Vec<&str> = report.problems.iter().map(|p| p.what.as_str()).collect();
    assert!(totals.contains(&"2 test clips, UCSD Ped2 has 12"), "{totals:?}");
    assert!(totals.contains(&"3 abnormal test frames, UCSD Ped2 has 1648"), "{totals:?}");
}

#[test]
fn ped2_reads_ranges_and_oddly_named_masks() {
    let tree = trees::ped2();
    let dataset = tree.open("ped2");
    assert_eq!(names(&dataset, Split::Train), ["Train001", "Train002"]);
    assert_eq!(labels(&dataset, "Test001", 4), [0, 1, 1, 0]);
    assert_eq!(labels(&dataset, "Train001", 3), [0, 0, 0]);
    let areas: Vec<usize> =
        dataset.masks(clip(&dataset, "Test002")).unwrap().unwrap().map(|mask| mask.unwrap().area()).collect();
    assert_eq!(areas, [12, 0, 0]);
    assert_eq!(clip(&dataset, "Test001").frames().unwrap(), Some(4));
    assert!(clip(&dataset, "Train001").is_normal() && !clip(&dataset, "Test001").is_normal());
    let error = dataset.labels(clip(&dataset, "Test001"), 2).unwrap_err();
    assert!(matches!(error, DataError::LengthMismatch { frames: 2, labels: 3, .. }), "{error}");
}

#[test]
fn ped2_faults_are_named() {
    let tree = trees::ped2();
    tree.remove("UCSDped2/Test/Test001/002.tif");
    tree.remove("UCSDped2/Test/Test002_gt");
    tree.text("UCSDped2/Train/Train002/003.tif", "");
    let found = faults(&tree.check("ped2"));
    one(&found, "003.tif: frames are missing: number 1 is followed by 3");
    one(&found, "`Test001` has 3 frames but 4 masks");
    one(&found, "003.tif: the file is empty");

    let tree = trees::ped2();
    tree.remove("UCSDped2/Test/UCSDped2.m");
    let report = tree.check("ped2");
    one(&faults(&report), "UCSDped2.m: the file is missing; labels come from the masks");
    assert_eq!(report.test.abnormal, 3);

    let tree = trees::ped2();
    tree.pictures("UCSDped2/Test/Test002_gt/frame{}.bmp", 1, &[0, 255, 0]);
    one(&faults(&tree.check("ped2")), "masks and labels of `Test002` disagree on 2 frames, first on 0");

    let tree = trees::ped2();
    tree.text("UCSDped2/Test/Test001_gt/002.bmp", "no picture");
    one(&faults(&tree.check("ped2")), "002.bmp");

    let tree = trees::ped2();
    tree.text("UCSDped2/Test/UCSDped2.m", "TestVideoFile{end+1}.gt_frame = [9:3];\n");
    let error = Dataset::open("ped2", tree.root(), &OpenOptions::default()).unwrap_err();
    assert!(matches!(error, DataError::Line { line: 1, .. }), "{error}");
}

#[test]
fn ped1_takes_several_ranges_and_few_masks() {
    let tree = Tree::new();
    tree.pictures("UCSDped1/Train/Train001/{}.tif", 1, &[1; 3]);
    tree.pictures("UCSDped1/Test/Test001/{}.tif", 1, &[1; 9]);
    tree.text("UCSDped1/Test/UCSDped1.m", "TestVideoFile{end+1}.gt_frame = [1:2, 5 : 6 9];\n");
    let dataset = tree.open("ped1");
    assert_eq!(labels(&dataset, "Test001", 9), [1, 1, 0, 0, 1, 1, 0, 0, 1]);
    assert!(dataset.masks(clip(&dataset, "Test001")).unwrap().is_none());
}

#[test]
fn repackaged_ped2_reads_event_cells() {
    let tree = Tree::new();
    for clip in 1..=4 {
        tree.pictures(&format!("testing/frames/{clip:02}/{{}}.jpg"), 0, &[1; 6]);
    }
    tree.pictures("training/frames/01/{}.jpg", 0, &[1; 2]);
    tree.fixture("ped2.mat", "events.mat");
    let dataset = tree.open("ped2");
    assert_eq!(labels(&dataset, "01", 6), [0, 1, 1, 0, 1, 1]);
    assert_eq!(labels(&dataset, "02", 6), [1, 1, 1, 1, 0, 0]);
    assert_eq!(labels(&dataset, "03", 6), [0; 6]);
    assert_eq!(labels(&dataset, "04", 6), [0, 0, 1, 1, 0, 0]);
}

#[test]
fn avenue_has_two_label_sets() {
    let tree = trees::avenue();
    tree.npy("frame_labels/01.npy", &[3], &[1, 1, 0]);
    tree.npy("frame_labels/02.npy", &[3], &[0, 1, 1]);
    assert_eq!(labels(&tree.open("avenue"), "01", 3), [0, 0, 1]);
    let options = OpenOptions { label_set: Some("shared".into()), ..OpenOptions::default() };
    let shared = tree.open_with("avenue", &options);
    assert_eq!(labels(&shared, "01", 3), [1, 1, 0]);
    one(&faults(&check(&shared)), "masks and labels of `01` disagree on 3 frames, first on 0");
    let options = OpenOptions { label_set: Some("best".into()), ..OpenOptions::default() };
    let error = Dataset::open("avenue", tree.root(), &options).unwrap_err();
    assert!(error.to_string().contains("masks, shared"), "{error}");
}

#[test]
fn avenue_faults_are_named() {
    let tree = trees::avenue();
    tree.remove("ground_truth_demo/testing_label_mask/2_label.mat");
    tree.video("Avenue Dataset/testing_videos/01.avi", 5);
    tree.text("Avenue Dataset/training_videos/02.avi", "no video");
    let found = faults(&tree.check("avenue"));
    one(&found, "2_label.mat: the masks of `02` are missing");
    one(&found, "`02` has no labels");
    one(&found, "`01` has 5 frames but 3 labels");
    one(&found, "`01` has 5 frames but 3 masks");
    one(&found, "02.avi: cannot be decoded");
    let options = OpenOptions { label_set: Some("shared".into()), ..OpenOptions::default() };
    one(&faults(&check(&tree.open_with("avenue", &options))), "the shared frame labels are missing");
}

#[test]
fn avenue_volumes_become_pictures() {
    let tree = Tree::new();
    tree.fixture("training_vol/vol01.mat", "volume.mat");
    tree.fixture("testing_vol/vol01.mat", "volume.mat");
    tree.fixture("testing_vol/vol02.mat", "volume_double.mat");
    tree.npy("frame_labels_avenue.npy", &[1, 4], &[0, 1, 1, 0]);
    let options = OpenOptions { label_set: Some("shared".into()), ..OpenOptions::default() };
    let dataset = tree.open_with("avenue", &options);
    assert_eq!(names(&dataset, Split::Test), ["01", "02"]);
    assert_eq!(labels(&dataset, "02", 2), [1, 0]);
    let clip = dataset.split(Split::Test).next().unwrap();
    assert_eq!(clip.frames().unwrap(), Some(2));
    assert!(matches!(clip.source(), Err(DataError::Volume { .. })));
    let frames: Vec<_> = clip.volume().unwrap().map(Result::unwrap).collect();
    assert_eq!((frames[0].width, frames[0].height, frames[1].index), (4, 3, 1));
    assert_eq!(frames[0].data, [0, 0, 0, 0, 0, 0, 0, 200, 0, 0, 0, 0]);
    assert_eq!(frames[1].data[8], 9);
    let double = dataset.split(Split::Test).last().unwrap();
    assert_eq!(double.volume().unwrap().next().unwrap().unwrap().data[7], 255);
    for _ in 0..2 {
        let source = clip.unpack(&tree.root().join("unpacked")).unwrap();
        assert_eq!(source.name, "01");
        let vadis_video::SourceKind::Images(images) = source.kind else { panic!() };
        assert_eq!(image::open(&images[0]).unwrap().into_luma8().into_raw(), frames[0].data);
    }
}

#[test]
fn shanghaitech_tells_scenes_apart() {
    let tree = trees::shanghaitech();
    let dataset = tree.open("shanghaitech");
    assert_eq!(labels(&dataset, "01_0014", 3), [0, 1, 1]);
    let masks = dataset.masks(clip(&dataset, "01_0014")).unwrap().unwrap();
    assert_eq!(masks.map(|m| m.unwrap().area()).collect::<Vec<_>>(), [0, 1, 1]);
    let options = OpenOptions { scenes: vec!["01".into()], ..OpenOptions::default() };
    let scene = tree.open_with("shanghaitech", &options);
    assert_eq!((names(&scene, Split::Train), names(&scene, Split::Test)), (vec!["01_001"], vec!["01_0014"]));
    let options = OpenOptions { scenes: vec!["99".into()], ..OpenOptions::default() };
    let error = Dataset::open("shanghaitech", tree.root(), &options).unwrap_err();
    assert!(error.to_string().contains("01, 02, 13"), "{error}");
}

#[test]
fn shanghaitech_faults_are_named() {
    let tree = trees::shanghaitech();
    tree.remove("testing/test_frame_mask/02_0128.npy");
    tree.npy("testing/test_frame_mask/01_0014.npy", &[2], &[0, 1]);
    tree.npy("testing/test_pixel_mask/02_0128.npy", &[2, 3, 4], &[1; 13]);
    let found = faults(&tree.check("shanghaitech"));
    one(&found, "`02_0128` has no file in test_frame_mask");
    one(&found, "`01_0014` has 3 frames but 2 labels");
    one(&found, "cut short at byte");
    let lenient = OpenOptions { tolerance: 1, ..OpenOptions::default() };
    let dataset = tree.open_with("shanghaitech", &lenient);
    assert_eq!(labels(&dataset, "01_0014", 3), [0, 1, 1]);
    assert_eq!(labels(&dataset, "01_0014", 1), [0]);
    assert!(dataset.labels(clip(&dataset, "01_0014"), 4).is_err());
}

#[test]
fn ubnormal_follows_its_lists_and_tracks() {
    let tree = trees::ubnormal();
    let dataset = tree.open("ubnormal");
    assert_eq!(
        names(&dataset, Split::Validation),
        ["abnormal_scene_4_scenario_3", "normal_scene_4_scenario_4"]
    );
    assert_eq!(labels(&dataset, "abnormal_scene_1_scenario_1", 4), [0, 1, 1, 0]);
    assert_eq!(clip(&dataset, "normal_scene_1_scenario1_10").scene.as_deref(), Some("1"));
    // Object 3 is abnormal in frames 1 and 2, object 2 in frame 2; the maps hold 3, 3, 2, 5.
    let masks = dataset.masks(clip(&dataset, "abnormal_scene_1_scenario_1")).unwrap().unwrap();
    assert_eq!(masks.map(|m| m.unwrap().area()).collect::<Vec<_>>(), [0, 12, 12, 0]);
}

#[test]
fn ubnormal_subset_keeps_the_scenes_it_shows() {
    let tree = trees::ubnormal();
    let options = OpenOptions { subset: Some("fire-alarm".into()), ..OpenOptions::default() };
    let fire = tree.open_with("ubnormal", &options);
    assert_eq!(names(&fire, Split::Test), ["abnormal_scene_4_scenario_1_fire"]);
    assert_eq!(names(&fire, Split::Train), ["abnormal_scene_4_scenario_2", "normal_scene_4_scenario_6"]);
    assert_eq!(faults(&check(&fire)), Vec::<String>::new());
    let options = OpenOptions { subset: Some("../secret".into()), ..OpenOptions::default() };
    assert!(matches!(
        Dataset::open("ubnormal", tree.root(), &options).unwrap_err(),
        DataError::UnknownChoice { .. }
    ));
}

#[test]
fn ubnormal_faults_are_named() {
    let tree = trees::ubnormal();
    tree.remove("Scene1/abnormal_scene_1_scenario_1.mp4");
    tree.remove("Scene4/abnormal_scene_4_scenario_3_annotations");
    tree.video("Scene4/extra.mp4", 1);
    tree.video("Scene4/another.mp4", 1);
    let found = faults(&tree.check("ubnormal"));
    one(&found, "abnormal_scene_1_scenario_1.mp4: the video is missing");
    one(&found, "abnormal_scene_4_scenario_3_tracks.txt: the tracks are missing");
    one(&found, "9 videos, of which the lists name 8");
    tree.remove("scripts/normal_test_video_names.txt");
    let error = Dataset::open("ubnormal", tree.root(), &OpenOptions::default()).unwrap_err();
    assert!(matches!(error, DataError::NeedsFile { .. }) && error.hint().is_some(), "{error}");
}

#[test]
fn corridor_protest_needs_the_users_list() {
    let tree = trees::corridor();
    assert_eq!(labels(&tree.open("corridor"), "000209", 4), [0, 0, 1, 1]);
    let options = OpenOptions { subset: Some("protest".into()), ..OpenOptions::default() };
    let error = Dataset::open("corridor", tree.root(), &options).unwrap_err();
    assert!(matches!(error, DataError::NeedsFile { .. }), "{error}");
    tree.text("protest.txt", "000210\n");
    let protest = tree.open_with("corridor", &options);
    assert_eq!(names(&protest, Split::Test), ["000210"]);
    assert_eq!(names(&protest, Split::Train), ["000001"]);
}

#[test]
fn corridor_reads_pictures_and_names_faults() {
    let tree = Tree::new();
    tree.pictures("training/000001/{}.jpg", 0, &[1; 3]);
    tree.pictures("testing/000209/{}.jpg", 0, &[1; 3]);
    tree.pictures("testing/000210/{}.jpg", 0, &[1; 3]);
    tree.text("testing/000211/readme.txt", "empty");
    tree.npy("anomaly_labels/000209.npy", &[3], &[0, 1, 2]);
    let found = faults(&tree.check("corridor"));
    one(&found, "000209.npy");
    one(&found, "a label is 0 or 1, not `2`");
    one(&found, "000210: `000210` has no label file");
    one(&found, "000211: there is neither a video nor a picture in it");
}

#[test]
fn ucf_crime_counts_from_one_and_cuts_at_the_end() {
    let tree = trees::ucf_crime();
    let dataset = tree.open("ucf-crime");
    let labels = labels(&dataset, "Abuse028_x264", 20);
    let abnormal: Vec<usize> = (0..20).filter(|&i| labels[i] == 1).collect();
    assert_eq!(abnormal, [2, 3, 4, 17, 18, 19]);
    assert_eq!(clip(&dataset, "Abuse028_x264").kind.as_deref(), Some("Abuse"));
    assert!(clip(&dataset, "Normal_Videos001_x264").is_normal());
    assert!(clip(&dataset, "Normal_Videos_003_x264").is_normal());
    assert_eq!(clip(&dataset, "Abuse001_x264").labels, LabelSource::Unknown);
    assert_eq!(dataset.labels(clip(&dataset, "Abuse001_x264"), 90).unwrap(), None);
}

#[test]
fn ucf_crime_faults_are_named() {
    let tree = trees::ucf_crime();
    tree.remove("Anomaly-Videos-Part-1/Abuse/Abuse028_x264.mp4");
    tree.remove("Anomaly_Detection_splits/Anomaly_Train.txt");
    let report = tree.check("ucf-crime");
    one(&faults(&report), "Abuse028_x264: the test video is missing");
    one(&faults(&report), "every video that is not for testing is taken for training");
    assert_eq!(report.train.clips, 2);
    let name = "Temporal_Anomaly_Annotation_for_Testing_Videos.txt";
    tree.text(name, "Abuse028_x264.mp4 Abuse 3 x\n");
    assert!(matches!(
        Dataset::open("ucf-crime", tree.root(), &OpenOptions::default()).unwrap_err(),
        DataError::Line { line: 1, .. }
    ));
    tree.remove(name);
    let error = Dataset::open("ucf-crime", tree.root(), &OpenOptions::default()).unwrap_err();
    assert!(matches!(error, DataError::NotThisLayout { .. }), "{error}");
}

#[test]
fn ubi_fights_splits_by_its_list() {
    let tree = trees::ubi_fights();
    let dataset = tree.open("ubi-fights");
    assert_eq!(names(&dataset, Split::Train), ["F_1_1_1_0_0", "N_1_0_0_1_0"]);
    assert_eq!(labels(&dataset, "F_2_1_2_0_0", 4), [0, 1, 1, 0]);
    assert!(clip(&dataset, "N_1_0_0_1_0").is_normal());
    tree.remove("UBI_FIGHTS/annotation/F_2_1_2_0_0.csv");
    tree.remove("UBI_FIGHTS/videos/normal/N_2_0_0_1_0.mp4");
    let found = faults(&tree.check("ubi-fights"));
    one(&found, "F_2_1_2_0_0.csv: the annotation is missing");
    one(&found, "N_2_0_0_1_0: the test video is missing");
    tree.remove("UBI_FIGHTS/test_videos.csv");
    one(&faults(&tree.check("ubi-fights")), "test_videos.csv: the list is missing");
}

#[test]
fn lv_finds_labels_beside_videos() {
    let tree = trees::lv();
    let dataset = tree.open("lv");
    assert_eq!(labels(&dataset, "sequence1", 3), [0, 1, 0]);
    assert_eq!(labels(&dataset, "sequence2", 2), [1, 1]);
    tree.remove("sequence1_GT.csv");
    one(&faults(&tree.check("lv")), "`sequence1` has no label file");
}

#[test]
fn folder_matches_labels_by_name() {
    let tree = trees::folder();
    let dataset = tree.open("folder");
    assert_eq!(names(&dataset, Split::Train), ["train/day1"]);
    assert_eq!(labels(&dataset, "test/gate", 3), [0, 1, 1]);
    assert_eq!(labels(&dataset, "test/yard", 2), [0, 1]);
    let source = clip(&dataset, "test/gate").source().unwrap();
    assert_eq!(
        (source.name.as_str(), source.kind),
        ("test/gate", vadis_video::SourceKind::File(tree.path("test/gate.mp4")))
    );

    tree.text("labels.csv", "video,frame,label\ngate,0,0\nroof,0,1\n");
    let error = Dataset::open("folder", tree.root(), &OpenOptions::default()).unwrap_err();
    assert!(matches!(&error, DataError::UnknownVideo { video, .. } if video == "roof"), "{error}");

    tree.text("labels.csv", "video,frame,label\ngate,0,0\n");
    let found = faults(&tree.check("folder"));
    one(&found, "`test/gate` has 3 frames but 1 labels");
    one(&found, "`test/yard` has no labels");
    tree.remove("labels.csv");
    one(&faults(&tree.check("folder")), "labels.csv: the file is missing");
}

#[test]
fn own_labels_replace_the_benchmarks() {
    let tree = trees::ped2();
    tree.text("mine.csv", "video,frame,label\nTest002,0,0\nTest002,1,0\nTest002,2,1\n");
    let options = OpenOptions { labels: Some(tree.path("mine.csv")), ..OpenOptions::default() };
    let dataset = tree.open_with("ped2", &options);
    assert_eq!(labels(&dataset, "Test002", 3), [0, 0, 1]);
    assert_eq!(labels(&dataset, "Test001", 4), [0, 1, 1, 0]);
}

#[test]
fn without_a_probe_videos_are_not_counted() {
    let tree = trees::avenue();
    let dataset = tree.open("avenue");
    assert_eq!(names(&dataset, Split::Train), ["train/01", "train/02"]);
    let report = dataset.check(CheckOptions::default());
    assert_eq!((report.test.clips, report.test.uncounted, report.test.masks), (2, 2, 6));
    assert!(matches!(dataset.clips[0].source, ClipSource::Video(_)));
}
