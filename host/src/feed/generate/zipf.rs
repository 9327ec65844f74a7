//! A fast draw from Zipf's distribution: few products get most of the records.

use crate::random::{Random, scale};

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
}
