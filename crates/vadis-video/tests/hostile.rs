//! Input that nobody vouches for: broken, lying, or meant to make `ffmpeg` open something else.

#![allow(clippy::unwrap_used, reason = "helpers of tests may panic as tests do")]

mod common;

use std::fs;
use std::io::{ErrorKind, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::time::Duration;

use common::{GREY, ffmpeg, moving, read, read_file};
use tempfile::tempdir;
use vadis_video::{
    FrameReader, ReadOptions, Source, SourceKind, Tools, VideoError, discover, probe, version_of,
};

fn error_of(path: &Path) -> VideoError {
    match read(&Source::file(path), &GREY, &ReadOptions::default()) {
        Err(e) => e,
        Ok((frames, Some(e))) => {
            assert!(frames.is_empty(), "{} frames of {}", frames.len(), path.display());
            e
        }
        Ok((frames, None)) => panic!("{} frames of {}", frames.len(), path.display()),
    }
}

/// A playable file and a port, neither of which may be touched by reading another file.
struct Canary {
    port: TcpListener,
    file: PathBuf,
    folder: tempfile::TempDir,
}

impl Canary {
    fn new() -> Self {
        let folder = tempdir().unwrap();
        let file = folder.path().join("canary.ts");
        moving("64x48", 5, &["-c:v", "mpeg2video"], &file);
        let port = TcpListener::bind("127.0.0.1:0").unwrap();
        port.set_nonblocking(true).unwrap();
        Self { port, file, folder }
    }

    /// Reads `content` under several names: never a frame, never a connection.
    fn survives(&self, what: &str, content: &str) {
        let port = self.port.local_addr().unwrap().port().to_string();
        let content = content.replace("FILE", self.file.to_str().unwrap()).replace("PORT", &port);
        for extension in ["mp4", "avi", "m3u8", "ts", "sdp", "mkv"] {
            let path = self.folder.path().join(format!("attack.{extension}"));
            fs::write(&path, &content).unwrap();
            let error = error_of(&path);
            assert!(
                matches!(error, VideoError::Unreadable { .. } | VideoError::NoVideoStream { .. }),
                "{what} as {extension}: {error}"
            );
            let touched = self.port.accept();
            assert_eq!(touched.err().map(|e| e.kind()), Some(ErrorKind::WouldBlock), "{what} as {extension}");
        }
    }
}

#[test]
fn playlists_are_not_followed() {
    let canary = Canary::new();
    let hls = "#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\n";
    canary.survives("hls of a file", &format!("{hls}FILE\n#EXT-X-ENDLIST\n"));
    canary.survives("hls of a file address", &format!("{hls}file://FILE\n#EXT-X-ENDLIST\n"));
    canary.survives("hls of an address", &format!("{hls}http://127.0.0.1:PORT/x.ts\n#EXT-X-ENDLIST\n"));
    canary.survives(
        "hls of a part of a file",
        &format!("{hls}subfile,,start,0,end,0,,:FILE\n#EXT-X-ENDLIST\n"),
    );
    canary.survives(
        "hls of a concatenation",
        &format!("{hls}concat:FILE|http://127.0.0.1:PORT/\n#EXT-X-ENDLIST\n"),
    );
}

#[test]
fn lists_and_descriptions_are_not_followed() {
    let canary = Canary::new();
    canary.survives("ffconcat", "ffconcat version 1.0\nfile FILE\nduration 1\n");
    canary.survives("ffconcat of an address", "ffconcat version 1.0\nfile http://127.0.0.1:PORT/x.ts\n");
    canary.survives("concat list", "file 'FILE'\nfile 'tcp://127.0.0.1:PORT'\n");
    canary.survives("sdp", "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video PORT RTP/AVP 96\na=rtpmap:96 H264/90000\n");
    canary.survives(
        "dash",
        "<?xml version=\"1.0\"?><MPD xmlns=\"urn:mpeg:dash:schema:mpd:2011\" type=\"static\" mediaPresentationDuration=\"PT1S\">\
         <Period><AdaptationSet mimeType=\"video/mp4\"><Representation id=\"1\" bandwidth=\"1\"><BaseURL>http://127.0.0.1:PORT/x.mp4</BaseURL>\
         </Representation></AdaptationSet></Period></MPD>",
    );
    canary.survives(
        "asx",
        "<asx version=\"3.0\"><entry><ref href=\"http://127.0.0.1:PORT/x.asf\"/></entry></asx>",
    );
    canary.survives("data address", "data:video/mp4;base64,AAAAIGZ0eXBpc29t");
    canary.survives("script", "#!/bin/sh\ntouch /tmp/never\n");
    canary.survives(
        "svg",
        "<svg xmlns=\"http://www.w3.org/2000/svg\"><image href=\"http://127.0.0.1:PORT/x.png\"/></svg>",
    );
}

#[test]
fn a_movie_that_refers_to_another_file_does_not_get_it() {
    // A QuickTime file whose samples lie elsewhere: the data reference is made to name the canary.
    let folder = tempdir().unwrap();
    let path = folder.path().join("a.mov");
    moving("64x48", 5, &["-c:v", "mjpeg"], &path);
    let bytes = fs::read(&path).unwrap();
    let at = bytes.windows(4).position(|w| w == b"dref").unwrap();
    let mut referring = bytes.clone();
    // The entry's flag "in this file" is cleared.
    let flag = referring[at..].windows(4).position(|w| w == b"url " || w == b"alis").unwrap() + at + 7;
    referring[flag] = 0;
    fs::write(&path, &referring).unwrap();
    // It is read from itself or refused, and nothing else is opened (external references are off by default).
    match read(&Source::file(&path), &GREY, &ReadOptions::default()) {
        Ok((frames, _)) => assert!(frames.len() <= 5),
        Err(e) => assert!(matches!(e, VideoError::Unreadable { .. })),
    }
}

#[test]
fn names_are_never_options_patterns_or_addresses() {
    let folder = tempdir().unwrap();
    let plain = folder.path().join("plain.mkv");
    moving("16x16", 3, &["-c:v", "ffv1"], &plain);
    let names = [
        "-i.mkv",
        "-y",
        "--",
        "a%03d.mkv",
        "%d.mkv",
        "http:",
        "concat:a|b.mkv",
        "file:x.mkv",
        "pipe:0",
        "a b.mkv",
        "a'b.mkv",
        "a\"b.mkv",
        "a\nb.mkv",
        "$(touch x).mkv",
        ";touch x",
        "a[0-9]*?.mkv",
        "subfile,,start,0,end,9,,:x",
        "lavfi",
        "a\\b.mkv",
        "ü.mkv",
        "~.mkv",
    ];
    for name in names {
        let path = folder.path().join(name);
        fs::copy(&plain, &path).unwrap();
        assert_eq!(read_file(&path, &GREY).len(), 3, "{name:?}");
        fs::remove_file(&path).unwrap();
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[cfg(unix)]
#[test]
fn names_need_not_be_text() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    let folder = tempdir().unwrap();
    let path = folder.path().join(OsStr::from_bytes(b"\xFF\xFE-video.mkv"));
    moving("16x16", 2, &["-c:v", "ffv1"], &path);
    assert_eq!(read_file(&path, &GREY).len(), 2);
    let found = discover(folder.path().to_str().unwrap()).unwrap();
    assert_eq!(found[0].name, "\u{FFFD}\u{FFFD}-video");
}

#[test]
fn relative_names_that_look_like_options() {
    // Relative to the test's own folder, where no such file lies: an error about the file, not about an option.
    for name in ["-version", "-i", "-"] {
        let error = error_of(Path::new(name));
        assert!(matches!(error, VideoError::NotFound { .. }), "{name}: {error}");
    }
}

#[test]
fn only_network_addresses_are_streams() {
    for address in
        ["file:///etc/passwd", "concat://x", "data://x", "lavfi://x", "pipe://0", "gopher://h/", "HTTPX://h"]
    {
        assert!(matches!(discover(address), Err(VideoError::UnknownScheme { .. })), "{address}");
    }
    assert!(matches!(discover("rtsp://h/\n-i x"), Err(VideoError::UnknownScheme { .. })));
    let camera = discover("rtsp://admin:s3cret@10.0.0.5:554/live?token=1").unwrap();
    assert_eq!(camera[0].name, "10.0.0.5:554/live");
    assert!(!camera[0].location().contains("s3cret"));
    // Made by hand, past `discover`.
    let source = Source { name: "x".to_owned(), kind: SourceKind::Stream("file:///etc/passwd".to_owned()) };
    assert!(matches!(probe(&source, &ReadOptions::default()), Err(VideoError::UnknownScheme { .. })));
}

#[test]
fn a_refused_stream_keeps_its_password() {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let address = format!("http://admin:s3cret@127.0.0.1:{port}/live");
    let error = probe(&discover(&address).unwrap()[0], &ReadOptions::default()).unwrap_err();
    assert!(matches!(error, VideoError::Unreadable { .. }), "{error}");
    assert!(!error.to_string().contains("s3cret"), "{error}");
}

#[test]
fn a_playlist_from_the_network_opens_no_file() {
    // A server that answers every request with a playlist of a local file.
    let canary = Canary::new();
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}/live.m3u8", server.local_addr().unwrap());
    let list = format!(
        "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{}\n#EXTINF:1,\nfile://{0}\n#EXT-X-ENDLIST\n",
        canary.file.display()
    );
    std::thread::spawn(move || {
        for connection in server.incoming().flatten().take(8) {
            let mut connection = connection;
            let head = "HTTP/1.0 200 OK\r\nContent-Type: application/vnd.apple.mpegurl\r\n";
            let _ = write!(connection, "{head}Content-Length: {}\r\n\r\n{list}", list.len());
        }
    });
    let options = ReadOptions { timeout: Duration::from_secs(10), ..Default::default() };
    match read(&discover(&address).unwrap()[0], &GREY, &options) {
        Err(e) => assert!(!matches!(e, VideoError::MissingCommand { .. }), "{e}"),
        Ok((frames, _)) => assert_eq!(frames.len(), 0),
    }
}

#[test]
fn an_http_stream_is_read() {
    let canary = Canary::new();
    let bytes = fs::read(&canary.file).unwrap();
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}/cam.ts", server.local_addr().unwrap());
    std::thread::spawn(move || {
        for connection in server.incoming().flatten().take(8) {
            let mut connection = connection;
            let _ = write!(connection, "HTTP/1.0 200 OK\r\nContent-Length: {}\r\n\r\n", bytes.len());
            let _ = connection.write_all(&bytes);
        }
    });
    let (frames, error) = read(&discover(&address).unwrap()[0], &GREY, &ReadOptions::default()).unwrap();
    assert_eq!((frames.len(), error.is_none()), (5, true));
}

#[test]
fn a_cut_file_gives_its_frames_then_an_error() {
    let folder = tempdir().unwrap();
    let cases: [(&str, &[&str]); 4] = [
        ("a.mp4", &["-c:v", "libx264", "-movflags", "faststart"]),
        ("a.mkv", &["-c:v", "libx264"]),
        ("a.avi", &["-c:v", "mjpeg"]),
        ("b.avi", &["-c:v", "mpeg4"]),
    ];
    for (name, codec) in cases {
        let path = folder.path().join(name);
        moving("160x120", 60, codec, &path);
        assert_eq!(read_file(&path, &GREY).len(), 60, "{name}");
        let bytes = fs::read(&path).unwrap();
        fs::write(&path, &bytes[..bytes.len() * 6 / 10]).unwrap();
        let (frames, error) = read(&Source::file(&path), &GREY, &ReadOptions::default()).unwrap();
        assert!((10..60).contains(&frames.len()), "{name}: {}", frames.len());
        let Some(VideoError::Damaged { name: named, frame, .. }) = error else { panic!("{name}: {error:?}") };
        assert_eq!((named, frame), (path.display().to_string(), frames.len() as u64));
    }
}

#[test]
fn an_mp4_without_its_index_is_unreadable() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("a.mp4");
    moving("64x48", 20, &["-c:v", "libx264"], &path);
    let bytes = fs::read(&path).unwrap();
    fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
    let error = error_of(&path);
    assert!(matches!(&error, VideoError::Unreadable { .. }), "{error}");
    assert!(error.to_string().contains("moov"), "{error}");
    assert!(error.hint().is_some());
}

#[test]
fn a_broken_middle_is_reported_after_the_last_frame() {
    let folder = tempdir().unwrap();
    for (name, codec) in [("a.avi", "mpeg4"), ("a.mp4", "libx264")] {
        let path = folder.path().join(name);
        moving("160x120", 60, &["-c:v", codec, "-g", "10"], &path);
        let mut bytes = fs::read(&path).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle..middle + 1500].iter_mut().enumerate().for_each(|(i, v)| *v = (i * 37) as u8);
        fs::write(&path, bytes).unwrap();
        let (frames, error) = read(&Source::file(&path), &GREY, &ReadOptions::default()).unwrap();
        assert!(frames.len() > 45, "{name}: {}", frames.len());
        assert!(matches!(error, Some(VideoError::Damaged { .. })), "{name}: {error:?}");
        let again = read(&Source::file(&path), &GREY, &ReadOptions::default()).unwrap().0;
        assert!(frames == again, "{name}: broken files decode the same every time");
    }
}

#[test]
fn errors_say_what_is_wrong() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("a.mp4");
    assert!(matches!(error_of(&path), VideoError::NotFound { .. }));
    fs::write(&path, b"").unwrap();
    assert!(matches!(error_of(&path), VideoError::EmptyFile { .. }));
    fs::write(&path, b"hello, this is text\n").unwrap();
    assert!(matches!(error_of(&path), VideoError::Unreadable { .. }));
    assert!(matches!(error_of(folder.path()), VideoError::Unreadable { .. }));
    let sound = folder.path().join("sound.mkv");
    ffmpeg(&["-f", "lavfi", "-i", "sine=duration=0.2"], &sound);
    assert!(matches!(error_of(&sound), VideoError::NoVideoStream { .. }));
}

#[test]
fn a_missing_ffmpeg_is_named_with_a_hint() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("a.mkv");
    moving("16x16", 1, &["-c:v", "ffv1"], &path);
    let absent = |ffmpeg: &str, ffprobe: &str| ReadOptions {
        tools: Tools { ffmpeg: ffmpeg.into(), ffprobe: ffprobe.into() },
        ..Default::default()
    };
    for options in [absent("vadis-no-such-command", "ffprobe"), absent("ffmpeg", "vadis-no-such-command")] {
        let error = FrameReader::open(&Source::file(&path), &GREY, &options).err().unwrap();
        assert!(
            matches!(&error, VideoError::MissingCommand { command } if command == "vadis-no-such-command")
        );
        assert!(error.hint().unwrap().contains("apt-get install ffmpeg"));
    }
    assert!(matches!(version_of(Path::new("vadis-no-such-command")), Err(VideoError::MissingCommand { .. })));
    assert!(version_of(Path::new("ffmpeg")).unwrap().starts_with(|c: char| c.is_ascii_alphanumeric()));
}

#[cfg(unix)]
#[test]
fn a_source_that_never_speaks_times_out() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("pipe.mkv");
    assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
    let options = ReadOptions { timeout: Duration::from_millis(300), ..Default::default() };
    let error = FrameReader::open(&Source::file(&path), &GREY, &options).err().unwrap();
    assert!(matches!(error, VideoError::Timeout { frame: 0, .. }), "{error}");
}

#[test]
fn a_server_that_never_answers_times_out() {
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let source = discover(&format!("tcp://{}", server.local_addr().unwrap())).unwrap().remove(0);
    let options = ReadOptions { timeout: Duration::from_millis(300), ..Default::default() };
    assert!(matches!(probe(&source, &options), Err(VideoError::Timeout { .. })));
}

/// A command that stands in for `ffmpeg` and misbehaves.
#[cfg(unix)]
fn stand_in(folder: &Path, timeout_s: u64, script: &str) -> ReadOptions {
    use std::os::unix::fs::PermissionsExt;
    let path = folder.join("ffmpeg");
    fs::write(
        &path,
        format!("#!/bin/sh\n[ \"$1\" = -version ] && {{ echo ffmpeg version 5.1; exit; }}\n{script}\n"),
    )
    .unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    let tools = Tools { ffmpeg: path, ..Tools::default() };
    ReadOptions { timeout: Duration::from_secs(timeout_s), tools, ..Default::default() }
}

#[cfg(unix)]
#[test]
fn a_decoder_that_misbehaves_is_an_error() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("a.mkv");
    moving("16x16", 3, &["-c:v", "ffv1"], &path);
    let open = |options: &ReadOptions| FrameReader::open(&Source::file(&path), &GREY, options).err();
    let stuck = stand_in(folder.path(), 2, "exec sleep 60");
    assert!(matches!(open(&stuck), Some(VideoError::Timeout { .. })));
    let silent = stand_in(folder.path(), 60, "exit 0");
    assert!(matches!(open(&silent), Some(VideoError::Unreadable { .. })));
    let other =
        stand_in(folder.path(), 60, "echo something else entirely; echo [h264 @ 0x55aa] no luck >&2; exit 1");
    let error = open(&other).unwrap();
    assert!(error.to_string().ends_with("h264: no luck"), "{error}");
}
