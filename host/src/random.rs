//! Randomness that is the same on every run: numbers from a seed. For the load generator, and for modules under test.
//!
//! Every item (a record, an instance) has a generator of its own, made from the seed and the item's number, so that the
//! sequence can be taken up anywhere. A crate's generator would be as good today and another tomorrow; this sequence must
//! stay.

/// SplitMix64 (Steele, Lea and Flood: "Fast splittable pseudorandom number generators", OOPSLA 2014).
pub struct Random(u64);

/// The odd constant of SplitMix64, 2^64 divided by the golden ratio.
const GAMMA: u64 = 0x9e37_79b9_7f4a_7c15;

// === impl Random ===

impl Random {
    /// The generator of item `number` of a stream.
    #[inline]
    pub fn at(seed: u64, number: u64) -> Self {
        Self(mix(seed ^ mix(number.wrapping_mul(GAMMA))))
    }

    /// 64 random bits.
    #[inline]
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(GAMMA);
        mix(self.0)
    }

    /// From 0 to 1, without 1.
    #[inline]
    pub fn unit(&mut self) -> f64 {
        to_unit(self.bits())
    }

    /// From 0 to `n`, without `n`.
    #[inline]
    pub fn below(&mut self, n: u32) -> u32 {
        scale(self.bits(), n)
    }

    /// Normal, with mean 0 and deviation 1 (Box and Muller, 1958).
    pub fn normal(&mut self) -> f64 {
        // 1 - u is never 0, whose logarithm is infinite.
        let radius = (-2.0 * (1.0 - self.unit()).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.unit()).cos()
    }
}

/// The finaliser of SplitMix64: each bit of the input changes half of those of the output.
#[inline]
pub fn mix(mut bits: u64) -> u64 {
    bits = (bits ^ bits >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ bits >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ bits >> 31
}

/// The upper 53 bits as a number from 0 to 1, without 1.
#[inline]
pub fn to_unit(bits: u64) -> f64 {
    (bits >> 11) as f64 / (1u64 << 53) as f64
}

/// The upper 32 bits as a number from 0 to `n`, without `n`.
#[inline]
pub fn scale(bits: u64, n: u32) -> u32 {
    let upper = bits >> 32;
    ((upper * u64::from(n)) >> 32) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn normal_numbers_have_mean_0_and_deviation_1() {
        let mut random = Random::at(7, 0);
        let numbers: Vec<f64> = (0..100_000).map(|_| random.normal()).collect();
        let mean = numbers.iter().sum::<f64>() / 1e5;
        let variance = numbers.iter().map(|n| (n - mean).powi(2)).sum::<f64>() / 1e5;
        assert!(mean.abs() < 0.02 && (variance - 1.0).abs() < 0.02, "{mean} {variance}");
    }
}
