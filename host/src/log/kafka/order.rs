//! The order in which records are given to librdkafka.

/// The indices of records, sorted by partition, those of one partition in their order: a counting sort.
pub(super) fn by_partition(partitions: &[u32], count: u32, order: &mut Vec<u32>) {
    let mut starts = vec![0u32; count as usize + 1];
    partitions.iter().for_each(|partition| starts[*partition as usize + 1] += 1);
    for at in 1..starts.len() {
        starts[at] += starts[at - 1];
    }
    order.clear();
    order.resize(partitions.len(), 0);
    for (index, partition) in partitions.iter().enumerate() {
        let place = &mut starts[*partition as usize];
        order[*place as usize] = index as u32;
        *place += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::by_partition;

    #[test]
    fn records_of_a_partition_stay_in_order() {
        let mut order = vec![9, 9];
        by_partition(&[2, 0, 2, 1, 0, 2], 4, &mut order);
        assert_eq!(order, [1, 4, 3, 0, 2, 5]);
        by_partition(&[], 1, &mut order);
        assert!(order.is_empty());
    }
}
