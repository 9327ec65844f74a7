//! How many replicas and partitions a topic should have on so many brokers, what that survives, and what to mind.

use std::io::{self, Write};

/// What is advised for a number of brokers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Advice {
    nodes: u32,
    /// Replicas, and partitions too.
    pub number: u32,
}

/// Today's practice, wherever there are brokers enough.
const USUAL_REPLICAS: u32 = 3;

impl Advice {
    /// floor((n - 1) / 2), at least 1.
    pub(super) fn of(nodes: u32) -> Self {
        Self { nodes, number: (nodes.saturating_sub(1) / 2).max(1) }
    }

    /// Prints it, with what it survives and what to mind.
    pub(super) fn print(self, out: &mut dyn Write) -> io::Result<()> {
        let Self { nodes, number } = self;
        writeln!(out, "brokers             {nodes}")?;
        writeln!(out, "replication factor  {number}")?;
        writeln!(out, "partitions          {number}\n")?;
        match number {
            1 => writeln!(
                out,
                "Survives the loss of no broker: what a lost one has is gone, and nothing can be written there."
            )?,
            2 => writeln!(out, "Survives the loss of one broker, without losing what was written to both replicas.")?,
            more => writeln!(
                out,
                "Survives the loss of {} brokers, without losing what was written to all replicas.",
                more - 1
            )?,
        }
        for warning in self.warnings() {
            writeln!(out, "warning: {warning}")?;
        }
        Ok(())
    }

    fn warnings(self) -> Vec<String> {
        let mut warnings = Vec::new();
        if self.number < USUAL_REPLICAS && self.nodes >= USUAL_REPLICAS {
            warnings.push(format!(
                "today's practice is {USUAL_REPLICAS} replicas with min.insync.replicas = 2, which goes on and loses nothing while \
                 one broker is away: `host topics create … --replication 3 --config min.insync.replicas=2`"
            ));
        }
        if self.nodes < USUAL_REPLICAS {
            warnings.push(format!(
                "with fewer than {USUAL_REPLICAS} brokers there is no majority to go on when one is lost"
            ));
        }
        if self.number > 1 {
            warnings.push(
                "several partitions keep the order of records with one key only, not that of the topic".to_owned(),
            );
        }
        warnings
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_of_the_others() {
        let advised = [1, 2, 3, 4, 5, 6, 8, 10].map(|nodes| Advice::of(nodes).number);
        assert_eq!(advised, [1, 1, 1, 1, 2, 2, 3, 4]);
    }

    #[test]
    fn warnings_are_of_what_is_so() {
        let about =
            |nodes: u32, words: &str| Advice::of(nodes).warnings().iter().any(|warning| warning.contains(words));
        assert!(about(3, "min.insync.replicas") && about(5, "min.insync.replicas") && !about(8, "min.insync.replicas"));
        assert!(!about(4, "order") && about(5, "order"));
        assert!(about(2, "majority") && !about(3, "majority"));
    }
}
