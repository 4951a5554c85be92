//! What the tests of segments and networks share.

#![allow(dead_code, reason = "each test uses its part")]

use std::collections::BTreeMap;
use std::path::PathBuf;

use burn::tensor::{Device, Tensor, TensorData};
use vadis_nn::segment::{NamedTensor, StateDict};
use vadis_nn::weights::WeightFile;

/// Where networks are checked against PyTorch: the processor, or the GPU of a build for one (`make test-gpu`).
pub(crate) fn device() -> Device {
    #[cfg(feature = "wgpu")]
    return Device::wgpu(burn::tensor::DeviceKind::DefaultDevice);
    #[cfg(not(feature = "wgpu"))]
    Device::flex()
}

/// A tensor's values, the last axis running fastest.
pub(crate) fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().iter::<f32>().collect()
}

/// Largest difference relative to the largest value.
pub(crate) fn difference(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    let scale = b.iter().fold(1e-6f32, |m, v| m.max(v.abs()));
    a.iter().zip(b).map(|(a, b)| (a - b).abs() / scale).fold(0.0, f32::max)
}

/// Values in [−1, 1) without a pattern, the same at each call.
pub(crate) fn noise<const D: usize>(shape: [usize; D], device: &Device) -> Tensor<D> {
    let len: usize = shape.iter().product();
    let mix = |i: u32| i.wrapping_mul(2_654_435_761) ^ i.wrapping_mul(40_503).rotate_left(13);
    let values: Vec<f32> = (0..len as u32).map(|i| (mix(i) >> 8) as f32 / (1 << 23) as f32 - 1.0).collect();
    Tensor::from_data(TensorData::new(values, shape), device)
}

/// What `scripts/networks.py` wrote for one network.
pub(crate) struct Fixture {
    /// The module's `state_dict`.
    pub(crate) state: Vec<NamedTensor>,
    tensors: BTreeMap<String, (Vec<usize>, Vec<f32>)>,
}

impl Fixture {
    pub(crate) fn path(file: &str) -> PathBuf {
        [env!("CARGO_MANIFEST_DIR"), "tests", "fixtures", file].iter().collect()
    }

    pub(crate) fn read(network: &str) -> Self {
        let load = |file: String| WeightFile::load(&Self::path(&file)).unwrap().tensors;
        let named = |(name, (shape, values))| NamedTensor { name, shape, values };
        let state = load(format!("{network}.state.safetensors")).into_iter().map(named).collect();
        Self { state, tensors: load(format!("{network}.safetensors")) }
    }

    pub(crate) fn values(&self, name: &str) -> &[f32] {
        &self.tensors[name].1
    }

    pub(crate) fn tensor<const D: usize>(&self, name: &str, device: &Device) -> Tensor<D> {
        let (shape, values) = &self.tensors[name];
        let shape: [usize; D] = shape.as_slice().try_into().unwrap();
        Tensor::from_data(TensorData::new(values.clone(), shape), device)
    }

    /// As clips `[batch, channels, time, height, width]`; images are clips of one frame.
    pub(crate) fn clips(&self, name: &str, device: &Device) -> Tensor<5> {
        let (shape, values) = &self.tensors[name];
        let mut shape = shape.clone();
        if shape.len() == 4 {
            shape.insert(2, 1);
        }
        let shape: [usize; 5] = shape.try_into().unwrap();
        Tensor::from_data(TensorData::new(values.clone(), shape), device)
    }
}

/// What is saved is byte for byte what PyTorch saved but for the metadata, and comes back.
/// `scripts/networks.py --check` loads the saved files into the twins.
pub(crate) fn assert_saves_as_pytorch(name: &str, network: impl StateDict) {
    let folder = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("networks");
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join(format!("{name}.safetensors"));
    network.to_weight_file().save(&path).unwrap();
    let [saved, torch] =
        [&path, &Fixture::path(&format!("{name}.state.safetensors"))].map(|p| std::fs::read(p).unwrap());
    let [a, b] = [&saved, &torch].map(|bytes| safetensors::SafeTensors::deserialize(bytes).unwrap());
    assert_eq!(a.len(), b.len(), "{name}");
    for (tensor, view) in a.tensors() {
        let theirs = b.tensor(&tensor).unwrap();
        assert_eq!((view.dtype(), view.shape()), (theirs.dtype(), theirs.shape()), "{name} {tensor}");
        assert!(view.data() == theirs.data(), "{name} {tensor}");
    }
    let before = network.state_dict();
    let back = network.load_weight_file(WeightFile::load(&path).unwrap()).unwrap();
    assert_eq!(back.state_dict(), before);
}
