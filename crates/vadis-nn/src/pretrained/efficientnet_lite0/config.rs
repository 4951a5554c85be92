//! Sizes of the network.

/// What a stage's blocks share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stage {
    /// Blocks; all but the first keep the size.
    pub blocks: usize,
    /// Side of the depthwise kernels.
    pub kernel: usize,
    /// Stride of the first block.
    pub stride: usize,
    /// Channels inside a block by those that come in; 1 for none of its own.
    pub expansion: usize,
    /// Channels of the stage's output.
    pub channels: usize,
}

/// Sizes of an EfficientNet-Lite: MobileNet-V2 blocks with ReLU6 and without squeeze-and-excitation.
#[derive(Debug, Clone, PartialEq)]
pub struct EfficientNetLiteConfig {
    /// Side of the frames that it is made for.
    pub size: usize,
    /// Channels after the first convolution.
    pub stem: usize,
    /// The stages.
    pub stages: Vec<Stage>,
    /// Channels of the last convolution: the features.
    pub head: usize,
    /// What the batch norms add to a variance.
    pub epsilon: f32,
}

impl EfficientNetLiteConfig {
    /// EfficientNet-Lite0: 224×224 pixels, 1280 features.
    pub fn lite0() -> Self {
        let stage = |blocks, kernel, stride, expansion, channels| Stage {
            blocks,
            kernel,
            stride,
            expansion,
            channels,
        };
        let stages = vec![
            stage(1, 3, 1, 1, 16),
            stage(2, 3, 2, 6, 24),
            stage(2, 5, 2, 6, 40),
            stage(3, 3, 2, 6, 80),
            stage(3, 5, 1, 6, 112),
            stage(4, 5, 2, 6, 192),
            stage(1, 3, 1, 6, 320),
        ];
        Self { size: 224, stem: 32, stages, head: 1280, epsilon: 1e-3 }
    }
}
