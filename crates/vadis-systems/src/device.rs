//! Where networks train, by name. Scoring always runs on the processor, by our kernels.

use burn::tensor::Device;

use crate::SystemError;

/// The processor, where networks run by default.
pub fn cpu_device() -> Device {
    Device::flex()
}

/// The names that [`device`] takes in this build.
pub fn devices() -> Vec<&'static str> {
    let mut names = vec!["cpu"];
    if cfg!(feature = "cuda") {
        names.push("cuda:0");
    }
    if cfg!(feature = "wgpu") {
        names.push("wgpu");
    }
    names
}

/// The device of that name: `cpu`; in a build with the feature of the same name also `cuda:N` and `wgpu`. A GPU
/// is first touched when something runs on it.
///
/// # Errors
/// [`SystemError::UnknownDevice`], which lists those there are.
pub fn device(name: &str) -> Result<Device, SystemError> {
    match name.split_once(':').unwrap_or((name, "")) {
        ("cpu", "") => Ok(cpu_device()),
        #[cfg(feature = "cuda")]
        ("cuda", index) if index.parse::<usize>().is_ok() => {
            Ok(Device::cuda(index.parse().unwrap_or(0usize)))
        }
        #[cfg(feature = "wgpu")]
        ("wgpu", "") => Ok(Device::wgpu(burn::tensor::DeviceKind::DefaultDevice)),
        _ => Err(SystemError::UnknownDevice { name: name.to_owned(), known: devices().join(", ") }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_are_known_by_name() {
        assert!(devices().iter().all(|name| device(name).is_ok()));
        for wrong in ["gpu", "", "cpu:1", "cuda", "cuda:x"] {
            let error = device(wrong).unwrap_err().to_string();
            assert!(error.contains(wrong) && error.contains("cpu"), "{error}");
        }
    }
}
