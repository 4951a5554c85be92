//! Child processes that cannot hang, leak or flood us.

use std::io::{self, Read};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::VideoError;

/// Bytes kept of what a command complains.
const KEPT: usize = 16 << 10;

/// Memory of a command that reads untrusted input before the size of its pictures is known, in bytes.
pub(crate) const BASE_MEMORY: u64 = 2 << 30;

/// Sets what a child may allocate; it ends with an error of its own beyond that. Linux only.
#[cfg(target_os = "linux")]
fn limit_memory(child: &Child, bytes: u64) {
    use rustix::process::{Pid, Resource, Rlimit, prlimit};
    let limit = Rlimit { current: Some(bytes), maximum: Some(bytes) };
    // An error means that it has ended already.
    let _ = prlimit(Some(Pid::from_child(child)), Resource::Data, limit);
}

#[cfg(not(target_os = "linux"))]
fn limit_memory(_: &Child, _: u64) {}

/// A running command, killed and reaped when dropped; what it writes to standard error is collected.
pub(crate) struct Process {
    child: Child,
    complaints: Complaints,
    collector: Option<JoinHandle<()>>,
}

impl Process {
    /// Starts a command; `name` is what a missing one is called.
    pub(crate) fn start(mut command: Command, stdin: Stdio, stdout: Stdio) -> Result<Self, VideoError> {
        let program = command.get_program().to_string_lossy().into_owned();
        let spawned = command.stdin(stdin).stdout(stdout).stderr(Stdio::piped()).spawn();
        let mut child = spawned.map_err(|e| match e.kind() {
            io::ErrorKind::NotFound => VideoError::MissingCommand { command: program },
            _ => VideoError::io(format!("start {program}"), e),
        })?;
        let complaints = Complaints::default();
        let collector = child.stderr.take().map(|pipe| complaints.clone().collect(pipe));
        Ok(Self { child, complaints, collector })
    }

    /// Limits its memory from now on.
    pub(crate) fn limit_memory(&self, bytes: u64) {
        limit_memory(&self.child, bytes);
    }

    /// The child, for its pipes.
    pub(crate) fn child(&mut self) -> &mut Child {
        &mut self.child
    }

    /// What it has complained so far.
    pub(crate) fn complaints(&self) -> &Complaints {
        &self.complaints
    }

    /// Its exit status once it ends by itself, or `None` after it was killed for taking longer than `patience`.
    pub(crate) fn finish(&mut self, patience: Duration) -> io::Result<Option<ExitStatus>> {
        let deadline = Instant::now() + patience;
        let mut pause = Duration::from_millis(1);
        let status = loop {
            if let Some(status) = self.child.try_wait()? {
                break Some(status);
            }
            if Instant::now() >= deadline {
                self.child.kill()?;
                self.child.wait()?;
                break None;
            }
            thread::sleep(pause);
            pause = (pause * 2).min(Duration::from_millis(20));
        };
        self.join();
        Ok(status)
    }

    fn join(&mut self) {
        if let Some(collector) = self.collector.take() {
            // A collector that panicked has nothing more to tell.
            let _ = collector.join();
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Errors mean that it is gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
        self.join();
    }
}

/// The beginning of what a command wrote to standard error.
#[derive(Debug, Clone, Default)]
pub(crate) struct Complaints(Arc<Mutex<Vec<u8>>>);

impl Complaints {
    fn collect(self, mut pipe: impl Read + Send + 'static) -> JoinHandle<()> {
        thread::spawn(move || {
            let mut chunk = [0; 4096];
            // All is read, lest the command block on a full pipe; only the beginning is kept.
            while let Ok(n @ 1..) = pipe.read(&mut chunk) {
                let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
                let room = KEPT.saturating_sub(kept.len()).min(n);
                kept.extend_from_slice(&chunk[..room]);
            }
        })
    }

    /// The first line that says something, without addresses in memory and without control characters.
    pub(crate) fn first(&self) -> Option<String> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&kept).lines().map(tidy).find(|line| !line.is_empty())
    }
}

/// `[h264 @ 0x55…] text` becomes `h264: text`.
fn tidy(line: &str) -> String {
    let line: String = line.trim().chars().filter(|c| !c.is_control()).take(300).collect();
    let tagged = line.strip_prefix('[').and_then(|rest| rest.split_once("] "));
    match tagged.and_then(|(tag, text)| tag.split_once(" @ 0x").map(|(part, _)| (part, text))) {
        Some((part, text)) => format!("{part}: {text}"),
        None => line,
    }
}

/// What a command that ran to its end gave.
pub(crate) struct Output {
    /// Its standard output.
    pub(crate) stdout: Vec<u8>,
    /// How it ended.
    pub(crate) status: ExitStatus,
    /// What it complained of.
    pub(crate) complaints: Complaints,
}

/// Runs a command to its end, in at most `patience`, reading at most `max_bytes` of its output.
pub(crate) fn run(
    command: Command,
    name: &str,
    patience: Duration,
    max_bytes: u64,
) -> Result<Output, VideoError> {
    let program = command.get_program().to_string_lossy().into_owned();
    let failed = |e| VideoError::io(format!("run {program}"), e);
    let late = || VideoError::Timeout { name: name.to_owned(), frame: 0, waited: patience };
    let mut process = Process::start(command, Stdio::null(), Stdio::piped())?;
    process.limit_memory(BASE_MEMORY);
    let begun = Instant::now();
    let (sender, receiver) = mpsc::sync_channel(1);
    if let Some(pipe) = process.child().stdout.take() {
        thread::spawn(move || {
            let mut bytes = Vec::new();
            let read = pipe.take(max_bytes + 1).read_to_end(&mut bytes);
            // The receiver is gone after a timeout.
            let _ = sender.send(read.map(|_| bytes));
        });
    }
    let stdout = receiver.recv_timeout(patience).map_err(|_| late())?.map_err(failed)?;
    if stdout.len() as u64 > max_bytes {
        return Err(VideoError::Protocol {
            command: program,
            detail: format!("more than {max_bytes} bytes"),
        });
    }
    let left = patience.saturating_sub(begun.elapsed());
    let status = process.finish(left).map_err(failed)?.ok_or_else(late)?;
    Ok(Output { stdout, status, complaints: process.complaints().clone() })
}
