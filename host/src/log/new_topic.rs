//! Which topics can be made, and which are there already.

use super::{LogError, MAX_NAME_BYTES, NewTopic, is_topic_char};

// === impl NewTopic ===

impl NewTopic {
    /// Whether there can be such a topic.
    ///
    /// # Errors
    /// [`LogError::BadName`], [`LogError::BadPartitions`].
    pub(crate) fn check(&self, max_partitions: u32) -> Result<(), LogError> {
        let name = &self.name;
        if name.is_empty()
            || name.len() > MAX_NAME_BYTES
            || !name.chars().all(is_topic_char)
            || name == "."
            || name == ".."
        {
            return Err(LogError::BadName(name.clone()));
        }
        if self.partitions == 0 || self.partitions > max_partitions {
            let (topic, wanted) = (name.clone(), self.partitions);
            return Err(LogError::BadPartitions { topic, wanted, limit: max_partitions });
        }
        Ok(())
    }

    /// Whether one that is there with so many partitions is the one that is wanted.
    ///
    /// # Errors
    /// [`LogError::Partitions`].
    pub(crate) fn fits(&self, existing: u32) -> Result<(), LogError> {
        let (topic, wanted) = (&self.name, self.partitions);
        if existing == wanted { Ok(()) } else { Err(LogError::Partitions { topic: topic.clone(), existing, wanted }) }
    }
}
