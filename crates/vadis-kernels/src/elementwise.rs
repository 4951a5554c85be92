//! Element-wise passes, built for each instruction set so that they vectorise to its width.
#![allow(unsafe_code)]

use crate::Activation;
use crate::tile::Isa;

/// Defines a function that runs an inlined body under the instruction set that its first argument
/// names.
macro_rules! for_each_isa {
    ($(#[$doc:meta])* fn $name:ident($($arg:ident: $type:ty),* $(,)?) $body:block) => {
        $(#[$doc])*
        #[allow(unsafe_code, reason = "only to enter a function built for a set that the machine has")]
        pub(crate) fn $name(isa: Isa, $($arg: $type),*) {
            #[inline(always)]
            fn body($($arg: $type),*) $body
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx512f,fma")]
            fn avx512($($arg: $type),*) { body($($arg),*) }
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,fma")]
            fn avx2($($arg: $type),*) { body($($arg),*) }
            assert!(isa.is_available());
            match isa {
                #[cfg(target_arch = "x86_64")]
                // SAFETY: the machine has the set.
                Isa::Amx | Isa::Avx512 => unsafe { avx512($($arg),*) },
                #[cfg(target_arch = "x86_64")]
                // SAFETY: the machine has the set.
                Isa::Avx2 => unsafe { avx2($($arg),*) },
                Isa::Portable => body($($arg),*),
            }
        }
    };
}
pub(crate) use for_each_isa;

for_each_isa! {
    /// Applies `activation` in place.
    fn activate(activation: Activation, values: &mut [f32]) {
        // One loop for each kind: the branch stays outside.
        match activation {
            Activation::None => {}
            Activation::Relu => values.iter_mut().for_each(|x| *x = Activation::Relu.apply(*x)),
            Activation::LeakyRelu(s) => {
                values.iter_mut().for_each(|x| *x = Activation::LeakyRelu(s).apply(*x));
            }
            Activation::Tanh => values.iter_mut().for_each(|x| *x = Activation::Tanh.apply(*x)),
            Activation::Sigmoid => values.iter_mut().for_each(|x| *x = Activation::Sigmoid.apply(*x)),
        }
    }
}

for_each_isa! {
    /// Multiplies `gradient` by the activation's derivative where its output is `output`.
    fn times_derivative(activation: Activation, gradient: &mut [f32], output: &[f32]) {
        match activation {
            Activation::None => {}
            Activation::Relu => {
                gradient.iter_mut().zip(output).for_each(|(g, &y)| *g *= Activation::Relu.derivative(y));
            }
            Activation::LeakyRelu(s) => {
                gradient.iter_mut().zip(output).for_each(|(g, &y)| *g *= Activation::LeakyRelu(s).derivative(y));
            }
            Activation::Tanh => {
                gradient.iter_mut().zip(output).for_each(|(g, &y)| *g *= Activation::Tanh.derivative(y));
            }
            Activation::Sigmoid => {
                gradient.iter_mut().zip(output).for_each(|(g, &y)| *g *= Activation::Sigmoid.derivative(y));
            }
        }
    }
}

for_each_isa! {
    /// Adds `values` to `sums`.
    fn add(sums: &mut [f32], values: &[f32]) {
        sums.iter_mut().zip(values).for_each(|(sum, value)| *sum += value);
    }
}
