//! `host topics describe` on a cluster: replicas, offsets and groups, with what is wrong in red.

use std::io::{self, IsTerminal as _, Write};

use super::grid::{self, Side};
use super::topics::size;
use crate::log::PartitionInfo;
use crate::log::kafka::{GroupState, KafkaLog, PartitionState, TopicState};

/// Marks what is wrong: in red on a terminal, and with a sign everywhere.
struct Marks {
    red: bool,
}

/// Ends a cell that tells of something wrong.
const WRONG: &str = " !";

pub(super) fn print(
    log: &KafkaLog,
    name: &str,
    topic: &TopicState,
    group: Option<&str>,
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    let marks =
        Marks { red: io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|set| set.is_empty()) };
    let is_under = |partition: &&PartitionState| partition.in_sync.len() < partition.replicas.len();
    let under = topic.partitions.iter().filter(is_under).count();
    let leaderless = topic.partitions.iter().filter(|partition| partition.leader.is_none()).count();
    for (name, value) in &topic.settings {
        writeln!(out, "setting  {name} = {value}")?;
    }
    for (count, what) in [(under, "under-replicated"), (leaderless, "without a leader")] {
        if count > 0 {
            marks.line(out, &format!("wrong    {count} of {} partitions {what}", topic.partitions.len()))?;
        }
    }
    writeln!(out)?;
    let head = [
        ("PARTITION", Side::Right),
        ("LEADER", Side::Left),
        ("REPLICAS", Side::Left),
        ("IN SYNC", Side::Left),
        ("FIRST", Side::Right),
        ("NEXT", Side::Right),
        ("SIZE", Side::Right),
    ];
    let rows: Vec<Vec<String>> = topic.partitions.iter().map(row).collect();
    marks.grid(out, &head, &rows)?;
    let groups = log.groups(name, topic, group)?;
    if !groups.is_empty() {
        writeln!(out)?;
        let head = [("GROUP", Side::Left), ("STATE", Side::Left), ("LAG", Side::Right), ("LARGEST", Side::Left)];
        let rows: Vec<Vec<String>> = groups.iter().map(group_row).collect();
        marks.grid(out, &head, &rows)?;
    } else if let Some(group) = group {
        writeln!(out, "\nno group `{group}` has a position in it")?;
    }
    Ok(())
}

fn row(partition: &PartitionState) -> Vec<String> {
    let list = |nodes: &[i32]| nodes.iter().map(i32::to_string).collect::<Vec<_>>().join(",");
    let is_under = partition.in_sync.len() < partition.replicas.len();
    // Nobody knows the offsets of a partition that nobody leads.
    let offset = |of: fn(&PartitionInfo) -> i64| partition.info.as_ref().map_or("-".to_owned(), |i| of(i).to_string());
    vec![
        partition.partition.to_string(),
        partition.leader.map_or_else(|| format!("none{WRONG}"), |leader| leader.to_string()),
        list(&partition.replicas),
        format!("{}{}", list(&partition.in_sync), if is_under { WRONG } else { "" }),
        offset(|info| info.start),
        offset(|info| info.end),
        size(partition.info.and_then(|info| info.bytes)),
    ]
}

/// A group that has records before it and nobody in it is something wrong.
fn group_row(group: &GroupState) -> Vec<String> {
    let lag: i64 = group.lag.iter().flatten().sum();
    let largest = group.lag.iter().enumerate().filter_map(|(partition, lag)| Some((lag.as_ref()?, partition))).max();
    let is_left = lag > 0 && matches!(group.state.as_str(), "Empty" | "Dead");
    vec![
        group.group.clone(),
        if group.state.is_empty() { "-".to_owned() } else { group.state.clone() },
        format!("{lag}{}", if is_left { WRONG } else { "" }),
        largest.filter(|(lag, _)| **lag > 0).map_or("-".to_owned(), |(lag, p)| format!("{lag} in partition {p}")),
    ]
}

impl Marks {
    fn line(&self, out: &mut dyn Write, line: &str) -> io::Result<()> {
        if self.red { writeln!(out, "\u{1b}[31m{line}\u{1b}[0m") } else { writeln!(out, "{line}") }
    }

    /// A grid whose rows are red as a whole where a cell tells of something wrong.
    fn grid(&self, out: &mut dyn Write, head: &[(&str, Side)], rows: &[Vec<String>]) -> io::Result<()> {
        let mut plain = Vec::new();
        grid::print(&mut plain, head, rows)?;
        let text = String::from_utf8_lossy(&plain);
        let is_wrong = |row: &Vec<String>| row.iter().any(|cell| cell.ends_with(WRONG));
        for (line, wrong) in text.lines().zip(std::iter::once(false).chain(rows.iter().map(is_wrong))) {
            if wrong { self.line(out, line)? } else { writeln!(out, "{line}")? }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_is_marked() {
        let info = PartitionInfo { partition: 0, start: 0, end: 7, decided: 7, bytes: None };
        let sound = PartitionState {
            partition: 0,
            info: Some(info),
            leader: Some(1),
            replicas: vec![1, 2],
            in_sync: vec![2, 1],
        };
        assert_eq!(row(&sound), ["0", "1", "1,2", "2,1", "0", "7", "unknown"]);
        let broken = PartitionState { info: None, leader: None, in_sync: vec![2], ..sound };
        assert_eq!(row(&broken)[1..], ["none !", "1,2", "2 !", "-", "-", "unknown"]);
        let group =
            |state: &str| GroupState { group: "g".to_owned(), state: state.to_owned(), lag: vec![Some(3), None] };
        assert_eq!(group_row(&group("Stable")), ["g", "Stable", "3", "3 in partition 0"]);
        assert_eq!(group_row(&group("Empty"))[2], "3 !");
        // Somebody is in it, or nobody can tell.
        for state in ["PreparingRebalance", "Reconciling", ""] {
            assert_eq!(group_row(&group(state))[2], "3");
        }
    }

    #[test]
    fn red_is_for_terminals() {
        let rows = [vec!["1 !".to_owned()], vec!["2".to_owned()]];
        let printed = |red| {
            let mut out = Vec::new();
            Marks { red }.grid(&mut out, &[("A", Side::Left)], &rows).expect("memory");
            String::from_utf8(out).expect("text")
        };
        assert_eq!(printed(false), "A\n1 !\n2\n");
        assert_eq!(printed(true), "A\n\u{1b}[31m1 !\u{1b}[0m\n2\n");
    }
}
