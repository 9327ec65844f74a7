//! Randomness that is the same on every run: numbers from a seed, and a fast draw from Zipf's distribution.
//!
//! Every record has a generator of its own, made from the seed and the record's number, so that the sequence can be
//! taken up anywhere. A crate's generator would be as good today and another tomorrow; this sequence must stay.

/// SplitMix64 (Steele, Lea and Flood: "Fast splittable pseudorandom number generators", OOPSLA 2014).
pub struct Random(u64);

/// The odd constant of SplitMix64, 2^64 divided by the golden ratio.
const GAMMA: u64 = 0x9e37_79b9_7f4a_7c15;

/// Draws from Zipf's distribution: rank `k`, counted from 1, with a probability proportional to `1 / k^exponent`.
///
/// This is Walker's alias method (Vose: "A linear algorithm for generating random numbers with a given distribution",
/// IEEE TSE 17(9), 1991): any table of probabilities, and one look into it for each draw.
pub struct Zipf {
    columns: Vec<Column>,
}

/// A column keeps its own index for draws below `cut`, and gives `alias` for the others.
#[derive(Clone, Copy)]
struct Column {
    cut: u32,
    alias: u32,
}

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
fn scale(bits: u64, n: u32) -> u32 {
    let upper = bits >> 32;
    ((upper * u64::from(n)) >> 32) as u32
}

// === impl Zipf ===

impl Zipf {
    /// The distribution of `n` ranks.
    pub fn new(n: u32, exponent: f64) -> Self {
        let weights: Vec<f64> = (1..=n).map(|rank| f64::from(rank).powf(-exponent)).collect();
        let scale = f64::from(n) / weights.iter().sum::<f64>();
        // How full each column is, 1 being the mean. Those below take what they lack from those above.
        let mut fill: Vec<f64> = weights.iter().map(|weight| weight * scale).collect();
        let (mut low, mut high): (Vec<u32>, Vec<u32>) = (0..n).partition(|i| fill[*i as usize] < 1.0);
        let mut columns: Vec<Column> = (0..n).map(|alias| Column { cut: u32::MAX, alias }).collect();
        while let (Some(poor), Some(&rich)) = (low.pop(), high.last()) {
            let own = fill[poor as usize];
            columns[poor as usize] = Column { cut: (own * f64::from(u32::MAX)) as u32, alias: rich };
            fill[rich as usize] -= 1.0 - own;
            if fill[rich as usize] < 1.0 {
                high.pop();
                low.push(rich);
            }
        }
        Self { columns }
    }

    /// A rank, counted from 0.
    #[inline]
    pub fn draw(&self, random: &mut Random) -> u32 {
        let bits = random.bits();
        let index = scale(bits, self.columns.len() as u32);
        let column = self.columns[index as usize];
        if bits as u32 <= column.cut { index } else { column.alias }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_come_as_often_as_zipf_says() {
        let (n, draws) = (1000, 1_000_000);
        let zipf = Zipf::new(n, 1.0);
        let mut counts = vec![0u32; n as usize];
        let mut random = Random::at(1, 1);
        for _ in 0..draws {
            counts[zipf.draw(&mut random) as usize] += 1;
        }
        let harmonic: f64 = (1..=n).map(|k| 1.0 / f64::from(k)).sum();
        for rank in [1, 2, 3, 10, 100, 500] {
            let expected = f64::from(draws) / harmonic / f64::from(rank);
            let count = f64::from(counts[rank as usize - 1]);
            assert!((count - expected).abs() < 5.0 * expected.sqrt(), "rank {rank}: {count} instead of {expected}");
        }
    }

    #[test]
    fn a_single_rank_is_drawn_always() {
        let zipf = Zipf::new(1, 1.0);
        let mut random = Random::at(1, 1);
        assert!((0..1000).all(|_| zipf.draw(&mut random) == 0));
    }

    #[test]
    fn normal_numbers_have_mean_0_and_deviation_1() {
        let mut random = Random::at(7, 0);
        let numbers: Vec<f64> = (0..100_000).map(|_| random.normal()).collect();
        let mean = numbers.iter().sum::<f64>() / 1e5;
        let variance = numbers.iter().map(|n| (n - mean).powi(2)).sum::<f64>() / 1e5;
        assert!(mean.abs() < 0.02 && (variance - 1.0).abs() < 0.02, "{mean} {variance}");
    }
}
