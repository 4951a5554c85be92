//! What vadis says of itself.

use super::common::{command, folder, vadis};

/// The help of every command, as users see it.
#[test]
fn help_of_every_command_teaches_by_example() {
    let commands: [&[&str]; 16] = [
        &[],
        &["scan"],
        &["train"],
        &["score"],
        &["eval"],
        &["bench"],
        &["report"],
        &["data"],
        &["data", "list"],
        &["data", "check"],
        &["data", "synth"],
        &["data", "insert"],
        &["data", "subsample"],
        &["info"],
        &["doctor"],
        &["completions"],
    ];
    let folder = folder();
    for words in commands {
        let ran = vadis(folder.path(), words.iter().chain(&["--help"])).done();
        assert_eq!(ran.err, "");
        insta::assert_snapshot!(format!("help {}", words.join(" ")).trim_end().replace(' ', "-"), ran.out);
    }
}

#[test]
fn every_command_is_in_the_snapshots() {
    let folder = folder();
    let help = vadis(folder.path(), ["--help"]).out;
    let commands = help.lines().skip_while(|l| *l != "Commands:").skip(1).take_while(|l| !l.is_empty());
    let names: Vec<&str> = commands.filter_map(|l| l.split_whitespace().next()).collect();
    assert_eq!(
        names,
        [
            "scan",
            "train",
            "score",
            "eval",
            "bench",
            "report",
            "data",
            "info",
            "doctor",
            "completions",
            "help"
        ]
    );
}

#[test]
fn version_is_the_crates() {
    let ran = vadis(folder().path(), ["--version"]).done();
    assert_eq!(ran.out, format!("vadis {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn data_list_names_every_layout() {
    let folder = folder();
    insta::assert_snapshot!(vadis(folder.path(), ["data", "list"]).done().out);
    let json = vadis(folder.path(), ["data", "list", "--json"]).done().json();
    let keys: Vec<&str> = json.as_array().expect("a list").iter().filter_map(|l| l["key"].as_str()).collect();
    assert!(keys.contains(&"ped2") && keys.contains(&"avenue") && keys.contains(&"folder"), "{keys:?}");
}

#[test]
fn doctor_tells_of_each_thing_that_vadis_needs() {
    let folder = folder();
    let ran = vadis(folder.path(), ["doctor"]).done();
    let words: Vec<Vec<&str>> = ran.out.lines().map(|l| l.split_whitespace().take(2).collect()).collect();
    assert_eq!(words, [["vadis", "ok"], ["ffmpeg", "ok"], ["processor", "ok"], ["devices", "ok"]]);
    let json = vadis(folder.path(), ["doctor", "--json"]).done().json();
    assert!(json["ffmpeg"].is_string() && json["threads"].as_u64() >= Some(1));
    assert_eq!(json["devices"][0], "cpu");
}

#[test]
fn doctor_fails_with_a_hint_where_ffmpeg_is_missing() {
    let folder = folder();
    let mut doctor = command(folder.path());
    doctor.args(["doctor", "--json"]).env("VADIS_FFMPEG", "/nonexistent/ffmpeg");
    let ran = super::common::Ran::of(&doctor.output().expect("it runs"));
    assert_eq!(ran.code, 1);
    assert!(ran.json()["ffmpeg"].is_null());
    assert!(ran.err.contains("error: ") && ran.err.contains("hint: install it"), "{}", ran.err);
}

#[test]
fn completions_exist_for_every_shell() {
    let folder = folder();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let ran = vadis(folder.path(), ["completions", shell]).done();
        assert!(ran.out.contains("vadis") && ran.out.contains("scan"), "{shell}");
    }
}
