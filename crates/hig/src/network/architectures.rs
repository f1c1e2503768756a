//! Ready-made networks.

use super::{
    Activation, AveragePool2d, Boundary, Chain, Conv2d, Dense, Grid, Initializer, Network, Scale,
    Upsample2d,
};
use crate::error::{Error, Result};

impl Network {
    /// A multilayer perceptron: dense layers of the given widths (input first, output last) with
    /// `activation` between them and a linear output.
    ///
    /// ```
    /// use hig::network::{Activation, Initializer, Network};
    /// let network = Network::mlp(&[1, 7, 2], Activation::Tanh, Initializer::Glorot);
    /// assert_eq!(network.parameter_count(), 7 + 7 + 14 + 2);
    /// ```
    ///
    /// # Panics
    /// With fewer than two widths.
    pub fn mlp(widths: &[usize], activation: Activation, initializer: Initializer) -> Self {
        assert!(widths.len() >= 2, "a network has an input and an output");
        let mut chain = Chain::new();
        for (i, pair) in widths.windows(2).enumerate() {
            if i > 0 && activation != Activation::Identity {
                chain = chain.then(activation);
            }
            chain = chain.then(Dense {
                inputs: pair[0],
                outputs: pair[1],
            });
        }
        Self::new(widths[0], chain, initializer).expect("each layer reads the one before")
    }

    /// A residual network that keeps the grid (He et al. 2016, arXiv 1603.05027, with nonlinearities
    /// before the convolutions): for each entry of `channels` a block
    /// x + scale(conv(σ(conv(σ(x))))) of 3 × 3 convolutions, a convolution before it where the
    /// number of channels changes, and a 3 × 3 convolution to `outputs` channels at the end.
    ///
    /// The blocks' [`Scale`] starts at 1/√blocks, which keeps the size of the values whatever the
    /// depth (Hayou et al. 2021, arXiv 2010.12859).
    ///
    /// ```
    /// use hig::network::{Activation, Boundary, Grid, Initializer, Network};
    /// let grid = Grid { channels: 1, height: 8, width: 8 };
    /// let (tanh, glorot) = (Activation::Tanh, Initializer::Glorot);
    /// let network = Network::resnet(grid, &[8, 8], 1, Boundary::Zero, tanh, glorot)?;
    /// assert_eq!((network.inputs(), network.outputs()), (64, 64));
    /// # Ok::<(), hig::Error>(())
    /// ```
    ///
    /// # Errors
    /// An extent, a number of channels or of outputs that is 0.
    pub fn resnet(
        grid: Grid,
        channels: &[usize],
        outputs: usize,
        boundary: Boundary,
        activation: Activation,
        initializer: Initializer,
    ) -> Result<Self> {
        let conv =
            |from: usize, to: usize| Conv2d::same(grid.with_channels(from), to, KERNEL, boundary);
        let gain = 1.0 / (channels.len().max(1) as f64).sqrt();
        let (mut chain, mut now) = (Chain::new(), grid.channels);
        for (i, &width) in channels.iter().enumerate() {
            if i == 0 || width != now {
                chain = chain.then(conv(now, width));
            }
            let scale = Scale {
                channels: width,
                points: grid.points(),
                gain,
            };
            let block = Chain::new()
                .then(activation)
                .then(conv(width, width))
                .then(activation)
                .then(conv(width, width))
                .then(scale);
            (chain, now) = (chain.residual(block), width);
        }
        let chain = chain.then(activation).then(conv(now, outputs));
        Self::new(grid.features(), chain, initializer)
    }

    /// Convolutions along a circle of so many points: one for each entry of `channels` with `activation`
    /// behind it, and a last one to a single channel; the kernels have `kernel` points.
    ///
    /// ```
    /// use hig::network::{Activation, Initializer, Network};
    /// let network =
    ///     Network::around_circle(48, &[8, 8], 5, Activation::Tanh, Initializer::Glorot)?;
    /// assert_eq!((network.inputs(), network.outputs()), (48, 48));
    /// # Ok::<(), hig::Error>(())
    /// ```
    ///
    /// # Errors
    /// A number of points or channels that is 0; a kernel of even width.
    pub fn around_circle(
        points: usize,
        channels: &[usize],
        kernel: usize,
        activation: Activation,
        initializer: Initializer,
    ) -> Result<Self> {
        if kernel.is_multiple_of(2) {
            return Err(Error::setting("kernel", kernel, "an odd number"));
        }
        let line = |channels| Grid {
            channels,
            height: 1,
            width: points,
        };
        let conv = |from, to| Conv2d::along(line(from), to, kernel, Boundary::Periodic);
        let (mut chain, mut now) = (Chain::new(), 1);
        for &width in channels {
            chain = chain.then(conv(now, width)).then(activation);
            now = width;
        }
        Self::new(points, chain.then(conv(now, 1)), initializer)
    }

    /// A U-Net that keeps the grid (Ronneberger, Fischer and Brox 2015, arXiv 1505.04597, with one
    /// convolution a level and way): `channels` of each level from the full grid down, each level on
    /// a grid of half the extents. On the way down a 3 × 3 convolution, σ, and the mean over 2 × 2
    /// points; on the way up every point four times, beside the values of the way down a 3 × 3
    /// convolution, σ; at the end a convolution of single points to `outputs` channels.
    ///
    /// ```
    /// use hig::network::{Activation, Boundary, Grid, Initializer, Network};
    /// let grid = Grid { channels: 1, height: 8, width: 8 };
    /// let (tanh, glorot) = (Activation::Tanh, Initializer::Glorot);
    /// let network = Network::unet(grid, &[4, 8], 1, Boundary::Zero, tanh, glorot)?;
    /// assert_eq!((network.inputs(), network.outputs()), (64, 64));
    /// # Ok::<(), hig::Error>(())
    /// ```
    ///
    /// # Errors
    /// Extents that 2^(levels - 1) does not divide; an extent, a number of channels or of outputs
    /// that is 0.
    pub fn unet(
        grid: Grid,
        channels: &[usize],
        outputs: usize,
        boundary: Boundary,
        activation: Activation,
        initializer: Initializer,
    ) -> Result<Self> {
        Self::unet_of_means(
            grid,
            1,
            channels,
            outputs,
            boundary,
            activation,
            initializer,
        )
    }

    /// The same between means over `size` × `size` points, which it reads, and as many points with one answer, at
    /// size² less cost.
    ///
    /// ```
    /// use hig::network::{Activation, Boundary, Grid, Initializer, Network};
    /// let grid = Grid { channels: 3, height: 8, width: 8 };
    /// let (tanh, glorot) = (Activation::Tanh, Initializer::Glorot);
    /// let network = Network::unet_of_means(grid, 2, &[4, 8], 1, Boundary::Zero, tanh, glorot)?;
    /// assert_eq!((network.inputs(), network.outputs()), (192, 64));
    /// # Ok::<(), hig::Error>(())
    /// ```
    ///
    /// # Errors
    /// Extents that size · 2^(levels - 1) does not divide; an extent, a number of channels or of outputs that
    /// is 0.
    pub fn unet_of_means(
        grid: Grid,
        size: usize,
        channels: &[usize],
        outputs: usize,
        boundary: Boundary,
        activation: Activation,
        initializer: Initializer,
    ) -> Result<Self> {
        let pool = AveragePool2d { grid, size };
        let (start, coarse) = match size {
            1 => (Chain::new(), grid),
            _ => (Chain::new().then(pool), pool.output()),
        };
        let (between, last) = levels(coarse, channels, boundary, activation);
        let answer = Conv2d::same(last, outputs, 1, boundary);
        let chain = start.append(between).then(answer);
        let chain = match size {
            1 => chain,
            _ => chain.then(Upsample2d {
                grid: answer.output(),
                size,
            }),
        };
        Self::new(grid.features(), chain, initializer)
    }
}

const KERNEL: usize = 3;

/// The levels of a U-Net from one down, and the grid of their output.
fn levels(
    grid: Grid,
    channels: &[usize],
    boundary: Boundary,
    activation: Activation,
) -> (Chain, Grid) {
    let Some((&width, below)) = channels.split_first() else {
        return (Chain::new(), grid);
    };
    let down = Conv2d::same(grid, width, KERNEL, boundary);
    let chain = Chain::new().then(down).then(activation);
    if below.is_empty() {
        return (chain, down.output());
    }
    let pool = AveragePool2d {
        grid: down.output(),
        size: 2,
    };
    let (inner, last) = levels(pool.output(), below, boundary, activation);
    let up = Upsample2d {
        grid: last,
        size: 2,
    };
    let around = Chain::new().then(pool).append(inner).then(up);
    let joined = grid.with_channels(width + last.channels);
    let merge = Conv2d::same(joined, width, KERNEL, boundary);
    let chain = chain.skip(around).then(merge).then(activation);
    (chain, merge.output())
}
