//! Small trees in the benchmarks' layouts. A "video" is a text file that holds its number of frames.

#![allow(dead_code, unreachable_pub, reason = "each test file uses a part")]
#![allow(clippy::unwrap_used, reason = "test code")]

use std::fs;
use std::path::{Path, PathBuf};

use vadis_data::{CheckOptions, CheckReport, Dataset, OpenOptions};

pub fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

pub struct Tree {
    pub dir: tempfile::TempDir,
}

impl Tree {
    pub fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }

    pub fn root(&self) -> &Path {
        self.dir.path()
    }

    pub fn path(&self, name: &str) -> PathBuf {
        let path = self.root().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        path
    }

    pub fn text(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    pub fn video(&self, name: &str, frames: u64) {
        self.text(name, &frames.to_string());
    }

    pub fn fixture(&self, name: &str, from: &str) {
        fs::copy(fixture(from), self.path(name)).unwrap();
    }

    /// Pictures `NNN.<ending>` from `first` on, 4 wide and 3 high, each of one value.
    pub fn pictures(&self, pattern: &str, first: usize, values: &[u8]) {
        for (i, &value) in values.iter().enumerate() {
            let name = pattern.replace("{}", &format!("{:03}", first + i));
            image::GrayImage::from_pixel(4, 3, image::Luma([value])).save(self.path(&name)).unwrap();
        }
    }

    /// A `.npy` file of bytes.
    pub fn npy(&self, name: &str, shape: &[usize], data: &[u8]) {
        let dims: String = shape.iter().map(|d| format!("{d}, ")).collect();
        let mut header = format!("{{'descr': '|u1', 'fortran_order': False, 'shape': ({dims}), }}");
        while (header.len() + 11) % 64 != 0 {
            header.push(' ');
        }
        header.push('\n');
        let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
        bytes.extend((header.len() as u16).to_le_bytes());
        bytes.extend(header.as_bytes());
        bytes.extend(data);
        fs::write(self.path(name), bytes).unwrap();
    }

    pub fn remove(&self, name: &str) {
        let path = self.root().join(name);
        if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) }.unwrap();
    }

    pub fn open(&self, key: &str) -> Dataset {
        self.open_with(key, &OpenOptions::default())
    }

    pub fn open_with(&self, key: &str, options: &OpenOptions) -> Dataset {
        Dataset::open(key, self.root(), options).unwrap_or_else(|e| panic!("{key}: {e}"))
    }

    pub fn check(&self, key: &str) -> CheckReport {
        check(&self.open(key))
    }
}

pub fn check(dataset: &Dataset) -> CheckReport {
    let probe = |path: &Path| {
        let text = fs::read_to_string(path).map_err(|e| e.to_string())?;
        text.trim().parse().map_err(|_| "cannot be decoded".to_owned())
    };
    dataset.check(CheckOptions { probe: Some(&probe), decode_masks: true })
}

/// The problems apart from those of the totals, which no small tree can satisfy.
pub fn faults(report: &CheckReport) -> Vec<String> {
    let of_totals = |what: &str| what.contains(" has ") && what.starts_with(|c: char| c.is_ascii_digit());
    let problems = report.problems.iter().filter(|p| !of_totals(&p.what));
    problems
        .map(|p| format!("{}: {}", p.path.file_name().unwrap_or_default().to_string_lossy(), p.what))
        .collect()
}

pub fn ped2() -> Tree {
    let tree = Tree::new();
    for clip in 1..=2 {
        tree.pictures(&format!("UCSDped2/Train/Train{clip:03}/{{}}.tif"), 1, &[9, 9, 9]);
    }
    tree.pictures("UCSDped2/Test/Test001/{}.tif", 1, &[9; 4]);
    tree.pictures("UCSDped2/Test/Test001_gt/{}.bmp", 1, &[0, 255, 255, 0]);
    // The official archive names the masks of three clips differently.
    tree.pictures("UCSDped2/Test/Test002/{}.tif", 1, &[9; 3]);
    tree.pictures("UCSDped2/Test/Test002_gt/frame{}.bmp", 1, &[255, 0, 0]);
    tree.text("UCSDped2/Test/Test001/._001.tif", "macOS leaves these");
    tree.text(
        "UCSDped2/Test/UCSDped2.m",
        "TestVideoFile = {};\nTestVideoFile{end+1}.gt_frame = [2:3];\nTestVideoFile{end+1}.gt_frame = [1:1];\n",
    );
    tree
}

/// Three frames a test clip, as the mask fixture has.
pub fn avenue() -> Tree {
    let tree = Tree::new();
    for clip in 1..=2 {
        tree.video(&format!("Avenue Dataset/training_videos/{clip:02}.avi"), 5);
        tree.video(&format!("Avenue Dataset/testing_videos/{clip:02}.avi"), 3);
        let mask = ["avenue_masks.mat", "avenue_masks_logical.mat"][clip - 1];
        tree.fixture(&format!("ground_truth_demo/testing_label_mask/{clip}_label.mat"), mask);
    }
    tree
}

pub fn shanghaitech() -> Tree {
    let tree = Tree::new();
    tree.video("training/videos/01_001.avi", 7);
    tree.video("training/videos/13_001.avi", 6);
    tree.pictures("testing/frames/01_0014/{}.jpg", 0, &[1, 2, 3]);
    tree.pictures("testing/frames/02_0128/{}.jpg", 0, &[1, 2]);
    tree.npy("testing/test_frame_mask/01_0014.npy", &[3], &[0, 1, 1]);
    tree.npy("testing/test_frame_mask/02_0128.npy", &[2], &[1, 0]);
    let mut masks = vec![0; 3 * 12];
    masks[12] = 1;
    masks[24] = 1;
    tree.npy("testing/test_pixel_mask/01_0014.npy", &[3, 3, 4], &masks);
    tree.npy("testing/test_pixel_mask/02_0128.npy", &[2, 3, 4], &[&[1; 12][..], &[0; 12]].concat());
    tree
}

pub fn ubnormal() -> Tree {
    let tree = Tree::new();
    let lists = [
        ("normal_training", "normal_scene_1_scenario1_9\nnormal_scene_4_scenario_6\n"),
        ("abnormal_training", "abnormal_scene_4_scenario_2\n"),
        ("normal_validation", "normal_scene_4_scenario_4\n"),
        ("abnormal_validation", "abnormal_scene_4_scenario_3\n"),
        ("normal_test", "normal_scene_1_scenario1_10\n"),
        ("abnormal_test", "abnormal_scene_4_scenario_1_fire\nabnormal_scene_1_scenario_1\n"),
    ];
    for (list, names) in lists {
        tree.text(&format!("scripts/{list}_video_names.txt"), names);
        for name in names.lines() {
            let scene = name.split('_').nth(2).unwrap();
            tree.video(&format!("Scene{scene}/{name}.mp4"), 4);
            if name.starts_with("abnormal") {
                let folder = format!("Scene{scene}/{name}_annotations");
                tree.text(&format!("{folder}/{name}_tracks.txt"), "3.0,1.0,2.0\n2,2,2\n");
                for (frame, value) in [3, 3, 2, 5].into_iter().enumerate() {
                    tree.pictures(&format!("{folder}/{name}_0{{}}_gt.png"), frame, &[value]);
                }
            }
        }
    }
    tree
}

pub fn corridor() -> Tree {
    let tree = Tree::new();
    tree.video("Train_IITB-Corridor/Train/000001/000001.avi", 8);
    for clip in ["000209", "000210"] {
        tree.video(&format!("Test_IITB-Corridor/Test/{clip}/{clip}.avi"), 4);
        tree.npy(
            &format!("Test_IITB-Corridor/Test_Annotation/Annotation/{clip}/{clip}.npy"),
            &[4],
            &[0, 0, 1, 1],
        );
    }
    tree
}

pub fn ucf_crime() -> Tree {
    let tree = Tree::new();
    tree.video("Anomaly-Videos-Part-1/Abuse/Abuse001_x264.mp4", 90);
    tree.video("Anomaly-Videos-Part-1/Abuse/Abuse028_x264.mp4", 20);
    tree.video("Training-Normal-Videos-Part-1/Normal_Videos001_x264.mp4", 50);
    tree.video("Testing_Normal_Videos_Anomaly/Normal_Videos_003_x264.mp4", 30);
    tree.text(
        "Anomaly_Detection_splits/Anomaly_Train.txt",
        "Abuse/Abuse001_x264.mp4\nTraining_Normal_Videos_Anomaly/Normal_Videos001_x264.mp4\n",
    );
    tree.text(
        "Anomaly_Detection_splits/Anomaly_Test.txt",
        "Abuse/Abuse028_x264.mp4\nTesting_Normal_Videos_Anomaly/Normal_Videos_003_x264.mp4\n",
    );
    tree.text(
        "Temporal_Anomaly_Annotation_for_Testing_Videos.txt",
        "Abuse028_x264.mp4  Abuse  3  5  18  25  \nNormal_Videos_003_x264.mp4  Normal  -1  -1  -1  -1  \n",
    );
    tree
}

pub fn ubi_fights() -> Tree {
    let tree = Tree::new();
    for (kind, name) in [
        ("normal", "N_1_0_0_1_0"),
        ("normal", "N_2_0_0_1_0"),
        ("fight", "F_1_1_1_0_0"),
        ("fight", "F_2_1_2_0_0"),
    ] {
        tree.video(&format!("UBI_FIGHTS/videos/{kind}/{name}.mp4"), 4);
        let labels = if kind == "fight" { "0\n1\n1\n0\n" } else { "0\n0\n0\n0\n" };
        tree.text(&format!("UBI_FIGHTS/annotation/{name}.csv"), labels);
    }
    tree.text("UBI_FIGHTS/test_videos.csv", "name\nN_2_0_0_1_0\nF_2_1_2_0_0\n");
    tree
}

pub fn lv() -> Tree {
    let tree = Tree::new();
    tree.video("sequence1.avi", 3);
    tree.text("sequence1_GT.csv", "0\n1\n0\n");
    tree.video("sequence2.avi", 2);
    tree.npy("GT/sequence2.npy", &[2], &[1, 1]);
    tree
}

pub fn upcam() -> Tree {
    let tree = Tree::new();
    tree.video("train/08-00.mp4", 5);
    tree.video("train/08-01.mp4", 5);
    tree.video("eval.mp4", 4);
    tree.text("eval.labels.csv", "0\n1\n1\n0\n");
    tree
}

pub fn folder() -> Tree {
    let tree = Tree::new();
    tree.video("train/day1.mp4", 100);
    tree.video("test/gate.mp4", 3);
    tree.pictures("test/yard/{}.png", 1, &[1, 2]);
    tree.text(
        "labels.csv",
        "video,frame,label\ngate.mp4,0,0\ngate.mp4,1,1\ngate.mp4,2,1\ntest/yard,1,1\ntest/yard,0,0\n",
    );
    tree
}
