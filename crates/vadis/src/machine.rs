//! What the work runs on, and when.

use std::fs;
use std::time::SystemTime;

use vadis_eval::run::{Machine, shell_quoted};
use vadis_video::without_credentials;

/// This machine, as a run records it.
pub fn describe(device: &str) -> Machine {
    Machine {
        cpu: cpu_name().unwrap_or_else(|| "unknown".to_owned()),
        threads: rayon::current_num_threads(),
        os: format!("{} {}", std::env::consts::OS, std::env::consts::ARCH),
        device: device.to_owned(),
    }
}

/// The processor's name, where the system tells.
pub fn cpu_name() -> Option<String> {
    let text = fs::read_to_string("/proc/cpuinfo").ok()?;
    let line = text.lines().find(|l| l.starts_with("model name"))?;
    line.split_once(':').map(|(_, name)| name.trim().to_owned())
}

/// Instruction sets that the kernels use, as far as this processor has them.
pub fn cpu_features() -> Vec<&'static str> {
    let mut found = Vec::new();
    #[cfg(target_arch = "x86_64")]
    {
        for (name, there) in [
            ("avx2", std::arch::is_x86_feature_detected!("avx2")),
            ("fma", std::arch::is_x86_feature_detected!("fma")),
            ("avx512f", std::arch::is_x86_feature_detected!("avx512f")),
        ] {
            if there {
                found.push(name);
            }
        }
    }
    #[cfg(target_arch = "aarch64")]
    found.push("neon");
    found
}

/// The most memory that this process has held, in MiB, where the system tells.
pub fn peak_mib() -> Option<f64> {
    let text = fs::read_to_string("/proc/self/status").ok()?;
    let line = text.lines().find(|l| l.starts_with("VmHWM:"))?;
    let kib: f64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kib / 1024.0)
}

/// Lets [`peak_mib`] count from now on, where the system can do that (Linux); elsewhere nothing happens.
pub fn reset_peak() {
    let _ = fs::write("/proc/self/clear_refs", "5");
}

/// The command line of this process as it was typed, quoted for a POSIX shell; passwords of addresses are left out.
pub fn command_line() -> String {
    let arguments = std::env::args_os().skip(1);
    let words = arguments.map(|a| shell_quoted(&without_credentials(&a.to_string_lossy())));
    std::iter::once("vadis".to_owned()).chain(words).collect::<Vec<_>>().join(" ")
}

/// The folder that relative paths count from; empty where there is none any more.
pub fn directory() -> String {
    std::env::current_dir().map(|folder| folder.display().to_string()).unwrap_or_default()
}

/// Now, RFC 3339, UTC, to the second.
pub fn now() -> String {
    humantime::format_rfc3339_seconds(SystemTime::now()).to_string()
}
